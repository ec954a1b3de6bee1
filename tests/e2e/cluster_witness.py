#!/usr/bin/env python3
"""Time and place: what the validators of a cluster measure of each other is the ledger's, and a node whose clock is wrong shows. And the
chain of delays: a link is computed, believed by all, and holds when the chain is replayed. Its argument: clockshift."""
import contextlib
import http.client
import json
import pathlib
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from nexus_cli import ENGINE, run_cluster_cases, running, until, words_of

NODES = ("node0", "node1", "node2", "node3")
SHIFT_MS = 30000
OFF_MS = 2000  # more than this is doubted
PATIENCE = 120
clockshift = None


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("node", timeout=60)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


def get(node, name, target):
    """(status, headers, JSON) of a node."""
    with contextlib.closing(Connection(node.data / name / "api.sock")) as connection:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), json.loads(answer.read())


def on(node, name):
    return ("--data", str(node.data / name))


def pid_of(node, name):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.connect(str(node.data / name / "api.sock"))
        return int.from_bytes(s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder)


class Writer:
    """Somebody who uses the cluster: only then there are votes."""

    def __init__(self, node):
        self.node, self.stop = node, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        turn = 0
        while not self.stop.is_set():
            self.node(*on(self.node, NODES[turn % 2]), "kv", "put", "turn", str(turn))
            turn += 1
            self.stop.wait(0.2)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def ids(node):
    members = json.loads((node.data / "cluster.json").read_text())["nodes"]
    return {member["name"]: (member["node_id"], member["validator"]) for member in members}


def seen_by(node, name):
    """What that node's ledger says of each node, by name; {} when it says nothing."""
    status, _, view = get(node, name, "/cluster/witness")
    if status == 404:
        return {}
    assert status == 200, view
    names = {node_id: other for other, (node_id, _) in ids(node).items()}
    return {names[seen["node"]]: seen for seen in view["nodes"]}


def four_come_up(node):
    node("cluster", "create", "--nodes", "4", "--net", "loopback", "--plot", "64K", "--vdf-blocks", "3", "--engine-path",
         str(ENGINE)).expect(0)


def each_is_measured(node):
    seen = {}

    def complete():
        """In one and the same view: another may lack a vote that came too late."""
        nonlocal seen
        seen = seen_by(node, "node0")
        return set(seen) == set(NODES) and all(one["address"] for one in seen.values())

    with Writer(node):
        until(complete, "all are seen", PATIENCE)
    for name in NODES:
        until(lambda: set(seen_by(node, name)) == set(NODES), f"{name} has it too", PATIENCE)
    for name, one in seen.items():
        assert 0 < one["rtt_us"] < 2000000 and one["claims_rtt_us"] > 0, (name, one)
        assert abs(one["clock_ms"]) < OFF_MS and abs(one["said_ms"]) < 20000, (name, one)
        assert one["doubts"] == [] and one["seen_ppm"] > 333333, (name, one)
        assert one["address"].lower() == ids(node)[name][1].lower(), (name, one)
    status, headers, view = get(node, "node1", "/cluster/witness?min_height=2")
    assert status == 200 and int(headers["X-HyperMesh-Height"]) >= view["height"] >= 2, headers
    assert view["voters"] >= 3 and view["power_ppm"] > 666666, view


def it_is_shown(node):
    shown = node("cluster", "status").expect(0).out
    assert "RTT" in shown and "CLOCK" in shown and "doubted" not in shown and "seen by" in shown, shown
    assert shown.count(" ms") >= 2 * len(NODES), shown
    told = node("cluster", "status", "-o", "json").expect(0).json()
    assert {one["node"] for one in told["witness"]["nodes"]} == {one["node_id"] for one in told["nodes"]}, told
    with contextlib.closing(Connection(node.data / "node0/api.sock")) as connection:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(("hypermesh_echo", "hypermesh_link")))
    assert figures["hypermesh_echo_listening"] == "1" and int(figures["hypermesh_echo_answering"]) == 3, figures
    assert int(figures["hypermesh_link_answered_total"]) > 0 and figures["hypermesh_links_bad"] == "0", figures
    status, _, told = get(node, "node0", "/node")
    assert status == 200 and len(told["cluster"]["links"]) <= 3 and not any(one["bad"] for one in told["cluster"]["links"]), told


def a_link_is_made(node):
    def there(name):
        status, _, link = get(node, name, "/cluster/vdf")
        return link if status == 200 else None

    with Writer(node):
        until(lambda: there("node0"), "a link of the chain of delays", PATIENCE)
    links = {}
    for name in NODES:
        until(lambda: there(name), f"the link on {name}", PATIENCE)
        link = there(name)
        links.setdefault(link["index"], set()).add((link["input"], link["output"], link["proof"], link["linked_height"]))
    assert all(len(same) == 1 for same in links.values()), links
    link = there("node3")
    assert len(link["output"]) == len(link["proof"]) == 512 and link["linked_height"] > link["height"] > 0, link
    assert "chain of delays: link" in node("cluster", "status").expect(0).out
    node(*on(node, "node3"), "verify").expect(0)  # every note is judged again, from the genesis on


def a_wrong_clock_shows(node):
    words = words_of(pid_of(node, "node3"))
    node("cluster", "stop", "node3").expect(0)
    with open(node.base / "shifted.log", "wb") as log:
        shifted = subprocess.Popen([clockshift, str(SHIFT_MS), *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        with Writer(node):
            until(lambda: seen_by(node, "node0").get("node3", {}).get("doubts") == ["clock"], "node3 is doubted", PATIENCE)
        seen = seen_by(node, "node0")
        assert SHIFT_MS - 5000 < seen["node3"]["clock_ms"] < SHIFT_MS + 5000, seen
        assert all(seen[name]["doubts"] == [] for name in NODES[:3]), seen
        shown = node("cluster", "status").expect(0).out
        assert shown.count("its clock is doubted") == 1, shown
    finally:
        shifted.send_signal(signal.SIGTERM)
        until(lambda: shifted.poll() is not None or not running(shifted.pid), "the shifted node ends", PATIENCE)
        shifted.wait()


def main():
    global clockshift
    if len(sys.argv) < 2:
        print("usage: cluster_witness.py CLOCKSHIFT")
        return 2
    clockshift = str(pathlib.Path(sys.argv[1]).resolve())
    return run_cluster_cases([four_come_up, each_is_measured, it_is_shown, a_link_is_made, a_wrong_clock_shows])


if __name__ == "__main__":
    sys.exit(main())
