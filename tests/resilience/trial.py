"""One fault after the other on one cluster: quiet, the fault, its end, the checks, a row of figures."""
import os
import statistics
import sys
import threading
import time
import traceback

from checks import Broken, Checks, verified
from load import Load
from machine import now
from watch import Watch

QUIET_SECONDS, QUIET_TIMES, QUIET_WAIT_SECONDS = 2, 2, 30
QUIET_OP_SECONDS, QUIET_OP_SLOW_SECONDS = 1, 2  # no operation takes longer; on a machine that is slow for half of the wait
HOLD_SECONDS = 4  # how long a fault lasts at least
GOAL_DETECT, GOAL_RECOVER = 1, 15  # seconds
KEEP_SECONDS = 1
LIMIT = 120  # seconds; beyond it the nodes are taken to have stopped for good


class Row:
    """What one fault came to. None: there is no such figure."""

    def __init__(self, name, quorum):
        self.name, self.quorum = name, quorum
        self.acts = 0
        self.before = self.detected = self.sign = self.seen = self.goes_on = self.whole = self.during = None
        self.note, self.broken, self.checked = "", None, {}

    def as_json(self):
        return {k: round(v, 3) if isinstance(v, float) else v for k, v in vars(self).items()}


class Trial:
    """As a context, around a cluster that runs."""

    def __init__(self, cluster, tell=None):
        self.cluster, self.tell = cluster, tell or (lambda row: None)
        self.nodes = cluster.nodes
        self.load, self.watch = Load(self.nodes), Watch(self.nodes)
        self.checks = Checks(self.nodes, self.load)
        self.rows, self.ending = [], threading.Event()
        self.restarts = 0
        self.keeper = threading.Thread(target=self.keep, daemon=True)

    def keep(self):
        """Starts daemons that have ended by themselves again, as a service manager does."""
        while not self.ending.wait(KEEP_SECONDS):
            for node in self.nodes:
                if node.wanted and node.ended():
                    self.restarts += 1
                    node.start(**node.how)

    def __enter__(self):
        self.load.__enter__()
        self.watch.__enter__()
        self.keeper.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.keeper.join()
        self.watch.__exit__()
        self.load.__exit__()

    def quiet(self):
        """Waits until all nodes act as they should; what shows then is no sign. The usual time of an operation."""
        end = now() + QUIET_WAIT_SECONDS
        calm = 0
        while True:
            self.watch.forget()
            began = now()
            time.sleep(QUIET_SECONDS)
            took = [d.took for d in self.load.since(began)]
            limit = QUIET_OP_SECONDS if end - began > QUIET_WAIT_SECONDS / 2 else QUIET_OP_SLOW_SECONDS
            well = all(self.load.since(began, [n]) for n in self.nodes) and max(took, default=99) < limit
            calm = calm + 1 if well and all(n.ready() for n in self.nodes) else 0
            if calm == QUIET_TIMES:  # the first may have seen the end of what was before
                self.watch.forget(usual=True)
                return statistics.median(took)
            if now() > end:
                silent = [n.data.name for n in self.nodes if not self.load.since(began, [n])]
                lacking = [f"{n.data.name}: {(n.status() or {}).get('not_ready')}" for n in self.nodes if not n.ready()]
                raise TimeoutError(f"not calm {QUIET_WAIT_SECONDS} s after the fault before: not ready {lacking}, nothing done through "
                                   f"{silent}, {self.load.failed} failed: {self.load.why}; operations take {sorted(took)[-3:]} s")

    def fault(self, name, begin, end, up=None, quorum=True, hold=None, sign=None, shows=None, note="", before=None,
              after=None, liars=(), wrong=lambda act: True):
        """before(), quiet, begin(), `hold` seconds, end() (None: it ends by itself, and is whole again counted from its
        beginning), the checks, after(). up: the nodes that should go on (all that are not hurt). quorum: more than two thirds of
        the power is there. sign: only what fits this pattern counts as seen. shows(): must be true before the end. liars:
        nodes whose own words do not count. wrong(act): is what a lying node did one of the wrong answers that count?"""
        row = Row(name, quorum)
        up = self.nodes if up is None else up
        try:
            if before:
                before()
            row.before = self.quiet()
            self.restarts, start = 0, now()
            begin()
            there = now()  # a fault of several nodes does not come at one moment
            self.hold(row, start, there, up, HOLD_SECONDS if hold is None else hold, shows)
            ended = start if end is None else now()
            if end is not None:
                end()
            row.whole = self.load.everywhere(ended, self.nodes, LIMIT)
            self.see(row, start, sign, {n.number for n in liars}, wrong)
            if os.environ.get("HM_RESILIENCE_SIGNS"):
                self.tell_signs(start)
            row.checked = self.checks.all()
            row.note = self.notes(row, note)
            if after:
                after()
        except Exception as why:  # each fault stands for itself
            row.broken = f"{type(why).__name__}: {str(why).splitlines()[0] if str(why) else ''}"
            traceback.print_exc(file=sys.stderr)
            self.mend()
        self.rows.append(row)
        self.tell(row)
        return row

    def hold(self, row, start, there, up, hold, shows):
        if row.quorum:
            row.goes_on = self.load.everywhere(start, up, LIMIT, through=up)
        while now() - start < hold or (shows and not shows() and now() - start < LIMIT):
            time.sleep(0.05)
        if shows and not shows():
            raise TimeoutError(f"the fault did not show within {LIMIT} s")
        took = [d.took for d in self.load.since(start if row.quorum else there, up or None)]
        row.during = statistics.median(took) if took and row.quorum else None
        if not row.quorum and took:
            raise Broken(f"{len(took)} operations were acknowledged without two thirds of the power")

    def see(self, row, start, sign, liars, wrong):
        """From the first thing a lying node did wrong, where its log says so in time; else from the fault's beginning."""
        acts = [act.at for act in self.watch.acts if act.at >= start and wrong(act)]
        row.acts = len(acts)
        seen = self.watch.first(start, sign, liars)
        if seen:
            began = min((at for at in acts if at < seen.at), default=start)
            row.detected, row.sign, row.seen = seen.at - began, seen.name, seen.node

    def notes(self, row, note):
        parts = [note() if callable(note) else note]
        if row.acts:
            parts.append(f"at least {row.acts} wrong answers")
        if self.restarts:
            parts.append(f"{self.restarts} daemons ended and were started again")
        return "; ".join(filter(None, parts))

    def tell_signs(self, start):
        for seen in sorted(self.watch.signs.values(), key=lambda s: s.at):
            print(f"    {seen.at - start:.2f} node{seen.node} {seen.name}: {seen.text[:100]}", file=sys.stderr)

    def mend(self):
        """All nodes anew, without any fault, so that the next one has its chance."""
        self.tell_signs(0)
        for node in self.nodes:
            print(f"--- {node.data.name}\n" + "\n".join(node.log().splitlines()[-8:]), file=sys.stderr)
        self.cluster.say("clear")
        self.cluster.drop_spare()
        for node in self.nodes:
            node.disarm()
        for node in self.nodes:
            node.kill()
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_ready(LIMIT)

    def restart(self, node, **how):
        """As a service manager would: at once."""
        node.kill()
        node.start(**how)

    def verify(self):
        self.quiet()
        return [verified(n)["blocks"] for n in self.nodes]
