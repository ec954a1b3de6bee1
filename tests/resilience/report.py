"""docs/resilience.md: what the runs kept, as tables for people. The last full run of each kind counts."""
import json
import os
import pathlib
import platform
import time

from trial import GOAL_DETECT, GOAL_RECOVER

HEAD = """# What a cluster survives

Written by `scripts/resilience` (`make resilience`), which does all this with real daemons, real CometBFT processes and the
ledger: each node in a network namespace of its own, every packet between them through one relay (`tests/tools/faultnet`). One
fault comes after the other on the same chain, while a client on every node acts all the time, payments and keys in turns, and
notes each operation that its node has acknowledged. After each fault:

- every block of every node is compared with the others', hash and state root: **no two nodes disagree on any**;
- every operation ever acknowledged is asked for on every node: **each is there, in the block that was told, and went well**;
- on every node the parts of all HYPER (accounts, bonds, escrow, deposits, burnt) are what the genesis made, and each validator's
  delegations are its shares.

At the end every node replays its whole chain from the genesis (`POST /chain/verify`, which `nexus verify` asks for). A run in
which one of these does not hold fails, whatever the times are.

**Seen**: from the fault's beginning (from the first wrong answer, where a node lies; of a key in two places, from the second's first
differing vote on a block that was not decided yet) until some node's status, metrics, ledger or log shows something that it had not shown in the two quiet seconds before; they are read every 0.1 to 0.2 s, and what a lying node
says of itself does not count. **Goes on**: from the fault's beginning until an operation that was begun after it is on all nodes that
are not hurt; a dash where no more than two thirds are up: then nothing was acknowledged until the end. **Whole**: from the fault's
end until an operation that was begun after it is on all nodes; where a fault ends by itself (a node is started again at once), from
its beginning. **Operations**: what one takes (median), before and during. Seconds everywhere. Goals: seen within {detect} s, the other
two within {recover} s; **!** marks what is above. "Not seen" means that nothing showed it, and nothing suffered.
"""
COLUMNS = "| fault | seen | by | goes on | whole | operations | |\n| --- | --- | --- | --- | --- | --- | --- |\n"
SIGN_MAX = 70


def machine():
    release = dict(line.split("=", 1) for line in pathlib.Path("/etc/os-release").read_text().splitlines() if "=" in line)
    virtual = "hypervisor" in pathlib.Path("/proc/cpuinfo").read_text()
    name, version = release.get("ID", "Linux").strip('"').title(), release.get("VERSION_ID", "").strip('"')
    return (f"{os.cpu_count()} cores, {platform.machine().replace('_', '-')}{' virtual machine' if virtual else ''}, "
            f"{name} {version}".strip())


def kept(rows, count, seconds, verified, complete):
    """What a run leaves for the document."""
    return {"count": count, "command": f"scripts/resilience {count}", "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "machine": machine(), "seconds": round(seconds), "verified": verified, "complete": complete,
            "rows": [r.as_json() for r in rows]}


def renewed(run, rows):
    """The run with these rows in the place of those of the same faults: each says when it was played by itself."""
    again = {}
    for row in rows:
        again[row.name] = row.as_json()
        again[row.name]["note"] = "; ".join(filter(None, ["by itself, " + time.strftime("%Y-%m-%d", time.gmtime()), row.note]))
    return run | {"rows": [again.get(row["name"], row) for row in run["rows"]]}


def figure(value, goal, missing):
    if value is None:
        return missing
    return f"{value:.2f}" if value <= goal else f"**{value:.1f} !**"


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def line(row):
    if row["broken"]:
        return f"| {cell(row['name'])} | | | | | | **BROKEN**: {cell(row['broken'])} |\n"
    sign = row["sign"] or ""
    sign = sign if len(sign) <= SIGN_MAX else sign[:SIGN_MAX] + "..."
    took = "" if row["before"] is None else f"{row['before']:.2f}" + (f" → {row['during']:.2f}" if row["during"] else "")
    return (f"| {cell(row['name'])} | {figure(row['detected'], GOAL_DETECT, 'not seen')} | {cell(sign)} | "
            f"{figure(row['goes_on'], GOAL_RECOVER, '-')} | {figure(row['whole'], GOAL_RECOVER, '-')} | {took} | "
            f"{cell(row['note'])} |\n")


def section(run):
    rows = run["rows"]
    blocks, operations = (sum(r["checked"].get(k, 0) for r in rows) for k in ("blocks", "operations"))
    text = f"\n## {run['count']} validators\n\n    {run['command']}\n\n{run['date']}; {run['machine']}; {run['seconds']} s.\n\n"
    text += COLUMNS + "".join(map(line, rows))
    if not run["verified"]:
        return text + "\n**The run did not come to its end.**\n"
    return text + (f"\nCompared: {blocks} blocks, {operations} times an acknowledged operation was looked up; every node replayed its "
                   f"chain of {min(run['verified'])} blocks or more.\n")


def write(folder, document):
    """From all runs that the folder has."""
    runs = [json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))]
    text = HEAD.format(detect=GOAL_DETECT, recover=GOAL_RECOVER)
    text += "".join(section(run) for run in sorted(runs, key=lambda run: run["count"]))
    document.write_text(text)
