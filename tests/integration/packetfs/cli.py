#!/usr/bin/env python3
"""The packetfs command: what each verb prints, in text and JSON, how it ends, how it refuses; completion; the progress
line on a terminal and nowhere else; the manual names every verb and option."""
import contextlib
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "node"))
from daemon import run_cases  # noqa: E402

PACKETFS = os.path.join(os.environ.get("HM_BIN", "build/gcc"), "packetfs")
MANUAL = pathlib.Path(__file__).resolve().parents[3] / "docs/man/packetfs.1.scd"
OK, FAILED, USAGE, UNREACHABLE, NOT_FOUND, REFUSED, DAMAGED, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 7, 130
SECONDS = 60
work = pathlib.Path(tempfile.mkdtemp(prefix="hm-test-packetfs-cli-"))
volumes = 0


class Answer:
    def __init__(self, status, output, errors):
        self.status, self.bytes, self.errors = status, output, errors
        self.text = output.decode(errors="replace")

    def json(self):
        return json.loads(self.bytes)


class Volume:
    """A volume of its own, with a key folder of its own."""

    def __init__(self, *options):
        global volumes
        volumes += 1
        self.base = work / str(volumes)
        self.base.mkdir()
        self.dir = self.base / "v"
        self.env = dict(os.environ, PACKETFS_VOLUME=str(self.dir), PACKETFS_KEY_DIR=str(self.base / "keys"),
                        XDG_CACHE_HOME=str(self.base / "cache"))
        self.env.pop("NO_COLOR", None)
        if options is not None:
            assert self("init", *options).status == OK

    def __call__(self, *arguments, given=b"", **more):
        done = subprocess.run([PACKETFS, *map(str, arguments)], input=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=dict(self.env, **more), timeout=SECONDS)
        return Answer(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


def tree(base):
    base.mkdir()
    (base / "sub").mkdir()
    (base / "a.txt").write_bytes(b"a" * 1000)
    (base / "sub" / "b.bin").write_bytes(os.urandom(300000))
    (base / "sub" / "link").symlink_to("b.bin")
    os.chmod(base / "a.txt", 0o640)
    return base


def case_first_steps():
    v = Volume()
    t = tree(v.base / "t")
    time.sleep(0.5)  # what changed a moment ago is read again to be sure
    said = v("put", t)
    assert said.status == OK and "snapshot " in said.text and "3 files" in said.text, said.text
    again = v("put", t, "-o", "json").json()
    assert again["files_unchanged"] >= 2 and again["bytes_read"] == 0 and again["findings"] == [], again
    assert again["snapshot"]["label"] == "t" and again["snapshot"]["files"] == 3
    log = v("log", "-o", "json").json()
    assert [s["label"] for s in log] == ["t", "t"] and log[1]["parent"] == log[0]["id"]
    assert log[0]["root"] == log[1]["root"]
    said = v("get", log[0]["id"][:8], "-t", v.base / "out")
    assert said.status == OK and said.errors == "", said.errors
    for name in ("a.txt", "sub/b.bin"):
        assert (v.base / "out/t" / name).read_bytes() == (t / name).read_bytes()
    assert os.readlink(v.base / "out/t/sub/link") == "b.bin"
    assert os.stat(v.base / "out/t/a.txt").st_mode & 0o7777 == 0o640
    assert v("get", "latest:t/a.txt", "-").bytes == b"a" * 1000
    assert v("stats", "-o", "json").json()["snapshots"] == 2


def case_policy_is_explained():
    v = Volume()
    rows = {r["what"]: r["value"] for r in v("init", "--explain", "-o", "json").json()}
    assert rows["chunker"] == "keyed" and rows["compression"] == "level 1" and len(rows) == 6, rows
    assert rows["dictionaries"].startswith("trained"), rows
    rows = {r["what"]: r["value"] for r in v("init", "--explain", "--no-dictionaries", "-o", "json").json()}
    assert rows["dictionaries"] == "none", rows
    text = v("init", "--explain", "--store", "trusted", "--link", "50", "--size", "2T", "--level", "5").text
    assert re.search(r"^chunker +fast: ", text, re.M) and re.search(r"^sizes +64 KiB, 128 KiB", text, re.M), text
    assert re.search(r"^compression +5: as the command line says", text, re.M), text
    made = v("init", v.base / "n", "--store", "trusted", "--data", "packed", "-o", "json").json()
    assert made["chunker"] == "fast" and made["zstd_level"] == 100 and not made["padding"] and not made["dictionaries"], made
    made = v("init", v.base / "m", "--data", "repetitive", "--size", "10G", "--chunker", "fast", "-o", "json").json()
    assert made["chunk_average_bytes"] == 32768 and made["chunker"] == "fast" and made["padding"] and made["dictionaries"], made


def case_policy_looks_at_data():
    v = Volume()
    said = v("policy", "--store", "trusted", "--link", "50", "-o", "json").json()
    rows = {r["what"]: r["value"] for r in said["choices"]}
    assert rows["chunker"] == "fast" and rows["compression"] == "level 9" and "measured" not in said, said
    assert said["choices"] == v("init", "--explain", "--store", "trusted", "--link", "50", "-o", "json").json()
    films, texts = v.base / "films", v.base / "texts"
    for folder, data in ((films, os.urandom(200000)), (texts, b"to be or not to be\n" * 20000)):
        folder.mkdir()
        (folder / "deep").mkdir()
        (folder / "one").write_bytes(data)
        (folder / "deep" / "two").write_bytes(data)
        (folder / "link").symlink_to("/etc")
    said = v("policy", films, "-o", "json").json()
    assert said["circumstances"]["data"] == "packed" and said["measured"]["bytes"] == 400000, said
    assert said["measured"]["files"] == 2 and said["measured"]["dense_bytes"] == said["measured"]["sampled_bytes"], said
    assert v("policy", texts, "-o", "json").json()["circumstances"]["data"] == "mixed"
    text = v("policy", films, "--data", "mixed").text
    assert re.search(r"^data +390.6 KiB in 2 files; .*100 % of it", text, re.M), text
    assert re.search(r"^compression +level 1: ", text, re.M), text
    assert re.search(r"^compression +none: ", v("policy", films).text, re.M)
    large = v.base / "large"
    with open(large, "wb") as f:
        f.truncate(2 << 40)
    assert re.search(r"^sizes +64 KiB, 128 KiB", v("policy", large).text, re.M)
    assert v("policy", v.base / "none").status == 4
    assert v("policy", "--data", "films").status == USAGE


def case_standard_input_and_output():
    v = Volume()
    data = os.urandom(700000)
    said = v("put", "-", "--name", "dump", "-l", "db", given=data)
    assert said.status == OK, said.errors
    assert v("get", "db:dump", "-").bytes == data
    assert v("put", "-", "x").status == USAGE
    assert v("get", "db", "-").status == USAGE
    assert v("put", "x", "--name", "y").status == USAGE


def case_ls_and_diff():
    v = Volume()
    t = tree(v.base / "t")
    v("put", t)
    rows = v("ls", "-r", "-o", "json").json()
    assert [r["path"] for r in rows] == ["t", "t/a.txt", "t/sub", "t/sub/b.bin", "t/sub/link"], rows
    assert rows[1]["mode"] == 0o640 and rows[1]["bytes"] == 1000 and rows[4]["target"] == "b.bin"
    long = v("ls", "-l", "latest:t").text
    assert re.search(r"^-rw-r----- .* 1000 B .* t/a.txt$", long, re.M), long
    assert v("ls", "latest:t").text.split() == ["t/a.txt", "t/sub/"]
    (t / "a.txt").write_bytes(b"b" * 1000)
    (t / "new").write_bytes(b"")
    (t / "sub" / "link").unlink()
    v("put", t)
    ids = [s["id"] for s in v("log", "-o", "json").json()]
    lines = v("diff", ids[0]).text.splitlines()
    assert "M t/a.txt" in lines and "A t/new" in lines and "D t/sub/link" in lines, lines
    rows = v("diff", ids[1], ids[0], "-o", "json").json()
    assert {(r["change"], (r.get("after") or r["before"])["path"]) for r in rows} >= {("D", "t/new"), ("A", "t/sub/link")}


def case_names_in_any_bytes():
    v = Volume()
    t = v.base / "t"
    t.mkdir()
    name = b"bad\xff\x1b[31m\nname"
    with open(os.fsencode(t) + b"/" + name, "wb") as file:
        file.write(b"1")
    assert v("put", t).status == OK
    row = v("ls", "latest:t", "-o", "json").json()[0]
    assert bytes.fromhex(row["path_hex"]) == b"t/" + name and "\ufffd" in row["path"]
    assert v("ls", "latest:t").bytes == b"t/" + name + b"\n"
    shown = on_terminal(v, "ls", "latest:t")[1]
    assert b"\\xff\\x1b[31m\\x0aname" in shown, shown


def case_snapshots_by_name():
    v = Volume()
    t = tree(v.base / "t")
    v("put", t, "-l", "a:b")
    v("put", t, "-l", "a")
    assert v("get", "a:b:t/a.txt", "-").bytes == b"a" * 1000
    assert v("get", "a:t/a.txt", "-").bytes == b"a" * 1000
    for name in ("nothing", "latest:nothing", "nothing:t"):
        said = v("ls", name)
        assert said.status == NOT_FOUND and said.errors.startswith("packetfs: "), (name, said.status, said.errors)
    assert "log" in v("ls", "nothing").errors
    assert v("rm", "a", "nothing").status == NOT_FOUND
    assert len(v("log", "-o", "json").json()) == 2, "rm removes all or nothing that is named"
    assert v("rm", "a").status == OK
    assert [s["label"] for s in v("log", "-o", "json").json()] == ["a:b"]


def case_refusals():
    v = Volume()
    t = tree(v.base / "t")
    cases = {
        (): USAGE, ("gte",): USAGE, ("put",): USAGE, ("put", "--labl", "x", "y"): USAGE, ("get", "latest"): USAGE,
        ("get", "latest", "here"): USAGE, ("put", "-j", "many", t): USAGE, ("put", "-j", "257", t): USAGE,
        ("init", "--chunker", "slow", v.base / "n"): USAGE, ("init", "--chunk-average", "100", v.base / "n"): USAGE,
        ("init", "--chunk-average", "64X", v.base / "n"): USAGE, ("init", "--level", "0", v.base / "n"): USAGE,
        ("init", "--chunk-min", "4K", v.base / "n"): USAGE, ("init", "--link", "fast", v.base / "n"): USAGE, ("check", "--deep"): USAGE, ("log", "x"): USAGE,
        ("completion", "tcsh"): USAGE, ("help", "gte"): USAGE, ("-V",): USAGE, ("init",): REFUSED, ("key",): USAGE,
        ("-V", v.base / "none", "log"): NOT_FOUND, ("put", v.base / "none"): None,
    }
    for arguments, status in cases.items():
        said = v(*arguments)
        assert said.status == status if status is not None else said.status != OK, (arguments, said.status, said.errors)
        assert said.bytes == b"" and said.errors.strip(), arguments
    assert "did you mean get?" in v("gte").errors and "did you mean --label?" in v("put", "--labl", "x", "y").errors
    assert not (v.base / "n").exists()
    said = subprocess.run([PACKETFS, "log"], env={k: w for k, w in v.env.items() if k != "PACKETFS_VOLUME"},
                          stderr=subprocess.PIPE)
    assert said.returncode == USAGE and b"PACKETFS_VOLUME" in said.stderr


def case_what_opens_it():
    v = Volume("--passphrase-file", secret("right horse\n"))
    assert v("log", "--passphrase-file", secret("right horse")).status == OK
    wrong = v("log", "--passphrase-file", secret("wrong"))
    assert wrong.status == REFUSED and "right" not in wrong.errors, wrong.errors
    assert v("log").status == REFUSED
    assert v("log", "--passphrase-file", secret("")).status == USAGE
    assert v("log", "--passphrase-file", work / "nothing").status != OK
    assert v("log", "--passphrase-file", secret("a"), "--key-file", secret("b")).status == USAGE
    status, shown = on_terminal(v, "log", typed=[(b"passphrase: ", b"right horse\n")])
    assert status == OK and b"right horse" not in shown, shown
    status, shown = on_terminal(v, "log", typed=[(b"passphrase: ", b"other\n")])
    assert status == REFUSED
    k = Volume()
    key = next((k.base / "keys").iterdir())
    assert k("log", "--key-file", key, PACKETFS_KEY_DIR=str(k.base)).status == OK
    assert k("log", "--key-dir", k.base / "keys", PACKETFS_KEY_DIR=str(k.base)).status == OK
    other = Volume()
    assert k("log", "--key-file", next((other.base / "keys").iterdir())).status == REFUSED


def case_prune_keeps():
    v = Volume()
    t = tree(v.base / "t")
    for i in range(4):
        (t / "a.txt").write_bytes(os.urandom(100000))
        v("put", t)
    dry = v("prune", "--keep-last", "2", "-n", "-o", "json").json()
    assert [s["kept"] for s in dry["snapshots"]].count(True) == 2 and len(v("log", "-o", "json").json()) == 4
    done = v("prune", "--keep-last", "2", "--unused", "0", "-o", "json").json()
    assert len(v("log", "-o", "json").json()) == 2 and done["objects_removed"] > 0, done
    assert v("prune", "--label", "t").status == USAGE
    assert v("check", "--full").status == OK
    assert v("get", "latest", "-t", v.base / "out").status == OK


def case_damage_is_told():
    v = Volume()
    v("put", tree(v.base / "t"))
    packs = [p for p in (v.dir / "packs").rglob("*") if p.is_file()]
    largest = max(packs, key=lambda p: p.stat().st_size)
    os.chmod(largest, 0o600)
    with open(largest, "r+b") as file:
        file.seek(largest.stat().st_size // 3)
        file.write(b"\0" * 4096)
    said = v("check", "--full", "-o", "json")
    assert said.status == DAMAGED and said.json()["finding_count"] > 0 and said.json()["findings"], said.errors
    assert "repair" in said.errors
    assert v("get", "latest", "-t", v.base / "out").status in (DAMAGED, INCOMPLETE)


def case_unreadable_files():
    if os.geteuid() == 0:
        return
    v = Volume()
    t = tree(v.base / "t")
    os.chmod(t / "a.txt", 0)
    said = v("put", t, "-o", "json")
    assert said.status == INCOMPLETE and said.json()["files_failed"] == 1 and "a.txt" in said.json()["findings"][0]


def case_interrupted():
    v = Volume()
    process = subprocess.Popen([PACKETFS, "put", "-", "--name", "x"], stdin=subprocess.PIPE, env=v.env,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(os.urandom(8 << 20))
        process.stdin.flush()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        for _ in range(200):
            process.stdin.write(os.urandom(1 << 20))
            process.stdin.flush()
            if process.poll() is not None:
                break
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    assert process.wait(SECONDS) == INTERRUPTED, process.stderr.read()
    assert v("log", "-o", "json").json() == [] and v("check", "--full").status == OK


def case_progress_on_a_terminal_alone():
    v = Volume("--level", "19")
    big = v.base / "big"
    with open(big, "wb") as file:  # compressible, slowly: longer than a second
        for i in range(48):
            block = os.urandom(1 << 14)
            file.write(b"".join(block[j:j + 64] + b"text" * 4 for j in range(0, len(block), 16)) * 8)
    status, shown = on_terminal(v, "put", "-j", "1", big)
    assert status == OK
    assert b"/s" in shown and b"\r" in shown and b"\x1b[K" in shown, shown
    quiet = Volume("--level", "19")
    status, shown = on_terminal(quiet, "put", "-q", "-j", "1", big)
    assert status == OK and b"\x1b[K" not in shown
    silent = Volume("--level", "19")
    assert silent("put", "-j", "1", big).errors == ""


def case_colour():
    v = Volume()
    v("put", tree(v.base / "t"))
    assert b"\x1b[1;34m" in on_terminal(v, "ls")[1]
    assert b"\x1b" not in on_terminal(v, "ls", NO_COLOR="1")[1]
    assert b"\x1b" not in on_terminal(v, "ls", "--no-color")[1]
    assert "\x1b" not in v("ls").text


def case_help_names_everything():
    v = Volume()
    verbs = re.findall(r"^  ([a-z]+(?: [a-z]+)?)  ", v("help").text.split("Options of every")[0], re.M)
    assert len(verbs) >= 14 and v("--help").text == v("help").text and v("put", "-h").text == v("help", "put").text
    manual = MANUAL.read_text()
    for verb in verbs:
        text = v("help", *verb.split()).text
        assert text.startswith(f"usage: packetfs {verb}"), verb
        assert re.search(rf"\*(?:[a-z *,]*\b)?{verb}\b", manual), f"the manual lacks {verb}"
        for option in re.findall(r"^ .{4}--([a-z-]+)", text, re.M):
            assert f"--{option}" in manual, f"the manual lacks --{option} of {verb}"
    assert v("--version").text == v("version").text and v("version", "-o", "json").json()["version"] in v("version").text


def case_completion():
    v = Volume()
    script = work / "completion.bash"
    script.write_bytes(v("completion", "bash").bytes)

    def words(line):
        program = f'source {script}; COMP_WORDS=({line} ""); [ "${{line: -1}}" ]; COMP_WORDS=({line}); ' \
                  "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _packetfs 2>/dev/null; echo ${COMPREPLY[@]}"
        return subprocess.run(["bash", "-c", program], stdout=subprocess.PIPE, check=True).stdout.decode().split()

    assert words("packetfs pru") == ["prune"]
    assert words("packetfs put --one") == ["--one-file-system"]
    assert words("packetfs init --chunker f") == ["fast"]
    assert words("packetfs -o j") == ["json"]
    assert "split" in words("packetfs key s") and words("packetfs key rotate --new-key") == ["--new-key-file"]
    assert words("packetfs -V /x completion z") == ["zsh"]
    assert b"complete -c packetfs" in v("completion", "fish").bytes and b"bashcompinit" in v("completion", "zsh").bytes


def secret(text):
    file = work / f"secret-{abs(hash(text))}"
    file.write_text(text)
    return file


def on_terminal(volume, *arguments, typed=(), **more):
    """Runs with a terminal of its own; answers its status and all that it showed. typed: what to wait for, what to type."""
    pid, master = pty.fork()
    if pid == 0:
        os.execvpe(PACKETFS, [PACKETFS, *map(str, arguments)], dict(volume.env, TERM="xterm", **more))
    shown, waits = b"", list(typed)
    end = time.monotonic() + SECONDS
    while True:
        if not select.select([master], [], [], max(0, end - time.monotonic()))[0]:
            os.kill(pid, signal.SIGKILL)
            break
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
        if waits and waits[0][0] in shown:
            os.write(master, waits.pop(0)[1])
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(master)
    return status, shown


if __name__ == "__main__":
    try:
        run_cases([case for name, case in list(globals().items()) if name.startswith("case_")])
    finally:
        shutil.rmtree(work, ignore_errors=True)
