"""A state of many accounts, a node that joins by taking a snapshot of it over, and how fast snapshots are made and restored."""
import datetime
import pathlib
import re
import subprocess
import time

from clusters import BATCH_CLIENTS, BATCH_OPS, BIN, Ours
from spaces import Failed

NODES = 4
SNAPSHOT_BLOCKS = 100  # between two: the one that is measured comes soon after the accounts are there
SNAPSHOT_WAIT_S = 300
FILL_S = 3600


class Stated(Ours):
    name = "HyperMesh with a state"
    log_level = "info"
    extra = ("--snapshot-blocks", str(SNAPSHOT_BLOCKS))


def fill(cluster, accounts):
    """As many new accounts, each by a transfer that pays it for the first time: 64 in a transaction, 32 clients that sign. The
    same path as any act: signed, ordered, executed by all nodes, durable."""
    cluster.signers("bench", BATCH_CLIENTS)
    return cluster.signed(0, "transfer", operations=accounts, limit_s=FILL_S)


def folder_bytes(folder):
    return sum(p.stat().st_size for p in folder.iterdir())


def snapshots(cluster):
    folder = cluster.folder / "node0/snapshots"
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit()) if folder.exists() else []


def stamps(log, words):
    """(seconds since the epoch, line) of the lines of a log that hold these words."""
    return [(datetime.datetime.fromisoformat(line.split(" ", 1)[0].replace("Z", "+00:00")).timestamp(), line)
            for line in log.read_text(errors="replace").splitlines() if words in line]


def until_snapshot(cluster, height):
    """One of a block after `height`: blocks are made, an operation each, until it is there. Returns its height, and seconds from
    the block until the snapshot was whole, by the node's log."""
    end = time.monotonic() + SNAPSHOT_WAIT_S
    number = 0
    while not (found := [h for h in snapshots(cluster) if h > height]):
        if time.monotonic() > end:
            raise Failed(f"no snapshot after block {height} within {SNAPSHOT_WAIT_S} s")
        number += 1
        cluster.write(number)
    made = found[-1]
    began = cluster.api.ask("GET", f"/blocks/{made}")["time_ms"] / 1e3
    whole = stamps(cluster.folder / "node0/hypermeshd.log", f"snapshot of block {made}:")
    return made, whole[-1][0] - began if whole else None


# Of the new node's log: what begins or ends with each of these lines.
MARKS = (("plot", "building a plot"), ("engine", "Starting state sync"), ("take", "taking over a snapshot"),
         ("taken", "the ledger begins with a snapshot"), ("ready", "ready: "))


def join(cluster):
    """`nexus cluster add --snapshot`: seconds until the new node is ready, and by its own log how they went by."""
    began = time.monotonic()
    cluster.nexus("add", "--snapshot")
    took = time.monotonic() - began
    log = cluster.folder / f"node{NODES}/hypermeshd.log"
    found = {name: stamps(log, words) for name, words in MARKS}
    return took, {name: lines[0][0] for name, lines in found.items() if lines}


def told(at):
    steps = (("plot and engine start", "plot", "engine"), ("engine looks for snapshots", "engine", "take"),
             ("state taken over", "take", "taken"), ("engine fetches the blocks since, and says so", "taken", "ready"))
    return ", ".join(f"{name} {at[b] - at[a]:.1f}" for name, a, b in steps if a in at and b in at)


def bare_rates(folder, accounts):
    """bench_snapshot: the same pieces with no engine, no wire and no rests. Returns its three lines."""
    place = pathlib.Path(folder) / "bare"
    place.mkdir(exist_ok=True)
    done = subprocess.run([BIN / "bench/bench_snapshot", str(place), str(accounts)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"bench_snapshot: {done.stderr.strip()[-300:]}")
    made = re.search(r"made: (\d+) chunks, ([\d.]+) MB.* ([\d.]+) s \(", done.stdout)
    taken = re.search(r"taken over: ([\d.]+) s", done.stdout)
    if not made or not taken:
        raise Failed(f"bench_snapshot said: {done.stdout[-300:]}")
    return int(made[1]), float(made[2]), float(made[3]), float(taken[1])


def measure_bare(folder, accounts, row):
    chunks, size, made_s, taken_s = bare_rates(folder, accounts)
    row("made, bare (no engine, no rests)", f"{made_s:.2f} s; {size / made_s:.0f} MB/s; {accounts / made_s:,.0f} leaves/s",
        f"{chunks} chunks, {size:.1f} MB unpacked")
    row("restored, bare: checked, tree and tables rebuilt, on the disk",
        f"{taken_s:.2f} s; {size / taken_s:.0f} MB/s; {accounts / taken_s:,.0f} leaves/s", "")


def measure_join(folder, accounts, row):
    cluster = Stated(folder, NODES)
    try:
        cluster.start()
        filled = fill(cluster, accounts)
        row("state made by transfers to new accounts", f"{filled['seconds']:.1f} s; {filled['ops_s']:,.0f} accounts/s",
            f"{BATCH_OPS} a transaction, {BATCH_CLIENTS} clients")
        made, took = until_snapshot(cluster, cluster.write(0))
        size = folder_bytes(cluster.folder / f"node0/snapshots/{made}")
        row("snapshot made while the node works", "-" if took is None else f"{took:.1f} s", f"{size / 1e6:.1f} MB packed; it rests two thirds of the time")
        joined, at = join(cluster)
        row("a new node joins by it (nexus cluster add --snapshot)", f"{joined:.1f} s", told(at))
        if "taken" in at:
            took = max(at["taken"] - at["take"], 1e-3)
            row("of it, the state taken over", f"{took:.2f} s", f"{accounts / took:,.0f} leaves/s, checked piece by piece")
    finally:
        cluster.stop()


def measure(folder, accounts, notes, heading, row):
    heading(f"A state of {accounts:,} accounts, {NODES} validators", "what", "time", "")
    for part in (measure_bare, measure_join):
        try:
            part(folder, accounts, row)
        except (Failed, OSError) as problem:
            notes.append(f"state, {part.__name__}: {problem}")
