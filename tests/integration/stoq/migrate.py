#!/usr/bin/env python3
"""A client that changes its address in the middle of a transfer, in network namespaces: the transfer completes.

    migrate.py PEER    PEER is the program made of stoq_peer.c; needs root
"""
import os
import subprocess
import sys
import time

from peers import Identity, Skipped, WAIT_SECONDS, run_cases

PEER = sys.argv[1]
PREFIX = f"hmq{os.getpid()}"
SERVER, CLIENT = f"{PREFIX}s", f"{PREFIX}c"
RATE = "60mbit"  # so that the transfer takes a few seconds
BYTES = 8_000_000


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=30)


class Namespaces:
    """Two of them and a pair of interfaces between; removed again whatever happens."""

    def __enter__(self):
        if os.geteuid() != 0:
            raise Skipped("needs root")
        try:
            ip("netns", "add", SERVER)
        except (OSError, subprocess.SubprocessError) as reason:
            raise Skipped(f"no network namespaces here: {reason}") from reason
        try:
            ip("netns", "add", CLIENT)
            ip("link", "add", "far", "netns", SERVER, "type", "veth", "peer", "name", "near", "netns", CLIENT)
            ip("-n", SERVER, "link", "set", "lo", "up")
            ip("-n", SERVER, "addr", "add", "fd00:5::1/64", "dev", "far", "nodad")
            ip("-n", SERVER, "link", "set", "far", "up")
            ip("-n", CLIENT, "addr", "add", "fd00:5::2/64", "dev", "near", "nodad")
            ip("-n", CLIENT, "link", "set", "near", "up")
            for space, device in ((SERVER, "far"), (CLIENT, "near")):
                subprocess.run(["tc", "-n", space, "qdisc", "add", "dev", device, "root", "tbf", "rate", RATE, "burst",
                                "64kb", "latency", "50ms"], check=True, capture_output=True, timeout=30)
        except (OSError, subprocess.SubprocessError) as reason:
            self.__exit__()
            raise Skipped(f"interfaces cannot be set up: {getattr(reason, 'stderr', reason)}") from reason
        return self

    def __exit__(self, *unused):
        for space in (SERVER, CLIENT):
            subprocess.run(["ip", "netns", "del", space], capture_output=True, timeout=30, check=False)


def inside(space, *command):
    return ["ip", "netns", "exec", space, *command]


def transfer(folder, change):
    identity = Identity(folder)
    server = subprocess.Popen(inside(SERVER, PEER, "serve", identity.cert, identity.key, "[::]:4433"),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "port 4433\n"
        client = subprocess.Popen(inside(CLIENT, PEER, "call", identity.cert, identity.key, "[fd00:5::1]:4433", "2",
                                         str(BYTES)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        time.sleep(1)
        assert client.poll() is None, f"the transfer was over too soon: {client.stdout.read()}"
        change()
        said, _ = client.communicate(timeout=WAIT_SECONDS)
        assert client.returncode == 0, f"ended with {client.returncode}: {said}"
    finally:
        server.stdin.close()
        server.wait(10)
        server.stdout.close()


def other_address():
    """The address goes and another comes, as when a machine changes networks."""
    ip("-n", CLIENT, "addr", "add", "fd00:5::77/64", "dev", "near", "nodad")
    ip("-n", CLIENT, "addr", "del", "fd00:5::2/64", "dev", "near")


def gone_for_a_while():
    """Nothing passes for two seconds, then there is another address."""
    ip("-n", CLIENT, "link", "set", "near", "down")
    time.sleep(2)
    ip("-n", CLIENT, "link", "set", "near", "up")
    ip("-n", CLIENT, "addr", "add", "fd00:5::88/64", "dev", "near", "nodad")


def case(change):
    def run(folder):
        with Namespaces():
            transfer(folder, change)
    return run


run_cases([("another_address", case(other_address)), ("gone_for_a_while", case(gone_for_a_while))])
