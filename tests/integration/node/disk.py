#!/usr/bin/env python3
"""A full disk ends the node in order; what was acknowledged is there afterwards, and every lease is settled."""
import contextlib
import http.client
import os
import subprocess
import tempfile
import time

from daemon import Daemon, Refused, run_cases, units


@contextlib.contextmanager
def small_disk(size):
    """A node on a file system of its own; None where none can be mounted."""
    base = tempfile.mkdtemp(prefix="hm-disk-")
    mounted = os.getuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", base],
                                                  stderr=subprocess.DEVNULL, check=False).returncode == 0
    try:
        if not mounted:
            yield None
            return
        os.mkdir(os.path.join(base, "data"), 0o700)
        node = Daemon(data=os.path.join(base, "data"))
        descriptor, node.log_path = tempfile.mkstemp(prefix="hm-disk-log-")
        os.close(descriptor)
        try:
            yield node
        finally:
            node.remove()
            if node.process is not None and node.process.poll() is None:
                node.kill()
            os.unlink(node.log_path)
    finally:
        if mounted:
            subprocess.run(["umount", base], check=True)
        os.rmdir(base)


def fill(node):
    path = os.path.join(os.path.dirname(node.data), "filler")
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while file.write(bytes(65536)) > 0:
            pass
    return path


def transfer(node):
    return node.call("POST", "/accounts/user/transfer", {"to": "operator", "amount": "0.000000001"})


def ends_in_order_and_keeps_what_it_acknowledged():
    with small_disk("24M") as node:
        if node is None:
            return "no file system can be mounted here"
        node.start()
        acknowledged = [transfer(node) for _ in range(3)]
        filler = fill(node)
        with contextlib.suppress(OSError, http.client.HTTPException, Refused):
            for _ in range(1000):  # blocks may fit into pages that are free already
                acknowledged.append(transfer(node))
        assert node.process.wait(30) == 1 and "disk" in node.log(), node.log()
        os.unlink(filler)
        node.start()
        for receipt in acknowledged:
            assert node.call("GET", f"/txs/{receipt['tx']}")["height"] == receipt["height"]
        last = node.call("POST", "/chain/verify", raw=True).decode().splitlines()[-1]
        assert '"ok":true' in last, last
        assert node.stop() == 0, node.log()
    return None


def leases_of_its_jobs_are_settled_afterwards():
    with small_disk("448M") as node:
        if node is None:
            return "no file system can be mounted here"
        node.start()
        if not node.can_run_jobs():
            return "no container runtime works here"
        node.call("POST", "/images/base")
        job = node.call("POST", "/jobs", {"image": "busybox", "command": "sleep 300", "timeout": "10m", "memory": "32M",
                                          "storage": "1M"})["id"]
        while (state := node.call("GET", f"/jobs/{job}")["state"]) != "running":
            assert state != "done", node.call("GET", f"/jobs/{job}")
            time.sleep(0.02)
        filler = fill(node)
        with contextlib.suppress(OSError, http.client.HTTPException, Refused):
            for _ in range(1000):
                transfer(node)
        assert node.process.wait(60) == 1, node.log()
        os.unlink(filler)
        node.start()
        record = node.finish(job)
        assert record["lease"]["state"] == "settled", record
        assert units(node.call("GET", "/consensus/status")["supply"]["hyper_escrow"]) == 0
        assert node.stop() == 0, node.log()
    return None


if __name__ == "__main__":
    run_cases([ends_in_order_and_keeps_what_it_acknowledged, leases_of_its_jobs_are_settled_afterwards])
