#!/usr/bin/env python3
"""kill -9 under load: what was answered is there after the restart, and the chain replays. First argument: rounds."""
import http.client
import os
import sys
import threading
import time

from daemon import Daemon, Refused, run_cases, units

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 4
CLIENTS = 4
node = Daemon()
acknowledged = []


def load(name, stop):
    """Transfers until told to stop or cut off; remembers each answer."""
    while not stop.is_set():
        try:
            receipt = node.call("POST", f"/accounts/{name}/transfer", {"to": "operator", "amount": "0.000000001"}, timeout=20)
            acknowledged.append((receipt["tx"], receipt["height"]))
        except (OSError, http.client.HTTPException, ValueError, Refused):
            if node.process.poll() is not None or stop.is_set():
                return
            time.sleep(0.01)


def clients():
    names = [f"client{n}" for n in range(CLIENTS)]
    for name in names:
        account = node.call("POST", "/accounts", {"name": name})
        node.call("POST", "/accounts/user/transfer", {"to": account["id"], "amount": "1000"})
    return names


def acknowledged_operations_survive():
    node.start()
    names = clients()
    for turn in range(ROUNDS):
        stop = threading.Event()
        threads = [threading.Thread(target=load, args=(name, stop)) for name in names]
        before = len(acknowledged)
        for thread in threads:
            thread.start()
        end = time.monotonic() + 60
        while len(acknowledged) == before and time.monotonic() < end:  # slow machines need a moment
            time.sleep(0.01)
        time.sleep(0.3 + 0.17 * (turn % 5))
        node.kill()
        stop.set()
        for thread in threads:
            thread.join()
        assert len(acknowledged) > before, "no load in this round"
        node.start()
        for digest, height in acknowledged[before:]:
            tx = node.call("GET", f"/txs/{digest}")
            assert tx["height"] == height and tx["code"] in (0, "0", None, "ok"), (digest, tx)
    print(f"# {len(acknowledged)} acknowledged over {ROUNDS} kills", flush=True)


def chain_replays_after_the_crashes():
    lines = node.call("POST", "/chain/verify", raw=True, timeout=300).decode().splitlines()
    assert '"ok": true' in lines[-1] or '"ok":true' in lines[-1], lines[-1]


def killed_daemon_settles_its_job():
    if not node.can_run_jobs():
        return "no container runtime works here"
    node.call("POST", "/images/base")
    job = node.call("POST", "/jobs", {"image": "busybox", "command": "sleep 300", "timeout": "10m", "memory": "32M",
                                      "storage": "16M"})["id"]
    while node.call("GET", f"/jobs/{job}")["state"] != "running":
        time.sleep(0.02)
    node.kill()
    node.start()
    record = node.finish(job)
    assert record["outcome"] == "failed" and record["reason"], record
    assert record["lease"]["state"] == "settled", record
    assert units(node.call("GET", "/consensus/status")["supply"]["hyper_escrow"]) == 0
    with open("/proc/self/mountinfo") as mounts:
        assert job not in mounts.read(), "a mount is left"
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/stat") as stat, open(f"/proc/{process}/cgroup") as cgroup:
                dead = stat.read().rpartition(")")[2].split()[0] == "Z"  # the init process's to collect
                assert dead or job not in cgroup.read(), f"process {process} is left"
        except OSError:
            continue
    return None


def killed_at_any_moment_leaves_no_lease():
    """Kills spread over the first moments of a job: also between a block and the record that names it."""
    if not node.can_run_jobs():
        return "no container runtime works here"
    for turn in range(ROUNDS * 2):
        job = node.call("POST", "/jobs", {"image": "busybox", "command": "sleep 300", "timeout": "10m",
                                          "memory": "32M", "storage": "16M"})["id"]
        time.sleep(0.004 * turn)
        node.kill()
        node.start()
        record = node.finish(job)
        assert record["outcome"] == "failed", record
        leases = node.call("GET", "/leases?active=true")["items"]
        assert not leases, (turn, record, leases)
    return None


if __name__ == "__main__":
    try:
        run_cases([acknowledged_operations_survive, chain_replays_after_the_crashes, killed_daemon_settles_its_job,
                   killed_at_any_moment_leaves_no_lease])
    finally:
        try:
            node.stop()
        finally:
            node.remove()
