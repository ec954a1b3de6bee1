#!/usr/bin/env python3
"""Volumes on two machines: a real tree between two network namespaces, and a wire that loses, repeats, reorders, damages and cuts.

    sync.py SYNC_DRIVER DRIVER    the programs made of sync_driver.c and driver.c. Namespaces need root.
"""
import filecmp
import json
import os
import pathlib
import random
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

SYNC, DRIVER = sys.argv[1], sys.argv[2]
WAIT_SECONDS = 120
PREFIX = f"hmp{os.getpid()}"
NEAR, FAR = f"{PREFIX}n", f"{PREFIX}f"
UNAVAILABLE, TIMEOUT, AUTH, CORRUPT = 21, 17, 7, 18


class Skipped(Exception):
    """What this test needs is not here."""


def inside(space, *command):
    return (["ip", "netns", "exec", space] if space else []) + [str(word) for word in command]


class Volume:
    """One folder of a volume."""

    def __init__(self, path, keys, space=None):
        self.path, self.space = path, space
        self.env = dict(os.environ, PACKETFS_KEY_DIR=str(keys), XDG_CACHE_HOME=str(path.parent / "cache"))

    def run(self, program, *words, code=0):
        done = subprocess.run(inside(self.space, program, *words), env=self.env, capture_output=True, text=True,
                              timeout=WAIT_SECONDS, check=False)
        assert done.returncode == code, f"{words} ended with {done.returncode}: {done.stderr}"
        return done

    def put(self, label, tree):
        self.run(DRIVER, "put", self.path, label, "-c", tree)

    def get(self, target):
        self.run(DRIVER, "get", self.path, "latest", target)

    def check(self):
        self.run(DRIVER, "check", self.path, "full")

    def transfer(self, verb, remote, milliseconds=30000):
        return json.loads(self.run(SYNC, verb, self.path, remote, milliseconds).stdout)

    def transfer_fails(self, verb, remote, codes, milliseconds=4000):
        done = subprocess.run(inside(self.space, SYNC, verb, self.path, remote, str(milliseconds)), env=self.env,
                              capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
        assert done.returncode in codes, f"ended with {done.returncode}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout else None, done.stderr


class Server:
    """A volume that is served while this lasts."""

    def __init__(self, volume, address):
        self.process = subprocess.Popen(inside(volume.space, SYNC, "serve", volume.path, address), env=volume.env,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        said = self.process.stdout.readline()
        assert said.startswith("ready "), said
        self.address = said.split()[1]

    def __enter__(self):
        return self.address

    def __exit__(self, *unused):
        self.process.stdin.close()
        try:
            assert self.process.wait(WAIT_SECONDS) == 0
        finally:
            self.process.kill()
            self.process.stdout.close()


def twins(folder, near=None, far=None):
    """A new volume and a second folder for it, as docs/formats-packetfs-wire.md says: volume and keys are copied."""
    keys = folder / "keys"
    keys.mkdir()
    first, second = Volume(folder / "first", keys, near), Volume(folder / "second", keys, far)
    first.run(DRIVER, "create", first.path)
    second.path.mkdir(mode=0o700)
    shutil.copy(first.path / "volume", second.path / "volume")
    shutil.copytree(first.path / "keys", second.path / "keys")
    return first, second


def make_tree(root, rounds=60):
    """Folders, small and large files, links, holes, odd names, modes and times."""
    dice = random.Random(5)
    root.mkdir()
    for i in range(rounds):
        folder = root / f"folder {i % 7}" / f"{i % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file-{i}.txt").write_bytes(dice.randbytes(dice.randrange(9000)))
    (root / "large").write_bytes(dice.randbytes(5_000_000))
    (root / "text").write_text("the same line again and again\n" * 40000)
    with open(root / "holes", "wb") as holes:
        holes.truncate(3_000_000)
        holes.seek(1_500_000)
        holes.write(b"in the middle")
    (root / "link").symlink_to("folder 1/../text")
    os.link(root / "text", root / "folder 2" / "text again")
    (pathlib.Path(os.fsdecode(os.fsencode(root) + b"/na\xffme\n"))).write_bytes(b"")
    (root / "empty").mkdir()
    os.chmod(root / "large", 0o4750)
    os.utime(root / "large", ns=(1, 1_234_567_890_123_456_789))


def describe(root):
    """Every name below with all that a restore must bring back."""
    found = {}
    for path in sorted(root.rglob("*")):
        about = path.lstat()
        name = os.fsencode(path.relative_to(root))
        times = about.st_mtime_ns
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[name] = (about.st_mode, about.st_uid, about.st_gid, times, content,
                       about.st_nlink if path.is_file() else 0)
    return found


def assert_same(tree, restored):
    assert describe(tree) == describe(restored)


# --- between namespaces ---------------------------------------------------------------------------------------------

def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=30)


class Namespaces:
    """Two of them and a pair of interfaces between; removed again whatever happens."""

    def __enter__(self):
        if os.geteuid() != 0:
            raise Skipped("needs root")
        try:
            ip("netns", "add", FAR)
            ip("netns", "add", NEAR)
            ip("link", "add", "far", "netns", FAR, "type", "veth", "peer", "name", "near", "netns", NEAR)
            for space, device, address in ((FAR, "far", "fd00:6::1/64"), (NEAR, "near", "fd00:6::2/64")):
                ip("-n", space, "link", "set", "lo", "up")
                ip("-n", space, "addr", "add", address, "dev", device, "nodad")
                ip("-n", space, "link", "set", device, "up")
        except (OSError, subprocess.SubprocessError) as reason:
            self.__exit__()
            raise Skipped(f"no network namespaces here: {getattr(reason, 'stderr', reason)}") from reason
        return self

    def __exit__(self, *unused):
        for space in (FAR, NEAR):
            subprocess.run(["ip", "netns", "del", space], capture_output=True, timeout=30, check=False)


def a_real_tree_between_namespaces(folder):
    with Namespaces():
        here, there = twins(folder, NEAR, FAR)
        tree = folder / "tree"
        make_tree(tree)
        here.put("tree", tree)
        with Server(there, "[fd00:6::1]:4478") as address:
            first = here.transfer("push", address)
            assert first["snapshots"] == 1 and first["patterns"] > 20, first
            with open(tree / "large", "r+b") as large:
                large.seek(2_500_000)
                large.write(b"!")
            here.put("tree", tree)
            second = here.transfer("push", address)
            assert second["snapshots"] == 1 and second["patterns"] == 1, second
            assert second["wire"] < 58_000, second
            print(f"  first {first['wire']} bytes on the wire, after one byte changed {second['wire']}")
        there.get(folder / "restored")
        assert_same(tree, folder / "restored")
        there.check()


# --- over a bad wire --------------------------------------------------------------------------------------------------

class BadWire(threading.Thread):
    """Three UDP ports of 127.0.0.1 that lead to the same ports of 127.0.0.2, badly."""

    def __init__(self, port, lose=0.03, repeat=0.02, reorder=0.05, damage=0.02, cut_after=None):
        super().__init__(daemon=True)
        self.dice = random.Random(7)
        self.chances = (lose, repeat, reorder, damage)
        self.cut_after, self.passed, self.going = cut_after, 0, True
        self.held = []
        self.doors = {}
        for number in range(3):
            door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            door.bind(("127.0.0.1", port + number))
            self.doors[door] = port + number
        self.ways = {}  # (door, client) -> socket to the server
        self.back = {}  # socket to the server -> (door, client)

    def run(self):
        while self.going:
            ready, _, _ = select.select([*self.doors, *self.back], [], [], 0.02)
            for come in ready:
                self.forward(come)
            if not ready:
                self.flush()
        for each in [*self.doors, *self.back]:
            each.close()

    def forward(self, come):
        try:
            data, sender = come.recvfrom(65535)
        except OSError:
            return
        if come in self.doors:
            if (come, sender) not in self.ways:
                way = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                way.connect(("127.0.0.2", self.doors[come]))
                self.ways[come, sender] = way
                self.back[way] = (come, sender)
            self.pass_on(data, self.ways[come, sender].send)
        else:
            door, client = self.back[come]
            self.pass_on(data, lambda bytes_, door=door, client=client: door.sendto(bytes_, client))

    def pass_on(self, data, send):
        lose, repeat, reorder, damage = self.chances
        self.passed += len(data)
        if self.cut_after is not None and self.passed > self.cut_after or self.dice.random() < lose:
            return
        if self.dice.random() < damage:
            at = self.dice.randrange(len(data))
            data = data[:at] + bytes([data[at] ^ 1 << self.dice.randrange(8)]) + data[at + 1:]
        if self.dice.random() < reorder:
            self.held.append((data, send))
            return
        self.put_out(data, send)
        if self.dice.random() < repeat:
            self.put_out(data, send)
        if len(self.held) > 3:
            self.flush()

    def put_out(self, data, send):
        try:
            send(data)
        except OSError:
            pass

    def flush(self):
        for data, send in self.held:
            self.put_out(data, send)
        self.held = []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *unused):
        self.going = False
        self.join()


def free_port():
    """Three in a row that are free on both addresses, as far as one can know."""
    for port in range(20000 + os.getpid() % 20000, 60000, 3):
        try:
            for number in range(3):
                for address in ("127.0.0.1", "127.0.0.2"):
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
                        door.bind((address, port + number))
            return port
        except OSError:
            continue
    raise Skipped("no free ports")


def over_a_bad_wire(verb):
    def run(folder):
        here, there = twins(folder)
        tree, port = folder / "tree", free_port()
        make_tree(tree)
        (here if verb == "push" else there).put("tree", tree)
        with Server(there, f"127.0.0.2:{port}"), BadWire(port):
            result = here.transfer(verb, f"127.0.0.1:{port}")
            assert result["snapshots"] == 1, result
        (there if verb == "push" else here).get(folder / "restored")
        assert_same(tree, folder / "restored")
    return run


def a_cut_wire(verb):
    def run(folder):
        here, there = twins(folder)
        tree, port = folder / "tree", free_port()
        make_tree(tree)
        source, sink = (here, there) if verb == "push" else (there, here)
        source.put("tree", tree)
        with Server(there, f"127.0.0.2:{port}"):
            with BadWire(port, 0, 0, 0, 0, cut_after=3_000_000):
                here.transfer_fails(verb, f"127.0.0.1:{port}", (UNAVAILABLE, TIMEOUT))
        assert sink.run(DRIVER, "log", sink.path).stdout == ""
        with Server(there, f"127.0.0.2:{port}") as address:
            result = here.transfer(verb, address)
            assert result["snapshots"] == 1, result
        whole = result["wire"]
        assert whole < 4_500_000, f"nothing of the first try was used: {whole} bytes more"
        sink.get(folder / "restored")
        assert_same(tree, folder / "restored")
    return run


def killed_in_the_middle(folder):
    """kill -9 of the sink, several times; what it flushed is used, and its volume is never damaged."""
    here, there = twins(folder)
    tree = folder / "tree"
    make_tree(tree)
    here.put("tree", tree)
    for delay in (0.05, 0.1, 0.2, 0.3):
        server = Server(there, "127.0.0.2:0")
        push = subprocess.Popen([SYNC, "push", here.path, server.address, "2000"], env=here.env,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        server.process.kill()
        server.process.wait()
        server.process.stdin.close()
        server.process.stdout.close()
        push.wait(WAIT_SECONDS)
    with Server(there, "127.0.0.2:0") as address:
        here.transfer("push", address)
    there.get(folder / "restored")
    assert_same(tree, folder / "restored")
    there.check()


def another_volume(folder):
    """Who has another volume's key learns nothing and brings nothing."""
    here, there = twins(folder)
    stranger = Volume(folder / "stranger", folder / "keys")
    stranger.run(DRIVER, "create", stranger.path)
    tree = folder / "tree"
    make_tree(tree, 3)
    stranger.put("tree", tree)
    with Server(there, "127.0.0.2:0") as address:
        for verb in ("push", "pull"):
            _, said = stranger.transfer_fails(verb, address, (AUTH,))
            assert "key" in said, said
        assert here.transfer("pull", address)["snapshots"] == 0


def both_ways_at_once(folder):
    """Two callers and a server, all of one volume: everybody ends with everything."""
    here, there = twins(folder)
    third = Volume(folder / "third", folder / "keys")
    third.path.mkdir(mode=0o700)
    shutil.copy(here.path / "volume", third.path / "volume")
    shutil.copytree(here.path / "keys", third.path / "keys")
    trees = {}
    for volume, name in ((here, "one"), (there, "two"), (third, "three")):
        trees[name] = folder / name
        make_tree(trees[name], 20)
        (trees[name] / "mine").write_text(name)
        volume.put(name, trees[name])
    with Server(there, "127.0.0.2:0") as address:
        threads = [threading.Thread(target=volume.transfer, args=("sync", address)) for volume in (here, third)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for volume in (here, third):
            volume.transfer("sync", address)
    for volume in (here, there, third):
        assert volume.run(DRIVER, "log", volume.path).stdout.count("\n") == 3
        for name, tree in trees.items():
            target = folder / f"{volume.path.name}-{name}"
            volume.run(DRIVER, "get", volume.path, name, target)
            assert filecmp.cmp(tree / "mine", target / "mine", shallow=False)
        volume.check()


CASES = [a_real_tree_between_namespaces, over_a_bad_wire("push"), over_a_bad_wire("pull"), a_cut_wire("push"),
         a_cut_wire("pull"), killed_in_the_middle, another_volume, both_ways_at_once]
NAMES = ["a real tree between namespaces", "push over a bad wire", "pull over a bad wire", "push over a wire that is cut",
         "pull over a wire that is cut", "killed in the middle", "another volume", "both ways at once"]


def main():
    failed = skipped = 0
    for name, case in zip(NAMES, CASES):
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="packetfs-sync-") as folder:
            try:
                case(pathlib.Path(folder))
                verdict = "ok"
            except Skipped as reason:
                skipped += 1
                verdict = f"skipped: {reason}"
            except (AssertionError, OSError, subprocess.SubprocessError) as reason:
                failed += 1
                verdict = f"FAILED: {reason}"
        print(f"{name}: {verdict} ({time.monotonic() - began:.1f} s)", flush=True)
    sys.exit(1 if failed else 77 if skipped == len(CASES) else 0)


main()
