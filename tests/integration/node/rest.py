#!/usr/bin/env python3
"""Document 004's REST over the real daemon: assets, leases, consensus, privacy, accounts, state proofs."""
import contextlib
import os
import re
import threading
import time

from daemon import Daemon, Refused, refused, run_cases, units

node = Daemon()


def register(name, price="3600", **more):
    body = {"kind": "cpu", "hardware_id": name, "capacity": 4000, "price_per_hour": price, "account": "operator",
            "privacy": {"level": "FullPublic"}, **more}
    return node.call("POST", "/assets/register", body)["asset"]


def machine_is_registered():
    kinds = {asset["kind"] for asset in node.call("GET", "/assets")["items"]}
    assert {"cpu", "memory", "storage", "container"} <= kinds, kinds


def asset_life():
    asset = register("test-life")
    got = node.call("GET", f"/assets/{asset}")
    assert got["capacity"] == 4000 and got["state"] == "active" and got["address"].startswith("fd"), got
    lease = node.call("PUT", f"/assets/{asset}/allocate", {"share": "25%", "duration": "10s"})["lease"]
    assert node.call("GET", f"/assets/{asset}")["leased_ppm"] == 250_000
    state = node.call("GET", f"/leases/{lease}")
    assert state["state"] == "active" and units(state["escrow"]) == 2_500_000_000, state
    node.call("DELETE", f"/assets/{asset}/release")
    state = node.call("GET", f"/leases/{lease}")
    assert state["state"] == "released" and units(state["paid"]) + units(state["refunded"]) == 2_500_000_000, state
    assert node.call("GET", f"/assets/{asset}")["leased_ppm"] == 0
    events = [event["op"] for event in node.call("GET", f"/assets/{asset}/history")["items"]]
    assert len(events) >= 3, events


def shares_are_never_oversubscribed():
    asset = register("test-shares")
    for _ in range(2):
        node.call("PUT", f"/assets/{asset}/allocate", {"share": "50%", "duration": "60s"})
    refused("HM_ECONFLICT", node.call, "PUT", f"/assets/{asset}/allocate", {"share_ppm": 1, "duration": "60s"})


def lease_expires_by_itself():
    asset = register("test-expiry")
    lease = node.call("PUT", f"/assets/{asset}/allocate", {"share": "100%", "duration": "1s"})["lease"]
    time.sleep(2.5)
    state = node.call("GET", f"/leases/{lease}")
    assert state["state"] == "expired" and units(state["paid"]) == 1_000_000_000, state
    assert units(state["refunded"]) == 0 and node.call("GET", f"/assets/{asset}")["leased_ppm"] == 0


def idle_makes_no_blocks():
    time.sleep(1.5)  # the last case's lease of a second ends
    before = node.call("GET", "/consensus/status")["height"]
    time.sleep(1.5)
    assert node.call("GET", "/consensus/status")["height"] == before


def ownership_is_the_owners():
    asset = register("test-owner")
    refused("HM_EPERM", node.call, "PUT", f"/assets/{asset}", {"price_per_hour": "1", "account": "user"})
    refused("HM_EPERM", node.call, "PUT", "/privacy/level", {"asset": asset, "level": "Private", "account": "user"})


def privacy_is_decided_in_the_ledger():
    asset = register("test-privacy")
    node.call("PUT", "/privacy/level", {"asset": asset, "level": "Private", "account": "operator"})
    text = refused("HM_EPERM", node.call, "PUT", f"/assets/{asset}/allocate", {"share": "1%", "duration": "1s"})
    assert "rivate" in text, text
    settings = node.call("GET", f"/privacy/settings?asset={asset}")["items"]
    assert settings[0]["privacy"]["level"] == "Private", settings


def proofs_are_checked_and_explained():
    asset = register("test-proofs")
    receipt = node.call("PUT", f"/assets/{asset}/allocate", {"share": "1%", "duration": "1s"})["receipt"]
    report = node.call("POST", "/consensus/validate", {"tx": receipt["tx"]})
    assert report["valid"] and [proof["name"] for proof in report["proofs"]] == ["space", "stake", "work", "time"], report
    assert all(proof["shows"] for proof in report["proofs"])


def transfer_and_burn():
    new = node.call("POST", "/accounts", {"name": "friend"})
    supply = node.supply()
    receipt = node.call("POST", "/accounts/user/transfer", {"to": new["id"], "amount": "2.5"})
    assert units(node.call("GET", "/accounts/friend")["hyper"]) == 2_500_000_000
    assert node.supply()["hyper_burnt"] - supply["hyper_burnt"] == units(receipt["fee"]) > 0
    refused("HM_EFUNDS", node.call, "POST", "/accounts/friend/transfer", {"to": new["id"], "amount": "100"})


def state_proof_of_presence_and_absence():
    key = "50"  # parameters
    there = node.call("GET", f"/state/{key}")
    assert there["value"] and there["proof"] and len(there["root"]) == 64
    assert node.call("GET", "/state/61" + "00" * 32)["value"] is None


def blocks_and_transactions():
    head = node.call("GET", "/blocks/latest")
    assert node.call("GET", f"/blocks/{head['height']}")["hash"] == head["hash"]
    tx = node.call("GET", f"/txs/{head['txs'][0]}")
    assert tx["digest"] == head["txs"][0] and tx["ops"], tx
    refused("HM_ENOTFOUND", node.call, "GET", "/txs/" + "00" * 32)


def many_at_once(count, call):
    """Runs call(n) on threads of their own, all at once; gives what each returned, or its failure."""
    results = [None] * count
    gate = threading.Barrier(count)

    def one(n):
        gate.wait()
        try:
            results[n] = call(n)
        except Exception as error:  # for the test to judge
            results[n] = error

    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def one_name_is_made_once():
    made = many_at_once(8, lambda n: node.call("POST", "/accounts", {"name": "twin"}))
    good = [answer for answer in made if isinstance(answer, dict)]
    assert len(good) == 1, made
    assert all(answer.problem["code"] == "HM_EEXIST" for answer in made if isinstance(answer, Refused)), made
    assert node.call("GET", "/accounts/twin")["id"] == good[0]["id"]


def first_acts_at_once_share_a_session():
    account = node.call("POST", "/accounts", {"name": "hasty"})
    node.call("POST", "/accounts/user/transfer", {"to": account["id"], "amount": "10"})
    acts = many_at_once(12, lambda n: node.call("POST", "/accounts/hasty/transfer", {"to": "user", "amount": "0.1"}))
    assert all(isinstance(act, dict) for act in acts), acts
    assert len(node.call("GET", "/accounts/hasty")["sessions"]) == 1


def revoked_sessions_are_replaced():
    for name in ("user", "operator"):
        key = node.call("GET", f"/accounts/{name}")["sessions"][-1]["key"]
        node.call("POST", f"/accounts/{name}/sessions/revoke", {"session_key": key})
        node.call("POST", f"/accounts/{name}/transfer", {"to": "user", "amount": "0.000000001"})
        node.call("POST", "/accounts/user/transfer", {"to": "operator", "amount": "0.000000001"})
        assert key not in [session["key"] for session in node.call("GET", f"/accounts/{name}")["sessions"]]


def acts_name_accounts_by_id_too():
    user = node.call("GET", "/accounts/user")["id"]
    node.call("POST", f"/accounts/{user}/transfer", {"to": "operator", "amount": "0.000000001"})
    stranger = "hm1" + "q" * 58
    refused("HM_EPARSE", node.call, "POST", f"/accounts/{stranger}/transfer", {"to": "user", "amount": "1"})


def longest_pages_are_given():
    for path in ("/assets", "/leases", "/blocks", "/jobs", "/privacy/settings"):
        assert "items" in node.call("GET", f"{path}?limit=1000"), path
        refused("HM_ERANGE", node.call, "GET", f"{path}?limit=1001")
    asset = node.call("GET", "/assets")["items"][0]["id"]
    assert node.call("GET", f"/assets/{asset}/history?limit=1000")["items"]


def cpu_capacity():
    return sum(asset["capacity"] for asset in node.call("GET", "/assets?kind=cpu")["items"]
               if not asset["hardware_id"].startswith("test-"))


def hardware_changes_are_noticed():
    cores = os.sched_getaffinity(node.process.pid)
    if len(cores) < 2:
        return "one core: its number cannot shrink"
    full = cpu_capacity()

    def narrow(to):
        for thread in os.listdir(f"/proc/{node.process.pid}/task"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread), to)

    def wait_for(right, seconds=6):
        end = time.monotonic() + seconds
        while not right(cpu_capacity()):
            assert time.monotonic() < end, f"{cpu_capacity()} of {full} after {seconds} s"
            time.sleep(0.1)

    narrow({min(cores)})
    try:
        wait_for(lambda now: now < full)
    finally:
        narrow(cores)
    wait_for(lambda now: now == full)
    return None


def hardware_given_away_costs_nothing():
    node.call("POST", "/accounts", {"name": "heir"})
    node.call("POST", "/accounts/user/transfer", {"to": "heir", "amount": "200"})
    node.call("POST", "/accounts/heir/bond", {"amount": "100"})
    mine = [asset for asset in node.call("GET", "/assets?kind=container")["items"]
            if not asset["hardware_id"].startswith("test-")][0]["id"]
    node.call("POST", f"/assets/{mine}/transfer", {"to": "heir"})
    node.call("PUT", f"/assets/{mine}", {"capacity": 1})  # its new owner says otherwise than the machine
    before = node.call("GET", "/consensus/status")["height"]
    time.sleep(9)  # two looks at the hardware
    assert node.call("GET", "/consensus/status")["height"] == before, "the node tries to change what is not its own"


def hostile_bodies_are_refused():
    for body in ('{"kind":', '{"kind": "cpu", "kind": "cpu"}', "[" * 100_000, '{"capacity": 1e999}', '{"surprise": 1}'):
        try:
            node.call("POST", "/assets/register", body)
        except Refused as answer:
            assert 400 <= answer.status < 500, answer
        else:
            raise AssertionError(body[:40])
    try:
        node.call("POST", "/txs", b"\xff" * 1000, kind="application/octet-stream")
    except Refused as answer:
        assert answer.status == 400, answer


def metrics_and_contract_are_there():
    metrics = node.call("GET", "/metrics", raw=True).decode()
    assert "\nhypermesh_ledger_height " in metrics and "# TYPE" in metrics
    families = re.findall(r"^# TYPE (\S+) ", metrics, re.M)
    assert len(families) == len(set(families)), "a family is there twice"
    contract = node.call("GET", "/openapi.json")
    assert contract["openapi"].startswith("3.1") and "/assets/register" in contract["paths"]


if __name__ == "__main__":
    try:
        node.start()
        run_cases([machine_is_registered, asset_life, shares_are_never_oversubscribed, lease_expires_by_itself,
                   ownership_is_the_owners, privacy_is_decided_in_the_ledger, proofs_are_checked_and_explained,
                   transfer_and_burn, state_proof_of_presence_and_absence, blocks_and_transactions,
                   hostile_bodies_are_refused, metrics_and_contract_are_there, one_name_is_made_once,
                   first_acts_at_once_share_a_session, revoked_sessions_are_replaced, acts_name_accounts_by_id_too,
                   longest_pages_are_given, hardware_changes_are_noticed, hardware_given_away_costs_nothing,
                   idle_makes_no_blocks])
    finally:
        try:
            node.stop()
        finally:
            node.remove()
