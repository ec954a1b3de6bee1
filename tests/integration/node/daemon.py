"""A real hypermeshd in a folder of its own, and the HTTP calls that tests make. Only what it started is ended."""
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

BIN = os.environ.get("HM_BIN", "build/bin")
READY_SECONDS = 120


class Refused(Exception):
    """An answer of 400 or more; problem is the RFC 9457 object."""

    def __init__(self, status, problem):
        super().__init__(f"{status} {problem.get('code')}: {problem.get('detail')}")
        self.status, self.problem = status, problem


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Daemon:
    def __init__(self, data=None, plot="64K", user=None, extra=()):
        self.base = None
        if data is None:
            self.base = tempfile.mkdtemp(prefix="hm-test-")
            os.chmod(self.base, 0o755)
            data = os.path.join(self.base, "data")
            os.mkdir(data, 0o700)
            if user is not None:
                os.chown(data, user, user)
        self.data, self.plot, self.user, self.extra = data, plot, user, list(extra)
        self.log_path = os.path.join(self.base or os.path.dirname(data), "daemon.log")
        self.process = None

    def command(self):
        command = [os.path.join(BIN, "hypermeshd"), "--data", self.data, "--listen", "127.0.0.1:0", "--plot", self.plot]
        if self.user is not None:
            command = ["setpriv", "--reuid", str(self.user), "--regid", str(self.user), "--clear-groups"] + command
        return command + self.extra

    def spawn(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
        return self

    def start(self):
        self.spawn()
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"hypermeshd ended with {self.process.returncode}:\n{self.log()}")
            with contextlib.suppress(OSError, Refused, http.client.HTTPException):
                self.call("GET", "/readyz", raw=True)
                return self
            time.sleep(0.02)
        raise RuntimeError(f"hypermeshd is not ready after {READY_SECONDS} s:\n{self.log()}")

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()[-4000:]

    def call(self, method, path, body=None, raw=False, kind="application/json", timeout=60, headers=None):
        connection = UnixConnection(os.path.join(self.data, "api.sock"), timeout)
        try:
            sent = dict(headers or {})
            if body is not None:
                sent["Content-Type"] = kind
                if not isinstance(body, (bytes, str)):
                    body = json.dumps(body)
            with contextlib.suppress(BrokenPipeError):  # refused before the body was read: the answer is there
                connection.request(method, path, body, sent)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            try:
                problem = json.loads(data)
            except ValueError:
                problem = {"detail": data.decode(errors="replace")}
            raise Refused(answer.status, problem)
        return data if raw else json.loads(data) if data else None

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
                raise RuntimeError(f"hypermeshd did not stop within 60 s:\n{self.log()}") from None
        return self.process.returncode if self.process else None

    def remove(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()
        if self.base is not None:
            shutil.rmtree(self.base, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *unused):
        try:
            self.stop()
        finally:
            self.remove()

    # --- what many tests need

    def can_run_jobs(self):
        return not self.call("GET", "/node")["sandbox"].startswith("none")

    def job(self, wait=60, **spec):
        """Runs a job of the busybox image to its end and gives its record."""
        spec.setdefault("image", "busybox")
        spec.setdefault("cpus", 0.5)
        spec.setdefault("memory", "64M")
        spec.setdefault("storage", "16M")
        spec.setdefault("timeout", "30s")
        job = self.call("POST", "/jobs", spec)
        return self.finish(job["id"], wait)

    def finish(self, job_id, wait=60):
        end = time.monotonic() + wait
        while time.monotonic() < end:
            job = self.call("GET", f"/jobs/{job_id}/wait?timeout=5s")
            if job["state"] == "done":
                return self.call("GET", f"/jobs/{job_id}")
        raise AssertionError(f"job {job_id} is not done after {wait} s: {job}")

    def output(self, job_id):
        """(stdout, stderr) from the framed log."""
        data = self.call("GET", f"/jobs/{job_id}/logs?format=frames&follow=1", raw=True)
        streams = {1: b"", 2: b""}
        while data:
            assert len(data) >= 8, "half a frame"
            size = int.from_bytes(data[4:8], "big")
            streams[data[0]] += data[8:8 + size]
            data = data[8 + size:]
        return streams[1].decode(), streams[2].decode()

    def supply(self):
        """Base units by place; their sum is what genesis made."""
        supply = self.call("GET", "/consensus/status")["supply"]
        return {name: units(value) for name, value in supply.items()}


def units(decimal):
    """'1.5' tokens in base units, exactly."""
    whole, _, part = decimal.partition(".")
    return int(whole) * 10**9 + int((part + "0" * 9)[:9])


def refused(code, call, *args, **kwargs):
    """The call must be refused with this code; gives the sentence."""
    try:
        call(*args, **kwargs)
    except Refused as answer:
        assert answer.problem.get("code") == code, answer
        return answer.problem["detail"]
    raise AssertionError(f"not refused; {code} expected")


def run_cases(cases):
    """Runs the functions, prints 'ok NAME' or 'not ok NAME', exits with what came of it. A case skips itself by
    returning a reason."""
    failed = False
    for case in cases:
        try:
            reason = case()
            print(f"skip {case.__name__}: {reason}" if reason else f"ok {case.__name__}", flush=True)
        except Exception as error:  # a test's failure is whatever went wrong
            failed = True
            import traceback
            traceback.print_exc(file=sys.stderr)
            print(f"not ok {case.__name__}: {error}", flush=True)
    sys.exit(1 if failed else 0)
