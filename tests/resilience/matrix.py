#!/usr/bin/env python3
"""The fault matrix: real daemons with the real engine, one fault after the other.

    matrix.py TOOLS_FOLDER COUNT [FAULT...]      COUNT validators: 4 or 7; all faults of that kind, or only these

HM_RESILIENCE_OUT: a folder; a full run leaves COUNT.json there; with HM_RESILIENCE_AGAIN=1 one of some faults puts their rows into it.
HM_RESILIENCE_LOGS: a folder for the nodes' logs.
HM_RESILIENCE_SIGNS=1 prints every sign that a fault gave. Exit status 1 when a guarantee did not hold, 77 when this machine
cannot do it."""
import json
import os
import pathlib
import shutil
import sys

import faults_byzantine
import faults_flood
import faults_links
import faults_machine
import faults_stop
import report
from cluster import Cluster
from machine import missing, now
from trial import Trial

SKIPPED = 77
TOOLS = ("faultnet", "clockshift", "unixcut", "abci_script", "batch_forge")
STOPS = [faults_stop.killed, faults_stop.engine_killed, faults_stop.paused, faults_stop.emptied, faults_stop.quorum_lost,
         faults_stop.all_killed]
SPLITS = {4: [faults_links.split_halves, faults_links.split_one_off, faults_links.split_all],
          7: [faults_links.split_four_three, faults_links.split_five_two, faults_links.split_all]}
# The double signer is out for good afterwards, so it comes last.
OTHERS = [faults_links.slow, faults_links.losing, faults_links.disordered, faults_links.bad_lines, faults_byzantine.proposes_invalid,
          faults_byzantine.votes_nil, faults_byzantine.extends_wrongly, faults_byzantine.extends_too_much,
          faults_byzantine.refuses_extensions, faults_byzantine.another_state, faults_byzantine.lies_in_snapshots,
          faults_flood.of_garbage, faults_flood.of_forged, faults_flood.of_unpaid, faults_flood.of_valid, faults_machine.ahead,
          faults_machine.behind, faults_machine.two_ahead, faults_machine.disk_full, faults_machine.socket_cut,
          faults_byzantine.signs_twice]
ALL = {count: STOPS + splits + OTHERS for count, splits in SPLITS.items()}


def tell(row):
    figures = " ".join(f"{k}={getattr(row, k):.2f}" for k in ("before", "during", "detected", "goes_on", "whole")
                       if getattr(row, k) is not None)
    print(f"{'BROKEN' if row.broken else 'ok'} {row.name}: {row.broken or figures}"
          f"{f' ({row.sign})' if row.sign else ''}{f'; {row.note}' if row.note else ''}", flush=True)


def play(tools, count, faults, tell_row=tell):
    """The rows, and how many blocks each node replayed in the end."""
    verified = []
    with Cluster(count, tools) as cluster:
        try:
            cluster.start()
            with Trial(cluster, tell_row) as trial:
                for fault in faults:
                    fault(trial, (count - 1) // 3)
                verified = trial.verify()
        finally:
            if os.environ.get("HM_RESILIENCE_LOGS"):
                logs = pathlib.Path(os.environ["HM_RESILIENCE_LOGS"])
                logs.mkdir(parents=True, exist_ok=True)
                for log in (cluster.folder / "c").glob("*.log"):
                    shutil.copy(log, logs / f"{count}-{log.name}")
    return trial.rows, verified


def keep(path, rows, names, run):
    """A full run; of some faults only where HM_RESILIENCE_AGAIN asks for it, in the place of those of the last full one."""
    if names and not os.environ.get("HM_RESILIENCE_AGAIN"):
        return
    if names:
        run = report.renewed(json.loads(path.read_text()), rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(run, indent=1) + "\n")


def main():
    folder, count, names = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    reason = missing()
    if reason:
        print(f"skip resilience: {reason}")
        return SKIPPED
    known = {f.__name__: f for faults in ALL.values() for f in faults}
    unknown = [n for n in names if n not in known]
    if count not in ALL or unknown:
        print(f"matrix.py: {' '.join(unknown) or count}: there are 4 and 7 validators, and the faults {' '.join(known)}",
              file=sys.stderr)
        return 2
    began = now()
    rows, verified = play({n: str(folder / n) for n in TOOLS}, count, [known[n] for n in names] or ALL[count])
    broken = [r.name for r in rows if r.broken]
    print(f"{len(rows)} faults, {len(broken)} broken; each node replayed its chain: {verified}; {now() - began:.0f} s")
    if os.environ.get("HM_RESILIENCE_OUT"):
        keep(pathlib.Path(os.environ["HM_RESILIENCE_OUT"]) / f"{count}.json", rows, names,
             report.kept(rows, count, now() - began, verified, not names))
    return 1 if broken or not verified else 0


if __name__ == "__main__":
    sys.exit(main())
