#!/usr/bin/env python3
"""What a machine does to a node: no descriptors left. Full disks are in disk.py, kills in crash.py, a second daemon and
a read-only directory in start.py, clocks that jump in the unit tests, where the clock can be moved."""
import contextlib
import http.client
import os
import resource
import socket
import time

from daemon import Daemon, Refused, run_cases

DESCRIPTORS = 80


def transfer(node):
    return node.call("POST", "/accounts/user/transfer", {"to": "operator", "amount": "0.000000001"})


def verified(node):
    last = node.call("POST", "/chain/verify", raw=True).decode().splitlines()[-1]
    assert '"ok":true' in last, last


def out_of_descriptors_is_survived():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, limits[1]))
    node = Daemon()
    try:
        command = node.command
        node.command = lambda: ["prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}"] + command()
        node.start()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        receipt = transfer(node)
        held = []
        for _ in range(2 * DESCRIPTORS):
            held.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            held[-1].settimeout(2)
            with contextlib.suppress(OSError):
                held[-1].connect(os.path.join(node.data, "api.sock"))
        time.sleep(0.5)
        assert node.process.poll() is None, node.log()
        for connection in held:
            connection.close()
        end = time.monotonic() + 30
        while True:
            try:
                assert transfer(node)["height"] > receipt["height"]
                break
            except (OSError, http.client.HTTPException, Refused):
                assert time.monotonic() < end, node.log()
                time.sleep(0.1)
        verified(node)
        assert node.stop() == 0, node.log()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        node.remove()


if __name__ == "__main__":
    run_cases([out_of_descriptors_is_survived])
