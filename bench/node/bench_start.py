#!/usr/bin/env python3
"""How long a daemon with a large ledger takes to start, and what it holds then.

The ledger, of 1,000,000 assets (100,000 with HM_BENCH_QUICK=1), is made once by make-ledger and kept in HM_BENCH_CACHE
(about 1.2 GB). `cold` means that the ledger's pages were dropped from the page cache before.

    bench_start.py FOLDER    scripts/bench start calls it so
"""
import hashlib
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from servers import BIN, Failed, Hypermesh  # noqa: E402

QUICK = os.environ.get("HM_BENCH_QUICK") == "1"
ASSETS = 100_000 if QUICK else 1_000_000
ROUNDS = 3 if QUICK else 5


class Node(Hypermesh):
    """A hypermeshd on a data directory that is there already."""

    def __init__(self, folder):
        super().__init__(folder)
        self.folder = pathlib.Path(folder)
        self.log = self.folder.with_suffix(".log")

    def wait(self, path, began):
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60):
                    return (time.monotonic() - began) * 1e3
            except (urllib.error.URLError, OSError):
                if self.process.poll() is not None:
                    raise Failed(f"hypermeshd ended: {self.log.read_text()[-600:]}") from None
                time.sleep(0.001)

    def timed_start(self):
        """Milliseconds until it answers, until it is ready, for a first read and a first durable change; its memory."""
        began = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        result = {"answers": self.wait("/livez", began), "ready": self.wait("/readyz", began)}
        result.update({f"{name} ready": mib for name, mib in self.memory_mib().items()})
        began = time.monotonic()
        asset = self.ask("GET", "/assets?limit=1")["items"][0]["id"]
        result["list"] = (time.monotonic() - began) * 1e3
        began = time.monotonic()
        self.ask("GET", f"/assets/{asset}")
        result["read"] = (time.monotonic() - began) * 1e3
        began = time.monotonic()
        self.ask("POST", "/accounts/user/bond", {"amount": "0.001"})
        result["change"] = (time.monotonic() - began) * 1e3
        return result


def data_make(folder, count):
    """A data directory whose ledger holds as many assets, and money for the node's own accounts."""
    node = Node(folder)
    node.start()
    accounts = [item["id"] for item in node.ask("GET", "/accounts")["items"]]
    node.stop()
    shutil.rmtree(folder / "ledger")
    began = time.monotonic()
    subprocess.run([BIN / "bench/make-ledger", folder / "ledger", str(count), *accounts], check=True)
    print(f"made a ledger of {count:,} assets in {time.monotonic() - began:.0f} s")
    node.start()  # once, so that what it registers and bonds is there
    node.stop()


def data_cached(count):
    cache = pathlib.Path(os.environ["HM_BENCH_CACHE"])
    maker = hashlib.sha256((BIN / "bench/make-ledger").read_bytes()).hexdigest()[:12]
    folder = cache / f"start-{count}-{maker}"
    if not folder.exists():
        for old in cache.glob(f"start-{count}-*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        making = cache / "making"
        shutil.rmtree(making, ignore_errors=True)
        data_make(making, count)
        making.rename(folder)
    return folder


def drop_pages(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def measure(label, folder, cold):
    rounds = []
    for _ in range(ROUNDS):
        if cold:
            drop_pages(folder)
        node = Node(folder)
        try:
            rounds.append(node.timed_start())
        finally:
            node.stop()
    middle = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
    widest = max(r["ready"] for r in rounds)
    print(f"| {label} | {middle['answers']:.0f} | {middle['ready']:.0f} | {widest:.0f} | {middle['list']:.1f} | "
          f"{middle['read']:.1f} | {middle['change']:.1f} | {middle['rss ready']:.0f} | "
          f"{middle['anonymous ready']:.0f} |", flush=True)


def main():
    few = pathlib.Path(sys.argv[1]) / "few"
    data_make(few, 100)
    many = data_cached(ASSETS)
    size = (many / "ledger/data.mdb").stat().st_blocks / 2048
    print(f"{ASSETS:,} assets: {size:.0f} MiB on the disk; medians of {ROUNDS} starts\n")
    print("| ledger | answers ms | ready ms | ready, slowest | first list ms | first read | first durable change | "
          "RSS MiB when ready | anonymous |\n|" + " --- |" * 9)
    for cold in (False, True):
        word = "cold" if cold else "warm"
        measure(f"100 assets, {word}", few, cold)
        measure(f"{ASSETS:,} assets, {word}", many, cold)
    return 0


try:
    sys.exit(main())
except Failed as failure:
    print(f"bench_start: {failure}", file=sys.stderr)
    sys.exit(1)
