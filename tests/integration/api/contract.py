#!/usr/bin/env python3
"""Answers of the real daemon, held against its own /openapi.json; and its door: unix socket, TCP, token, Host, Origin."""
import http.client
import json
import os
import pathlib
import re
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "node"))
from daemon import Daemon, Refused, refused, run_cases  # noqa: E402
from document import Document  # noqa: E402

node = Daemon()
document = None

def check(method, path, body=None):
    """Calls, and checks body and answer against the document."""
    described = document.operation(method, path)
    if body is not None:
        document.check_body(described, body)
    answer = node.call(method, path, body)
    document.check_answer(described, answer, f"{method} {path}")
    return answer


def document_is_served():
    global document
    node.start()
    document = Document(node.call("GET", "/openapi.json"))
    kept = json.loads((pathlib.Path(os.environ.get("HM_SOURCE", ".")) / "src/api/openapi.json").read_text())
    assert document.document == kept and kept["openapi"].startswith("3.1")


def reads_are_as_described():
    for path in ("/node", "/node/scan", "/node/doctor", "/accounts", "/accounts/user", "/accounts/user/signing", "/assets",
                 "/assets?limit=1", "/leases", "/consensus/status", "/privacy/settings", "/jobs", "/images", "/blocks",
                 "/blocks/latest", "/genesis", "/state/50", "/state/61"):
        check("GET", path)
    assets = check("GET", "/assets?kind=cpu")["items"]
    check("GET", f"/assets/{assets[0]['id']}")
    check("GET", f"/assets/{assets[0]['id']}/history?limit=1")


def acts_are_as_described():
    user = check("POST", "/accounts", {"name": "contract"})
    check("POST", "/accounts/user/transfer", {"to": user["id"], "amount": "2.5", "memo": "for the test"})
    cpu = check("GET", "/assets?kind=cpu")["items"][0]["id"]
    made = check("PUT", f"/assets/{cpu}/allocate", {"share": "1%", "duration": "30s"})
    assert made["receipt"]["created"], made
    lease = check("GET", f"/leases/{made['lease']}")
    assert lease["state"] == "active"
    check("POST", f"/leases/{made['lease']}/renew", {"extra": "5s"})
    check("GET", f"/leases?asset={cpu}&active=1")
    check("DELETE", f"/assets/{cpu}/release?lease={made['lease']}")
    check("POST", "/consensus/validate", {"tx": made["receipt"]["tx"]})
    tx = check("GET", f"/txs/{made['receipt']['tx']}")
    assert tx["ops"][0]["op"] == "allocate" and tx["code"] == "ok", tx
    block = check("GET", f"/blocks/{made['receipt']['height']}")
    assert made["receipt"]["tx"] in block["txs"]


def pages_cover_everything_once():
    everything = [block["height"] for block in node.call("GET", "/blocks?limit=1000")["items"]]
    seen, cursor = [], None
    while True:
        page = check("GET", "/blocks?limit=2" + (f"&after={cursor}" if cursor else ""))
        seen += [block["height"] for block in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == everything == sorted(everything, reverse=True), (seen, everything)


def tcp_call(path, host=None, token=None, origin=None):
    address = node.call("GET", "/node")["listen"]
    connection = http.client.HTTPConnection(address, timeout=20)
    headers = {"Host": host or address}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if origin:
        headers["Origin"] = origin
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def door_over_tcp():
    token_path = os.path.join(node.data, "api.token")
    assert os.stat(token_path).st_mode & 0o777 == 0o600
    assert os.stat(os.path.join(node.data, "api.sock")).st_mode & 0o777 == 0o600
    token = pathlib.Path(token_path).read_text().strip()
    assert tcp_call("/node", token=token) == 200
    assert tcp_call("/node") == 401 and tcp_call("/node", token="0" * 64) == 401
    assert tcp_call("/livez") == 200 and tcp_call("/readyz") == 200
    assert tcp_call("/node", token=token, host="evil.example") == 403
    assert tcp_call("/node", token=token, origin="http://evil.example") == 403


def many_clients_at_once():
    failed = []

    def work():
        try:
            for _ in range(20):
                node.call("GET", "/accounts/user")
        except (OSError, Refused) as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed[0]


def metrics_count_what_happened():
    lines = node.call("GET", "/metrics", raw=True).decode().splitlines()
    asked = [line for line in lines if 'route="/accounts/{account}"' in line and 'status="200"' in line]
    assert asked and int(asked[0].rsplit(" ", 1)[1]) >= 64 * 20, asked
    for line in lines:
        assert line.startswith("#") or re.fullmatch(r"[a-zA-Z_:][\w:]*(\{.*\})? \S+", line), line


def stop_is_answered_and_obeyed():
    refused("HM_EINVAL", node.call, "POST", "/node/stop", {})
    check("POST", "/node/stop")
    assert node.process.wait(30) == 0
    assert not os.path.exists(os.path.join(node.data, "api.sock"))


try:
    run_cases([document_is_served, reads_are_as_described, acts_are_as_described, pages_cover_everything_once, door_over_tcp,
               many_clients_at_once, metrics_count_what_happened, stop_is_answered_and_obeyed])
finally:
    node.remove()
