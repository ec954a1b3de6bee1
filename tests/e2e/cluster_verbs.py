#!/usr/bin/env python3
"""What nexus cluster says and refuses: what cannot start is not made, and uses no ticket up; a node that is dead, or lost, leaves; keys
to much money do not go unasked."""
import json
import pathlib
import shutil
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cluster_basic import cluster, on, states
from nexus_cli import ENGINE, kill_for_good, run_cluster_cases, running, until


def kill(node, name):
    pid = states(node)[name]["pid"]
    kill_for_good(pid)
    until(lambda: not running(pid), f"{name} ends")


def what_cannot_start_is_not_made(node):
    made = ("create", "--nodes", "3", "--net", "loopback", "--plot", "64K")
    cluster(node, *made, "--engine-path", "/bin/true").expect(1, err="is not cometbft 0.38.25")
    cluster(node, *made, "--engine-path", "/no/such").expect(1, err="cannot be run")
    for address, words in (("192.0.2.1", "is no address of this machine"), ("example.org", "in digits"), ("0.0.0.0", "every"),
                           ("127.0.0.1:26656", "without a port")):
        cluster(node, *made, "--address", address, "--engine-path", str(ENGINE)).expect(2, err=words)
    assert not node.data.exists()
    # Looked at by the nodes themselves only: what was made goes again.
    cluster(node, *made, "--engine-path", str(ENGINE), "--snapshot-blocks", "x").expect(1, err="what was made is removed again")
    assert not node.data.exists()


def three_begin(node):
    cluster(node, "create", "--nodes", "3", "--net", "loopback", "--plot", "64K", "--engine-path", str(ENGINE)).expect(0)
    # None of those that the kernel hands to other programs while a node is stopped.
    kernels = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = [int(s["p2p"].rsplit(":", 1)[1]) for s in states(node).values()]
    assert kernels <= 10000 or 10000 <= min(ports) <= max(ports) < kernels, ports


def a_dead_follower_is_removed(node):
    cluster(node, "add").expect(0, err="the user of node0 pays its accounts 10000 and 1000 HYPER")
    kill(node, "node3")
    cluster(node, "remove", "node3").expect(0)
    assert len(states(node)) == 3 and not (node.data / "node3").exists()


def a_lost_follower_is_removed(node):
    cluster(node, "add").expect(0)
    kill(node, "node3")
    shutil.rmtree(node.data / "node3")
    cluster(node, "remove", "node3").expect(0)
    assert len(states(node)) == 3


def a_validator_that_is_down_is_not(node):
    cluster(node, "stop", "node2").expect(0)
    cluster(node, "remove", "node2", "--yes").expect(5, err="node2 is a validator, and only while it runs can it retire")
    cluster(node, "stop").expect(0)
    cluster(node, "remove", "node2", "--yes").expect(3, err="no node of the cluster answers")
    cluster(node, "start").expect(0)
    assert len(states(node)) == 3 and (node.data / "node2").is_dir()


def keys_to_much_do_not_go_unasked(node):
    refused = cluster(node, "remove", "node0").expect(2, err="--yes")
    assert "the keys to " in refused.err and " HYPER, and to the account that owns the key-value store" in refused.err
    assert "key-value" not in cluster(node, "remove", "node1").expect(2, err="the keys to ").err
    assert len(states(node)) == 3 and all(s["node"]["cluster"]["validator"] for s in states(node).values())


def newcomer(node):
    return ("--data", str(node.base / "new"))


def join(node, text, *args):
    return cluster(node, "join", "-", *newcomer(node), "--plot", "64K", "--engine-path", str(ENGINE), *args, stdin=text)


def what_cannot_start_uses_no_ticket_up(node):
    text = cluster(node, "ticket", "--fund", "--role", "validator", "--bond", "2000").expect(
        0, err="is of no use on another machine").out.encode()
    cluster(node, "join", "-", *newcomer(node), "--engine-path", "/bin/true", stdin=text).expect(1, err="is not cometbft")
    with socket.socket() as taken, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        door.bind(("127.0.0.1", 0))
        join(node, text, "--p2p-listen", f"127.0.0.1:{taken.getsockname()[1]}").expect(1, err="give another --p2p-listen")
        join(node, text, "--door-listen", f"127.0.0.1:{door.getsockname()[1]}").expect(1, err="give another --door-listen")
    join(node, text, "--p2p-listen", "192.0.2.1:1").expect(2, err="no address of this machine")
    assert not (node.base / "new").exists()
    assert not any(t["used_ms"] for t in json.loads(cluster(node, "ticket-ls", "-o", "json").expect(0).out))
    # Cut off after it was started, the same command goes on to the end: it is paid, bonds and votes.
    join(node, text, "--wait", "1ms").expect(1, err="not ready yet")
    join(node, text, "--commission", "1000001").expect(2, err="at most 1000000 parts")
    join(node, text, "--commission", "20000").expect(0, out="ready", err="has joined")
    state = states_of(node, "new")[0]
    assert state["node"]["ready"] and state["node"]["cluster"]["validator"]
    kept = json.loads((node.base / "new" / "cluster.json").read_text())
    assert kept["funded"] == kept["bond"] == ""


def states_of(node, name):
    return json.loads(cluster(node, "status", "--data", str(node.base / name), "-o", "json").expect(0).out)["nodes"]


def ids_are_whole_where_they_are_used(node):
    ours = json.loads(node(*newcomer(node), "account", "show", "operator", "-o", "json").expect(0).out)["id"]
    assert ours in node(*on(node, "node0"), "validator", "ls").expect(0).out
    node(*on(node, "node0"), "validator", "show", ours).expect(0, out=ours)
    shown = json.loads(node(*on(node, "node0"), "validator", "show", ours, "-o", "json").expect(0).out)
    assert shown["commission_ppm"] == 20000
    node(*newcomer(node), "validator", "commission", "operator", "20001").expect(5, err="the commission was declared ")
    node(*on(node, "node0"), "stake", "give", ours, "10").expect(0)
    node(*on(node, "node0"), "stake", "take", ours, "--amount", "4").expect(0)
    row = [line.split() for line in node(*on(node, "node0"), "stake", "ls").expect(0, out="FREE AT").out.splitlines() if ours in line]
    assert len(row) == 1 and row[0][1:3] == ["6", "4"], row
    listed = json.loads(node(*on(node, "node0"), "stake", "ls", "-o", "json").expect(0).out)[0]
    assert row[0][3:5] == time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(listed["free_ms"] / 1000)).split(), (row, listed)


def how_nodes_are_started_can_be_changed(node):
    kept = (node.data / "cluster.json").read_text()
    cluster(node, "start", "--engine-path", "/bin/true").expect(1, err="is not cometbft")
    cluster(node, "start", "--door-listen", "127.0.0.1:1").expect(2, err="are one node's")
    cluster(node, "start", "--address", "127.0.0.2").expect(5, err="node0 runs")
    assert (node.data / "cluster.json").read_text() == kept
    cluster(node, "ticket", *newcomer(node)).expect(5, err="cluster start node0 --door-listen")
    cluster(node, "stop", *newcomer(node)).expect(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        door = f"127.0.0.1:{free.getsockname()[1]}"
    cluster(node, "start", *newcomer(node), "--door-listen", door, "--engine-path", str(ENGINE)).expect(0)
    assert cluster(node, "ticket", *newcomer(node)).expect(0).out.startswith("hmjoin1")
    cluster(node, "destroy", "--yes", *newcomer(node)).expect(0)


def who_is_unpaid_is_told_once(node):
    text = cluster(node, "ticket").expect(0).out.encode()
    join(node, text, "--no-start").expect(0)
    told = cluster(node, "start", *newcomer(node), "--wait", "20s").expect(1, err="10000 and 1000 HYPER are enough").err
    assert told.count("somebody has to pay") == 2 and "base units" not in told, told  # while it waits, and as it gives up
    cluster(node, "destroy", "--yes", *newcomer(node)).expect(0)


def all_move_to_an_address(node):
    cluster(node, "stop").expect(0)
    cluster(node, "start", "--address", "127.0.0.2").expect(0)
    kept = json.loads((node.data / "cluster.json").read_text())
    assert kept["address"] == "127.0.0.2" and all(n["door"].startswith("127.0.0.2:") for n in kept["nodes"])
    node(*on(node, "node1"), "account", "create", "anna").expect(0)


def destroy_leaves_nothing(node):
    cluster(node, "destroy").expect(2, err="--yes")
    cluster(node, "destroy", "--yes").expect(0)
    assert not node.data.exists()


def main():
    def end(node):
        if (node.base / "new" / "cluster.json").exists():
            cluster(node, "destroy", "--yes", *newcomer(node))

    return run_cluster_cases([what_cannot_start_is_not_made, three_begin, a_dead_follower_is_removed,
                              a_lost_follower_is_removed, a_validator_that_is_down_is_not,
                              keys_to_much_do_not_go_unasked, what_cannot_start_uses_no_ticket_up,
                              ids_are_whole_where_they_are_used, how_nodes_are_started_can_be_changed,
                              who_is_unpaid_is_told_once, all_move_to_an_address, destroy_leaves_nothing], end)


if __name__ == "__main__":
    sys.exit(main())
