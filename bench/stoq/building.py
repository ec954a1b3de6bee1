"""Builds the peers that bench/stoq has the source of, in .deps/bench/stoq, each when its source has changed."""
import hashlib
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".deps" / "bench" / "stoq"
BUILD_SECONDS = 3600  # BoringSSL and msquic's OpenSSL take minutes on one busy processor
RUST = {"quinn": ("cmake", "cc"), "s2nquic": ("cmake", "cc"), "quiche": ("cmake", "c++"),
        "msquic": ("cmake", "c++", "perl", "make")}  # what each needs beside cargo


def hash_of(*folders):
    sums = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                sums.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return sums.hexdigest()


def build_commands(name):
    """Commands that make ../peer out of the working folder, or the reason why they cannot be had."""
    needs = {"quicgo": ("go",), "tcptls": ("gcc",)}.get(name) or ("cargo", *RUST[name])
    missing = [program for program in needs if shutil.which(program) is None]
    if missing:
        return None, f"{' and '.join(missing)} not found here"
    if name == "quicgo":
        return [["go", "build", "-p", "1", "-buildvcs=false", "-o", "../peer", "."]], None
    if name in RUST:
        return [["cargo", "build", "--release", "-j1", "--target-dir", "../target"],
                ["cp", "../target/release/peer", "../peer"]], None
    ours = ROOT / ".deps" / "openssl"
    libraries = [str(ours / "lib/libssl.a"), str(ours / "lib/libcrypto.a")] if ours.exists() else ["-lssl", "-lcrypto"]
    compat = [str(ROOT / "third_party/isoc23.c")] if ours.exists() else []
    return [["gcc", "-O2", "-std=c17", "-D_GNU_SOURCE", f"-I{ours / 'include'}", "tcptls.c", *compat, "-o", "../peer",
             *libraries, "-lz", "-lzstd", "-ldl", "-pthread"]], None


def build(name):
    """Returns (path of the program, None) or (None, reason). Nothing is built when the source is as it was."""
    target, sources = CACHE / name, [HERE / name]
    if name in RUST:
        sources.append(HERE / "common")
    stamp = hash_of(*sources)
    if (target / "stamp").exists() and (target / "stamp").read_text() == stamp:
        return target / "peer", None
    commands, reason = build_commands(name)
    if commands is None:
        return None, reason
    for folder, source in zip(("source", "common"), sources):
        shutil.rmtree(target / folder, ignore_errors=True)
        shutil.copytree(source, target / folder)
    print(f"building {name} in {target.relative_to(ROOT)} (once; it may take many minutes)", file=sys.stderr)
    (target / "build.log").write_bytes(b"")
    for command in commands:
        with open(target / "build.log", "ab") as log:
            try:
                code = subprocess.run(["nice", *command], cwd=target / "source", stdout=log, stderr=log,
                                      timeout=BUILD_SECONDS).returncode
            except subprocess.TimeoutExpired:
                code = "timed out"
        if code != 0:
            return None, f"it does not build here ({command[0]}: {code}; see {target.relative_to(ROOT)}/build.log)"
    (target / "stamp").write_text(stamp)
    return target / "peer", None


def unpacked(*programs):
    """The folder where scripts/setup --bench stoq has unpacked `programs`, or (None, reason)."""
    folder = ROOT / ".deps" / "bench" / "debian"
    if not all((folder / program).exists() for program in programs):
        subprocess.run(["scripts/setup", "--bench", "stoq"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if not all((folder / program).exists() for program in programs):
        return None, "scripts/setup --bench stoq could not unpack them"
    return folder, None
