"""What this machine lets a test do, and the few calls that everything here needs."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

SOURCE = pathlib.Path(os.environ.get("HM_SOURCE", pathlib.Path(__file__).resolve().parents[2])).resolve()
BIN = pathlib.Path(os.environ.get("HM_BIN", SOURCE / "build/bin")).resolve()
COMMAND_SECONDS = 60


def engine_path():
    for path in (os.environ.get("HM_ENGINE"), SOURCE / ".deps/cluster/bin/cometbft", shutil.which("cometbft")):
        if path and os.access(path, os.X_OK):
            return str(path)
    return None


def missing():
    """Why there can be no cluster in namespaces here, or None."""
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    if not os.path.exists("/dev/net/tun"):
        return "this machine has no /dev/net/tun"
    for program in ("ip", "nsenter", "mount"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if engine_path() is None:
        return "the engine is not installed (scripts/setup --cluster)"
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode != 0:
        return "no new network namespaces are allowed here"
    return None


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: exit {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def now():
    return time.monotonic()


def until(seconds, what, condition, pause=0.02):
    """Waits until condition() is true; how many seconds that took."""
    start = now()
    while not condition():
        if now() - start > seconds:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(pause)
    return now() - start


def descendants(pid):
    """A process and everything below it, parents first."""
    parents = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = pathlib.Path(entry.path, "stat").read_text()
                parents.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def signal_all(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_all(pids):
    signal_all(pids, signal.SIGKILL)
    signal_all(pids, signal.SIGCONT)
