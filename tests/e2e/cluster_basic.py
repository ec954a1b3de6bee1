#!/usr/bin/env python3
"""A cluster of four on loopback: made, one killed while a job runs, the job settled and seen by all, caught up, removed."""
import http.client
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
from nexus_cli import BIN, ENGINE, Node, Skip, kill_for_good, run_cluster_cases, running, until

RUN = ("run", "--image", "busybox", "--cpus", "0.25", "--memory", "64M", "--timeout", "60s", "--quiet")


def cluster(node, *args, **more):
    return node("cluster", *args, **more)


def states(node):
    return {s["name"]: s for s in json.loads(cluster(node, "status", "-o", "json").expect(0).out)["nodes"]}


def on(node, name):
    """The options that point nexus at one of the nodes."""
    return ("--data", str(node.data / name))


def same_state(node, names):
    """True when these nodes have the same state root at the same height."""
    found = {(s["node"]["height"], s["node"]["state_root"]) for n, s in states(node).items() if n in names}
    return len(found) == 1


def what_makes_no_sense_is_refused(node):
    cluster(node, "create", "--nodes", "0").expect(2, err="--nodes is 1 to 20")
    cluster(node, "create", "--nodes", "21").expect(2, err="--nodes is 1 to 20")
    cluster(node, "create", "--net", "air").expect(2, err="loopback namespaces")
    cluster(node, "status").expect(4, err="no cluster is in")
    cluster(node, "start").expect(4, err="no cluster is in")
    cluster(node, "add").expect(4, err="no cluster is in")
    cluster(node, "remove", "node0").expect(4, err="no cluster is in")
    cluster(node, "add", "--bond", "2000").expect(2, err="add --validator")
    cluster(node, "join", "hmjoin1x").expect(2, err="others can see a command line")
    assert not node.data.exists()
    for args, words in ((("--engine", "raft"), "solo or cometbft"), (("--engine", "cometbft"), "--p2p-listen"),
                        (("--cluster-create", "21"), "1 to 20")):
        done = subprocess.run([str(BIN / "hypermeshd"), "--data", str(node.data), *args], capture_output=True, text=True,
                              check=False)
        assert done.returncode == 2 and words in done.stderr, done.stderr


def folders_are_made_before_anything_runs(node):
    cluster(node, "create", "--no-start", "--net", "loopback", "--plot", "64K", "--engine-path", str(ENGINE)).expect(
        0, out="stopped")
    genesis = {(node.data / f"node{i}/engine/config/genesis.json").read_bytes() for i in range(4)}
    assert len(genesis) == 1
    assert [v["power"] for v in json.loads(genesis.pop())["validators"]] == ["2000"] * 4
    for i in range(4):
        for private in ("keys", "validator/priv_validator_key.json", "validator/priv_validator_state.json"):
            mode = (node.data / f"node{i}" / private).stat().st_mode
            assert mode & 0o077 == 0, (private, oct(mode))
    listed = json.loads((node.data / "cluster.json").read_text())["nodes"]
    places = [n[key] for n in listed for key in ("p2p", "metrics")]
    assert len(set(places)) == 8 and all(p.startswith("127.0.0.1:") for p in places)
    cluster(node, "create").expect(5, err="already")
    cluster(node, "start", "node7").expect(4, err="no node node7")
    # A cluster's folder is not a single node's.
    hint = f"hint: nexus cluster start node0 --data {node.data} starts"
    refused = node(*on(node, "node0"), "up", "--listen", "none").expect(1, err="is the folder of a cluster's node")
    assert hint in refused.err, refused.err
    node(*on(node, "node0"), "status").expect(3, err=hint)
    node(*on(node, "node0"), "cluster", "status").expect(4, err=f"is only node0 of the cluster in {node.data}")


def four_come_up_and_agree(node):
    started = cluster(node, "start").expect(0)
    assert "not ready: starting" in started.err and "no node answers" not in started.err, started.err
    found = states(node)
    assert all(s["running"] and s["node"]["ready"] and s["node"]["engine"] == "cometbft" for s in found.values())
    assert {s["node"]["chain_id"] for s in found.values()} == {json.loads(
        (node.data / "cluster.json").read_text())["chain_id"]}
    until(lambda: all(s["node"]["cluster"]["peers"] == 3 for s in states(node).values()), "three peers each")
    assert all(s["node"]["cluster"]["validator"] for s in states(node).values())
    until(lambda: same_state(node, {"node0", "node1", "node2", "node3"}), "one state")
    status = node(*on(node, "node1"), "status", "-o", "json").expect(0)
    assert json.loads(status.out)["cluster"]["version"] == "0.38.25"
    node(*on(node, "node1"), "status").expect(0, out="3 other nodes connected, 4 validators")


def metrics_of_the_engine_are_among_ours(node):
    connection = http.client.HTTPConnection("node")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(node.data / "node0/api.sock"))
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    height = states(node)["node0"]["node"]["height"]
    found = [line for line in text.splitlines() if line.startswith("hypermesh_engine_consensus_height{")]
    assert len(found) == 1 and abs(float(found[0].split()[1]) - height) <= 2, (found, height)
    assert "hypermesh_engine_blocks_total " in text and "\ngo_" not in text


def what_one_takes_all_see(node):
    node(*on(node, "node1"), "account", "create", "anna").expect(0)
    to = json.loads(node(*on(node, "node1"), "account", "show", "anna", "-o", "json").expect(0).out)["id"]
    node(*on(node, "node1"), "account", "transfer", to, "1.5").expect(0)
    for name in ("node0", "node2", "node3"):
        until(lambda name=name: json.loads(node(*on(node, name), "account", "show", to, "-o", "json").expect(0).out)
              ["hyper"] == "1.5", f"{name} sees it")


def keys_are_every_nodes_users(node):
    node(*on(node, "node2"), "kv", "put", "colour", "green").expect(0)
    for name in ("node0", "node1", "node3"):
        until(lambda name=name: node(*on(node, name), "kv", "get", "colour").out.strip() == "green", f"{name} sees the key")
    node(*on(node, "node1"), "kv", "rule-set", "a", "user", "--anyone-reads").expect(5)


def idle_makes_no_blocks(node):
    until(lambda: same_state(node, {"node0", "node1", "node2", "node3"}), "one state")
    time.sleep(3)
    before = states(node)["node0"]["node"]["height"]
    time.sleep(5)
    assert states(node)["node0"]["node"]["height"] <= before + 1, (before, states(node)["node0"]["node"]["height"])


def one_is_killed_while_a_job_runs(node):
    if node(*on(node, "node0"), *RUN, "true").code != 0:
        raise Skip("jobs do not run on this machine")
    job = node.start(*on(node, "node0"), *RUN, "sh", "-c", "sleep 4; echo done")
    time.sleep(1.5)
    kill_for_good(states(node)["node3"]["pid"])
    out, err = job.communicate(timeout=100)
    assert job.returncode == 0 and out == b"done\n", (job.returncode, out, err)
    assert not states(node)["node3"]["running"]
    height = states(node)["node0"]["node"]["height"]
    for name in ("node1", "node2"):
        until(lambda name=name: states(node)[name]["node"]["height"] >= height, f"{name} follows")
        assert json.loads(node(*on(node, name), "lease", "ls", "--active", "-o", "json").expect(0).out) == []
        assert len(json.loads(node(*on(node, name), "lease", "ls", "-o", "json").expect(0).out)) >= 2


def its_engine_goes_with_it_and_it_catches_up(node):
    if states(node)["node3"]["running"]:
        kill_for_good(states(node)["node3"]["pid"])
    node(*on(node, "node0"), "account", "create", "bert").expect(0)
    until(lambda: not engines_of(node, "node3"), "CometBFT ends without its application")
    cluster(node, "start", "node3").expect(0)
    until(lambda: same_state(node, {"node0", "node1", "node2", "node3"}), "node3 has caught up")


def engines_of(node, name):
    home = f"{node.data}/{name}/engine"
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if home.encode() in words and running(int(entry.name)):
                found.append(int(entry.name))
    return found


def one_alone_is_read(node):
    """No block can be made; what there is can be read, also on a node that starts."""
    node(*on(node, "node0"), "kv", "put", "left", "here").expect(0)
    until(lambda: same_state(node, {"node0", "node1", "node2", "node3"}), "all have the key")
    cluster(node, "stop", "node0", "node1", "node2").expect(0)
    alone = lambda: json.loads(node(*on(node, "node3"), "status", "-o", "json").expect(0).out)
    until(lambda: alone()["cluster"]["votes_percent"] == 25, "it knows that it is alone")
    assert not alone()["cluster"]["quorum"]
    node(*on(node, "node3"), "status").expect(0, out="NO QUORUM: at most 25 %")
    cluster(node, "status").expect(0, out="NO QUORUM: at most 25 %")
    cluster(node, "stop", "node3").expect(0)
    cluster(node, "start", "node3", "--wait", "5s").expect(1, err="at most 25 % of the votes")
    assert not alone()["ready"] and alone()["engine"] == "cometbft"
    assert node(*on(node, "node3"), "kv", "get", "left").expect(0).out.strip() == "here"
    node(*on(node, "node3"), "account", "ls").expect(0, out="operator")
    node(*on(node, "node3"), "block", "ls").expect(0)
    node(*on(node, "node3"), "kv", "put", "left", "gone").expect(1, err="waiting for the cluster")
    cluster(node, "start").expect(0)
    until(lambda: same_state(node, {"node0", "node1", "node2", "node3"}), "all are back")
    assert alone()["cluster"]["quorum"]


def an_engine_that_is_killed_is_started_again(node):
    before = engines_of(node, "node2")
    assert len(before) == 1
    os.kill(before[0], signal.SIGKILL)
    until(lambda: len(engines_of(node, "node2")) == 1 and engines_of(node, "node2") != before, "a new engine")
    until(lambda: (states(node)["node2"]["node"]["cluster"] or {}).get("peers") == 3, "its peers")
    node(*on(node, "node2"), "account", "create", "carl").expect(0)
    assert states(node)["node2"]["node"]["cluster"]["starts"] == 2, states(node)["node2"]


def one_more_follows_and_leaves(node):
    cluster(node, "add").expect(0)
    found = states(node)
    assert len(found) == 5 and not found["node4"]["node"]["cluster"]["validator"], found["node4"]
    until(lambda: same_state(node, {f"node{i}" for i in range(5)}), "node4 has all blocks")
    node(*on(node, "node4"), "account", "create", "emil").expect(0)
    if node(*on(node, "node4"), *RUN, "true").code == 0:
        left = json.loads(node(*on(node, "node1"), "lease", "ls", "--active", "-o", "json").expect(0).out)
        assert left == [], left
    cluster(node, "remove", "node4").expect(0)
    assert len(states(node)) == 4 and not (node.data / "node4").exists()
    node(*on(node, "node0"), "account", "create", "frida").expect(0)


def stakes(node, name):
    listed = json.loads(node(*on(node, name), "validator", "ls", "-o", "json").expect(0).out)
    return [v["stake"] for v in listed if not v.get("retired")]


def voters(node):
    return {name for name, s in states(node).items() if s["running"] and s["node"]["cluster"]["validator"]}


def one_more_votes_and_retires(node):
    first = {f"node{i}" for i in range(4)}
    assert stakes(node, "node1") == ["2000"] * 4 and voters(node) == first
    cluster(node, "add", "--validator").expect(0)
    assert voters(node) == first | {"node4"} and stakes(node, "node1") == ["2000"] * 5
    until(lambda: all(s["node"]["cluster"]["validators"] == 5 for s in states(node).values()), "five for all")
    # Four of five are enough, three are not.
    cluster(node, "stop", "node3").expect(0)
    node(*on(node, "node4"), "account", "create", "gerd").expect(0)
    cluster(node, "stop", "node2").expect(0)
    cluster(node, "remove", "node4").expect(5, err="too few would vote")
    cluster(node, "start", "node2", "node3").expect(0)
    until(lambda: same_state(node, first | {"node4"}), "both have caught up")
    cluster(node, "remove", "node4").expect(0)
    assert voters(node) == first and stakes(node, "node1") == ["2000"] * 4
    # Three of the four that are left make blocks: nobody waits for the fifth.
    cluster(node, "stop", "node3").expect(0)
    node(*on(node, "node0"), "account", "create", "hanna").expect(0)
    cluster(node, "start", "node3").expect(0)


def a_record_that_is_lost_is_not_made_anew(node):
    cluster(node, "stop", "node1").expect(0)
    record = node.data / "node1/validator/priv_validator_state.json"
    kept = record.read_bytes()
    record.unlink()
    cluster(node, "start", "node1", "--wait", "30s").expect(1, err="without it it could sign two blocks of one height")
    record.write_bytes(kept)
    record.chmod(0o600)
    cluster(node, "start", "node1").expect(0)


def a_port_that_is_taken_is_told(node):
    cluster(node, "stop", "node1").expect(0)
    where = json.loads((node.data / "cluster.json").read_text())["nodes"][1]["p2p"]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int(where.rsplit(":", 1)[1])))
        taken.listen()
        cluster(node, "start", "node1", "--wait", "60s").expect(1, err="address already in use")
    cluster(node, "start", "node1").expect(0)


def too_few_make_no_blocks_and_lose_nothing(node):
    runs = node(*on(node, "node0"), *RUN, "true").code == 0
    job = node.start(*on(node, "node0"), *RUN, "sleep", "50") if runs else None
    until(lambda: not runs or json.loads(node(*on(node, "node0"), "lease", "ls", "--active", "-o", "json").out) != [],
          "a lease for the job")
    cluster(node, "stop", "node2", "node3").expect(0)
    height = states(node)["node0"]["node"]["height"]
    to = json.loads(node(*on(node, "node1"), "account", "show", "user", "-o", "json").expect(0).out)["id"]
    refused = node(*on(node, "node0"), "account", "transfer", to, "2")
    assert refused.code != 0 and "no quorum" in refused.err, refused.err
    node(*on(node, "node0"), "account", "show", to).expect(0)
    assert states(node)["node0"]["node"]["height"] <= height + 1
    # The job's lease cannot be settled now; that must not keep the node from stopping.
    cluster(node, "stop", "--wait", "50s").expect(0)
    if job:
        job.communicate(timeout=30)
    cluster(node, "start").expect(0)
    until(lambda: json.loads(node(*on(node, "node0"), "lease", "ls", "--active", "-o", "json").out) == [],
          "the lease is settled after all")
    node(*on(node, "node0"), "account", "transfer", to, "2").expect(0)


def all_stop_and_go_on(node):
    before = max(s["node"]["height"] for s in states(node).values())
    cluster(node, "stop").expect(0)
    assert not any(s["running"] for s in states(node).values())
    assert not any(engines_of(node, f"node{i}") for i in range(4))
    cluster(node, "stop").expect(0)
    cluster(node, "start").expect(0)
    assert min(s["node"]["height"] for s in states(node).values()) >= before


def each_in_a_namespace_of_its_own(node):
    other = Node()
    try:
        made = cluster(other, "create", "--nodes", "4", "--net", "namespaces", "--plot", "64K", "--engine-path", str(ENGINE))
        if made.code != 0 and os.geteuid() != 0:
            made.expect(5, err="need root")
            return
        if made.code != 0 and "network namespace" in made.err:
            raise Skip("this machine makes no network namespaces: " + made.err.splitlines()[-1])
        made.expect(0)
        spaces = {os.readlink(f"/proc/{s['pid']}/ns/net") for s in states(other).values()}
        assert len(spaces) == 4 and os.readlink("/proc/self/ns/net") not in spaces
        node_ids = [n["netns"] for n in json.loads((other.data / "cluster.json").read_text())["nodes"]]
        cluster(other, "stop", "node2").expect(0)
        other(*on(other, "node0"), "account", "create", "dora").expect(0)
        cluster(other, "start", "node2").expect(0)
        until(lambda: same_state(other, {f"node{i}" for i in range(4)}), "node2 has caught up")
        cluster(other, "destroy", "--yes").expect(0)
        assert not any(pathlib.Path("/run/netns", name).exists() for name in node_ids)
    finally:
        if (other.data / "cluster.json").exists():
            cluster(other, "destroy", "--yes")
        shutil.rmtree(other.base, ignore_errors=True)


def destroy_leaves_nothing(node):
    cluster(node, "destroy").expect(2, err="--yes")
    assert (node.data / "node0").is_dir()
    cluster(node, "destroy", "--yes").expect(0)
    assert not node.data.exists()


def main():
    return run_cluster_cases([what_makes_no_sense_is_refused, folders_are_made_before_anything_runs,
                              four_come_up_and_agree, metrics_of_the_engine_are_among_ours, what_one_takes_all_see,
                              keys_are_every_nodes_users, idle_makes_no_blocks, one_is_killed_while_a_job_runs,
                              its_engine_goes_with_it_and_it_catches_up, one_alone_is_read,
                              an_engine_that_is_killed_is_started_again, one_more_follows_and_leaves,
                              one_more_votes_and_retires, a_record_that_is_lost_is_not_made_anew,
                              a_port_that_is_taken_is_told, too_few_make_no_blocks_and_lose_nothing,
                              all_stop_and_go_on, destroy_leaves_nothing, each_in_a_namespace_of_its_own])


if __name__ == "__main__":
    sys.exit(main())
