"""The two servers that the comparisons run: started on a folder, asked what they use, driven, stopped."""
import base64
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

BIN = pathlib.Path(os.environ["HM_BIN"])
SOURCE = pathlib.Path(os.environ["HM_SOURCE"])
PEERS = SOURCE / ".deps/bench"
LOAD = BIN / "bench/hm-load"
GRPC_LOAD = BIN / "bench/etcd-load"  # there only when Go could build it
START_S = 60
STOP_S = 60
LOAD_S = 300  # more than any run takes
TICKS_S = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Failed(Exception):
    """A server or a run did not do what it should; the text says which."""


def ask(url, method, body=None, headers=None):
    """One request; the answer as Python sees its JSON."""
    request = urllib.request.Request(url, method=method, data=json.dumps(body).encode() if body else None,
                                     headers={"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise Failed(f"{method} {url}: {error.code} {error.read()[:300].decode()}") from error


def run_load(program, *args):
    """Runs a load generator; returns what it printed."""
    done = subprocess.run([program, *map(str, args)], capture_output=True, text=True, timeout=LOAD_S)
    if done.returncode != 0:
        raise Failed(done.stderr.strip() or f"{program} ended with {done.returncode}")
    result = json.loads(done.stdout)
    if result.get("errors"):
        raise Failed(f"{result['errors']} of {result['answered']} requests failed, the first with: "
                     f"{result.get('first_error', '')[:300]}")
    return result


class Server:
    """A server process on its own folder. `name` is what tables call it."""

    name = ""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder) / type(self).__name__.lower()
        self.log = pathlib.Path(f"{self.folder}.log")
        self.process = None
        self.started_s = 0.0

    def command(self):
        raise NotImplementedError

    def ready(self):
        raise NotImplementedError

    def start(self):
        began = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() - began > START_S:
                raise Failed(f"{self.name} did not start: {self.log.read_text()[-600:]}")
            time.sleep(0.005)
        self.started_s = time.monotonic() - began
        return self

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def cpu_s(self):
        """Seconds of processor that the process has used, user and system."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_S

    def memory_mib(self):
        """Resident, proportional and anonymous MiB. Pages of a mapped database count in the first two only."""
        found = {}
        for line in pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in ("Rss", "Pss", "Anonymous"):
                found[name.lower()] = int(rest.split()[0]) / 1024
        return found

    def disk_mib(self):
        """MiB of blocks that its folder takes on the disk."""
        return sum(p.lstat().st_blocks for p in self.folder.rglob("*")) / 2048

    def measured(self, program, *args):
        """A run of a load generator, with `cpu_us`: processor time of the server for an operation."""
        before = self.cpu_s()
        result = run_load(program, *args)
        if result.get("answered"):
            result["cpu_us"] = (self.cpu_s() - before) * 1e6 / result["answered"]
        return result


class JsonKv:
    """etcd's v3 JSON paths, which both speak: the same client sends the same bytes to both."""

    def kv_address(self):
        """Where hm-load finds it, as its options."""
        raise NotImplementedError

    def kv(self, path, body, clients, **more):
        args = [*self.kv_address(), "--path", path, "--body", json.dumps(body), "--clients", clients]
        for name, value in more.items():
            args += [f"--{name.replace('_', '-')}", value]
        return self.measured(LOAD, *args)

    def fill(self, keys, value_bytes):
        body = {"key": "${base64}bench/${n:8}${end}", "value": f"${{base64}}${{pad:{value_bytes}}}${{end}}"}
        return self.kv("/v3/kv/put", body, 64, requests=keys)

    def kv_ask(self, path, body):
        raise NotImplementedError

    def fill_check(self, value_bytes):
        """Are the first hundred keys there, whole? A server that answers with nothing would be fast."""
        found = self.kv_ask("/v3/kv/range", {"key": b64("bench/000000"), "range_end": b64("bench/000000~")})["kvs"]
        values = {base64.b64decode(pair["value"]) for pair in found}
        if len(found) != 100 or values != {b"x" * value_bytes}:
            raise Failed(f"{self.name}: a range of 100 keys gave {len(found)}, {len(values)} different values")

    def put(self, clients, seconds, keys, value_bytes):
        body = {"key": "${base64}bench/${random:8}${end}", "value": f"${{base64}}${{pad:{value_bytes}}}${{end}}"}
        return self.kv("/v3/kv/put", body, clients, range=keys, seconds=seconds)

    def get(self, clients, seconds, keys, serializable=False):
        body = {"key": "${base64}bench/${random:8}${end}"}
        if serializable:
            body["serializable"] = True
        return self.kv("/v3/kv/range", body, clients, range=keys, seconds=seconds)

    def get_hundred(self, clients, seconds, keys):
        body = {"key": "${base64}bench/${random:6}${end}", "range_end": "${base64}bench/${again:6}~${end}"}
        return self.kv("/v3/kv/range", body, clients, range=keys // 100, seconds=seconds)

    def watch(self, watchers, rounds, seconds, value_bytes):
        body = {"key": "${base64}w/${n:8}${end}", "value": f"${{base64}}${{pad:{value_bytes}}}${{end}}"}
        ask = {"create_request": {"key": b64("w/"), "range_end": b64("w0")}}
        return self.kv("/v3/kv/put", body, 8, seconds=seconds, watchers=watchers, rounds=rounds,
                       watch_path="/v3/watch", watch_body=json.dumps(ask))


class Etcd(Server, JsonKv):
    name = "etcd, JSON"

    def __init__(self, folder):
        super().__init__(folder)
        self.port = free_port()
        self.peer_port = free_port()

    def command(self):
        here, peer = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.peer_port}"
        return [PEERS / "etcd", "--data-dir", self.folder, "--log-level", "error", "--listen-client-urls", here,
                "--advertise-client-urls", here, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", f"default={peer}"]

    def ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2) as answer:
                return b"true" in answer.read()
        except (urllib.error.URLError, OSError):
            return False

    def kv_address(self):
        return ["--address", f"127.0.0.1:{self.port}"]

    def kv_ask(self, path, body):
        return ask(f"http://127.0.0.1:{self.port}{path}", "POST", body)

    def version(self):
        text = subprocess.run([PEERS / "etcd", "--version"], capture_output=True, text=True, check=True).stdout
        return text.splitlines()[0].replace(" Version:", "")


class EtcdGrpc:
    """The same etcd by gRPC, through its official Go client."""

    name = "etcd, gRPC"

    def __init__(self, etcd):
        self.etcd = etcd

    @staticmethod
    def there():
        return GRPC_LOAD.exists()

    def run(self, op, clients, seconds, *more):
        return self.etcd.measured(GRPC_LOAD, "-endpoint", f"127.0.0.1:{self.etcd.port}", "-op", op, "-clients", clients,
                                  "-seconds", seconds, *more)

    def put(self, clients, seconds, keys, value_bytes):
        return self.run("put", clients, seconds, "-keys", keys, "-value-bytes", value_bytes)

    def get(self, clients, seconds, keys, serializable=False):
        return self.run("get", clients, seconds, "-keys", keys, *(["-serializable"] if serializable else []))

    def get_hundred(self, clients, seconds, keys):
        return self.run("range", clients, seconds, "-keys", keys)

    def watch(self, watchers, rounds, seconds, value_bytes):
        return self.run("watch", 8, seconds, "-watchers", watchers, "-rounds", rounds, "-value-bytes", value_bytes)


class Hypermesh(Server, JsonKv):
    name = "hypermesh"

    def __init__(self, folder, extra=()):
        super().__init__(folder)
        self.port = free_port()
        self.kv_port = free_port()
        self.extra = list(extra)
        self.kv_listens = "--kv-listen" in subprocess.run(
            [BIN / "hypermeshd", "--help"], capture_output=True, text=True, check=True).stdout

    def command(self):
        kv = ["--kv-listen", f"127.0.0.1:{self.kv_port}"] if self.kv_listens else []
        return [BIN / "hypermeshd", "--data", self.folder, "--listen", f"127.0.0.1:{self.port}", "--log-level", "warn",
                *kv, *self.extra]

    def token_path(self):
        return self.folder / "api.token"

    def ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def has_kv(self):
        """Of a started one: does it speak /v3/kv, on a listener of its own or with the token?"""
        return self.kv_listens or "/v3/kv/put" in self.ask("GET", "/openapi.json")["paths"]

    def kv_ask(self, path, body):
        if self.kv_listens:
            return ask(f"http://127.0.0.1:{self.kv_port}{path}", "POST", body)
        return self.ask("POST", path, body)

    def kv_address(self):
        if self.kv_listens:
            return ["--address", f"127.0.0.1:{self.kv_port}"]
        return ["--address", f"127.0.0.1:{self.port}", "--token-file", self.token_path()]

    def ask(self, method, path, body=None):
        """One request with the token."""
        token = self.token_path().read_text().strip()
        return ask(f"http://127.0.0.1:{self.port}{path}", method, body, {"Authorization": f"Bearer {token}"})

    def assets_make(self, count):
        """Registers as many assets of the account `user`; keeps their ids for asset_put and asset_get. Not of the
        node's own account: it retires what it does not find in the machine."""
        self.ask("POST", "/accounts/user/bond", {"amount": "1000"})
        ids = []
        for i in range(count):
            body = {"kind": "cpu", "hardware_id": f"bench-{i}", "capacity": 1000, "price_per_hour": "0.1",
                    "account": "user"}
            ids.append(self.ask("POST", "/assets/register", body)["asset"])
        self.lines = self.folder.parent / "assets.txt"
        self.lines.write_text("\n".join(ids) + "\n")
        return ids

    def asset(self, clients, seconds, *more):
        return self.measured(LOAD, "--address", f"127.0.0.1:{self.port}", "--token-file", self.token_path(), "--lines",
                             self.lines, "--clients", clients, "--seconds", seconds, *more)

    def asset_put(self, clients, seconds):
        return self.asset(clients, seconds, "--method", "PUT", "--path", "/assets/${line}", "--range", 1000000,
                          "--body", '{"price_per_hour":"0.${random:6}1"}')

    def asset_get(self, clients, seconds):
        return self.asset(clients, seconds, "--path", "/assets/${pick}")

    def version(self):
        done = subprocess.run([BIN / "hypermeshd", "--version"], capture_output=True, text=True, check=True)
        return done.stdout.strip()
