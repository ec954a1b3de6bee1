#!/usr/bin/env python3
"""The tools of tests of many nodes: does faultnet carry, delay, lose, cut and count; does a program under clockshift
see the wrong time, and those it starts too; does unixcut cut at the byte it says, also in another program's place."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "node"))
from daemon import run_cases  # noqa: E402

FAULTNET, CLOCKSHIFT, UNIXCUT = sys.argv[1:4]
SECONDS = 60
work = pathlib.Path(tempfile.mkdtemp(prefix="hm-test-tools-"))


def command(*words, **options):
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=SECONDS, **options).stdout


class Started:
    """A tool that says "ready" and is ended."""

    def __init__(self, *words):
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if line != "ready\n":
            raise OSError(self.process.communicate(timeout=SECONDS)[1].strip())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(SECONDS)
        self.process.stdout.close()
        self.process.stderr.close()


class Network(Started):
    """faultnet over namespaces of this process."""

    def __init__(self, nodes, seed=1):
        self.names = [f"hmt{os.getpid()}-{i}" for i in range(nodes)]
        self.control = str(work / "faultnet.sock")
        for name in self.names:
            command("ip", "netns", "add", name)
        try:
            super().__init__(FAULTNET, self.control, str(seed), *self.names)
        except OSError:
            self.remove()
            raise

    def remove(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False, timeout=SECONDS)

    def __exit__(self, *how):
        super().__exit__(*how)
        self.remove()

    def say(self, line):
        """The answer's lines but the last, which must be ok."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(SECONDS)
            s.connect(self.control)
            s.sendall(line.encode() + b"\n")
            got = b""
            while not (got.endswith(b"\n") and got.splitlines()[-1].split(b":")[0] in (b"ok", b"error")):
                piece = s.recv(65536)
                assert piece, got
                got += piece
        lines = got.decode().splitlines()
        if lines[-1] != "ok":
            raise ValueError(lines[-1])
        return lines[:-1]

    def counts(self):
        table = {}
        for line in self.say("count"):
            a, b, *values = line.split()
            table[int(a), int(b)] = {k: int(v) for k, v in (value.split("=") for value in values)}
        return table

    def python(self, node, text, **options):
        return subprocess.Popen(["ip", "netns", "exec", self.names[node], sys.executable, "-c", text],
                                stdout=subprocess.PIPE, text=True, **options)


def no_network():
    """Why there can be none here, or None."""
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    if not os.path.exists("/dev/net/tun"):
        return "this machine has no /dev/net/tun"
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode != 0:
        return "no new network namespaces are allowed here"
    return None


SEND = """
import socket, sys, time
s = socket.socket(socket.AF_INET{6} if {six} else socket.AF_INET, socket.SOCK_DGRAM)
for i in range({count}):
    s.sendto(b'%d' % i, ('{to}', 7777))
    time.sleep({pause})
""".replace("{6}", "6")
RECEIVE = """
import socket, time
s = socket.socket(socket.AF_INET6 if {six} else socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('{at}', 7777))
s.settimeout({wait})
print('bound', flush=True)
got = []
try:
    while True:
        got.append(int(s.recv(100)))
except TimeoutError:
    pass
print(got, flush=True)
"""


def carried(net, count, wait=1.0, sender=0, receiver=1, six=False, pause=0.0005):
    """Numbers that arrive, in their order, when the sender counts up."""
    to = f"fd00:6::{receiver + 1}" if six else f"10.66.0.{receiver + 1}"
    there = net.python(receiver, RECEIVE.format(six=six, at=to, wait=wait))
    assert there.stdout.readline() == "bound\n"
    here = net.python(sender, SEND.format(six=six, count=count, to=to, pause=pause))
    assert here.wait(SECONDS) == 0
    here.stdout.close()
    numbers = there.stdout.readline()
    there.wait(SECONDS)
    there.stdout.close()
    return [int(n) for n in numbers.strip("[]\n").split(",") if n.strip()]


def faultnet_carries_and_counts():
    reason = no_network()
    if reason:
        return reason
    with Network(3) as net:
        assert carried(net, 50) == list(range(50))
        if os.path.exists("/proc/sys/net/ipv6"):
            assert carried(net, 50, six=True) == list(range(50))
        counts = net.counts()
        size = sum(20 + 8 + len(str(i)) for i in range(50))
        assert counts[0, 1]["delivered"] >= 50 and counts[0, 1]["bytes"] >= size, counts
        assert counts[0, 2]["packets"] == 0 and counts[0, 2]["bytes"] == 0, counts
        net.say("zero")
        assert net.counts()[0, 1]["bytes"] == 0
        carried(net, 50)
        assert net.counts()[0, 1]["bytes"] == size, net.counts()
        for wrong in ("cut 0,0", "delay 0 3 1", "nonsense"):
            try:
                net.say(wrong)
                raise AssertionError(f"{wrong} was taken")
            except ValueError as refused:
                assert str(refused).startswith("error: "), refused
    assert not os.path.exists(net.control)
    return None


def faultnet_makes_faults():
    reason = no_network()
    if reason:
        return reason
    with Network(4, seed=7) as net:
        net.say("loss 0 1 50")
        kept = carried(net, 200)
        assert 60 < len(kept) < 140 and kept == sorted(kept), kept
        net.say("clear")
        net.say("duplicate 0 1 100")
        assert carried(net, 20) == [n for n in range(20) for _ in range(2)]
        net.say("clear")
        net.say("reorder 0 1 30 50")
        mixed = carried(net, 100)
        assert mixed != sorted(mixed) and sorted(mixed) == list(range(100)), mixed
        net.say("clear")
        net.say("cut 0,2|1,3")
        assert carried(net, 5) == [] and carried(net, 5, receiver=2) == list(range(5))
        net.say("heal")
        assert carried(net, 5) == list(range(5))
        net.say("delay 0 1 300")
        start = time.monotonic()
        assert carried(net, 1, wait=2.0) == [0]
        assert time.monotonic() - start > 2.3  # 300 ms on the way, then 2 s in which nothing comes
        net.say("delay 0 1 2000")  # what is on its way when the cut begins is cut, too
        there = net.python(1, RECEIVE.format(six=False, at="10.66.0.2", wait=3.0))
        assert there.stdout.readline() == "bound\n"
        net.python(0, SEND.format(six=False, count=5, to="10.66.0.2", pause=0)).wait(SECONDS)
        net.say("cut 0|1")
        assert there.stdout.readline() == "[]\n"
        there.wait(SECONDS)
        assert net.counts()[0, 1]["cut"] >= 10
    return None


def faultnet_carries_tcp_through_faults():
    reason = no_network()
    if reason:
        return reason
    server = """
import socket
l = socket.create_server(('10.66.0.2', 7777)); print('bound', flush=True)
c, _ = l.accept(); n = 0
while True:
    d = c.recv(65536)
    if not d: break
    n += len(d)
print(n, flush=True)
"""
    client = "import socket; s=socket.create_connection(('10.66.0.2',7777)); s.sendall(bytes(300000)); s.close()"
    with Network(2) as net:
        net.say("delay * * 20 5")
        net.say("loss * * 3")
        net.say("reorder * * 5")
        net.say("duplicate * * 2")
        there = net.python(1, server)
        assert there.stdout.readline() == "bound\n"
        assert net.python(0, client).wait(SECONDS) == 0
        assert there.stdout.readline() == "300000\n"
        there.wait(SECONDS)
        counts = net.counts()[0, 1]
        assert counts["lost"] > 0 and counts["duplicated"] > 0 and counts["reordered"] > 0, counts
    return None


def faultnet_refuses():
    for words in ([], ["x", "1", "one"], ["x", "seed", "a", "b"], ["x", "1", "no-such-a", "no-such-b"]):
        ended = subprocess.run([FAULTNET, *words], capture_output=True, text=True, timeout=SECONDS, check=False)
        assert ended.returncode == 1 and ended.stderr.startswith("faultnet: "), (words, ended)


def no_shift():
    ended = subprocess.run([CLOCKSHIFT, "0", "true"], capture_output=True, text=True, timeout=SECONDS, check=False)
    return ended.stderr.strip() if ended.returncode == 127 else None


def offset(*words):
    """How far the program's seconds since 1970, as it prints them, are from ours."""
    return float(command(*words)) - time.time()


def clockshift_shifts():
    reason = no_shift()
    if reason:
        return reason
    show = [sys.executable, "-c", "import time; print(time.time())"]
    for ms in (-30000, -1500, 0, 999, 30000, 86400000):
        assert abs(offset(CLOCKSHIFT, str(ms), *show) - ms / 1000) < 5, ms
        assert abs(offset(CLOCKSHIFT, str(ms), "date", "+%s.%N") - ms / 1000) < 5, ms
    # also what the program starts itself, and threads that start something
    assert abs(offset(CLOCKSHIFT, "-30000", "sh", "-c", "true; sh -c 'date +%s'") + 30) < 5
    starts = "import subprocess, threading; t = threading.Thread(target=lambda: subprocess.run(['date', '+%s'])); t.start(); t.join()"
    assert abs(offset(CLOCKSHIFT, "-30000", sys.executable, "-c", starts) + 30) < 5
    # the monotonic clock is left alone
    ticks = "import time; print(time.clock_gettime(time.CLOCK_MONOTONIC))"
    assert abs(float(command(CLOCKSHIFT, "30000", sys.executable, "-c", ticks)) - time.monotonic()) < 5
    # a program in a folder of PATH that is not the first: exec is tried more than once
    (work / "bin").mkdir(exist_ok=True)
    path = f"{work}/none:{work}/bin:{os.environ['PATH']}"
    assert abs(offset(CLOCKSHIFT, "-30000", "env", f"PATH={path}", "date", "+%s") + 30) < 5
    return None


def clockshift_shifts_while_a_file_is_there():
    reason = no_shift()
    if reason:
        return reason
    armed = work / "armed"
    reads = f"import time, pathlib; a = pathlib.Path({str(armed)!r}); n = time.time; r = [n()]; a.touch(); r += [n()]; a.unlink(); r += [n()]; print(*r)"
    times = [float(t) - time.time() for t in command(CLOCKSHIFT, f"-30000@{armed}", sys.executable, "-c", reads).split()]
    assert abs(times[0]) < 5 and abs(times[1] + 30) < 5 and abs(times[2]) < 5, times
    return None


def clockshift_ends_as_the_program():
    reason = no_shift()
    if reason:
        return reason
    for text, code in (("exit 7", 7), ("kill -9 $$", 137), ("exit 0", 0)):
        assert subprocess.run([CLOCKSHIFT, "5000", "sh", "-c", text], check=False, timeout=SECONDS).returncode == code
    for words in (["1", "/no/such/program"], ["soon", "true"], ["1"]):
        ended = subprocess.run([CLOCKSHIFT, *words], capture_output=True, text=True, check=False, timeout=SECONDS)
        assert ended.returncode == 127 and ended.stderr, (words, ended)
    stops = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); print('up', flush=True); time.sleep(60)"
    with subprocess.Popen([CLOCKSHIFT, "5000", sys.executable, "-c", stops], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 3
    return None


def clockshift_takes_threads_and_signals():
    reason = no_shift()
    if reason:
        return reason
    busy = """
import signal, threading, time
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
ends = time.monotonic() + 1
bad = []
def read():
    last = 0
    while time.monotonic() < ends:
        now = time.time_ns()
        if now < last:
            bad.append(now)
        last = now
threads = [threading.Thread(target=read) for _ in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
signal.setitimer(signal.ITIMER_REAL, 0)
assert not bad
print(time.time())
"""
    assert abs(offset(CLOCKSHIFT, "-30000", sys.executable, "-c", busy) + 30) < 5
    return None


class Echo:
    """Answers each piece with itself; notes what it got."""

    def __init__(self, path):
        self.got = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(8)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            self.got.append(bytearray())
            threading.Thread(target=self.serve, args=(connection, self.got[-1]), daemon=True).start()

    def serve(self, connection, got):
        with connection:
            try:
                while True:
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    got += piece
                    connection.sendall(piece)
            except OSError:
                pass


def talk(path, total, piece=100):
    """Sends and waits for the echo; how many bytes came back whole before the connection ended."""
    back = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(SECONDS)
        try:
            s.connect(path)
            while back < total:
                s.sendall(b"x" * piece)
                want = back + piece
                while back < want:
                    got = len(s.recv(want - back))
                    if got == 0:
                        return back
                    back += got
        except (ConnectionError, BrokenPipeError):
            pass
    return back


def unixcut_cuts():
    for number, (limit, seed) in enumerate(((1050, None), (1, None), (1000, None), (5000, 3), (5000, 4))):
        target, listen = str(work / f"echo{number}.sock"), str(work / f"cut{number}.sock")
        echo = Echo(target)
        with Started(UNIXCUT, listen, target, str(limit), *([] if seed is None else [str(seed)])) as cut:
            back = talk(listen, 100000)
            said = int(cut.process.stdout.readline().split()[2])
            assert said == limit if seed is None else limit // 2 <= said <= limit, (limit, said)
            time.sleep(0.1)
            assert len(echo.got[0]) + back == said, (len(echo.got[0]), back, said)
            assert talk(listen, 200000, piece=50000) == 200000  # afterwards all is carried
        echo.listener.close()
    with Started(UNIXCUT, str(work / "c.sock"), str(work / "nobody.sock"), "0"):
        assert talk(str(work / "c.sock"), 100) == 0  # nobody behind it
    for words in ([], ["a", "b", "x"], ["a" * 200, "b", "1"]):
        ended = subprocess.run([UNIXCUT, *words], capture_output=True, text=True, timeout=SECONDS, check=False)
        assert ended.returncode == 1 and ended.stderr.startswith("unixcut: "), ended


def unixcut_stands_in_a_programs_place():
    target, listen = str(work / "echo-p.sock"), str(work / "cut-p.sock")
    echo = Echo(target)
    # It is started when the relay listens; its words and its end are the tool's.
    says = f"import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect({listen!r}); s.sendall(b'x' * 9); print(len(s.recv(9))); sys.exit(5)"
    done = subprocess.run([UNIXCUT, listen, target, "0", "--", sys.executable, "-c", says], capture_output=True, text=True,
                          timeout=SECONDS, check=False)
    assert done.returncode == 5 and done.stdout.splitlines()[-1] == "9", done
    echo.listener.close()
    done = subprocess.run([UNIXCUT, listen, target, "0", "--", "sh", "-c", "kill -9 $$"], capture_output=True, timeout=SECONDS,
                          check=False)
    assert done.returncode == 137, done
    done = subprocess.run([UNIXCUT, listen, target, "0", "--", "/no/such/program"], capture_output=True, text=True, timeout=SECONDS,
                          check=False)
    assert done.returncode == 1 and "/no/such/program" in done.stderr, done
    stops = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); print('up', flush=True); time.sleep(60)"
    with subprocess.Popen([UNIXCUT, listen, target, "0", "--", sys.executable, "-c", stops], stdout=subprocess.PIPE,
                          text=True) as process:
        while process.stdout.readline() != "up\n":
            pass
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 3


if __name__ == "__main__":
    try:
        run_cases([faultnet_carries_and_counts, faultnet_makes_faults, faultnet_carries_tcp_through_faults,
                   faultnet_refuses, clockshift_shifts, clockshift_shifts_while_a_file_is_there, clockshift_ends_as_the_program,
                   clockshift_takes_threads_and_signals, unixcut_cuts, unixcut_stands_in_a_programs_place])
    finally:
        shutil.rmtree(work, ignore_errors=True)
