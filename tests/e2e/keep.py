#!/usr/bin/env python3
"""Daemons that nexus started and that crash: back without a person; stopped in order, or given up, they stay so."""
import json
import os
import pathlib
import shutil
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from nexus_cli import ENGINE, Node, Skip, keeper_of, kill_for_good, run_cases, running, until



def ready(node):
    done = node("status", "-o", "json")
    return done.code == 0 and done.json()["ready"]


def crash(node, number=signal.SIGKILL):
    pid = node.pid()
    os.kill(pid, number)
    until(lambda: not running(pid), "the daemon's end")
    return pid


def log_of(node):
    return (node.data / "hypermeshd.log").read_text(errors="replace")


def killed_it_is_back(node):
    node.up()
    node("kv", "put", "colour", "green").expect(0)
    keeper = keeper_of(node.pid())
    assert keeper
    for number in (signal.SIGKILL, signal.SIGSEGV):
        before = crash(node, number)
        until(lambda: ready(node), "it is back and ready")
        assert node.pid() != before and keeper_of(node.pid()) == keeper
        assert f"ended with signal {int(number)} " in log_of(node), log_of(node)
    assert node("kv", "get", "colour").expect(0).out.strip() == "green"
    assert (node.data / "hypermeshd.keep").stat().st_mode & 0o777 == 0o600


def a_stop_ends_both(node):
    pid = node.pid()
    keeper = keeper_of(pid)
    began = time.monotonic()
    node("down").expect(0, err="the node has stopped")
    assert not running(pid) and not running(keeper)
    assert time.monotonic() - began < 20
    node("down").expect(0, err="no node is running")
    node.up()
    pid = node.pid()
    os.kill(keeper_of(pid), signal.SIGTERM)  # as a person may, who does not know which of the two it is
    until(lambda: not running(pid), "handed through")
    assert node.pid() is None and not (node.data / "api.sock").exists()


def a_pause_is_cut_short_or_ended(node):
    node.up()
    keeper = keeper_of(node.pid())
    for _ in range(5):  # the next pause is 3.2 s
        crash(node)
        until(node.pid, "it is back")
    crash(node)
    began = time.monotonic()
    node("up").expect(0, err="is being started already")
    assert time.monotonic() - began < 3 and keeper_of(node.pid()) == keeper
    for _ in range(5):
        crash(node)
        until(node.pid, "it is back")
    crash(node)
    node("down").expect(0, err="the node has stopped")
    assert not running(keeper) and node.pid() is None


def with_its_keeper_it_ends(node):
    node.up()
    pid = node.pid()
    os.kill(keeper_of(pid), signal.SIGKILL)
    until(lambda: not running(pid), "it ends in order")
    assert not (node.data / "api.sock").exists()


def one_that_cannot_start_is_given_up(node):
    (node.work / "broken").write_text("nonsense")
    other = Node()
    try:
        other("up", "--listen", "none", "--plot", "64K", "--genesis", str(node.work / "broken")).expect(
            1, err="exit status 1 within a minute of its first start")
        other.up()
        # What it needs to start is gone: it is tried some times, and said why it is left alone.
        crash(other)
        until(lambda: ready(other), "it is back")
        (other.data / "keys").rename(other.data / "keys.away")
        (other.data / "keys").write_text("")
        keeper = keeper_of(other.pid())
        crash(other)
        until(lambda: log_of(other).count("ended with exit status 1") >= 2, "it is tried again")
        (other.data / "keys").unlink()
        (other.data / "keys.away").rename(other.data / "keys")
        until(lambda: ready(other), "mended, it is back by itself", 30)
        assert keeper_of(other.pid()) == keeper
    finally:
        other.close()


def without_keep_it_stays_dead(node):
    daemon = node.start("up", "--foreground", "--listen", "none")
    until(lambda: ready(node), "a ready node")
    assert node.pid() == daemon.pid
    daemon.kill()
    daemon.communicate()
    time.sleep(1)
    assert node.pid() is None


# --- a cluster

def states(node):
    return {s["name"]: s for s in json.loads(node("cluster", "status", "-o", "json").expect(0).out)["nodes"]}


def all_ready(node):
    return all(s["running"] and s["node"]["ready"] for s in states(node).values())


def a_cluster_mends_itself(node):
    if not ENGINE.exists():
        raise Skip(f"{ENGINE} is not there; scripts/setup --cluster makes it")
    node("cluster", "create", "--net", "loopback", "--plot", "64K", "--engine-path", str(ENGINE)).expect(0)
    for victims in (("node1",), ("node0", "node1", "node2", "node3")):
        for name in victims:
            os.kill(states(node)[name]["pid"], signal.SIGKILL)
        until(lambda: all_ready(node), f"{victims} are back", 60)
        for name in victims:
            starts = states(node)[name]["node"]["cluster"]["starts"]
            assert starts == 1, f"{name}: its engine needed {starts} starts"  # the old one was not in the way
        node("--data", str(node.data / "node1"), "account", "create", f"after{len(victims)}").expect(0)


def how_one_ended_is_told(node):
    if not (node.data / "cluster.json").exists():
        raise Skip("there is no cluster")
    kill_for_good(states(node)["node2"]["pid"])
    until(lambda: not states(node)["node2"]["kept"], "the end of both")
    node("cluster", "status").expect(0, out="ended (not in order)")
    node("cluster", "start", "node2").expect(0)
    node("cluster", "stop", "node3").expect(0)
    assert states(node)["node3"]["ended"] == "" and not states(node)["node3"]["kept"]
    table = node("cluster", "status").expect(0).out
    assert "stopped" in table and "ended" not in table, table
    pids = [s["pid"] for s in states(node).values() if s["running"]]
    keepers = [keeper_of(pid) for pid in pids]
    assert len(pids) == 3 and all(keepers)
    node("cluster", "stop").expect(0)
    assert not any(running(pid) for pid in pids + keepers)


def main():
    node, four = Node(), Node()
    try:
        alone = run_cases([killed_it_is_back, a_stop_ends_both, a_pause_is_cut_short_or_ended, with_its_keeper_it_ends,
                           one_that_cannot_start_is_given_up, without_keep_it_stays_dead], node)
        return run_cases([a_cluster_mends_itself, how_one_ended_is_told], four) or alone
    finally:
        node.close()
        if (four.data / "cluster.json").exists():
            four("cluster", "destroy", "--yes")
        shutil.rmtree(four.base, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
