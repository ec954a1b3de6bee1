#!/usr/bin/env python3
"""hypermeshd beside Debian's etcd: the same disk, the same minutes, the same client.

Both servers run throughout; each case asks them in turn, round after round, so that what else the machine does meets
both. A figure is the median of the rounds; `spread` is how far the rounds' rates lie apart, (max - min) / median, the
widest of the products in that row.

    bench_etcd.py FOLDER    scripts/bench etcd calls it so; HM_BENCH_QUICK=1 makes it short and rough
"""
import os
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from servers import PEERS, Etcd, EtcdGrpc, Failed, Hypermesh  # noqa: E402

QUICK = os.environ.get("HM_BENCH_QUICK") == "1"
ROUNDS = 1 if QUICK else 3
SECONDS = 0.5 if QUICK else 2
KEYS = 10_000 if QUICK else 100_000
VALUE_BYTES = 256
CLIENTS = (1, 8, 64, 512)
WATCHERS = 1000
WATCH_ROUNDS = 5 if QUICK else 20
ASSETS = 64
CANNOT = 77


class Compare:
    """The products of a run, and what could not be asked of them."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.hypermesh = Hypermesh(folder)
        self.etcd = Etcd(folder)
        self.notes = []
        self.products = []

    def start(self):
        for server in (self.hypermesh, self.etcd):
            server.start()
        kv = [self.hypermesh] if self.hypermesh.has_kv() else []
        if not kv:
            self.notes.append("this hypermeshd has no key-value store: its figures are missing")
        self.products = kv + [self.etcd]
        if EtcdGrpc.there():
            self.products.append(EtcdGrpc(self.etcd))
        else:
            self.notes.append("etcd by gRPC is missing: Go could not build bench/etcd")

    def rounds(self, method, *args, products=None, **kwargs):
        """{product name: [result of each round]}; products take turns. One that fails is left out and noted."""
        results = {}
        for _ in range(ROUNDS):
            for product in products or self.products:
                if results.get(product.name) == []:
                    continue
                try:
                    results.setdefault(product.name, []).append(getattr(product, method)(*args, **kwargs))
                except Failed as error:
                    self.notes.append(f"{product.name}, {method}{args}: {error}")
                    results[product.name] = []
        return results


def middle(results, field):
    values = [r[field] for r in results if field in r]
    return statistics.median(values) if values else None


def spread(groups, field):
    """The widest (max - min) / median of the groups, in percent."""
    widest = 0.0
    for results in groups:
        values = [r[field] for r in results]
        if values and statistics.median(values) > 0:
            widest = max(widest, (max(values) - min(values)) / statistics.median(values))
    return f"{widest * 100:.0f} %" if ROUNDS > 1 else "-"


def milliseconds(results, field):
    got = middle(results, field)
    return text(None if got is None else got / 1e3, "{:.2f}")


def text(value, form="{:,.0f}"):
    return "-" if value is None else form.format(value)


def ratio(mine, other):
    return "-" if mine is None or not other else f"{mine / other:.2f}"


def row(*cells):
    print("| " + " | ".join(str(c) for c in cells) + " |", flush=True)


def heading(title, *columns):
    print(f"\n**{title}**\n", flush=True)
    row(*columns)
    row(*("---" for _ in columns))


def rate_heading(title, names):
    heading(title, "clients", *(f"{n}: /s, p50, p99 ms, CPU µs" for n in names),
            *(f"ratio to {n}" for n in names[1:]), "spread")


def rate_row(label, names, results):
    cells, rates = [], {}
    for name in names:
        got = results.get(name, [])
        rates[name] = middle(got, "ops_s")
        cells.append("-" if not got else ", ".join([
            text(rates[name]), milliseconds(got, "p50_us"), milliseconds(got, "p99_us"),
            text(middle(got, "cpu_us"), "{:.0f}")]))
    row(label, *cells, *(ratio(rates[names[0]], rates[n]) for n in names[1:]), spread(results.values(), "ops_s"))


def disk(folder, count=300):
    """What the disk alone takes to have 4 KiB: written over in place and synced."""
    path = pathlib.Path(folder) / "sync"
    page = bytearray(4096)
    times = []
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(fd, page, 0)
    os.fsync(fd)
    for i in range(count):
        page[0] = i % 256
        began = time.perf_counter()
        os.pwrite(fd, page, 0)
        os.fdatasync(fd)
        times.append((time.perf_counter() - began) * 1e6)
    os.close(fd)
    path.unlink()
    times.sort()
    print(f"the disk alone, 4 KiB written and synced: p50 {times[count // 2]:.0f} µs, "
          f"p99 {times[count * 99 // 100]:.0f} µs", flush=True)


def memory_and_fill(compare):
    heading(f"Memory and disk, {KEYS:,} keys of {VALUE_BYTES} bytes put once each by 64 clients",
            "", "RSS MiB before", "RSS after", "PSS after", "anonymous after", "disk MiB", "puts/s", "CPU µs a put")
    for server in (compare.hypermesh, compare.etcd):
        before = server.memory_mib()
        got = {}
        if server in compare.products:
            try:
                got = server.fill(KEYS, VALUE_BYTES)
                server.fill_check(VALUE_BYTES)
            except Failed as error:
                compare.notes.append(f"{server.name}, fill: {error}")
        after = server.memory_mib() if got else {}
        row(server.name.split(",")[0], text(before["rss"]), text(after.get("rss")), text(after.get("pss")),
            text(after.get("anonymous")), text(server.disk_mib()), text(got.get("ops_s")), text(got.get("cpu_us")))


def writes(compare, names):
    rate_heading(f"Durable puts of {VALUE_BYTES} bytes to one of {KEYS:,} keys", names)
    for clients in CLIENTS:
        rate_row(clients, names, compare.rounds("put", clients, SECONDS, KEYS, VALUE_BYTES))
    try:
        compare.hypermesh.assets_make(ASSETS)
    except Failed as error:
        compare.notes.append(f"hypermesh, assets: {error}")
        return
    rate_heading("Durable asset updates (PUT /assets/{id})", [Hypermesh.name])
    for clients in CLIENTS:
        rate_row(clients, [Hypermesh.name],
                 compare.rounds("asset_put", clients, SECONDS, products=[compare.hypermesh]))


def reads(compare, names):
    rate_heading("Read of one key (/v3/kv/range)", names)
    for clients in (1, 64, 512):
        rate_row(clients, names, compare.rounds("get", clients, SECONDS, KEYS))
    others = [p for p in compare.products if p is not compare.hypermesh]
    rate_row("64, etcd serializable", names,
             compare.rounds("get", 64, SECONDS, KEYS, serializable=True, products=others))
    rate_heading("Read of a range of 100 keys", names)
    for clients in (1, 64):
        rate_row(clients, names, compare.rounds("get_hundred", clients, SECONDS, KEYS))
    if not hasattr(compare.hypermesh, "lines"):
        return
    rate_heading("Read of one asset (GET /assets/{id})", [Hypermesh.name])
    for clients in (1, 64, 512):
        rate_row(clients, [Hypermesh.name],
                 compare.rounds("asset_get", clients, SECONDS, products=[compare.hypermesh]))
    wrk(compare)


def wrk(compare):
    """The same read by a client that is not ours."""
    asset = compare.hypermesh.lines.read_text().split()[0]
    script = pathlib.Path(__file__).parent.parent / "load/token.lua"
    done = subprocess.run(
        [PEERS / "wrk", "-t1", "-c64", f"-d{max(1, round(SECONDS))}s", "-s", script,
         f"http://127.0.0.1:{compare.hypermesh.port}/assets/{asset}"], capture_output=True, text=True, timeout=60,
        env={**os.environ, "LD_LIBRARY_PATH": str(PEERS / "lib"), "HM_TOKEN_FILE": str(compare.hypermesh.token_path())})
    for line in done.stdout.splitlines():
        if line.startswith("Requests/sec") or "Non-2xx" in line:
            print(f"wrk, 64 clients: {' '.join(line.split())}")


def watch(compare, names):
    heading(f"Watch: {WATCHERS:,} watchers of one prefix", "", "one put: answer p50 ms", "first watcher",
            "median watcher", "last watcher p50", "last watcher max", "8 clients putting: events/s", "lost", "spread")
    results = compare.rounds("watch", WATCHERS, WATCH_ROUNDS, SECONDS, VALUE_BYTES)
    for name in names:
        got = results.get(name, [])
        if got:
            row(name, *(text(middle(got, f) / 1e3, "{:.2f}") for f in (
                "put_p50_us", "first_p50_us", "median_p50_us", "last_p50_us", "last_max_us")),
                text(middle(got, "events_s")), text(sum(r["missing"] for r in got)), spread([got], "events_s"))


def main():
    if not (PEERS / "etcd").exists():
        print("etcd is not unpacked: run scripts/setup --bench")
        return CANNOT
    compare = Compare(sys.argv[1])
    began = time.monotonic()
    try:
        compare.start()
        names = [p.name for p in compare.products]
        if Hypermesh.name not in names:
            names.insert(0, Hypermesh.name)
        print(f"{compare.hypermesh.version()} beside {compare.etcd.version()}; {ROUNDS} rounds of {SECONDS} s a case")
        disk(sys.argv[1])
        memory_and_fill(compare)
        writes(compare, names)
        reads(compare, names)
        watch(compare, names)
        disk(sys.argv[1])
    finally:
        for server in (compare.hypermesh, compare.etcd):
            server.stop()
    for note in compare.notes:
        print(f"note: {note}")
    print(f"took {time.monotonic() - began:.0f} s")
    return 0


sys.exit(main())
