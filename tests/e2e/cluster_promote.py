#!/usr/bin/env python3
"""A single node with a history becomes the first of a cluster: everything is there as it was, goes on, and a second node joins."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cluster_basic import cluster, on, same_state, states
from nexus_cli import BIN, ENGINE, SKIPPED, Node, kill_for_good, run_cases, until

BEFORE = {}


def ask(node, *args):
    return json.loads(node(*args, "-o", "json").expect(0).out)


def promote(node, *args):
    return node("node", "promote", "--engine-path", str(ENGINE), *args)


def what_makes_no_sense_is_refused(node):
    promote(node).expect(4, err="no node is in")
    assert not node.data.exists()
    node.up()
    promote(node, "--p2p-listen", "nonsense").expect(2, err="ADDRESS:PORT")
    promote(node, "--p2p-listen", "192.0.2.77:26656").expect(2, err="no address of this machine")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        promote(node, "--p2p-listen", f"127.0.0.1:{taken.getsockname()[1]}").expect(1, err="in use by another program")
    node("node", "promote", "--engine-path", "/nowhere/cometbft").expect(1, err="/nowhere/cometbft")
    promote(node, "--bond", "999999999").expect(5, err="and a validator's bond of 999999999 and a fee go from it")
    promote(node, "--url", "http://127.0.0.1:1").expect(2, err="leave --url out")
    done = subprocess.run([str(BIN / "hypermeshd"), "--promote", "--data", str(node.data)], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 1 and "runs: stop it first" in done.stderr, done.stderr
    # It is what it was, and runs on.
    assert ask(node, "status")["engine"] == "solo" and not (node.data / "engine").exists()
    assert ask(node, "validator", "ls") == []
    assert not (node.data / "cluster.json").exists()


def a_node_with_a_history(node):
    node("account", "create", "anna").expect(0)
    BEFORE["anna"] = ask(node, "account", "show", "anna")["id"]
    BEFORE["tx"] = ask(node, "account", "transfer", BEFORE["anna"], "7.5")["tx"]
    node("kv", "put", "colour", "green").expect(0)
    node("kv", "put", "colour", "blue").expect(0)
    lease = ask(node, "kv", "lease-grant", "10m")
    BEFORE["lease"] = str(lease.get("id") or lease.get("lease"))
    asset = ask(node, "asset", "ls")[0]["id"]
    BEFORE["asset"], BEFORE["history"] = asset, ask(node, "asset", "history", asset)
    BEFORE["status"] = ask(node, "status")
    BEFORE["block"] = ask(node, "block", "show", "2")
    backup = node.work / "before.backup"
    node("backup", "create", str(backup), "--passphrase-file", str(secret(node))).expect(0)


def secret(node):
    path = node.work / "secret"
    path.write_text("a long passphrase\n")
    path.chmod(0o600)
    return path


def everything_is_there(node):
    status = ask(node, "status")
    assert status["chain_id"] == BEFORE["status"]["chain_id"] and status["height"] >= BEFORE["status"]["height"]
    assert status["node_account"] == BEFORE["status"]["node_account"]
    assert ask(node, "account", "show", BEFORE["anna"])["hyper"] == "7.5"
    assert node("kv", "get", "colour").expect(0).out.strip() == "blue"
    assert ask(node, "block", "show", "2") == BEFORE["block"]
    node("tx", "show", BEFORE["tx"]).expect(0)
    assert ask(node, "asset", "history", BEFORE["asset"])[:len(BEFORE["history"])] == BEFORE["history"]


def a_promotion_that_was_cut_off_is_said_again(node):
    """The parts by hand, each followed by a kill: what is there then is a single node that works."""
    status = ask(node, "status")
    made = [subprocess.run([str(BIN / "hypermeshd"), "--promote-key", f"{status['chain_id']}:{status['node_account']}",
                            "--engine-path", str(ENGINE), "--data", str(node.data)], capture_output=True, text=True,
                           check=True).stdout for _ in range(2)]
    assert made[0] == made[1], "the key is made once"
    kill_for_good(node.pid())
    until(lambda: node.pid() is None, "the daemon is gone")
    # Not declared: refused, and nothing is made.
    done = subprocess.run([str(BIN / "hypermeshd"), "--promote", "--data", str(node.data)], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 1 and "is not declared" in done.stderr, done.stderr
    assert not (node.data / "engine").exists()
    # At any moment: with it its children die, and what is left is a single node or a cluster's, whole in both cases.
    (node.data / "engine.next/config").mkdir(parents=True)
    (node.data / "engine.next/config/genesis.json").write_text("{")
    for delay in (0.05, 0.15, 0.3, 0.5, 0.8, 1.2):
        node.up()
        call = node.start("node", "promote", "--engine-path", str(ENGINE), "--no-start", start_new_session=True)
        time.sleep(delay)
        if call.poll() is None:
            os.killpg(call.pid, signal.SIGKILL)
        call.communicate()
        if not stopping(node):
            everything_is_there(node)
        if (node.data / "engine").exists():
            break
    promoted = (node.data / "engine/config/genesis.json").exists()
    assert promoted == (node.data / "engine").exists()


def stopping(node):
    """True when the daemon was told to end, once it has."""
    try:
        until(lambda: node.pid() is None, "it ends", 3)
        return True
    except AssertionError:
        return False


def it_is_promoted(node):
    if not (node.data / "engine").exists():
        done = promote(node).expect(0, err="is node0 of the cluster")
        assert "made alone" in done.err, done.err
    else:
        cluster(node, "start").expect(0)
    status = ask(node, "status")
    assert status["engine"] == "cometbft" and status["cluster"]["validator"], status
    assert status["listen"] == BEFORE["status"]["listen"] or status["listen"].startswith("127.0.0.1:"), status
    everything_is_there(node)
    promote(node).expect(5, err="was promoted already")
    assert [v["stake"] for v in ask(node, "validator", "ls")] == ["2000"]
    listed = states(node)
    assert list(listed) == ["node0"] and listed["node0"]["running"]


def it_goes_on(node):
    node("account", "transfer", BEFORE["anna"], "1").expect(0)
    node("kv", "put", "colour", "red").expect(0)
    node("kv", "lease-keep", BEFORE["lease"]).expect(0)
    assert ask(node, "account", "show", BEFORE["anna"])["hyper"] == "8.5"
    # Blocks of before and after are one chain, which gives its state again from the genesis.
    node("verify").expect(0)
    audit = node.work / "audit"
    node("audit", "export", str(audit)).expect(0)
    node("audit", "verify", str(audit)).expect(0)


def it_is_killed_and_started_as_before(node):
    kill_for_good(node.pid())
    until(lambda: node.pid() is None, "the daemon is gone")
    node.up()
    assert ask(node, "status")["engine"] == "cometbft"
    node("down").expect(0)
    done = subprocess.run([str(BIN / "hypermeshd"), "--data", str(node.data), "--listen", "none"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1 and "is the folder of a cluster's node" in done.stderr, done.stderr
    cluster(node, "start").expect(0)
    assert ask(node, "account", "show", BEFORE["anna"])["hyper"] == "8.5"


def an_empty_folder_cannot_begin_with_the_genesis(node):
    genesis = node.data / "engine/config/genesis.json"
    other = node.work / "other"
    done = subprocess.run([str(BIN / "hypermeshd"), "--cluster-add", str(genesis), "--data", str(other)], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1 and "--state-sync" in done.stderr, done.stderr
    assert not other.exists()


def a_second_joins_by_snapshot(node):
    until(lambda: list((node.data / "snapshots").glob("[0-9]*/metadata")), "a snapshot", 60)
    cluster(node, "add").expect(0)
    both = {"node0", "node1"}
    until(lambda: same_state(node, both), "node1 has the same state", 60)
    assert ask(node, *on(node, "node1"), "account", "show", BEFORE["anna"])["hyper"] == "8.5"
    node(*on(node, "node1"), "account", "create", "bert").expect(0)
    until(lambda: same_state(node, both), "both have it", 60)
    gone = node(*on(node, "node1"), "block", "show", "2")
    assert gone.code != 0 and "began with a snapshot" in gone.err, gone.err
    cluster(node, "remove", "node0").expect(5)
    assert (node.data / "ledger").exists()


def stop_start_destroy(node):
    cluster(node, "stop").expect(0)
    cluster(node, "start").expect(0)
    node("account", "transfer", BEFORE["anna"], "1").expect(0)
    cluster(node, "destroy", "--yes").expect(0)
    assert not node.data.exists()


def main():
    if not ENGINE.exists():
        print(f"skipped: {ENGINE} is not there; scripts/setup --cluster makes it")
        return SKIPPED
    node = Node()
    try:
        return run_cases([what_makes_no_sense_is_refused, a_node_with_a_history, a_promotion_that_was_cut_off_is_said_again,
                          it_is_promoted, it_goes_on, it_is_killed_and_started_as_before,
                          an_empty_folder_cannot_begin_with_the_genesis, a_second_joins_by_snapshot, stop_start_destroy], node)
    finally:
        if (node.data / "cluster.json").exists():
            cluster(node, "stop")
        node.close()
        shutil.rmtree(node.base, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
