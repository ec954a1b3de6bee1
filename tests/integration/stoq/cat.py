#!/usr/bin/env python3
"""stoqcat with itself over ::1: bytes both ways, who is refused and how that ends, datagrams, goodbyes."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "node"))
from daemon import run_cases  # noqa: E402

CAT = os.path.join(os.environ.get("HM_BIN", "build/gcc"), "stoqcat")
SECONDS = 60
OK, FAILED, USAGE, UNREACHABLE, REFUSED = 0, 1, 2, 3, 5  # the manual's exit statuses
work = pathlib.Path(tempfile.mkdtemp(prefix="hm-test-stoqcat-"))
started = []


def identity(name):
    return ["--cert", str(work / f"{name}.pem"), "--key", str(work / f"{name}.key")]


def pin(name):
    return ["--pin", str(work / f"{name}.pem")]


class Cat:
    """One stoqcat. given: bytes for its input; None keeps the input open. What it says lies in files; output: a file
    descriptor to use instead."""

    count = 0

    def __init__(self, *options, given=b"", output=None):
        Cat.count += 1
        self.output, self.errors = work / f"{Cat.count}.out", work / f"{Cat.count}.err"
        source = subprocess.PIPE
        if given is not None:
            (work / f"{Cat.count}.in").write_bytes(given)
            source = open(work / f"{Cat.count}.in", "rb")
        with open(self.output, "wb") as file, open(self.errors, "wb") as errors:
            self.process = subprocess.Popen([CAT, "-v", *options], stdin=source, stdout=file if output is None else output,
                                            stderr=errors)
        if given is not None:
            source.close()
        started.append(self.process)

    def end(self, seconds=SECONDS):
        """Its exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"stoqcat did not end within {seconds} s: {self.said()}") from None

    def said(self):
        return " / ".join(self.errors.read_text(errors="replace").splitlines())

    def wait_for(self, look, what):
        end = time.monotonic() + SECONDS
        while not (found := look()):
            assert time.monotonic() < end and self.process.poll() is None, f"no {what}: {self.said()}"
            time.sleep(0.01)
        return found

    def port(self):
        return self.wait_for(lambda: re.search(r"listening on port (\d+)", self.said()), "port").group(1)

    def got(self):
        return self.output.read_bytes()


def listen(*options, given=b""):
    """A listener and its address."""
    cat = Cat("--listen", *options, "[::1]:0", given=given)
    return cat, f"[::1]:{cat.port()}"


def ends(cat, status, word=None):
    assert (was := cat.end()) == status, f"ended with {was}, not {status}: {cat.said()}"
    assert word is None or word in cat.said(), f"does not speak of {word!r}: {cat.said()}"


def identities_are_made_once():
    for name in "abc":
        made = subprocess.run([CAT, "--identity-new", name, *identity(name)], check=False, timeout=SECONDS)
        assert made.returncode == OK
        assert os.stat(work / f"{name}.key").st_mode & 0o777 == 0o600
    before = (work / "a.key").read_bytes(), (work / "a.pem").read_bytes()
    again = Cat("--identity-new", "a", *identity("a"))
    ends(again, FAILED, "not overwritten")
    assert before == ((work / "a.key").read_bytes(), (work / "a.pem").read_bytes())
    assert before[1] != (work / "b.pem").read_bytes()


def bytes_go_both_ways():
    here, there = os.urandom(3 * 1024 * 1024 + 7), os.urandom(2 * 1024 * 1024 + 1)
    listener, address = listen(*identity("a"), *pin("b"), given=there)
    client = Cat(*identity("b"), *pin("a"), address, given=here)
    ends(client, OK)
    ends(listener, OK, "X25519MLKEM768")
    assert listener.got() == here, f"{len(listener.got())} of {len(here)} bytes came, or others"
    assert client.got() == there, f"{len(client.got())} of {len(there)} bytes came, or others"


def an_open_input_holds_the_stream_open():
    listener, address = listen(*identity("a"), *pin("b"))
    client = Cat(*identity("b"), *pin("a"), address, given=None)
    for word in (b"first\n", b"second\n"):
        client.process.stdin.write(word)
        client.process.stdin.flush()
        listener.wait_for(lambda w=word: listener.got().endswith(w), "line while the input is open")
    assert client.process.poll() is None and listener.process.poll() is None
    client.process.stdin.close()
    ends(client, OK)
    ends(listener, OK)
    assert listener.got() == b"first\nsecond\n"


def the_wrong_listener_is_refused():
    listener, address = listen(*identity("a"), *pin("b"))
    ends(Cat(*identity("b"), *pin("c"), address, given=b"secret"), REFUSED, "not the one named with --pin")
    assert listener.process.poll() is None, f"the listener has gone: {listener.said()}"
    ends(Cat(*identity("b"), *pin("a"), address, given=b"for you"), OK)
    ends(listener, OK)
    assert listener.got() == b"for you", listener.got()


def the_wrong_client_is_refused():
    listener, address = listen(*identity("a"), *pin("b"))
    ends(Cat(*identity("c"), *pin("a"), address, given=b"let me in"), REFUSED)
    ends(Cat(*pin("a"), address, given=b"let me in"), REFUSED)
    assert listener.process.poll() is None and listener.got() == b"", listener.said()
    ends(Cat(*identity("b"), *pin("a"), address, given=b"b"), OK)
    ends(listener, OK)
    assert listener.got() == b"b", listener.got()


def clients_without_a_certificate_where_allowed():
    listener, address = listen(*identity("a"), "--any-client", given=b"welcome")
    client = Cat(*pin("a"), address, given=b"hello")
    ends(client, OK)
    ends(listener, OK)
    assert (listener.got(), client.got()) == (b"hello", b"welcome")
    listener, address = listen(*identity("a"), "--any-client", given=b"")
    ends(Cat(*identity("b"), *pin("a"), address), REFUSED)  # who shows one must be trusted
    assert listener.process.poll() is None, listener.said()


def authority_and_name():
    ca = ["--ca", str(work / "a.pem")]  # signs itself
    listener, address = listen(*identity("a"), "--ca", str(work / "b.pem"))
    ends(Cat(*identity("b"), *ca, address), REFUSED, "does not carry the address")
    ends(Cat(*identity("b"), *ca, "--name", "elsewhere", address), REFUSED, "does not carry the name")
    ends(Cat(*identity("b"), *ca, "--name", "a", address, given=b"x"), OK)
    ends(listener, OK)
    assert listener.got() == b"x"


def tags_must_match():
    listener, address = listen(*identity("a"), *pin("b"), "--tag", "printer", "--timeout", "5")
    ends(Cat(*identity("b"), *pin("a"), "--tag", "scanner", address, given=b"page"), REFUSED, "tag")
    assert listener.end() != OK and listener.got() == b"", listener.said()
    listener, address = listen(*identity("a"), *pin("b"), "--tag", "printer")
    ends(Cat(*identity("b"), *pin("a"), "--tag", "printer", address, given=b"page"), OK)
    ends(listener, OK)
    assert listener.got() == b"page"


def protocols_must_match():
    listener, address = listen(*identity("a"), *pin("b"), "--alpn", "one")
    ends(Cat(*identity("b"), *pin("a"), "--alpn", "two", address), REFUSED)
    ends(Cat(*identity("b"), *pin("a"), "--alpn", "one", address, given=b"x"), OK)
    ends(listener, OK)


def nobody_there():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("::1", 0))
        ends(Cat(*identity("b"), *pin("a"), "--timeout", "1", f"[::1]:{deaf.getsockname()[1]}"), UNREACHABLE)
        ends(Cat("-u", *identity("b"), *pin("a"), "--timeout", "1", f"[::1]:{deaf.getsockname()[1]}"), UNREACHABLE)


def the_command_line_is_checked():
    for options in (["[::1]:1"], [*pin("a")], [*pin("a"), "--tag", "x" * 256, "[::1]:1"], [*pin("a"), "nowhere"],
                    ["--listen", *pin("a"), "[::1]:0"], [*pin("a"), "-u", "--tag", "x", "[::1]:1"],
                    [*pin("a"), "--any-client", "[::1]:1"], [*pin("a"), "--timeout", "0", "[::1]:1"], ["--nonsense"],
                    ["--pin", str(work / "a.key"), "[::1]:1"]):
        ends(Cat(*options), USAGE)
    ends(Cat("--pin", str(work / "missing.pem"), "[::1]:1"), FAILED)


def datagrams_both_ways():
    listener, address = listen("-u", *identity("a"), *pin("b"), given=None)
    client = Cat("-u", *identity("b"), *pin("a"), address, given=None)
    # One at a time, each seen before the next: none waits anywhere, so ::1 loses none.
    for i in range(5):
        for one, other in ((client, listener), (listener, client)):
            line = f"datagram {i} of {one.process.pid}\n".encode()
            one.process.stdin.write(line)
            one.process.stdin.flush()
            other.wait_for(lambda o=other, w=line: o.got().endswith(w), "datagram")
    client.process.stdin.close()
    ends(client, OK)
    ends(listener, OK)  # it sees its peer go, although its own input is open
    assert listener.got().count(b"\n") == 5 and client.got().count(b"\n") == 5


def datagrams_that_nobody_can_read_end_it():
    """Though both inputs stay open."""
    with open("/dev/full", "wb") as full:
        listener = Cat("--listen", "-u", *identity("a"), *pin("b"), "[::1]:0", given=None, output=full)
    client = Cat("-u", *identity("b"), *pin("a"), f"[::1]:{listener.port()}", given=None)
    client.process.stdin.write(b"for nobody")
    client.process.stdin.flush()
    ends(listener, FAILED, "standard output")
    client.end()


def an_output_that_nobody_reads_holds_nothing_up():
    reader, writer = os.pipe()
    listener = Cat("--listen", "-u", *identity("a"), *pin("b"), "[::1]:0", given=None, output=writer)
    os.close(writer)
    client = Cat("-u", *identity("b"), *pin("a"), f"[::1]:{listener.port()}", given=None)
    client.process.stdin.write(b"x" * 300000)  # more than a pipe holds
    client.process.stdin.flush()
    time.sleep(0.3)
    listener.process.stdin.write(b"still here")
    listener.process.stdin.flush()
    client.wait_for(lambda: client.got() == b"still here", "answer")
    client.process.stdin.close()
    ends(client, OK)
    while os.read(reader, 65536):
        pass
    os.close(reader)
    ends(listener, OK)


def datagrams_of_a_stranger_are_refused():
    listener, address = listen("-u", *identity("a"), *pin("b"))
    stranger = Cat("-u", *identity("c"), *pin("a"), address, given=None)  # with its input open it is there to hear it
    stranger.process.stdin.write(b"let me in")
    stranger.process.stdin.flush()
    ends(stranger, REFUSED)
    assert listener.process.poll() is None and listener.got() == b"", listener.said()


def a_listener_sees_its_peer_go():
    """Its own input stays open; the peer cannot write what it gets and hangs up."""
    reader, writer = os.pipe()
    os.close(reader)
    listener, address = listen(*identity("a"), *pin("b"), given=None)
    client = Cat(*identity("b"), *pin("a"), address, given=None, output=writer)
    os.close(writer)
    listener.process.stdin.write(b"for nobody")
    listener.process.stdin.flush()
    ends(client, FAILED, "standard output")
    ends(listener, UNREACHABLE)


def a_signal_says_goodbye():
    """Its peer is told, long before the idle time; what had come is there; the signal is what it ends of."""
    listener, address = listen(*identity("a"), *pin("b"), given=None)
    client = Cat(*identity("b"), *pin("a"), address, given=None)
    for one, other in ((client, listener), (listener, client)):
        one.process.stdin.write(b"part")
        one.process.stdin.flush()
        other.wait_for(lambda o=other: o.got() == b"part", "part")
    client.process.send_signal(signal.SIGTERM)
    ends(client, -signal.SIGTERM)
    assert listener.end(5) == UNREACHABLE, listener.said()
    listener, address = listen("-u", *identity("a"), *pin("b"), given=None)
    client = Cat("-u", *identity("b"), *pin("a"), address, given=None)
    client.process.stdin.write(b"part")
    client.process.stdin.flush()
    listener.wait_for(lambda: listener.got() == b"part", "part")
    listener.process.send_signal(signal.SIGINT)
    ends(listener, -signal.SIGINT)
    assert client.end(5) == OK, client.said()


def a_signal_ends_who_waits():
    """For nobody, or, the second time, for an output that nobody reads."""
    for options in ([], ["-u"]):
        listener, _ = listen(*options, *identity("a"), *pin("b"))
        listener.process.send_signal(signal.SIGTERM)
        assert listener.end(5) == -signal.SIGTERM, listener.said()
        reader, writer = os.pipe()
        listener = Cat("--listen", *options, *identity("a"), *pin("b"), "[::1]:0", given=None, output=writer)
        os.close(writer)
        client = Cat(*options, *identity("b"), *pin("a"), f"[::1]:{listener.port()}", given=None)
        client.process.stdin.write(b"x" * 300000)  # more than a pipe holds
        client.process.stdin.flush()
        time.sleep(0.3)
        listener.process.send_signal(signal.SIGTERM)
        client.end(5)
        assert listener.process.poll() is None, "it did not wait for its output"
        listener.process.send_signal(signal.SIGTERM)
        assert listener.end(5) == -signal.SIGTERM, listener.said()
        os.close(reader)


def a_key_for_all_to_read_is_refused():
    open_key = work / "open.key"
    shutil.copyfile(work / "a.key", open_key)
    open_key.chmod(0o640)
    ends(Cat("--cert", str(work / "a.pem"), "--key", str(open_key), *pin("b"), "[::1]:1"), FAILED, "chmod 600")


def qlog_is_written():
    folder = work / "qlog"
    folder.mkdir()
    listener, address = listen(*identity("a"), *pin("b"), "--qlog", str(folder))
    ends(Cat(*identity("b"), *pin("a"), "--qlog", str(folder), address, given=b"x"), OK)
    ends(listener, OK)
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 2 and "-client-" in "".join(names) and "-server-" in "".join(names), names
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600 and b"\x1e{" in path.read_bytes(), path.name


try:
    run_cases([identities_are_made_once, bytes_go_both_ways, an_open_input_holds_the_stream_open,
               the_wrong_listener_is_refused, the_wrong_client_is_refused, clients_without_a_certificate_where_allowed,
               authority_and_name, tags_must_match, protocols_must_match, nobody_there, the_command_line_is_checked,
               datagrams_both_ways, datagrams_that_nobody_can_read_end_it, an_output_that_nobody_reads_holds_nothing_up,
               datagrams_of_a_stranger_are_refused, a_listener_sees_its_peer_go, a_signal_says_goodbye,
               a_signal_ends_who_waits, a_key_for_all_to_read_is_refused, qlog_is_written])
finally:
    for process in started:
        if process.poll() is None:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
    shutil.rmtree(work, ignore_errors=True)
