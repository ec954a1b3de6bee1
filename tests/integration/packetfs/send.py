#!/usr/bin/env python3
"""packetfs send and receive: one person hands a tree to another, by code and by identity; what is refused, what is never written, and what
goes on after a cut."""
import contextlib
import json
import os
import pathlib
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "node"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from daemon import run_cases  # noqa: E402
import trees  # noqa: E402

PACKETFS = os.path.join(os.environ.get("HM_BIN", "build/gcc"), "packetfs")
OK, FAILED, USAGE, UNREACHABLE, NOT_FOUND, REFUSED, DAMAGED, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 7, 130
SECONDS = 60
DOORS = 4  # handover, references, patterns, many patterns
work = pathlib.Path(tempfile.mkdtemp(prefix="hm-test-send-"))
places = 0


class Person:
    """Somebody with a machine, a cache and keys of his own."""

    def __init__(self, name):
        self.base = work / name
        self.base.mkdir()
        self.env = dict(os.environ, PACKETFS_KEY_DIR=str(self.base / "keys"), XDG_CACHE_HOME=str(self.base / "cache"), USER=name)

    def __call__(self, *words, expect=OK, given=b""):
        done = subprocess.run([PACKETFS, *map(str, words)], env=self.env, input=given, capture_output=True, timeout=SECONDS)
        assert done.returncode == expect, (words, done.returncode, done.stdout.decode(), done.stderr.decode())
        return done

    def start(self, *words):
        return subprocess.Popen([PACKETFS, *map(str, words)], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def left(self, what):
        """What is kept of handovers that did not end."""
        folder = self.base / "cache" / "packetfs" / what
        return sorted(folder.iterdir()) if folder.exists() else []


class Offer:
    """packetfs send, running; .target is CODE@HOST:PORT."""

    def __init__(self, person, *words, listen="127.0.0.1:0"):
        self.process = person.start("send", *words, "--listen", listen, "-o", "json")
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read().decode()
        said = json.loads(line)
        self.code, self.address = said.get("code"), said["address"]
        assert said["reached_at"] == self.address, said

    @property
    def target(self):
        return f"{self.code}@{self.address}" if self.code else self.address

    def end(self, expect=OK):
        out, errors = self.process.communicate(timeout=SECONDS)
        assert self.process.returncode == expect, (self.process.returncode, out.decode(), errors.decode())
        said, text = [], out.decode().strip()
        while text:
            one, at = json.JSONDecoder().raw_decode(text)
            said.append(one)
            text = text[at:].strip()
        return said, errors.decode()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def place():
    global places
    places += 1
    path = work / f"place-{places}"
    path.mkdir()
    return path


def random_file(path, size, seed=1):
    path.write_bytes(random.Random(seed).randbytes(size))
    return path


def free_ports():
    """The first of DOORS ports that are free here and there."""
    for port in random.Random(os.getpid()).sample(range(20000, 30000), 50):
        with contextlib.ExitStack() as stack:
            try:
                for host in ("127.0.0.1", "127.0.0.2"):
                    for number in range(DOORS):
                        stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind((host, port + number))
                return port
            except OSError:
                continue
    raise AssertionError("no free ports")


class Relay(threading.Thread):
    """UDP from 127.0.0.1 to the same ports of 127.0.0.2; told when so many bytes have passed."""

    def __init__(self, port, at_bytes, then):
        super().__init__(daemon=True)
        self.at_bytes, self.then, self.passed, self.going = at_bytes, then, 0, True
        self.doors, self.ways, self.back = {}, {}, {}
        for number in range(DOORS):
            door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            door.bind(("127.0.0.1", port + number))
            door.setblocking(False)
            self.doors[door] = port + number

    def run(self):
        while self.going:
            ready, _, _ = select.select([*self.doors, *self.back], [], [], 0.02)
            for come in ready:
                with contextlib.suppress(OSError):
                    self.forward(come)
        for each in [*self.doors, *self.back]:
            each.close()

    def forward(self, come):
        data, sender = come.recvfrom(65535)
        self.passed += len(data)
        if come in self.doors:
            if (come, sender) not in self.ways:
                way = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                way.connect(("127.0.0.2", self.doors[come]))
                way.setblocking(False)  # what select saw may be an error that a send took away
                self.ways[come, sender] = way
                self.back[way] = (come, sender)
            self.ways[come, sender].send(data)
        else:
            door, client = self.back[come]
            door.sendto(data, client)
        if self.then is not None and self.passed > self.at_bytes:
            then, self.then = self.then, None
            then()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *unused):
        self.going = False
        self.join(10)


# --- what arrives ------------------------------------------------------------------------------------------------------

def a_tree_arrives_identical():
    folder = place()
    tree = folder / "tree"
    trees.everything(os.fsencode(tree), 300)
    (folder / "alone").write_text("a file beside it")
    with Offer(ada, tree, folder / "alone") as offer:
        assert re.fullmatch(r"[1-9]\d{3}-[a-z]{4,8}-[a-z]{4,8}", offer.code), offer.code
        told = json.loads(bob("receive", offer.target, "--into", folder / "into", "-o", "json").stdout)
        said, _ = offer.end()
    as_a_stranger_has_it(tree)
    found = trees.differences(tree, folder / "into" / "tree")
    assert not found, "\n".join(found)
    assert (folder / "into" / "alone").read_text() == "a file beside it"
    assert told["files"] == said[-1]["files"] > 300 and told["findings"] == [] and said[-1]["wrong_guesses"] == 0, (told, said)
    assert any("takes it" in line.get("event", "") for line in said), said
    assert ada.left("send") == [] and bob.left("receive") == []  # nothing of it stays behind
    subprocess.run(["chmod", "-R", "u+rwx", str(tree), str(folder / "into")], check=False)


def as_a_stranger_has_it(tree):
    """What a sender cannot give: owners, set-user-id, and what root alone sets."""
    subprocess.run(["chmod", "u-s,g-s", tree / "large"], check=True)
    if trees.ROOT:
        subprocess.run(["chown", "-hR", "0:0", tree], check=True)
        for name in ("zz", ".hidden"):
            for attribute in os.listxattr(tree / name):
                if attribute.startswith(("trusted.", "security.")):
                    os.removexattr(tree / name, attribute)


def what_people_read():
    folder = place()
    file = random_file(folder / "f", 1000)
    process = ada.start("send", file, "--listen", "127.0.0.1:0")
    assert re.fullmatch(rb"code  \d{4}-\w+-\w+\n", process.stdout.readline())
    assert b"other person types" in process.stdout.readline()
    command = re.fullmatch(r" +packetfs receive (\S+) --into DIR\n", process.stdout.readline().decode())
    code, address = command[1].split("@")
    got = bob("receive", address, "--into", folder / "into", given=code.upper().replace("-", " ").encode() + b"\n")  # as typed when asked
    out, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == OK and b"handed over: 1 files" in out and b"takes it" in errors, (out, errors)
    assert b"offered: 1 files" in got.stderr and b"1 files and" in got.stdout
    assert (folder / "into" / "f").read_bytes() == file.read_bytes()


def at_every_address():
    """Without --listen: by IPv4 and IPv6, at the port that is told."""
    folder = place()
    file = random_file(folder / "f", 1000)
    for host in ("127.0.0.1", "[::1]"):
        process = ada.start("send", file, "-o", "json")
        said = json.loads(process.stdout.readline())
        port = re.fullmatch(r"\[::\]:(\d+)", said["address"])[1]
        assert all(each.endswith(f":{port}") and "127.0.0.1" not in each for each in said["reached_at"].split()), said
        bob("receive", f"{said['code']}@{host}:{port}", "--into", folder / host)
        process.communicate(timeout=SECONDS)
        assert process.returncode == OK and (folder / host / "f").read_bytes() == file.read_bytes()


def to_one_identity():
    folder = place()
    file = random_file(folder / "f", 300_000)
    with Offer(ada, file, "--to", public(bob)) as offer:
        assert offer.code is None
        refused = eve("receive", "--from", public(ada), offer.address, "--into", folder / "eve", expect=REFUSED)
        assert b"meant for somebody else" in refused.stderr and b"pfi1" not in refused.stderr, refused.stderr
        refused = bob("receive", "--from", public(eve), offer.address, "--into", folder / "eve", expect=REFUSED)
        refused = bob("receive", f"4821-harbor-violin@{offer.address}", "--into", folder / "eve", expect=REFUSED)
        assert b"meant for somebody else" in refused.stderr  # as every other
        assert not (folder / "eve").exists() and offer.process.poll() is None
        bob("receive", "--from", public(ada), offer.address, "--into", folder / "into")
        said, _ = offer.end()
    assert (folder / "into" / "f").read_bytes() == file.read_bytes()
    assert len([line for line in said if "meant for pfi1" in line.get("event", "")]) == 1, said


# --- what is refused -----------------------------------------------------------------------------------------------------

def three_wrong_codes_end_it():
    folder = place()
    file = random_file(folder / "f", 1000)
    with Offer(ada, file) as offer:
        wrong = ("1111" if offer.code[:4] != "1111" else "2222") + offer.code[4:]
        slip = bob("receive", f"{offer.code}x@{offer.address}", "--into", folder / "into", expect=USAGE)
        assert f"was it {offer.code.split('-')[2]}?" in slip.stderr.decode()  # seen here, and no guess spent
        for i in range(3):
            said = bob("receive", f"{wrong}@{offer.address}", "--into", folder / "into", expect=REFUSED)
            assert f"guess {i + 1} of 3".encode() in said.stderr, said.stderr
        told, errors = offer.end(REFUSED)
        assert "3 wrong codes" in errors, errors
    assert not (folder / "into").exists() and ada.left("send") == [] and bob.left("receive") == []


def nothing_is_overwritten():
    folder = place()
    tree = folder / "tree"
    tree.mkdir()
    random_file(tree / "mine", 200_000, 1)
    (tree / "other").write_text("new")
    into = folder / "into"
    (into / "tree").mkdir(parents=True)
    (into / "tree" / "mine").write_text("precious")
    (into / "tree").chmod(0o750)
    os.utime(into / "tree", (1000, 1000))
    with Offer(ada, tree) as offer:
        said = bob("receive", offer.target, "--into", into, expect=INCOMPLETE)
        assert b"--force" in said.stderr and b"mine" in said.stderr
        assert (into / "tree" / "mine").read_text() == "precious"
        assert (into / "tree").stat().st_mode & 0o7777 == 0o750 != tree.stat().st_mode & 0o7777  # and no folder is changed
        assert (into / "tree" / "other").read_text() == "new"
        assert len(bob.left("receive")) == 1
        again = json.loads(bob("receive", offer.target, "--into", into, "--force", "-o", "json").stdout)  # the sender still waits
        assert again["bytes_received"] < 50_000, again  # it was here already
        offer.end()
    assert (into / "tree" / "mine").read_bytes() == (tree / "mine").read_bytes()
    assert bob.left("receive") == []


def nothing_leaves_the_folder():
    """First a link that leads out, then, under the same name, a folder with something in it; --force, too."""
    folder = place()
    outside, first, second, into = (folder / name for name in ("outside", "first", "second", "into"))
    for each in (outside, first / "x", second / "x" / "door"):
        each.mkdir(parents=True)
    (first / "x" / "door").symlink_to(outside)
    (first / "x" / "file").symlink_to(outside / "file")
    (second / "x" / "door" / "planted").write_text("planted")
    (second / "x" / "file").write_text("planted")
    with Offer(ada, first / "x") as offer:
        bob("receive", offer.target, "--into", into)
    assert os.readlink(into / "x" / "door") == str(outside)
    for force in ([], ["--force"]):
        with Offer(ada, second / "x") as offer:
            subprocess.run([PACKETFS, "receive", offer.target, "--into", str(into), *force], env=bob.env, capture_output=True,
                           timeout=SECONDS)
        assert list(outside.iterdir()) == [], force
        shutil.rmtree(bob.base / "cache", ignore_errors=True)
    shutil.rmtree(ada.base / "cache", ignore_errors=True)


def what_makes_no_sense():
    folder = place()
    file = random_file(folder / "f", 10)
    alone = bob("receive", "4821-harbor-violin", "--into", folder / "into", expect=USAGE)
    assert b"CODE@HOST:PORT" in alone.stderr
    bob("receive", "4821-harbor-violin@127.0.0.1:1", expect=USAGE)  # --into is missing
    bob("receive", "4821-harbor-violin@", "--into", folder / "into", expect=USAGE)
    bob("receive", "127.0.0.1:1", "--into", folder / "into", expect=USAGE)  # no code anywhere
    bob("receive", "4821-harbor-violin@127.0.0.1:1", "--from", public(ada), "--into", folder / "into", expect=USAGE)
    ada("send", expect=USAGE)
    ada("send", folder / "none", expect=NOT_FOUND)
    ada("send", file, "--identity", "x", expect=USAGE)
    ada("send", file, "--listen", "nowhere", expect=USAGE)
    other = folder / "other"
    other.mkdir()
    (other / "lock").touch()  # as many a program has one
    (other / "volume").write_text("somebody's")
    ada("send", file, "--state", other, "--listen", "127.0.0.1:0", expect=REFUSED)  # it is not ours to use
    assert (other / "volume").read_text() == "somebody's"
    assert not (folder / "into").exists()


def nobody_comes():
    folder = place()
    file = random_file(folder / "f", 10)
    began = time.monotonic()
    with Offer(ada, file, "--timeout", 1) as offer:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:  # nobody, but loud
            host, port = offer.address.rsplit(":", 1)
            dice = random.Random(3)
            for i in range(300):
                noise.sendto(dice.randbytes(dice.randrange(1, 1400)), (host, int(port)))
        _, errors = offer.end(UNREACHABLE)
    assert "nobody took it" in errors and time.monotonic() - began < 20
    assert ada.left("send") == []
    bob("receive", "4821-harbor-violin@" + offer.address, "--into", folder / "into", "--timeout", 1, expect=UNREACHABLE)


def more_than_is_wanted():
    folder = place()
    file = random_file(folder / "f", 100_000)
    with Offer(ada, file) as offer:
        said = bob("receive", offer.target, "--into", folder / "into", "--limit", "50K", expect=FAILED)
        assert b"--limit" in said.stderr and not (folder / "into").exists()
        bob("receive", offer.target, "--into", folder / "into", "--limit", "1M")
        offer.end()


# --- what goes on ---------------------------------------------------------------------------------------------------------

def a_receiver_comes_again():
    """Interrupted midway with Ctrl-C; the sender waits on, the same command goes on where it was."""
    folder = place()
    file = random_file(folder / "f", 12_000_000)
    port = free_ports()
    with Offer(ada, file, listen=f"127.0.0.2:{port}") as offer, Relay(port, 6_000_000, lambda: taker.send_signal(signal.SIGINT)):
        target = f"{offer.code}@127.0.0.1:{port}"
        taker = bob.start("receive", target, "--into", folder / "into")
        _, errors = taker.communicate(timeout=SECONDS)
        assert taker.returncode == INTERRUPTED, (taker.returncode, errors)
        assert not (folder / "into" / "f").exists() and len(bob.left("receive")) == 1
        again = json.loads(bob("receive", target, "--into", folder / "into", "-o", "json").stdout)
        offer.end()
    assert (folder / "into" / "f").read_bytes() == file.read_bytes()
    assert again["bytes_received"] < 10_000_000, again
    assert bob.left("receive") == [] and ada.left("send") == []


def a_sender_is_killed_midway():
    """Both give the same command again, with the same code."""
    folder = place()
    file = random_file(folder / "f", 12_000_000)
    port = free_ports()
    with Offer(ada, file, listen=f"127.0.0.2:{port}") as offer, Relay(port, 6_000_000, lambda: offer.process.kill()):
        said = bob("receive", f"{offer.code}@127.0.0.1:{port}", "--into", folder / "into", "--timeout", 2, expect=UNREACHABLE)
        assert b"try again" in said.stderr or b"silent" in said.stderr, said.stderr
    assert len(ada.left("send")) == 1 and len(bob.left("receive")) == 1
    code = offer.code
    with Offer(ada, file) as offer:
        assert offer.code == code
        again = json.loads(bob("receive", offer.target, "--into", folder / "into", "-o", "json").stdout)
        offer.end()
    assert (folder / "into" / "f").read_bytes() == file.read_bytes()
    assert again["bytes_received"] < 10_000_000, again
    assert bob.left("receive") == [] and ada.left("send") == []


def states_of_the_user():
    """Folders named with --state are used, and given back as they were."""
    folder = place()
    file = random_file(folder / "f", 1000)
    with Offer(ada, file, "--state", folder / "s") as offer:
        assert (folder / "s" / "volume" / "volume").exists()
        assert (folder / "s" / "key").stat().st_mode & 0o777 == 0o600
        ada("send", file, "--state", folder / "s", "--listen", "127.0.0.1:0", expect=REFUSED)  # in use
        bob("receive", offer.target, "--into", folder / "into", "--state", folder / "r")
        offer.end()
    assert not (folder / "s").exists() and not (folder / "r").exists()
    assert ada.left("send") == []


def volume_of(state):
    """Its number, and how many snapshots it has."""
    shown = ada("log", "--volume", state / "volume", "--key-file", state / "key", "-o", "json").stdout
    return (state / "volume" / "volume").read_bytes(), len(json.loads(shown))


def killed(*words):
    with Offer(ada, *words) as offer:
        offer.process.kill()
    return offer


def another_offer_is_another_volume():
    """Who may have the one opens nothing of the next; what was begun for him goes on."""
    folder = place()
    file, other, state = random_file(folder / "f", 1000), random_file(folder / "g", 1000), folder / "s"
    seen = set()
    for words in ([file], [other], [file, "--to", public(bob)], [file, "--to", public(eve)], [file]):
        killed(*words, "--state", state)
        number, snapshots = volume_of(state)
        assert number not in seen and snapshots == 1
        seen.add(number)
        file.write_text(str(len(seen)))
        killed(*words, "--state", state)
        assert volume_of(state) == (number, 1)  # the same offer; what the file was before is not in it
    assert (state / "code").stat().st_mode & 0o777 == 0o600
    for words in ([file], [file, "--to", public(bob)], [file, "--to", public(eve)]):
        killed(*words)
    assert len(ada.left("send")) == 3
    shutil.rmtree(ada.base / "cache" / "packetfs" / "send")


def a_wrong_code_ends_what_goes_on():
    """After one, the next offer has another code and another volume."""
    folder = place()
    file, state = random_file(folder / "f", 1000), folder / "s"
    with Offer(ada, file, "--state", state) as offer:
        wrong = ("1111" if offer.code[:4] != "1111" else "2222") + offer.code[4:]
        bob("receive", f"{wrong}@{offer.address}", "--into", folder / "into", expect=REFUSED)
        offer.process.kill()
    number, _ = volume_of(state)
    assert killed(file, "--state", state).code != offer.code
    assert volume_of(state)[0] != number


def what_nobody_came_back_to_is_removed():
    folder = place()
    file = random_file(folder / "f", 10)
    kept = ada.base / "cache" / "packetfs" / "send"
    for name, days in (("old", 8), ("young", 6)):
        (kept / name / "volume").mkdir(parents=True)
        (kept / name / "lock").touch()
        os.utime(kept / name / "lock", (time.time() - days * 86400,) * 2)
    with Offer(ada, file):
        assert not (kept / "old").exists() and (kept / "young" / "volume").exists()
    shutil.rmtree(kept)


def two_offers_of_one_file():
    folder = place()
    file = random_file(folder / "f", 1000)
    with Offer(ada, file) as one, Offer(ada, file) as two:
        assert one.code != two.code
        bob("receive", f"{one.code}@{two.address}", "--into", folder / "x", expect=REFUSED)
        bob("receive", two.target, "--into", folder / "two")
        bob("receive", one.target, "--into", folder / "one")
        one.end()
        two.end()
    assert ada.left("send") == []


def public(person):
    return person.base / "keys" / "identity.pub"


try:
    ada, bob, eve = (Person(name) for name in ("ada", "bob", "eve"))
    for somebody in (ada, bob, eve):
        somebody("identity", "create")
    run_cases([a_tree_arrives_identical, what_people_read, at_every_address, to_one_identity, three_wrong_codes_end_it,
               nothing_is_overwritten, nothing_leaves_the_folder, what_makes_no_sense, nobody_comes, more_than_is_wanted, a_receiver_comes_again,
               a_sender_is_killed_midway, states_of_the_user, another_offer_is_another_volume, a_wrong_code_ends_what_goes_on, what_nobody_came_back_to_is_removed, two_offers_of_one_file])
finally:
    shutil.rmtree(work, ignore_errors=True)
