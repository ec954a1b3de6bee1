"""What the tests with real programs share: an identity, processes that are ended again, and how results are told."""
import os
import pathlib
import subprocess
import sys
import tempfile
import traceback

BIN = os.environ.get("HM_BIN", "build/bin")
WAIT_SECONDS = 90


class Skipped(Exception):
    """The machine lacks something; the text says what."""


class Identity:
    """One certificate and its key, which both ends show and take."""

    def __init__(self, folder):
        self.cert, self.key = str(pathlib.Path(folder) / "cert.pem"), str(pathlib.Path(folder) / "key.pem")
        subprocess.run([os.path.join(BIN, "stoqcat"), "--identity-new", "interop.test", "--cert", self.cert, "--key",
                        self.key], check=True, capture_output=True, timeout=WAIT_SECONDS)


class Server:
    """A program that says `port N` and answers until its input ends."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("port "):
            self.end()
            raise AssertionError(f"{command[0]} said {line!r}")
        self.port = int(line.split()[1])

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.end()


def call(command):
    """Runs a client to its end; what it said."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=WAIT_SECONDS,
                          check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}\nended with {done.returncode}: {done.stdout}")
    return done.stdout


def run_cases(cases):
    """Runs functions of one argument, a folder; a line for each."""
    failed = False
    for name, case in cases:
        with tempfile.TemporaryDirectory(prefix="hm-stoq-") as folder:
            try:
                case(folder)
                print(f"ok {name}", flush=True)
            except Skipped as reason:
                print(f"skip {name}: {reason}", flush=True)
            except Exception:  # pylint: disable=broad-except
                failed = True
                traceback.print_exc()
                print(f"not ok {name}", flush=True)
    sys.exit(1 if failed else 0)
