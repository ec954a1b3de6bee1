"""packetfs and its peers, each with the same few verbs. What a run costs is taken from the kernel: wall time, processor time of the
process and its children, the largest resident size of one of them."""
import json
import os
import pathlib
import shutil
import subprocess
import time


class Cost:
    def __init__(self, wall, cpu, peak, out):
        self.wall, self.cpu, self.peak, self.out = wall, cpu, peak, out


def run(command, env=None, cwd=None, stdin=None, okay=(0,), stdout=None):
    began = time.monotonic()
    out = open(stdout, "wb") if stdout else subprocess.PIPE
    process = subprocess.Popen([str(part) for part in command], env={**os.environ, **(env or {})}, cwd=cwd, stdin=stdin,
                               stdout=out, stderr=subprocess.PIPE if not stdout else subprocess.DEVNULL)
    data = b""
    if not stdout:
        data, errors = b"", b""
        import threading
        pump = threading.Thread(target=lambda: process.stderr.read())
        pump.start()
        data = process.stdout.read()
        pump.join()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in okay:
        raise RuntimeError(f"{' '.join(map(str, command))[:200]} ended with {process.returncode}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, data)


def size_of(folder):
    return sum(p.lstat().st_size for p in pathlib.Path(folder).rglob("*") if p.is_file())


class Packetfs:
    protections = "sealed, padded, cut by a keyed hash"

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
        self.repo, self.program = work / "restic", peers() / "restic"
        self.env = {"RESTIC_PASSWORD": "x", "RESTIC_REPOSITORY": str(self.repo), "RESTIC_CACHE_DIR": str(work / "cache"),
                    "RESTIC_COMPRESSION": "auto", "HOME": str(work)}
        if int(os.environ.get("BENCH_PROCS", "0")):
            self.env["GOMAXPROCS"] = os.environ["BENCH_PROCS"]
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
    name, protections = "borg", "sealed; cut by a seeded buzhash"

    def __init__(self, work):
        self.repo = work / "borg"
        self.env = {"BORG_PASSPHRASE": "x", "PYTHONPATH": str(peers() / "python"), "BORG_BASE_DIR": str(work),
                    "BORG_REPO": str(self.repo), "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"}
        self.call("init", "-e", "repokey-blake2", self.repo)

    def call(self, *args, **options):
        return run(["/usr/bin/python3", peers() / "borg", *args], self.env, **options)

    def put(self, tag, folder):
        return self.call("create", "-C", "zstd,3", f"::{tag}", ".", cwd=folder)

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
        self.repo, self.tags = work / "casync", {}
        self.repo.mkdir()
        self.env = {"LD_LIBRARY_PATH": str(peers() / "lib")}

    def put(self, tag, folder):
        index = self.repo / f"{tag}.caidx"
        return run([peers() / "casync", "make", f"--store={self.repo}/store", index, folder], self.env)

    def get(self, tag, target):
        target.mkdir(parents=True, exist_ok=True)
        return run([peers() / "casync", "extract", f"--store={self.repo}/store", self.repo / f"{tag}.caidx", target], self.env)

    def forget_and_prune(self, tag):
        (self.repo / f"{tag}.caidx").unlink()
        return run([peers() / "casync", "gc", f"--store={self.repo}/store", *self.repo.glob("*.caidx")], self.env)

    check = None


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
        self.repo = work / "rsync"

    def put(self, tag, folder):
        return run(["rsync", "-a", "--delete", "--no-whole-file", "--inplace", f"{folder}/", self.repo / "last"]) \
            if self.repo.exists() else (self.repo.mkdir(), run(["rsync", "-a", f"{folder}/", self.repo / "last"]))[1]

    def get(self, tag, target):
        return run(["rsync", "-a", f"{self.repo}/last/", target])

    forget_and_prune = check = None


def peers():
    return pathlib.Path(os.environ["HM_SOURCE"]) / ".deps" / "bench" / "packetfs"


def patch_from(before, after, out):
    """zstd --patch-from of one file: what a change costs where the receiver has the file before."""
    if shutil.which("zstd") is None:
        return None
    return run(["zstd", "-q", "-f", "-3", "--long=30", f"--patch-from={before}", after, "-o", out])
