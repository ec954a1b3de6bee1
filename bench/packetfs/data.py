"""What is put: data sets in several versions, made here or found in this repository's history. Each is a list of (name, folder); from one
version to the next is what a second backup meets. size: 1 for the whole, less for less; "changed" is 1 GiB then, what the issue of the
goals names."""
import os
import pathlib
import random
import shutil
import subprocess


def files_bytes(folder):
    return sum(p.stat().st_size for p in pathlib.Path(folder).rglob("*") if p.is_file() and not p.is_symlink())


def random_bytes(path, size, seed):
    dice = random.Random(seed)
    with open(path, "wb") as f:
        for at in range(0, size, 1 << 24):
            f.write(dice.randbytes(min(1 << 24, size - at)))


def version(top, name):
    folder = top / name
    folder.mkdir(parents=True)
    return folder


def scaled(whole, size, least=1):
    return max(least, int(whole * size))


def random_data(top, size):
    one, two = version(top, "1"), version(top, "2")
    random_bytes(one / "random", scaled(512 << 20, size), 1)
    shutil.copy2(one / "random", two / "random")
    return [("random, 1 file", one), ("the same bytes in a new file", two)]


def changed(top, size):
    """One file: one byte changed, 1 KiB in front, blocks swapped."""
    size = scaled(1024, size, 16) << 20
    base = version(top, "1") / "file"
    random_bytes(base, size, 2)
    data = bytearray(base.read_bytes())
    versions = [("one file", base.parent)]
    folder = version(top, "2")
    data[size // 2] ^= 1
    (folder / "file").write_bytes(data)
    data[size // 2] ^= 1
    versions.append(("one byte changed", folder))
    folder = version(top, "3")
    with open(folder / "file", "wb") as f:
        f.write(random.Random(3).randbytes(1024))
        f.write(data)
    versions.append(("1 KiB in front", folder))
    folder = version(top, "4")
    block = size // 16
    order = list(range(16))
    random.Random(4).shuffle(order)
    with open(folder / "file", "wb") as f:
        for i in order:
            f.write(data[i * block:(i + 1) * block])
    versions.append(("16 blocks in another order", folder))
    return versions


def commits(source, count):
    """So many of the history, oldest first; a shallow clone gives fewer."""
    all_of_them = subprocess.run(["git", "-C", source, "rev-list", "--reverse", "HEAD"], capture_output=True, text=True,
                                 check=True).stdout.split()
    step = max(1, len(all_of_them) // count)
    return all_of_them[::-1][::step][:count][::-1]


def archive(source, commit, folder):
    tar = subprocess.Popen(["git", "-C", source, "archive", commit], stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", folder], stdin=tar.stdout, check=True)
    assert tar.wait() == 0


def sources(top, size):
    """This repository's versions, and beside each the libraries that it is built with (which hardly change)."""
    source = os.environ["HM_SOURCE"]
    versions = []
    for i, commit in enumerate(commits(source, scaled(6, size, 2))):
        folder = version(top, str(i))
        (folder / "repository").mkdir()
        archive(source, commit, folder / "repository")
        for name in ("openssl", "blake3", "ngtcp2"):
            if (pathlib.Path(source) / ".deps" / name).is_dir():
                shutil.copytree(pathlib.Path(source) / ".deps" / name, folder / name, symlinks=True)
        versions.append((commit[:8], folder))
    return versions


def image(top, size):
    """An ext4 image made of each of some versions of the sources and of this machine's programs."""
    mke2fs = shutil.which("mke2fs", path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin")
    if mke2fs is None:
        return []
    source, versions = os.environ["HM_SOURCE"], []
    programs = scaled(256 << 20, size)
    for i, commit in enumerate(commits(source, 3)):
        tree = top / "tree"
        tree.mkdir(parents=True)
        archive(source, commit, tree)
        budget = programs
        for program in sorted(pathlib.Path("/usr/bin").iterdir()):
            size = program.stat().st_size if program.is_file() and not program.is_symlink() else 0
            if 0 < size < budget:
                shutil.copy2(program, tree / program.name)
                budget -= size
        folder = version(top, str(i))
        subprocess.run([mke2fs, "-q", "-F", "-t", "ext4", "-d", tree, "-E", "hash_seed=0d4f2f4e-8f5d-4c53-9b8c-111111111111",
                        "-U", "0d4f2f4e-8f5d-4c53-9b8c-222222222222", folder / "image",
                        f"{(programs >> 20) * 5 // 4 + 48}M"], check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(tree)
        versions.append((f"image of {commit[:8]}", folder))
    return versions


def small(top, size):
    """Many small files; then one in a hundred changed."""
    one, count = version(top, "1"), scaled(30_000, size)
    dice = random.Random(6)
    for i in range(count):
        folder = one / str(i // 500)
        if i % 500 == 0:
            folder.mkdir()
        (folder / str(i)).write_bytes(b"%d: " % i + dice.randbytes(dice.randrange(200, 4000)).hex().encode())
    two = top / "2"
    subprocess.run(["cp", "-a", one, two], check=True)
    for i in range(0, count, 100):
        with open(two / str(i // 500) / str(i), "ab") as f:
            f.write(b"changed")
    return [(f"{count} files", one), ("one in 100 changed", two)]


def logs(top, size):
    """Lines of a web server; then an eighth more."""
    dice = random.Random(7)
    one, two = version(top, "1"), version(top, "2")
    lines = scaled(2_000_000, size)
    paths = [f"/{dice.choice(['api', 'static', 'img', 'v1'])}/{dice.randrange(4000)}" for _ in range(2000)]
    agents = [f"Agent/{dice.randrange(90)}.{dice.randrange(9)} ({dice.randbytes(6).hex()})" for _ in range(80)]

    def write(path, first, last, mode):
        with open(path, mode) as f:
            for i in range(first, last):
                f.write(f"10.{i * 7 % 200}.{i * 13 % 251}.{dice.randrange(250)} - - [{i // 40:010d}] \"GET {dice.choice(paths)} "
                        f"HTTP/1.1\" {dice.choice((200, 200, 200, 304, 404))} {dice.randrange(90000)} \"{dice.choice(agents)}\"\n")

    write(one / "access.log", 0, lines, "w")
    shutil.copy2(one / "access.log", two / "access.log")
    write(two / "access.log", lines, lines * 9 // 8, "a")
    return [(f"{lines} lines", one), ("an eighth more", two)]


def sample(folder, target, most):
    """One file of blocks of everything below the folder, at even distances, holes left out: what a stage is measured on alone."""
    files = sorted(p for p in pathlib.Path(folder).rglob("*") if p.is_file() and not p.is_symlink())
    step = max(1, -(-files_bytes(folder) // most))
    block = 1 << 20
    with open(target, "wb") as out:
        at = 0  # in all of them, one behind the other
        for path in files:
            with open(path, "rb") as f:
                while piece := f.read(block - at % block):
                    if at // block % step == 0 and piece.count(0) < len(piece):
                        out.write(piece)
                    at += len(piece)


SETS = {"changed": changed, "image": image, "sources": sources, "logs": logs, "small": small, "random": random_data}
