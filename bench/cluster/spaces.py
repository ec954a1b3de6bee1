"""Where nodes meet: a network namespace each on a bridge, as root, else loopback; and what processes and wires count."""
import contextlib
import ctypes
import os
import pathlib
import shutil
import socket
import subprocess
import threading

TICKS_S = os.sysconf("SC_CLK_TCK")
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """Something did not do what it should; the text says what."""


def can_have_namespaces():
    return os.geteuid() == 0 and shutil.which("ip") is not None and shutil.which("nsenter") is not None


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"ip {' '.join(words)}: {done.stderr.strip()}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Loopback:
    """One namespace for all: that of the machine. Wires cannot be told apart."""

    name = "loopback"

    def __init__(self, count):
        self.count = count

    def address(self, _node):
        return "127.0.0.1"

    def port(self, _node, _usual):
        return free_port()

    def enter(self, _node):
        return []

    def netns(self, _node):
        return None

    def wire_bytes(self):
        return None

    def close(self):
        pass


class Spaces:
    """Namespaces of the run's own, each joined to one bridge, as `nexus cluster create` makes them."""

    name = "a network namespace for each node, joined by a bridge"
    made = 0

    def __init__(self, count):
        Spaces.made += 1
        self.tag = f"{os.getpid() % 100000}{chr(ord('a') + Spaces.made % 26)}"
        self.count = count
        self.bridge = f"hb{self.tag}"
        try:
            ip("link", "add", self.bridge, "type", "bridge")
            ip("link", "set", self.bridge, "up")
            for node in range(count):
                self.add(node)
        except Failed:
            self.close()
            raise

    def netns(self, node):
        return f"hb-{self.tag}-{node}"

    def link(self, node):
        return f"vb{self.tag}-{node}"

    def add(self, node):
        space = self.netns(node)
        ip("netns", "add", space)
        ip("link", "add", self.link(node), "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("link", "set", self.link(node), "master", self.bridge, "up")
        ip("-n", space, "addr", "add", f"{self.address(node)}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")
        ip("-n", space, "link", "set", "lo", "up")

    def address(self, node):
        return f"10.213.77.{node + 1}"

    def port(self, _node, usual):
        return usual

    def enter(self, node):
        return ["nsenter", f"--net=/run/netns/{self.netns(node)}", "--"]

    def wire_bytes(self):
        return links_bytes([self.link(node) for node in range(self.count)])

    def close(self):
        for node in range(self.count):
            subprocess.run(["ip", "netns", "del", self.netns(node)], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", self.bridge], capture_output=True, check=False)


def links_bytes(names):
    """Bytes that the nodes behind these links have sent, headers of Ethernet, IP and TCP with them."""
    return sum(int(pathlib.Path(f"/sys/class/net/{name}/statistics/rx_bytes").read_text()) for name in names)


def connect_in(netns, address):
    """A TCP connection from inside a namespace: the thread enters it, makes the socket, and goes back."""
    made = []

    def inside():
        with open(f"/run/netns/{netns}", "rb") as space, contextlib.suppress(OSError):
            if LIBC.setns(space.fileno(), CLONE_NEWNET) == 0:
                made.append(socket.create_connection(address, timeout=60))

    if netns is None:
        return socket.create_connection(address, timeout=60)
    thread = threading.Thread(target=inside)  # a thread of its own: the others stay where they are
    thread.start()
    thread.join()
    if not made:
        raise Failed(f"no connection to {address} in {netns}")
    return made[0]


# --- processes ------------------------------------------------------------------------------------------------

def children(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        found += [int(word) for word in (task / "children").read_text().split()]
    return found


def cpu_s(pid):
    """Seconds of processor a process has used, user and system."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_S


def rss_mib(pid):
    """Resident MiB, and how many of them are the process's own (not pages of files)."""
    found = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("Rss", "Anonymous"):
            found[name] = int(rest.split()[0]) / 1024
    return found["Rss"], found["Anonymous"]
