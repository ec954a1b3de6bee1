#!/usr/bin/env python3
"""What nexus cluster says and refuses: a node that is dead, or lost, leaves; keys to much money do not go unasked."""
import json
import os
import pathlib
import shutil
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cluster_basic import ENGINE, cluster, on, states
from nexus_cli import SKIPPED, Node, run_cases, running, until


def kill(node, name):
    pid = states(node)[name]["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not running(pid), f"{name} ends")


def three_begin(node):
    cluster(node, "create", "--nodes", "3", "--net", "loopback", "--plot", "64K", "--engine-path", str(ENGINE)).expect(0)


def a_dead_follower_is_removed(node):
    cluster(node, "add").expect(0)
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


def destroy_leaves_nothing(node):
    cluster(node, "destroy").expect(2, err="--yes")
    cluster(node, "destroy", "--yes").expect(0)
    assert not node.data.exists()


def main():
    if not ENGINE.exists():
        print(f"skipped: {ENGINE} is not there; scripts/setup --cluster makes it")
        return SKIPPED
    node = Node()
    try:
        return run_cases([three_begin, a_dead_follower_is_removed, a_lost_follower_is_removed, a_validator_that_is_down_is_not,
                          keys_to_much_do_not_go_unasked, destroy_leaves_nothing], node)
    finally:
        if (node.data / "cluster.json").exists():
            cluster(node, "destroy", "--yes")
        shutil.rmtree(node.base, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
