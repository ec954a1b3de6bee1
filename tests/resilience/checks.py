"""What must hold after each fault: one chain on all nodes, nothing acknowledged lost, no money made or lost."""
import contextlib
import json
from decimal import Decimal

from machine import now, until
from node import NO_ANSWER, Refused

PAGE = 100
AGREE_SECONDS = 60


class Broken(Exception):
    """A guarantee does not hold."""


class Checks:
    """Remembers what was compared, so that each fault adds only its own blocks."""

    def __init__(self, nodes, load):
        self.nodes, self.load = list(nodes), load
        self.blocks = {}  # height: (hash, state root), as the first node that was asked had it
        self.compared, self.found = {}, {}  # by node's number: up to that height; digests

    def forget(self, node):
        """It was emptied: everything is to be looked at again."""
        self.compared.pop(node.number, None)
        self.found.pop(node.number, None)

    def all(self, nodes=None, seconds=AGREE_SECONDS, own_operations=True):
        """own_operations: nodes that have the whole chain; one that began with a snapshot knows nothing of before."""
        nodes = nodes or self.nodes
        height = max(n.height() for n in nodes)
        until(seconds, f"block {height} on all nodes", lambda: all(n.height() >= height for n in nodes))
        return {"blocks": sum(self.chain(n, height) for n in nodes), 
                "operations": sum(self.operations(n, seconds) for n in nodes) if own_operations else 0,
                "height": height, "supply": self.supply(nodes)}

    def chain(self, node, height):
        """Each block of one node, from the newest down to what was compared before."""
        low, cursor, count = self.compared.get(node.number, 0), None, 0
        with contextlib.closing(node.connection(30)) as connection:
            while True:
                try:
                    page = connection.ask("GET", f"/blocks?limit={PAGE}" + (f"&after={cursor}" if cursor else ""))
                except Refused as why:
                    if why.status == 404 and cursor:  # it began with a snapshot, and has none of before
                        break
                    raise
                for block in page["items"]:
                    if block["height"] <= low:
                        break
                    mine = (block["hash"], block["state_root"])
                    if self.blocks.setdefault(block["height"], mine) != mine:
                        raise Broken(f"block {block['height']} of {node.data.name} is {mine}, elsewhere it is "
                                     f"{self.blocks[block['height']]}")
                    count += 1
                cursor = page["next"]
                if not cursor or page["items"][-1]["height"] <= low:
                    break
        self.compared[node.number] = max(low, height)
        return count

    def operations(self, node, seconds):
        found = self.found.setdefault(node.number, set())
        with self.load.lock:
            wanted = [d for d in self.load.done if d.digest not in found]
        with contextlib.closing(node.connection(30)) as connection:
            for done in wanted:
                self.operation(connection, node, done, seconds)
                found.add(done.digest)
        return len(wanted)

    def operation(self, connection, node, done, seconds):
        end = now() + seconds
        while True:
            try:
                tx = connection.ask("GET", f"/txs/{done.digest}")
            except NO_ANSWER as why:
                if now() > end:
                    raise Broken(f"{done.digest}, acknowledged by node{done.node} in block {done.height}, is not on "
                                 f"{node.data.name}: {why}") from why
                connection.close()
                continue
            if tx["code"] != "ok" or tx["height"] != done.height:
                raise Broken(f"{done.digest}, acknowledged in block {done.height}, is {tx['code']} in block {tx['height']} on "
                             f"{node.data.name}")
            return

    def supply(self, nodes):
        for node in nodes:
            supply = {k: Decimal(v) for k, v in node.ask("GET", "/consensus/status")["supply"].items()}
            parts = sum(supply[f"hyper_{k}"] for k in ("burnt", "accounts", "bonded", "escrow", "deposits"))
            if parts != supply["hyper_genesis"]:
                raise Broken(f"{node.data.name}: the parts of all HYPER are {parts}, the genesis made {supply['hyper_genesis']}")
            self.shares(node)
        return str(supply["hyper_burnt"])

    def shares(self, node):
        """A block may come between two of the questions: then once more."""
        for _ in range(5):
            before = node.height()
            wrong = self.shares_wrong(node)
            if not wrong:
                return
            if node.height() == before:
                raise Broken(f"{node.data.name}: {wrong}")
        raise Broken(f"{node.data.name}: {wrong}")

    def shares_wrong(self, node):
        for validator in node.ask("GET", "/validators?limit=100")["items"]:
            listed = node.ask("GET", f"/validators/{validator['operator']}/delegations?limit=100")["items"]
            if sum(d["shares"] for d in listed) != validator["shares"]:
                return f"the delegations of {validator['operator']} have other shares than it has"
        return None


def verified(node, seconds=600):
    """The node replays its chain from the genesis; how many blocks."""
    lines = node.ask("POST", "/chain/verify", timeout=seconds).strip().splitlines()
    last = json.loads(lines[-1])
    if not last.get("ok"):
        raise Broken(f"{node.data.name} does not verify its own chain: {last}")
    return last
