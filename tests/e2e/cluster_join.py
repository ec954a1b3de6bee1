#!/usr/bin/env python3
"""Nodes that join a cluster of three with tickets, from folders of their own, over STOQ: as from another machine."""
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
from nexus_cli import ENGINE, kill_for_good, run_cluster_cases, until

THREE = {f"node{i}" for i in range(3)}
PARTS = ("--plot", "64K", "--engine-path", str(ENGINE))


def newcomer(node, name):
    return ("--data", str(node.base / name))


def doors(node):
    return [n["door"] for n in json.loads((node.data / "cluster.json").read_text())["nodes"]]


def ticket(node, *args):
    done = cluster(node, "ticket", *args).expect(0, err="good for one machine")
    assert done.out.startswith("hmjoin1") and done.out.count("\n") == 1
    return done.out.encode()


def join(node, name, text, *args):
    return cluster(node, "join", *args, "-", *newcomer(node, name), *PARTS, stdin=text)


def its_state(node, name):
    """Of the one node in a newcomer's folder."""
    listed = json.loads(cluster(node, "status", *newcomer(node, name), "-o", "json").expect(0).out)["nodes"]
    assert len(listed) == 1
    return listed[0]


def agrees(node, name):
    theirs, ours = states(node), its_state(node, name)["node"]
    return ours["state_root"] in {s["node"]["state_root"] for s in theirs.values()}


def used(node):
    return [t for t in json.loads(cluster(node, "ticket-ls", "-o", "json").expect(0).out) if t["used_ms"]]


def what_is_no_ticket_is_refused(node):
    for text, words in ((b"hmjoin1qqqq", "mistyped or cut"), (b"hello", "begins with hmjoin1"), (b"", "begins with hmjoin1")):
        join(node, "x", text).expect(1, err=words)
    join(node, "x", b"HMJOIN1" + b"Q" * 200).expect(1, err="mistyped or cut")
    shout = cluster(node, "join", "HMJOIN1" + "Q" * 200, *newcomer(node, "x"))
    shout.expect(2, err="others can see a command line")
    assert "QQQQ" not in shout.out + shout.err  # a secret, however it is written
    cluster(node, "join", "no-such-file", *newcomer(node, "x")).expect(2, err="no file with a join ticket")
    cluster(node, "ticket").expect(3, err="no node answers")
    assert not (node.base / "x").exists()


def a_door_that_is_taken_is_told(node):
    cluster(node, "create", "--nodes", "3", "--net", "loopback", "--plot", "64K", "--snapshot-blocks", "10", "--engine-path",
            str(ENGINE), "--no-start").expect(0)
    host, port = doors(node)[0].rsplit(":", 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((host, int(port)))
        cluster(node, "start", "node0").expect(1, err="the door for newcomers cannot be opened")
    cluster(node, "start").expect(0)
    until(lambda: same_state(node, THREE), "one state")


def what_a_member_does_not_issue(node):
    cluster(node, "ticket", "--expires", "13h").expect(2, err="12 hours at most")
    cluster(node, "ticket", "--bond", "5").expect(2, err="bond goes with")
    cluster(node, "ticket", "--address", "0.0.0.0:1").expect(2, err="every address of this machine")
    cluster(node, "ticket", "--address", "example.org:1").expect(2, err="names are not looked up")
    cluster(node, "ticket", "--role", "king").expect(2, err="full validator")


def one_joins_from_the_first_block(node):
    text = ticket(node, "--fund")
    done = join(node, "a", text, "--from-genesis")
    done.expect(0, out="block 1")
    assert text.decode().strip() not in done.out + done.err
    state = its_state(node, "a")
    assert state["node"]["ready"] and not state["node"]["cluster"]["validator"]
    until(lambda: agrees(node, "a"), "one state", 60)
    node(*newcomer(node, "a"), "account", "create", "anna").expect(0)
    to = json.loads(node(*newcomer(node, "a"), "account", "show", "anna", "-o", "json").expect(0).out)["id"]
    node(*newcomer(node, "a"), "account", "transfer", to, "2.5").expect(0)
    for name in sorted(THREE):
        until(lambda name=name: json.loads(node(*on(node, name), "account", "show", to, "-o", "json").expect(0).out)["hyper"]
              == "2.5", f"{name} sees it")
    for folder in (node.data / "node0", node.base / "a"):
        secret = text.decode().strip()
        for name in ("hypermeshd.log", "tickets", "cluster.json", "engine/member"):
            if (folder / name).exists():
                assert secret.encode() not in (folder / name).read_bytes(), (folder, name)


def what_a_member_refuses(node):
    again = used(node)
    assert len(again) == 1
    text = ticket(node)
    short = ticket(node, "--expires", "1s")
    gone = ticket(node)
    last = json.loads(cluster(node, "ticket-ls", "-o", "json").expect(0).out)[-1]["id"]
    cluster(node, "ticket-revoke", last).expect(0)
    cluster(node, "ticket-revoke", "00" * 16).expect(4, err="no ticket of that id")
    cluster(node, "ticket-revoke", "xyz").expect(2, err="32 hexadecimal digits")
    time.sleep(1.1)
    join(node, "x", short).expect(1, err="expired at")
    join(node, "x", gone).expect(1, err="revoked")
    # Nobody is there; another member than the ticket's is.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        join(node, "x", text, f"127.0.0.1:{silent.getsockname()[1]}").expect(1, err="does not answer at")
    join(node, "x", text, doors(node)[1]).expect(1, err="is not the member")
    assert not (node.base / "x").exists()
    # A folder that is there is left as it is.
    (node.base / "full").mkdir()
    (node.base / "full" / "file").write_text("mine")
    join(node, "full", text).expect(1, err="give an empty folder")
    assert [p.name for p in (node.base / "full").iterdir()] == ["file"]
    # None of it has used the ticket up.
    join(node, "b", text, "--no-start").expect(0, err="joined")
    join(node, "c", text, "--no-start").expect(1, err="used, by another node")
    assert not (node.base / "c").exists() and len(used(node)) == 2
    shutil.rmtree(node.base / "b")


def killed_while_it_joins_it_goes_on(node):
    text = ticket(node, "--fund")
    for wait_s in (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3):
        process = node.start("cluster", "join", "--no-start", "-", *newcomer(node, "k"), *PARTS, stdin=subprocess.PIPE,
                             start_new_session=True)
        process.stdin.write(text)
        process.stdin.close()
        time.sleep(wait_s)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        process.stderr.close()
    join(node, "k", text, "--no-start").expect(0)
    assert len([t for t in used(node) if t["funded"]]) == 2, used(node)


def killed_in_state_sync_it_goes_on(node):
    for i in range(12):  # so that there is a snapshot which is newer than the first block's
        node(*on(node, "node0"), "kv", "put", "colour", str(i)).expect(0)
    kept = json.loads((node.base / "k" / "engine" / "sync.json").read_text())
    assert kept["rpc_servers"] == [f"unix://{node.base}/k/far.sock"] * 2
    process = node.start("cluster", "start", *newcomer(node, "k"), start_new_session=True)
    log = node.base / "k" / "hypermeshd.log"
    until(lambda: log.exists() and "Discover" in log.read_text(errors="replace"), "state sync begins", 60)
    tunnel = node.base / "k" / "far.sock"
    assert tunnel.stat().st_mode & 0o077 == 0
    kill_for_good(its_state(node, "k")["pid"])
    process.communicate(timeout=60)
    cluster(node, "start", *newcomer(node, "k")).expect(0)
    assert "the ledger begins with a snapshot of block" in log.read_text(errors="replace")
    assert its_state(node, "k")["node"]["ready"]
    until(lambda: agrees(node, "k"), "one state", 60)
    assert not tunnel.exists()  # there is nothing more to ask for
    gone = node(*newcomer(node, "k"), "block", "show", "1")
    assert gone.code != 0 and "began with a snapshot" in gone.err, gone.err


def one_that_nobody_pays_waits(node):
    done = join(node, "p", ticket(node))
    done.expect(0, out="its accounts are to be paid", err="account transfer hm1")
    asked = [line.split()[-3:] for line in done.err.splitlines() if "account transfer hm1" in line]
    assert [a[-1] for a in asked] == ["10000", "1000"], asked
    for _, to, amount in asked:
        node(*on(node, "node0"), "account", "transfer", to, amount).expect(0)
    until(lambda: its_state(node, "p")["node"]["ready"], "it is ready", 60)
    # It is started again as any other, and by up.
    cluster(node, "stop", *newcomer(node, "p")).expect(0)
    node("up", "--listen", "none", *newcomer(node, "p")).expect(0)
    until(lambda: agrees(node, "p"), "one state", 60)


def one_votes(node):
    join(node, "v", ticket(node, "--fund", "--role", "validator", "--bond", "2000")).expect(0, out="ready")
    assert its_state(node, "v")["node"]["cluster"]["validator"]
    until(lambda: all(s["node"]["cluster"]["validators"] == 4 for s in states(node).values()), "four for all", 60)


def destroy_leaves_nothing(node):
    for name in ("a", "k", "p", "v"):
        cluster(node, "destroy", "--yes", *newcomer(node, name)).expect(0)
        assert not (node.base / name).exists()
    cluster(node, "destroy", "--yes").expect(0)
    assert not node.data.exists()


def main():
    def end(node):
        for name in ("a", "b", "k", "p", "v"):
            if (node.base / name / "cluster.json").exists():
                cluster(node, "destroy", "--yes", *newcomer(node, name))

    return run_cluster_cases([what_is_no_ticket_is_refused, a_door_that_is_taken_is_told,
                              what_a_member_does_not_issue, one_joins_from_the_first_block, what_a_member_refuses,
                              killed_while_it_joins_it_goes_on, killed_in_state_sync_it_goes_on,
                              one_that_nobody_pays_waits, one_votes, destroy_leaves_nothing], end)


if __name__ == "__main__":
    sys.exit(main())
