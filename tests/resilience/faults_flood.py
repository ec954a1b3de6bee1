"""A validator that floods the others with transactions."""
import base64
import contextlib
import os
import shutil
import threading

from load import OP_SECONDS
from machine import now, run, until
from node import NO_ANSWER, Connection

FORGED = 4000
CLIENTS = 16
SHARE_SECONDS = 150
MALFORMED_BYTES = (10, 300, 20000)


class Flood:
    """Threads that call send() again and again; counts."""

    def __init__(self, send, threads):
        self.send, self.sent, self.ending = send, 0, threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(threads)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(OP_SECONDS)

    def run(self, number):
        while not self.ending.is_set():
            with contextlib.suppress(*NO_ANSWER):
                with contextlib.closing(self.send(number)) as sends:
                    for _ in sends:
                        self.sent += 1
                        if self.ending.is_set():
                            return


def broadcasts(node, texts):
    """Hands transactions to the node's engine, past its daemon, one after the other on one connection."""
    with contextlib.closing(Connection(node.data / "rpc.sock", 10)) as connection:
        for text in texts:
            yield connection.ask("POST", "/", {"jsonrpc": "2.0", "id": 1, "method": "broadcast_tx_async",
                                               "params": {"tx": text}})


def malformed():
    while True:
        for size in MALFORMED_BYTES:
            yield base64.b64encode(os.urandom(size)).decode()


def forged(trial, node, kind):
    """Batches of one payment each, sealed with the node's own keys."""
    keys = trial.cluster.folder / "flood-keys"
    shutil.rmtree(keys, ignore_errors=True)
    shutil.copytree(node.data / "keys", keys)
    keys.chmod(0o700)
    newest = trial.nodes[0].ask("GET", "/blocks/latest")
    return run(trial.cluster.tools["batch_forge"], str(keys), trial.cluster.chain_id, str(newest["height"]), newest["hash"],
               str(FORGED), kind).split()


def flood(trial, name, send, threads=1, accepts=True, hold=8):
    """accepts: the flooder's own application lets everything into its pool."""
    node = trial.nodes[-1]
    running = []

    def begin():
        running.append(Flood(send, threads))
        node.arm()
        running[0].start()

    def end():
        running[0].stop()
        node.disarm()

    def before():
        if accepts:
            trial.restart(node, rules=["check=accept"])

    def after():
        """What it sealed waits in the others' pools until its time is over, and as long as its share is used up it gets no more."""
        if not accepts:
            return
        trial.restart(node)
        began = now()
        until(SHARE_SECONDS, "the flooder's own operations are taken again", lambda: trial.load.since(began, [node]))

    trial.fault(name, begin, end, trial.nodes[:-1], hold=hold, sign="refused|second round|wait", liars=[node] if accepts else [],
                before=before, after=after,
                note=lambda: f"{running[0].sent} sent, at most {trial.watch.pool} waited in one engine")


def of_garbage(trial, _):
    node = trial.nodes[-1]
    flood(trial, "one floods bytes that are no transactions", lambda _: broadcasts(node, malformed()))


def of_forged(trial, _):
    node = trial.nodes[-1]
    flood(trial, "one floods batches with wrong signatures", lambda _: broadcasts(node, forged(trial, node, "forged")))


def of_unpaid(trial, _):
    node = trial.nodes[-1]
    flood(trial, "one floods well signed batches that nobody pays for", lambda _: broadcasts(node, forged(trial, node, "unpaid")))


def of_valid(trial, _):
    node = trial.nodes[-1]

    def payments(_):
        with contextlib.closing(node.connection(OP_SECONDS)) as connection:
            while True:
                yield connection.ask("POST", "/accounts/user/transfer", {"to": trial.load.payee, "amount": "0.000001"})

    flood(trial, f"one floods payments at full rate ({CLIENTS} clients)", payments, CLIENTS, accepts=False)
