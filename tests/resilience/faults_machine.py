"""What a machine does to a node: its clock is wrong, its disk is full, the socket to its engine breaks."""
import shutil

from machine import run

DISK_MIB = 256  # a tmpfs takes what is written; the chain so far must fit
CLOCK_MS = 30000
CLOCK_SECONDS = 20  # what validators measured is renewed every ten


def clocks(trial, numbers, ms, name):
    hurt = [trial.nodes[i] for i in numbers]
    majority = 3 * (len(trial.nodes) - len(hurt)) > 2 * len(trial.nodes)
    up = [n for n in trial.nodes if n not in hurt] if majority else trial.nodes

    def restart(**how):
        for node in hurt:
            trial.restart(node, **how)

    trial.fault(name, lambda: [n.arm() for n in hurt], lambda: [n.disarm() for n in hurt], up, hold=CLOCK_SECONDS,
                sign="clock|time |block",
                before=lambda: restart(clock_ms=ms), after=restart)


def ahead(trial, _):
    clocks(trial, [1], CLOCK_MS, "one clock 30 s ahead")


def behind(trial, _):
    clocks(trial, [2], -CLOCK_MS, "one clock 30 s behind")


def two_ahead(trial, _):
    clocks(trial, [2, 3], CLOCK_MS, f"two of {len(trial.nodes)} clocks 30 s ahead")


def disk_full(trial, _):
    """Its folder lies on a small file system, which something else fills."""
    node = trial.nodes[1]
    filler, aside = node.data / "filler", node.data.parent / f"{node.data.name}.aside"

    def before():
        node.kill()
        node.data.rename(aside)
        node.data.mkdir(0o700)
        run("mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "tmpfs", str(node.data))
        run("cp", "-a", "--sparse=always", f"{aside}/.", str(node.data))
        shutil.rmtree(aside)
        node.start()

    def begin():
        with open(filler, "wb", buffering=0) as out:
            try:
                while True:
                    out.write(b"x" * 65536)
            except OSError:
                pass

    def after():
        node.kill()
        shutil.rmtree(aside, ignore_errors=True)
        run("cp", "-a", "--sparse=always", str(node.data), str(aside))
        run("umount", str(node.data))
        node.data.rmdir()
        aside.rename(node.data)
        node.start()

    trial.fault("one disk full, then room again", begin, filler.unlink, [n for n in trial.nodes if n is not node], hold=10,
                before=before, after=after)


def socket_cut(trial, _):
    node = trial.nodes[0]
    trial.fault("ABCI socket cut at random bytes, again and again", lambda: trial.restart(node, cut=(20000, trial.cluster.seed)),
                lambda: trial.restart(node), [n for n in trial.nodes if n is not node], hold=12, sign="engine|log")
