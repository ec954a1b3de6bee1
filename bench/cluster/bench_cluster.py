#!/usr/bin/env python3
"""A cluster of 1, 4 and 7 validators beside CometBFT's own key-value application under the same settings, and three etcd.

Nodes of each run are started on empty folders of one file system, measured, and stopped; products take turns, and the turn is
gone through ROUNDS times, so that what else the machine does meets all of them. Rates are medians of the rounds, waits of a
single client come from all operations of all rounds together. Nothing here is a test.

    bench_cluster.py FOLDER    scripts/bench cluster calls it so; HM_BENCH_QUICK=1: short and rough
    HM_BENCH_ACCOUNTS=N        accounts of the state that a new node takes over (100000)
    HM_BENCH_ONLY=WORDS        a part: sizes (1,4,7), etcd, state"""
import os
import signal
import statistics
import sys
import time

import joining
from clusters import BATCH_CLIENTS, BATCH_OPS, ENGINE, ETCD, GRPC, VALUE, Ours, batch_bodies
from peers import Etcd, Kvstore
from spaces import Failed, Loopback, Spaces, can_have_namespaces

QUICK = os.environ.get("HM_BENCH_QUICK") == "1"
ONLY = [word for word in os.environ.get("HM_BENCH_ONLY", "").split(",") if word]
ROUNDS = 1 if QUICK else 2
SECONDS = 1.5 if QUICK else 3
ONE_SECONDS = 1.5 if QUICK else 4
REST_SECONDS = 2 if QUICK else 6
IDLE_SECONDS = 2 if QUICK else 4
SETTLE_SECONDS = 1.5
PAUSE = 0.3  # seconds a client at rest waits at most before each operation
SIZES = (1, 4, 7)
ACCOUNTS = int(os.environ.get("HM_BENCH_ACCOUNTS") or (20_000 if QUICK else 100_000))
CANNOT = 77


class Figures:
    """What the rounds of one product at one size gave."""

    def __init__(self, name, nodes, parts):
        self.name, self.nodes, self.parts = name, nodes, parts
        self.times = {}  # of "one", "rest", "rest seen": milliseconds
        self.runs = {}  # of each load: results of the rounds
        self.idle, self.memory, self.steps = [], [], []

    def label(self):
        return f"{self.name}, {self.nodes}"

    def middle(self, load, field):
        values = [r[field] for r in self.runs.get(load, []) if r.get(field) is not None]
        return statistics.median(values) if values else None

    def cpu_us(self, load):
        found = [sum(r["cpu_us"]) for r in self.runs.get(load, [])]
        return statistics.median(found) if found else None

    def spread(self):
        """The widest (max - min) / median of the rates of a load, in percent."""
        widest = 0.0
        for runs in self.runs.values():
            rates = [r["ops_s"] for r in runs]
            if min(rates) > 0:
                widest = max(widest, (max(rates) - min(rates)) / statistics.median(rates))
        return widest * 100


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(int(q * len(ordered)), len(ordered) - 1)] if ordered else None


class Bench:
    def __init__(self, folder):
        self.folder = folder
        self.lines = os.path.join(folder, "batches")
        self.figures = {}
        self.notes = []

    def of(self, cluster):
        key = (cluster.name, cluster.nodes)
        return self.figures.setdefault(key, Figures(cluster.name, cluster.nodes, cluster.parts))

    def case(self, cluster, what, run):
        """A load that fails is left out and noted; the others go on."""
        try:
            result = run()
            self.of(cluster).runs.setdefault(what, []).append(result)
        except Failed as problem:
            self.notes.append(f"{cluster.name}, {cluster.nodes}, {what}: {problem}")

    def times(self, cluster, what, seconds, pause, other):
        answered, seen = cluster.timed(seconds, pause, other)
        times = self.of(cluster).times
        times.setdefault(what, []).extend(answered)
        if other:
            times.setdefault(f"{what} seen", []).extend(seen)

    def loads(self, cluster):
        self.case(cluster, "64", lambda: cluster.single(64, SECONDS))
        if isinstance(cluster, Etcd) and GRPC.exists():
            self.case(cluster, "64 gRPC", lambda: cluster.single_grpc(64, SECONDS))
        if isinstance(cluster, Kvstore):
            self.case(cluster, "batch", lambda: cluster.batch(SECONDS))
            return
        self.case(cluster, "json batch", lambda: cluster.json_batch(SECONDS, self.lines))
        if isinstance(cluster, Ours):
            cluster.signers("bench", BATCH_CLIENTS)
            self.case(cluster, "batch", lambda: cluster.signed(SECONDS))

    def turn(self, cluster):
        """One product at one size: started, measured, stopped."""
        try:
            cluster.start()
            cluster.timed(0.7, 0, False)  # not counted
            time.sleep(SETTLE_SECONDS)
            self.of(cluster).idle.append(cluster.idle(IDLE_SECONDS))
            self.case(cluster, "1", lambda: one_client(cluster, self))
            self.times(cluster, "rest", REST_SECONDS, PAUSE, cluster.nodes > 1)
            self.loads(cluster)
            self.of(cluster).memory.append(cluster.memory())
        except (Failed, OSError) as problem:
            self.notes.append(f"{cluster.name}, {cluster.nodes}: {problem}")
        finally:
            cluster.stop()


def one_client(cluster, bench):
    """Operations one after the other, each with its time kept: a p99 needs them all together."""
    def run():
        answered, _ = cluster.timed(ONE_SECONDS, 0, False)
        bench.of(cluster).times.setdefault("one", []).extend(answered)
        return {"answered": len(answered), "ops_s": len(answered) / (sum(answered) / 1e3)}

    cluster.timed(0.01, 0, False)  # ends the engine's wait for something to do
    before = cluster.step_times()
    result = cluster.measured(run)
    bench.of(cluster).steps.append((before, cluster.step_times(), result["answered"]))
    return result


# --- tables ----------------------------------------------------------------------------------------------------

def text(value, form="{:,.0f}"):
    return "-" if value is None else form.format(value)


def short(value):
    return text(value, "{:,.0f}" if value is None or value >= 100 else "{:.1f}" if value >= 10 else "{:.2f}")


def row(*cells):
    print("| " + " | ".join(str(c) for c in cells) + " |", flush=True)


def heading(title, *columns):
    print(f"\n**{title}**\n", flush=True)
    row(*columns)
    row(*("---" for _ in columns))


def ratio(mine, other):
    return "-" if not mine or not other else f"{mine / other:.2f}"


def pairs(bench):
    """(ours, the engine's own application) at each size."""
    return [(bench.figures.get((Ours.name, n)), bench.figures.get((Kvstore.name, n))) for n in SIZES
            if (Ours.name, n) in bench.figures or (Kvstore.name, n) in bench.figures]


def all_figures(bench):
    return [f for pair in pairs(bench) for f in pair if f] + [f for (name, _), f in bench.figures.items() if name == Etcd.name]


def show_finality(bench):
    heading("Finality, one client: ms until answered (p50, p99), and until another node shows it", "", "operations",
            "one after the other", "/s", "at rest", "at rest, seen elsewhere")
    for f in all_figures(bench):
        one, rest, seen = (f.times.get(k, []) for k in ("one", "rest", "rest seen"))
        pair = [", ".join(short(quantile(v, q)) for q in (0.5, 0.99)) if v else "-" for v in (one, rest, seen)]
        row(f.label(), f"{len(one)}, {len(rest)}", pair[0], short(f.middle("1", "ops_s")), pair[1], pair[2])


def rate(f, load):
    return "-" if f is None or load not in f.runs else (
        f"{text(f.middle(load, 'ops_s'))}; {short(f.middle(load, 'p50_us') / 1e3)}, {short(f.middle(load, 'p99_us') / 1e3)}")


def show_rates(bench):
    heading(f"Operations a second; ms a request (p50, p99). A batch: {BATCH_OPS} operations a request, {BATCH_CLIENTS} clients",
            "validators", "64 clients, single", "kvstore", "ratio", "signed batches (POST /txs)",
            "kvstore, as many bytes", "ratio", "batches in JSON (/v3/kv/txn)")
    for ours, own in pairs(bench):
        def both(load, ours=ours, own=own):
            return [rate(ours, load), rate(own, load), ratio(ours and ours.middle(load, "ops_s"), own and own.middle(load, "ops_s"))]
        row((ours or own).nodes, *both("64"), *both("batch"), rate(ours, "json batch"))
    for (name, nodes), f in bench.figures.items():
        if name == Etcd.name:
            row(f"etcd, {nodes} members", f"{rate(f, '64')} (gRPC: {rate(f, '64 gRPC')})", "-", "-", "-", "-", "-",
                rate(f, "json batch"))


def show_costs(bench):
    loads = (("1", "1 client"), ("64", "64 clients"), ("batch", "batches"), ("json batch", "JSON batches"))
    heading("What an operation costs all nodes together: processor µs; bytes on the wire between nodes", "",
            *(label for _, label in loads))
    for f in all_figures(bench):
        row(f.label(), *("-" if k not in f.runs else f"{text(f.cpu_us(k))}; {text(f.middle(k, 'wire'))}" for k, _ in loads))


def busy(f):
    """Of the rounds' median: what each part of one node used under the batches of its product."""
    load = "batch" if "batch" in f.runs else "json batch"
    if load not in f.runs:
        return "-"
    each = [statistics.median(r["cpu_us"][i] * r["ops_s"] for r in f.runs[load]) / 1e4 / f.nodes for i in range(len(f.parts))]
    return ", ".join(f"{p} {v:.0f}" for p, v in zip(f.parts, each))


def show_nodes(bench):
    heading("One node: processor, % of a core; bytes/s it sends while idle; memory after the loads, MiB resident (own)", "",
            "idle", "under batches", "idle bytes/s", "memory", "spread of rates")
    for f in all_figures(bench):
        if not f.idle or not f.memory:
            continue
        idle = [statistics.median(r[0][i] for r in f.idle) for i in range(len(f.parts))]
        memory = [tuple(statistics.median(r[i][k] for r in f.memory) for k in (0, 1)) for i in range(len(f.parts))]
        sent = [r[1] for r in f.idle if r[1] is not None]
        row(f.label(), ", ".join(f"{p} {v:.1f}" for p, v in zip(f.parts, idle)), busy(f),
            text(statistics.median(sent) if sent else None),
            ", ".join(f"{p} {m[0]:.0f} ({m[1]:.0f})" for p, m in zip(f.parts, memory)),
            f"{f.spread():.0f} %" if ROUNDS > 1 else "-")


def show_steps(bench):
    """Means of the engine's own histograms over the operations of one client, one after the other: each of them takes one block,
    and the block after it that carries its state root."""
    names = ("NewHeight", "Propose", "Prevote", "Precommit", "Commit")
    heading("Where the engine's time goes, one client: ms for an operation by the engine's steps (all blocks made meanwhile), "
            "and in the application", "", "blocks an operation", *names, "FinalizeBlock", "Commit", "CheckTx", "other calls")
    for f in all_figures(bench):
        if not f.steps or not f.steps[0][0]:
            continue
        cells = []
        for key in ("blocks", *names, "finalize_block", "commit", "check_tx", "other"):
            each = [(after.get(key, 0) - before.get(key, 0)) / max(1, count) for before, after, count in f.steps]
            cells.append(short(statistics.median(each)))
        row(f.label(), *cells)


def chosen(word):
    return not ONLY or word in ONLY


def turns(bench):
    for _ in range(ROUNDS):
        for nodes in SIZES:
            if chosen(str(nodes)):
                bench.turn(Ours(bench.folder, nodes))
                bench.turn(Kvstore(bench.folder, nodes))
        if not chosen("etcd"):
            continue
        if ETCD.exists():
            bench.turn(Etcd(bench.folder, 3))
        elif not any("etcd is not unpacked" in note for note in bench.notes):
            bench.notes.append("etcd is not unpacked: scripts/setup --bench")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what runs is stopped
    if not ENGINE.exists():
        print(f"{ENGINE} is not there: scripts/setup --cluster makes it")
        return CANNOT
    bench = Bench(sys.argv[1])
    batch_bodies(bench.lines)
    began = time.monotonic()
    load = os.getloadavg()[0]
    print(f"nodes: {(Spaces if can_have_namespaces() else Loopback).name}; {ROUNDS} rounds of {SECONDS} s a load; values of "
          f"{VALUE} bytes; load before: {load:.1f}" + (" (other work runs: the figures will be too bad)" if load > 0.7 else ""))
    turns(bench)
    for show in (show_finality, show_rates, show_costs, show_nodes, show_steps):
        if bench.figures:
            show(bench)
    if chosen("state"):
        joining.measure(bench.folder, ACCOUNTS, bench.notes, heading, row)
    for note in bench.notes:
        print(f"note: {note}")
    print(f"took {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
