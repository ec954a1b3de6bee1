#!/usr/bin/env python3
"""STOQ beside other QUIC implementations and TCP with TLS: the same machine, the same minutes, in alternation.

    bench_stoq.py FOLDER    scripts/bench stoq calls it so; HM_BENCH_QUICK=1 makes it short and rough
                            HM_BENCH_ONLY=streams,datagrams,handshakes,hold,budget: some of its parts
                            HM_BENCH_PEERS=quinn,quiche: beside those alone
                            HM_BENCH_ROUNDS=2: instead of three
                            HM_BENCH_BEST=1: of rates and CPU the best round, where other work runs on the machine
                            HM_BENCH_PREFIX="chrt -f 40": before every program, for the same reason

A figure is the median of the rounds; in brackets its ratio to stoq's. CPU is processor seconds for each GB (10^9 bytes)
at the sender + at the receiver. Every side shows a certificate (Ed25519), agrees on keys by X25519MLKEM768 (unless a note
at the end says otherwise) and encrypts with AES-128-GCM; TCP's segments are as large as the kernel likes, whatever the MTU (64 KiB over both places here).
"""
import os
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from peers import PREFIX, products  # noqa: E402
from places import Failed, Loopback, Veth  # noqa: E402

QUICK = os.environ.get("HM_BENCH_QUICK") == "1"
ONLY = os.environ.get("HM_BENCH_ONLY", "streams,datagrams,handshakes,hold,budget").split(",")
PEERS = os.environ.get("HM_BENCH_PEERS", "").split(",")
BEST = os.environ.get("HM_BENCH_BEST") == "1"
ROUNDS = int(os.environ.get("HM_BENCH_ROUNDS", "1" if QUICK else "3"))
SECONDS = 1 if QUICK else 3
MTUS = (1452, 8900, 65000)
SHAPES = (("1 connection, 1 stream", 1, 1), ("1 connection, 16 streams", 1, 16), ("8 connections", 8, 1))
AT_ONCE = 16
HELD = 1000 if QUICK else 10_000
HELD_SECONDS = 3 if QUICK else 10
CANNOT = 77


class Run:
    def __init__(self, folder):
        stoqperf = pathlib.Path(os.environ["HM_BIN"]) / "stoqperf"
        if not stoqperf.exists():
            print(f"stoqperf is not in {stoqperf.parent}")
            sys.exit(CANNOT)
        self.products, self.notes = products(stoqperf, [name for name in PEERS if name])
        self.stoq = self.products[0]
        self.failures = {}  # what failed: in which cases
        self.places = [Loopback()]
        try:
            self.places.append(Veth())
        except Failed as failure:
            self.notes.append(f"loopback only: {failure}")
        del folder

    def rounds(self, cases):
        """cases: {key: function}. Each is called once a round, in turn; {key: [results]}. One that fails is left out
        of later rounds, and noted."""
        results = {key: [] for key in cases}
        failed = set()
        for _ in range(ROUNDS):
            for key, act in cases.items():
                if key in failed:
                    continue
                try:
                    results[key].append(act())
                except Failed as failure:
                    failed.add(key)
                    self.failures.setdefault(f"{key[0]}: {failure}", []).append(" ".join(map(str, key[1:])))
        return {key: found for key, found in results.items() if found and key not in failed}


def typical(values, best=None):
    """The median; with HM_BENCH_BEST=1 what `best` (max, min) takes of them."""
    return best(values) if BEST and best else statistics.median(values)


def median(results, field, best=None):
    return typical([result[field] for result in results], best)


def table(title, head, rows):
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    sys.stdout.flush()


def against(value, base):
    return f"({value / base:.2f})" if base else ""


# --- streams ------------------------------------------------------------------------------------------------------------


def stream_cell(results, base):
    if results is None:
        return "-"
    rate = median(results, "gbit_s", max)
    sent = typical([r["cpu_seconds"] * 1e9 / r["bytes"] for r in results], min)
    received = typical([r["server_cpu_seconds"] * 1e9 / r["bytes"] for r in results], min)
    return f"{rate:.1f} {against(rate, base)}; {sent:.2f} + {received:.2f} s"


def streams(run):
    for place in run.places:
        for mtu in MTUS:
            place.set_mtu(mtu)
            some = [p for p in run.products if p.has_mtu(mtu)]
            cases = {(p.name, shape[0], mtu, place.name):
                     lambda p=p, shape=shape: p.stream(place, mtu, shape[1], shape[2], SECONDS)
                     for shape in SHAPES for p in some}
            found = run.rounds(cases)
            rows = []
            for p in some:
                row = [p.name]
                for shape in SHAPES:
                    base = found.get((run.stoq.name, shape[0], mtu, place.name))
                    row.append(stream_cell(found.get((p.name, shape[0], mtu, place.name)),
                                           base and median(base, "gbit_s", max)))
                rows.append(row)
            table(f"Gb/s over {place.name}, UDP payload {mtu}", ["", *(shape[0] for shape in SHAPES)], rows)


# --- datagrams ------------------------------------------------------------------------------------------------------------


def datagrams(run):
    rows = []
    some = [p for p in run.products if p.datagrams_offered]
    for place in run.places:
        for mtu, size in ((1452, 1200), (8900, 8800), (65000, 64000)):
            place.set_mtu(mtu)
            cases = {(p.name, "datagrams", size, place.name): lambda p=p: p.datagrams(place, mtu, size, SECONDS)
                     for p in some if p.has_mtu(mtu) and size < p.packet_max}
            found = run.rounds(cases)
            base = found.get((run.stoq.name, "datagrams", size, place.name))
            base = base and median(base, "per_second", max)
            for (name, *_), results in found.items():
                rate = median(results, "per_second", max)
                rows.append([name, place.name, str(mtu), str(size), f"{rate:,.0f} {against(rate, base)}",
                             f"{median(results, 'gbit_s', max):.2f}", f"{100 * median(results, 'arrived_part', max):.2f} %"])
    table("Datagrams on one connection", ["", "place", "UDP payload", "bytes each", "a second", "Gb/s", "arrived"], rows)


# --- handshakes ------------------------------------------------------------------------------------------------------------


def handshakes(run):
    place, stoq = run.places[0], run.stoq
    peers = [p for p in run.products[1:] if p.handshakes_offered]
    cases = {("stoq", kind, AT_ONCE): lambda words=words: stoq.handshakes(place, SECONDS, AT_ONCE, *words)
             for kind, words in (("full", []), ("resumed", ["--resume"]), ("0-RTT", ["--early"]))}
    cases |= {(p.name, "full", AT_ONCE): lambda p=p: p.handshakes(place, SECONDS, AT_ONCE) for p in peers}
    cases |= {(p.name, "full", 1): lambda p=p: p.handshakes(place, SECONDS, 1) for p in [stoq, *peers]}
    found = run.rounds(cases)
    try:
        limit = stoq.budget(1452, 0.5 if QUICK else 2)["handshake"]
    except Failed as failure:
        run.notes.append(f"budget: {failure}")
        limit = {}
    base = found.get(("stoq", "full", AT_ONCE))
    base = base and median(base, "per_second", max)
    rows = []
    for (name, kind, at_once), results in found.items():
        if at_once != AT_ONCE:
            continue
        rate = median(results, "per_second", max)
        each = [typical([r[side] * 1e6 / r["handshakes"] for r in results], min)
                for side in ("cpu_seconds", "server_cpu_seconds")]
        allowed = min(limit.get("full_client_per_second", 0), limit.get("full_server_per_second", 0)) \
            if kind == "full" else limit.get("resumed_client_per_second", 0)
        rows.append([name, kind, f"{rate:,.0f} {against(rate, base)}",
                     f"{each[0]:.0f} + {each[1]:.0f} us",
                     f"{allowed:,.0f} ({rate / allowed:.2f} of it)" if name == "stoq" and allowed else ""])
    table(f"Handshakes a second, {AT_ONCE} at a time, each with a byte and its answer, over {place.name}",
          ["", "kind", "a second", "CPU of client + server", "OpenSSL's cryptography alone, one thread a side"], rows)
    rows = [[name, f"{1000 / median(results, 'per_second', max):.2f} ms"]
            for (name, _, at_once), results in found.items() if at_once == 1]
    table("One connection after the other: set up, a byte, its answer, closed (mean)", ["", "time"], rows)


# --- hold and budget ----------------------------------------------------------------------------------------------------------


def hold(run):
    key = ("hold", HELD)
    place = run.places[0]
    found = run.rounds({key: lambda: run.stoq.measure(place, "hold", 1452, HELD_SECONDS, "--connections",
                                                      str(HELD))}).get(key)
    if not found:
        return
    fields = (("idle_bytes", 1e-3, "kB each, idle"), ("busy_bytes", 1e-3, "kB each, busy"), ("p50_ms", 1, "p50 ms"),
              ("p99_ms", 1, "p99 ms"), ("p999_ms", 1, "p999 ms"), ("failures", 1, "failures"), ("late", 1, "late"))
    table(f"stoq: {HELD:,} connections, 1 KiB and its echo on each every second",
          ["exchanges", *(text for _, _, text in fields)],
          [[f"{median(found, 'exchanges'):,.0f}", *(f"{median(found, name) * scale:.2f}" for name, scale, _ in fields)]])


def budget(run):
    parts = (("seal_ns", "AES-128-GCM seal"), ("open_ns", "AES-128-GCM open"), ("mask_ns", "header protection"),
             ("copy_ns", "one copy"), ("kernel_send_ns", "kernel, send (GSO)"),
             ("kernel_receive_ns", "kernel, receive (GRO)"), ("core_send_ns", "stoq without I/O, sender"),
             ("core_receive_ns", "stoq without I/O, receiver"), ("quic_send_ns", "of it QUIC, sender"),
             ("quic_receive_ns", "of it QUIC, receiver"))
    cases = {("budget", mtu): lambda mtu=mtu: run.stoq.budget(mtu, 1 if QUICK else 3)["packet"] for mtu in MTUS}
    found = run.rounds(cases)
    have = [mtu for mtu in MTUS if ("budget", mtu) in found]
    rows = [[text, *(f"{median(found[('budget', mtu)], name):,.0f} ns" for mtu in have)] for name, text in parts]
    rows.append(["Gb/s that the slower side allows",
                 *(f"{median(found[('budget', mtu)], 'bound_gbit_s'):.1f}" for mtu in have)])
    table("What a packet costs (processor time, in cache)", ["", *(f"{mtu} bytes" for mtu in have)], rows)


def main():
    if len(sys.argv) != 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    run = Run(sys.argv[1])
    try:
        print(f"{'the best of ' if BEST else ''}{ROUNDS} round(s) of {SECONDS} s; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
              f"{', run with ' + ' '.join(PREFIX) if PREFIX else ''}")
        for name, part in (("streams", streams), ("datagrams", datagrams), ("handshakes", handshakes), ("hold", hold),
                           ("budget", budget)):
            if name in ONLY:
                part(run)
    finally:
        for place in run.places:
            place.close()
    for note in run.notes:
        print(f"\nNote: {note}")
    for failure, where in run.failures.items():
        print(f"\nNote: {failure} ({len(where)} case{'s' if len(where) > 1 else ''}: {where[0]}{' ...' if len(where) > 1 else ''})")
    return int(any(failure.startswith("stoq:") for failure in run.failures))


if __name__ == "__main__":
    sys.exit(main())
