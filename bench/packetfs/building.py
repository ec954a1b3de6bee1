"""The peers that are Go programs, built in .deps/packetfs-peers of their modules, which Go checks against go.sum or its checksum database.
What cannot be had is said, not fetched in another way."""
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
CACHE = HERE.parent.parent / ".deps" / "packetfs-peers"
BUILD_SECONDS = 1800  # of one processor, once
# name: (package, tags); its module, version and checksums stand in NAME/go.mod and go.sum
GO = {"kopia": ("github.com/kopia/kopia", "nohtmlui")}
# Not in the checksum database that is reachable where this was written, so no go.sum can vouch for it: taken where it is installed.
INSTALLED = {"desync": "Go's checksum database does not answer for it, so it is not built; one on the PATH is used"}


def last_line(path):
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1][:160] if lines else "no reason given"


def build(name):
    """(program, None), or (None, why not)."""
    package, tags = GO[name]
    target = CACHE / name
    stamp = "\n".join((HERE / name / file).read_text() for file in ("go.mod", "go.sum")) + tags
    if (target / "stamp").exists() and (target / "stamp").read_text() == stamp:
        return target / name, None
    if shutil.which("go") is None:
        return None, "no Go compiler here"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(HERE / name, target / "source")
    print(f"building {name} in .deps/packetfs-peers (once; minutes)", file=sys.stderr, flush=True)
    log = target / "build.log"
    with open(log, "wb") as out:
        try:
            code = subprocess.run(["nice", "go", "build", "-p", "1", "-mod=readonly", "-buildvcs=false", "-tags", tags, "-o", f"../{name}", package],
                                  cwd=target / "source", stdout=out, stderr=out, timeout=BUILD_SECONDS, check=False,
                                  env={**os.environ, "CGO_ENABLED": "0"}).returncode
        except subprocess.TimeoutExpired:
            code = "too slow"
    if code != 0:
        return None, f"it does not build here ({code}; see .deps/packetfs-peers/{name}/build.log)"
    (target / "stamp").write_text(stamp)
    return target / name, None


def find(name):
    """(program, None), or (None, why not)."""
    if name in GO:
        return build(name)
    program = shutil.which(name)
    return (pathlib.Path(program), None) if program else (None, INSTALLED[name])
