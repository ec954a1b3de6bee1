#!/usr/bin/env python3
"""libhmabci as other people's programs meet it: installed into a folder of its own, and nothing but what pkg-config says of it.

Builds examples/abci-counter.c outside of the tree, against the shared library and the static one, and speaks to it as an engine
does (the real one: engine.py)."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "node"))
from daemon import run_cases  # noqa: E402

SOURCE = pathlib.Path(os.environ.get("HM_SOURCE", ".")).resolve()
BIN = pathlib.Path(os.environ.get("HM_BIN", "build/gcc")).resolve()
HEADERS = {"abci.h", "abci.pb-c.h", "base_arena.h", "base_bytes.h", "base_error.h"}
STRICT = ["-Wall", "-Wextra", "-Wshadow", "-Werror"]
SECONDS = 60
SKIPPED = 77  # meson's status for it
work = pathlib.Path(tempfile.mkdtemp(prefix="hm-hmabci-"))
root = work / "root"  # as DESTDIR
outside = work / "outside"
environment = {**os.environ, "PKG_CONFIG_SYSROOT_DIR": str(root)}


def run(command, **options):
    """Its standard output; an error says what failed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=SECONDS, check=False,
                          **{"env": environment, "cwd": outside, **options})
    assert done.returncode == 0, f"{pathlib.Path(command[0]).name} ended with {done.returncode}: " \
                                 + " / ".join(done.stderr.strip().splitlines()[:6])
    return done.stdout


def not_here():
    """Why there is nothing to install here, or None."""
    options = json.loads((BIN / "meson-info" / "intro-buildoptions.json").read_text())
    sanitizer = next(option["value"] for option in options if option["name"] == "b_sanitize")
    if sanitizer not in ("none", []):
        return f"a build with sanitizers ({sanitizer}) has no libraries for other programs"
    return next((f"there is no {tool}" for tool in ("meson", "pkg-config") if shutil.which(tool) is None), None)


def install():
    outside.mkdir()
    run(["meson", "install", "-C", BIN, "--no-rebuild", "--quiet", "--destdir", root])
    found = [path.parent for path in root.rglob("hmabci.pc")]
    assert len(found) == 1, f"hmabci.pc was installed {len(found)} times"
    environment["PKG_CONFIG_PATH"] = str(found[0])
    environment["LD_LIBRARY_PATH"] = str(found[0].parent)
    return found[0].parent


def flags(*asked):
    return run(["pkg-config", *asked, "hmabci"]).split()


def headers():
    return next(root.rglob("abci.h")).parent


def with_each(*compilers):
    """The case once for each of them that is here."""
    def decorate(case):
        def run_each():
            here = [compiler for compiler in compilers if shutil.which(compiler)]
            for compiler in here:
                case(compiler)
            return None if here else f"there is no {' or '.join(compilers)}"
        run_each.__name__ = case.__name__
        return run_each
    return decorate


def headers_are_all_there():
    assert {path.name for path in headers().iterdir()} == HEADERS, sorted(path.name for path in headers().iterdir())


def header_says_how():
    text = (headers() / "abci.h").read_text()
    for line in ("$(pkg-config --cflags --libs hmabci)", "-static $(pkg-config --static --cflags --libs hmabci)"):
        assert line in text, f"abci.h does not say {line}"


def library_exports_just_what_headers_declare():
    if shutil.which("gcc") is None:
        return "there is no gcc"
    (outside / "all.c").write_text("#include <abci.h>\n")
    run(["gcc", "-fsyntax-only", "-aux-info", "declared", *flags("--cflags"), "all.c"])
    lines = [line for line in (outside / "declared").read_text().splitlines() if f"{headers()}/" in line]
    declared = {re.search(r"(\w+) \(", line.split("*/", 1)[1]).group(1) for line in lines if " extern " in line}
    assert len(declared) > 200, f"cannot read what gcc says of the headers: {len(declared)} functions"
    shown = {line.split()[-1].partition("@@")[0]: line.split()[-2]
             for line in run(["nm", "-D", "--defined-only", LIBRARIES / "libhmabci.so"]).splitlines()}
    functions = {name for name, kind in shown.items() if kind == "T"}
    assert functions == declared, f"differs from the headers: {sorted(functions ^ declared)[:10]}"
    rest = [name for name, kind in shown.items() if kind not in "TA" and not name.startswith("hypermesh__abci__")]
    assert not rest, f"foreign symbols show: {rest[:10]}"
    return None


def static_library_stands_alone():
    magic = (LIBRARIES / "libhmabci.a").read_bytes()[:8]
    assert magic == b"!<arch>\n", f"it begins with {magic}: a thin one names files of the build folder"


@with_each("gcc", "clang")
def header_is_c17(compiler):
    (outside / "alone.c").write_text("#include <abci.h>\n#include <abci.h>\n")
    run([compiler, "-std=c17", *STRICT, "-Wpedantic", "-Wstrict-prototypes", "-fsyntax-only", *flags("--cflags"), "alone.c"])


@with_each("g++", "clang++")
def header_is_cplusplus(compiler):
    (outside / "alone.cc").write_text("#include <abci.h>\n"
                                      "int main() { return abci_tx_bytes(hm_slice_str(\"hello\").len) == 7 ? 0 : 1; }\n")
    run([compiler, "-std=c++11", *STRICT, "-Wpedantic", "-o", "alone", "alone.cc", *flags("--cflags", "--libs")])
    run([outside / "alone"])


@with_each("gcc", "clang")
def example_with_shared_library(compiler):
    counts(compiler, [], flags("--cflags", "--libs"))


@with_each("gcc", "clang")
def example_with_static_library(compiler):
    counts(compiler, ["-static"], flags("--static", "--cflags", "--libs"))


def counts(compiler, more, said):
    """Builds the example with these flags, and is its engine for one block."""
    shutil.copy(SOURCE / "examples/abci-counter.c", outside)
    run([compiler, *STRICT, "-o", "counter", "abci-counter.c", *more, *said])
    path = outside / "counter.sock"
    process = subprocess.Popen([outside / "counter", path], env=environment, cwd=outside)
    try:
        engine = connect(path, process)
        assert field(ask(engine, 3, b""), 4) is not None, "no answer to Info"
        results = field(ask(engine, 20, put(1, b"5") + put(1, b"37") + put(1, b"nonsense") + b"\x28\x01"), 21)
        assert field(results, 5) == (42).to_bytes(8, "big"), results  # the app hash: the sum
        assert field(ask(engine, 11, b""), 12) is not None, "no answer to Commit"
        answer = field(ask(engine, 6, put(2, b"/sum")), 7)
        assert field(answer, 3) == b"42", answer  # its log
        engine.close()
    finally:
        process.kill()
        process.wait(SECONDS)


def connect(path, process):
    end = time.monotonic() + SECONDS
    while True:
        engine = socket.socket(socket.AF_UNIX)
        engine.settimeout(SECONDS)
        if engine.connect_ex(str(path)) == 0:
            return engine
        engine.close()
        assert process.poll() is None and time.monotonic() < end, f"the counter does not listen ({process.poll()})"
        time.sleep(0.02)


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


def put(number, data):
    """A field of bytes, of text or of a message."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def take(data, at):
    """A varint, and where it ends."""
    number, shift = 0, 0
    while True:
        number |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return number, at


def field(data, wanted):
    """The first field of that number, or None."""
    at = 0
    while at < len(data):
        tag, at = take(data, at)
        value, at = take(data, at)
        if tag & 7 == 2:
            value, at = data[at:at + value], at + value
        if tag >> 3 == wanted:
            return value
    return None


def ask(engine, number, request):
    """One request and a Flush; the answer to the first."""
    for message in (put(number, request), put(2, b"")):
        engine.sendall(varint(len(message)) + message)
    got = b""
    while True:
        try:
            size, at = take(got, 0)
            if len(got) >= at + size + 1 and len(got) >= at + size + 1 + got[at + size]:
                return got[at:at + size]  # and the answer to Flush is here
        except IndexError:  # more is to come
            pass
        more = engine.recv(65536)
        assert more, "the counter closed the connection"
        got += more


try:
    if reason := not_here():
        print(f"skip: {reason}", flush=True)
        sys.exit(SKIPPED)
    LIBRARIES = install()
    run_cases([headers_are_all_there, header_says_how, library_exports_just_what_headers_declare, static_library_stands_alone,
               header_is_c17, header_is_cplusplus, example_with_shared_library, example_with_static_library])
finally:
    shutil.rmtree(work, ignore_errors=True)
