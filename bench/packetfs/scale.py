"""A volume of millions of small objects: how long check, prune and the repair of a lost index take, and how much memory."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import time

SAMPLE_SECONDS = 0.02
GOAL_MIB = 256


class Seen:
    """The most that a process had: of its own, and of mapped files (the index, whose pages the kernel may drop)."""

    def __init__(self, pid):
        self.path, self.most = f"/proc/{pid}/status", {"RssAnon": 0, "RssFile": 0}

    def look(self):
        try:
            text = pathlib.Path(self.path).read_text()
        except OSError:
            return
        for key in self.most:
            found = re.search(key + r":\s+(\d+) kB", text)
            if found:
                self.most[key] = max(self.most[key], int(found[1]) >> 10)


def run(command, env):
    """(objects it printed, wall seconds, processor seconds, MiB of its own, MiB mapped)"""
    began = time.monotonic()
    process = subprocess.Popen([str(word) for word in command], env={**os.environ, **env}, stdout=subprocess.PIPE, text=True)
    seen = Seen(process.pid)
    try:
        while True:
            seen.look()
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(SAMPLE_SECONDS)
    except BaseException:
        process.kill()
        raise
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    said = process.stdout.read()
    process.stdout.close()
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} {command[1]} ended with {process.returncode}")
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")], wall, usage.ru_utime + usage.ru_stime, \
        seen.most["RssAnon"], seen.most["RssFile"]


def measure(work, objects):
    build = pathlib.Path(os.environ["HM_BIN"])
    driver, volume = build / "tests/integration/packetfs/packetfs_driver", work / "volume"
    env = {"PACKETFS_KEY_DIR": str(work / "keys"), "XDG_CACHE_HOME": str(work / "cache")}

    def show(what, result, count):
        print(f"{what:<44}{result[1]:9.1f}{result[2]:9.1f}{result[2] / count * 1e6:12.2f}{result[3]:10d}{result[4]:10d}"
              f"{'' if result[3] < GOAL_MIB else f'   over {GOAL_MIB} MiB'}", flush=True)

    print(f"{'':<44}{'s':>9}{'cpu s':>9}{'us a piece':>12}{'own MiB':>10}{'mapped':>10}")
    made = run([build / "bench/packetfs-scale", volume, objects], env)
    last = made[0][-1]
    count = last["patterns"] + last["references"]
    show("put, two snapshots, nine tenths in common", made, count)
    print(f"  {last['patterns']:,} pieces of {last['bytes'] * 10 / 9 / last['patterns']:.0f} bytes and {last['references']:,} of lists "
          f"in {last['packs']} packs, {last['bytes_packs'] / 1e9:.2f} GB; "
          f"index {last['bytes_index'] / 1048576:.0f} MiB, {last['bytes_index'] / count:.1f} bytes each", flush=True)
    show("check (quick)", run([driver, "check", volume], env), count)
    show("prune, nothing to do", run([driver, "prune", volume], env), count)
    run([driver, "rm", volume, "first"], env)
    pruned = run([driver, "prune", volume], env)
    show("prune after the first was forgotten", pruned, count)
    said = pruned[0][-1]
    print(f"  {said['removed']:,} removed, {said['freed'] / 1e6:.0f} MB freed, {said['rewritten'] / 1e6:.0f} MB rewritten", flush=True)
    shutil.rmtree(volume / "index")
    repaired = run([driver, "repair", volume], env)
    show("repair of a lost index (reads every object)", repaired, repaired[0][-1]["objects"])
    checked = run([driver, "check", volume], env)
    print(f"  checked after that: {checked[0][-1]['objects']:,} objects, {checked[0][-1]['findings']} findings; index "
          f"{(volume / 'index' / 'data.mdb').stat().st_size / 1048576:.0f} MiB", flush=True)
    return 0 if checked[0][-1]["findings"] == 0 else 1
