"""What bench_stoq.py runs: stoqperf and its peers, how they are built, and the places they are run in."""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import time

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".deps" / "bench" / "stoq"
PREFIX = os.environ.get("HM_BENCH_PREFIX", "").split()  # before every program: "chrt -f 40" on a busy machine
BUILD_SECONDS = 900
GIVE_UP_SECONDS = 20  # beyond the time a run was to take


class Failed(Exception):
    pass


# --- building -------------------------------------------------------------------------------------------------------


def hash_of(folder):
    sums = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            sums.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return sums.hexdigest()


def build_commands(name, target):
    """Commands that make target/peer from target/source, or the reason why they cannot be had."""
    if name == "quicgo":
        if shutil.which("go") is None:
            return None, "Go is not here"
        return [["go", "build", "-p", "1", "-buildvcs=false", "-o", "../peer", "."]], None
    if name == "quinn":
        if shutil.which("cargo") is None:
            return None, "Rust's cargo is not here"
        return [["cargo", "build", "--release", "-j1", "--target-dir", "../target"],
                ["cp", "../target/release/peer", "../peer"]], None
    ours = ROOT / ".deps" / "openssl"
    libraries = [str(ours / "lib/libssl.a"), str(ours / "lib/libcrypto.a")] if ours.exists() else ["-lssl", "-lcrypto"]
    compat = [str(ROOT / "third_party/isoc23.c")] if ours.exists() else []
    return [["gcc", "-O2", "-std=c17", "-D_GNU_SOURCE", f"-I{ours / 'include'}", "tcptls.c", *compat, "-o", "../peer",
             *libraries, "-lz", "-lzstd", "-ldl", "-pthread"]], None


def build(name):
    """Returns (path of the program, None) or (None, reason). Nothing is built when the source is as it was."""
    target, stamp = CACHE / name, hash_of(HERE / name)
    if (target / "stamp").exists() and (target / "stamp").read_text() == stamp:
        return target / "peer", None
    commands, reason = build_commands(name, target)
    if commands is None:
        return None, reason
    shutil.rmtree(target / "source", ignore_errors=True)
    shutil.copytree(HERE / name, target / "source")
    for command in commands:
        with open(target / "build.log", "ab") as log:
            try:
                code = subprocess.run(["nice", *command], cwd=target / "source", stdout=log, stderr=log,
                                      timeout=BUILD_SECONDS).returncode
            except subprocess.TimeoutExpired:
                code = "timed out"
        if code != 0:
            return None, f"it does not build here ({command[0]}: {code}; see {target.relative_to(ROOT)}/build.log)"
    (target / "stamp").write_text(stamp)
    return target / "peer", None


# --- places ---------------------------------------------------------------------------------------------------------


class Loopback:
    name = "loopback"
    host = "::1"
    server_prefix, client_prefix = [], []

    def set_mtu(self, payload):
        pass

    def close(self):
        pass


class Veth:
    """Two network namespaces joined by a pair of interfaces; both go with close()."""

    name = "veth pair between network namespaces"
    host = "fd73:746f:71::1"

    def __init__(self):
        if os.geteuid() != 0:
            raise Failed("network namespaces need root")
        if shutil.which("ip") is None:
            raise Failed("the program ip is not here")
        self.spaces = [f"stoq-{os.getpid()}-{end}" for end in "ab"]
        self.server_prefix, self.client_prefix = ([["ip", "netns", "exec", space] for space in self.spaces])
        try:
            for space in self.spaces:
                self.ip("netns", "add", space)
            self.ip("link", "add", "veth0", "netns", self.spaces[0], "type", "veth", "peer", "name", "veth0", "netns",
                    self.spaces[1])
            for end, space in enumerate(self.spaces):
                self.ip("-n", space, "addr", "add", f"{self.host[:-1]}{end + 1}/64", "dev", "veth0", "nodad")
                self.ip("-n", space, "link", "set", "veth0", "up")
            time.sleep(1)  # until neighbours can be asked for
        except Failed:
            self.close()
            raise

    @staticmethod
    def ip(*words):
        done = subprocess.run(["ip", *words], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"ip {' '.join(words)}: {done.stderr.strip()}")

    def set_mtu(self, payload):
        for space in self.spaces:
            self.ip("-n", space, "link", "set", "veth0", "mtu", str(min(payload + 48, 65535)))

    def close(self):
        for space in self.spaces:
            subprocess.run(["ip", "netns", "del", space], capture_output=True)


# --- products ---------------------------------------------------------------------------------------------------------


def last_object(text):
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    raise Failed("it printed no result")


def run_pair(place, server_command, client_command, environment, seconds):
    """Starts a server, runs a client against it, ends the server by closing its input. client_command takes the
    server's address. Returns the client's object, with the server's processor time as `server_cpu_seconds`."""
    env = {**os.environ, **environment, "PEER_HOST": place.host}
    server = subprocess.Popen([*place.server_prefix, *PREFIX, *server_command], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)
    try:
        line = server.stdout.readline().split()
        if len(line) != 2 or line[0] != "ready":
            raise Failed("its server did not start")
        try:
            client = subprocess.run([*place.client_prefix, *PREFIX, *client_command(line[1])], capture_output=True,
                                    text=True, env=env, timeout=seconds + GIVE_UP_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed("its client did not end") from None
        if client.returncode != 0:
            raise Failed((client.stderr.strip().splitlines() or ["its client failed"])[-1])
        result = last_object(client.stdout)
        server.stdin.close()
        rest = server.stdout.read()
        server.wait(timeout=GIVE_UP_SECONDS)
        result["server_cpu_seconds"] = last_object(rest)["cpu_seconds"]
        return result
    except subprocess.TimeoutExpired:
        raise Failed("its server did not end") from None
    finally:
        if server.poll() is None:
            server.kill()
        server.wait()


class Stoq:
    name = "stoq"
    quic = True

    def __init__(self, program):
        self.program = str(program)

    def has_mtu(self, mtu):
        return True

    def measure(self, place, what, mtu, seconds, *words, workers=1):
        common = ["--mtu", str(mtu), "--workers", str(workers)]
        return run_pair(place, [self.program, "server", *common, f"[{place.host}]:0"],
                        lambda address: [self.program, what, *common, "--seconds", str(seconds), "-o", "json", *words,
                                         address], {}, seconds)

    def stream(self, place, mtu, connections, streams, seconds):
        workers = min(connections, max(1, (os.cpu_count() or 2) // 2))
        return self.measure(place, "stream", mtu, seconds, "--connections", str(connections), "--streams",
                            str(streams), workers=workers)

    def handshakes(self, place, seconds, at_once, *words):
        return self.measure(place, "handshakes", 1452, seconds, "--at-once", str(at_once), *words)

    def budget(self, mtu, seconds):
        done = subprocess.run([*PREFIX, self.program, "budget", "--mtu", str(mtu), "--seconds", str(seconds), "-o",
                               "json"], capture_output=True, text=True, timeout=seconds * 10 + GIVE_UP_SECONDS)
        if done.returncode != 0:
            raise Failed(done.stderr.strip())
        return {o["measure"]: o for o in map(json.loads, done.stdout.splitlines())}


class Peer:
    def __init__(self, name, program, environment=None, quic=True, mtus=None):
        self.name, self.program, self.quic = name, str(program), quic
        self.environment, self.mtus = environment or {}, mtus

    def has_mtu(self, mtu):
        return self.mtus is None or mtu in self.mtus

    def stream(self, place, mtu, connections, streams, seconds):
        return run_pair(place, [self.program, "server", "0"],
                        lambda address: [self.program, "client", address, str(connections), str(streams), str(seconds)],
                        {**self.environment, "PEER_MTU": str(mtu)}, seconds)

    def handshakes(self, place, seconds, at_once):
        return run_pair(place, [self.program, "server", "0"],
                        lambda address: [self.program, "handshakes", address, str(seconds), str(at_once)],
                        self.environment, seconds)


def products(stoqperf):
    """(products, reasons for those that are missing)"""
    have = [Stoq(stoqperf)]
    missing = ["quic-go has packets of at most 1452 bytes; quinn 0.11 carries nothing with 16,000 bytes or more"]
    for folder, made in (
            ("quinn", lambda path: [Peer("quinn", path, mtus=(1452, 8900))]),
            ("quicgo", lambda path: [Peer("quic-go", path, mtus=(1452,))]),
            ("tcptls", lambda path: [Peer("TCP + TLS 1.3", path, quic=False),
                                     Peer("TCP + TLS 1.3, kTLS", path, {"PEER_KTLS": "1"}, quic=False),
                                     Peer("plain TCP", path, {"PEER_PLAIN": "1"}, quic=False)])):
        path, reason = build(folder)
        if path is None:
            missing.append(f"{folder} is missing: {reason}")
        else:
            have += made(path)
    return have, missing
