#!/usr/bin/env python3
"""Challenges and the key-value store of a whole daemon over HTTP: an honest node wins, its challenger loses the deposit;
many writers share transactions while watchers hear of each change. Lost and silent nodes, whose chain needs a short
window, are in tests/unit/node/test_challenge.c."""
import http.client
import json
import os
import socket
import threading
import time

from daemon import Daemon, UnixConnection, refused, run_cases, units

WRITERS, PUTS, WATCHERS = 12, 25, 4


def ended(node, challenge, wait=30):
    end = time.monotonic() + wait
    while time.monotonic() < end:
        found = node.call("GET", f"/consensus/challenges/{challenge}")
        if found["state"] not in ("open", "challenge_open"):
            return found
        time.sleep(0.1)
    raise AssertionError(f"challenge {challenge} does not end: {found}")


def operator(node):
    return node.call("GET", "/accounts/operator")


def an_honest_node_wins():
    with Daemon() as node:
        bonded, hyper = units(operator(node)["bonded"]), units(operator(node)["hyper"])
        before = units(node.call("GET", "/accounts/user")["hyper"])
        challenge = node.call("POST", "/consensus/challenge", {"node": "operator"})
        found = ended(node, challenge["challenge"])
        assert "answered" in found["state"], found
        assert units(operator(node)["bonded"]) == bonded
        assert units(operator(node)["hyper"]) > hyper  # the deposit, less the fee of the answer
        assert units(node.call("GET", "/accounts/user")["hyper"]) < before - units("1")
        assert "hypermesh_challenges_won_total 1" in node.call("GET", "/metrics", raw=True).decode()
        refused("HM_EINVAL", node.call, "POST", "/consensus/challenge", {"node": "nobody at all"})
        assert node.stop() == 0, node.log()


def a_jobs_result_is_shown_after_a_restart():
    with Daemon() as node:
        if not node.can_run_jobs():
            return "no container runtime works here"
        node.call("POST", "/images/base")
        job = node.job(command="echo done")
        assert job["outcome"] == "finished", job
        assert node.stop() == 0, node.log()
        node.start()
        challenge = node.call("POST", "/consensus/challenge", {"lease": job["lease_id"]})
        found = ended(node, challenge["challenge"])
        assert "answered" in found["state"], found
        assert node.stop() == 0, node.log()
    return None


class Watch(threading.Thread):
    """Collects the changes of a prefix until it has as many, or the time is over."""

    def __init__(self, node, prefix, wanted):
        super().__init__()
        self.connection = UnixConnection(os.path.join(node.data, "api.sock"), 30)
        self.connection.request("GET", f"/kv-watch?prefix={prefix}&from=1")
        self.answer, self.wanted, self.seen = self.connection.getresponse(), wanted, []

    def run(self):
        try:
            while len(self.seen) < self.wanted:
                line = self.answer.readline()
                if not line:
                    return
                if line.startswith(b"data:"):
                    self.seen.append(json.loads(line[5:]))
        except (socket.timeout, http.client.HTTPException):
            return
        finally:
            self.connection.close()


def every_watcher_hears_of_every_change():
    with Daemon() as node:
        watches = [Watch(node, "k", WRITERS * PUTS) for _ in range(WATCHERS)]
        watches += [Watch(node, f"k{n}-", PUTS) for n in range(WRITERS)]
        failures, revisions = [], []

        def write(number):
            for i in range(PUTS):
                try:
                    revisions.append(node.call("PUT", f"/kv/k{number}-{i % 5}", {"value": str(i)})["revision"])
                except Exception as error:  # told below, by the test's own thread
                    failures.append(error)

        writers = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
        for thread in watches + writers:
            thread.start()
        for thread in watches + writers:
            thread.join(60)
        assert not failures, failures[0]
        assert len(set(revisions)) == WRITERS * PUTS  # each its own, also where they shared a transaction
        for watch in watches:
            found = [change["revision"] for change in watch.seen]
            assert len(found) == watch.wanted and found == sorted(found), (watch.wanted, found)
        txs = node.call("GET", "/accounts/user")["txs"]
        assert txs < WRITERS * PUTS, f"{WRITERS * PUTS} puts took {txs} transactions"
        assert node.stop() == 0, node.log()


if __name__ == "__main__":
    run_cases([an_honest_node_wins, a_jobs_result_is_shown_after_a_restart, every_watcher_hears_of_every_change])
