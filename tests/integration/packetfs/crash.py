#!/usr/bin/env python3
"""Puts and gets that are killed, that meet each other, and that meet a prune. Argument: the driver.

PACKETFS_KILLS (default 40) is how often each is killed."""
import json
import os
import random
import subprocess
import sys
import threading
import time

import trees
from trees import DRIVER, World
from daemon import run_cases  # noqa: E402

KILLS = int(os.environ.get("PACKETFS_KILLS", "12" if "HYPERMESH_BRIEF" in os.environ else "40"))


def check(world, full=False):
    """Anything that check finds is a failure."""
    out, errors = world.call("check", world.volume, *(["full"] if full else []))
    result = json.loads(out)
    assert result["findings"] == 0, errors
    return result


def some_tree(world, seed, count=60):
    tree = os.fsencode(world.dir) + b"/tree%d" % seed
    os.mkdir(tree)
    trees.grow(random.Random(seed), tree, count)
    return tree


class Killer:
    """Kills processes at random moments of their work. How long that lasts is learnt from those that end before: a
    first one, on cold caches or beside other tests, may take many times as long as the next."""

    def __init__(self, dice, longest):
        self.dice, self.longest, self.killed = dice, longest, 0

    def meet(self, process):
        began = time.monotonic()
        try:
            process.communicate(timeout=self.dice.random() * self.longest)
            self.longest = min(self.longest, time.monotonic() - began)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self.killed += 1


def how_long(world, *args):
    began = time.monotonic()
    world.call(*args)
    return time.monotonic() - began


def a_killed_put_leaves_a_clean_volume():
    world = World()
    dice = random.Random(11)
    tree = some_tree(world, 1, 120)
    killer = Killer(dice, how_long(world, "put", world.volume, "first", "-c", tree))
    for i in range(KILLS):
        trees.edit(dice, tree, 6)
        killer.meet(world.start("put", world.volume, "again", "-c", "-j", str(dice.choice([1, 3])), tree))
        check(world, full=i % 10 == 9)
    assert killer.killed > KILLS // 4, f"only {killer.killed} of {KILLS} were killed in time"
    out, errors = world.call("put", world.volume, "last", "-c", tree)
    world.call("get", world.volume, "last", world.dir / "out")
    found = trees.differences(tree, os.fsencode(world.dir / "out"), sparse=False)
    assert not found, "; ".join(found)
    # What the killed ones left is given back.
    world.call("prune", world.volume)
    check(world, full=True)
    world.remove()


def a_killed_get_is_finished_by_a_second_one():
    world = World()
    dice = random.Random(12)
    tree = some_tree(world, 2, 150)
    world.call("put", world.volume, "t", "-c", tree)
    killer = Killer(dice, how_long(world, "get", world.volume, "t", world.dir / "measure"))
    for i in range(KILLS):
        target = world.dir / f"out{i}"
        for _ in range(2):
            killer.meet(world.start("get", world.volume, "t", target, "-j", str(dice.choice([1, 3]))))
            # Whatever has its real name is whole.
            for path in trees.files_of(os.fsencode(target)) if target.exists() else []:
                original = path.replace(os.fsencode(target), tree, 1)
                if not os.path.basename(path).startswith(b".packetfs-") and os.path.isfile(path) \
                        and not os.path.islink(path):
                    assert trees.file_difference(original, path, os.path.getsize(original), False) is None, path
        world.call("get", world.volume, "t", target)
        found = trees.differences(tree, os.fsencode(target), sparse=False)
        assert not found, "; ".join(found)
    assert killer.killed > KILLS // 4, f"only {killer.killed} of {2 * KILLS} were killed in time"
    check(world)
    world.remove()


def two_processes_put_the_same_data():
    world = World()
    tree = some_tree(world, 3, 200)
    size = sum(os.path.getsize(path) for path in trees.files_of(tree) if os.path.isfile(path))
    for i in range(4):
        processes = [world.start("put", world.volume, f"p{i}-{n}", "-c", "-a", "-j", "2", tree) for n in range(3)]
        results = []
        for process in processes:
            out, errors = process.communicate()
            assert process.returncode == 0, errors
            results.append(json.loads(out))
        assert len({result["root"] for result in results}) == 1
        check(world, full=True)
    stored = sum(path.stat().st_size for path in (world.volume / "packs").rglob("*") if path.is_file())
    # At worst each of the first three stored all of it.
    assert stored <= 3 * size + (1 << 20), f"{stored} bytes are stored of {size}"
    world.call("get", world.volume, "p3-2", world.dir / "out")
    assert not trees.differences(tree, os.fsencode(world.dir / "out"), sparse=False)
    world.remove()


def puts_and_gets_beside_prunes():
    world = World()
    dice = random.Random(4)
    tree = some_tree(world, 4, 100)
    world.call("put", world.volume, "keep", "-c", tree)
    keep = os.fsencode(world.dir) + b"/keep"
    subprocess.run([b"cp", b"-a", tree, keep], check=True)
    stop = threading.Event()
    faults = []

    def prune():
        while not stop.is_set():
            try:
                world.call("prune", world.volume)
            except AssertionError as error:
                faults.append(str(error))
                return

    thread = threading.Thread(target=prune)
    thread.start()
    try:
        for i in range(12):
            trees.edit(dice, tree, 10)
            world.call("put", world.volume, "moving", "-c", "-a", "-j", "2", tree)
            out = world.dir / f"out{i}"
            world.call("get", world.volume, "moving", out)
            found = trees.differences(tree, os.fsencode(out), sparse=False)
            assert not found, "; ".join(found)
            world.call("rm", world.volume, "moving")
    finally:
        stop.set()
        thread.join()
    assert not faults, faults[0]
    world.call("get", world.volume, "keep", world.dir / "kept")
    assert not trees.differences(keep, os.fsencode(world.dir / "kept"), sparse=False)
    check(world, full=True)
    world.remove()


def a_put_after_a_loss_stores_it_again():
    """Files that did not change are read again when what they held is gone, whatever the cache and the list of snapshots say."""
    world = World()
    tree = some_tree(world, 6, 60)
    time.sleep(0.1)
    world.call("put", world.volume, "before", "-c", tree)
    lost = max((path for path in (world.volume / "packs").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size)
    lost.unlink()
    world.start("repair", world.volume).communicate()
    out, _ = world.call("put", world.volume, "after", "-c", tree)
    assert json.loads(out)["read"] > 0, out
    world.call("get", world.volume, "after", world.dir / "out")
    found = trees.differences(tree, os.fsencode(world.dir / "out"), sparse=False)
    assert not found, "; ".join(found)
    world.call("rm", world.volume, "before")
    check(world, full=True)
    world.remove()


def gets_into_one_folder_do_not_mix():
    world = World()
    tree = some_tree(world, 8, 120)
    world.call("put", world.volume, "t", "-c", tree)
    for i in range(5):
        target = world.dir / f"out{i}"
        target.mkdir()
        processes = [world.start("get", world.volume, "t", target, "-j", "2") for _ in range(3)]
        for process in processes:
            process.communicate()
        for path in trees.files_of(os.fsencode(target)):
            original = path.replace(os.fsencode(target), tree, 1)
            if not os.path.basename(path).startswith(b".packetfs-") and os.path.isfile(path) and not os.path.islink(path):
                assert trees.file_difference(original, path, os.path.getsize(original), False) is None, path
        world.call("get", world.volume, "t", target, "-f")
        found = trees.differences(tree, os.fsencode(target), sparse=False)
        assert not found, "; ".join(found)
    world.remove()


def killed_prunes_lose_nothing():
    world = World()
    dice = random.Random(7)
    tree = some_tree(world, 5, 100)
    world.call("put", world.volume, "keep", "-c", tree)
    keep = os.fsencode(world.dir) + b"/keep"
    subprocess.run([b"cp", b"-a", tree, keep], check=True)
    killer = Killer(dice, 0.08)
    for i in range(max(KILLS // 2, 4)):
        trees.edit(dice, tree, 10)
        world.call("put", world.volume, "gone", "-c", tree)
        world.call("rm", world.volume, "gone")
        killer.meet(world.start("prune", world.volume))
        check(world, full=i % 5 == 4)
    world.call("prune", world.volume)
    check(world, full=True)
    world.call("get", world.volume, "keep", world.dir / "kept")
    assert not trees.differences(keep, os.fsencode(world.dir / "kept"), sparse=False)
    world.remove()


def a_full_disk_is_said_and_harms_nothing():
    if os.geteuid() != 0:
        return "only root can mount a small disk"
    world = World()
    disk = world.dir / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", disk], check=False,
                      capture_output=True).returncode != 0:
        return "no tmpfs may be mounted here"
    try:
        world.volume = disk / "volume"
        world.call("create", world.volume)
        small = world.dir / "small"
        small.mkdir()
        (small / "a").write_bytes(random.Random(1).randbytes(1_000_000))
        large = world.dir / "large"
        large.mkdir()
        (large / "b").write_bytes(random.Random(2).randbytes(60_000_000))
        world.call("put", world.volume, "small", "-c", small)
        _, errors = world.call("put", world.volume, "large", "-c", large, expect=3)
        assert b"full" in errors or b"no space" in errors.lower(), errors
        world.call("get", world.volume, "small", world.dir / "out")
        assert not trees.differences(os.fsencode(small), os.fsencode(world.dir / "out"))
        _, errors = world.call("get", world.volume, "small", disk / "out")
        fill = disk / "fill"
        try:
            fill.write_bytes(b"x" * 30_000_000)
        except OSError:
            pass
        _, errors = world.call("get", world.volume, "small", disk / "out2", expect=3)
        assert b"full" in errors or b"no space" in errors.lower(), errors
        assert not (disk / "out2" / "a").exists()
        fill.unlink()
        world.call("prune", world.volume)
        check(world, full=True)
    finally:
        subprocess.run(["umount", disk], check=False)
    world.remove()
    return None


if __name__ == "__main__":
    assert DRIVER, "usage: crash.py DRIVER"
    sys.exit(run_cases([a_killed_put_leaves_a_clean_volume, a_killed_get_is_finished_by_a_second_one,
                        two_processes_put_the_same_data, puts_and_gets_beside_prunes, killed_prunes_lose_nothing,
                        a_put_after_a_loss_stores_it_again, gets_into_one_folder_do_not_mix,
                        a_full_disk_is_said_and_harms_nothing]))
