#!/usr/bin/env python3
"""Two of four are lost for ever: the other two go on with everything that was acknowledged, nobody of before is let in again."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cluster_basic import cluster, on, same_state, states, voters
from nexus_cli import BIN, ENGINE, kill_for_good, run_cluster_cases, running, until

TWO = {"node0", "node1"}
KNOWN = {"acts": 0}


def ask(node, name, *args):
    return json.loads(node(*on(node, name), *args, "-o", "json").expect(0).out)


def act(node, name):
    """An operation that was acknowledged."""
    node(*on(node, name), "account", "transfer", KNOWN["to"], "0.5").expect(0)
    KNOWN["acts"] += 1


def all_acts_are_there(node, name):
    until(lambda: float(ask(node, name, "account", "show", KNOWN["to"])["hyper"]) == 0.5 * KNOWN["acts"],
          f"{KNOWN['acts']} acknowledged operations on {name}", 60)


def genesis_of(node, name):
    return json.loads((node.data / name / "engine/config/genesis.json").read_text())


def four_with_a_history(node):
    cluster(node, "create", "--nodes", "4", "--net", "loopback", "--plot", "64K", "--engine-path", str(ENGINE)).expect(0)
    node(*on(node, "node0"), "account", "create", "anna").expect(0)
    KNOWN["to"] = ask(node, "node0", "account", "show", "anna")["id"]
    for i in range(6):
        act(node, f"node{i % 4}")
    node(*on(node, "node1"), "kv", "put", "colour", "green").expect(0)
    KNOWN["chain"] = genesis_of(node, "node0")["chain_id"]


def what_makes_no_sense_is_refused(node):
    recover = ("recover", "--validators", "node0,node1")
    cluster(node, "recover", "--yes").expect(2, err="--validators")
    cluster(node, "recover", "--validators", "node9", "--yes").expect(4, err="node9 is no node")
    cluster(node, *recover).expect(2, err="gone for ever")
    # Nothing is lost: they are all here.
    cluster(node, *recover, "--yes").expect(5, err="units of power, more than two thirds")
    act(node, "node2")


def two_are_lost(node):
    # node1 was away for the last operations.
    cluster(node, "stop", "node1").expect(0)
    for name in ("node0", "node2", "node3", "node0"):
        act(node, name)
    until(lambda: same_state(node, {"node0", "node2", "node3"}), "one state")
    found = states(node)
    for name in ("node2", "node3"):
        kill_for_good(found[name]["pid"])
        until(lambda name=name: not running(found[name]["pid"]), f"{name} ends")
    time.sleep(2)  # its engine ends with it
    shutil.copytree(node.data / "node3", node.work / "node3", ignore=shutil.ignore_patterns("*.sock"))
    shutil.rmtree(node.data / "node2")
    shutil.rmtree(node.data / "node3")
    refused = node(*on(node, "node0"), "account", "transfer", KNOWN["to"], "0.25")
    assert refused.code != 0 and "no quorum" in refused.err, refused.err


def the_other_two_go_on(node):
    cluster(node, "recover", "--validators", "node2", "--yes").expect(4, err="node2 is no node")
    # It is cut off once it is decided; then it is said again, without who shall vote: that is decided.
    call = node.start("cluster", "recover", "--validators", "node0,node1", "--yes", start_new_session=True)
    decision = node.data / "recovery.json"
    until(lambda: decision.exists() or call.poll() is not None, "it is decided", 60)
    os.killpg(call.pid, signal.SIGKILL)
    call.communicate()
    if decision.exists():
        cluster(node, "recover", "--yes").expect(0, err="going on with a recovery that was cut off")
        assert not decision.exists()
    else:
        cluster(node, "start").expect(0)
    assert set(states(node)) == TWO
    genesis = genesis_of(node, "node0")
    assert genesis == genesis_of(node, "node1") and genesis["chain_id"].startswith(KNOWN["chain"] + "-2-"), genesis["chain_id"]
    assert ask(node, "node0", "status")["chain_id"] == KNOWN["chain"]
    for name in sorted(TWO):
        all_acts_are_there(node, name)
        assert node(*on(node, name), "kv", "get", "colour").expect(0).out.strip() == "green"
    until(lambda: voters(node) == TWO, "both vote")


def new_operations_settle(node):
    for name in ("node0", "node1", "node0"):
        act(node, name)
    until(lambda: same_state(node, TWO), "one state")
    standing = sorted(v["jailed"] for v in ask(node, "node1", "validator", "ls"))
    assert standing == [False, False, True, True], standing
    node(*on(node, "node0"), "verify").expect(0)


def a_restart_goes_on(node):
    for name, s in states(node).items():
        kill_for_good(s["pid"])
        until(lambda pid=s["pid"]: not running(pid), f"{name} ends")
    time.sleep(2)
    cluster(node, "start").expect(0)
    act(node, "node1")
    all_acts_are_there(node, "node0")


def a_new_one_joins(node):
    until(lambda: list((node.data / "node0/snapshots").glob("[0-9]*/metadata")), "a snapshot", 60)
    cluster(node, "add").expect(0)
    until(lambda: same_state(node, TWO | {"node4"}) or same_state(node, TWO | {"node2"}), "the third has the state", 60)
    newest = sorted(set(states(node)) - TWO)
    assert len(newest) == 1
    KNOWN["third"] = newest[0]
    all_acts_are_there(node, newest[0])


def secret(node):
    path = node.work / "secret"
    path.write_text("a long passphrase\n")
    path.chmod(0o600)
    return str(path)


def backup(node, *args, data=None):
    where = ("--data", str(data)) if data else ()
    return node(*where, "backup", *args, "--passphrase-file", secret(node))


def hypermeshd(*args):
    done = subprocess.run([str(BIN / "hypermeshd"), *args], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def keys_of(folder):
    return [json.loads((folder / "validator" / name).read_text()) for name in ("priv_validator_key.json", "node_key.json")]


def a_backup_becomes_a_node_without_a_vote(node):
    file, folder = str(node.work / "node1.backup"), node.work / "restored"
    backup(node, "create", file, data=node.data / "node1").expect(0)
    act(node, "node0")
    backup(node, "verify", file).expect(0, out="is good")
    backup(node, "restore", file, data=folder).expect(0, out="is restored")
    assert keys_of(folder) != keys_of(node.data / "node1")
    assert not (folder / "engine/data").exists()
    code, said = hypermeshd("--data", str(folder), "--listen", "none", "--engine", "cometbft", "--p2p-listen", "127.0.0.1:0")
    assert code == 1 and "comes from a backup" in said, said
    code, said = hypermeshd("--data", str(folder), "--listen", "none")
    assert code == 1 and "comes from a backup" in said, said
    # The node it was runs on meanwhile: nothing of it is used twice.
    cluster(node, "stop", "node1").expect(0)
    rpc = f"unix://{node.data}/node0/rpc.sock,unix://{node.data}/{KNOWN['third']}/rpc.sock"
    code, said = hypermeshd("--recover-join", f"{folder}/engine/config/genesis.json", "--state-sync", rpc, "--data", str(folder))
    assert code == 0, said
    cluster(node, "start", "node1").expect(0)
    restored = old_daemon(node, folder)
    try:
        until(lambda: ready(node, folder), "it has the state", 90)
        status = json.loads(node("--data", str(folder), "status", "-o", "json").expect(0).out)
        assert not status["cluster"]["validator"], status
        total = json.loads(node("--data", str(folder), "account", "show", KNOWN["to"], "-o", "json").expect(0).out)["hyper"]
        assert float(total) == 0.5 * KNOWN["acts"], total
        assert node("--data", str(folder), "job", "ls").code == 0
    finally:
        restored.terminate()
        restored.wait(60)


def all_are_lost_but_a_backup(node):
    file, folder = str(node.work / "node1.backup"), node.work / "alone"
    backup(node, "restore", file, "--validator", data=folder).expect(0)
    assert keys_of(folder) == keys_of(node.data / "node1")
    assert not (folder / "validator/priv_validator_state.json").exists()
    genesis = f"{folder}/engine/config/genesis.json"
    # With its old key in the same cluster it must know after which block it may sign.
    code, said = hypermeshd("--recover-join", genesis, "--state-sync", "http://127.0.0.1:1,http://127.0.0.1:2",
                            "--state-sync-trust", "5:" + 64 * "a", "--data", str(folder))
    assert code == 1 and "record of what the key beside it has signed" in said, said
    operator = ask(node, "node1", "status")["node_account"]
    code, said = hypermeshd("--recover", operator, "--data", str(folder))
    assert code == 0 and json.loads(said)["engine_chain"].startswith(KNOWN["chain"] + "-3-"), said
    alone = subprocess.Popen([str(BIN / "hypermeshd"), "--data", str(folder), "--listen", "none", "--engine", "cometbft",
                              "--engine-path", str(ENGINE), "--p2p-listen", "127.0.0.1:0"],
                             stdout=open(node.work / "alone.log", "wb"), stderr=subprocess.STDOUT)
    try:
        until(lambda: ready(node, folder), "it makes blocks alone", 60)
        total = json.loads(node("--data", str(folder), "account", "show", KNOWN["to"], "-o", "json").expect(0).out)["hyper"]
        assert float(total) == 0.5 * (KNOWN["acts"] - 1), (total, KNOWN["acts"])
        node("--data", str(folder), "account", "transfer", KNOWN["to"], "1").expect(0)
        node("--data", str(folder), "verify").expect(0)
    finally:
        alone.terminate()
        alone.wait(60)


def ready(node, folder):
    done = node("--data", str(folder), "status", "-o", "json")
    return done.code == 0 and json.loads(done.out)["ready"]


def old_daemon(node, folder, *more):
    peers = [f"{n['node_id']}@{n['p2p']}" for n in json.loads((node.data / "cluster.json").read_text())["nodes"]]
    words = [str(BIN / "hypermeshd"), "--data", str(folder), "--listen", "none", "--engine", "cometbft", "--engine-path",
             str(ENGINE), "--p2p-listen", "127.0.0.1:0", *more]
    for peer in peers:
        words += ["--p2p-peer", peer]
    log = open(node.work / "old.log", "wb")
    return subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def one_of_before_is_not_let_in(node):
    before = states(node)["node0"]["node"]
    old = old_daemon(node, node.work / "node3")
    try:
        until(lambda: node("--data", str(node.work / "node3"), "status").code == 0, "it answers", 60)
        until(lambda: "another chain of this cluster" in
              node("--data", str(node.work / "node3"), "status").out + (node.work / "old.log").read_text(errors="replace"),
              "it says why", 60)
        status = json.loads(node("--data", str(node.work / "node3"), "status", "-o", "json").expect(0).out)
        assert not status["ready"], status
        act(node, "node0")
        assert states(node)["node0"]["node"]["cluster"]["peers"] == before["cluster"]["peers"]
    finally:
        old.terminate()
        old.wait(60)


def it_may_begin_anew_with_its_keys(node):
    folder = node.work / "node3"
    genesis = str(node.data / "node0/engine/config/genesis.json")
    # With the new genesis and its own old blocks it is refused, before anything changes, when it has other blocks or fewer.
    rpc = f"unix://{node.data}/node0/rpc.sock,unix://{node.data}/node1/rpc.sock"
    done = subprocess.run([str(BIN / "hypermeshd"), "--recover-join", genesis, "--state-sync", rpc, "--data", str(folder)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Its old ledger, log and record of what it signed are kept, each by itself.
    assert (folder / "ledger.last.1/ledger/data.mdb").exists() and (folder / "engine.last.1/data").exists()
    assert not (folder / "ledger").exists() and not list(folder.glob("blocks.*"))
    aside = json.loads((folder / f"validator/priv_validator_state.{KNOWN['chain']}.json").read_text())
    assert int(aside["height"]) > 1, aside
    old = old_daemon(node, folder)
    try:
        until(lambda: ready(node, folder), "it has the state", 90)
        node("--data", str(folder), "validator", "unjail", "operator").expect(2, err="the validator is jailed for")
    finally:
        old.terminate()
        old.wait(60)


def destroy_leaves_nothing(node):
    cluster(node, "destroy", "--yes").expect(0)
    assert not node.data.exists()


def main():
    return run_cluster_cases([four_with_a_history, what_makes_no_sense_is_refused, two_are_lost, the_other_two_go_on,
                              new_operations_settle, a_restart_goes_on, a_new_one_joins,
                              a_backup_becomes_a_node_without_a_vote, all_are_lost_but_a_backup,
                              one_of_before_is_not_let_in, it_may_begin_anew_with_its_keys, destroy_leaves_nothing])


if __name__ == "__main__":
    sys.exit(main())
