#!/usr/bin/env python3
"""What a cluster's node gets over without a person: a ledger that has come to another state than the others', one that is damaged,
and a full disk."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cluster_basic import cluster, on, states
from nexus_cli import ENGINE, Skip, run_cluster_cases, running, until

FOUR = {f"node{i}" for i in range(4)}
SPOIL = sys.argv[1] if len(sys.argv) > 1 else None
SECONDS = 60


def log(node, name):
    return (node.data / name / "hypermeshd.log").read_text(errors="replace")


def set_aside(node, name):
    return sorted(p.name for p in (node.data / name).iterdir() if p.name.startswith("wrong-"))


def same_state(node, names):
    """Also of a node that is just starting itself again."""
    found = {(s["node"]["height"], s["node"]["state_root"]) if s.get("node") else None
             for n, s in states(node).items() if n in names}
    return len(found) == 1 and None not in found


def user(node, name):
    return json.loads(node(*on(node, name), "account", "show", "user", "-o", "json").expect(0).out)["id"]


def hyper(node, name, account):
    return json.loads(node(*on(node, name), "account", "show", account, "-o", "json").expect(0).out)["hyper"]


def pay(node, name, to, amount):
    node(*on(node, name), "account", "transfer", to, amount).expect(0)


def mount(*words):
    return subprocess.run(["mount", *map(str, words)], check=False, capture_output=True).returncode == 0


def four_come_up(node):
    cluster(node, "create", "--nodes", "4", "--net", "loopback", "--plot", "64K", "--no-start", "--engine-path",
            str(ENGINE)).expect(0)
    small = node.data / "node2"
    if os.geteuid() == 0:  # a disk of its own for one of them
        shutil.move(small, node.work / "node2")
        small.mkdir(mode=0o700)
        node.small = mount("-t", "tmpfs", "-o", "size=192m,mode=700", "tmpfs", small)
        shutil.copytree(node.work / "node2", small, symlinks=True, dirs_exist_ok=True)
        for path in (node.work / "node2.log", small / "hypermeshd.log"):  # a full disk would not take its log
            path.touch(mode=0o600)
        node.small = node.small and mount("--bind", node.work / "node2.log", small / "hypermeshd.log")
    cluster(node, "start").expect(0)
    until(lambda: same_state(node, FOUR), "one state")


def spoil(node, name, account):
    """A number of the account is another one on this node's disk; then the account pays, and the roots part."""
    cluster(node, "stop", name).expect(0)
    done = subprocess.run([SPOIL, str(node.data / name / "ledger"), account], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cluster(node, "start", name).expect(0)


def another_state_is_set_aside(node):
    account, to = user(node, "node1"), user(node, "node0")
    spoil(node, "node3", account)
    record = (node.data / "node3/validator/priv_validator_state.json")
    pid, before = states(node)["node3"]["pid"], json.loads(record.read_text())["height"]
    pay(node, "node1", to, "1.5")
    pay(node, "node0", account, "0.5")
    until(lambda: set_aside(node, "node3"), "node3 sees that it differs", SECONDS)
    until(lambda: same_state(node, FOUR), "node3 is where the others are", SECONDS)
    assert "differs from the others' since block" in log(node, "node3")
    kept = node.data / "node3" / set_aside(node, "node3")[0]
    assert {"ledger", "data"} <= {p.name for p in kept.iterdir()}
    # The same process, the same keys, and it forgets nothing that it signed.
    until(lambda: states(node)["node3"]["running"] and states(node)["node3"]["node"].get("ready"), "node3 is ready", SECONDS)
    assert states(node)["node3"]["pid"] == pid and int(json.loads(record.read_text())["height"]) >= int(before)
    assert hyper(node, "node3", account) == hyper(node, "node1", account)
    cluster(node, "stop", "node2").expect(0)  # three of four: it votes, or there are no blocks
    pay(node, "node3", to, "0.25")
    cluster(node, "start", "node2").expect(0)
    until(lambda: same_state(node, FOUR), "one state", SECONDS)


def a_second_time_is_for_a_person(node):
    account, to = user(node, "node1"), user(node, "node0")
    until(lambda: same_state(node, FOUR), "one state", SECONDS)
    spoil(node, "node3", account)
    pid = states(node)["node3"]["pid"]
    pay(node, "node1", to, "0.125")
    pay(node, "node0", account, "0.125")
    until(lambda: not running(pid), "node3 ends", SECONDS)
    assert "it has begun anew before" in log(node, "node3"), "\n".join(log(node, "node3").splitlines()[-30:])
    first = set_aside(node, "node3")
    assert len(first) == 1
    (node.data / "node3" / first[0]).rename(node.work / first[0])
    cluster(node, "start", "node3", "--wait", "60s")
    until(lambda: set_aside(node, "node3"), "once more", SECONDS)
    until(lambda: same_state(node, FOUR), "node3 is where the others are", SECONDS)


def cut(path):
    os.truncate(path, os.path.getsize(path) // 2)


def scribble(path):
    with open(path, "r+b") as file:
        file.write(bytes(4 * 4096))


def a_damaged_ledger_is_made_again(node):
    """Of the blocks that CometBFT has."""
    to, end = user(node, "node0"), "is damaged: it is set aside"
    for seen, damage in enumerate((cut, scribble)):
        cluster(node, "stop", "node1").expect(0)
        damage(node.data / "node1/ledger/data.mdb")
        pay(node, "node0", user(node, "node2"), "0.125")
        cluster(node, "start", "node1").expect(0)
        until(lambda: same_state(node, FOUR), "node1 is where the others are", SECONDS)
        assert log(node, "node1").count(end) == seen + 1
        assert set_aside(node, "node1") == ["wrong-damaged"]
        assert (node.data / "node1/wrong-damaged/ledger").is_dir() and not (node.data / "node1/wrong-damaged/data").exists()
        until(lambda: states(node)["node1"]["node"].get("ready"), "node1 is ready", SECONDS)
        pay(node, "node1", to, "0.125")
        (node.data / "node1/wrong-damaged").rename(node.work / f"damaged{seen}")
    # Not for ever: with what was set aside still there it is left to a person.
    (node.work / "damaged0").rename(node.data / "node1/wrong-damaged")
    cluster(node, "stop", "node1").expect(0)
    cut(node.data / "node1/ledger/data.mdb")
    cluster(node, "start", "node1").expect(1, err="is damaged and stays as it is: it has begun anew before")
    shutil.rmtree(node.data / "node1/wrong-damaged")
    cluster(node, "start", "node1").expect(0)
    until(lambda: same_state(node, FOUR), "node1 is where the others are", SECONDS)


def a_full_disk_is_waited_out(node):
    if not getattr(node, "small", False):
        raise Skip("only root can make a small disk")
    to = user(node, "node0")
    pid = states(node)["node2"]["pid"]
    filler = node.data / "node2/filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass
    said, other = len(log(node, "node1")), user(node, "node1")
    for _ in range(40):
        if "is full" not in log(node, "node2"):
            pay(node, "node0", other, "0.001")
    until(lambda: "is full" in log(node, "node2"), "node2 says that its disk is full", SECONDS)
    line = [x for x in log(node, "node2").splitlines() if "is full" in x][0]
    assert str(node.data / "node2") in line, line
    pay(node, "node1", to, "0.75")  # the others go on
    assert "is full" not in log(node, "node1")[said:]
    filler.unlink()
    until(lambda: same_state(node, FOUR), "node2 has caught up", SECONDS)
    assert running(pid) and states(node)["node2"]["pid"] == pid
    until(lambda: states(node)["node2"]["node"].get("ready"), "node2 is ready", SECONDS)
    pay(node, "node2", to, "0.5")


def main():
    def end(node):
        cluster(node, "stop")
        for path in ("node2/hypermeshd.log", "node2"):
            subprocess.run(["umount", str(node.data / path)], check=False, capture_output=True)

    return run_cluster_cases([four_come_up, another_state_is_set_aside, a_second_time_is_for_a_person,
                              a_damaged_ledger_is_made_again, a_full_disk_is_waited_out], end)


if __name__ == "__main__":
    sys.exit(main())
