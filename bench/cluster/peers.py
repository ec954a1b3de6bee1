"""The peers of bench_cluster.py: CometBFT with its own application, and etcd; their processes are this program's own."""
import json
import os
import re
import shutil
import signal
import subprocess
import time

from clusters import (BATCH_CLIENTS, BATCH_OPS, BIN, ENGINE, ETCD, GRPC, KEYS, LOAD, PUT_WIRE, SEEN_S, VALUE, WARM_S, Cluster, b64,
                      engine_sent, engine_steps, in_ops, run_load)
from http1 import Client
from spaces import Failed, Loopback, Spaces, can_have_namespaces

START_S, STOP_S = 120, 60


class Processes(Cluster):
    """Nodes that this program starts itself, each a process."""

    def __init__(self, folder, nodes):
        super().__init__(folder, nodes)
        self.running = []
        self.space = None

    def command(self, node):
        raise NotImplementedError

    def ready(self, node):
        raise NotImplementedError

    def begin(self):
        self.folder.mkdir(parents=True)
        self.space = (Spaces if can_have_namespaces() else Loopback)(self.nodes)

    def start(self):
        self.begin()
        for node in range(self.nodes):
            with open(self.folder / f"{node}.log", "ab") as log:
                self.running.append(subprocess.Popen(
                    [*self.space.enter(node), *map(str, self.command(node))], stdin=subprocess.DEVNULL, stdout=log,
                    stderr=log, env={**os.environ, "GOMAXPROCS": "2", "GOGC": "200"} if self.gomax else None))
        end = time.monotonic() + START_S
        for node in range(self.nodes):
            while not self.ready(node):
                if self.running[node].poll() is not None or time.monotonic() > end:
                    raise Failed(f"{self.name}: node {node} did not start: "
                                 f"{(self.folder / f'{node}.log').read_text(errors='replace')[-600:]}")
                time.sleep(0.05)
        return self

    gomax = False

    def stop(self):
        self.close_clients()
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running = []
        if self.space:
            self.space.close()
        self.space = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def processes(self):
        return [(process.pid,) for process in self.running]

    def wire_bytes(self):
        return self.space.wire_bytes()


class Kvstore(Processes):
    """The same CometBFT with its own key-value application inside, in memory, under the config.toml and with the genesis
    parameters that `nexus cluster create` writes: only the addresses, the paths, proxy_app and how much a client of its RPC may
    ask for at once are others."""

    name = "kvstore"
    parts = ("CometBFT",)
    gomax = True  # as hypermeshd starts it

    def begin(self):
        super().begin()
        made = subprocess.run([str(BIN / "hypermeshd"), "--cluster-create", str(self.nodes), "--data", str(self.folder / "n")],
                              capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise Failed(f"hypermeshd --cluster-create: {made.stderr.strip()[-400:]}")
        ids = [node["node_id"] for node in json.loads(made.stdout)["nodes"]]
        p2p = [f"{self.space.address(i)}:{self.space.port(i, 26656)}" for i in range(self.nodes)]
        self.metrics = [f"127.0.0.1:{self.space.port(i, 26660)}" for i in range(self.nodes)]
        for node in range(self.nodes):
            self.configure(node, p2p[node], ",".join(f"{ids[i]}@{p2p[i]}" for i in range(self.nodes) if i != node))
        self.rpc = self.client(self.socket(0))
        self.far = self.client(self.socket(self.nodes - 1))
        self.state = {}

    def home(self, node):
        return self.folder / f"n/node{node}/engine"

    def socket(self, node):
        return self.folder / f"n/node{node}/rpc.sock"

    def configure(self, node, listen, peers):
        path = self.home(node) / "config/config.toml"
        text = path.read_text()
        for key, value in (("proxy_app", "kvstore"), ("persistent_peers", peers)):
            text, count = re.subn(rf'(?m)^{key} = ".*"$', f'{key} = "{value}"', text)
            if count != 1:
                raise Failed(f"{path} has no {key}")
        text, count = re.subn(r'(?m)^laddr = "tcp://.*"$', f'laddr = "tcp://{listen}"', text)
        # broadcast_tx_commit subscribes, and all clients of a unix socket count as one.
        text = text.replace("[rpc]\n", "[rpc]\nmax_subscriptions_per_client = 1000\n")
        text = text.split("[instrumentation]")[0] + (
            f'[instrumentation]\nprometheus = true\nprometheus_listen_addr = "{self.metrics[node]}"\n'
            'namespace = "hypermesh_engine"\n')
        if count != 1:
            raise Failed(f"{path} has no p2p address")
        path.write_text(text)
        genesis = self.home(node) / "config/genesis.json"
        known = json.loads(genesis.read_text())
        known.pop("app_state", None)  # the application begins with nothing
        genesis.write_text(json.dumps(known))

    def command(self, node):
        return [ENGINE, "start", "--home", self.home(node)]

    def ready(self, node):
        try:
            if self.call(self.client(self.socket(node)), "net_info", {})["n_peers"] != str(self.nodes - 1):
                return False
            # The first block is made for the genesis's application hash: after it, it rests.
            return int(self.call(self.client(self.socket(node)), "status", {})["sync_info"]["latest_block_height"]) >= 1
        except (Failed, OSError):
            return False

    @staticmethod
    def call(client, method, params):
        answer = client.ask("POST", "/", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        if "error" in answer:
            raise Failed(f"{method}: {answer['error']}")
        return answer["result"]

    def write(self, number):
        result = self.call(self.rpc, "broadcast_tx_commit", {"tx": b64(f"t{number:08}=" + "x" * VALUE)})
        if result["check_tx"]["code"] or result["tx_result"]["code"]:
            raise Failed(f"kvstore refused: {result}")

    def seen(self, number, token):
        del token
        end = time.monotonic() + SEEN_S
        key = f"t{number:08}".encode().hex()
        while self.call(self.far, "abci_query", {"data": key})["response"]["value"] is None:
            if time.monotonic() > end:
                raise Failed("kvstore: another node never showed it")
            time.sleep(0.001)

    def load(self, tx, clients, seconds, ops):
        """Transactions are all different: the engine refuses one that it has seen."""
        body = {"jsonrpc": "2.0", "id": 1, "method": "broadcast_tx_commit", "params": {"tx": tx}}
        before = self.size()
        result = self.measured(lambda: run_load(
            LOAD, "--address", f"unix:{self.socket(0)}", "--path", "/", "--body", json.dumps(body), "--clients", clients,
            "--first", self.number, "--seconds", seconds, "--warmup", WARM_S), ops)
        self.number += result["answered"] + 1000
        if self.size() - before != result["answered"]:  # refusals come as 200, too
            raise Failed(f"kvstore: {result['answered']} answers, {self.size() - before} new keys")
        return result

    def size(self):
        return json.loads(self.call(self.rpc, "abci_info", {})["response"]["data"])["size"]

    def single(self, clients, seconds):
        return self.load(f"${{base64}}s${{n:8}}=${{pad:{VALUE}}}${{end}}", clients, seconds, 1)

    def batch(self, seconds):
        """As many bytes as a signed batch of ours, in one key: what the engine takes to order them."""
        return in_ops(self.load(f"${{base64}}b${{n:8}}=${{pad:{BATCH_OPS * PUT_WIRE}}}${{end}}", BATCH_CLIENTS, seconds, BATCH_OPS))

    def step_times(self):
        host, port = self.metrics[0].rsplit(":", 1)
        client = Client((host, int(port)), self.space.netns(0))
        text = client.ask_text("/metrics")
        client.close()
        return engine_steps(text)

    def wire_bytes(self):
        if self.space.netns(0) is None:
            return sum(engine_sent(address) for address in self.metrics)
        return super().wire_bytes()


class Etcd(Processes):
    """Debian's etcd with its defaults."""

    name = "etcd"
    parts = ("etcd",)

    def begin(self):
        super().begin()
        self.peers = [f"http://{self.space.address(i)}:{self.space.port(i, 2380)}" for i in range(self.nodes)]
        self.ports = [self.space.port(i, 2379) for i in range(self.nodes)]
        self.near, self.far = (self.client(("127.0.0.1", self.ports[i]), self.space.netns(i)) for i in (0, self.nodes - 1))
        self.all = [self.client(("127.0.0.1", self.ports[i]), self.space.netns(i)) for i in range(self.nodes)]

    def command(self, node):
        return [ETCD, "--name", f"e{node}", "--data-dir", self.folder / f"e{node}", "--log-level", "error",
                "--listen-client-urls", f"http://127.0.0.1:{self.ports[node]}", "--advertise-client-urls",
                f"http://127.0.0.1:{self.ports[node]}", "--listen-peer-urls", self.peers[node],
                "--initial-advertise-peer-urls", self.peers[node], "--initial-cluster",
                ",".join(f"e{i}={peer}" for i, peer in enumerate(self.peers)), "--initial-cluster-state", "new"]

    def ready(self, node):
        try:
            return self.all[node].ask("GET", "/health")["health"] == "true"
        except (Failed, OSError):
            self.all[node].close()
            return False

    def address(self):
        return [*self.space.enter(0), LOAD, "--address", f"127.0.0.1:{self.ports[0]}"]

    def write(self, number):
        self.near.ask("POST", "/v3/kv/put", {"key": b64(f"bench/{number % KEYS:08}"), "value": b64("x" * VALUE)})

    def seen(self, number, token):
        """A linearizable read at another member: etcd's own way to see what was answered before."""
        del token
        if "kvs" not in self.far.ask("POST", "/v3/kv/range", {"key": b64(f"bench/{number % KEYS:08}")}):
            raise Failed("etcd: another member does not show it")

    def single(self, clients, seconds):
        body = {"key": "${base64}bench/${random:8}${end}", "value": f"${{base64}}${{pad:{VALUE}}}${{end}}"}
        return self.measured(lambda: run_load(
            *self.address(), "--path", "/v3/kv/put", "--body", json.dumps(body), "--clients", clients, "--range", KEYS,
            "--seconds", seconds, "--warmup", WARM_S))

    def single_grpc(self, clients, seconds):
        return self.measured(lambda: run_load(
            *self.space.enter(0), GRPC, "-endpoint", f"127.0.0.1:{self.ports[0]}", "-op", "put", "-clients", clients,
            "-keys", KEYS, "-value-bytes", VALUE, "-seconds", seconds, "-warmup", WARM_S))

    def json_batch(self, seconds, lines):
        return in_ops(self.measured(lambda: run_load(
            *self.address(), "--path", "/v3/kv/txn", "--body", "${pick}", "--lines", lines, "--clients", BATCH_CLIENTS,
            "--seconds", seconds, "--warmup", WARM_S), BATCH_OPS))
