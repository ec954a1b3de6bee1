#!/usr/bin/env python3
"""nexus on what the ledger keeps beside assets: keys and values, networks, challenges, events, backups, audits, top."""
import json
import pathlib
import shutil
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from nexus_cli import Node, kill_for_good, read_until, run_cases, until

PASSPHRASE = "correct horse"


def revision(done):
    return int(next(line.split()[1] for line in done.out.splitlines() if line.startswith("revision ")))


# --- key-value store

def put_get_delete(node):
    first = revision(node("kv", "put", "color", "blue").expect(0))
    assert node("kv", "get", "color").expect(0).out == "blue"
    second = revision(node("kv", "put", "color", "red").expect(0))
    assert second == first + 1
    assert node("kv", "get", "color", "--revision", str(first)).expect(0).out == "blue"
    entry = node("kv", "get", "color", "-o", "json").json()
    assert (entry["value"], entry["version"], entry["create_revision"], entry["mod_revision"]) == ("red", 2, first, second)
    node("kv", "del", "color").expect(0, out="1 deleted")
    node("kv", "get", "color").expect(4, err="color")
    node("kv", "get", "color", "--revision", "99999").expect(2)


def any_bytes(node):
    value = bytes(range(256)) * 4
    code, _, err = node.raw("kv", "put", "bytes/all", stdin=value)
    assert code == 0, err
    code, out, _ = node.raw("kv", "get", "bytes/all")
    assert (code, out) == (0, value)
    node("kv", "put", "with space/ä", "x").expect(0)
    assert node("kv", "get", "with space/ä").expect(0).out == "x"
    node("kv", "put", "k" * 500, "x").expect(2)


def list_and_prefix(node):
    for name in ("p/a", "p/b", "q"):
        node("kv", "put", name, f"value of {name}").expect(0)
    listed = node("kv", "ls", "p/", "-o", "json").json()
    assert [item["key"] for item in listed] == ["p/a", "p/b"]
    assert "value" not in node("kv", "ls", "p/", "--keys-only", "-o", "json").json()[0]
    node("kv", "ls", "p/").expect(0, out="value of p/a")
    node("kv", "del", "p/", "--prefix").expect(0, out="2 deleted")
    assert node("kv", "ls", "p/", "-o", "json").json() == []


def transactions(node):
    txn = json.dumps({"compare": [{"key": "lock", "target": "version", "result": "equal", "number": 0}],
                      "success": [{"put": {"key": "lock", "value": "mine"}}], "failure": [{"range": {"key": "lock"}}]})
    node("kv", "txn", stdin=txn.encode()).expect(0, out="the compares held")
    node("kv", "txn", stdin=txn.encode()).expect(0, out="lock = mine")
    node("kv", "txn", stdin=b"[1]").expect(2, err="not a JSON object")
    node("kv", "txn", stdin=b'{"compare": [{"key": "x", "strange": 1}]}').expect(2, err="strange")


def watch_and_history(node):
    start = revision(node("kv", "put", "watched", "1").expect(0))
    watcher = node.start("kv", "watch", "watched", "--from", str(start), "--limit", "3")
    node("kv", "put", "watched", "2").expect(0)
    node("kv", "put", "other", "x").expect(0)
    node("kv", "del", "watched").expect(0)
    out, err = watcher.communicate(timeout=30)
    lines = [line.split("  ", 1)[1] for line in out.decode().splitlines()]
    assert lines == ["put  watched = 1", "put  watched = 2", "delete  watched"], (lines, err)
    again = node("kv", "watch", "watched", "--from", str(start), "--no-follow").expect(0).out
    assert again == out.decode()


def leases_take_their_keys(node):
    lease = node("kv", "lease-grant", "1s", "-o", "json").json()["lease"]
    node("kv", "put", "brief", "x", "--lease", str(lease)).expect(0)
    assert node("kv", "lease-show", str(lease), "-o", "json").json()["keys"] == 1
    until(lambda: node("kv", "get", "brief").code == 4, "the lease's end")
    lease = node("kv", "lease-grant", "1h", "-o", "json").json()["lease"]
    node("kv", "put", "longer", "x", "--lease", str(lease)).expect(0)
    node("kv", "lease-keep", str(lease)).expect(0)
    node("kv", "lease-ls").expect(0, out=str(lease))
    node("kv", "lease-revoke", str(lease)).expect(0)
    node("kv", "get", "longer").expect(4)


def compaction(node):
    old = revision(node("kv", "put", "compacted", "1").expect(0))
    new = revision(node("kv", "put", "compacted", "2").expect(0))
    node("kv", "compact", str(new)).expect(0)
    node("kv", "get", "compacted", "--revision", str(old)).expect(2, err="compacted")
    assert node("kv", "get", "compacted").expect(0).out == "2"
    node("kv", "watch", "compacted", "--from", str(old), "--no-follow").expect(2, err="compacted")


def rules(node):
    node("account", "create", "alice").expect(0)
    node("account", "transfer", "alice", "100").expect(0)
    node("kv", "put", "hers/x", "1", "--account", "alice").expect(5, err="rule kv")
    node("kv", "rule-set", "hers/", "alice", "--reader", "user").expect(0)
    node("kv", "put", "hers/x", "1", "--account", "alice").expect(0)
    node("kv", "put", "hers/x", "2").expect(5)
    node("kv", "get", "hers/x").expect(0, out="1")
    node("kv", "rule-ls").expect(0, out="hers/")
    node("kv", "rule-rm", "hers/", "--account", "alice").expect(0)
    node("kv", "put", "hers/x", "1", "--account", "alice").expect(5)


# --- networks

def networks(node):
    node("account", "create", "bob").expect(0)
    node("account", "transfer", "bob", "1000").expect(0)
    node("account", "bond", "10", "--account", "bob").expect(0)
    node("network", "create", "lab", "--account", "operator").expect(0, out="net1")
    asset = next(a for a in node("asset", "ls", "-o", "json").json() if a["kind"] == "memory")["id"]
    node("asset", "privacy", asset, "PrivateNetwork", "--network", "lab").expect(0)
    lease = ("asset", "lease", asset, "--share", "1%", "--duration", "1m", "--account", "bob")
    node(*lease).expect(5, err="(rule privacy.")
    node("network", "join", "lab", "--account", "bob").expect(5)
    node("network", "invite", "lab", "bob").expect(0)
    node("network", "join", "lab", "--account", "bob").expect(0)
    node("network", "members", "lab").expect(0, out="bob")
    node(*lease).expect(0)
    node("network", "expel", "lab", "bob").expect(0)
    node(*lease).expect(5)
    node("asset", "privacy", asset, "P2P", "--for", "bob").expect(0)
    node(*lease).expect(5, err="peers")
    node("account", "peers", "operator", "--account", "bob").expect(0)
    node("account", "peers", "--account", "bob").expect(0, out="operator")
    node(*lease).expect(0)
    node("account", "relays", "--any", "--sealed-only").expect(0)
    node("account", "relays").expect(0, out="any relay")
    node("network", "ls").expect(0, out="lab")
    node("network", "dissolve", "lab").expect(0)
    node("asset", "privacy", asset, "FullPublic").expect(0)


# --- challenges

def challenge_of_an_honest_node(node):
    before = node("account", "show", "user", "-o", "json").json()["hyper"]
    opened = node("challenge", "node", "operator", "-o", "json").expect(0).json()
    until(lambda: node("challenge", "show", opened["challenge"], "-o", "json").json()["state"] != "open", "an answer", 60)
    shown = node("challenge", "show", opened["challenge"], "-o", "json").json()
    assert shown["state"] == "answered", shown
    assert float(node("account", "show", "user", "-o", "json").json()["hyper"]) < float(before) - 5
    node("challenge", "ls").expect(0, out="answered")
    node("challenge", "node", "alice").expect(4, err="(rule challenge.plot)")


# --- events, top

def events_without_a_gap(node):
    watcher = node.start("events", "--type", "kv_put", "--limit", "2", "-o", "json")
    time.sleep(0.5)
    node("kv", "put", "event/1", "x").expect(0)
    node("kv", "put", "event/2", "x").expect(0)
    out, err = watcher.communicate(timeout=30)
    seen = [json.loads(line) for line in out.decode().splitlines()]
    assert [event["type"] for event in seen] == ["kv_put", "kv_put"], (seen, err)
    again = node("events", "--since", seen[0]["id"], "--type", "kv_put", "--no-follow", "-o", "json").expect(0).out
    assert json.loads(again.splitlines()[0])["id"] == seen[1]["id"]
    everything = node("events", "--since", "1.0", "--no-follow").expect(0).out
    assert "asset_register" in everything and "transfer" in everything


def events_wait_for_a_node_that_comes_back(node):
    watcher = node.start("events", "--type", "kv_put", "--since", "1.0", "-o", "json")
    node("kv", "put", "back/1", "x").expect(0)
    read_until(watcher.stdout, b'"back/1"')
    kill_for_good(node.pid())
    until(lambda: node.pid() is None, "the daemon's end")
    node.up()
    node("kv", "put", "back/2", "x").expect(0)
    rest = read_until(watcher.stdout, b'"back/2"')
    watcher.send_signal(signal.SIGINT)
    watcher.wait(10)
    assert b'"back/1"' not in rest, "an event came twice"


def top_once(node):
    out = node("top", "--count", "2", "--interval", "200ms").expect(0).out
    assert out.count("HyperMesh ") == 2 and "transactions/s" in out and "memory" in out
    node("top", "--interval", "1ms").expect(2)


# --- audit, backup

def audit(node):
    node("audit", "export", "all.jsonl").expect(0)
    path = node.work / "all.jsonl"
    node("audit", "verify", "all.jsonl").expect(0, out="nothing was left out")
    lines = path.read_text().splitlines()
    assert any('"kv_put"' in line for line in lines)
    at = next(i for i, line in enumerate(lines) if '"type":"tx"' in line or '"type": "tx"' in line)
    for name, changed in (("dropped", lines[:at] + lines[at + 1:]), ("cut", lines[:-1]),
                          ("twice", lines[:at + 1] + lines[at:]),
                          ("changed", lines[:at] + [lines[at].replace('"fee":"', '"fee":"1', 1)] + lines[at + 1:])):
        (node.work / "bad.jsonl").write_text("\n".join(changed) + "\n")
        done = node("audit", "verify", "bad.jsonl")
        if name != "changed":  # results are not covered by the block hash
            assert done.code == 1 and "line" in done.err, (name, done.code, done.out, done.err)


def backup_and_restore(node):
    (node.work / "secret").write_text(PASSPHRASE + "\n")
    secret = ("--passphrase-file", "secret")
    node("kv", "put", "kept", "in the backup").expect(0)
    node("backup", "create", "b.hmb", *secret).expect(0, out="state root")
    assert b"in the backup" not in (node.work / "b.hmb").read_bytes()
    node("backup", "create", "b.hmb", *secret).expect(5, err="there already")
    node("kv", "put", "kept", "after the backup").expect(0)
    node("backup", "verify", "b.hmb", *secret).expect(0, out="is good")
    (node.work / "wrong").write_text("wrong")
    node("backup", "verify", "b.hmb", "--passphrase-file", "wrong").expect(1, err="passphrase")
    node("backup", "restore", "b.hmb", *secret).expect(1, err="not empty")
    node("down").expect(0)
    other = str(node.base / "restored")
    node("--data", other, "backup", "restore", "b.hmb", *secret).expect(0, out="is restored")
    try:
        node("--data", other, "up", "--listen", "127.0.0.1:0", "--plot", "64K").expect(0)
        assert node("--data", other, "kv", "get", "kept").expect(0).out == "in the backup"
        node("--data", other, "verify").expect(0)
    finally:
        node("--data", other, "down")
        shutil.rmtree(other, ignore_errors=True)
    node.up()
    assert node("kv", "get", "kept").expect(0).out == "after the backup"


CASES = [put_get_delete, any_bytes, list_and_prefix, transactions, watch_and_history, leases_take_their_keys, compaction,
         rules, networks, challenge_of_an_honest_node, events_without_a_gap, events_wait_for_a_node_that_comes_back,
         top_once, audit, backup_and_restore]

if __name__ == "__main__":
    the_node = Node()
    try:
        the_node.up()
        chosen = [case for case in CASES if not sys.argv[1:] or case.__name__ in sys.argv[1:]]
        sys.exit(run_cases(chosen, the_node))
    finally:
        the_node.close()
