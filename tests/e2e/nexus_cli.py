"""nexus as a user calls it, on a node of the test's own. Only what was started here is ended."""
import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

BIN = pathlib.Path(os.environ.get("HM_BIN", "build/bin")).resolve()
SOURCE = pathlib.Path(os.environ.get("HM_SOURCE", ".")).resolve()
ENGINE = SOURCE / ".deps/cluster/bin/cometbft"  # of clusters
CALL_SECONDS = 120
SKIPPED = 77


class Skip(Exception):
    """A case that cannot be had on this machine; its text says why."""


class Done:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def json(self):
        return json.loads(self.out)

    def expect(self, code=0, out=None, err=None):
        """Fails unless the call ended as told; out and err must be contained."""
        told = f"exit {self.code}\n--- stdout\n{self.out[-3000:]}\n--- stderr\n{self.err[-3000:]}"
        assert self.code == code, f"wanted exit {code}, got {told}"
        assert out is None or out in self.out, f"wanted {out!r} on stdout, got {told}"
        assert err is None or err in self.err, f"wanted {err!r} on stderr, got {told}"
        return self


class Node:
    """A data folder and nexus pointed at it."""

    def __init__(self):
        # Unix sockets have short paths, so not in the working folder.
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="hm-cli-"))
        self.data = self.base / "data"
        self.work = self.base / "work"
        self.work.mkdir()

    def env(self, **more):
        env = {k: v for k, v in os.environ.items() if k not in ("HYPERMESH_DATA", "NO_COLOR")}
        return env | {"HYPERMESH_DATA": str(self.data)} | more

    def start(self, *args, **popen):
        """A call under way, for tests that interrupt it."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([str(BIN / "nexus"), *args], cwd=self.work, env=self.env(), **(streams | popen))

    def raw(self, *args, stdin=b"", env=None):
        done = subprocess.run([str(BIN / "nexus"), *args], cwd=self.work, env=self.env(**(env or {})), input=stdin,
                              capture_output=True, timeout=CALL_SECONDS, check=False)
        return done.returncode, done.stdout, done.stderr

    def __call__(self, *args, stdin=b"", env=None):
        code, out, err = self.raw(*args, stdin=stdin, env=env)
        return Done(code, out.decode(errors="replace"), err.decode(errors="replace"))

    def up(self):
        return self("up", "--listen", "127.0.0.1:0", "--plot", "64K").expect(0)

    def pid(self):
        """Of the daemon behind the socket; None when nobody listens."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            try:
                s.connect(str(self.data / "api.sock"))
            except OSError:
                return None
            return struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]

    def close(self):
        with contextlib.suppress(Exception):
            self("down")
        pid = self.pid()
        if pid:
            kill_for_good(pid)
        shutil.rmtree(self.base, ignore_errors=True)


def keeper_of(pid):
    """Who starts the daemon again when it has crashed; None: nobody."""
    with contextlib.suppress(OSError):
        parent = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        if pathlib.Path(f"/proc/{parent}/comm").read_text().strip() == "hypermeshd-keep":
            return parent
    return None


def words_of(pid):
    """What a daemon was started with, without its keeper."""
    words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    if b"--kept-by" in words:
        at = words.index(b"--kept-by")
        del words[at:at + 2]
    return [word for word in words if word != b"--keep"]


def kill_for_good(pid):
    """A daemon, as if the power had gone: nobody is left who starts it again."""
    keeper = keeper_of(pid)
    if keeper:
        os.kill(keeper, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    if keeper:
        os.kill(keeper, signal.SIGKILL)


def running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A child of nobody that waits is gone, too.
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def until(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


def read_until(stream, wanted, seconds=60):
    """Bytes of a pipe until they hold `wanted`."""
    seen = b""
    end = time.monotonic() + seconds
    while wanted not in seen:
        ready, _, _ = select.select([stream], [], [], max(0, end - time.monotonic()))
        piece = os.read(stream.fileno(), 4096) if ready else b""
        assert piece, f"wanted {wanted!r}, the pipe gave {seen!r}"
        seen += piece
    return seen


def run_cases(cases, node):
    """Prints a line per case; the process's exit status."""
    failed = 0
    for case in cases:
        name = case.__name__
        try:
            case(node)
            print(f"ok {name}", flush=True)
        except Skip as why:
            print(f"skip {name}: {why}", flush=True)
        except Exception as problem:  # each case stands for itself
            failed += 1
            traceback.print_exc(file=sys.stderr)
            print(f"not ok {name}: {str(problem).splitlines()[0] if str(problem) else type(problem).__name__}",
                  flush=True)
    return 1 if failed else 0


def run_cluster_cases(cases, end=None):
    """run_cases with a folder for a cluster, which goes at the end; end(node): what must go before it. Skipped without CometBFT."""
    if not ENGINE.exists():
        print(f"skipped: {ENGINE} is not there; scripts/setup --cluster makes it")
        return SKIPPED
    node = Node()
    try:
        return run_cases(cases, node)
    finally:
        if end:
            end(node)
        if (node.data / "cluster.json").exists():
            node("cluster", "destroy", "--yes")
        shutil.rmtree(node.base, ignore_errors=True)

