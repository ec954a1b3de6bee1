#!/usr/bin/env python3
"""The counter of examples/ under the real engine, CometBFT v0.38: blocks, queries, a crash of either, and of both.

Skipped with a reason where the engine is not installed (scripts/setup --cluster)."""
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "node"))
from daemon import run_cases  # noqa: E402

COUNTER = sys.argv[1]
SOURCE = pathlib.Path(os.environ.get("HM_SOURCE", "."))
SECONDS = 60
SKIPPED = 77  # meson's status for it


def find_engine():
    """Its path, or None and why not."""
    for path in (str(SOURCE / ".deps/cluster/bin/cometbft"), shutil.which("cometbft")):
        if path and os.access(path, os.X_OK):
            version = subprocess.run([path, "version"], capture_output=True, text=True, timeout=SECONDS).stdout.strip()
            return (path, None) if version.startswith("0.38.") else (None, f"{path} is version {version}, not 0.38")
    return None, "cometbft is not installed"


ENGINE, REASON = find_engine()
if not ENGINE:
    print(f"skip: {REASON}", flush=True)
    sys.exit(SKIPPED)
work = pathlib.Path(tempfile.mkdtemp(prefix="hm-abci-"))


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=SECONDS)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self.path)


class Node:
    """One engine with one counter, in a folder of its own."""

    def __init__(self):
        self.home = pathlib.Path(tempfile.mkdtemp(dir=work))
        self.started = {}
        subprocess.run([ENGINE, "init", "--home", self.home], check=True, stdout=subprocess.DEVNULL, timeout=SECONDS)
        genesis = self.home / "config/genesis.json"
        values = json.loads(genesis.read_text())
        values["consensus_params"]["abci"]["vote_extensions_enable_height"] = "1"
        genesis.write_text(json.dumps(values))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        (self.home / "config/config.toml").write_text(f"""
proxy_app = "unix://{self.home}/abci.sock"
abci = "socket"
db_backend = "goleveldb"
log_level = "error"
[rpc]
laddr = "unix://{self.home}/rpc.sock"
[p2p]
laddr = "tcp://127.0.0.1:{port}"
pex = false
[mempool]
recheck = false
[consensus]
timeout_propose = "1s"
timeout_commit = "0s"
skip_timeout_commit = true
create_empty_blocks = false
[tx_index]
indexer = "null"
""")

    def start(self, name):
        if name == "counter":
            command = [COUNTER, self.home / "abci.sock"]
        else:
            (self.home / "rpc.sock").unlink(missing_ok=True)  # the engine does not start over a stale one
            command = [ENGINE, "start", "--home", self.home]
        with open(self.home / f"{name}.log", "ab") as log:
            self.started[name] = subprocess.Popen(command, stdout=log, stderr=log)
        if name == "counter":
            wait(self.counter_listens, "counter")

    def counter_listens(self):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.home / "abci.sock")) == 0

    def start_both(self):
        """The counter first: the engine tries again only every 3 s."""
        self.start("counter")
        self.start("engine")
        wait(lambda: self.ask("status"), "the engine's RPC")

    def end(self, name, number=signal.SIGKILL):
        process = self.started.pop(name)
        process.send_signal(number)
        process.wait(SECONDS)

    def engine_ended(self):
        """It ends by itself when the counter is gone; but where a call was just on its way, its client may wait for the answer
        for ever, and whoever supervises it must end it."""
        try:
            self.started["engine"].wait(5)
            self.started.pop("engine")
        except subprocess.TimeoutExpired:
            self.end("engine")

    def ask(self, path):
        connection = UnixConnection(self.home / "rpc.sock")
        try:
            connection.request("GET", "/" + path)
            answer = json.loads(connection.getresponse().read())
        except (OSError, ValueError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        assert "error" not in answer, answer
        return answer["result"]

    def add(self, text):
        """The code that the block's result gave the transaction."""
        answer = self.ask(f'broadcast_tx_commit?tx="{text}"')
        assert answer and answer["check_tx"]["code"] == 0, answer
        return answer["tx_result"]["code"]

    def sum(self):
        answer = self.ask('abci_query?path="/sum"')
        return answer and int(answer["response"]["log"])

    def height(self):
        answer = self.ask("status")
        return answer and int(answer["sync_info"]["latest_block_height"])

    def close(self):
        for name in list(self.started):
            self.end(name)

    def logs(self):
        return "".join(log.read_text()[-2000:] for log in self.home.glob("*.log"))


def wait(true, what):
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, f"no {what} within {SECONDS} s"
        time.sleep(0.05)


def with_node(case):
    def run():
        node = Node()
        try:
            node.start_both()
            case(node)
        except Exception:
            print(node.logs(), file=sys.stderr)
            raise
        finally:
            node.close()
    run.__name__ = case.__name__
    return run


@with_node
def counts(node):
    assert node.add(5) == 0
    assert node.add(37) == 0
    assert node.sum() == 42
    assert node.add("nonsense") == 1  # in a block, with its code
    assert node.sum() == 42


@with_node
def idle_makes_no_blocks(node):
    node.add(1)
    time.sleep(1)  # one more block proves the new hash
    height = node.height()
    time.sleep(2)
    assert node.height() == height


@with_node
def counter_killed(node):
    """The engine ends by itself; both come back, and all blocks are given again to the counter, which has forgotten them."""
    for number in range(1, 6):
        node.add(number)
    height = node.height()
    node.end("counter")
    node.engine_ended()
    node.start_both()
    wait(lambda: node.sum() == 15, "sum of 15")
    assert node.height() >= height
    assert node.add(100) == 0
    assert node.sum() == 115


@with_node
def engine_killed(node):
    """The counter stays, and its next connection goes on where the last one ended."""
    node.add(7)
    node.end("engine")
    node.start("engine")
    wait(lambda: node.ask("status"), "the engine's RPC")
    assert node.sum() == 7
    assert node.add(8) == 0
    assert node.sum() == 15


@with_node
def both_killed(node):
    for number in (10, 20):
        node.add(number)
    node.end("engine")
    node.end("counter")  # its socket's file stays, and is replaced
    assert (node.home / "abci.sock").exists()
    node.started.clear()
    node.start_both()
    wait(lambda: node.sum() == 30, "sum of 30")
    assert node.add(3) == 0
    assert node.sum() == 33


try:
    run_cases([counts, idle_makes_no_blocks, counter_killed, engine_killed, both_killed])
finally:
    shutil.rmtree(work, ignore_errors=True)
