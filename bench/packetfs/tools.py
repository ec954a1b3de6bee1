"""packetfs and its peers, each with the same few verbs. What a run costs is taken from the kernel: wall time, processor time of the
process and its children, the largest resident size of one of them."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import building


class Cost:
    def __init__(self, wall, cpu, peak, out):
        self.wall, self.cpu, self.peak, self.out = wall, cpu, peak, out


class Late(RuntimeError):
    """The time for this is over."""


class Missing(RuntimeError):
    """This peer cannot be had here."""


limit = {"end": None}  # time.monotonic() at which what runs is ended


def left():
    return max(0.0, limit["end"] - time.monotonic()) if limit["end"] is not None else None


def end_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(command, env=None, cwd=None, stdin=None, okay=(0,)):
    """Cost of a command, which ends with the time it may take. It has a group of its own, so that what it starts ends, too."""
    if left() == 0:
        raise Late("no time left")
    began = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], env={**os.environ, **(env or {})}, cwd=cwd, stdin=stdin or subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    errors = []
    pump = threading.Thread(target=lambda: errors.append(process.stderr.read()))
    pump.start()
    timer = threading.Timer(left() or 0, end_group, (process,)) if limit["end"] is not None else None
    if timer:
        timer.start()
    try:
        data = process.stdout.read()
        pump.join()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
    except BaseException:  # ^C does not reach the group
        end_group(process)
        raise
    finally:
        if timer:
            timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    process.stderr.close()
    if process.returncode not in okay:
        if process.returncode == -signal.SIGKILL and left() == 0:
            raise Late(f"ended after {wall:.0f} s: the time for this data is over")
        said = errors[0].decode(errors="replace").strip().splitlines()
        raise RuntimeError(f"{' '.join(map(str, command))[:160]} ended with {process.returncode}: {said[-1][:160] if said else ''}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, data)


def size_of(folder):
    return sum(p.lstat().st_size for p in pathlib.Path(folder).rglob("*") if p.is_file())


class Packetfs:
    protections = "sealed, padded; cut by a keyed hash (fast: by a gear table of the volume's)"

    def __init__(self, work, threads=0, chunker="keyed"):
        self.name = "packetfs" + (" 1 thread" if threads == 1 else "") + (" fast" if chunker == "fast" else "")
        self.driver = pathlib.Path(os.environ["HM_BIN"]) / "tests/integration/packetfs/packetfs_driver"
        self.repo, self.threads, self.stages = work / "volume", str(threads), []
        self.env = {"PACKETFS_KEY_DIR": str(work / "keys"), "XDG_CACHE_HOME": str(work / "cache")}
        run([self.driver, "create", self.repo] + (["fast"] if chunker == "fast" else []), self.env)

    def put(self, tag, folder):
        cost = run([self.driver, "put", self.repo, tag, "-c", "-j", self.threads, folder], self.env)
        self.stages.append(json.loads(cost.out))
        return cost

    def get(self, tag, target):
        return run([self.driver, "get", self.repo, tag, target, "-j", self.threads], self.env)

    def forget_and_prune(self, tag):
        run([self.driver, "rm", self.repo, tag], self.env)
        return run([self.driver, "prune", self.repo], self.env)

    def check(self):
        return run([self.driver, "check", self.repo, "full"], self.env)


class Restic:
    name, protections = "restic", "sealed; cut by a keyed Rabin polynomial"

    def __init__(self, work):
        self.repo, self.program = work / "restic", unpacked("restic")
        self.env = {"RESTIC_PASSWORD": "x", "RESTIC_REPOSITORY": str(self.repo), "RESTIC_CACHE_DIR": str(work / "cache"),
                    "RESTIC_COMPRESSION": "auto", "HOME": str(work)}
        run([self.program, "init", "--repository-version", "2"], self.env)

    def put(self, tag, folder):
        return run([self.program, "backup", "-q", "--tag", tag, "."], self.env, cwd=folder)

    def get(self, tag, target):
        return run([self.program, "restore", "-q", "latest", "--tag", tag, "--target", target], self.env)

    def forget_and_prune(self, tag):
        listed = json.loads(run([self.program, "snapshots", "--json", "--tag", tag], self.env).out)
        return run([self.program, "forget", "-q", "--prune", "--max-unused", "0", listed[-1]["id"]], self.env)

    def check(self):
        return run([self.program, "check", "-q", "--read-data"], self.env)


class Borg:
    protections = "sealed; cut by a seeded buzhash"

    def __init__(self, work, compression="lz4"):  # its default
        self.repo, self.compression = work / "borg", compression
        self.name, self.program = f"borg {compression}", unpacked("borg")
        self.env = {"BORG_PASSPHRASE": "x", "PYTHONPATH": str(peers() / "python"), "BORG_BASE_DIR": str(work),
                    "BORG_REPO": str(self.repo), "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"}
        self.call("init", "-e", "repokey-blake2", self.repo)

    def call(self, *args, **options):
        return run(["/usr/bin/python3", self.program, *args], self.env, **options)

    def put(self, tag, folder):
        return self.call("create", "-C", self.compression, f"::{tag}", ".", cwd=folder)

    def get(self, tag, target):
        target.mkdir(parents=True, exist_ok=True)
        return self.call("extract", f"::{tag}", cwd=target)

    def forget_and_prune(self, tag):
        first = self.call("delete", f"::{tag}")
        second = self.call("compact", "--threshold", "0")
        return Cost(first.wall + second.wall, first.cpu + second.cpu, max(first.peak, second.peak), b"")

    def check(self):
        return self.call("check", "--verify-data")


class Casync:
    name, protections = "casync", "nothing is sealed"

    def __init__(self, work):
        self.repo, self.program = work / "casync", unpacked("casync")
        self.repo.mkdir()
        self.env = {"LD_LIBRARY_PATH": str(peers() / "lib")}

    def put(self, tag, folder):
        index = self.repo / f"{tag}.caidx"
        return run([self.program, "make", f"--store={self.repo}/store", index, folder], self.env)

    def get(self, tag, target):
        target.mkdir(parents=True, exist_ok=True)
        return run([self.program, "extract", f"--store={self.repo}/store", self.repo / f"{tag}.caidx", target], self.env)

    def forget_and_prune(self, tag):
        (self.repo / f"{tag}.caidx").unlink()
        return run([self.program, "gc", f"--store={self.repo}/store", *self.repo.glob("*.caidx")], self.env)

    check = None


class Kopia:
    name, protections = "kopia zstd", "sealed; cut by a buzhash that everybody knows"

    def __init__(self, work):
        self.program = built("kopia")
        self.repo, self.ids = work / "kopia", {}
        self.env = {"HOME": str(work), "KOPIA_PASSWORD": "x", "KOPIA_CONFIG_PATH": str(work / "kopia.config"), "KOPIA_CHECK_FOR_UPDATES": "false",
                    "KOPIA_CACHE_DIRECTORY": str(work / "kopia-cache"), "KOPIA_LOG_DIR": str(work / "kopia-log")}
        self.call("repository", "create", "filesystem", "--path", self.repo)
        self.call("policy", "set", "--global", "--compression=zstd")  # by itself it compresses nothing

    def call(self, *args):
        return run([self.program, "--no-use-keyring", "--no-auto-maintenance", *args], self.env)

    def put(self, tag, folder):
        cost = self.call("snapshot", "create", "--no-progress", "--json", folder)
        self.ids[tag] = json.loads(cost.out)["id"]
        return cost

    def get(self, tag, target):
        return self.call("restore", "--no-progress", self.ids[tag], target)

    def forget_and_prune(self, tag):
        self.call("snapshot", "delete", self.ids[tag], "--delete")
        return self.call("maintenance", "run", "--full", "--safety=none")

    def check(self):
        return self.call("snapshot", "verify", "--verify-files-percent=100")


class Desync:
    name, protections = "desync", "nothing is sealed"

    def __init__(self, work):
        self.program = built("desync")
        self.repo = work / "desync"
        (self.repo / "store").mkdir(parents=True)

    def put(self, tag, folder):
        return run([self.program, "tar", "-i", "-s", self.repo / "store", self.repo / f"{tag}.caidx", folder])

    def get(self, tag, target):
        target.mkdir(parents=True, exist_ok=True)
        return run([self.program, "untar", "-i", "-s", self.repo / "store", self.repo / f"{tag}.caidx", target])

    def forget_and_prune(self, tag):
        (self.repo / f"{tag}.caidx").unlink()
        return run([self.program, "prune", "-y", "-s", self.repo / "store", *sorted(self.repo.glob("*.caidx"))])

    def check(self):
        return run([self.program, "verify", "-s", self.repo / "store"])


class TarZstd:
    name, protections = "tar | zstd -3", "nothing is sealed, nothing shared between versions"

    def __init__(self, work):
        self.repo = work / "tar"
        self.repo.mkdir()

    def put(self, tag, folder):
        return run(["sh", "-c", f"tar -C '{folder}' -c . | zstd -q -3 -T0 -o '{self.repo}/{tag}.tar.zst' && sync -f '{self.repo}'"])

    def get(self, tag, target):
        target.mkdir(parents=True, exist_ok=True)
        return run(["sh", "-c", f"zstd -q -d -c '{self.repo}/{tag}.tar.zst' | tar -C '{target}' -x"])

    forget_and_prune = check = None


class Rsync:
    name, protections = "rsync", "a copy; nothing is sealed; only the last version is there"

    def __init__(self, work):
        self.repo, self.wire = work / "rsync", []  # wire: what its two ends sent each other
        self.repo.mkdir()

    def put(self, tag, folder):
        cost = run(["rsync", "-a", "--delete", "--no-whole-file", "--inplace", "--stats", f"{folder}/", self.repo / "last"])
        self.wire.append(sum(int(line.split(b":")[1].replace(b",", b"")) for line in cost.out.splitlines()
                             if line.startswith((b"Total bytes sent:", b"Total bytes received:"))))
        return cost

    def get(self, tag, target):
        return run(["rsync", "-a", f"{self.repo}/last/", target])

    forget_and_prune = check = None


def unpacked(name):
    """A program of a Debian package, where scripts/setup --bench packetfs has put it."""
    program = peers() / name
    if not program.exists():
        raise Missing("scripts/setup --bench packetfs could not unpack it")
    return program


def built(name):
    program, reason = building.find(name)
    if program is None:
        raise Missing(reason)
    return program


def peers():
    return pathlib.Path(os.environ["HM_SOURCE"]) / ".deps" / "bench" / "packetfs"


def patch_from(before, after, out):
    """zstd --patch-from of one file: what a change costs where the receiver has the file before."""
    if shutil.which("zstd") is None:
        return None
    return run(["zstd", "-q", "-f", "-3", "--long=30", f"--patch-from={before}", after, "-o", out])
