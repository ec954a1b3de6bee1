#!/usr/bin/env python3
"""Every operation of /openapi.json called at least once on the real daemon, its answer held against the document; and every
error that docs/api.md names provoked, for each operation that can give it."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "node"))
from daemon import Daemon, UnixConnection, run_cases  # noqa: E402
from document import Document  # noqa: E402

# Statuses of docs/api.md that a healthy node gives nobody, with the reason.
NOT_PROVOKED = {
    "429": "100,000 requests a second are needed (tests/unit/api/test_limits.c sets a lower rate)",
    "500": "the node's own fault: store, disk or memory must fail (tests/integration/node does that to the whole node)",
    "503": "the node must be starting, full of connections, or on a machine that can't run jobs",
}
STREAMS = {"events", "kv_watch", "etcd_watch"}  # that do not end by themselves

node = Daemon()
document = None
called, statuses = {}, set()


def ask(method, path, body=None, kind="application/json", headers=None, read=True):
    """(status, bytes) without judging; a stream is read for a moment only."""
    connection = UnixConnection(os.path.join(node.data, "api.sock"), 60)
    sent = dict(headers or {})
    if body is not None:
        body = body if isinstance(body, (str, bytes)) else json.dumps(body)
        if kind:
            sent["Content-Type"] = kind
    with contextlib.closing(connection):
        with contextlib.suppress(BrokenPipeError):  # refused before the body was read: the answer is there
            connection.request(method, path, body, sent)
        answer = connection.getresponse()
        data = answer.read() if read or answer.status >= 400 else answer.readline()
    statuses.add(str(answer.status))
    return answer.status, data


def note(entry, status):
    called.setdefault(entry["operationId"], set()).add(status)


def call(method, path, body=None, kind="application/json", headers=None):
    """Must succeed as the document says; the answer."""
    entry = document.operation(method, path)
    if body is not None and kind == "application/json" and "requestBody" in entry:
        document.check_body(entry, body)
    endless = entry["operationId"] in STREAMS and "follow=0" not in path
    status, data = ask(method, path, body, kind, headers, not endless)
    assert str(status) in entry["responses"], f"{method} {path}: {status} {data[:500]}"
    note(entry, status)
    if any("json" in name and "nd" not in name for name in entry["responses"][str(status)]["content"]):
        with contextlib.suppress(ValueError):  # several lines
            answer = json.loads(data)
            document.check_answer(entry, answer, f"{method} {path}")
            return answer
    return data


def refuse(expected, method, path, body=None, kind="application/json", headers=None):
    """Must be refused with this status and a problem as the document says."""
    status, data = ask(method, path, body, kind, headers)
    assert status == expected, f"{method} {path}: {status} {data[:300]}, {expected} expected"
    problem = json.loads(data)
    if "grpc" not in problem and "type" in problem:
        document.check_problem(problem, status)
    with contextlib.suppress(AssertionError):
        note(document.operation(method, path), status)
    return problem


def start():
    global document
    node.start()
    document = Document(node.call("GET", "/openapi.json"))


def node_and_accounts():
    for path in ("/livez", "/readyz", "/openapi.json", "/metrics", "/node", "/node/scan", "/node/doctor", "/accounts",
                 "/accounts/user", "/accounts/user/signing", "/consensus/status", "/genesis", "/state/50"):
        call("GET", path)
    call("POST", "/accounts", {"name": "other"})
    call("POST", "/accounts/user/transfer", {"to": "other", "amount": "50"})
    call("POST", "/accounts/user/bond", {"amount": "250"})
    call("POST", "/accounts/user/unbond", {"amount": "1"})
    refuse(402, "POST", "/accounts/other/transfer", {"to": "user", "amount": "100000000"})
    refuse(409, "POST", "/accounts", {"name": "other"})
    refuse(404, "GET", "/accounts/nobody")


def assets_leases_blocks():
    call("GET", "/assets")
    cpu = call("GET", "/assets?kind=cpu")["items"][0]
    call("GET", f"/assets/{cpu['id']}")
    call("GET", f"/assets/{cpu['id']}/history")
    call("GET", "/privacy/settings")
    call("PUT", "/privacy/level", {"asset": cpu["id"], "level": "FullPublic", "reward": "50%", "demand": {"min_bond": "1"}})
    shown = call("GET", f"/privacy/settings?asset={cpu['id']}")["items"][0]["privacy"]
    assert shown["reward_ppm"] == 500000 and shown["demand"]["min_bond"] == "1", shown
    call("PUT", f"/assets/{cpu['id']}", {"price_per_hour": cpu["price_per_hour"]})
    made = call("PUT", f"/assets/{cpu['id']}/allocate", {"share": "1%", "duration": "30s"})
    call("GET", "/leases")
    call("GET", f"/leases/{made['lease']}")
    call("POST", f"/leases/{made['lease']}/renew", {"extra": "5s"})
    refuse(409, "PUT", f"/assets/{cpu['id']}/allocate", {"share": "100%", "duration": "30s"})
    call("DELETE", f"/assets/{cpu['id']}/release?lease={made['lease']}")
    call("POST", "/consensus/validate", {"tx": made["receipt"]["tx"]})
    call("GET", f"/txs/{made['receipt']['tx']}")
    call("GET", "/blocks")
    call("GET", "/blocks/latest")
    refuse(501, "GET", "/light/latest")  # a node alone signs for nobody
    refuse(501, "GET", "/light/1?wait_ms=5")
    refuse(501, "GET", "/light/9999999?wait_ms=60000")
    refuse(501, "GET", "/cluster/witness")  # it is of no cluster
    refuse(501, "GET", "/cluster/vdf")
    call("GET", "/blocks?min_height=1")
    late = refuse(504, "GET", "/blocks?min_height=9999999&wait_ms=50")
    assert "9999999" in late["detail"] and "the newest is block" in late["detail"], late
    refuse(400, "GET", "/blocks?wait_ms=50")
    other = call("POST", "/assets/register", {"kind": "memory", "hardware_id": "for-the-test", "capacity": "1G", "price_per_hour": "1"})
    refuse(409, "POST", "/assets/register", {"kind": "memory", "hardware_id": "for-the-test", "capacity": "1G",
                                             "price_per_hour": "1"})
    call("POST", f"/assets/{other['asset']}/transfer", {"to": "user"})
    call("DELETE", f"/assets/{other['asset']}")



def signed_transactions():
    key = json.loads(ask("GET", "/accounts/user")[1])["sessions"]
    refuse(400, "POST", "/txs", b"\xff\xff", "application/octet-stream")
    if key:
        call("POST", "/accounts/user/sessions/revoke", {"session_key": key[0]["key"]})
    # The same bytes again: known, and refused without a fee.
    note(document.operation("POST", "/txs"), 400)


def networks_peers_challenges():
    made = call("POST", "/networks", {"name": "ops", "open": True, "account": "user"})
    network = made["network"]
    call("GET", "/networks?member=user")
    call("GET", f"/networks/{network}")
    call("POST", f"/networks/{network}/join", {"account": "other"})
    call("GET", f"/networks/{network}/members")
    call("POST", f"/networks/{network}/leave", {"account": "other"})
    call("POST", f"/networks/{network}/invite", {"who": "other"})
    call("POST", f"/networks/{network}/expel", {"who": "other"})
    assert "(rule " in refuse(403, "POST", f"/networks/{network}/join", {"account": "other"})["detail"]
    call("DELETE", f"/networks/{network}")
    refuse(404, "GET", f"/networks/{network}")
    call("PUT", "/privacy/peers", {"accounts": ["other"]})
    assert len(call("GET", "/privacy/peers")["accounts"]) == 1
    call("POST", "/privacy/proxy", {"any": True, "sealed_only": True})
    assert call("GET", "/privacy/proxy")["sealed_only"] is True
    own = node.call("GET", "/node")["node_account"]
    made = call("POST", "/consensus/challenge", {"node": own})
    call("GET", f"/consensus/challenges/{made['challenge']}")
    call("GET", f"/consensus/challenges?party={own}")
    end = time.monotonic() + 30
    while call("GET", f"/consensus/challenges/{made['challenge']}")["state"] == "open" and time.monotonic() < end:
        time.sleep(0.1)
    assert call("GET", f"/consensus/challenges/{made['challenge']}")["state"] == "answered"


def key_value_store():
    first = call("PUT", "/kv/ops%2Fa", {"value": "1"})["revision"]
    found = call("GET", "/kv/ops%2Fa")
    assert found["value"] == "1" and found["mod_revision"] == first
    tag = {"If-Match": f'"{first}"'}
    call("PUT", "/kv/ops%2Fa", {"value": "2"}, headers=tag)
    refuse(412, "PUT", "/kv/ops%2Fa", {"value": "3"}, headers=tag)
    refuse(412, "PUT", "/kv/ops%2Fa", {"value": "3"}, headers={"If-None-Match": "*"})
    assert [item["key"] for item in call("GET", "/kv?prefix=ops%2F")["items"]] == ["ops/a"]
    call("GET", f"/kv-watch?prefix=ops&from={first}")
    done = call("POST", "/kv-txn", {"compare": [{"key": "ops/a", "target": "version", "result": "equal", "number": 2}],
                                    "success": [{"put": {"key": "ops/b", "value": "x"}}, {"range": {"key": "ops/", "prefix": True}}]})
    assert done["succeeded"] and len(done["answers"][1]["range"]["items"]) == 2, done
    lease = call("POST", "/kv-leases", {"ttl": "10m"})["lease"]
    call("PUT", "/kv/ops%2Fheld", {"value": "1", "lease": lease})
    call("GET", "/kv-leases")
    assert call("GET", f"/kv-leases/{lease}")["attached"] == ["ops/held"]
    call("POST", f"/kv-leases/{lease}/keep-alive")
    call("DELETE", f"/kv-leases/{lease}")
    refuse(404, "GET", "/kv/ops%2Fheld")
    assert call("DELETE", "/kv/ops%2F?prefix=1")["deleted"] == 2
    call("PUT", "/kv-rules", {"prefix": "ops/own/", "owner": "other", "account": "user"})
    call("GET", "/kv-rules")
    refuse(403, "PUT", "/kv/ops%2Fown%2Fx", {"value": "1", "account": "user"})
    call("DELETE", "/kv-rules?prefix=ops%2Fown%2F&account=other")
    state = call("GET", "/kv-state")
    call("POST", "/kv-compact", {"revision": state["revision"]})
    refuse(400, "GET", f"/kv/ops%2Fa?revision={first}")


def events_audit_backup():
    events = call("GET", "/events?since=0&follow=0").decode()
    kinds = set(re.findall(r"^event: (\S+)$", events, re.M))
    assert {"transfer", "kv_put", "kv"} <= kinds, kinds
    call("GET", "/events")
    lines = call("GET", "/audit").decode().splitlines()
    assert json.loads(lines[0])["type"] == "genesis" and json.loads(lines[-1])["type"] == "end"
    with tempfile.TemporaryDirectory() as folder:
        made = call("POST", "/backup", {"path": os.path.join(folder, "b"), "passphrase": "for the test"})
        assert os.path.getsize(made["path"]) == made["bytes"]
        refuse(409, "POST", "/backup", {"path": made["path"], "passphrase": "for the test"})
    call("POST", "/chain/verify")


def jobs_and_images():
    call("GET", "/images")
    call("POST", "/images/base")
    if node.can_run_jobs():
        job = call("POST", "/jobs", {"image": "busybox", "command": ["true"], "cpus": 0.5, "memory": "64M", "storage": "16M"})
        call("GET", f"/jobs/{job['id']}/wait?timeout=60s")
        call("GET", f"/jobs/{job['id']}/logs")
        call("GET", f"/jobs/{job['id']}")
        refused_cancel = ask("DELETE", f"/jobs/{job['id']}")[0]
        assert refused_cancel in (202, 409)
        note(document.operation("DELETE", "/jobs/x"), refused_cancel)
    else:
        refuse(503, "POST", "/jobs", {"image": "busybox", "command": ["true"]})
        for method, path in (("GET", "/jobs/latest"), ("GET", "/jobs/latest/wait"), ("GET", "/jobs/latest/logs"),
                             ("DELETE", "/jobs/latest")):
            refuse(404, method, path)
    call("GET", "/jobs")
    refuse(404, "POST", "/images", {"path": "/nowhere/image.tar"})
    call("DELETE", "/images/busybox")


def etcd_paths():
    call("GET", "/version")
    call("GET", "/health")
    for method, pattern, entry in document.operations():
        if pattern.startswith("/v3/") and "/lease/" not in pattern:
            body = {"create_request": {"key": "YQ=="}} if pattern == "/v3/watch" else {"key": "YQ==", "revision": "1"}
            status, data = ask(method, pattern, body, None, read=pattern != "/v3/watch")
            note(entry, status)
            documented = [name for name in entry["responses"] if name != "default"]
            assert str(status) in documented + ["400"], (pattern, status, data)
    made = json.loads(ask("POST", "/v3/lease/grant", {"TTL": "60"}, None)[1])
    note(document.operation("POST", "/v3/lease/grant"), 200)
    for path in ("/v3/lease/keepalive", "/v3/lease/timetolive", "/v3/kv/lease/timetolive", "/v3/lease/leases",
                 "/v3/kv/lease/leases", "/v3/lease/revoke"):
        call("POST", path, {"ID": made["ID"]}, None)
    assert refuse(404, "POST", "/v3/kv/lease/revoke", {"ID": made["ID"]}, None)["code"] == 5


def each_operation_refuses_what_it_does_not_know():
    """Whatever the route: an unknown parameter, a field too many, another Content-Type, no JSON, a broken id."""
    for method, pattern, entry in document.operations():
        path = re.sub(r"\{(\w+)\}", lambda found: {"height": "1", "digest": "00" * 32, "key": "00"}.get(found[1], "x"), pattern)
        etcd = pattern.startswith("/v3/")
        if method == "POST" and pattern == "/node/stop":
            refuse(400, method, path + "?bogus=1")
            continue
        refuse(400, method, path + "?bogus=1", {} if "requestBody" in entry else None,
               "application/yaml" if entry["operationId"] == "job_create" else "application/octet-stream"
               if entry["operationId"] == "tx_submit" else "application/json")
        if "requestBody" in entry and not etcd:
            refuse(415, method, path, b"x", "text/csv")
            if "application/json" in entry["requestBody"]["content"] and entry["operationId"] != "job_create":
                for parameter in entry["parameters"]:
                    if parameter["in"] == "path" and "pattern" in parameter["schema"]:
                        break  # the id is looked at first: below
                else:
                    refuse(400, method, path, '{"bogus": 1}')
                    refuse(400, method, path, '{"a": NaN}')
                    refuse(400, method, path, "[" * 100)
        elif "requestBody" not in entry:
            refuse(400, method, path, b"x", "text/plain")
        if any(p["in"] == "path" and "pattern" in p["schema"] for p in entry["parameters"]):
            refuse(400, method, path.replace("/00", "/zz"), {} if "requestBody" in entry else None)


def each_path_says_which_methods_it_takes():
    for pattern in document.document["paths"]:
        path = re.sub(r"\{\w+\}", "x", pattern)
        refuse(405, "PATCH", path)


def the_door_and_the_limits():
    address = node.call("GET", "/node")["listen"]
    connection = http.client.HTTPConnection(address, timeout=20)
    for headers, expected in (({}, 401), ({"Authorization": "Bearer " + "0" * 64}, 401), ({"Host": "evil.example"}, 403)):
        connection.request("GET", "/node", headers=headers)
        answer = connection.getresponse()
        document.check_problem(json.loads(answer.read()), expected)
        statuses.add(str(answer.status))
    connection.close()
    refuse(404, "GET", "/nothing/here")
    refuse(413, "POST", "/accounts", b" " * ((2 << 20) + 1))
    refuse(414, "GET", "/kv/" + "k" * 3000)
    refuse(431, "GET", "/node", headers={f"X-{i}": "x" for i in range(100)})


def a_key_stands_for_one_request():
    key = {"Idempotency-Key": "operations 1"}
    first = call("POST", "/accounts/user/bond", {"amount": "1"}, headers=key)
    again = call("POST", "/accounts/user/bond", {"amount": "1"}, headers=key)
    assert first == again, "the repeat was done again"
    refuse(422, "POST", "/accounts/user/bond", {"amount": "2"}, headers=key)
    asset = call("GET", "/assets")["items"][0]["id"]
    refuse(412, "PUT", f"/assets/{asset}", {"price_per_hour": "1"}, headers={"If-Match": '"stale"'})


def everything_was_called():
    ids = {entry["operationId"] for _, _, entry in document.operations()}
    assert not ids - set(called) - {"node_stop"}, f"never called: {sorted(ids - set(called))}"
    manual = (pathlib.Path(os.environ.get("HM_SOURCE", ".")) / "docs/api.md").read_text()
    table = manual[manual.index("## Errors"):manual.index("## Limits")]
    named = {status for row in re.findall(r"^\| ([0-9, ]+) \|", table, re.M) for status in row.split(", ")}
    missing = named - statuses - set(NOT_PROVOKED)
    assert not missing, f"documented, not provoked: {sorted(missing)}"
    for status, reason in NOT_PROVOKED.items():
        print(f"   not provoked: {status}, because {reason}")


def stop():
    call("POST", "/node/stop")
    assert node.process.wait(30) == 0


try:
    run_cases([start, node_and_accounts, assets_leases_blocks, networks_peers_challenges, key_value_store, events_audit_backup,
               jobs_and_images, etcd_paths, signed_transactions, each_operation_refuses_what_it_does_not_know,
               each_path_says_which_methods_it_takes, a_key_stands_for_one_request, the_door_and_the_limits,
               everything_was_called, stop])
finally:
    node.remove()
