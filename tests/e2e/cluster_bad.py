#!/usr/bin/env python3
"""What a cluster's node is given that is not its own, or is damaged: each is told in words, and nothing is lost. And a cluster
where the kernel has no IPv6."""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cluster_basic import cluster, on, same_state, states
from nexus_cli import BIN, ENGINE, Node, Skip, run_cluster_cases, until

FOUR = {f"node{i}" for i in range(4)}
SECONDS = 60


def genesis(node, name):
    return node.data / name / "engine/config/genesis.json"


def changed(text):
    """Another limit of blocks, the same chain id."""
    whole = json.loads(text)
    whole["consensus_params"]["block"]["max_bytes"] = "1048576"
    return json.dumps(whole).encode()


def put(path, content):
    path.write_bytes(content)
    path.chmod(0o600)


def begin_with(node, folder, content):
    """An empty ledger begins with what is there."""
    for name in ("ledger", "engine/data", "blocks.0", "blocks.1"):
        if (folder / name).exists():
            at = node.work / name.replace("/", "-")
            shutil.rmtree(at, ignore_errors=True)
            at.unlink(missing_ok=True)
            (folder / name).rename(at)
    put(folder / "engine/config/genesis.json", content)


def check_named(node, name, check):
    found = json.loads(node(*on(node, name), "doctor", "-o", "json").out)
    return [c for c in (found["checks"] if isinstance(found, dict) else found) if c["name"] == check]


def changed_time(text):
    return json.dumps(json.loads(text) | {"genesis_time": "2026-01-02T03:04:05Z"}).encode()


def another_genesis_is_named_and_nothing_is_begun_anew(node):
    cluster(node, "create", "--nodes", "4", "--net", "loopback", "--plot", "64K", "--no-start", "--engine-path",
            str(ENGINE)).expect(0)
    right = genesis(node, "node3").read_bytes()
    put(genesis(node, "node3"), changed(right))
    cluster(node, "start").expect(1, err="genesis.json is not the cluster's genesis")
    folder = node.data / "node3"
    begin_with(node, folder, changed_time(right))
    cluster(node, "start", "node3").expect(1)
    until(lambda: "genesis.json is not the cluster's genesis: the first block" in (folder / "hypermeshd.log").read_text(
        errors="replace"), "node3 says why", SECONDS)
    until(lambda: not states(node)["node3"]["running"], "node3 has ended", SECONDS)
    assert not [p.name for p in folder.iterdir() if p.name.startswith(("wrong-", "begin-anew"))]
    put(genesis(node, "node3"), right)
    cluster(node, "start", "node3", "--wait", "30s").expect(1, err="is not the one that this node began with")
    begin_with(node, folder, right)
    cluster(node, "start").expect(0)
    until(lambda: same_state(node, FOUR), "node3 is where the others are", SECONDS)


def a_genesis_that_was_replaced_or_lost_is_refused(node):
    cluster(node, "stop", "node1").expect(0)
    right = genesis(node, "node1").read_bytes()
    wrong = changed(right)
    put(genesis(node, "node1"), wrong)
    told = cluster(node, "start", "node1", "--wait", "30s").expect(1, err="is not the one that this node began with").err
    assert all(hashlib.sha256(text).hexdigest() in told for text in (right, wrong)), told
    genesis(node, "node1").unlink()
    cluster(node, "start", "node1", "--wait", "30s").expect(1, err="genesis.json is missing")
    put(genesis(node, "node1"), right)
    cluster(node, "start", "node1").expect(0)


def a_record_that_is_damaged_is_told(node):
    cluster(node, "stop", "node1").expect(0)
    record = node.data / "node1/validator/priv_validator_state.json"
    kept = record.read_bytes()
    put(record, kept[:len(kept) // 2])
    cluster(node, "start", "node1", "--wait", "30s").expect(1, err="is damaged, the record of what this validator has signed")
    put(record, kept)
    cluster(node, "start", "node1").expect(0)


def another_validators_key_is_told(node):
    """A key that nobody has: with that of another node both would lose their bonds."""
    cluster(node, "stop", "node1").expect(0)
    key, record = (node.data / "node1/validator" / f"priv_validator_{name}.json" for name in ("key", "state"))
    kept = key.read_bytes(), record.read_bytes()
    made = json.loads(subprocess.run([str(ENGINE), "gen-validator", "--home", str(node.work)], check=True,
                                     capture_output=True).stdout)
    put(key, json.dumps(made["Key"]).encode())
    put(record, json.dumps(made["LastSignState"]).encode())
    cluster(node, "start", "node1").expect(0)
    told = check_named(node, "node1", "validator")
    assert told and told[0]["level"] == "error" and made["Key"]["address"] in told[0]["text"], told
    declared = json.loads(kept[0])["address"]
    line = f"its operator has declared {declared}"
    assert line in told[0]["text"] and line in (node.data / "node1/hypermeshd.log").read_text(errors="replace"), told
    cluster(node, "stop", "node1").expect(0)
    put(key, kept[0])
    put(record, kept[1])
    cluster(node, "start", "node1").expect(0)
    assert not check_named(node, "node1", "validator")


def a_read_without_a_quorum_says_how_old_it_is(node):
    node(*on(node, "node0"), "kv", "put", "colour", "green").expect(0)
    until(lambda: states(node)["node0"]["node"]["cluster"]["block_age_ms"] > 11000, "the newest block is old", SECONDS)
    idle = node(*on(node, "node0"), "kv", "get", "colour").expect(0, out="green")
    assert idle.err == "", idle.err
    cluster(node, "stop", "node2", "node3").expect(0)
    until(lambda: states(node)["node0"]["node"]["cluster"]["peers"] == 1, "both are gone", SECONDS)
    until(lambda: states(node)["node0"]["node"]["cluster"]["block_age_ms"] > 11000, "the newest block is old", SECONDS)
    for verb, code in ((("kv", "get", "colour"), 0), (("account", "show", "user"), 0), (("kv", "get", "nothing"), 4)):
        done = node(*on(node, "node0"), *verb).expect(code, err="nexus: read at block ")
        assert "s old: no quorum, 1 of 3 other nodes are connected" in done.err, done.err
    cluster(node, "start", "node2", "node3").expect(0)


def it_runs_without_ipv6(node):
    if os.geteuid() != 0:
        raise Skip("only root makes a network namespace")
    other = Node()
    script = "ip link set lo up && echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"
    can = subprocess.run(["unshare", "--net", "sh", "-c", script], capture_output=True, text=True, check=False)
    if can.returncode != 0:
        raise Skip(f"no network namespace without IPv6: {can.stderr.strip()}")
    try:
        done = subprocess.run(["unshare", "--net", "sh", "-c", script + ' && exec "$@"', "sh", str(BIN / "nexus"), "cluster",
                               "create", "--nodes", "2", "--net", "loopback", "--plot", "64K", "--engine-path", str(ENGINE)],
                              cwd=other.work, env=other.env(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        pid = states(other)["node0"]["pid"]
        addresses = subprocess.run(["nsenter", "--net", "-t", str(pid), "ip", "-6", "address"], capture_output=True, text=True,
                                   check=True).stdout
        assert "inet6" not in addresses, addresses
        other(*on(other, "node0"), "kv", "put", "colour", "green").expect(0)
        until(lambda: same_state(other, {"node0", "node1"}), "both have it", SECONDS)
        other(*on(other, "node1"), "kv", "get", "colour").expect(0, out="green")
    finally:
        if (other.data / "cluster.json").exists():
            cluster(other, "destroy", "--yes")
        shutil.rmtree(other.base, ignore_errors=True)


def main():
    return run_cluster_cases([another_genesis_is_named_and_nothing_is_begun_anew,
                              a_genesis_that_was_replaced_or_lost_is_refused, a_record_that_is_damaged_is_told,
                              another_validators_key_is_told, a_read_without_a_quorum_says_how_old_it_is,
                              it_runs_without_ipv6])


if __name__ == "__main__":
    sys.exit(main())
