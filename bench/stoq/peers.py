"""What bench_stoq.py runs: stoqperf and its peers, each told to do the same."""
import json
import os
import signal
import socket
import subprocess
import time

from building import CACHE, build, unpacked
from places import Failed

PREFIX = os.environ.get("HM_BENCH_PREFIX", "").split()  # before every program: "chrt -f 40" on a busy machine
GIVE_UP_SECONDS = 20  # beyond the time a run was to take
SETTLE_SECONDS = 0.4  # until a server that does not say so listens
PROBE_BYTES = 200_000_000


def last_object(text):
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    raise Failed("it printed no result")


def run_pair(place, server_command, client_command, environment, seconds):
    """Starts a server, runs a client against it, ends the server by closing its input. client_command takes the
    server's address. Returns the client's object, with the server's processor time as `server_cpu_seconds` and, where
    it says so, the datagrams that came as `came`."""
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
            raise Failed((client.stderr.strip().splitlines() or [f"its client failed ({client.returncode})"])[-1])
        result = last_object(client.stdout)
        server.stdin.close()
        rest = server.stdout.read()
        server.wait(timeout=GIVE_UP_SECONDS)
        said = last_object(rest)
        result["server_cpu_seconds"] = said["cpu_seconds"]
        if "datagrams" in said:
            result["came"] = said["datagrams"]
        return result
    except subprocess.TimeoutExpired:
        raise Failed("its server did not end") from None
    finally:
        if server.poll() is None:
            server.kill()
        server.wait()


class Stoq:
    name = "stoq"
    datagrams_offered = handshakes_offered = True
    packet_max = 65487

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

    def datagrams(self, place, mtu, size, seconds):
        return self.measure(place, "datagrams", mtu, seconds, "--datagram", str(size))

    def handshakes(self, place, seconds, at_once, *words):
        return self.measure(place, "handshakes", 1452, seconds, "--at-once", str(at_once), *words)

    def budget(self, mtu, seconds):
        done = subprocess.run([*PREFIX, self.program, "budget", "--mtu", str(mtu), "--seconds", str(seconds), "-o",
                               "json"], capture_output=True, text=True, timeout=seconds * 10 + GIVE_UP_SECONDS)
        if done.returncode != 0:
            raise Failed(done.stderr.strip())
        return {o["measure"]: o for o in map(json.loads, done.stdout.splitlines())}


class Peer:
    """One of our own small programs over another implementation; all have the command line of bench/stoq/quicgo."""

    def __init__(self, name, program, environment=None, mtus=None, datagrams=True, handshakes=True, packet_max=65507):
        self.name, self.program, self.environment, self.mtus = name, str(program), environment or {}, mtus
        self.packet_max = packet_max
        self.datagrams_offered, self.handshakes_offered = datagrams, handshakes

    def has_mtu(self, mtu):
        return self.mtus is None or mtu in self.mtus

    def run(self, place, mtu, seconds, *words):
        what, *rest = words
        return run_pair(place, [self.program, "server", "0"],
                        lambda address: [self.program, what, address, *map(str, rest)],
                        {**self.environment, "PEER_MTU": str(mtu)}, seconds)

    def stream(self, place, mtu, connections, streams, seconds):
        return self.run(place, mtu, seconds, "client", connections, streams, seconds)

    def datagrams(self, place, mtu, size, seconds):
        result = self.run(place, mtu, seconds, "datagrams", size, seconds)
        result["per_second"] = result["came"] / result["seconds"]
        result["gbit_s"] = result["per_second"] * size * 8 / 1e9
        result["arrived_part"] = result["came"] / result["sent"]
        return result

    def handshakes(self, place, seconds, at_once):
        return self.run(place, 1452, seconds, "handshakes", seconds, at_once)


class Unpacked:
    """Programs of Debian packages, which run with the packages' own libraries. They print neither when they are ready nor
    what they used: both are seen from outside, with what starting them costs."""

    datagrams_offered = handshakes_offered = False

    def __init__(self, folder):
        self.folder = folder

    def command(self, program, *words):
        libraries = self.folder / "lib"
        return [*PREFIX, str(libraries / "ld.so"), "--library-path", str(libraries), str(self.folder / program),
                *map(str, words)]

    @staticmethod
    def port():
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
            return probe.getsockname()[1]

    @staticmethod
    def start(prefix, command):
        return subprocess.Popen([*prefix, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL)

    @staticmethod
    def used(process):
        """Waits for its end; its processor time."""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return usage.ru_utime + usage.ru_stime

    def run(self, place, server_command, client_commands, seconds):
        """Runs the clients at once against one server. (seconds they took, their CPU, the server's, their output)"""
        server = self.start(place.server_prefix, server_command)
        clients = []
        try:
            time.sleep(SETTLE_SECONDS)
            began = time.monotonic()
            clients = [self.start(place.client_prefix, ["timeout", "--foreground", str(seconds + GIVE_UP_SECONDS),
                                                        *command]) for command in client_commands]
            outputs = [client.stdout.read() for client in clients]
            cpu = sum(map(self.used, clients))
            took = time.monotonic() - began
            if any(client.returncode != 0 for client in clients):
                raise Failed(f"its client failed ({[client.returncode for client in clients]})")
            os.kill(server.pid, signal.SIGTERM)  # not terminate(), which would take an ended one's usage away
            return took, cpu, self.used(server), outputs
        finally:
            for process in (server, *clients):
                if process.returncode is None:
                    os.kill(process.pid, signal.SIGKILL)
                    self.used(process)
                process.stdout.close()


class Ngtcp2(Unpacked):
    """The example programs of ngtcp2, over GnuTLS and HTTP/3: the server sends what the client asks for by its length, so
    its CPU is the sender's. One process for each connection."""

    name = "ngtcp2's programs"

    def __init__(self, folder, key, cert):
        super().__init__(folder)
        self.identity = (key, cert)

    def has_mtu(self, mtu):
        return True

    def download(self, place, mtu, connections, streams, size, seconds):
        tls = ["--ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM", "--groups=-GROUP-ALL:+GROUP-X25519"]
        common = ["-q", "--no-quic-dump", "--no-http-dump", "--no-pmtud", f"--max-udp-payload-size={mtu}", *tls]
        port, (key, cert) = self.port(), self.identity
        server = self.command("gtlsserver", *common, "--verify-client", "--max-dyn-length=1000G", place.host, port, key, cert)
        client = self.command("gtlsclient", *common, "--exit-on-all-streams-close", "--max-data=24M",
                              "--max-stream-data-bidi-local=16M", f"--key={key}", f"--cert={cert}", "-n", streams,
                              place.host, port, f"https://localhost:{port}/{size}")
        return self.run(place, server, [client] * connections, seconds)

    def stream(self, place, mtu, connections, streams, seconds):
        count = connections * streams
        took = self.download(place, mtu, connections, streams, PROBE_BYTES // count, seconds)[0]
        size = int(PROBE_BYTES / count * seconds / took)
        took, client_cpu, server_cpu, _ = self.download(place, mtu, connections, streams, size, seconds)
        total = size * count
        return {"bytes": total, "seconds": took, "gbit_s": total * 8 / took / 1e9, "cpu_seconds": server_cpu,
                "server_cpu_seconds": client_cpu}


class Iperf3(Unpacked):
    name = "plain TCP (iperf3)"

    def has_mtu(self, mtu):
        return True

    def stream(self, place, mtu, connections, streams, seconds):
        port = self.port()
        server = self.command("iperf3", "-s", "-1", "-B", place.host, "-p", port)
        client = self.command("iperf3", "-6", "-c", place.host, "-p", port, "-t", seconds, "-P", connections * streams,
                              "-J")
        _, cpu, server_cpu, outputs = self.run(place, server, [client], seconds)
        try:
            end = json.loads(outputs[0])["end"]["sum_received"]
        except (ValueError, KeyError):
            raise Failed("it printed no result") from None
        return {"bytes": end["bytes"], "seconds": end["seconds"], "gbit_s": end["bits_per_second"] / 1e9,
                "cpu_seconds": cpu, "server_cpu_seconds": server_cpu}


def identity(program):
    """A key and its certificate in files, for the peers that take them from there."""
    key, cert = CACHE / "key.pem", CACHE / "cert.pem"
    subprocess.run([str(program), "identity", str(key), str(cert)], check=True)
    return str(key), str(cert)


def products(stoqperf, wanted=()):
    """(products, reasons for those that are missing). wanted: their folders' names, and ngtcp2 and iperf3; none: all."""
    have = [Stoq(stoqperf)]
    missing = ["quic-go and msquic have packets of at most 1500 bytes with their headers, quiche of at most 16,383 (of which "
               "it has that size where the table says 65,000); "
               "quinn 0.11 carries nothing with 16,000 bytes or more",
               "msquic's TLS and ngtcp2's programs (over GnuTLS) agree on keys by X25519 alone",
               "ngtcp2's programs send from server to client, end with what was asked for, not with the time, and have "
               "neither datagrams nor several connections in one process: no handshakes a second"]
    files = {}
    tcptls, why_no_tcptls = build("tcptls")
    if tcptls is not None:
        files["PEER_KEY"], files["PEER_CERT"] = identity(tcptls)
    of_files = ("msquic", "ngtcp2")  # take the certificate from them

    def tcp(path):
        return [Peer("TCP + TLS 1.3", path, datagrams=False),
                Peer("TCP + TLS 1.3, kTLS", path, {"PEER_KTLS": "1"}, datagrams=False, handshakes=False),
                Peer("plain TCP", path, {"PEER_PLAIN": "1"}, datagrams=False, handshakes=False)]

    for name, found, made in (
            ("quinn", build, lambda path: [Peer("quinn", path, mtus=(1452, 8900))]),
            ("quicgo", build, lambda path: [Peer("quic-go", path, mtus=(1452,))]),
            ("s2nquic", build, lambda path: [Peer("s2n-quic", path)]),
            ("quiche", build, lambda path: [Peer("quiche", path, packet_max=16383)]),
            ("msquic", build, lambda path: [Peer("msquic", path, files, mtus=(1452,))]),
            ("ngtcp2", lambda _: unpacked("gtlsclient", "gtlsserver"), lambda path: [Ngtcp2(path, *files.values())]),
            ("tcptls", lambda _: (tcptls, why_no_tcptls), tcp),
            ("iperf3", lambda _: unpacked("iperf3"), lambda path: [Iperf3(path)])):
        if wanted and name not in wanted:
            continue
        path, reason = found(name) if files or name not in of_files else (None, "there is no certificate for it")
        if path is None:
            missing.append(f"{name} is missing: {reason}")
        else:
            have += made(path)
    return have, missing
