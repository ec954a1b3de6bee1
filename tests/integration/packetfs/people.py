#!/usr/bin/env python3
"""packetfs identity, message and key: what the commands do for people, and what they refuse."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "node"))
from daemon import run_cases  # noqa: E402

PROGRAM = os.path.join(os.environ.get("HM_BIN", "build/gcc"), "packetfs")
OK, FAILED, USAGE, NOT_FOUND, REFUSED, DAMAGED = 0, 1, 2, 4, 5, 6
TRUSTEES = ["ada", "bob", "carol", "dan"]
work = pathlib.Path(tempfile.mkdtemp(prefix="hm-test-people-"))
keys, volume = work / "keys", work / "volume"
environment = dict(os.environ, PACKETFS_KEY_DIR=str(keys), PACKETFS_VOLUME=str(volume), USER="tester")


def run(*arguments, expect=OK, given=b""):
    done = subprocess.run([PROGRAM, *map(str, arguments)], env=environment, capture_output=True, timeout=120, input=given)
    assert done.returncode == expect, (arguments, done.returncode, done.stderr.decode())
    return done


def who(name):
    return work / "who" / name


def public(name):
    return work / "who" / f"{name}.pub"


def an_identity_is_made_once():
    shown = run("identity", "create", "--name", "Zoë", "-i", who("zoe")).stdout.decode()
    own = re.search(r"pfi1[a-z0-9]{58}", shown)[0]
    assert "Zoë" in shown and "BEGIN PACKETFS IDENTITY" in shown
    assert who("zoe").stat().st_mode & 0o777 == 0o600
    run("identity", "create", "-i", who("zoe"), expect=REFUSED)
    told = json.loads(run("identity", "show", "-o", "json", public("zoe")).stdout)
    assert told["id"] == own and told["name"] == "Zoë"
    mail = work / "mail"
    mail.write_text("Hello,\n\n" + told["public"] + "\nbye\n")
    assert own in run("identity", "show", mail).stdout.decode()
    mail.write_text(mail.read_text().replace("A", "B", 3))
    run("identity", "show", mail, expect=DAMAGED)
    run("identity", "show", "-i", work / "nobody", expect=NOT_FOUND)
    who("zoe").chmod(0o640)
    run("identity", "show", "-i", who("zoe"), expect=REFUSED)


def a_default_identity_lies_in_the_key_folder():
    assert b"tester" in run("identity", "create").stdout
    assert (keys / "identity").stat().st_mode & 0o777 == 0o600
    assert b"tester" in run("identity", "show").stdout


def a_message_is_for_one():
    secret = bytes(range(256)) * 100
    sealed = work / "sealed"
    run("message", "seal", "--to", public("bob"), "-i", who("ada"), "-O", sealed, given=secret)
    assert sealed.stat().st_size == 64 << 10 and sealed.stat().st_mode & 0o777 == 0o600
    opened = run("message", "open", "-i", who("bob"), sealed)
    assert opened.stdout == secret and b"(ada)" in opened.stderr
    run("message", "open", "-i", who("bob"), given=sealed.read_bytes())
    for name in ["ada", "carol"]:
        assert run("message", "open", "-i", who(name), sealed, expect=REFUSED).stdout == b""
    changed = bytearray(sealed.read_bytes())
    changed[5000] ^= 1
    assert run("message", "open", "-i", who("bob"), given=bytes(changed), expect=REFUSED).stdout == b""
    run("message", "open", "-i", who("bob"), given=b"hello", expect=DAMAGED)
    run("message", "seal", "-i", who("ada"), given=b"x", expect=USAGE)


def share_files(folder):
    return [work / folder / f"{i + 1}.share" for i in range(len(TRUSTEES))]


def split(folder, k=3):
    run("key", "split", "-k", k, *[word for name in TRUSTEES for word in ("--to", public(name))], "-i", who("owner"),
        "-O", work / folder)
    answers = []
    for name, share in zip(TRUSTEES, share_files(folder)):
        answers.append(work / folder / f"{name}.answer")
        run("key", "answer", share, "-i", who(name), "--to", public("heir"), "-O", answers[-1])
    return answers


def a_lost_key_is_found():
    answers = split("one")
    told = json.loads(run("key", "answer", "-o", "json", share_files("one")[2], "-i", who("carol")).stdout)
    assert (told["share"], told["of"], told["threshold"], told["name"]) == (3, 4, 3, "owner"), told
    run("key", "answer", share_files("one")[2], "-i", who("bob"), "--to", public("heir"), expect=REFUSED)
    lost = work / "lost"
    keys.rename(lost)
    keys.mkdir()
    run("log", expect=REFUSED)
    short = run("key", "join", "-i", who("heir"), *answers[:2], expect=FAILED)
    assert b"1 more" in short.stderr
    twice = run("key", "join", "-i", who("heir"), answers[0], answers[1], answers[0], expect=REFUSED)
    assert b"answer 1 (of ada" in twice.stderr and b"answer 3 (of ada" in twice.stderr
    run("key", "join", "-i", who("bob"), *answers[:3], expect=REFUSED)  # sealed to the heir
    run("log", expect=REFUSED)
    run("key", "join", "-i", who("heir"), answers[3], answers[0], answers[2])
    assert b"kept" in run("log").stdout


def shares_of_two_splits_do_not_mix():
    one, two = split("two"), split("three")
    mixed = run("key", "join", "-i", who("heir"), one[0], one[1], two[2], expect=REFUSED)
    assert b"answer 3 (of carol" in mixed.stderr and b"of split" in mixed.stderr


def rotation_shuts_out_the_old_key():
    old = work / "stolen"
    shutil.copy(next(keys.glob("*.key")), old)
    run("log", "--key-file", old)
    packs = {path: path.stat().st_mtime_ns for path in (volume / "packs").rglob("*")}
    run("key", "rotate")
    assert b"kept" in run("log").stdout
    run("log", "--key-file", old, expect=REFUSED)
    assert packs == {path: path.stat().st_mtime_ns for path in (volume / "packs").rglob("*")}  # no data is touched
    words = work / "words"
    words.write_text("correct horse\n")
    run("key", "rotate", "--new-passphrase-file", words)
    run("log", expect=REFUSED)
    assert b"kept" in run("log", "--passphrase-file", words).stdout
    run("key", "rotate", "--passphrase-file", words, "--new-key-file", work / "new.key")
    run("log", "--passphrase-file", words, expect=REFUSED)
    assert b"kept" in run("log", "--key-file", work / "new.key").stdout
    run("key", "rotate", "--key-file", work / "new.key", "--new-key-file", "x", "--new-passphrase-file", words,
        expect=USAGE)


def what_makes_no_sense_is_refused():
    run("key", "split", "-k", "2", "--to", public("ada"), "-i", who("owner"), "-O", work / "x",
        "--key-file", work / "new.key", expect=USAGE)
    run("key", "split", "--to", public("ada"), "-i", who("owner"), "-O", work / "x", expect=USAGE)
    run("key", "split", "-k", "1", "-i", who("owner"), "-O", work / "x", expect=USAGE)
    run("key", "split", "-k", "1", "--to", public("ada"), "--to", public("ada"), "-i", who("owner"), "-O", work / "x",
        "--key-file", work / "new.key", expect=USAGE)
    run("key", "join", expect=USAGE)
    assert not (work / "x").exists()


try:
    (work / "who").mkdir()
    for person in ["owner", "heir", *TRUSTEES]:
        run("identity", "create", "--name", person, "-i", who(person))
    (work / "data").write_text("kept")
    run("init")
    run("put", "--label", "kept", work / "data")
    run_cases([an_identity_is_made_once, a_default_identity_lies_in_the_key_folder, a_message_is_for_one,
               a_lost_key_is_found, shares_of_two_splits_do_not_mix, rotation_shuts_out_the_old_key,
               what_makes_no_sense_is_refused])
finally:
    shutil.rmtree(work, ignore_errors=True)
