"""What the nodes themselves show of a fault, and when: their status, their metrics, and their logs, read all the time as a
monitor would read them. A sign that also shows while nothing is wrong is not counted."""
import contextlib
import datetime
import re
import threading
import time

from machine import now
from node import NO_ANSWER

STATUS_SECONDS, METRICS_SECONDS = 0.1, 0.2
MISSED_BLOCKS = 3  # in a row, by one validator
LATE_MIN_MS = 600  # something waits, and the newest block is as old
TRAILING = 300  # characters of a log line that are kept
POOL_MANY = 200  # transactions that wait in an engine
REFUSED_MANY = 20  # transactions, since it began: more than come from two peers now and then
METRIC = re.compile(r"^(hypermesh_(?:engine_)?(?:consensus_(?:byzantine_validators|rounds|proposal_receive_count)"
                    r"|mempool_failed_txs|mempool_size)(?:\{[^}]*\})?) ([0-9.e+-]+)$", re.M)
LOG_LINE = re.compile(r"^(\S+)Z (warn |error|info ) (.*)$")
ACT = re.compile(r"cometbft: (?:[a-z]+_[a-z_]+ \d+: [a-z]+|cut after)")  # what abci_script and unixcut say of themselves
CLOCK_SECONDS = 2  # a log's time that is further off is of a node whose clock is wrong


class Act:
    def __init__(self, at, wall, text):
        self.at, self.wall, self.text = at, wall, text  # wall: seconds since 1970, as the log says


class Sign:
    def __init__(self, name, node, at, text):
        self.name, self.node, self.at, self.text = name, node, at, text


class Watch:
    """As a context: threads that look. signs: the first of each kind and node since the last `forget`."""

    def __init__(self, nodes):
        self.nodes, self.signs, self.usual = nodes, {}, set()
        self.lock, self.ending = threading.Lock(), threading.Event()
        self.before = {}  # a node's figures when `forget` was called, or its first since
        self.newest, self.missed = {}, {}
        self.pool = 0  # most transactions that waited in one engine since `forget`
        self.acts = []  # when a lying node lied
        self.log_at = {n.number: n.log_size() for n in nodes}
        self.threads = [threading.Thread(target=run, args=(n,), daemon=True)
                        for n in nodes for run in (self.run_status, self.run_metrics, self.run_validators, self.run_log)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join(20)

    def forget(self, usual=False):
        """Begins anew. usual: what has shown until now is no sign of anything."""
        with self.lock:
            if usual:
                self.usual = {name for name, _ in self.signs}
            self.signs, self.before, self.acts = {}, dict(self.newest), []
            self.pool = 0

    def add(self, node):
        """One more, of which only the log is read."""
        self.log_at[node.number] = node.log_size()
        threading.Thread(target=self.run_log, args=(node,), daemon=True).start()

    def sign(self, name, node, text="", at=None):
        with self.lock:
            self.signs.setdefault((name, node.number), Sign(name, node.number, at or now(), text[:TRAILING]))

    def first(self, since, only=None, liars=()):
        """The first sign that is none of the usual ones; only: a pattern of names; what liars say of themselves does not count.
        Two kinds count only where they are asked for: transactions are refused now and then when nothing is wrong (the same one
        comes from two peers), and the engine tells of peers that it asks no more."""
        only = only or "^(?!(?:many )?transactions are refused|log: cometbft: blocksync: SendTimeout)"
        with self.lock:
            found = [s for (name, number), s in self.signs.items()
                     if s.at >= since and name not in self.usual and number not in liars
                     and re.search(only, name + ": " + s.text)]
        return min(found, key=lambda s: s.at, default=None)

    # --- what is looked at

    def run_status(self, node):
        while not self.ending.wait(STATUS_SECONDS):
            if node.process is None:
                continue
            status = node.status(timeout=2)
            if status is None:
                self.sign("the node does not answer", node)
            elif status["cluster"]:
                self.read_status(node, status, status["cluster"])

    def changed(self, node, name, value):
        """The figure of before, and whether it is another one now."""
        with self.lock:
            self.newest[node.number, name] = value
            return self.before.setdefault((node.number, name), value)

    def read_status(self, node, status, cluster):
        if cluster["peers"] < self.changed(node, "peers", cluster["peers"]):
            self.sign("fewer peers", node, f"{cluster['peers']} peers")
        if cluster["starts"] > self.changed(node, "starts", cluster["starts"]):
            self.sign("the engine was started again", node)
        if cluster["pending"] > 0 and cluster["block_age_ms"] > LATE_MIN_MS:
            self.sign("no block though something waits", node, f"newest block is {cluster['block_age_ms']} ms old")
        if not cluster["reachable"]:
            self.sign("the engine does not answer", node)
        if not status["ready"]:
            self.sign("not ready", node, status["not_ready"] or "")

    def run_metrics(self, node):
        while not self.ending.wait(METRICS_SECONDS):
            if node.process is None:
                continue
            with contextlib.suppress(*NO_ANSWER):
                for name, value in METRIC.findall(node.ask("GET", "/metrics", timeout=2)):
                    self.read_metric(node, name, float(value))

    def read_metric(self, node, name, value):
        before = self.changed(node, name, value)
        if "byzantine_validators" in name and value > 0:
            self.sign("evidence of a fault is in a block", node, f"{value:.0f}")
        if "consensus_rounds" in name and value > 0:
            self.sign("a block takes a second round", node, f"round {value:.0f}")
        if "mempool_size" in name:
            with self.lock:
                self.pool = max(self.pool, int(value))
            if value > POOL_MANY:
                self.sign("many transactions wait", node, f"{value:.0f}")
        if "failed_txs" in name and value > before:
            self.sign("transactions are refused", node, f"{value - before:.0f}")
        if "failed_txs" in name and value - before > REFUSED_MANY:
            self.sign("many transactions are refused", node, f"{value - before:.0f}")
        if 'status="rejected"' in name and value > before:
            self.sign("a proposal is refused", node, f"{value - before:.0f}")

    def run_validators(self, node):
        while not self.ending.wait(METRICS_SECONDS):
            if node.process is None:
                continue
            with contextlib.suppress(*NO_ANSWER):
                for validator in node.ask("GET", "/validators?limit=100", timeout=2)["items"]:
                    self.read_validator(node, validator)
                for seen in node.ask("GET", "/cluster/witness", timeout=2)["nodes"]:
                    for doubt in seen["doubts"]:
                        self.sign(f"the validators doubt a node's {doubt}", node)

    def read_validator(self, node, validator):
        """The ledger counts who did not sign; one that is merely slow signs now and then."""
        key = (node.number, validator["operator"])
        blocks, missed = validator["window_blocks"], validator["window_missed"]
        was = self.missed.setdefault(key, (blocks, missed))
        if blocks - was[0] != missed - was[1]:
            self.missed[key] = (blocks, missed)
        elif blocks - was[0] >= MISSED_BLOCKS:
            self.sign("a validator signs no blocks", node, f"{blocks - was[0]} in a row, {validator['operator'][:12]}")
        if validator["tombstoned"]:
            self.sign("a validator is out for good", node, f"slashed {validator['slashed']}")

    def run_log(self, node):
        rest = ""
        while not self.ending.wait(STATUS_SECONDS):
            with contextlib.suppress(OSError):
                text = rest + node.log_since(self.log_at[node.number])
                self.log_at[node.number] = node.log_size()
                *lines, rest = text.split("\n")
                for line in filter(None, map(LOG_LINE.match, lines)):
                    self.read_line(node, *line.groups())

    def read_line(self, node, when, level, text):
        wall = datetime.datetime.fromisoformat(when + "+00:00").timestamp()
        at = now() - (time.time() - wall)
        at = at if abs(now() - at) < CLOCK_SECONDS else now()
        if ACT.search(text):
            with self.lock:
                self.acts.append(Act(at, wall, text))
        elif level != "info ":
            self.sign(f"log: {shape(text)}", node, text, at)


def shape(line):
    """A log line without what differs from one time to the next."""
    return re.sub(r"[0-9a-fA-F]{8,}|\d+", "#", line)[:120]
