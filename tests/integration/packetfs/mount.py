#!/usr/bin/env python3
"""packetfs mount: snapshots as a read-only file system, held against the tree they were made of."""
import concurrent.futures
import contextlib
import errno
import os
import pathlib
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "node"))
from daemon import run_cases  # noqa: E402

PROGRAM = os.path.join(os.environ.get("HM_BIN", "build/gcc"), "packetfs")
SECONDS = 30
USAGE, NOT_FOUND, REFUSED = 2, 4, 5
work = pathlib.Path(tempfile.mkdtemp(prefix="hm-test-mount-"))
point, volume, source = work / "point", work / "volume", work / "source"
environment = dict(os.environ, PACKETFS_KEY_DIR=str(work / "keys"), PACKETFS_VOLUME=str(volume))
# libfuse forgets folders that are open when it is told to end; under the leak sanitizer that would be a failure of ours.
(work / "known_leaks").write_text("leak:libfuse3.so\n")
environment["LSAN_OPTIONS"] = f"suppressions={work}/known_leaks:print_suppressions=0"
dice = random.Random(7)


def run(*arguments, expect=0):
    done = subprocess.run([PROGRAM, *map(str, arguments)], env=environment, capture_output=True, timeout=120,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == expect, (arguments, done.returncode, done.stderr.decode())
    return done


def no_fuse():
    """Why nothing can be mounted here, or None."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse is not usable"
    if shutil.which("fusermount3") is None and os.geteuid() != 0:
        return "there is no fusermount3"
    if os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        return "this root may not mount"
    return None


def is_mounted(path=None):
    path = str(path or point)
    return any(line.split()[1] == path for line in pathlib.Path("/proc/self/mounts").read_text().splitlines())


def wait_until(condition, what):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@contextlib.contextmanager
def mounted(*arguments, leave=signal.SIGTERM):
    process = subprocess.Popen([PROGRAM, "mount", "-f", str(point), *arguments], env=environment,
                               stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: is_mounted() or process.poll() is not None, "it is never mounted")
        assert process.poll() is None, process.stderr.read().decode()
        yield process
        process.send_signal(leave)
        assert process.wait(SECONDS) == 0, process.stderr.read().decode()
        assert not is_mounted()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if is_mounted():
            subprocess.run(["umount", "-l", str(point)], check=False)
        process.stderr.close()


def make_source():
    (source / "sub" / "deep" / "er").mkdir(parents=True)
    (source / "empty folder").mkdir()
    (source / "empty").touch()
    (source / "big").write_bytes(dice.randbytes(5_000_000))
    (source / "sub" / "text").write_text("hello\n" * 1000)
    os.link(source / "sub" / "text", source / "same text")
    os.link(source / "sub" / "text", source / "sub" / "deep" / "third name")
    (source / "link").symlink_to("sub/text")
    (source / "nowhere").symlink_to("/does/not/exist")
    os.mkfifo(source / "fifo", 0o640)
    with open(source / "sparse", "wb") as file:
        file.write(b"begin")
        file.seek(5 << 30)
        file.write(b"end")
    with open(os.fsencode(source) + b"/bad\xff\xfename\n", "wb") as file:
        file.write(b"x")
    for i in range(2000):
        (source / "sub" / "deep" / f"many {i}").write_text(str(i))
    os.chmod(source / "empty", 0o4751)
    os.utime(source / "sub" / "text", ns=(0, -123_456_789_012_345_678))
    try:
        os.setxattr(source / "big", "user.test", b"\0value\xff")
        os.setxattr(source / "sub", "user.folder", b"")
    except OSError:
        pass  # a file system without; then there is nothing to compare


def attributes(path):
    """All of an entry that a snapshot keeps, without what belongs to its file system."""
    st = os.lstat(path)
    kind = stat.S_IFMT(st.st_mode)
    names = {}
    with contextlib.suppress(OSError):
        names = {name: os.getxattr(path, name, follow_symlinks=False)
                 for name in os.listxattr(path, follow_symlinks=False) if name.startswith("user.")}
    return {"mode": st.st_mode, "uid": st.st_uid, "gid": st.st_gid, "mtime": st.st_mtime_ns, "xattrs": names,
            "size": st.st_size if kind in (stat.S_IFREG, stat.S_IFLNK) else None,
            "nlink": st.st_nlink if kind == stat.S_IFREG else None,
            "target": os.readlink(path) if kind == stat.S_IFLNK else None}


def walk(top):
    top = os.fsencode(top)
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            yield os.path.relpath(path, top), path


def check_same(top):
    ours, theirs = dict(walk(source)), dict(walk(top))
    assert ours.keys() == theirs.keys(), ours.keys() ^ theirs.keys()
    for name, path in ours.items():
        assert attributes(path) == attributes(theirs[name]), (name, attributes(path), attributes(theirs[name]))
        if stat.S_ISREG(os.lstat(path).st_mode) and os.lstat(path).st_size < 1 << 30:
            with open(path, "rb") as a, open(theirs[name], "rb") as b:
                assert a.read() == b.read(), name


def everything_is_as_it_was():
    with mounted("first"):
        check_same(point)
        one, two = os.stat(point / "same text"), os.stat(point / "sub" / "deep" / "third name")
        assert one.st_ino == two.st_ino and one.st_nlink == 3
        with open(point / "sparse", "rb") as file:
            assert file.read(10) == b"begin" + bytes(5)
            file.seek((5 << 30) - 4)
            assert file.read() == bytes(4) + b"end"


def holes_are_known():
    with mounted("first"), open(point / "sparse", "rb") as file:
        end = os.fstat(file.fileno()).st_size
        hole = os.lseek(file.fileno(), 0, os.SEEK_HOLE)
        data = os.lseek(file.fileno(), hole, os.SEEK_DATA)
        assert 5 <= hole <= 65536 and (5 << 30) - 65536 <= data <= 5 << 30, (hole, data)
        assert os.lseek(file.fileno(), data, os.SEEK_HOLE) == end
        assert os.lseek(file.fileno(), 1, os.SEEK_DATA) == 1
        try:
            os.lseek(file.fileno(), end, os.SEEK_DATA)
            raise AssertionError("data behind the end")
        except OSError as error:
            assert error.errno == errno.ENXIO
    with mounted("first"):
        subprocess.run(["cp", "--sparse=auto", point / "sparse", work / "copy"], check=True, timeout=SECONDS)
        assert os.stat(work / "copy").st_size == end and os.stat(work / "copy").st_blocks < 1000


def reads_anywhere_from_many_threads():
    data = (source / "big").read_bytes()

    def read(seed):
        own = random.Random(seed)
        with open(point / "big", "rb", buffering=0) as file:
            for _ in range(60):
                at, length = own.randrange(len(data) + 1000), own.randrange(200_000)
                file.seek(at)
                got = b""
                while len(got) < length:
                    piece = file.read(length - len(got))
                    if not piece:
                        break
                    got += piece
                assert got == data[at:at + length], (at, length)

    with mounted("first"):
        with open(point / "big", "rb") as file:  # not from the kernel's memory
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(read, range(8)))


def all_snapshots_are_folders():
    with mounted():
        assert sorted(os.listdir(point)) == ["_latest", "a_b", "first", "latest"]
        times = sorted(os.listdir(point / "first"))
        assert len(times) == 2 and times[1] == "latest" and times[0].startswith("2"), times
        assert os.readlink(point / "first" / "latest") == times[0]
        check_same(point / "first" / "latest")
        assert (point / "latest").resolve().parent.name == "_latest"
        assert (point / "a_b" / "latest" / "text").read_text() == "hello\n" * 1000
        for name in ["nobody", "first/2000-01-01T00:00:00Z", "first/latest/nobody", "first/latest/big/x"]:
            try:
                os.stat(point / name)
                raise AssertionError(name)
            except (FileNotFoundError, NotADirectoryError):
                pass


def a_new_snapshot_shows_up():
    with mounted():
        assert "new" not in os.listdir(point)
        run("put", "--label", "new", source / "sub" / "text")
        wait_until(lambda: "new" in os.listdir(point), "it is never shown")
        assert (point / "new" / "latest" / "text").read_text().startswith("hello")
        run("rm", "new")
        wait_until(lambda: "new" not in os.listdir(point), "it is shown for ever")


def nothing_can_be_written():
    with mounted("first"):
        for act in [lambda: (point / "new").touch(), lambda: (point / "big").unlink(), lambda: (point / "d").mkdir(),
                    lambda: open(point / "big", "r+b").close(), lambda: os.chmod(point / "big", 0o600),
                    lambda: os.rename(point / "big", point / "gig")]:
            try:
                act()
                raise AssertionError("it was let")
            except OSError as error:
                assert error.errno == errno.EROFS, error


def signals_unmount():
    for number in [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]:
        with mounted("first", leave=number):
            assert (point / "empty").exists()
    for _ in range(20):  # as soon as it is seen: nothing waits for a second signal, nothing stays mounted
        with mounted("first"):
            pass


def the_background():
    run("mount", point, "first")
    assert is_mounted()
    check_same(point)
    subprocess.run(["fusermount3" if shutil.which("fusermount3") else "umount", *(["-u"] if shutil.which("fusermount3")
                    else []), str(point)], check=True)
    wait_until(lambda: not is_mounted(), "it stays")
    # Names told from where it was started hold in the background, too.
    done = subprocess.run([PROGRAM, "-V", "volume", "--key-dir", "keys", "mount", "point", "first"], cwd=work,
                          stdin=subprocess.DEVNULL, capture_output=True, env=dict(os.environ), timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert (point / "empty").exists()
    options = next(line.split()[3] for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()
                   if line.split()[1] == str(point))
    assert {"ro", "nosuid", "nodev"} <= set(options.split(",")), options
    subprocess.run(["umount" if os.geteuid() == 0 else "fusermount3", *([] if os.geteuid() == 0 else ["-u"]), str(point)],
                   check=True)
    wait_until(lambda: not is_mounted(), "it stays")


def what_makes_no_sense_is_refused():
    assert b"is no folder" in run("mount", "-f", work / "nowhere", expect=NOT_FOUND).stderr
    assert b"is no folder" in run("mount", "-f", source / "big", expect=NOT_FOUND).stderr
    assert b"nosuch" in run("mount", "-f", point, "nosuch", expect=NOT_FOUND).stderr
    run("mount", expect=USAGE)
    run("mount", "--key-dir", source, "-f", point, expect=REFUSED)
    assert not is_mounted()


def damage_is_an_error_and_never_other_bytes():
    """Every pack is damaged in its middle: what is read is right, or an error."""
    copy = work / "damaged"
    shutil.copytree(volume, copy)
    for pack in (copy / "packs").rglob("*"):
        if pack.is_file() and pack.stat().st_size > 4 << 20:
            with open(pack, "r+b") as file:
                file.seek(pack.stat().st_size // 2)
                file.write(dice.randbytes(64))
    data, failed = (source / "big").read_bytes(), 0
    with mounted("-V", str(copy), "first"):
        with open(point / "big", "rb", buffering=0) as file:
            for at in range(0, len(data), 65536):
                try:  # short where the next byte would be an error
                    got = os.pread(file.fileno(), 65536, at)
                    assert got == data[at:at + len(got)], at
                    failed += len(got) < len(data[at:at + 65536])
                except OSError as error:
                    assert error.errno == errno.EIO
                    failed += 1
    assert 0 < failed < 40, failed


reason = no_fuse()
if reason:
    print(f"skip mount: {reason}")
    sys.exit(0)
try:
    point.mkdir()
    source.mkdir()
    make_source()
    run("init")
    run("put", "--label", "first", "--contents", source)
    run("put", "--label", "a/b", source / "sub" / "text")
    run("put", "--label", "latest", source / "sub" / "text")
    run_cases([everything_is_as_it_was, holes_are_known, reads_anywhere_from_many_threads, all_snapshots_are_folders,
               a_new_snapshot_shows_up, nothing_can_be_written, signals_unmount, the_background,
               what_makes_no_sense_is_refused, damage_is_an_error_and_never_other_bytes])
finally:
    if is_mounted():
        subprocess.run(["umount", "-l", str(point)], check=False)
    shutil.rmtree(work, ignore_errors=True)
