#!/usr/bin/env python3
"""Where the daemon's processor time goes under one load: `scripts/bench --profile NAME`.

Three runs of the same load: one undisturbed, for rate, answer time and processor time of an operation; one under
`perf record -g`; one under `perf trace -s`, for what it waits for. Then: a budget of an operation by stage, the 25
symbols with most time of their own, system calls an operation, and the folded stacks in a file for flame graphs.

A sample belongs to the stage of the innermost frame that STAGES knows, so a hash made for the tree counts as the tree.
"""
import collections
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from servers import BIN, Failed, Hypermesh  # noqa: E402

SECONDS = 4
KEYS = 10_000
VALUE_BYTES = 256
ASSETS = 64
HERTZ = 997
CANNOT = 77

LOADS = {
    **{f"put{n}": ("kv", lambda s, sec, n=n: s.put(n, sec, KEYS, VALUE_BYTES)) for n in (1, 8, 64, 512)},
    **{f"get{n}": ("kv", lambda s, sec, n=n: s.get(n, sec, KEYS)) for n in (1, 64)},
    **{f"range{n}": ("kv", lambda s, sec, n=n: s.get_hundred(n, sec, KEYS)) for n in (1, 64)},
    "watch": ("kv", lambda s, sec: s.watch(1000, 1, sec, VALUE_BYTES)),
    **{f"asset{n}": ("assets", lambda s, sec, n=n: s.asset_put(n, sec)) for n in (1, 8, 64, 512)},
    **{f"asset-get{n}": ("assets", lambda s, sec, n=n: s.asset_get(n, sec)) for n in (1, 64)},
}

# Stage, and the functions that begin it.
# BLAKE3's assembly tells an unwinder nothing, so its callers are lost; its wide form is for Work, Space and the tree.
STAGES = [(name, re.compile(pattern)) for name, pattern in (
    ("fsync, in the kernel", r"^(do_)?f(data)?sync|sys_fdatasync|sys_fsync|sys_msync|^fdatasync$"),
    ("LMDB: commit and write out", r"mdb_(txn_commit|page_flush|env_sync|freelist)|sys_pwrite|^pwritev?(64)?$"),
    ("LMDB: read and change", r"^mdb_|^store_(get|put|del|cursor|lmdb|begin|txn)"),
    ("tree", r"^store_tree|^tree_"),
    ("sign", r"ed25519_sign|trust_session_sign|trust_.*sign"),
    ("check signature", r"ed25519_verify|crypto_.*verify"),
    ("work", r"^proof_work_solve"),
    ("Space proof", r"^proof_(plot|space)"),
    ("build the transaction", r"^node_draft|^ledger_view_signing"),
    ("seal the batch", r"^node_seal"),
    ("check at the door", r"^ledger_check_tx|^engine_submit"),
    ("apply", r"^ledger_(finalize|process|prepare|op|apply|tx)|^ledger_.*apply"),
    ("commit, beside tree and LMDB", r"^ledger_commit"),
    ("key-value rules", r"^(ledger_|node_|api_)kv"),
    ("JSON", r"^json_|^(api_)?json|^jansson|^api_(field|message|record|table|value)"),
    ("wake-ups", r"^futex|sys_futex|pthread_cond|^(__)?lll_lock|pthread_mutex|eventfd|^schedule"),
    ("network, in the kernel", r"sys_(send|recv|read|write|accept|epoll|poll|shutdown)|^tcp_|^sock_|^unix_"
                               r"|^__libc_(send|recv)|^(__)?p?poll$|^epoll_"),
    ("HTTP", r"^MHD_|^api_|^http_|^\[libmicrohttpd|^on_request|^queue_answer"),
    ("BLAKE3, eight and more at a time (Work, Space, tree)", r"^blake3_hash_many|^hash_batch"),
    ("BLAKE3, one at a time", r"^blake3_"),
    ("engine, the rest", r"^engine_"),
    ("node, the rest", r"^node_"),
)]
REST = "not known"


def stage_of(frames):
    for frame in frames:
        for name, pattern in STAGES:
            if pattern.search(frame):
                return name
    return REST


def frame_name(text):
    """The symbol, or the library's name where it tells none."""
    symbol, _, library = text.rpartition(" (")
    return f"[{pathlib.Path(library.rstrip(')')).name}]" if symbol in ("", "[unknown]") else symbol


def samples(data):
    """(thread, [frames from the innermost out]) of each sample."""
    # --no-inline: looking inlined functions up costs minutes and moves nothing between stages.
    with subprocess.Popen(["perf", "script", "-i", data, "--no-inline", "-F", "comm,ip,sym,dso"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as script:
        thread, frames = None, []
        for line in script.stdout:
            if not line.strip():
                if thread and frames:
                    yield thread, frames
                thread, frames = None, []
            elif not line[0].isspace():
                thread = line.split()[0]
            else:
                parts = line.split(None, 1)
                if thread is None:
                    thread = line.strip()
                else:
                    frames.append(frame_name(parts[1].strip() if len(parts) > 1 else ""))
        if thread and frames:
            yield thread, frames


def record(server, load, data):
    """The load under perf record; returns what the load generator said."""
    perf = subprocess.Popen(["perf", "record", "-q", "-F", str(HERTZ), "--call-graph", "dwarf,16384", "-p",
                             str(server.process.pid), "-o", str(data), "--", "sleep", str(SECONDS)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    result = load(server, SECONDS + 0.5)
    _, errors = perf.communicate(timeout=60)
    if not data.exists() or data.stat().st_size == 0:
        raise Failed(f"perf record gave nothing: {errors.strip()[-300:]}")
    return result


def calls(server, load):
    """{system call: (calls, total ms)} and the operations in the same time, or None where perf cannot trace."""
    perf = subprocess.Popen(["perf", "trace", "-s", "-p", str(server.process.pid)], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    time.sleep(1)  # it has to find the threads before the load begins
    result = load(server, 2)
    perf.send_signal(signal.SIGINT)
    output, _ = perf.communicate(timeout=60)
    found = collections.defaultdict(lambda: [0, 0.0])
    for line in output.splitlines():
        match = re.match(r"\s+(\w+)\s+(\d+)\s+\d+\s+([\d.]+)\s", line)
        if match:
            found[match[1]][0] += int(match[2])
            found[match[1]][1] += float(match[3])
    return (found, result.get("answered", 0)) if found else None


def print_table(title, rows, total, cpu_us):
    print(f"\n**{title}**\n\n| | share | µs an operation |\n| --- | --- | --- |")
    for name, count in rows:
        print(f"| {name} | {count / total * 100:.1f} % | {count / total * cpu_us:.1f} |")


def profile(name, folder):
    needs, load = LOADS[name]
    server = Hypermesh(folder)
    data = pathlib.Path(folder) / "perf.data"
    try:
        server.start()
        if needs == "kv" and not server.has_kv():
            print("this hypermeshd has no key-value store")
            return CANNOT
        if needs == "kv":
            server.fill(KEYS, VALUE_BYTES)
            server.fill_check(VALUE_BYTES)
        else:
            server.assets_make(ASSETS)
        plain = load(server, SECONDS)
        record(server, load, data)
        traced = calls(server, load)
    finally:
        server.stop()
    cpu_us = plain.get("cpu_us", 0.0)
    stages, own, folded, threads = (collections.Counter() for _ in range(4))
    for thread, frames in samples(data):
        stages[stage_of(frames)] += 1
        own[frames[0]] += 1
        threads[thread] += 1
        folded[";".join([thread, *reversed(frames)])] += 1
    total = sum(own.values())
    if "ops_s" in plain:
        print(f"{name}: {plain['ops_s']:,.0f}/s, p50 {plain['p50_us']:.0f} µs, p99 {plain['p99_us']:.0f} µs, "
              f"{cpu_us:.0f} µs of processor an operation; {total} samples")
    print("threads: " + ", ".join(f"{t} {c / total * 100:.0f} %" for t, c in threads.most_common(8)))
    print_table("Processor time by stage", stages.most_common(), total, cpu_us)
    print_table("Symbols with most time of their own", own.most_common(25), total, cpu_us)
    if traced:
        found, operations = traced
        print("\n**System calls** (under trace, so slower)\n\n| call | an operation | µs each |\n| --- | --- | --- |")
        for call, (count, ms) in sorted(found.items(), key=lambda item: -item[1][1])[:12]:
            print(f"| {call} | {count / max(operations, 1):.2f} | {ms * 1000 / count:.1f} |")
    kept = BIN / f"profile-{name}.folded"
    kept.write_text("".join(f"{stack} {count}\n" for stack, count in folded.most_common()))
    print(f"\nfolded stacks: {os.path.relpath(kept)}")
    return 0


def main():
    name, folder = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    if name not in LOADS:
        print("loads: " + " ".join(LOADS))
        return 0 if name == "--list" else 2
    if shutil.which("perf") is None:
        print("perf is not here (package linux-perf)")
        return CANNOT
    return profile(name, folder)


sys.exit(main())
