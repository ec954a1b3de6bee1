"""Where bench_stoq.py runs its programs: loopback, and two network namespaces of its own."""
import os
import shutil
import subprocess
import time


class Failed(Exception):
    pass


class Loopback:
    name = "loopback"
    host = "::1"
    server_prefix, client_prefix = [], []

    def set_mtu(self, payload):
        pass

    def close(self):
        pass


class Veth:
    """Two network namespaces joined by a pair of interfaces; both go with close()."""

    name = "veth pair between network namespaces"
    host = "fd73:746f:71::1"

    def __init__(self):
        if os.geteuid() != 0:
            raise Failed("network namespaces need root")
        if shutil.which("ip") is None:
            raise Failed("the program ip is not here")
        self.spaces = [f"stoq-{os.getpid()}-{end}" for end in "ab"]
        self.server_prefix, self.client_prefix = ([["ip", "netns", "exec", space] for space in self.spaces])
        try:
            for space in self.spaces:
                self.ip("netns", "add", space)
            self.ip("link", "add", "veth0", "netns", self.spaces[0], "type", "veth", "peer", "name", "veth0", "netns",
                    self.spaces[1])
            for end, space in enumerate(self.spaces):
                self.ip("-n", space, "addr", "add", f"{self.host[:-1]}{end + 1}/64", "dev", "veth0", "nodad")
                self.ip("-n", space, "link", "set", "veth0", "up")
            time.sleep(1)  # until neighbours can be asked for
        except Failed:
            self.close()
            raise

    @staticmethod
    def ip(*words):
        done = subprocess.run(["ip", *words], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"ip {' '.join(words)}: {done.stderr.strip()}")

    def set_mtu(self, payload):
        for space in self.spaces:
            self.ip("-n", space, "link", "set", "veth0", "mtu", str(min(payload + 48, 65535)))

    def close(self):
        for space in self.spaces:
            subprocess.run(["ip", "netns", "del", space], capture_output=True)
