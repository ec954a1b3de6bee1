"""Nodes that stop: killed, their engine killed, paused, begun anew with an empty disk."""
import os
import signal


def some(trial, f):
    return trial.nodes[-f:], trial.nodes[:-f]


def killed(trial, f):
    hurt, up = some(trial, f)
    trial.fault(f"{f} killed (kill -9), started again", lambda: [n.kill() for n in hurt], lambda: [n.start() for n in hurt], up)


def engine_killed(trial, f):
    node = trial.nodes[1]
    trial.fault("one engine killed (kill -9), its daemon lives", lambda: os.kill(node.engine(), signal.SIGKILL), None,
                [n for n in trial.nodes if n is not node])


def paused(trial, f):
    hurt, up = some(trial, f)
    trial.fault(f"{f} paused (SIGSTOP), resumed", lambda: [n.pause() for n in hurt], lambda: [n.resume() for n in hurt], up)


def emptied(trial, f):
    hurt, up = some(trial, f)

    def begin():
        for node in hurt:
            node.kill()
            node.wipe()
            trial.checks.forget(node)
            node.start()

    trial.fault(f"{f} restarted empty, keys kept", begin, None, up, hold=2)


def quorum_lost(trial, f):
    hurt, up = some(trial, f + 1)
    trial.fault(f"{f + 1} killed: too few are left", lambda: [n.kill() for n in hurt], lambda: [n.start() for n in hurt], up,
                quorum=False)


def all_killed(trial, _):
    trial.fault("all killed at once", lambda: [n.kill() for n in trial.nodes], lambda: [n.start() for n in trial.nodes], [],
                quorum=False, hold=1)
