#!/usr/bin/env python3
"""Six faults of the matrix (tests/resilience) with four real daemons, their engines and the ledger: one killed, one paused, one
begun anew with an empty disk, the network split in halves, one that proposes invalid blocks, one that floods batches nobody pays
for. After each: one chain on all, nothing acknowledged lost, no money made. `make resilience` does all of them.

    cluster_short.py FAULTNET CLOCKSHIFT UNIXCUT ABCI_SCRIPT BATCH_FORGE"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "resilience"))
import faults_byzantine  # noqa: E402
import faults_flood  # noqa: E402
import faults_links  # noqa: E402
import faults_stop  # noqa: E402
import trial  # noqa: E402
from machine import missing  # noqa: E402
from matrix import SKIPPED, TOOLS, play  # noqa: E402

FAULTS = [faults_stop.killed, faults_stop.paused, faults_stop.emptied, faults_links.split_halves,
          faults_byzantine.proposes_invalid, faults_flood.of_unpaid]


def main():
    reason = missing()
    if reason:
        print(f"skip cluster_short: {reason}")
        return SKIPPED
    trial.QUIET_SECONDS, trial.HOLD_SECONDS = 1, 2
    names = iter(FAULTS)

    def tell(row):
        name = next(names).__name__
        print(f"not ok {name}: {row.broken}" if row.broken else f"ok {name}", flush=True)

    tools = {name: next(a for a in sys.argv[1:] if pathlib.Path(a).name == name) for name in TOOLS}
    rows, verified = play(tools, 4, FAULTS, tell)
    print("ok each_node_replays_its_chain" if len(verified) == 4 else "not ok each_node_replays_its_chain")
    return 1 if any(r.broken for r in rows) or len(verified) != 4 else 0


if __name__ == "__main__":
    sys.exit(main())
