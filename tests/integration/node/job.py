#!/usr/bin/env python3
"""The main job over the real daemon: leased, proven, run, settled."""
import os
import tempfile
import threading
import time

from daemon import Daemon, refused, run_cases, units

node = Daemon()


def setup():
    node.start()
    if not node.can_run_jobs():
        return "no container runtime works here: " + node.call("GET", "/node")["sandbox"]
    node.call("POST", "/images/base")
    return None


def finished_job_is_settled_and_paid():
    user, operator = (node.call("GET", f"/accounts/{name}") for name in ("user", "operator"))
    job = node.job(command="echo answer; echo trouble >&2; exit 0")
    assert (job["outcome"], job["exit_code"]) == ("finished", 0), job
    assert node.output(job["id"]) == ("answer\n", "trouble\n")
    lease = job["lease"]
    assert lease["state"] == "settled" and units(lease["paid"]) > 0 and units(lease["refunded"]) > 0, lease
    assert {item["kind"] for item in lease["items"]} == {"cpu", "memory", "storage", "container"}, lease
    assert lease["settlement"]["usage"], "no usage record"
    assert len(job["proofs"]) == 4 and all(proof["valid"] for proof in job["proofs"]), job["proofs"]
    after_user, after_operator = (node.call("GET", f"/accounts/{name}") for name in ("user", "operator"))
    fees = units(job["receipts"]["allocate"]["fee"])
    assert units(user["hyper"]) - units(after_user["hyper"]) == units(lease["paid"]) + fees
    gained = units(after_operator["hyper"]) - units(operator["hyper"])
    assert gained == units(lease["paid"]) - units(job["receipts"]["settle"]["fee"]), gained
    assert units(after_operator["caes"]) - units(operator["caes"]) == units(lease["reward_caes"])


def exit_code_is_the_commands():
    job = node.job(command="exit 7")
    assert (job["outcome"], job["exit_code"]) == ("failed", 7), job


def command_not_found_is_said():
    job = node.job(command=["/no/such/program"])
    assert job["outcome"] == "failed" and job["exit_code"] != 0 and job["reason"], job
    assert job["lease"]["state"] == "settled"


def timeout_ends_the_job_and_settles():
    job = node.job(command="sleep 60", timeout="1s")
    assert job["outcome"] == "timed_out" or job["outcome"] == "timed-out", job
    assert job["lease"]["state"] == "settled", job


def cancel_ends_the_job_and_settles():
    job = node.call("POST", "/jobs", {"image": "busybox", "command": "echo begun; sleep 60", "timeout": "90s"})
    while node.call("GET", f"/jobs/{job['id']}")["state"] != "running":
        time.sleep(0.02)
    node.call("DELETE", f"/jobs/{job['id']}")
    job = node.finish(job["id"])
    assert job["outcome"] == "cancelled" and job["lease"]["state"] == "settled", job
    held = units(job["lease"]["paid"]) + units(job["lease"]["refunded"])
    assert units(job["lease"]["paid"]) * 2 < held, "a job that ran a moment paid for more than half of its lease"


def cancel_while_it_waits_costs_nothing():
    holder = node.call("POST", "/jobs", {"image": "busybox", "command": "sleep 60", "cpus": 0.1, "memory": "32M",
                                         "storage": "16M", "timeout": "90s"})["id"]
    lease = None
    while not lease:
        lease = node.call("GET", f"/jobs/{holder}")["lease"]
    cpu = [item["asset"] for item in lease["items"] if item["kind"] == "cpu"][0]
    left = 1_000_000 - node.call("GET", f"/assets/{cpu}")["leased_ppm"]
    rest = node.call("PUT", f"/assets/{cpu}/allocate", {"share_ppm": left, "duration": "60s"})["lease"]
    try:
        before = node.call("GET", "/accounts/user")["hyper"]
        waiting = node.call("POST", "/jobs", {"image": "busybox", "command": "true", "timeout": "30s"})["id"]
        time.sleep(0.5)
        assert node.call("GET", f"/jobs/{waiting}")["state"] == "queued"
        begun = time.monotonic()
        node.call("DELETE", f"/jobs/{waiting}")
        job = node.finish(waiting)
        assert job["outcome"] == "cancelled" and time.monotonic() - begun < 2, job
        assert node.call("GET", "/accounts/user")["hyper"] == before
    finally:
        node.call("DELETE", f"/assets/{cpu}/release?lease={rest}")
        node.call("DELETE", f"/jobs/{holder}")
        node.finish(holder)


def jobs_are_paid_by_accounts_named_by_id():
    user = node.call("GET", "/accounts/user")["id"]
    job = node.call("POST", f"/jobs?account={user}", {"image": "busybox", "command": "true", "timeout": "30s"})
    assert node.finish(job["id"])["consumer"] == user
    refused("HM_EINVAL", node.call, "POST", "/jobs?account=" + "u" * 33, {"image": "busybox", "command": "true"})


def output_streams_while_it_runs():
    job = node.call("POST", "/jobs", {"image": "busybox", "command": "echo first; sleep 3; echo last", "timeout": "30s"})
    begun = time.monotonic()
    text = node.call("GET", f"/jobs/{job['id']}/logs?format=text", raw=True)
    while b"first" not in text and time.monotonic() - begun < 20:
        time.sleep(0.05)
        text = node.call("GET", f"/jobs/{job['id']}/logs?format=text", raw=True)
    assert b"first" in text and b"last" not in text, text
    assert node.output(job["id"])[0] == "first\nlast\n"
    node.finish(job["id"])


def inputs_and_outputs():
    with tempfile.TemporaryDirectory() as base:
        os.mkdir(f"{base}/in")
        with open(f"{base}/in/text", "w") as file:
            file.write("seven\n")
        job = node.job(command="cp /in/text /out/copy; echo no > /in/text", inputs=[{"source": f"{base}/in", "target": "/in"}],
                       outputs=[{"source": "/out", "target": f"{base}/out"}])
        with open(f"{base}/in/text") as file:
            assert file.read() == "seven\n", "the input was written"
        assert job["outcome"] == "failed", "writing the input did not fail"
        job = node.job(command="cp /in/text /out/copy", inputs=[{"source": f"{base}/in", "target": "/in"}],
                       outputs=[{"source": "/out", "target": f"{base}/out"}])
        assert job["outcome"] == "finished" and job["result"], job
        with open(f"{base}/out/copy") as file:
            assert file.read() == "seven\n"


def same_bytes_same_result():
    with tempfile.TemporaryDirectory() as base:
        results = {node.job(command="echo 42 > /out/answer", outputs=[{"source": "/out", "target": f"{base}/{n}"}])["result"]
                   for n in range(2)}
        assert len(results) == 1, results


def many_at_once_never_oversubscribe():
    most = 0
    done = threading.Event()

    def watch():
        nonlocal most
        while not done.is_set():
            most = max([most] + [asset["leased_ppm"] for asset in node.call("GET", "/assets")["items"]])
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        jobs = [node.call("POST", "/jobs", {"image": "busybox", "command": "sleep 0.2", "cpus": 0.7, "memory": "32M",
                                            "storage": "16M", "timeout": "60s"})["id"] for _ in range(8)]
        outcomes = [node.finish(job)["outcome"] for job in jobs]
    finally:
        done.set()
        watcher.join()
    assert outcomes == ["finished"] * 8, outcomes
    assert 0 < most <= 1_000_000, most
    assert all(asset["leased_ppm"] == 0 for asset in node.call("GET", "/assets")["items"])


def too_large_is_refused_with_the_reason():
    job = node.job(command="true", cpus=512)
    assert job["outcome"] == "failed" and "cpu" in job["reason"], job
    assert "lease" not in job or not job["lease"]


def unknown_image_is_refused_before_a_lease():
    assert "no-such" in refused("HM_ENOTFOUND", node.call, "POST", "/jobs", {"image": "no-such", "command": "true"})


def price_limit_holds():
    job = node.job(command="true", max_price="0.000000001")
    assert job["outcome"] == "failed" and "max_price" in job["reason"], job


def supply_is_conserved_and_the_chain_replays():
    supply = node.supply()
    assert supply["hyper_genesis"] == supply["hyper_accounts"] + supply["hyper_bonded"] + supply["hyper_escrow"] + \
        supply["hyper_burnt"], supply
    assert supply["hyper_escrow"] == 0, "escrow is left over"
    lines = node.call("POST", "/chain/verify", raw=True).decode().splitlines()
    assert '"ok": true' in lines[-1] or '"ok":true' in lines[-1], lines[-1]


def nothing_is_left_behind():
    with open("/proc/self/mountinfo") as mounts:
        assert node.data not in mounts.read(), "a mount is left"
    for job in node.call("GET", "/jobs")["items"]:
        for folder, _, files in os.walk("/sys/fs/cgroup"):
            assert job["id"] not in folder, folder


if __name__ == "__main__":
    try:
        reason = setup()
        if reason:
            print(f"skip job: {reason}")
            raise SystemExit(0)
        run_cases([finished_job_is_settled_and_paid, exit_code_is_the_commands, command_not_found_is_said,
                   timeout_ends_the_job_and_settles, cancel_ends_the_job_and_settles, cancel_while_it_waits_costs_nothing,
                   jobs_are_paid_by_accounts_named_by_id, output_streams_while_it_runs,
                   inputs_and_outputs, same_bytes_same_result, many_at_once_never_oversubscribe,
                   too_large_is_refused_with_the_reason, unknown_image_is_refused_before_a_lease, price_limit_holds,
                   supply_is_conserved_and_the_chain_replays, nothing_is_left_behind])
    finally:
        try:
            node.stop()
        finally:
            node.remove()
