"""Clients that act through several nodes at once, and remember each operation that a node said is done."""
import contextlib
import threading
import time

from machine import now
from node import NO_ANSWER

OP_SECONDS = 90  # what a client waits for an answer
AGAIN_SECONDS = 0.1  # after one that was refused


class Done:
    """An acknowledged operation."""

    def __init__(self, node, digest, height, began, ended):
        self.node, self.digest, self.height, self.began, self.ended = node, digest, height, began, ended

    @property
    def took(self):
        return self.ended - self.began


class Load:
    """As a context: a thread for each node, one operation after the other; payments and keys in turns."""

    def __init__(self, nodes):
        self.nodes, self.done, self.failed, self.why = nodes, [], 0, None
        self.lock, self.ending = threading.Lock(), threading.Event()
        self.payee = next(a["id"] for a in nodes[-1].ask("GET", "/accounts")["items"] if a["name"] == "user")
        self.threads = [threading.Thread(target=self.run, args=(n,), daemon=True) for n in nodes]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join(OP_SECONDS + 10)

    def run(self, node):
        connection, number = None, 0
        while not self.ending.is_set():
            began = now()
            try:
                connection = connection or node.connection(OP_SECONDS)
                digest, height = self.one(connection, node, number)
            except NO_ANSWER as why:
                with contextlib.suppress(AttributeError):
                    connection.close()
                connection = None
                with self.lock:
                    self.failed, self.why = self.failed + 1, f"{node.data.name}: {why}"
                self.ending.wait(AGAIN_SECONDS)
                continue
            number += 1
            with self.lock:
                self.done.append(Done(node.number, digest, height, began, now()))

    def one(self, connection, node, number):
        if number % 2:
            answer = connection.ask("PUT", f"/kv/resilience-{node.number}-{number % 50}", {"value": str(number)})["receipt"]
        else:
            answer = connection.ask("POST", "/accounts/user/transfer", {"to": self.payee, "amount": "0.000001"})
        return answer["tx"], answer["height"]

    def since(self, began, nodes=None):
        """Acknowledged operations that were begun after that, the first acknowledged first."""
        numbers = None if nodes is None else {n.number for n in nodes}
        with self.lock:
            return sorted((d for d in self.done if d.began >= began and (numbers is None or d.node in numbers)),
                          key=lambda d: d.ended)

    def everywhere(self, since, nodes, seconds, through=None):
        """How long after `since` an operation given to one of `through` after it is in a block on all of `nodes`."""
        waiting, chosen = {n.number: n for n in nodes}, None
        while waiting:
            if now() - since > seconds:
                lacking = ", ".join(f"node{n}" for n in waiting)
                raise TimeoutError(f"no operation of after the fault is on {lacking} within {seconds} s"
                                   if chosen else f"no operation was acknowledged within {seconds} s")
            if chosen is None:
                chosen = next(iter(self.since(since, through)), None)
            if chosen is not None:
                for number, node in list(waiting.items()):
                    with contextlib.suppress(*NO_ANSWER):
                        if node.ask("GET", f"/txs/{chosen.digest}", timeout=2)["code"] == "ok":
                            del waiting[number]
            time.sleep(0.02)
        return now() - since
