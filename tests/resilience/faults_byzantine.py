"""A validator that lies: abci_script stands between its real daemon and its engine and changes answers while it is armed."""
import re

import address
from node import Refused

JOINS_MAX = 8


def twisted(trial, name, number, rules, hold=6, sign=None, **more):
    node = trial.nodes[number]
    up = [n for n in trial.nodes if n is not node]
    trial.fault(name, node.arm, node.disarm, up, hold=hold, sign=sign, before=lambda: trial.restart(node, rules=rules),
                after=lambda: trial.restart(node), liars=[node], **more)


def proposes_invalid(trial, _):
    # Its own engine is told that they are good, so that it votes for them.
    twisted(trial, "one proposes invalid blocks", 0, ["prepare=garbage", "process=accept"])


def votes_nil(trial, _):
    twisted(trial, "one votes nil for ever", 1, ["process=reject"])


def extends_wrongly(trial, _):
    twisted(trial, "one sends vote extensions that are none (33 bytes)", 2, ["extend=wrong"])


def extends_too_much(trial, _):
    twisted(trial, "one sends vote extensions that are too large (100 kB)", 2, ["extend=big"])


def refuses_extensions(trial, _):
    twisted(trial, "one refuses all vote extensions", 2, ["verify=reject"])


def another_state(trial, _):
    """Its engine puts the wrong hash down as its own state, so its data must go before it is of use again."""
    node = trial.nodes[1]

    def end():
        node.disarm()
        node.kill()
        node.wipe()
        trial.checks.forget(node)
        node.start()

    trial.fault("one computes another state (then begins empty)", node.arm, end, [n for n in trial.nodes if n is not node], hold=6,
                before=lambda: trial.restart(node, rules=["finalize=wronghash"]), after=lambda: trial.restart(node), liars=[node])


def lies_in_snapshots(trial, _):
    """A node joins with a snapshot, until the liar was asked for a piece of it."""
    liar = trial.nodes[1]
    servers = ",".join(f"unix://{trial.nodes[i].data}/rpc.sock" for i in (0, 2))
    joins = []

    def join():
        trial.cluster.drop_spare()
        node = trial.cluster.make_spare("--state-sync", servers)
        for account in ("account", "user"):  # a node acts at its start, and pays for that
            trial.nodes[0].ask("POST", "/accounts/user/transfer", {"to": address.account(node.made[account]), "amount": "200"})
        trial.watch.add(node)
        node.start()
        joins.append(node)

    def begin():
        liar.arm()
        join()

    def shows():
        node = joins[-1]
        if node.ended():
            raise RuntimeError(f"the node that joins has ended: {node.log()[-500:]}")
        if not node.ready():
            return False
        if any("is not taken" in n.log() for n in joins):
            return True
        if len(joins) < JOINS_MAX:
            join()
        return False

    def end():
        liar.disarm()
        trial.checks.all([joins[-1], *trial.nodes], own_operations=False)

    def after():
        trial.cluster.drop_spare()
        trial.restart(liar)

    trial.fault("one lies in snapshots while a node joins", begin, end, [n for n in trial.nodes if n is not liar],
                before=lambda: trial.restart(liar, rules=["load=lie"]), after=after, shows=shows, liars=[liar], sign="is not taken",
                note=lambda: f"the node that joined took the piece from another, at join {len(joins)}")


def signs_twice(trial, _):
    """Two processes with one key: the twin refuses what the other one's application accepts, so they vote differently."""
    node = trial.nodes[-1]
    operator, twins = [], []

    def before():
        node.kill()
        twins.append(trial.cluster.make_twin(node))
        node.start()

    def undecided(act):
        """At first the twin votes on heights that the others have decided long ago: nobody takes these votes. The next block's time
        is when it was proposed."""
        height = int(re.search(r"process_proposal (\d+): reject", act.text)[1])
        try:
            following = trial.nodes[0].ask("GET", f"/blocks/{height + 1}")
        except Refused:
            return True
        return act.wall * 1000 <= following["time_ms"]

    def begin():
        twin = trial.cluster.spare
        trial.watch.add(twin)
        twin.arm()
        twin.start(rules=["process=reject"])  # not before it has all blocks; its log tells when it is first asked

    def slashed():
        """The validator that is out, as each node has it."""
        return [[v for v in n.ask("GET", "/validators")["items"] if v["tombstoned"]] for n in trial.nodes]

    def shows():
        found = slashed()
        if not all(len(each) == 1 for each in found):
            return False
        if len({(v["operator"], v["slashed"], v["stake"]) for (v,) in found}) != 1:
            raise RuntimeError(f"the nodes do not agree about who was slashed: {found}")
        operator.append(found[0][0])
        return True

    def end():
        trial.cluster.spare.disarm()
        trial.cluster.drop_spare()

    trial.fault("one signs twice (two processes, one key)", begin, end, trial.nodes[:-1], before=before, shows=shows,
                sign="conflicting votes from validator|evidence|out for good", liars=twins, wrong=undecided,
                note=lambda: f"{operator[-1]['slashed']} of 2000 HYPER slashed, out for good on all nodes")
