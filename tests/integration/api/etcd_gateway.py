#!/usr/bin/env python3
"""etcd's v3 JSON gateway of the real daemon, held against a real etcd: the same requests, the same answers.

Both get one randomized sequence (HM_SEED says which). What two stores can't share is taken out of the answers before they
are compared: cluster and member ids, raft terms, the revision that each began at, ids of leases that the server picked, and
the words of errors that come out of Go's JSON reader. Needs Debian's etcd-server; without it that part is skipped.
"""
import base64
import contextlib
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "node"))
from daemon import Daemon, UnixConnection, run_cases  # noqa: E402

SEED = int(os.environ.get("HM_SEED", "20261121"))
STEPS = int(os.environ.get("HM_ETCD_STEPS", "400"))
REVISIONS = {"revision", "create_revision", "mod_revision", "compact_revision"}
WATCH_SECONDS = 20


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Node:
    """hypermeshd, through its unix socket."""

    def __init__(self):
        self.daemon = Daemon()
        self.daemon.start()

    def open(self, path, body):
        connection = UnixConnection(os.path.join(self.daemon.data, "api.sock"), 30)
        connection.request("POST", path, body)
        return connection, connection.getresponse()

    def post(self, path, body):
        connection, answer = self.open(path, body)
        with contextlib.closing(connection):
            return answer.status, answer.read().decode()

    def close(self):
        self.daemon.remove()


class Etcd:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="hm-etcd-")
        client, peer = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
        self.url = client
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.process = subprocess.Popen(
            ["etcd", "--data-dir", os.path.join(self.folder, "data"), "--listen-client-urls", client,
             "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
             "--initial-cluster", f"default={peer}", "--log-level", "error"], stdout=self.log, stderr=self.log)
        for _ in range(200):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(client + "/health", timeout=2).read()
                return
            time.sleep(0.05)
        raise RuntimeError("etcd does not start")

    def open(self, path, body):
        request = urllib.request.Request(self.url + path, body.encode(), method="POST")
        try:
            answer = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as refused:
            answer = refused
        return answer, answer

    def post(self, path, body):
        _, answer = self.open(path, body)
        with contextlib.closing(answer):
            return answer.status, answer.read().decode()

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def revision_of(server):
    return int(json.loads(server.post("/v3/kv/range", json.dumps({"key": b64("none")}))[1])["header"]["revision"])


def plain(value, offset, leases, name=None):
    """The answer without what two stores can't share."""
    if isinstance(value, dict):
        kept = {k: plain(v, offset, leases, k) for k, v in value.items() if k not in ("cluster_id", "member_id", "raft_term")}
        if "code" in kept and not str(kept.get("error", "")).startswith("etcdserver:"):
            kept["error"] = kept["message"] = "words"
        return kept
    if isinstance(value, list):
        return [plain(v, offset, leases) for v in value]
    if name in REVISIONS:
        return int(value) - offset
    if name in ("ID", "lease") and value in leases:
        return f"lease {leases.index(value)}"
    return value


class Pair:
    """Both servers, asked the same."""

    def __init__(self, ours, theirs):
        self.servers = (ours, theirs)
        self.offsets = [revision_of(server) for server in self.servers]
        self.leases = [[], []]  # ids that each server picked, in the same order

    def body(self, at, template):
        """Numbers called rev:N become each server's own revisions, lease:N its own ids."""
        def fill(value):
            if isinstance(value, dict):
                return {k: fill(v) for k, v in value.items()}
            if isinstance(value, list):
                return [fill(v) for v in value]
            if isinstance(value, str) and value.startswith("rev:"):
                return str(int(value[4:]) + self.offsets[at])
            if isinstance(value, str) and value.startswith("lease:"):
                return self.leases[at][int(value[6:])]
            return value
        return template if isinstance(template, str) else json.dumps(fill(template))

    def ask(self, path, template):
        answers = []
        for at, server in enumerate(self.servers):
            status, text = server.post(path, self.body(at, template))
            lines = [json.loads(line) for line in text.splitlines() if line.strip()]
            if path.endswith("/lease/grant") and status == 200 and lines[0]["ID"] not in self.leases[at]:
                self.leases[at].append(lines[0]["ID"])
            answers.append((status, [plain(line, self.offsets[at], self.leases[at]) for line in lines]))
        assert answers[0] == answers[1], f"{path} {template}\nours:   {answers[0]}\netcd's: {answers[1]}"
        return answers[0]

    def watch(self, template, enough):
        """Both servers' events until enough of them have come, one list a server, bunches undone."""
        found = []
        for at, server in enumerate(self.servers):
            connection, answer = server.open("/v3/watch", self.body(at, template))
            events, end, first = [], time.monotonic() + WATCH_SECONDS, None
            with contextlib.closing(connection):
                while time.monotonic() < end and len(events) < enough:
                    line = answer.readline()
                    if not line:
                        break
                    result = plain(json.loads(line)["result"], self.offsets[at], self.leases[at])
                    result.get("header", {}).pop("revision", None)
                    if first is None:
                        first = result
                        continue
                    events += result.get("events", []) or [result]
            found.append((first, events))
        assert found[0] == found[1], f"watch {template}\nours:   {found[0]}\netcd's: {found[1]}"
        return found[0]


class Story:
    """A random sequence of requests that both servers can answer alike."""

    def __init__(self, pair, seed):
        self.pair, self.random = pair, random.Random(seed)
        self.revision, self.compacted = 0, 0

    def key(self):
        return self.random.choice(["a", "a/1", "a/2", "a/2/x", "b", "b\x00", "c", "\xff", "zz"]).encode("latin-1")

    def span(self):
        key = self.key()
        end = self.random.choice([None, None, b"\x00", b"b", b"zzz", key + b"\x00"])
        return {"key": b64(key)} | ({"range_end": b64(end)} if end else {})

    def value(self):
        return b64(self.random.choice([b"", b"1", b"2", b"\x00\xff", b"x" * 300]))

    def number(self):
        return self.random.choice([0, 0, 1, 2, 3, 5])

    def past(self):
        return f"rev:{self.random.randint(max(self.compacted, 0) - 1, self.revision + 1)}"

    def range_request(self, inside=False):
        request = self.span()
        for name, choices in (("limit", [1, 2, "3"]), ("keys_only", [True]), ("count_only", [True]),
                              ("sort_order", ["ASCEND", "DESCEND", 1, 2, "NONE"]), ("serializable", [True, False]),
                              ("sort_target", ["KEY", "MOD", 3])):
            if self.random.random() < 0.2:
                request[name] = self.random.choice(choices)
        for name in ("min_mod_revision", "maxModRevision", "minCreateRevision", "max_create_revision"):
            if self.random.random() < 0.08:
                request[name] = f"rev:{self.random.randint(0, self.revision)}"
        if self.random.random() < 0.2:
            # inside a transaction one that is there: the case below holds the others against etcd
            request["revision"] = (f"rev:{self.random.randint(self.compacted, max(self.revision, self.compacted))}"
                                   if inside else self.past())
        return request

    def put_request(self):
        request = {"key": b64(self.key()), "value": self.value()}
        dice = self.random.random()
        if dice < 0.3:
            request[self.random.choice(["prev_kv", "prevKv"])] = True
        elif dice < 0.36:
            del request["value"]
            request["ignore_value"] = True
        elif dice < 0.42:
            request["ignore_lease"] = True
        elif dice < 0.55 and self.pair.leases[0]:
            request["lease"] = f"lease:{self.random.randrange(len(self.pair.leases[0]))}"
        elif dice < 0.58:
            request["lease"] = "424242"
        return request

    def compare(self):
        target = self.random.choice(["VERSION", "CREATE", "MOD", "VALUE", "LEASE"])
        made = {"key": b64(self.key()), "target": target,
                "result": self.random.choice(["EQUAL", "GREATER", "LESS", "NOT_EQUAL", 0, 3])}
        if self.random.random() < 0.15:
            made["range_end"] = b64(b"c")
        if target == "VALUE":
            made["value"] = self.value()
        elif target in ("CREATE", "MOD"):
            number = self.random.choice(["0", f"rev:{self.random.randint(1, max(self.revision, 1))}"])
            made[{"CREATE": "create_revision", "MOD": "modRevision"}[target]] = number
        else:
            made[target.lower()] = self.number()
        return made

    def branch(self, depth):
        return [self.inner(depth) for _ in range(self.random.choice([0, 1, 1, 2, 3]))]

    def inner(self, depth):
        dice = self.random.random()
        if dice < 0.4:
            return {"request_put": self.put_request()}
        if dice < 0.6:
            # etcd takes "delete all keys from a on, put b" in one transaction; the ledger refuses that as put and deleted
            span = self.span()
            if span.get("range_end") == b64(b"\x00"):
                del span["range_end"]
            return {"requestDeleteRange": span | ({"prev_kv": True} if self.random.random() < 0.5 else {})}
        if dice < 0.9 or depth > 1:
            return {"request_range": self.range_request(inside=True)}
        return {"request_txn": self.txn(depth + 1)}

    def txn(self, depth=0):
        return {"compare": [self.compare() for _ in range(self.random.choice([0, 1, 1, 2]))],
                "success": self.branch(depth), "failure": self.branch(depth)}

    def step(self):
        dice = self.random.random()
        if dice < 0.35:
            path, request = "/v3/kv/put", self.put_request()
        elif dice < 0.5:
            path, request = "/v3/kv/deleterange", self.span() | ({"prev_kv": True} if dice < 0.43 else {})
        elif dice < 0.7:
            path, request = self.random.choice(["/v3/kv/range", "/v3beta/kv/range"]), self.range_request()
        elif dice < 0.88:
            path, request = "/v3/kv/txn", self.txn()
        elif dice < 0.92:
            path, request = "/v3/lease/grant", {"TTL": self.random.choice(["600", 900])}
        elif dice < 0.95 and self.pair.leases[0]:
            lease = f"lease:{self.random.randrange(len(self.pair.leases[0]))}"
            path, request = self.random.choice([("/v3/lease/keepalive", {"ID": lease}), ("/v3/kv/lease/revoke", {"ID": lease}),
                                                ("/v3/lease/revoke", {"ID": "424242"})])
        elif dice < 0.97:
            path, request = "/v3/kv/compaction", {"revision": self.past()}
        else:
            path, request = self.random.choice(BROKEN)
        status, lines = self.pair.ask(path, request)
        if status == 200 and lines and "revision" in lines[0].get("header", {}):
            self.revision = max(self.revision, lines[0]["header"]["revision"])
        if path.endswith("compaction") and status == 200:
            self.compacted = int(request["revision"][4:])


BROKEN = [("/v3/kv/put", body) for body in (
    "", "{", "[]", '{"key":5}', '{"key":null}', '{"key":"!!"}', '{"key":"YQ"}', '{"key":"YQ==","lease":"x"}',
    '{"key":"YQ==","lease":1.5}', '{"key":"YQ==","prev_kv":"yes"}', '{"key":"YQ==","value":"Yg==","ignore_value":true}',
    '{"key":"YQ==","lease":7,"ignore_lease":true}', '{"key":"bm90aGVyZQ==","ignore_value":true}')]
BROKEN += [("/v3/kv/range", body) for body in (
    "{}", '{"key":"YQ==","sort_order":"UP"}', '{"key":"YQ==","revision":"-4"}', '{"key":"YQ==","limit":-1}',
    '{"key":"YQ==","bogus":{"deep":[1]}}', '{"key":"YQ=="}{"key":"x"}')]
BROKEN += [("/v3/kv/txn", body) for body in (
    "{}", '{"success":[{}]}', '{"compare":[{"target":"VALUE"}]}', '{"success":[{"request_put":{"key":""}}]}',
    '{"success":[{"request_put":{"key":"YQ=="}},{"request_put":{"key":"YQ=="}}]}',
    '{"success":[{"request_put":{"key":"YQ=="}},{"request_delete_range":{"key":"YQ=="}}]}')]
BROKEN += [("/v3/kv/deleterange", "{}"), ("/v3/lease/grant", '{"TTL":"99999999999"}'), ("/v3/lease/revoke", "{}"),
           ("/v3/lease/timetolive", '{"ID":"424242"}'), ("/v3/lease/keepalive", '{"ID":"424242"}'),
           ("/v3/maintenance/alarm", '{"action":"GET"}'), ("/v3/auth/authenticate", '{"name":"root","password":"x"}')]

node = Node()
etcd = pair = None


def same_answers_to_a_random_sequence():
    story = Story(pair, SEED)
    for step in range(STEPS):
        try:
            story.step()
        except AssertionError as different:
            raise AssertionError(f"step {step}, seed {SEED}: {different}") from None


def same_answers_to_broken_requests():
    for path, body in BROKEN:
        pair.ask(path, body)


def lease_holds_its_keys():
    pair.ask("/v3/lease/grant", {"TTL": "600", "ID": "777"})
    pair.ask("/v3/lease/grant", {"TTL": "600", "ID": "777"})  # refused by both
    for key in ("held/1", "held/2"):
        pair.ask("/v3/kv/put", {"key": b64(key), "value": b64("v"), "lease": "777"})
    for path in ("/v3/lease/timetolive", "/v3/kv/lease/timetolive"):
        answers = [json.loads(s.post(path, '{"ID":"777","keys":true}')[1]) for s in pair.servers]
        assert "keys" in answers[0] and "keys" in answers[1], answers
        assert sorted(answers[0]["keys"]) == sorted(answers[1]["keys"]) == sorted([b64("held/1"), b64("held/2")])
        assert answers[0]["grantedTTL"] == "600" and 590 <= int(answers[0]["TTL"]) <= 600, answers[0]
    assert all('"777"' in s.post("/v3/lease/leases", "{}")[1] for s in pair.servers)
    pair.ask("/v3/lease/revoke", {"ID": "777"})
    pair.ask("/v3/kv/range", {"key": b64("held/"), "range_end": b64("held0")})


def watches_see_the_same_changes():
    start = revision_of(node) - pair.offsets[0] + 1
    for number in range(6):
        pair.ask("/v3/kv/put", {"key": b64(f"w/{number % 3}"), "value": b64(str(number))})
    pair.ask("/v3/kv/txn", {"success": [{"request_put": {"key": b64("w/x"), "value": b64("1")}},
                                        {"request_put": {"key": b64("w/y"), "value": b64("1")}}]})
    pair.ask("/v3/kv/deleterange", {"key": b64("w/"), "range_end": b64("w0")})
    create = {"key": b64("w/"), "range_end": b64("w0"), "start_revision": f"rev:{start}", "prev_kv": True}
    _, events = pair.watch({"create_request": create}, 13)
    assert len(events) == 13, events
    pair.watch({"createRequest": create | {"filters": ["NOPUT"], "watch_id": "9"}}, 5)
    del create["prev_kv"]
    pair.watch({"create_request": create | {"filters": [1], "prevKv": False}}, 8)
    pair.watch({"create_request": {"key": b64("w/1"), "startRevision": f"rev:{start}"}}, 3)


def older_revisions_inside_transactions():
    for number in range(3):
        pair.ask("/v3/kv/put", {"key": b64("t"), "value": b64(str(number))})
    last = revision_of(node) - pair.offsets[0]
    pair.ask("/v3/kv/compaction", {"revision": f"rev:{last - 1}"})

    def look(revision, **more):
        return {"request_range": {"key": b64("t"), "revision": f"rev:{revision}"} | more}

    put = {"request_put": {"key": b64("t"), "value": b64("new"), "prev_kv": True}}
    for revision in (last - 1, last):
        pair.ask("/v3/kv/txn", {"success": [look(last), put, look(revision), look(last, count_only=True),
                                            {"request_range": {"key": b64("t")}}]})
        pair.ask("/v3/kv/txn", {"success": [{"request_txn": {"success": [put, look(revision)]}}]})
    for ahead in (None, 1, 2):
        revision = last - 2 if ahead is None else revision_of(node) - pair.offsets[0] + ahead
        status, _ = pair.ask("/v3/kv/txn", {"success": [put, look(revision)]})
        assert status == 400, status
        pair.ask("/v3/kv/txn", {"success": [{"request_txn": {"success": [put, look(revision)]}}]})
        pair.ask("/v3/kv/txn", {"success": [put], "failure": [look(revision)]})
        pair.ask("/v3/kv/txn", {"compare": [{"key": b64("t"), "target": "VERSION", "version": "0"}],
                                "success": [put], "failure": [look(revision), put]})
        pair.ask("/v3/kv/range", {"key": b64("t")})


def several_watches_of_one_stream():
    """Requests one after the other in a body. Both answer them in order; then which watch tells first is each server's own."""
    for key in ("m/1", "m/2", "m/1"):
        pair.ask("/v3/kv/put", {"key": b64(key), "value": b64("x")})
    start = revision_of(node) - pair.offsets[0] - 2
    requests = [{"create_request": {"key": b64("m/1"), "start_revision": f"rev:{start}"}},
                {"create_request": {"key": b64("m/2"), "start_revision": f"rev:{start}", "prev_kv": True}},
                {"createRequest": {"key": b64("m/"), "range_end": b64("m0"), "watchId": "7"}},
                {"create_request": {"key": b64("m/"), "watch_id": 7}},
                {"create_request": {"key": b64("m0"), "range_end": b64("m/")}},
                {"create_request": {"key": b64("n")}},
                {"create_request": {"key": b64("n"), "watch_id": "-5"}},
                {"cancel_request": {"watch_id": "2"}}, {"cancelRequest": {"watchId": "77"}}, {"cancel_request": {"watch_id": 1}},
                {"create_request": {"key": b64("m/2"), "start_revision": f"rev:{start}"}},
                {"progress_request": {}}, {}]
    told = []
    for at, server in enumerate(pair.servers):
        connection, answer = server.open("/v3/watch", "".join(pair.body(at, request) for request in requests))
        lines = []

        def read(enough):
            while len(lines) < enough:
                line = plain(json.loads(answer.readline())["result"], pair.offsets[at], pair.leases[at])
                if line.get("watch_id") != "1":  # which may have told something before it was cancelled
                    lines.append(line)

        with contextlib.closing(connection):
            read(11)  # 8 requests that are answered, progress, 2 watches that look back
            server.post("/v3/kv/put", json.dumps({"key": b64("m/1"), "value": b64("y")}))
            read(13)
        told.append(sorted(json.dumps(line, sort_keys=True) for line in lines))
    assert told[0] == told[1], "\n".join(["ours:"] + told[0] + ["etcd's:"] + told[1])


def compacted_watch_is_cancelled():
    revision = revision_of(node) - pair.offsets[0]
    pair.ask("/v3/kv/put", {"key": b64("c"), "value": b64("1")})
    pair.ask("/v3/kv/compaction", {"revision": f"rev:{revision}"})
    _, events = pair.watch({"create_request": {"key": b64("c"), "start_revision": f"rev:{revision - 1}"}}, 1)
    assert events[0]["canceled"] is True and events[0]["compact_revision"] == revision, events


def watch_misses_and_doubles_nothing():
    """While a writer writes: one watch from now on, one from the middle of history; both see each revision once."""
    first = revision_of(node) + 1
    create = json.dumps({"create_request": {"key": b64("g/"), "range_end": b64("g0"), "start_revision": str(first)}})
    late, seen = [], []

    def read(into):
        connection, answer = node.open("/v3/watch", create)
        with contextlib.closing(connection):
            while len(into) < 60:
                into.extend(json.loads(answer.readline())["result"].get("events", []))

    def write():
        for number in range(60):
            node.post("/v3/kv/put", json.dumps({"key": b64(f"g/{number}"), "value": b64(str(number))}))
            if number == 30:
                threads[1].start()

    threads = [threading.Thread(target=read, args=(into,), daemon=True) for into in (seen, late)]
    threads[0].start()
    write()
    for thread in threads:
        thread.join(WATCH_SECONDS)
    expected = [b64(f"g/{number}") for number in range(60)]
    assert [event["kv"]["key"] for event in seen] == [event["kv"]["key"] for event in late] == expected


def what_is_not_there_says_so():
    for path in ("/v3/maintenance/defragment", "/v3/cluster/member/add", "/v3/auth/enable"):
        status, text = node.post(path, "{}")
        assert status == 501 and json.loads(text)["code"] == 12, (status, text)
    assert json.loads(node.post("/v3/maintenance/status", "{}")[1])["version"].startswith("3.4")
    members = json.loads(node.post("/v3/cluster/member/list", "{}")[1])
    header = json.loads(node.post("/v3/kv/range", json.dumps({"key": b64("a")}))[1])["header"]
    assert members["members"][0]["ID"] == header["member_id"] and header["raft_term"] == "1"


try:
    if shutil.which("etcd"):
        etcd = Etcd()
        pair = Pair(node, etcd)
        cases = [same_answers_to_broken_requests, lease_holds_its_keys, same_answers_to_a_random_sequence,
                 watches_see_the_same_changes, several_watches_of_one_stream, compacted_watch_is_cancelled,
                 older_revisions_inside_transactions]
    else:
        print("skipped: held against etcd (Debian's etcd-server is not installed)")
        cases = []
    run_cases(cases + [watch_misses_and_doubles_nothing, what_is_not_there_says_so])
finally:
    if etcd:
        etcd.close()
    node.close()
