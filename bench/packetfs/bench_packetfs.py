#!/usr/bin/env python3
"""packetfs beside restic, borg, casync, tar | zstd, rsync and zstd --patch-from, on the same data in one run.

Argument: an empty folder. HM_BENCH_QUICK=1 for less data; PACKETFS_SETS="logs small" for some of the data sets, PACKETFS_TOOLS="packetfs restic" for
some of the programs.

For each data set: the first version put into something empty, then each further version, then the last one again unchanged, then the last one
restored and compared, then the first version forgotten and pruned, then everything checked. Times are wall time; "GB/s a core" is plain bytes by
processor seconds (user and system, all threads), which a busy machine changes little. Data lies in the page cache for all."""
import contextlib
import multiprocessing
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import data  # noqa: E402
import tools  # noqa: E402

WORK = pathlib.Path(sys.argv[1])
QUICK = os.environ.get("HM_BENCH_QUICK") == "1"
SETS = os.environ.get("PACKETFS_SETS", " ".join(data.SETS)).split()
TOOLS = {
    "packetfs": tools.Packetfs,
    "packetfs-1": lambda work: tools.Packetfs(work, threads=1),
    "packetfs-1-fast": lambda work: tools.Packetfs(work, threads=1, chunker="fast"),
    "restic": tools.Restic, "borg": tools.Borg, "casync": tools.Casync, "tar": tools.TarZstd, "rsync": tools.Rsync,
}
CHOSEN = os.environ.get("PACKETFS_TOOLS", " ".join(TOOLS)).split()
SAME_PROTECTIONS = ("restic", "borg")


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


def measure(make, versions, work):
    tool = make(work)
    row = {"name": tool.name, "puts": [], "peak": 0}
    for i, (_, folder) in enumerate(versions):
        with at_one_place(folder) as here:
            row["puts"].append(tool.put(f"v{i}", here))
        if i == 0:
            row["stored first"] = tools.size_of(tool.repo)
    last = len(versions) - 1
    row["stored"] = tools.size_of(tool.repo)
    with at_one_place(versions[last][1]) as here:
        row["again"] = tool.put("again", here)
    target = work / "restored"
    row["get"] = tool.get("again", target)
    row["right"] = same(versions[last][1], target)
    row["peak"] = max(cost.peak for cost in row["puts"])
    row["peak get"] = row["get"].peak
    shutil.rmtree(target, ignore_errors=True)
    row["prune"] = tool.forget_and_prune("v0") if tool.forget_and_prune else None
    row["check"] = tool.check() if tool.check else None
    row["stages"] = getattr(tool, "stages", None)
    return row


def rate(size, seconds):
    return f"{size / seconds / 1e9:6.2f}" if seconds > 0 else "     -"


def seconds(cost):
    return f"{cost.wall:7.2f}" if cost else "      -"


def show(name, versions, rows):
    sizes = [data.files_bytes(folder) for _, folder in versions]
    print(f"\n{name}: {len(versions)} versions ({', '.join(v for v, _ in versions[:4])}{', …' if len(versions) > 4 else ''}),"
          f" {sizes[0] / 1e6:.1f} MB the first, {sum(sizes) / 1e6:.1f} MB in all", flush=True)
    print(f"{'':<22}{'first put':>17}{'next puts':>17}{'unchanged':>10}{'restore':>17}{'stored':>20}{'peak MiB':>12}"
          f"{'prune':>8}{'check':>8}")
    print(f"{'':<22}{'s':>9}{'GB/s/c':>8}{'s':>9}{'GB/s/c':>8}{'s':>10}{'s':>9}{'GB/s/c':>8}{'first MB':>10}{'all MB':>10}"
          f"{'put':>6}{'get':>6}{'s':>8}{'s':>8}")
    for row in rows:
        first, rest = row["puts"][0], row["puts"][1:]
        wall, cpu = sum(c.wall for c in rest), sum(c.cpu for c in rest)
        print(f"{row['name']:<22}{first.wall:9.2f}{rate(sizes[0], first.cpu):>8}{wall:9.2f}{rate(sum(sizes[1:]), cpu):>8}"
              f"{row['again'].wall:10.2f}{row['get'].wall:9.2f}{rate(sizes[-1], row['get'].cpu):>8}"
              f"{row['stored first'] / 1e6:10.1f}{row['stored'] / 1e6:10.1f}{row['peak'] >> 20:6d}{row['peak get'] >> 20:6d}"
              f"{seconds(row['prune']):>8}{seconds(row['check']):>8}{'' if row['right'] else '   RESTORED WRONG'}", flush=True)
    ours = next((row for row in rows if row["name"] == "packetfs"), None)
    peers = [row for row in rows if row["name"] in SAME_PROTECTIONS]
    if ours and peers:
        def best(of):
            return min(of(row) for row in peers)

        def ratio(of):
            return best(of) / max(of(ours), 1e-9)

        print(f"  packetfs beside the best of {', '.join(row['name'] for row in peers)} (times it is faster, or smaller): "
              f"first put {ratio(lambda r: r['puts'][0].wall):.1f} (processor time {ratio(lambda r: r['puts'][0].cpu):.1f}), "
              f"next puts {ratio(lambda r: sum(c.wall for c in r['puts'][1:])):.1f}, "
              f"unchanged {ratio(lambda r: r['again'].wall):.1f}, restore {ratio(lambda r: r['get'].wall):.1f} "
              f"(processor time {ratio(lambda r: r['get'].cpu):.1f}), stored {ratio(lambda r: r['stored']):.2f}, "
              f"prune {ratio(lambda r: r['prune'].wall):.1f}, check {ratio(lambda r: r['check'].wall):.1f}, "
              f"peak memory {ratio(lambda r: r['peak']):.1f}", flush=True)
    for row in rows:
        if row["stages"] and "1 thread" in row["name"]:
            for what, i in (("first put", 0), ("next put", 1)):
                if i < len(row["stages"]):
                    stage = row["stages"][i]
                    shown = []
                    for key, size in (("read", "read"), ("chunk", "read"), ("hash", "read"), ("compress", "new"), ("seal", "new"),
                                      ("write", "new"), ("index", "new")):
                        ns = stage["ns"][key]
                        shown.append(f"{key} {stage[size] / ns:.2f}" if ns > 1_000_000 and stage[size] else f"{key} -")
                    total = sum(stage["ns"].values())
                    cpu = row["puts"][i].cpu
                    print(f"  {row['name']}, {what}, GB/s by stage: {', '.join(shown)};"
                          f" in stages {total / 1e9:.2f} s of {row['puts'][i].wall:.2f} s ({cpu:.2f} s of processor)", flush=True)


def show_patches(name, versions):
    if name not in ("changed", "image", "logs"):
        return
    before = next(pathlib.Path(versions[0][1]).iterdir())
    for what, folder in versions[1:]:
        out = WORK / "patch"
        cost = tools.patch_from(before, folder / before.name, out)
        if cost:
            print(f"  zstd --patch-from, {what}: {out.stat().st_size / 1e6:.3f} MB in {cost.wall:.2f} s, "
                  f"peak {cost.peak >> 20} MiB", flush=True)
            out.unlink()


def main():
    subprocess.run([pathlib.Path(os.environ["HM_SOURCE"]) / "scripts/setup", "--bench", "packetfs"], check=True,
                   stdout=subprocess.DEVNULL)
    for name in SETS:
        top = WORK / "data" / name
        # In a process of its own: what a child is charged for memory begins with what its parent has.
        with multiprocessing.get_context("fork").Pool(1) as pool:
            versions = pool.apply(data.SETS[name], (top, QUICK))
        if not versions:
            print(f"\n{name}: cannot be made here")
            continue
        rows = []
        for key in CHOSEN:
            work = WORK / "work"
            work.mkdir()
            try:
                rows.append(measure(TOOLS[key], versions, work))
            except (RuntimeError, OSError) as error:
                print(f"{name}, {key}: {error}", flush=True)
            subprocess.run(["chmod", "-R", "u+rwX", work], check=False)
            shutil.rmtree(work, ignore_errors=True)
        show(name, versions, rows)
        show_patches(name, versions)
        shutil.rmtree(top, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
