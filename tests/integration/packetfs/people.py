#!/usr/bin/env python3
"""packetfs identity, message and key: what the commands do for people, and what they refuse."""
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "node"))
from daemon import run_cases  # noqa: E402

PROGRAM = os.path.join(os.environ.get("HM_BIN", "build/gcc"), "packetfs")
OK, FAILED, USAGE, NOT_FOUND, REFUSED, DAMAGED = 0, 1, 2, 4, 5, 6
TRUSTEES = ["ada", "bob", "carol", "dan"]
work = pathlib.Path(tempfile.mkdtemp(prefix="hm-test-people-"))
keys, volume = work / "keys", work / "volume"
environment = dict(os.environ, PACKETFS_KEY_DIR=str(keys), PACKETFS_VOLUME=str(volume), USER="tester")


def run(*arguments, expect=OK, given=b"", env=None):
    done = subprocess.run([PROGRAM, *map(str, arguments)], env=env or environment, capture_output=True, timeout=120, input=given)
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


def alone(*names, folder="shared"):
    """A volume of its own, and a key folder for each of these people, with nothing in it but their identity."""
    base = work / folder
    base.mkdir()
    people = {}
    for name in names:
        (base / name).mkdir(mode=0o700)
        shutil.copy(who(name), base / name / "identity")
        shutil.copy(public(name), base / name / "identity.pub")
        people[name] = dict(environment, PACKETFS_KEY_DIR=str(base / name), PACKETFS_VOLUME=str(base / "volume"))
    return base / "volume", people


def slots(by):
    return json.loads(run("key", "list", "-o", "json", env=by).stdout)


def several_people_share_a_volume():
    shared, people = alone("ada", "bob", "carol")
    ada, bob, carol = people["ada"], people["bob"], people["carol"]
    said = run("init", "--for", "me", "--for", public("bob"), env=ada).stdout.decode()
    assert "its key" not in said and not list(shared.parent.glob("*/*.key")), said
    run("put", "--label", "ours", work / "data", env=ada)
    # Each by his own identity; the first time it is named.
    first = run("log", env=bob, expect=REFUSED)
    assert b"the first time" in first.stderr, first.stderr
    mine = shared.parent / "bob" / "identity"
    assert b"ours" in run("log", "-i", mine, env=bob).stdout
    assert b"ours" in run("log", env=bob).stdout
    run("put", "--label", "bob", work / "data", env=bob)
    assert run("get", "ours:data", "-", env=bob).stdout == b"kept"
    run("log", "-i", shared.parent / "carol" / "identity", env=carol, expect=REFUSED)
    run("check", "--full", env=bob)
    run("stats", "-i", mine, env=bob)
    run("prune", "-i", mine, env=bob)
    run("ls", "latest", env=bob)
    # Bob lets Carol in; the volume's folder does not say who is in.
    run("key", "add", "--for", public("carol"), env=bob)
    run("key", "add", "--for", public("carol"), env=bob, expect=REFUSED)
    assert b"ours" in run("log", "-i", shared.parent / "carol" / "identity", env=carol).stdout
    rows = {row["name"]: row for row in slots(ada)}
    assert set(rows) == {"ada", "bob", "carol"} and rows["carol"]["by"] == rows["bob"]["id"], rows
    for path in (shared / "keys").iterdir():
        assert not any(word in path.read_bytes() for word in (b"ada", b"bob", b"carol", b"pfi1")), path
    # -i says who signs, too: where that identity does not open the volume, the key folder's does.
    for signer in (mine, who("owner")):
        run("key", "split", "-k", "1", "--to", public("dan"), "-i", signer, "-O", work / "shared-shares", env=bob)
        told = json.loads(run("key", "answer", "-o", "json", work / "shared-shares" / "1.share", "-i", who("dan")).stdout)
        assert told["name"] == ("bob" if signer == mine else "owner"), told
    # Out again: by slot, by id; the last stays.
    packs = {path: path.stat().st_mtime_ns for path in (shared / "packs").rglob("*")}
    run("key", "remove", rows["carol"]["slot"], env=ada)
    run("log", env=carol, expect=REFUSED)
    run("key", "remove", rows["bob"]["id"], env=ada)
    run("log", env=bob, expect=REFUSED)
    last = run("key", "remove", rows["ada"]["slot"], env=ada, expect=REFUSED)
    assert b"last slot" in last.stderr
    run("key", "remove", "nobody", env=ada, expect=NOT_FOUND)
    assert b"ours" in run("log", env=ada).stdout
    # One rotation lets some in and the rest out.
    words = work / "shared-words"
    words.write_text("correct horse\n")
    run("key", "add", "--new-passphrase-file", words, env=ada)
    assert {row["kind"] for row in slots(ada)} == {"identity", "passphrase"}
    run("key", "rotate", "--for", public("bob"), env=ada, expect=USAGE)
    run("key", "rotate", "--for", "me", "--for", public("bob"), env=ada)
    assert [row["kind"] for row in slots(ada)] == ["identity", "identity"]
    assert b"ours" in run("log", env=bob).stdout
    run("log", "--passphrase-file", words, env=ada, expect=REFUSED)
    assert packs == {path: path.stat().st_mtime_ns for path in (shared / "packs").rglob("*")}  # no data is touched


def a_slot_in_another_place_is_known():
    shared, people = alone("ada", "bob", folder="moved")
    ada = people["ada"]
    mine = shared.parent / "ada" / "identity"
    number = json.loads(run("init", "-i", mine, "-o", "json", env=ada).stdout)["id"]
    slot = next((shared / "keys").glob("*.slot"))
    other = dict(ada, PACKETFS_VOLUME=str(shared.parent / "other"))
    run("init", "--for", "me", env=other)
    bytes_of = slot.read_bytes()
    slot.write_bytes((shared.parent / "other" / "keys" / slot.name).read_bytes())
    run("log", "-i", mine, env=ada, expect=REFUSED)  # another volume's
    slot.write_bytes(bytes_of)
    slot.rename(slot.with_name("0a0b.slot"))
    assert b"renamed" in run("log", "-i", mine, env=ada, expect=DAMAGED).stderr
    slot.with_name("0a0b.slot").rename(slot)
    run("log", "-i", mine, env=ada)
    # All of the volume, in the place of another that has the same id: what the key folder noted says so.
    pin = shared.parent / "ada" / f"{number}.pin"
    pin.write_text("0" * 64 + "\n")
    assert b"another key" in run("log", env=ada, expect=DAMAGED).stderr
    assert b"another key" in run("log", "-i", mine, env=ada, expect=DAMAGED).stderr
    pin.unlink()
    run("log", env=ada)
    assert pin.exists()


def a_killed_change_of_slots_shuts_nobody_out():
    shared, people = alone("ada", "bob", folder="killed")
    ada, bob = people["ada"], people["bob"]
    run("init", "--for", "me", env=ada)
    run("key", "add", "--for", public("bob"), env=ada)
    pause = random.Random(7)
    for turn in range(24):
        verb = [("key", "rotate", "--for", "me"), ("key", "add", "--for", public("bob")),
                ("key", "remove", bob_id())][turn % 3]
        child = subprocess.Popen([PROGRAM, *map(str, verb)], env=ada, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(pause.uniform(0, 0.06))
        child.kill()
        child.wait()
        rows = slots(ada)  # opens, whatever was cut off
        assert rows and all(row["kind"] == "identity" for row in rows), rows
    run("key", "rotate", "--for", "me", env=ada)
    assert len(slots(ada)) == 1 and [path.suffix for path in (shared / "keys").iterdir()] == [".slot"]
    run("log", "-i", shared.parent / "bob" / "identity", env=bob, expect=REFUSED)


def bob_id():
    return json.loads(run("identity", "show", "-o", "json", public("bob")).stdout)["id"]


def what_makes_no_sense_is_refused():
    run("key", "add", "--key-file", work / "new.key", expect=USAGE)
    run("key", "add", "--for", "/dev/null", "--key-file", work / "new.key", expect=DAMAGED)
    run("key", "remove", expect=USAGE)
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
               several_people_share_a_volume, a_slot_in_another_place_is_known,
               a_killed_change_of_slots_shuts_nobody_out, what_makes_no_sense_is_refused])
finally:
    shutil.rmtree(work, ignore_errors=True)
