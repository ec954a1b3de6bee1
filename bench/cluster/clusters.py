"""What bench_cluster.py compares: what is measured of every cluster, and our own (peers.py has the others). All are started on
folders of one file system with nodes that meet the same way, and asked for the same."""
import base64
import json
import os
import pathlib
import random
import re
import subprocess
import time

from http1 import Client
from spaces import Failed, children, cpu_s, links_bytes, rss_mib

BIN = pathlib.Path(os.environ.get("HM_BIN", "build/gcc")).resolve()
SOURCE = pathlib.Path(os.environ.get("HM_SOURCE", ".")).resolve()
ENGINE = pathlib.Path(os.environ.get("HM_ENGINE", SOURCE / ".deps/cluster/bin/cometbft"))
ETCD = SOURCE / ".deps/bench/etcd"
LOAD, SIGN, GRPC = (BIN / "bench" / name for name in ("hm-load", "cluster-load", "etcd-load"))

VALUE = 256  # bytes of a value
KEYS = 100_000
BATCH_OPS = 64  # puts of a transaction, by the ledger's default as many as one may have
BATCH_CLIENTS = 32
PUT_WIRE = 281  # bytes that one put of 256 takes in a signed transaction of 64
LOAD_S = 300
SEEN_S = 30
WARM_S = 0.5


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def run_load(*args, limit_s=LOAD_S):
    """Runs a load generator; returns what it printed."""
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=limit_s, check=False)
    if done.returncode != 0:
        raise Failed(done.stderr.strip() or f"{args[0]} ended with {done.returncode}")
    result = json.loads(done.stdout)
    if result.get("errors"):
        raise Failed(f"{result['errors']} of {result['answered']} requests failed, the first with: "
                     f"{result.get('first_error', '')[:300]}")
    return result


def batch_bodies(path, count=400):
    """Lines, each the body of one /v3/kv/txn of BATCH_OPS puts: the same for us and for etcd."""
    draw = random.Random(1)
    with open(path, "w", encoding="ascii") as out:
        for _ in range(count):
            keys = draw.sample(range(KEYS), BATCH_OPS)
            puts = [{"requestPut": {"key": b64(f"bench/{key:08}"), "value": b64("x" * VALUE)}} for key in keys]
            out.write(json.dumps({"success": puts}, separators=(",", ":")) + "\n")


class Cluster:
    """Nodes of one product. `name` is what tables call it; a subclass says how it is started and asked."""

    name = ""
    parts = ("daemon",)  # what a node's processes are called
    started = 0  # of all clusters: folders get names of their own

    def __init__(self, folder, nodes):
        Cluster.started += 1
        self.nodes = nodes
        self.folder = pathlib.Path(folder) / f"{type(self).__name__[:1].lower()}{nodes}-{Cluster.started}"
        self.number = 0  # of the next operation
        self.clients = []

    # Subclasses give these.
    def start(self):
        raise NotImplementedError

    def stop(self):
        raise NotImplementedError

    def processes(self):
        """For each node, the ids of its processes in the order of `parts`."""
        raise NotImplementedError

    def wire_bytes(self):
        """What all nodes have sent each other by now; None where that cannot be told."""
        raise NotImplementedError

    def write(self, number):
        """One operation through node 0; returns when it is durable, with what `seen` needs."""
        raise NotImplementedError

    def seen(self, number, token):
        """Returns when the last node shows it."""
        raise NotImplementedError

    def single(self, clients, seconds):
        """hm-load: single operations of so many clients, all through node 0."""
        raise NotImplementedError

    def step_times(self):
        """See engine_steps; {} where there is none."""
        return {}

    # What is measured of all of them.
    def usage(self):
        used = [sum(cpu_s(pids[i]) for pids in self.processes()) for i in range(len(self.parts))]
        return used, self.wire_bytes()

    def measured(self, run, ops=1):
        """A run of a load generator whose requests hold `ops` operations; adds what an operation costs all nodes together:
        cpu_us of each part, and wire bytes."""
        cpu, wire = self.usage()
        result = run()
        after_cpu, after_wire = self.usage()
        answered = result["answered"] * ops
        result["cpu_us"] = [(b - a) * 1e6 / answered for a, b in zip(cpu, after_cpu)]
        result["wire"] = None if wire is None else (after_wire - wire) / answered
        return result

    def timed(self, seconds, pause, other):
        """One client, one operation after the other; with pause it rests up to as long before each. Returns lists of
        milliseconds: until answered, and until another node showed it."""
        answered, shown = [], []
        draw = random.Random(self.number)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if pause:
                time.sleep(draw.uniform(pause / 2, pause))
            self.number += 1
            began = time.perf_counter()
            token = self.write(self.number)
            answered.append((time.perf_counter() - began) * 1e3)
            if other:
                self.seen(self.number, token)
                shown.append((time.perf_counter() - began) * 1e3)
        return answered, shown

    def idle(self, seconds):
        """Processor of one node that does nothing, percent of a core, for each part; and bytes a second that a node sends."""
        cpu, wire = self.usage()
        time.sleep(seconds)
        after, after_wire = self.usage()
        return ([(b - a) * 100 / seconds / self.nodes for a, b in zip(cpu, after)],
                None if wire is None else (after_wire - wire) / seconds / self.nodes)

    def memory(self):
        """(resident, own) MiB of one node's processes, the mean over the nodes, for each part."""
        found = []
        for i in range(len(self.parts)):
            each = [rss_mib(pids[i]) for pids in self.processes()]
            found.append(tuple(sum(e[k] for e in each) / len(each) for k in (0, 1)))
        return found

    def client(self, where, netns=None):
        made = Client(where, netns)
        self.clients.append(made)
        return made

    def close_clients(self):
        for client in self.clients:
            client.close()
        self.clients = []


class Ours(Cluster):
    name = "HyperMesh"
    parts = ("hypermeshd", "CometBFT")
    log_level = "warn"
    extra = ()

    def nexus(self, *words):
        done = subprocess.run([str(BIN / "nexus"), "cluster", *words, "--data", str(self.folder)], capture_output=True,
                              text=True, timeout=600, check=False)
        if done.returncode != 0:
            raise Failed(f"nexus cluster {words[0]}: {done.stderr.strip()[-600:]}")
        return done.stdout

    def start(self):
        self.nexus("create", "--nodes", str(self.nodes), "--engine-path", str(ENGINE), "--log-level",
                   self.log_level, *self.extra)
        self.layout = json.loads((self.folder / "cluster.json").read_text())
        self.api = self.client(self.socket(0))
        self.far = self.client(self.socket(self.nodes - 1))
        self.look_for_processes()
        # Anybody may write below bench/: the clients that sign for themselves, too.
        self.api.ask("PUT", "/kv-rules", {"prefix": "bench/", "owner": "user", "anyone_writes": True, "anyone_reads": True})
        return self

    def stop(self):
        self.close_clients()
        if (self.folder / "cluster.json").exists():
            self.nexus("destroy", "--yes")

    def socket(self, node):
        return self.folder / f"node{node}/api.sock"

    def look_for_processes(self):
        found = json.loads(self.nexus("status", "-o", "json"))["nodes"]
        self.pids = []
        for node in found:
            below = [c for c in children(node["pid"]) if "cometbft" in pathlib.Path(f"/proc/{c}/comm").read_text()]
            if not below:
                raise Failed(f"{node['name']} has no engine")
            self.pids.append((node["pid"], below[0]))

    def processes(self):
        return self.pids[:self.nodes]

    def wire_bytes(self):
        if not self.layout["bridge"]:
            return sum(engine_sent(node["metrics"]) for node in self.layout["nodes"])
        return links_bytes([f"v{self.layout['id']}-{i}" for i in range(self.nodes)])

    def write(self, number):
        return self.api.ask("PUT", f"/kv/bench%2F{number % KEYS:08}", {"value": "x" * VALUE})["receipt"]["height"]

    def seen(self, number, token):
        """A read at another node that waits for the block of the receipt."""
        self.far.ask("GET", f"/kv/bench%2F{number % KEYS:08}?min_height={token}&wait_ms=20000")

    def single(self, clients, seconds):
        body = {"key": "${base64}bench/${random:8}${end}", "value": f"${{base64}}${{pad:{VALUE}}}${{end}}"}
        return self.measured(lambda: run_load(
            LOAD, "--address", f"unix:{self.socket(0)}", "--path", "/v3/kv/put", "--body", json.dumps(body), "--clients",
            clients, "--range", KEYS, "--seconds", seconds, "--warmup", WARM_S))

    def json_batch(self, seconds, lines):
        return in_ops(self.measured(lambda: run_load(
            LOAD, "--address", f"unix:{self.socket(0)}", "--path", "/v3/kv/txn", "--body", "${pick}", "--lines", lines,
            "--clients", BATCH_CLIENTS, "--seconds", seconds, "--warmup", WARM_S), BATCH_OPS))

    def signers(self, seed, clients):
        """Accounts that may sign: made, paid by node0's user, their sessions granted."""
        names = subprocess.run([SIGN, "accounts", "--seed", seed, "--clients", str(clients)], capture_output=True, text=True,
                               check=True).stdout
        lines = self.folder / "signers"
        lines.write_text(names)
        run_load(LOAD, "--address", f"unix:{self.socket(0)}", "--path", "/accounts/user/transfer", "--body",
                 '{"to":"${line}","amount":"1000000"}', "--lines", lines, "--clients", clients, "--requests", clients)
        run_load(SIGN, "grant", "--api", self.socket(0), "--seed", seed, "--clients", clients)

    def signed(self, seconds, kind="put", limit_s=LOAD_S, **more):
        words = [word for name, value in more.items() for word in (f"--{name}", value)]
        return self.measured(lambda: run_load(
            SIGN, "run", "--api", self.socket(0), "--seed", "bench", "--clients", BATCH_CLIENTS, "--kind", kind, "--ops",
            BATCH_OPS, "--value-bytes", VALUE, "--keys", KEYS, "--seconds", seconds, "--warmup", WARM_S, *words,
            limit_s=limit_s), BATCH_OPS)

    def step_times(self):
        return engine_steps(self.api.ask_text("/metrics"))


def in_ops(result):
    """hm-load counts requests; here each holds BATCH_OPS operations."""
    result["ops"] *= BATCH_OPS
    result["ops_s"] *= BATCH_OPS
    return result


def scrape(text):
    found = {}
    for line in text.splitlines():
        if line and line[0] != "#":
            name, _, value = line.rpartition(" ")
            found[re.sub(r'chain_id="[^"]*",?', "", name).replace("{}", "")] = float(value)
    return found


def engine_sent(address):
    """Where wires cannot be told apart: what the engine counts, without the headers of TCP and below."""
    host, port = address.rsplit(":", 1)
    client = Client((host, int(port)))
    found = scrape(client.ask_text("/metrics"))
    client.close()
    return sum(value for name, value in found.items() if name.startswith("hypermesh_engine_p2p_peer_send_bytes_total"))


def engine_steps(text):
    """Blocks, and milliseconds by step of consensus and by call of the application, since the engine of node 0 began."""
    found, other = {"blocks": 0.0}, 0.0
    for name, value in scrape(text).items():
        if step := re.match(r'hypermesh_engine_consensus_step_duration_seconds_sum\{step="(\w+)"', name):
            found[step[1]] = value * 1e3
        elif name.startswith("hypermesh_engine_consensus_height"):
            found["blocks"] = value
        elif call := re.match(r'hypermesh_engine_abci_connection_method_timing_seconds_sum\{method="(\w+)"', name):
            if call[1] in ("finalize_block", "commit", "check_tx"):
                found[call[1]] = value * 1e3
            elif call[1] not in ("flush", "echo"):
                other += value * 1e3
    return found | {"other": other}
