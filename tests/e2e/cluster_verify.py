#!/usr/bin/env python3
"""What a cluster says of a value, checked by nexus alone: over honest nodes, and over relays that lie in every way there is. And reads
that are new enough on every node."""
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import socketserver
import stat
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from nexus_cli import ENGINE, Node, run_cluster_cases, until

REFUSED, TRUST_OLD, STATE_OLD, AWAY, USAGE = 5, 6, 7, 3, 2


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("node", timeout=60)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


def get(path, target):
    """(status, headers, body) of a node's or relay's socket."""
    connection = Connection(path)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


class Relay(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Hands requests on to a node's socket; lie(target, status, body) gives what is answered instead."""
    daemon_threads = True

    def __init__(self, path, to, lie):
        self.to, self.lie, self.seen = to, lie, []
        super().__init__(str(path), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
        os.unlink(self.server_address)


class Handler(http.server.BaseHTTPRequestHandler):
    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.seen.append(self.path)
        status, _, body = get(self.server.to, self.path)
        status, body = self.server.lie(self.path, status, body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # nexus reads no further than its limit
            self.wfile.write(body)


def sock(node, name):
    return str(node.data / name / "api.sock")


def on(node, name):
    return ("--data", str(node.data / name))


def verify(node, remote, *args, home=None):
    env = {"XDG_STATE_HOME": str(home or node.base / "state")}
    return node("verify", "--remote", str(remote), *args, env=env)


def trust(node, *where):
    return node("cluster", "trust", *where).expect(0).out.strip()


def account(node, name="node0"):
    return json.loads(node(*on(node, name), "account", "show", "user", "-o", "json").expect(0).out)["id"]


def kept(node):
    found = list((node.base / "state/hypermesh/trust").glob("*.trust"))
    assert len(found) == 1, found
    return found[0]


def four_come_up(node):
    node("cluster", "create", "--net", "loopback", "--plot", "64K", "--engine-path", str(ENGINE)).expect(0)


def an_operator_says_what_to_trust(node):
    said = trust(node)
    assert re.fullmatch(r"[1-9][0-9]*:[0-9a-f]{64}", said), said
    height, digits = said.split(":")
    for name in ("node1", "node3"):
        status, headers, _ = get(sock(node, name), f"/light/{height}?wait_ms=5000")
        assert status == 200 and headers["Content-Type"] == "application/octet-stream" and headers["ETag"], headers
    one = json.loads(node("cluster", "trust", *on(node, "node2"), "-o", "json").expect(0).out)
    assert one["chain_id"] == json.loads((node.data / "cluster.json").read_text())["chain_id"] and len(digits) == 64


def without_trust_it_says_how_to_get_it(node):
    verify(node, sock(node, "node0"), "--kv", "colour").expect(USAGE, err="nexus cluster trust")
    verify(node, sock(node, "node0"), "--trust", "5:xyz", "--kv", "colour").expect(USAGE, err="--trust")
    verify(node, sock(node, "node0"), "--trust", trust(node)).expect(USAGE, err="say what to check")
    verify(node, sock(node, "node0"), "--kv", "a", "--key", "50").expect(USAGE, err="one value at a time")
    node("verify", "--kv", "a").expect(USAGE, err="--kv goes with --remote")


def a_value_is_shown(node):
    who = account(node)
    shown = verify(node, sock(node, "node0"), "--trust", trust(node), "--account", who, "-o", "json").expect(0).json()
    assert shown["value"] and shown["block"]["height"] == shown["height"] + 1, shown
    # What another node says of that block's root.
    status, _, body = get(sock(node, "node2"), f"/blocks/{shown['height']}?min_height={shown['height']}")
    assert status == 200 and json.loads(body)["state_root"] == shown["root"], body
    assert stat.S_IMODE(kept(node).stat().st_mode) == 0o600
    node(*on(node, "node1"), "kv", "put", "colour", "green").expect(0)
    # From the block that was kept, over another node; as people see it.
    told = verify(node, sock(node, "node1"), "--kv", "colour").expect(0).out
    assert "green" in told and "signed in" in told and "age" in told, told
    absent = verify(node, sock(node, "node3"), "--kv", "nothing", "-o", "json").expect(0).json()
    assert absent["value"] is None, absent
    chain = json.loads((node.data / "cluster.json").read_text())["chain_id"]
    assert verify(node, sock(node, "node3"), "--key", "50", "--chain", chain, "-o", "json").expect(0).json()["value"]


def an_idle_chain_shows_the_present(node):
    time.sleep(12)
    shown = verify(node, sock(node, "node0"), "--kv", "colour", "--max-age", "5s", "-o", "json").expect(0)
    assert shown.json()["block"]["age_ms"] < 8000 and "old:" not in shown.err, (shown.out, shown.err)
    time.sleep(3)
    verify(node, sock(node, "node0"), "--kv", "colour", "--max-age", "1ms").expect(STATE_OLD, err="old: this is how it was")
    verify(node, sock(node, "node0"), "--kv", "colour", "--trust-for", "30h").expect(USAGE, err="say --trust-for 16h")


def changed(body, **fields):
    return json.dumps({**json.loads(body), **fields}).encode()


def flipped(body, at):
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1:]


def lies_are_refused(node):
    """Each in every part of what a relay hands on: root, value, absence, proof, header, votes, validators."""
    other = json.loads(get(sock(node, "node0"), "/state/50")[2])
    state = {
        "root": lambda body: changed(body, root="00" * 32),
        "value": lambda body: changed(body, value=other["value"]),
        "absent": lambda body: changed(body, value=None),
        "proof": lambda body: changed(body, proof=other["proof"]),
        "other": lambda body: json.dumps(other).encode(),
        "noise": lambda body: b"<html>",
        "long": lambda body: b" " * (9 << 20),
    }
    light = {
        "header": lambda body: flipped(body, 40),
        "validators": lambda body: flipped(body, len(body) - 10),
        "vote": lambda body: flipped(body, len(body) * 2 // 3),
        "cut": lambda body: body[:-1],
        "long": lambda body: body + b"\0" * (256 << 10),
    }
    before = kept(node).read_bytes()
    # A block further up than the one that is trusted, so that the relay is asked for one.
    node(*on(node, "node0"), "kv", "put", "further", "up").expect(0)
    for part, lies in (("/state/", state), ("/light/", light)):
        for name, lie in lies.items():
            with Relay(node.base / "relay", sock(node, "node0"),
                       lambda target, status, body, part=part, lie=lie:
                       (status, lie(body) if target.startswith(part) and status == 200 else body)) as relay:
                done = verify(node, relay.server_address, "--kv", "colour")
                assert done.code == REFUSED and not done.out, (part, name, done.code, done.out, done.err)
                assert any(target.startswith(part) for target in relay.seen), relay.seen
            assert kept(node).read_bytes() == before, name
    with Relay(node.base / "relay", sock(node, "node0"), lambda target, status, body: (status, body)) as relay:
        verify(node, relay.server_address, "--kv", "colour").expect(0)


def another_cluster_is_not_this_one(node):
    own = Node()
    try:
        own("cluster", "create", "--nodes", "1", "--net", "loopback", "--plot", "64K", "--engine-path", str(ENGINE)).expect(0)
        before = kept(node).read_bytes()
        for more in ((), ("--trust", trust(node))):
            # It has no block so high, or one by validators that nobody here trusts.
            done = verify(node, own.data / "node0/api.sock", "--kv", "colour", *more)
            assert done.code in (REFUSED, AWAY) and not done.out, (done.code, done.out, done.err)
        assert kept(node).read_bytes() == before
        said = ("--trust", trust(own))
        verify(node, own.data / "node0/api.sock", "--key", "50", *said, "--chain", "another",
               home=node.base / "other").expect(REFUSED, err="chain")
        verify(node, own.data / "node0/api.sock", "--key", "50", *said, home=node.base / "other").expect(0)
    finally:
        if (own.data / "cluster.json").exists():
            own("cluster", "destroy", "--yes")
        shutil.rmtree(own.base, ignore_errors=True)


def the_past_is_not_shown_again(node):
    """Answers that were true once, from a relay that keeps them."""
    memory = {}

    def remember(target, status, body):
        return memory.setdefault(target, (status, body))

    with Relay(node.base / "relay", sock(node, "node0"), remember) as relay:
        verify(node, relay.server_address, "--kv", "colour").expect(0)
        node(*on(node, "node0"), "kv", "put", "colour", "red").expect(0)
        assert "red" in verify(node, sock(node, "node0"), "--kv", "colour").expect(0).out
        verify(node, relay.server_address, "--kv", "colour").expect(AWAY, err="behind the trusted block")


def old_trust_is_not_gone_on_from(node):
    said = trust(node)
    time.sleep(1)
    verify(node, sock(node, "node0"), "--kv", "colour", "--trust", said, "--trust-for", "1ms").expect(
        TRUST_OLD, err="older than the trusting period")
    verify(node, sock(node, "node0"), "--kv", "colour", "--trust-for", "1ms").expect(TRUST_OLD, err="hint")


def a_file_of_others_is_not_trusted(node):
    kept(node).chmod(0o666)
    verify(node, sock(node, "node0"), "--kv", "colour").expect(REFUSED, err="could have been written by others")
    kept(node).chmod(0o600)
    verify(node, sock(node, "node0"), "--kv", "colour").expect(0)


def who_is_away_shows_nothing_wrong(node):
    verify(node, node.base / "nobody", "--kv", "colour").expect(AWAY)
    with Relay(node.base / "relay", sock(node, "node0"), lambda *_: (503, b'{"code": "HM_EBUSY", "detail": "later"}')) as relay:
        verify(node, relay.server_address, "--kv", "colour", "--timeout", "2s").expect(
            AWAY, err="asked until --timeout was over, and says: later")
        assert len(relay.seen) > 1, relay.seen
    answers = [(503, b'{"code": "HM_EBUSY", "detail": "the node is starting"}')] * 3
    with Relay(node.base / "relay", sock(node, "node0"),
               lambda target, status, body: answers.pop() if answers else (status, body)) as relay:
        verify(node, relay.server_address, "--kv", "colour").expect(0)


def what_one_did_the_others_wait_for(node):
    to = account(node, "node2")
    done = node(*on(node, "node0"), "account", "transfer", to, "1.25", "-o", "json").expect(0).json()
    height = done.get("receipt", done)["height"]
    for name in ("node1", "node2", "node3"):
        status, headers, body = get(sock(node, name), f"/txs/{done.get('receipt', done)['tx']}?min_height={height}")
        assert status == 200, (name, body)
        assert int(headers["X-HyperMesh-Height"]) >= height and int(headers["X-HyperMesh-Block-Time"]) > 0, headers
        node(*on(node, name), "--min-height", str(height), "account", "show", to).expect(0)
    status, headers, body = get(sock(node, "node1"), "/accounts/user?min_height=99999999&wait_ms=100")
    assert status == 504 and b"99999999" in body and b"the newest is block" in body, body
    assert int(headers["X-HyperMesh-Height"]) >= height
    node(*on(node, "node1"), "--min-height", "99999999", "account", "ls").expect(1, err="99999999")
    # Who waits for a height makes no blocks; /light does, two at most.
    before = json.loads(get(sock(node, "node0"), "/consensus/status")[2])["height"]
    status, _, body = get(sock(node, "node0"), f"/light/{before + 100}?wait_ms=300")
    assert status == 504, body
    until(lambda: get(sock(node, "node0"), f"/light/{before + 1}?wait_ms=5000")[0] == 200, "the next block")


def main():
    return run_cluster_cases([four_come_up, an_operator_says_what_to_trust, without_trust_it_says_how_to_get_it,
                              a_value_is_shown, an_idle_chain_shows_the_present, lies_are_refused,
                              the_past_is_not_shown_again, old_trust_is_not_gone_on_from,
                              a_file_of_others_is_not_trusted, who_is_away_shows_nothing_wrong,
                              what_one_did_the_others_wait_for, another_cluster_is_not_this_one])


if __name__ == "__main__":
    sys.exit(main())
