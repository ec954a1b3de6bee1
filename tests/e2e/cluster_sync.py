#!/usr/bin/env python3
"""A fifth node that begins with a snapshot of the four others: state sync with CometBFT itself."""
import contextlib
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cluster_basic import cluster, on, same_state, states
from nexus_cli import BIN, ENGINE, Skip, kill_for_good, run_cluster_cases, running, until

FOUR = {f"node{i}" for i in range(4)}
FIVE = FOUR | {"node4"}
SCRIPT = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
TAKEN = "the ledger begins with a snapshot of block "


def kept(node, name):
    """Heights of a node's snapshots."""
    folder = node.data / name / "snapshots"
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit()) if folder.exists() else []


def log(node, name):
    path = node.data / name / "hypermeshd.log"
    return path.read_text(errors="replace") if path.exists() else ""


def engine(node):
    """The engine; while `armed` is there one that is told only after so many milliseconds that its application has taken a snapshot
    over: it asks for that with Info, before it saves anything."""
    path, real, armed = node.work / "engine", shlex.quote(str(ENGINE)), shlex.quote(str(node.work / "armed"))
    path.write_text(f"""#!/bin/sh
[ "$1" = start ] && [ -e {armed} ] || exec {real} "$@"
home="$3"
exec {shlex.quote(str(SCRIPT))} "$home/../between.sock" --app "$home/../bft.sock" "info=delay:$(cat {armed})" -- \\
    {real} "$@" --proxy_app "unix://$home/../between.sock"
""")
    path.chmod(0o700)
    return str(path)


def processes(node, name):
    """The daemon, and what it has started."""
    pids = [states(node)[name]["pid"]]
    for parent in pids:
        for task in pathlib.Path(f"/proc/{parent}/task").iterdir():
            pids += [int(word) for word in (task / "children").read_text().split()]
    return pids


def killed_in_state_sync(node, name, delay_ms, moment):
    """A node is added, and killed when moment() has been there; the block of the snapshot that it had."""
    (node.work / "armed").write_text(str(delay_ms))
    joins = node.start("cluster", "add", "--snapshot", start_new_session=True)
    try:
        until(lambda: TAKEN in log(node, name) or joins.poll() is not None, "the ledger is whole", 180)
        assert joins.poll() is None, (joins.communicate(), log(node, name)[-3000:])
        moment()
        pids = processes(node, name)
        kill_for_good(pids[0])
        for pid in pids[1:]:
            with contextlib.suppress(ProcessLookupError):  # it saw its daemon go
                os.kill(pid, signal.SIGKILL)
        until(lambda: not any(running(pid) for pid in pids), f"{name} is gone")
    finally:
        joins.kill()
        joins.communicate()
        (node.work / "armed").unlink()
    return int(log(node, name).split(TAKEN)[1].split()[0])


def what_makes_no_sense_is_refused(node):
    genesis = node.work / "genesis.json"
    genesis.write_text("{}")
    for args, words, code in (
            (("--state-sync", "unix:///a,unix:///b"), "goes with --cluster-add", 2),
            (("--snapshot-blocks", "0"), "--snapshot-blocks is 1 or more", 2),
            (("--cluster-add", str(genesis), "--state-sync", "unix:///nobody/a,unix:///nobody/b"), "/nobody/a", 1),
            (("--cluster-add", str(genesis), "--state-sync", "http://127.0.0.1:1,http://127.0.0.1:2"), "HEIGHT:HASH", 1),
            (("--cluster-add", str(genesis), "--state-sync", "unix:///a,unix:///b", "--state-sync-trust", "5:abc"),
             "HEIGHT:HASH", 1)):
        done = subprocess.run([str(BIN / "hypermeshd"), "--data", str(node.data), *args], capture_output=True, text=True,
                              check=False)
        assert done.returncode == code and words in done.stderr, (args, done.returncode, done.stderr)
    assert not node.data.exists()


def four_make_the_same_snapshots(node):
    cluster(node, "create", "--nodes", "4", "--net", "loopback", "--plot", "64K", "--snapshot-blocks", "10", "--engine-path",
            engine(node)).expect(0)
    to = json.loads(node(*on(node, "node1"), "account", "show", "user", "-o", "json").expect(0).out)["id"]
    for i in range(12):
        node(*on(node, f"node{i % 4}"), "account", "transfer", to, "0.5")
    node(*on(node, "node0"), "kv", "put", "colour", "green").expect(0)
    until(lambda: same_state(node, FOUR), "one state")
    until(lambda: all(kept(node, n) and kept(node, n)[-1] > 10 for n in FOUR), "snapshots of four", 60)
    until(lambda: len({tuple(kept(node, n)) for n in FOUR}) == 1, "the same ones", 60)
    newest = kept(node, "node0")[-1]
    assert len(kept(node, "node0")) <= 2
    for part in ("metadata", "0"):
        assert len({(node.data / n / f"snapshots/{newest}" / part).read_bytes() for n in FOUR}) == 1, part
    # Of use is one with two blocks after it: they come, though nobody else has anything to do.
    until(lambda: min(s["node"]["height"] for s in states(node).values()) >= newest + 2, "two blocks after it", 60)


def a_fifth_begins_with_one(node):
    newest = kept(node, "node0")[-1]
    cluster(node, "add", "--snapshot").expect(0)
    until(lambda: same_state(node, FIVE), "node4 has the same state", 60)
    to = json.loads(node(*on(node, "node1"), "account", "show", "user", "-o", "json").expect(0).out)["id"]
    money = [json.loads(node(*on(node, n), "account", "show", to, "-o", "json").expect(0).out)["hyper"] for n in ("node0", "node4")]
    assert money[0] == money[1], money
    assert TAKEN in log(node, "node4"), log(node, "node4")[-3000:]
    # It has no blocks of before.
    node(*on(node, "node0"), "block", "show", "1").expect(0)
    gone = node(*on(node, "node4"), "block", "show", "1")
    assert gone.code != 0 and "began with a snapshot" in gone.err, gone.err
    node(*on(node, "node4"), "block", "show", str(newest)).expect(4)


def it_acts_and_others_see_it(node):
    node(*on(node, "node4"), "account", "create", "sync").expect(0)
    to = json.loads(node(*on(node, "node4"), "account", "show", "sync", "-o", "json").expect(0).out)["id"]
    node(*on(node, "node4"), "account", "transfer", to, "1.5").expect(0)
    for name in sorted(FOUR):
        until(lambda name=name: json.loads(node(*on(node, name), "account", "show", to, "-o", "json").expect(0).out)["hyper"]
              == "1.5", f"{name} sees it")


def it_is_killed_and_goes_on(node):
    kill_for_good(states(node)["node4"]["pid"])
    node(*on(node, "node0"), "kv", "put", "colour", "blue").expect(0)
    cluster(node, "start", "node4").expect(0)
    until(lambda: same_state(node, FIVE), "node4 has caught up", 60)
    node(*on(node, "node4"), "account", "create", "again").expect(0)


def begins_anew(node, name, others):
    cluster(node, "start", name).expect(0)
    until(lambda: same_state(node, others | {name}), f"{name} has the same state", 60)
    before, again = log(node, name).split(TAKEN)[1:]
    assert "it is dropped, and the node begins anew" in before, before[-3000:]
    node(*on(node, name), "account", "create", "late").expect(0)
    cluster(node, "stop", name).expect(0)
    cluster(node, "start", name).expect(0)
    until(lambda: same_state(node, others | {name}), f"{name} goes on", 60)
    assert len(log(node, name).split(TAKEN)) == 3
    return int(again.split()[0])


def one_is_killed_before_its_engine_knew(node):
    """Its ledger is whole, its engine begins anew, and by then the others offer newer snapshots only."""
    if SCRIPT is None:
        raise Skip("abci_script is not named")
    taken = killed_in_state_sync(node, "node5", 600000, lambda: None)
    for i in range(60):
        if all(kept(node, n)[0] > taken for n in FIVE):
            break
        node(*on(node, f"node{i % 4}"), "kv", "put", "colour", str(i)).expect(0)
    until(lambda: all(kept(node, n)[0] > taken for n in FIVE), "newer snapshots only", 60)
    assert begins_anew(node, "node5", FIVE) > taken


def one_is_killed_before_its_first_block(node):
    """Its engine has saved that it has the snapshot, and no block yet: it would not start again."""
    if SCRIPT is None:
        raise Skip("abci_script is not named")
    others = FIVE | {"node5"}
    engines = [pid for name in others for pid in processes(node, name)
               if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == ENGINE.name]

    def moment():
        for pid in engines:
            os.kill(pid, signal.SIGSTOP)
        until(lambda: "Snapshot restored" in log(node, "node6"), "the engine has it")
        time.sleep(1)  # it saves that

    try:
        killed_in_state_sync(node, "node6", 5000, moment)
    finally:
        for pid in engines:
            os.kill(pid, signal.SIGCONT)
    begins_anew(node, "node6", others)


def destroy_leaves_nothing(node):
    cluster(node, "destroy", "--yes").expect(0)
    assert not node.data.exists()


def main():
    return run_cluster_cases([what_makes_no_sense_is_refused, four_make_the_same_snapshots, a_fifth_begins_with_one,
                              it_acts_and_others_see_it, it_is_killed_and_goes_on,
                              one_is_killed_before_its_engine_knew, one_is_killed_before_its_first_block,
                              destroy_leaves_nothing])


if __name__ == "__main__":
    sys.exit(main())
