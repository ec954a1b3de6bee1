#!/usr/bin/env python3
"""packetfs beside restic, borg, kopia, casync, desync, tar | zstd, rsync and zstd --patch-from, on the same data in one run.

Argument: an empty folder. HM_BENCH_SIZE=0.1: a tenth of the data (1: 1 GiB in one file, 256 MB images, 30,000 small files; with HM_BENCH_QUICK=1 a
quarter); PACKETFS_SETS="logs small": some of the data sets; PACKETFS_TOOLS="packetfs restic": some of the programs. HM_BENCH_MINUTES=20: the whole
ends in about so many minutes: each data set gets its share of what is left, a program that does not end within it is ended and left out.
HM_BENCH_SCALE=1: nothing of this, but a volume of HM_BENCH_OBJECTS=10000000 small objects, checked, pruned, repaired (10 GB of disk).

For each data set: the first version put into something empty, then each further version, then the last one again unchanged, then the last one
restored and compared, then the first version forgotten and pruned, then everything checked. Times are wall time; "GB/s/c" is plain bytes by
processor seconds (user and system, all threads), which a busy machine changes little. Data lies in the page cache for all."""
import contextlib
import json
import multiprocessing
import os
import pathlib
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import data  # noqa: E402
import scale  # noqa: E402
import show  # noqa: E402
import tools  # noqa: E402
import wire  # noqa: E402

WORK = pathlib.Path(sys.argv[1])
SIZE = float(os.environ.get("HM_BENCH_SIZE") or (0.25 if os.environ.get("HM_BENCH_QUICK") == "1" else 1))
MINUTES = float(os.environ.get("HM_BENCH_MINUTES") or 20)
OBJECTS = int(os.environ.get("HM_BENCH_OBJECTS") or 10_000_000)
SHARE = 1.6  # of its even share of the time left a data set may take: most need less
SAMPLE_BYTES = 64 << 20
SETS = os.environ.get("PACKETFS_SETS", " ".join(data.SETS)).split()
TOOLS = {  # what matters most first: the last ones are left out when time is short
    "packetfs": tools.Packetfs,
    "packetfs-1": lambda work: tools.Packetfs(work, threads=1),
    "restic": tools.Restic, "kopia": tools.Kopia, "borg": tools.Borg, "borg-zstd": lambda work: tools.Borg(work, "zstd,3"),
    "rsync": tools.Rsync, "tar": tools.TarZstd, "casync": tools.Casync, "desync": tools.Desync,
    "packetfs-1-fast": lambda work: tools.Packetfs(work, threads=1, chunker="fast"),
}
CHOSEN = os.environ.get("PACKETFS_TOOLS", " ".join(TOOLS)).split()
WIRE_SETS = ("changed", "image", "logs")  # one large file each: patches and rsync have their best


def same(a, b):
    return subprocess.run(["diff", "-rq", "--no-dereference", a, b], capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def at_one_place(folder):
    """A source changes where it is: every version stands under one path while it is put."""
    here = WORK / "source"
    folder.rename(here)
    try:
        yield here
    finally:
        here.rename(folder)


@contextlib.contextmanager
def work_folder():
    work = WORK / "work"
    work.mkdir()
    try:
        yield work
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", work], check=False)
        shutil.rmtree(work, ignore_errors=True)


def measure(make, versions, work):
    tool = make(work)
    row = {"name": tool.name, "puts": [], "sizes": []}
    for i, (_, folder) in enumerate(versions):
        with at_one_place(folder) as here:
            row["puts"].append(tool.put(f"v{i}", here))
        row["sizes"].append(tools.size_of(tool.repo))
    last = len(versions) - 1
    row["stored"] = row["sizes"][-1]
    with at_one_place(versions[last][1]) as here:
        row["again"] = tool.put("again", here)
    target = work / "restored"
    row["get"] = tool.get("again", target)
    row["right"] = same(versions[last][1], target)
    row["peak"] = max(cost.peak for cost in row["puts"])
    shutil.rmtree(target, ignore_errors=True)
    row["prune"] = tool.forget_and_prune("v0") if tool.forget_and_prune else None
    row["check"] = tool.check() if tool.check else None
    row["stages"], row["wire"] = getattr(tool, "stages", None), getattr(tool, "wire", None)
    return row


def all_rows(name, versions):
    """(rows of those that came to their end, whether packetfs was among those that failed)"""
    rows, failed = [], False
    for key in CHOSEN:
        try:
            with work_folder() as work:
                rows.append(measure(TOOLS[key], versions, work))
        except tools.Missing as reason:
            print(f"{name}, {key}: left out, not here: {reason}", flush=True)
        except tools.Late as reason:
            print(f"{name}, {key}: left out, {reason}", flush=True)
        except (RuntimeError, OSError) as error:
            print(f"{name}, {key}: FAILED: {error}", flush=True)
            failed = failed or key.startswith("packetfs")
    return rows, failed or any(not row["right"] for row in rows if row["name"].startswith("packetfs"))


def limits(versions):
    target = WORK / "sample"
    data.sample(versions[0][1], target, SAMPLE_BYTES)
    cost = tools.run([pathlib.Path(os.environ["HM_BIN"]) / "bench/packetfs-limits", target, "3", "1"])
    target.unlink()
    return json.loads(cost.out)


def on_the_wire(versions):
    """(what each push took, bytes of zstd's patch from the first to each further version)"""
    pushed, patches = [], []
    with work_folder() as work:
        twins = wire.Twins(work)
        for _, folder in versions:
            with at_one_place(folder) as here:
                pushed.append(twins.push(here))
    before = next(pathlib.Path(versions[0][1]).iterdir())
    for _, folder in versions[1:]:
        out = WORK / "patch"
        patches.append(out.stat().st_size if tools.patch_from(before, folder / before.name, out) else None)
        out.unlink(missing_ok=True)
    return pushed, patches


def one_set(name):
    top = WORK / "data" / name
    # In a process of its own: what a child is charged for memory begins with what its parent has.
    with multiprocessing.get_context("fork").Pool(1) as pool:
        versions = pool.apply(data.SETS[name], (top, SIZE))
    if not versions:
        print(f"\n{name}: cannot be made here")
        return True
    try:
        found = limits(versions)
        sent = on_the_wire(versions) if name in WIRE_SETS and "packetfs" in CHOSEN else None
        rows, failed = all_rows(name, versions)
        show.table(name, versions, rows)
        show.physical(found)
        show.ratios(rows)
        sizes = [data.files_bytes(folder) for _, folder in versions]
        for row in rows:
            if "thread" in row["name"]:
                show.stages(row, sizes, found)
        if sent:
            show.wire(versions, rows, *sent)
        return not failed
    except tools.Late as reason:
        print(f"{name}: {reason}", flush=True)
        return True
    except (RuntimeError, OSError) as error:
        print(f"{name}: FAILED: {error}", flush=True)
        return False
    finally:
        shutil.rmtree(top, ignore_errors=True)


def main():
    if os.environ.get("HM_BENCH_SCALE") == "1":
        with work_folder() as work:
            return scale.measure(work, OBJECTS)
    subprocess.run([pathlib.Path(os.environ["HM_SOURCE"]) / "scripts/setup", "--bench", "packetfs"], check=False, stdout=subprocess.DEVNULL)
    for name in set(CHOSEN) & {"kopia"}:  # minutes, once: not of the time below
        tools.building.find(name)
    show.legend((tools.Packetfs, tools.Restic, tools.Kopia, tools.Borg, tools.Rsync, tools.TarZstd, tools.Casync, tools.Desync))
    began, fine = time.monotonic(), True
    for i, name in enumerate(SETS):
        rest = began + MINUTES * 60 - time.monotonic()
        if rest <= 0:
            print(f"\n{name}: left out, the {MINUTES:g} minutes are over")
            continue
        tools.limit["end"] = time.monotonic() + min(rest, rest / (len(SETS) - i) * SHARE)
        fine = one_set(name) and fine
    print(f"\nsize {SIZE:g}; {(time.monotonic() - began) / 60:.1f} minutes")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
