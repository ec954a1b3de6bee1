"""One node: hypermeshd and its engine in a network namespace, started, stopped, paused, emptied; and what is asked of it."""
import contextlib
import http.client
import json
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import time

from machine import BIN, descendants, engine_path, kill_all, signal_all

KEPT = ("keys", "validator", "engine")  # of a node that loses its disk: its keys and what it has signed last
STOP_SECONDS = 60


class Refused(Exception):
    """An answer of 400 or more."""

    def __init__(self, status, problem):
        super().__init__(f"{status} {problem.get('code')}: {problem.get('detail')}")
        self.status, self.problem = status, problem


NO_ANSWER = (OSError, http.client.HTTPException, ValueError, Refused)


class Connection(http.client.HTTPConnection):
    """HTTP over a unix socket; kept open over calls."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def ask(self, method, path, body=None):
        headers = {} if body is None else {"Content-Type": "application/json"}
        self.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.getresponse()
        data = answer.read()
        if answer.status >= 400:
            try:
                problem = json.loads(data)
            except ValueError:
                problem = {"detail": data.decode(errors="replace")}
            raise Refused(answer.status, problem)
        if answer.headers.get("Content-Type", "").startswith("application/json"):
            return json.loads(data)
        return data.decode(errors="replace")


class Node:
    """made: what hypermeshd printed of it (name, node_id, account, user, ...)."""

    def __init__(self, number, data, namespace, listen, made, tools):
        self.number, self.data, self.namespace, self.listen = number, pathlib.Path(data), namespace, listen
        self.made, self.tools = made, tools
        self.log_path = self.data.parent / f"{self.data.name}.log"
        self.engine_file = self.data.parent / f"{self.data.name}.engine"
        self.armed = self.data.parent / f"{self.data.name}.armed"
        self.process, self.peers, self.how = None, [], {}
        self.wanted = False  # should it run? then whoever looks after the nodes starts it again

    # --- its processes

    def start(self, rules=(), clock_ms=0, engine_clock_ms=0, cut=None):
        """rules: of abci_script, between the daemon and its engine, which hold while the node is armed. clock_ms: by how much the
        clocks of both are wrong then; engine_clock_ms: the engine's alone. cut: (bytes, seed) after which their socket breaks,
        once in each of the engine's lives, each time elsewhere."""
        self.how = {"rules": rules, "clock_ms": clock_ms, "engine_clock_ms": engine_clock_ms, "cut": cut}
        command = ["nsenter", f"--net=/run/netns/{self.namespace}", "--"]
        if clock_ms:
            command += [self.tools["clockshift"], f"{clock_ms}@{self.armed}"]
        command += [str(BIN / "hypermeshd"), "--data", str(self.data), "--listen", "none", "--plot", "64K", "--engine",
                    "cometbft", "--p2p-listen", self.listen, "--engine-metrics", "127.0.0.1:26660", "--snapshot-blocks",
                    "100", "--engine-path", self.engine_with(rules, engine_clock_ms, cut)]
        for peer in self.peers:
            command += ["--p2p-peer", f"{peer.made['node_id']}@{peer.listen}"]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.wanted = True

    def engine_with(self, rules, engine_clock_ms, cut):
        """The engine itself, or a program that is taken for it and starts it with something in between."""
        if not (rules or engine_clock_ms or cut):
            return engine_path()
        app, listen = self.data / "bft.sock", self.data / "between.sock"
        shift = [self.tools["clockshift"], f"{engine_clock_ms}@{self.armed}"] if engine_clock_ms else []
        between = [self.tools["abci_script"], str(listen), "--app", str(app), "--while", str(self.armed), *rules, "--"]
        lives = ""
        if cut:
            between = [self.tools["unixcut"], str(listen), str(app), str(cut[0]), "SEED", "--"]
            count = shlex.quote(f"{self.engine_file}.lives")
            lives = f"seed=$(($(cat {count} 2>/dev/null || echo {cut[1]}) + 1)); echo $seed >{count}\n"
        words = " ".join("$seed" if w == "SEED" else shlex.quote(w) for w in (*between, *shift, engine_path()))
        self.engine_file.write_text(f'#!/bin/sh\n[ "$1" = start ] || exec {shlex.quote(engine_path())} "$@"\n{lives}'
                                    f'exec {words} "$@" --proxy_app unix://{shlex.quote(str(listen))}\n')
        self.engine_file.chmod(0o700)
        return str(self.engine_file)

    def arm(self):
        self.armed.touch()

    def disarm(self):
        self.armed.unlink(missing_ok=True)

    def processes(self):
        return descendants(self.process.pid) if self.process is not None and self.process.poll() is None else []

    def daemon(self):
        """hypermeshd's own process, which may be below the one that shifts its clock."""
        for pid in self.processes():
            with contextlib.suppress(OSError):
                if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "hypermeshd":
                    return pid
        return None

    def engine(self):
        for pid in self.processes():
            with contextlib.suppress(OSError):
                if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "cometbft":
                    return pid
        return None

    def kill(self):
        """As if the machine lost power: all at once."""
        self.wanted = False
        kill_all(self.processes())
        if self.process is not None:
            self.process.wait(STOP_SECONDS)
        self.process = None

    def stop(self):
        self.wanted = False
        if self.process is None:
            return
        daemon = self.daemon()
        if daemon:
            os.kill(daemon, signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"{self.data.name} does not stop within {STOP_SECONDS} s") from None
        self.process = None

    def ended(self):
        return self.process is not None and self.process.poll() is not None

    def pause(self):
        self.paused = self.processes()
        signal_all(self.paused, signal.SIGSTOP)

    def resume(self):
        signal_all(self.paused, signal.SIGCONT)

    def wipe(self):
        """Loses its disk, but for its keys and what it has signed last: without that it could sign twice."""
        for entry in self.data.iterdir():
            if entry.name not in KEPT:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        for entry in (self.data / "engine").iterdir():
            if entry.name != "config":
                shutil.rmtree(entry)
        (self.data / "engine/data").mkdir(0o700)

    # --- what it says

    def connection(self, timeout=10):
        return Connection(self.data / "api.sock", timeout)

    def ask(self, method, path, body=None, timeout=10):
        with contextlib.closing(self.connection(timeout)) as connection:
            return connection.ask(method, path, body)

    def rpc(self, method, timeout=10, **params):
        """The engine's own RPC."""
        with contextlib.closing(Connection(self.data / "rpc.sock", timeout)) as connection:
            return connection.ask("POST", "/", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})

    def status(self, timeout=5):
        """GET /node, or None while it does not answer."""
        with contextlib.suppress(*NO_ANSWER):
            return self.ask("GET", "/node", timeout=timeout)
        return None

    def ready(self):
        status = self.status()
        return bool(status and status["ready"])

    def height(self):
        status = self.status()
        return status["height"] if status else 0

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_size(self):
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def log_since(self, size):
        with open(self.log_path, "rb") as log:
            log.seek(size)
            return log.read().decode(errors="replace")

    def wait_ready(self, seconds):
        end = time.monotonic() + seconds
        while not self.ready():
            if self.ended():
                raise RuntimeError(f"{self.data.name} ended with {self.process.returncode}:\n{self.log()[-3000:]}")
            if time.monotonic() > end:
                status = self.status() or {}
                raise TimeoutError(f"{self.data.name} is not ready after {seconds} s: {status.get('not_ready')}\n"
                                   f"{self.log()[-3000:]}")
            time.sleep(0.05)
