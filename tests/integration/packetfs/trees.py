"""Trees for the tests of packetfs: made with everything a file system holds, or by dice and changed by dice; and compared,
byte by byte and stat by stat."""
import os
import pathlib
import random
import socket
import stat
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "node"))

DRIVER = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
ROOT = os.geteuid() == 0
NAMES = [b"plain", b"with space", b"new\nline", b"\xff\xfe\x80 bytes", "ümlaut".encode(), b"-dash", b"*?[]", b"a" * 255,
         b".hidden", b"\x01\x1b[31m", b"zz", b"tab\t"]


class World:
    """A folder with keys, a cache and volumes of its own."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hm-test-pfs-"))
        self.env = dict(os.environ, PACKETFS_KEY_DIR=str(self.dir / "keys"), XDG_CACHE_HOME=str(self.dir / "cache"))
        self.volume = self.dir / "volume"
        self.call("create", self.volume)

    def start(self, *args, **options):
        return subprocess.Popen([str(DRIVER), *map(os.fsencode, map(str_or_bytes, args))], env=self.env,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def call(self, *args, expect=0, seconds=300, **options):
        """(standard output, standard error) as bytes; the exit status must be the one expected."""
        done = subprocess.run([str(DRIVER), *map(os.fsencode, map(str_or_bytes, args))], env=self.env,
                              capture_output=True, timeout=seconds, check=False, **options)
        assert done.returncode == expect, \
            f"{args[0]} ended with {done.returncode}, not {expect}: {done.stderr[-800:]!r}"
        return done.stdout, done.stderr

    def remove(self):
        subprocess.run(["rm", "-rf", str(self.dir)], check=False)


def str_or_bytes(value):
    return value if isinstance(value, bytes) else str(value)


def hole_file(path, size, pieces):
    with open(path, "wb") as f:
        f.truncate(size)
        for at, data in pieces:
            f.seek(at)
            f.write(data)


def everything(top, small=2000):
    """One of each, under the folder top (bytes)."""
    dice = random.Random(5)
    os.mkdir(top)
    join = os.path.join
    for i, name in enumerate(NAMES):
        with open(join(top, name), "wb") as f:
            f.write(dice.randbytes(i * 1000))
        os.utime(join(top, name), ns=(1, 1_000_000_000 * i + 123_456_789))
    os.utime(join(top, b"plain"), ns=(1, -1_500_000_001))  # before 1970
    os.mkdir(join(top, b"empty"), 0o711)
    os.mkdir(join(top, b"many"))
    for i in range(small):
        with open(join(top, b"many/%d" % i), "wb") as f:
            f.write(b"file %d\n" % i * (i % 50))
    with open(join(top, b"large"), "wb") as f:
        f.write(dice.randbytes(9_000_001))
    os.chmod(join(top, b"large"), 0o4751)
    hole_file(join(top, b"holes"), 50_000_000, [(0, b"start"), (4096 * 700, b"middle" * 3000), (49_000_000, b"end")])
    hole_file(join(top, b"only a hole"), 3_000_000, [])
    hole_file(join(top, b"over 4 GiB"), (5 << 30) + 7, [((4 << 30) + 4096, b"far out"), ((5 << 30), b"the end")])
    os.link(join(top, b"large"), join(top, b"many/large again"))
    os.link(join(top, b"large"), join(top, b"a large name before"))
    os.symlink(b"/nowhere/\xff", join(top, b"link"))
    os.symlink(b"x" * 4000, join(top, b"long link"))
    os.utime(join(top, b"link"), ns=(1, 987_654_321_012_345_678), follow_symlinks=False)
    os.mkfifo(join(top, b"pipe"), 0o640)
    here = os.getcwd()
    os.chdir(top)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("socket")
    os.chdir(here)
    for name, value in ((b"user.colour", b"blue\x00\xff"), (b"user.empty", b""), (b"user.long", b"v" * 3000)):
        os.setxattr(join(top, b"plain"), name, value)
    os.setxattr(join(top, b"empty"), b"user.folder", b"yes")
    acl = bytes.fromhex("02000000" "01000600ffffffff" "0200040001000000" "04000400ffffffff" "10000600ffffffff"
                        "20000000ffffffff")
    os.setxattr(join(top, b"zz"), b"system.posix_acl_access", acl)
    os.setxattr(join(top, b"empty"), b"system.posix_acl_default", acl)
    if ROOT:
        os.chown(join(top, b"zz"), 1234, 4321)
        os.lchown(join(top, b"link"), 77, 88)
        os.setxattr(join(top, b"zz"), b"trusted.packetfs", b"root only")
        os.setxattr(join(top, b".hidden"), b"security.capability",
                    bytes.fromhex("0100000200040000000000000000000000000000"))
        os.mknod(join(top, b"null"), 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.mknod(join(top, b"loop"), 0o600 | stat.S_IFBLK, os.makedev(7, 250))
    deep = top
    for i in range(400):  # longer than PATH_MAX in all
        deep = b"deep-folder-%d" % i
        os.mkdir(join(top, deep) if i == 0 else deep)
        os.chdir(join(top, deep) if i == 0 else deep)
    with open("bottom", "w") as f:
        f.write("here")
    os.chdir(here)
    os.chmod(join(top, b"many"), 0o555)
    os.utime(join(top, b"many"), ns=(1, 42_000_000_001))


def extents(fd, size):
    """Where data begins and ends."""
    found, at = [], 0
    while at < size:
        try:
            begin = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            break
        at = os.lseek(fd, begin, os.SEEK_HOLE)
        found.append((begin, at))
    return found


def file_difference(a, b, size, sparse):
    with open(a, "rb", opener=lambda p, f: os.open(p, f | os.O_NOATIME)) as x, open(b, "rb") as y:
        left, right = extents(x.fileno(), size), extents(y.fileno(), size)
        if sparse and left != right:
            return f"data at {left[:5]}, restored at {right[:5]}"
        for begin, end in left if sparse else [(0, size)]:
            while begin < end:
                n = min(1 << 20, end - begin)
                if os.pread(x.fileno(), n, begin) != os.pread(y.fileno(), n, begin):
                    return f"bytes from {begin} on"
                begin += n
    return None


def attributes(path):
    s = os.lstat(path)
    shown = {"type": stat.S_IFMT(s.st_mode), "uid": s.st_uid, "gid": s.st_gid, "mtime": s.st_mtime_ns,
             "xattrs": {n: os.getxattr(path, n, follow_symlinks=False)
                        for n in os.listxattr(path, follow_symlinks=False)}}
    if not stat.S_ISLNK(s.st_mode):
        shown["mode"] = s.st_mode
    if not stat.S_ISDIR(s.st_mode):
        shown["names"] = s.st_nlink
        shown["size"] = s.st_size
    if stat.S_ISLNK(s.st_mode):
        shown["target"] = os.readlink(path)
    if stat.S_ISCHR(s.st_mode) or stat.S_ISBLK(s.st_mode):
        shown["device"] = s.st_rdev
    return s, shown


def differences(a, b, sparse=True, most=5, top=True):
    """Sentences; none when the trees are identical (the top folder's own attributes apart). By names relative to each folder, so that
    paths may be of any length."""
    found, links = [], {}

    def compare(one, two, path):
        if len(found) >= most:
            return
        left, right = (sorted(map(os.fsencode, os.listdir(fd))) for fd in (one, two))
        for name in sorted(set(left) ^ set(right))[:most]:
            found.append(f"{path!r}/{name!r} is in one of them only")
        for name in sorted(set(left) & set(right)):
            x, y = b"/proc/self/fd/%d/%s" % (one, name), b"/proc/self/fd/%d/%s" % (two, name)
            (s, p), (t, q) = attributes(x), attributes(y)
            if p != q:
                found.append(f"{path!r}/{name!r}: " + ", ".join(f"{k}: {p.get(k)!r} became {q.get(k)!r}"
                                                                for k in p if p.get(k) != q.get(k))[:600])
                continue
            if s.st_nlink > 1 and not stat.S_ISDIR(s.st_mode) and links.setdefault(s.st_ino, t.st_ino) != t.st_ino:
                found.append(f"{path!r}/{name!r} is no longer linked to its other names")
            if stat.S_ISREG(s.st_mode) and (what := file_difference(x, y, s.st_size, sparse)):
                found.append(f"{path!r}/{name!r}: {what}")
            if stat.S_ISDIR(s.st_mode):
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                p, q = os.open(name, flags, dir_fd=one), os.open(name, flags, dir_fd=two)
                compare(p, q, path + b"/" + name)
                os.close(p)
                os.close(q)

    sys.setrecursionlimit(10000)
    one, two = os.open(a, os.O_RDONLY | os.O_DIRECTORY), os.open(b, os.O_RDONLY | os.O_DIRECTORY)
    compare(one, two, b"")
    os.close(one)
    os.close(two)
    return found


# --- trees by dice ---------------------------------------------------------------------------------------------------------
def some_bytes(dice):
    kind = dice.randrange(5)
    if kind == 0:
        return b""
    if kind == 1:
        return dice.randbytes(dice.randrange(1, 200))
    if kind == 2:
        return (b"%d " % dice.randrange(1000)) * dice.randrange(1, 60_000)
    if kind == 3:
        return bytes(dice.randrange(1, 500_000))
    return dice.randbytes(dice.randrange(1, 900_000))


def folders_of(top):
    return [path for path, _, _ in os.walk(top)]


def files_of(top):
    return [os.path.join(path, name) for path, _, names in os.walk(top) for name in names]


def grow(dice, top, count):
    """Adds so many things to a tree."""
    for _ in range(count):
        folder = dice.choice(folders_of(top))
        path = os.path.join(folder, b"%d%s" % (dice.randrange(10_000), dice.choice(NAMES)[:100]))
        files = files_of(top)
        if os.path.lexists(path):
            continue
        kind = dice.randrange(10)
        if kind < 2:
            os.mkdir(path)
        elif kind == 2:
            os.symlink(dice.choice(NAMES)[:200], path)
        elif kind == 3 and files:
            os.link(dice.choice(files), path, follow_symlinks=False)
        elif kind == 4:
            os.mkfifo(path)
        else:
            with open(path, "wb") as f:
                f.write(some_bytes(dice))
            os.utime(path, ns=(dice.randrange(1 << 60), dice.randrange(1 << 60)))
            os.chmod(path, dice.randrange(0o1000) | 0o400)


def edit(dice, top, count):
    """One of many things happens to so many files."""
    for _ in range(count):
        files = [path for path in files_of(top) if not os.path.islink(path) and os.path.isfile(path)]
        if not files:
            grow(dice, top, 3)
            continue
        path = dice.choice(files)
        os.chmod(path, 0o600)
        with open(path, "rb") as f:
            data = bytearray(f.read())
        at = dice.randrange(len(data) + 1)
        what = dice.randrange(8)
        if what == 0:
            data[at:at] = dice.randbytes(dice.randrange(1, 5000))
        elif what == 1:
            del data[at:at + dice.randrange(1, 100_000)]
        elif what == 2 and data:
            data[at % len(data)] ^= 1 + dice.randrange(255)
        elif what == 3:
            half = len(data) // 2
            data = data[half:] + data[:half]
        elif what == 4:
            os.unlink(path)
            continue
        elif what == 5:
            target = os.path.join(dice.choice(folders_of(top)), b"moved%d" % dice.randrange(1000))
            if not os.path.lexists(target):
                os.rename(path, target)
            continue
        elif what == 6:
            grow(dice, top, 1)
            continue
        with open(path, "r+b") as f:
            f.write(data)
            f.truncate(len(data))
