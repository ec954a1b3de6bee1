#!/usr/bin/env python3
"""Many kills at random moments, under every kind of load at once. First argument: kills; second: seed; third, if any:
a file that says how far it is, one line a kill.

After each kill the node starts again and must hold everything it had answered, nothing twice, no gap in the history
of keys, and all the money. Now and then it is killed while it starts.
"""
import http.client
import os
import random
import signal
import sys
import threading
import time

from daemon import Daemon, Refused, run_cases, units

KILLS = int(sys.argv[1]) if len(sys.argv) > 1 else 50
if "HYPERMESH_BRIEF" in os.environ:  # under a sanitizer
    KILLS = min(KILLS, 15)
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 20261121
PROGRESS = sys.argv[3] if len(sys.argv) > 3 else None
JOB_EVERY = 10  # kills
LONGEST_LOAD_S = 0.4
LOST = (OSError, http.client.HTTPException, ValueError)

node = Daemon()
chance = random.Random(SEED)


class Load:
    """One client: what it was told is done, for ever. `step` does one thing and records the answer."""

    def __init__(self, name):
        self.name, self.acknowledged, self.count, self.broken = name, 0, 0, None

    def run(self, stop):
        while not stop.is_set() and self.broken is None:
            try:
                self.step()
                self.acknowledged += 1
            except Refused as problem:
                if problem.status not in (409, 503):
                    self.broken = problem
                time.sleep(0.002)
            except LOST:
                return  # killed: what was under way may be done or not, and nothing was sent after it
            except Exception as problem:  # a wrong answer: the test's thread says so, this one would only end
                self.broken = problem

    def step(self):
        raise NotImplementedError

    def check(self):
        """After a restart."""


class Transfers(Load):
    def __init__(self, name):
        super().__init__(name)
        self.receipts = []

    def step(self):
        receipt = node.call("POST", f"/accounts/{self.name}/transfer", {"to": "operator", "amount": "0.000000001"}, timeout=20)
        self.receipts.append((receipt["tx"], receipt["height"]))

    def check(self):
        for digest, height in self.receipts:
            tx = node.call("GET", f"/txs/{digest}")
            assert tx["height"] == height and tx["code"] == "ok", (digest, tx)
        self.receipts = self.receipts[-1:]


class Puts(Load):
    """Writes 1, 2, 3 ... to one key. What is there afterwards is the last answered, or the one under way."""

    def __init__(self, name):
        super().__init__(name)
        self.last = (0, 0)

    def step(self):
        self.count = max(self.count, self.last[0]) + 1
        answer = node.call("PUT", f"/kv/crash%2F{self.name}", {"value": str(self.count)}, timeout=20)
        self.last = (self.count, answer["revision"])

    def check(self):
        if self.last[0] == 0:
            return
        entry = node.call("GET", f"/kv/crash%2F{self.name}")
        value, revision = int(entry["value"]), entry["mod_revision"]
        assert value >= self.last[0], (self.name, value, self.last)
        assert value == self.count if value > self.last[0] else revision == self.last[1], (entry, self.last)
        self.last = (value, revision)  # seen once, it stays


class Counter(Load):
    """Adds one by compare-and-swap: an answered step is counted exactly once."""

    def __init__(self, name):
        super().__init__(name)
        self.value, self.unsure = 0, 0

    def step(self):
        key = f"crash/{self.name}"
        compare = ({"key": key, "target": "value", "result": "equal", "value": str(self.value)} if self.value
                   else {"key": key, "target": "version", "result": "equal", "number": 0})
        self.unsure = 1
        answer = node.call("POST", "/kv-txn", {"compare": [compare],
                                               "success": [{"put": {"key": key, "value": str(self.value + 1)}}]}, timeout=20)
        assert answer["succeeded"], (self.value, answer)
        self.value, self.unsure = self.value + 1, 0

    def check(self):
        try:
            there = int(node.call("GET", f"/kv/crash%2F{self.name}")["value"])
        except Refused as problem:
            assert problem.status == 404, problem
            there = 0
        assert self.value <= there <= self.value + self.unsure, (self.value, there, self.unsure)
        self.value, self.unsure = there, 0


class Assets(Load):
    """Changes the price of an asset."""

    def __init__(self, name, asset):
        super().__init__(name)
        self.asset, self.last = asset, 0

    def step(self):
        self.count += 1
        node.call("PUT", f"/assets/{self.asset}", {"price_per_hour": f"{self.count}"}, timeout=20)
        self.last = self.count

    def check(self):
        if self.last:
            price = int(float(node.call("GET", f"/assets/{self.asset}")["price_per_hour"]))
            assert price in (self.last, self.count), (price, self.last, self.count)
            self.last = price


def supply_is_whole():
    supply = {name: units(value) for name, value in node.call("GET", "/consensus/status")["supply"].items()}
    parts = sum(supply[part] for part in ("hyper_accounts", "hyper_bonded", "hyper_escrow", "hyper_burnt", "hyper_deposits"))
    assert parts == supply["hyper_genesis"], supply


def history_has_no_gap(after):
    """Every revision from `after` to the newest once, in order. Returns the newest."""
    text = node.call("GET", f"/kv-watch?prefix=&from={after + 1}&follow=false", raw=True, timeout=120).decode()
    seen = [int(line[4:].split(".")[0]) for line in text.splitlines() if line.startswith("id: ")]
    newest = node.call("GET", "/kv-state")["revision"]
    assert seen == list(range(after + 1, newest + 1)), (after, newest, seen[:3], seen[-3:], len(seen))
    return newest


def start_killed_now_and_then(turn):
    while turn % 5 == 4 and chance.random() < 0.5:
        node.spawn()
        time.sleep(chance.random() * 0.15)
        node.kill()
    node.start()


def start_job(turn, jobs):
    if turn % JOB_EVERY == 0 and node.can_run_jobs():
        jobs.append(node.call("POST", "/jobs", {"image": "busybox", "command": "sleep 300", "timeout": "10m", "cpus": 0.1,
                                                "memory": "16M", "storage": "16M"})["id"])


def progress(kills, clients):
    if PROGRESS:
        with open(PROGRESS, "w", encoding="utf-8") as file:
            file.write(f"{kills} {sum(client.acknowledged for client in clients)}\n")


def loads():
    name = "client0"
    account = node.call("POST", "/accounts", {"name": name})
    node.call("POST", "/accounts/user/transfer", {"to": account["id"], "amount": "10000"})
    asset = next(item["id"] for item in node.call("GET", "/assets")["items"] if item["kind"] == "memory")
    return [Transfers(name), Puts("a"), Puts("b"), Counter("counter"), Assets("price", asset)]


def killed_at_random():
    node.start()
    if node.can_run_jobs():
        node.call("POST", "/images/base")
    clients, jobs, revision = loads(), [], node.call("GET", "/kv-state")["revision"]
    for turn in range(KILLS):
        stop = threading.Event()
        threads = [threading.Thread(target=client.run, args=(stop,)) for client in clients]
        start_job(turn, jobs)
        for thread in threads:
            thread.start()
        time.sleep(chance.random() * LONGEST_LOAD_S)
        node.kill()
        stop.set()
        for thread in threads:
            thread.join()
        start_killed_now_and_then(turn)
        for client in clients:
            assert client.broken is None, (SEED, turn, client.name, repr(client.broken))
            client.check()
        supply_is_whole()
        revision = history_has_no_gap(revision)
        progress(turn + 1, clients)
    answered = sum(client.acknowledged for client in clients)
    for job in jobs:
        record = node.finish(job)
        assert record["outcome"] == "failed", record
        if record["lease"] is None:  # the load raised the price between offer and lease
            assert "lease.price" in record["reason"], record
        else:
            assert record["lease"]["state"] == "settled", record
    assert units(node.call("GET", "/consensus/status")["supply"]["hyper_escrow"]) == 0
    print(f"# seed {SEED}: {answered} acknowledged over {KILLS} kills", flush=True)
    assert answered > KILLS, "hardly any load"


def chain_replays_after_the_kills():
    lines = node.call("POST", "/chain/verify", raw=True, timeout=600).decode().splitlines()
    assert '"ok":true' in lines[-1].replace(" ", ""), lines[-1]


def a_log_that_is_gone_is_missed():
    """After a kill the last answers are only in the block log: without it the node does not start, and says so."""
    node.call("PUT", "/kv/crash%2Flast", {"value": "answered"})
    node.kill()
    for name in ("blocks.0", "blocks.1"):
        there = os.path.join(node.data, name)
        os.rename(there, there + ".aside")
        for _ in range(2):
            try:
                node.start()
            except RuntimeError as refused:
                assert f"{name} is missing" in str(refused) and "restore the node from a backup" in str(refused), refused
            else:
                raise AssertionError(f"it started without {name}")
        os.rename(there + ".aside", there)
    node.start()
    assert node.call("GET", "/kv/crash%2Flast")["value"] == "answered"


def after_a_clean_stop_the_log_may_go():
    assert node.stop() == 0, node.log()
    for name in ("blocks.0", "blocks.1"):
        os.remove(os.path.join(node.data, name))
    node.start()
    assert node.call("GET", "/kv/crash%2Flast")["value"] == "answered"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # not without ending the node
    kept = bool(os.environ.get("HYPERMESH_KEEP"))  # what a failure leaves behind
    try:
        run_cases([killed_at_random, chain_replays_after_the_kills, a_log_that_is_gone_is_missed,
                   after_a_clean_stop_the_log_may_go])
    except SystemExit as end:
        kept = kept and end.code != 0
        raise
    finally:
        if kept:
            if node.process is not None and node.process.poll() is None:
                node.kill()
            print(f"# seed {SEED}: data and log are kept in {node.base}", flush=True)
        else:
            node.remove()
