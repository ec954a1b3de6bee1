#!/usr/bin/env python3
"""What is put is got back identical: every kind of file, every name, and trees and changes by dice. Argument: the driver."""
import json
import os
import pathlib
import random
import subprocess
import sys
import threading
import time

import trees
from trees import DRIVER, ROOT, World
from daemon import run_cases  # noqa: E402

BRIEF = "HYPERMESH_BRIEF" in os.environ  # under a sanitizer: the same cases, less of each
SEEDS = int(os.environ.get("PACKETFS_SEEDS", "2" if BRIEF else "6"))


class Skip(Exception):
    """Why a case cannot run here."""


def put(world, *args, expect=0):
    out, errors = world.call("put", world.volume, *args, expect=expect)
    return json.loads(out), errors.decode(errors="replace")


def get(world, target, *args, snapshot="latest", expect=0):
    out, errors = world.call("get", world.volume, snapshot, target, *args, expect=expect)
    return json.loads(out), errors.decode(errors="replace")


def same(a, b, **options):
    found = trees.differences(a, b, **options)
    assert not found, "; ".join(found)


def everything_comes_back_identical():
    world = World()
    tree = os.fsencode(world.dir) + b"/tree"
    trees.everything(tree)
    for threads in ("1", "4"):
        first, errors = put(world, "tree", "-c", "-j", threads, "-a", tree)
        assert first["failed"] == 0, errors
        target = world.dir / f"out{threads}"
        result, errors = get(world, target, "-j", threads)
        assert result["failed"] == 0, errors
        same(tree, os.fsencode(target))
    again, errors = get(world, world.dir / "out4")
    assert again["failed"] == 0 and again["files"] == 0 and again["bytes"] == 0, f"{again} {errors}"
    sizes = json.loads(world.call("sizes", world.volume, "latest")[0])
    assert sizes["bytes"] > 9_000_000
    world.remove()


def a_second_put_reads_nothing_and_stores_nothing():
    world = World()
    tree = os.fsencode(world.dir) + b"/tree"
    trees.everything(tree)
    time.sleep(0.2)  # what changed a moment ago is read again
    first, _ = put(world, "tree", "-c", tree)
    second, errors = put(world, "tree", "-c", tree)
    assert second["root"] == first["root"], errors
    assert second["new"] == 0 and second["stored"] <= 4096, second
    regular = first["files"]
    # One file in 512 is read all the same.
    assert second["unchanged"] >= regular * 0.97 - 20, second
    assert second["read"] <= first["read"] // 2, f"{second['read']} of {first['read']} bytes read"
    with open(os.path.join(tree, b"zz"), "r+b") as f:
        f.write(b"changed")
    third, _ = put(world, "tree", "-c", tree)
    assert third["root"] != first["root"] and third["new"] > 0
    get(world, world.dir / "out")
    same(tree, os.fsencode(world.dir / "out"))
    world.remove()


def a_hundred_thousand_small_files_come_back():
    folders = 10 if BRIEF else 100
    world = World()
    tree = os.fsencode(world.dir) + b"/tree"
    os.mkdir(tree)
    for i in range(folders):
        os.mkdir(tree + b"/%d" % i)
        for j in range(1000):
            fd = os.open(tree + b"/%d/%d" % (i, j), os.O_WRONLY | os.O_CREAT, 0o644)
            os.write(fd, b"%d %d\n" % (i, j) * (j % 9))
            os.close(fd)
    first, errors = put(world, "tree", "-c", tree)
    assert first["files"] == folders * 1000 and first["failed"] == 0, errors
    get(world, world.dir / "out")
    same(tree, os.fsencode(world.dir / "out"))
    world.remove()


def trees_and_changes_by_dice_come_back():
    for seed in range(SEEDS):
        dice = random.Random(seed)
        world = World()
        tree = os.fsencode(world.dir) + b"/tree"
        os.mkdir(tree)
        kept = []
        for version in range(4):
            if version == 0:
                trees.grow(dice, tree, 40)
            else:
                trees.edit(dice, tree, 12)
            result, errors = put(world, f"v{version}", "-c", "-j", str(dice.choice([1, 2, 5])), tree)
            assert result["failed"] == 0, f"seed {seed}: {errors}"
            copy = os.fsencode(world.dir) + b"/copy%d" % version
            subprocess.run([b"cp", b"-a", tree, copy], check=True)
            kept.append(copy)
        for version, copy in enumerate(kept):
            target = world.dir / f"out{version}"
            get(world, target, "-j", str(dice.choice([1, 3])), snapshot=f"v{version}")
            found = trees.differences(copy, os.fsencode(target), sparse=False)
            assert not found, f"seed {seed}, version {version}: " + "; ".join(found)
            # From one version to the next in place, with what is there overwritten.
            get(world, world.dir / "moving", "-f", snapshot=f"v{version}")
            for path in trees.files_of(copy):
                moved = path.replace(copy, os.fsencode(world.dir / "moving"), 1)
                assert os.path.islink(path) or not os.path.isfile(path) or \
                    trees.file_difference(path, moved, os.path.getsize(path), False) is None, f"seed {seed}: {path!r}"
        world.call("check", world.volume, "full")
        world.remove()


def guessed_cuts_are_those_that_a_search_finds():
    """Where a file was cut last time is tried first; who has no such memory must cut it alike."""
    world = World()
    dice = random.Random(9)
    tree = world.dir / "tree"
    tree.mkdir()
    path = tree / "file"
    data = bytearray(dice.randbytes(12_000_000))
    for version in range(16):
        at = dice.randrange(len(data))
        what = version % 8
        if what == 1:
            data[at] ^= 1
        elif what == 2:
            data[at:at] = dice.randbytes(dice.randrange(1, 300_000))
        elif what == 3:
            del data[at:at + dice.randrange(1, 300_000)]
        elif what == 4:
            data = data[at:] + data[:at]
        elif what == 5:
            data += dice.randbytes(dice.randrange(1, 2_000_000))
        elif what == 6:
            del data[-dice.randrange(1, 1_000_000):]
        elif what == 7:
            data[at:at + 600_000] = bytes(600_000)
        path.write_bytes(data)
        if version > 8:  # holes where there were none
            with open(path, "r+b") as f:
                f.seek(4096 * 200)
                f.truncate(4096 * 200 + 1)
                f.truncate(len(data))
                f.seek(4096 * 300)
                f.write(data[4096 * 300:])
        time.sleep(0.08)
        remembered, _ = put(world, "x", "-c", "-j", str(1 + version % 3), tree)
        kept = world.env["XDG_CACHE_HOME"]
        world.env["XDG_CACHE_HOME"] = str(world.dir / f"cache{version}")
        searched, _ = put(world, "x", "-c", tree)
        world.env["XDG_CACHE_HOME"] = kept
        assert remembered["root"] == searched["root"], f"version {version} was cut differently"
        assert searched["new"] == 0, searched
        if what == 1:
            assert remembered["new"] < 1_000_000, remembered
    world.remove()


def unreadable_files_are_named_and_the_rest_is_put():
    if not ROOT:
        user = {}
    else:
        user = {"user": 65534, "group": 65534, "extra_groups": []}
    world = World()
    tree = os.fsencode(world.dir) + b"/tree"
    os.mkdir(tree)
    os.mkdir(tree + b"/closed")
    for name, mode in ((b"open", 0o644), (b"secret", 0o000), (b"closed/inner", 0o644)):
        with open(tree + b"/" + name, "wb") as f:
            f.write(name)
        os.chmod(tree + b"/" + name, mode)
    os.chmod(tree + b"/closed", 0o000)
    if ROOT:
        subprocess.run(["chown", "-R", "65534:65534", str(world.dir)], check=True)
    # The driver may lie where only root can go.
    driver = world.dir / "driver"
    driver.write_bytes(DRIVER.read_bytes())
    driver.chmod(0o755)
    done = subprocess.run([driver, "put", world.volume, "x", "-c", tree], env=world.env, capture_output=True, check=False,
                          **user)
    result = json.loads(done.stdout)
    assert done.returncode == 3, done
    assert result["failed"] == 2 and result["files"] == 1, result
    assert b"secret" in done.stderr and b"closed" in done.stderr, done.stderr
    target = world.dir / "out"
    done = subprocess.run([driver, "get", world.volume, "latest", target], env=world.env, capture_output=True, check=False,
                          **user)
    assert done.returncode == 0 and os.listdir(target) == ["open"], done
    os.chmod(tree + b"/closed", 0o700)
    world.remove()


def an_ordinary_user_gets_read_only_things_with_their_attributes():
    if not ROOT:
        user = {}
    else:
        user = {"user": 65534, "group": 65534, "extra_groups": []}
    world = World()
    tree = os.fsencode(world.dir) + b"/tree"
    os.makedirs(tree + b"/folder/inner")
    for name in (b"file", b"folder/file"):
        with open(tree + b"/" + name, "wb") as f:
            f.write(name * 100)
        os.setxattr(tree + b"/" + name, b"user.colour", name)
        os.chmod(tree + b"/" + name, 0o444)
    os.setxattr(tree + b"/folder", b"user.colour", b"green")
    os.chmod(tree + b"/folder/inner", 0o500)
    os.chmod(tree + b"/folder", 0o555)
    driver = world.dir / "driver"
    driver.write_bytes(DRIVER.read_bytes())
    driver.chmod(0o755)
    if ROOT:
        subprocess.run(["chown", "-R", "65534:65534", str(world.dir)], check=True)

    def call(*args):
        done = subprocess.run([driver, *args], env=world.env, capture_output=True, check=False, **user)
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    call("put", world.volume, "x", "-c", tree)
    for attempt in range(3):
        result = call("get", world.volume, "x", world.dir / "out", "-f")
        assert result["failed"] == 0, result
        same(tree, os.fsencode(world.dir / "out"))
        if attempt == 1:  # attributes that went wrong are put right, though the file is equal
            os.chmod(world.dir / "out" / "file", 0o644)
            os.removexattr(world.dir / "out" / "file", b"user.colour")
            os.chmod(world.dir / "out" / "file", 0o444)
    world.remove()


def a_file_that_changes_while_it_is_read_is_never_put_half():
    """Every version ever written is one letter all through: so must be every version restored."""
    world = World()
    tree = world.dir / "tree"
    tree.mkdir()
    (tree / "calm").write_bytes(b"calm")
    stop = threading.Event()

    def change():
        i = 0
        while not stop.is_set():
            i += 1
            with open(tree / "busy", "wb") as f:
                f.write(bytes([65 + i % 26]) * (2_000_000 + i % 1000))
            time.sleep(0.001 * (i % 60))

    thread = threading.Thread(target=change)
    thread.start()
    kept = 0
    for i in range(15):
        done = world.start("put", world.volume, "x", "-c", "-a", tree)
        out, errors = done.communicate()
        assert done.returncode in (0, 3), errors
        result = json.loads(out)
        assert result["failed"] == (1 if done.returncode == 3 else 0)
        get(world, world.dir / f"out{i}")
        restored = world.dir / f"out{i}" / "busy"
        if restored.exists():
            data = restored.read_bytes()
            assert len(set(data)) <= 1, f"a mixture of {len(set(data))} versions was put"
            kept += 1
        assert (world.dir / f"out{i}" / "calm").read_bytes() == b"calm"
    stop.set()
    thread.join()
    world.remove()


def pipes_parts_and_other_targets():
    world = World()
    data = random.Random(1).randbytes(5_000_000)
    world.call("pipe", world.volume, "stream", input=data)
    assert world.call("cat", world.volume, "latest", "stream")[0] == data
    world.call("pipe", world.volume, "nothing", input=b"")
    assert world.call("cat", world.volume, "latest", "nothing")[0] == b""
    tree = world.dir / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "c").write_text("c")
    (tree / "a" / "d").write_text("d")
    put(world, "t", tree)
    get(world, world.dir / "one", "-p", "tree/a/b/c")
    assert os.listdir(world.dir / "one") == ["c"]
    get(world, world.dir / "two", "-p", "/tree/a/")
    same(os.fsencode(tree / "a"), os.fsencode(world.dir / "two" / "a"))
    world.call("get", world.volume, "latest", world.dir / "three", "-p", "tree/none", expect=4)
    assert not (world.dir / "three").exists() or not os.listdir(world.dir / "three")
    (world.dir / "one" / "c").write_text("other")
    get(world, world.dir / "one", "-p", "tree/a/b/c", expect=5)
    assert (world.dir / "one" / "c").read_text() == "other"
    get(world, world.dir / "one", "-f", "-p", "tree/a/b/c")
    assert (world.dir / "one" / "c").read_text() == "c"
    # Two paths with one last name; a missing one; a volume within what is put.
    world.call("put", world.volume, "x", tree / "a", world.dir / "two" / "a", expect=10)
    world.call("put", world.volume, "x", world.dir / "missing", expect=4)
    whole, _ = put(world, "x", "-c", world.dir, "-x", "cache", "-x", "keys")
    listed = world.call("ls", world.volume, "latest")[0]
    assert b"packs" not in listed and b"tree/a/d" in listed and whole["failed"] == 0, listed
    world.remove()


def volumes_are_made_whole_or_not_at_all():
    world = World()
    world.call("create", world.volume, expect=5)
    (world.dir / "full").mkdir()
    (world.dir / "full" / "something").write_text("x")
    world.call("create", world.dir / "full", expect=5)
    assert os.listdir(world.dir / "full") == ["something"]
    (world.dir / "empty").mkdir()
    world.call("create", world.dir / "empty")
    world.call("create", world.dir / "no" / "such", expect=4)
    assert not [name for name in os.listdir(world.dir) if name.endswith(".new")]
    world.call("ls", world.dir / "full", "latest", expect=4)
    (world.dir / "keys").rename(world.dir / "elsewhere")
    _, errors = world.call("ls", world.volume, "latest", expect=7)
    assert b"key" in errors, errors
    (world.dir / "elsewhere").rename(world.dir / "keys")
    keys = sorted((world.dir / "keys").iterdir())
    os.chmod(keys[0], 0o644)
    # Whole at every moment: killed while it is made, there is a volume or none.
    for i in range(20):
        target = world.dir / f"k{i}"
        process = world.start("create", target)
        time.sleep(i * 0.0007)
        process.kill()
        process.wait()
        if target.exists():
            assert (target / "volume").exists(), f"half a volume: {os.listdir(target)}"
            world.call("check", target)
    world.remove()


if __name__ == "__main__":
    assert DRIVER, "usage: identical.py DRIVER"
    sys.exit(run_cases([everything_comes_back_identical, a_second_put_reads_nothing_and_stores_nothing,
                        a_hundred_thousand_small_files_come_back, trees_and_changes_by_dice_come_back,
                        guessed_cuts_are_those_that_a_search_finds,
                        unreadable_files_are_named_and_the_rest_is_put,
                        an_ordinary_user_gets_read_only_things_with_their_attributes,
                        a_file_that_changes_while_it_is_read_is_never_put_half, pipes_parts_and_other_targets,
                        volumes_are_made_whole_or_not_at_all]))
