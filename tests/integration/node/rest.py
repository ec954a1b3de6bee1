#!/usr/bin/env python3
"""Document 004's REST over the real daemon: assets, leases, consensus, privacy, accounts, state proofs."""
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
    contract = node.call("GET", "/openapi.json")
    assert contract["openapi"].startswith("3.1") and "/assets/register" in contract["paths"]


if __name__ == "__main__":
    try:
        node.start()
        run_cases([machine_is_registered, asset_life, shares_are_never_oversubscribed, lease_expires_by_itself,
                   ownership_is_the_owners, privacy_is_decided_in_the_ledger, proofs_are_checked_and_explained,
                   transfer_and_burn, state_proof_of_presence_and_absence, blocks_and_transactions,
                   hostile_bodies_are_refused, metrics_and_contract_are_there, idle_makes_no_blocks])
    finally:
        try:
            node.stop()
        finally:
            node.remove()
