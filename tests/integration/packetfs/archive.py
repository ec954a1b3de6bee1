#!/usr/bin/env python3
"""export and import: what goes out as tar comes back identical through GNU tar and through import; other people's archives become the
snapshot that put would have made; hostile, damaged and endless archives are refused by name and leave nothing behind."""
import bz2
import gzip
import io
import json
import lzma
import os
import pathlib
import pty
import random
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import time

import trees
from daemon import run_cases  # noqa: E402

PACKETFS = os.path.join(os.environ.get("HM_BIN", "build/gcc"), "packetfs")
KILLS = int(os.environ.get("PACKETFS_KILLS", "8"))
SEEDS = int(os.environ.get("PACKETFS_SEEDS", "3"))
OK, FAILED, USAGE, NOT_FOUND, REFUSED, DAMAGED, INCOMPLETE = 0, 1, 2, 4, 5, 6, 7
SECONDS = 120
ATTRIBUTES = ("--acls", "--xattrs", "--xattrs-include=*")
work = pathlib.Path(tempfile.mkdtemp(prefix="hm-test-packetfs-archive-"))
volumes = 0


class Volume:
    def __init__(self):
        global volumes
        volumes += 1
        self.base = work / str(volumes)
        self.base.mkdir()
        self.env = dict(os.environ, PACKETFS_VOLUME=str(self.base / "v"), PACKETFS_KEY_DIR=str(self.base / "keys"),
                        XDG_CACHE_HOME=str(self.base / "cache"))
        self("init")

    def start(self, *arguments, **more):
        return subprocess.Popen([PACKETFS, *map(trees.str_or_bytes, arguments)], env=self.env, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **more)

    def __call__(self, *arguments, given=b"", expect=OK):
        """(standard output, standard error); the exit status must be the one expected."""
        process = self.start(*arguments, stdin=subprocess.PIPE)
        output, errors = process.communicate(given, timeout=SECONDS)
        errors = errors.decode(errors="replace")
        assert process.returncode == expect, f"{arguments} ended with {process.returncode}, not {expect}: {errors[-800:]}"
        return output, errors

    def roots(self):
        return {s["label"]: s["root"] for s in json.loads(self("log", "-o", "json")[0])}

    def clean(self, snapshots):
        """Nothing half: as many snapshots, and check finds nothing."""
        assert len(json.loads(self("log", "-o", "json")[0])) == snapshots
        self("check")


def tar(*arguments):
    done = subprocess.run(["tar", *map(trees.str_or_bytes, arguments)], capture_output=True, timeout=SECONDS)
    return done.returncode, done.stderr.decode(errors="replace")


def same(a, b, **options):
    found = trees.differences(os.fsencode(a), os.fsencode(b), **options)
    assert not found, "; ".join(found)


def everything(top):
    trees.everything(os.fsencode(top), small=60)
    # Longer than any path: GNU tar does not unpack it. Names of up to 3,000 bytes stay.
    here = os.getcwd()
    os.chdir(top)
    for i in range(200):
        os.chdir(f"deep-folder-{i}")
    shutil.rmtree("deep-folder-200")
    pathlib.Path("end").write_text("here")
    os.chdir(here)
    os.unlink(os.path.join(top, "socket"))


def case_everything_goes_out_and_comes_back():
    v = Volume()
    tree = v.base / "tree"
    everything(tree)
    v("put", "--contents", tree, "-l", "tree")
    out, errors = v("export", "tree", "-O", v.base / "a.tar")
    assert b"files, an archive of" in out and not errors, (out, errors)
    assert (v.base / "a.tar").stat().st_size < 40_000_000, "holes were written out"
    (v.base / "gnu").mkdir()
    code, errors = tar(*ATTRIBUTES, "-xpf", v.base / "a.tar", "-C", v.base / "gnu")
    # It says that 1969 is long ago, and that it does not know POSIX's word for long names in bytes that are not UTF-8.
    assert code == 0 and not [line for line in errors.splitlines()
                              if "hdrcharset" not in line and "implausibly old" not in line], errors
    same(tree, v.base / "gnu")
    v("import", v.base / "a.tar", "-l", "again")
    assert v("diff", "tree", "again")[0] == b""
    v("get", "again", "-t", v.base / "own")
    same(tree, v.base / "own")
    # The same bytes again, also through a pipe.
    assert v("export", "again")[0] == (v.base / "a.tar").read_bytes()
    before = v.roots()["again"]
    v("import", "-", "--name", "again", given=(v.base / "a.tar").read_bytes())
    assert v.roots()["again"] == before
    v.clean(3)


def without_second_names(top, of=lambda mode: True):
    seen = set()
    for path in trees.files_of(top):
        s = os.lstat(path)
        if of(s.st_mode) and s.st_nlink > 1 and s.st_ino in seen:
            os.unlink(path)
        seen.add(s.st_ino)


def case_an_import_is_the_put_of_the_same_tree():
    for seed in range(SEEDS):
        v = Volume()
        dice = random.Random(seed)
        tree = os.fsencode(v.base / "tree")
        os.mkdir(tree)
        trees.grow(dice, tree, 60)
        trees.edit(dice, tree, 20)
        trees.hole_file(os.path.join(tree, b"holes"), 40_000_000, [(8192, b"x" * 5000), (39_000_000, b"y")])
        without_second_names(tree, stat.S_ISFIFO)  # GNU tar makes two pipes of them
        v("put", "--contents", tree, "-l", "linked")
        code, errors = tar(*ATTRIBUTES, "-S", "--format=posix", "-cf", v.base / "l.tar", "-C", tree, ".")
        assert code == 0, errors
        v("import", v.base / "l.tar", "-l", "from-tar")
        changed = v("diff", "linked", "from-tar")[0]
        assert changed == b"", f"seed {seed}: {changed}"
        v("get", "from-tar", "-t", v.base / "out")
        same(tree, os.fsencode(v.base / "out"))
        # Numbers of inodes, which tar does not carry, stand for second names: without these the trees are one.
        without_second_names(tree)
        v("put", "--contents", tree, "-l", "put")
        shuffled = sorted(os.listdir(tree))
        dice.shuffle(shuffled)
        code, errors = tar(*ATTRIBUTES, "-S", "--format=posix", "-cf", v.base / "t.tar", "-C", tree, "--",
                           *(b"./" + name for name in shuffled))
        assert code == 0, errors
        v("import", v.base / "t.tar", "-l", "imported", "-j", str(1 + seed % 3))
        roots = v.roots()
        assert roots["put"] == roots["imported"], f"seed {seed}: " + v("diff", "put", "imported")[0].decode()
        v("export", "put", "-O", v.base / "e.tar")
        v("import", v.base / "e.tar", "-l", "exported")
        assert v.roots()["exported"] == roots["put"]


def plain_tree(top):
    """What the oldest tar can hold."""
    (top / "sub").mkdir(parents=True)
    (top / "a").write_bytes(b"a" * 1000)
    (top / "sub" / "b").write_bytes(os.urandom(300_000))
    (top / "sub" / "link").symlink_to("b")
    (top / ("n" * 90)).write_bytes(b"")
    for path in [*top.rglob("*")]:
        os.utime(path, (1_000_000_000, 1_000_000_000), follow_symlinks=False)


def case_all_kinds_and_compressions_are_read():
    v = Volume()
    plain_tree(v.base / "tree")
    v("put", "--contents", v.base / "tree", "-l", "put")
    for kind in ("ustar", "gnu", "posix"):
        assert tar(f"--format={kind}", "-cf", v.base / f"{kind}.tar", "-C", v.base / "tree", ".")[0] == 0
        v("import", v.base / f"{kind}.tar")
    data = (v.base / "gnu.tar").read_bytes()
    packed = {"gz": gzip.compress(data), "bz2": bz2.compress(data), "xz": lzma.compress(data),
              "gz2": gzip.compress(data[:5000]) + gzip.compress(data[5000:])}
    if shutil.which("zstd"):
        packed["zst"] = subprocess.run(["zstd", "-q"], input=data, stdout=subprocess.PIPE, check=True).stdout
    for name, what in packed.items():
        (v.base / f"{name}.tar.{name}").write_bytes(what)
        v("import", v.base / f"{name}.tar.{name}")
    roots = v.roots()
    assert set(roots) == {"put", "ustar", "gnu", "posix", *packed}, roots
    assert len(set(roots.values())) == 1, roots


def case_parts_sockets_and_terminals():
    v = Volume()
    tree = v.base / "tree"
    plain_tree(tree)
    os.link(tree / "a", tree / "sub" / "z")
    v("put", tree, "-l", "t")
    names = tarfile.open(fileobj=io.BytesIO(v("export", "t:tree/sub")[0])).getnames()
    assert names == ["tree/sub", "tree/sub/b", "tree/sub/link", "tree/sub/z"], names
    parts = tarfile.open(fileobj=io.BytesIO(v("export", "t", "tree/sub/z", "tree/a", "tree/a")[0]))
    assert [(m.name, m.type, m.linkname) for m in parts] == [
        ("tree/sub/z", tarfile.REGTYPE, ""), ("tree/a", tarfile.LNKTYPE, "tree/sub/z"),
        ("tree/a", tarfile.LNKTYPE, "tree/sub/z")]
    assert parts.extractfile("tree/sub/z").read() == b"a" * 1000
    v("export", "t", "tree/none", "-O", v.base / "none.tar", expect=NOT_FOUND)
    assert [p.name for p in v.base.iterdir() if "none.tar" in p.name] == []
    v("export", "t", "-O", v.base / "no" / "such", expect=NOT_FOUND)
    answer = json.loads(v("export", "t", "-O", v.base / "x.tar", "-o", "json")[0])
    assert answer["files"] == 5 and answer["bytes"] == (v.base / "x.tar").stat().st_size, answer
    here = os.getcwd()
    os.chdir(tree)
    trees.socket.socket(trees.socket.AF_UNIX).bind("s")
    os.chdir(here)
    v("put", tree, "-l", "t")
    out, errors = v("export", "t", expect=INCOMPLETE)
    assert "tree/s is a socket" in errors and "tree/s" not in tarfile.open(fileobj=io.BytesIO(out)).getnames()
    # Never to a terminal.
    main, other = pty.openpty()
    done = subprocess.run([PACKETFS, "export", "t"], env=v.env, stdout=other, stderr=subprocess.PIPE, timeout=SECONDS)
    os.close(other)
    os.close(main)
    assert done.returncode == USAGE and b"terminal" in done.stderr, done
    # Whoever reads may stop.
    process = v.start("export", "t")
    process.stdout.close()
    assert process.wait(SECONDS) == FAILED and b"write" in process.stderr.read()


def made(*members, cut=None, end=True, kind=tarfile.PAX_FORMAT, **more):
    """An archive of (name, fields or bytes)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind, **more) as t:
        for name, what in members:
            info = tarfile.TarInfo(name)
            data = what if isinstance(what, bytes) else b""
            info.size = len(data)
            for field, value in ({} if isinstance(what, bytes) else what).items():
                setattr(info, field, value)
            t.addfile(info, io.BytesIO(data))
        length = out.tell()
    data = out.getvalue()
    if not end:
        data = data[:length]
    return data[:cut] if cut else data


def link(to):
    return {"type": tarfile.LNKTYPE, "linkname": to}


def symlink(to):
    return {"type": tarfile.SYMTYPE, "linkname": to}


def folder():
    return {"type": tarfile.DIRTYPE, "mode": 0o755}


def flipped(data, at, bit=1):
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1:]


def lying_size(size):
    data = bytearray(made(("big", b"x")))
    data[124:136] = b"%011o\0" % size
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


def case_hostile_archives_are_refused_by_name():
    v = Volume()
    plain = made(("a", b"x" * 600), ("b", b"y" * 600))
    noise = os.urandom(3000)
    good_gzip = gzip.compress(made(("a", noise), ("b", b"y")), 0)
    for what, data, status, words in (
            ("traversal", made(("ok", b""), ("d/../../etc/passwd", b"x")), REFUSED, ["d/../../etc/passwd", '".."']),
            ("only dots", made(("..", folder())), REFUSED, ['".."']),
            ("absolute", made(("/etc/passwd", b"x")), REFUSED, ["/etc/passwd", "begins with '/'"]),
            ("absolute link", made(("a", b""), ("b", link("/a"))), REFUSED, ["/a", "begins with '/'"]),
            ("link out", made(("a", b""), ("b", link("../a"))), REFUSED, ["../a"]),
            ("link to nothing", made(("a", b""), ("b", link("none"))), DAMAGED, ['"b"', '"none"', "not there"]),
            ("link to a later one", made(("b", link("a")), ("a", b"")), DAMAGED, ['"a"', "not there"]),
            ("link to a folder", made(("a", folder()), ("b", link("a"))), REFUSED, ["folder"]),
            ("through a link", made(("e", symlink("/etc")), ("e/passwd", b"x")), REFUSED, ["e/passwd", "no folder"]),
            ("in a file", made(("f", b"x"), ("f/g", b"x")), REFUSED, ["f/g", "no folder"]),
            ("over a full folder", made(("d/e", b"x"), ("d", b"x")), REFUSED, ['"d"', "folder with entries"]),
            ("a long name", made(("d/" + "n" * 256, b"x")), REFUSED, ["more than 255 bytes"]),
            ("deep", made(("d/" * 2100 + "x", b"x")), FAILED, ["folders deep"]),
            ("too many attributes", made(("x", {"pax_headers": {"SCHILY.xattr.user.a": "b" * 70000}})), REFUSED, ["x"]),
            ("a wrong checksum", flipped(plain, 150), DAMAGED, ["damaged"]),
            ("a wrong checksum later", flipped(plain, 1536 + 10), DAMAGED, ["damaged", '"a"']),
            ("cut in a file", plain[:1000], DAMAGED, ['"a"']),
            ("cut between two", made(("a", b"x" * 600), end=False), DAMAGED, ['"a"', "cut off"]),
            ("cut in a header", plain[:1700], DAMAGED, ['"a"']),
            ("cut when packed", good_gzip[:2500], DAMAGED, []),
            ("cut xz", lzma.compress(plain)[:-20], DAMAGED, []),
            ("a flipped bit, packed", flipped(good_gzip, 1200), DAMAGED, ["checksum"]),
            ("a flipped bit in xz", flipped(lzma.compress(made(("a", noise))), 900), DAMAGED, []),
            ("nothing", b"", DAMAGED, ["empty"]),
            ("no tar", b"hello " * 1000, DAMAGED, ["no tar"]),
            ("noise", os.urandom(20_000), DAMAGED, ["no tar"]),
            ("a size that is not there", lying_size(7 << 30), DAMAGED, ["big"]),
            ("a bomb", bz2.compress(made(("zeros", bytes(20_000_000)))), None, None)):
        arguments = ("import", "-", "-l", "bad")
        if what == "a bomb":
            arguments += ("--limit", "1M")
            status, words = FAILED, ["zeros", "1048576"]
        process = v.start(*arguments, stdin=subprocess.PIPE)
        out, errors = process.communicate(data, timeout=SECONDS)
        errors = errors.decode(errors="replace")
        assert process.returncode == status, f"{what}: {process.returncode} {errors}"
        for word in words:
            assert word in errors, f"{what}: no {word} in {errors}"
        assert not out, out
    v.clean(0)
    v("import", "-", "--relative", "-l", "taken", given=made(("/a/b", b"x"), ("/a/c", link("/a/b"))))
    assert v("get", "taken:a/c", "-")[0] == b"x"
    v("import", v.base / "missing.tar", expect=NOT_FOUND)
    v.clean(1)


def case_what_comes_last_wins():
    v = Volume()
    v("import", "-", "-l", "t", given=made(
        ("./f", b"old"), ("h", link("f")), ("f", b"new"), ("d/x", b"1"), ("d", {"type": tarfile.DIRTYPE, "mode": 0o700}),
        ("e", folder()), ("e", symlink("f")), ("s", symlink("../../out")), ("s", folder()), ("s/y", b"2"),
        ("n", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}), ("p", {"type": tarfile.FIFOTYPE}),
        ("out", symlink("/etc/shadow")), (".", {"type": tarfile.DIRTYPE, "mode": 0o123})))
    rows = {r["path"]: r for r in json.loads(v("ls", "-r", "t", "-o", "json")[0])}
    assert set(rows) == {"f", "h", "d", "d/x", "e", "s", "s/y", "n", "p", "out"}, rows.keys()
    assert v("get", "t:f", "-")[0] == b"new" and v("get", "t:h", "-")[0] == b"old" and v("get", "t:s/y", "-")[0] == b"2"
    with tarfile.open(fileobj=io.BytesIO(v("export", "t")[0])) as t:
        kinds = {m.name: m for m in t}
    assert kinds["d"].mode == 0o700 and kinds["e"].linkname == "f" and kinds["s"].isdir()
    assert kinds["out"].linkname == "/etc/shadow" and kinds["n"].devminor == 3 and kinds["p"].isfifo()
    v("import", "-", "-l", "less", "-x", "d", "-x", "/s/y", "-x", "*.o",
      given=made(("d/x", b"1"), ("s/y", b"2"), ("s/z.o", b"3"), ("./k", b"4")))
    assert [r["path"] for r in json.loads(v("ls", "-r", "less", "-o", "json")[0])] == ["k"]


def case_a_name_that_changes_hands_joins_no_two_files():
    v = Volume()
    v("import", "-", "-l", "t", given=made(("f", b"old"), ("h", link("f")), ("f", b"new!"), ("g", link("f"))))
    want = {"f": b"new!", "g": b"new!", "h": b"old"}
    v("get", "t", "-t", v.base / "out")
    assert {p.name: p.read_bytes() for p in (v.base / "out").iterdir()} == want
    assert (v.base / "out/f").samefile(v.base / "out/g") and not (v.base / "out/f").samefile(v.base / "out/h")
    with tarfile.open(fileobj=io.BytesIO(v("export", "t")[0])) as t:
        assert {m.name: t.extractfile(m).read() for m in t} == want


def case_a_link_to_what_is_excluded_is_left_out():
    v = Volume()
    data = made(("d/a", b"1"), ("b", link("d/a")), ("c", b"2"), ("e", link("./c")))
    for pattern in ("d", "a", "/d/a"):
        _, errors = v("import", "-", "-l", "t", "-x", pattern, given=data, expect=INCOMPLETE)
        assert "b: is another name of d/a, which is excluded" in errors, errors
        assert not {"b", "d/a"} & {r["path"] for r in json.loads(v("ls", "-r", "t", "-o", "json")[0])}
        assert v("get", "t:e", "-")[0] == b"2"
    v("import", "-", "-l", "t", "-x", "d", "-x", "b", given=data)


def case_large_numbers_and_strange_owners():
    v = Volume()
    members = [("far", {"mtime": 253402300799.25}), ("before", {"mtime": -86400}),
               ("owned", {"uid": 4_000_000_000, "gid": 3_000_000_000, "uname": "ümlaut", "gname": "g" * 40})]
    v("import", "-", "-l", "t", given=made(*members))
    with tarfile.open(fileobj=io.BytesIO(v("export", "t")[0])) as t:
        out = {m.name: m for m in t}
    assert out["far"].mtime == 253402300799.25 and out["before"].mtime == -86400
    m = out["owned"]
    assert (m.uid, m.gid, m.uname, m.gname) == (4_000_000_000, 3_000_000_000, "ümlaut", "g" * 40)
    # 9 GiB of zeros that are not stored, and one byte: more than an octal size holds.
    with open(v.base / "huge", "wb") as f:
        f.truncate((9 << 30) + 5)
        f.seek(8 << 30)
        f.write(b"!")
    v("put", v.base / "huge", "-l", "huge")
    v("export", "huge", "-O", v.base / "huge.tar")
    assert (v.base / "huge.tar").stat().st_size < 1 << 20
    (v.base / "gnu").mkdir()
    assert tar("-xf", v.base / "huge.tar", "-C", v.base / "gnu") == (0, "")
    same(v.base / "gnu", v.base / "gnu")
    assert trees.file_difference(v.base / "huge", v.base / "gnu/huge", (9 << 30) + 5, True) is None
    v("import", v.base / "huge.tar", "-l", "back")
    assert v.roots()["back"] == v.roots()["huge"]


def case_a_killed_import_leaves_a_clean_volume():
    v = Volume()
    dice = random.Random(4)
    members = [(f"d{i % 7}/f{i}", dice.randbytes(dice.randrange(200_000))) for i in range(150)]
    data = made(*members)
    (v.base / "t.tar").write_bytes(data)
    began = time.monotonic()
    v("import", v.base / "t.tar", "-l", "whole")
    longest = time.monotonic() - began
    killed = snapshots = i = 0
    while killed < KILLS and i < 4 * KILLS:
        i += 1
        # New bytes each time, so that there is something to store.
        (v.base / "k.tar").write_bytes(made(*((name, b"%d" % i + what) for name, what in members)))
        began = time.monotonic()
        process = v.start("import", v.base / "k.tar", "-l", "killed")
        try:
            process.communicate(timeout=dice.random() * longest)
            snapshots += 1
            longest = min(longest, time.monotonic() - began)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
        # The kill may have come after the snapshot was made, and before the program had ended.
        labels = [s["label"] for s in json.loads(v("log", "-o", "json")[0])]
        assert labels.count("whole") == 1 and snapshots <= labels.count("killed") <= snapshots + killed
        v("check")
    assert killed > KILLS // 4, f"only {killed} of {i} were killed in time"
    v("import", v.base / "t.tar", "-l", "again")
    assert v.roots()["again"] == v.roots()["whole"]
    v("prune")
    v("check", "--full")


def case_acls_and_attributes_by_the_letter():
    v = Volume()
    acl = bytes.fromhex("02000000" "01000600ffffffff" "0200040007000000" "02000500e8030000" "04000400ffffffff"
                        "08000100e9030000" "10000600ffffffff" "20000000ffffffff")
    v("import", "-", "-l", "t", given=made(("a", {"mode": 0o660, "pax_headers": {
        "SCHILY.acl.access": "user::rw-,user:1000:r-x,user:7:r--,group::r--,group:1001:--x,mask::rw-,other::---",
        "SCHILY.xattr.user.b%3Dc%25": "v", "SCHILY.xattr.user.utf8": "ü"}})))
    with tarfile.open(fileobj=io.BytesIO(v("export", "t")[0])) as t:
        m = t.getmember("a")
    assert m.mode == 0o660, oct(m.mode)
    assert m.pax_headers["SCHILY.acl.access"] == \
        "user::rw-,user:7:r--,user:1000:r-x,group::r--,group:1001:--x,mask::rw-,other::---", m.pax_headers
    assert m.pax_headers["SCHILY.xattr.user.b%3Dc%25"] == "v" and m.pax_headers["SCHILY.xattr.user.utf8"] == "ü"
    if not trees.ROOT:
        return
    v("get", "t", "-t", v.base / "out")
    assert os.getxattr(v.base / "out/a", "system.posix_acl_access") == acl
    assert os.getxattr(v.base / "out/a", "user.b=c%") == b"v"


if __name__ == "__main__":
    try:
        code = run_cases([value for name, value in list(globals().items()) if name.startswith("case_")])
    finally:
        subprocess.run(["rm", "-rf", str(work)], check=False)
    sys.exit(code)
