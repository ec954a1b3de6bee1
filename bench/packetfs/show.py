"""What bench_packetfs.py prints."""
import data

SEALED = ("restic", "borg", "kopia")  # the same protections: what is stored is encrypted and authenticated
DENSE = 31 / 32  # what zstd leaves at least of data that packetfs stores as it is
MEASURED = 1_000_000  # nanoseconds below which a stage's rate says nothing


def legend(classes):
    print("; ".join(f"{each.__name__.lower()}: {each.protections}" for each in classes) +
          "\ns: wall time; GB/s/c: bytes by processor seconds of all threads", flush=True)


def rate(size, seconds):
    return f"{size / seconds / 1e9:6.2f}" if seconds > 0 else "     -"


def seconds(cost):
    return f"{cost.wall:7.2f}" if cost else "      -"


def table(name, versions, rows):
    sizes = [data.files_bytes(folder) for _, folder in versions]
    print(f"\n{name}: {len(versions)} versions ({', '.join(v for v, _ in versions[:4])}{', …' if len(versions) > 4 else ''}),"
          f" {sizes[0] / 1e6:.1f} MB the first, {sum(sizes) / 1e6:.1f} MB in all", flush=True)
    print(f"{'':<18}{'first put':>17}{'next puts':>17}{'unchanged':>10}{'restore':>17}{'stored':>20}{'peak MiB':>12}{'prune':>8}{'check':>8}")
    print(f"{'':<18}{'s':>9}{'GB/s/c':>8}{'s':>9}{'GB/s/c':>8}{'s':>10}{'s':>9}{'GB/s/c':>8}{'first MB':>10}{'all MB':>10}"
          f"{'put':>6}{'get':>6}{'s':>8}{'s':>8}")
    for row in rows:
        first, rest = row["puts"][0], row["puts"][1:]
        wall, cpu = sum(c.wall for c in rest), sum(c.cpu for c in rest)
        print(f"{row['name']:<18}{first.wall:9.2f}{rate(sizes[0], first.cpu):>8}{wall:9.2f}{rate(sum(sizes[1:]), cpu):>8}"
              f"{row['again'].wall:10.2f}{row['get'].wall:9.2f}{rate(sizes[-1], row['get'].cpu):>8}"
              f"{row['sizes'][0] / 1e6:10.1f}{row['stored'] / 1e6:10.1f}{row['peak'] >> 20:6d}{row['get'].peak >> 20:6d}"
              f"{seconds(row['prune']):>8}{seconds(row['check']):>8}{'' if row['right'] else '   RESTORED WRONG'}", flush=True)


def ratios(rows):
    """packetfs beside the best of those with the same protections: each figure's best, whoever has it."""
    ours = next((row for row in rows if row["name"] == "packetfs"), None)
    peers = [row for row in rows if row["name"].startswith(SEALED)]
    if not ours or not peers:
        return

    def beside(of):
        value, name = min((of(row), row["name"]) for row in peers)
        return f"{value / max(of(ours), 1e-9):.1f} ({name})"

    print(f"  times faster than the best sealed peer: first put {beside(lambda r: r['puts'][0].wall)}, "
          f"its processor time {beside(lambda r: r['puts'][0].cpu)}, next puts {beside(lambda r: sum(c.wall for c in r['puts'][1:]))}, "
          f"unchanged {beside(lambda r: r['again'].wall)}, restore {beside(lambda r: r['get'].wall)}, "
          f"its processor time {beside(lambda r: r['get'].cpu)}, "
          f"prune {beside(lambda r: r['prune'].wall)}, check {beside(lambda r: r['check'].wall)}; "
          f"times smaller: stored {beside(lambda r: r['stored'])}, peak memory {beside(lambda r: r['peak'])}", flush=True)


def at_most(limits, stages, parts):
    """GB/s that one core would let through if it did nothing but these stages, each over its part of the bytes."""
    total = sum(part / limits[stage] for stage, part in zip(stages, parts) if limits[stage] > 0)
    return 1 / total if total > 0 else 0


def limits_of(limits):
    zstd = limits["zstd"]
    return {**limits, **{f"zstd {level}": found["compress"] for level, found in zstd.items()}, "expand": zstd["3"]["expand"],
            "part": zstd["3"]["part"]}


def physical(found):
    """The bare functions on a sample of this data, on one core: nothing that does the same work is faster here."""
    limits = limits_of(found)
    names = ("copy", "read", "write", "chunk", "chunk fast", "hash", "seal", "zstd 3", "zstd 1", "expand")
    shown = ", ".join(f"{name} {limits[name]:.2f}" for name in names)
    print(f"  this core alone, GB/s of this data: {shown} (zstd 3 leaves {limits['part']:.2f} of it)")


def stages(row, sizes, found):
    """Where the processor time of a put in one thread goes, each stage beside its bare function."""
    if not row["stages"][0]["read"]:
        return
    limits = limits_of(found)
    dense = limits["part"] > DENSE
    part = 1 if dense else limits["part"]
    alone = {"read": "read", "chunk": "chunk fast" if "fast" in row["name"] else "chunk", "hash": "hash", "compress": "zstd 3",
             "seal": "seal", "write": "write"}
    plain = {"seal": part, "write": part}  # these see what is left of a byte
    for what, i in (("first put", 0), ("next put", 1)):
        if i >= len(row["stages"]):
            return
        stage, cpu = row["stages"][i], row["puts"][i].cpu
        shown = []
        for key in ("read", "chunk", "hash", "compress", "seal", "write", "index"):
            ns, size = stage["ns"][key], stage["read" if key in ("read", "chunk", "hash") else "new"]
            text = f"{key} {100 * ns / 1e9 / cpu:.0f} %"
            if ns > MEASURED and size and key in alone:
                looked_at = key == "compress" and dense  # and left as it is
                text += f" ({size / ns:.1f})" if looked_at else \
                    f" ({size * plain.get(key, 1) / ns:.2f}; alone {limits[alone[key]]:.2f})"
            shown.append(text)
        rest = cpu - sum(stage["ns"].values()) / 1e9
        left = f"the rest {100 * rest / cpu:.0f} %" if rest >= 0 else "more than all: short stages are timed by the clock, and other programs ran"
        print(f"  {row['name']}, {what}, {cpu:.2f} s of processor, GB/s: {', '.join(shown)}, {left}", flush=True)
    bytes_read, new = row["stages"][0]["read"], row["stages"][0]["new"] / row["stages"][0]["read"]  # holes are not read
    put_at_most = at_most(limits, ["read", alone["chunk"], "hash", "seal", "write"] + ([] if dense else ["zstd 3"]),
                          [1, 1, 1, part * new, part * new, new])
    get_at_most = at_most(limits, ["read", "seal", "hash", "write"] + ([] if dense else ["expand"]), [part, part, 1, 1, 1])
    first, get = bytes_read / row["puts"][0].cpu / 1e9, bytes_read * sizes[-1] / sizes[0] / row["get"].cpu / 1e9
    print(f"  {row['name']}: the stages alone would let {put_at_most:.2f} GB/s a core of data through, first put {first:.2f} "
          f"({100 * first / put_at_most:.0f} %); back {get_at_most:.2f}, restore {get:.2f} ({100 * get / get_at_most:.0f} %)", flush=True)


def wire(versions, rows, pushed, patches):
    """Bytes from a version to the next: packetfs push and rsync as they count them; for stores what they grew by, the least they would send."""
    print("  on the wire, or grown by, KB:" + "".join(f"{what:>28}" for what, _ in versions))

    def line(name, values, note=""):
        print(f"  {name:<30}" + "".join(f"{value / 1e3:>28.1f}" if value is not None else f"{'-':>28}" for value in values) + note, flush=True)

    line("packetfs push", [each[0] for each in pushed],
         f"   ({', '.join(str(each[1]) for each in pushed)} round trips; {', '.join(f'{each[2]:.1f}' for each in pushed)} s)")
    for row in rows:
        if row.get("wire"):
            line("rsync, both directions", row["wire"][:len(versions)])
        elif row["name"] != "tar | zstd -3" and "thread" not in row["name"]:
            line(row["name"] + ", grown by", [b - a for a, b in zip([0] + row["sizes"], row["sizes"])])
    if any(patches):
        line("zstd --patch-from the first", [None] + patches)
