#!/usr/bin/env python3
"""A library as other people's programs meet it: what it exports, its header alone, and the example built against it.

The argument names it: stoq or packetfs.
"""
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

SOURCE = pathlib.Path(os.environ.get("HM_SOURCE", ".")).resolve()
BIN = pathlib.Path(os.environ.get("HM_BIN", "build/gcc")).resolve()
NAME = sys.argv[1]
FUNCTIONS_MIN = {"stoq": 50, "packetfs": 30}[NAME]  # fewer: this script cannot read the header any more
EXAMPLE = SOURCE / "examples" / {"stoq": "stoq-echo.c", "packetfs": "packetfs-copy.c"}[NAME]
EXAMPLE_LINES = 80
STRICT = ["-Wall", "-Wextra", "-Wshadow", "-Werror"]
work = pathlib.Path(tempfile.mkdtemp(prefix=f"hm-test-{NAME}-"))


def run(command, seconds=60, **options):
    """Its standard output; an error says what failed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=seconds, check=False,
                          **options)
    assert done.returncode == 0, f"{pathlib.Path(command[0]).name} ended with {done.returncode}: " \
                                 + " / ".join(done.stderr.strip().splitlines()[:6])
    return done.stdout


def libraries():
    return [path for path in BIN.glob(f"lib{NAME}.so.*.*") if path.is_file() and not path.is_symlink()]


def without_library():
    """Why there is no shared library here, or None. Missing where it should be is no reason."""
    options = json.loads((BIN / "meson-info" / "intro-buildoptions.json").read_text())
    sanitizer = next(option["value"] for option in options if option["name"] == "b_sanitize")
    if sanitizer not in ("none", []):
        return f"a build with sanitizers ({sanitizer}) has no shared library"
    assert libraries(), f"there is no lib{NAME}.so in {BIN.name}"
    return None


def declared():
    """Functions that the header declares: names before a parenthesis at the outermost level."""
    text = (SOURCE / "include" / f"{NAME}.h").read_text()
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*$", "", text, flags=re.MULTILINE)
    text = text.replace('extern "C" {', "")
    while (inner := re.sub(r"\{[^{}]*\}", "", text)) != text:
        text = inner
    statements = [s for s in text.split(";") if "typedef" not in s]
    found = [m.group(1) for m in (re.match(r"[\w\s*]*?\b(\w+)\s*\(", s.strip()) for s in statements) if m]
    assert len(found) > FUNCTIONS_MIN and len(found) == len(set(found)), f"cannot read the header: {len(found)} functions"
    return set(found)


def mapped():
    text = re.sub(r"/\*.*?\*/", " ", (SOURCE / f"src/{NAME}/{NAME}.map").read_text(), flags=re.DOTALL)
    assert re.search(r"local:\s*\*;", text), "the map does not hide the rest"
    return set(re.findall(rf"\b({NAME}_\w+);", text))


def header_and_map_name_the_same():
    only_header, only_map = declared() - mapped(), mapped() - declared()
    assert not only_header and not only_map, f"only in the header: {sorted(only_header)}; only in the map: {sorted(only_map)}"


def library_exports_just_these():
    if reason := without_library():
        return reason
    for library in libraries():
        shown, versions = set(), set()
        for line in run(["nm", "-D", "--defined-only", library]).splitlines():
            kind, name = line.split()[-2:]
            name, _, version = name.partition("@@")
            if kind == "A":  # the name of a version
                continue
            assert kind == "T", f"{name} is no function ({kind})"
            shown.add(name)
            versions.add(version)
        foreign = sorted(name for name in shown if not name.startswith(f"{NAME}_"))
        assert not foreign, f"foreign symbols show: {foreign[:10]}"
        assert shown == declared(), f"differs from the header: {sorted(shown ^ declared())}"
        assert "" not in versions, "some functions have no version"
    return None


def library_needs_no_changed_code():
    """Relocations in code would make every process keep a copy of its own, and some systems refuse them."""
    if reason := without_library():
        return reason
    for library in libraries():
        dynamic = run(["readelf", "-dW", library])
        assert "(TEXTREL)" not in dynamic, "it has relocations in its code"
        assert re.search(rf"\(SONAME\).*\[lib{NAME}\.so\.\d+\]", dynamic), "it has no soname"
    return None


def header_compiles_alone(compiler, language, standard, name, *more):
    if shutil.which(compiler) is None:
        return f"there is no {compiler}"
    source = work / name
    source.write_text(f"#include <{NAME}.h>\n#include <{NAME}.h>\n")
    run([compiler, "-x", language, f"-std={standard}", *STRICT, "-Wpedantic", *more, "-fsyntax-only", "-I", SOURCE / "include",
         source])
    return None


def header_alone_is_c17():
    return header_compiles_alone("gcc", "c", "c17", "alone.c", "-Wshadow", "-Wstrict-prototypes")


def header_alone_is_cplusplus():
    return header_compiles_alone("g++", "c++", "c++17", "alone.cc")


def example_is_short():
    lines = len(EXAMPLE.read_text().splitlines())
    assert lines < EXAMPLE_LINES, f"{lines} lines; it must stay below {EXAMPLE_LINES}"


def installed_description_asks_for_nothing_of_ours():
    """What a program that is built elsewhere gets: one folder of headers, one library."""
    if reason := without_library():
        return reason
    text = (BIN / "meson-private" / f"{NAME}.pc").read_text()
    fields = dict(re.findall(r"^(\w[\w.]*): *(.*)$", text, flags=re.MULTILINE))
    assert fields["Libs"].split() == ["-L${libdir}", f"-l{NAME}"], fields["Libs"]
    assert fields["Cflags"].split() == ["-I${includedir}"], fields["Cflags"]
    assert not set(fields) & {"Requires", "Requires.private", "Libs.private"}, sorted(fields)
    return None


def example_answers():
    if reason := without_library():
        return reason
    if shutil.which("pkg-config") is None:
        return "there is no pkg-config"
    environment = {**os.environ, "PKG_CONFIG_PATH": str(BIN / "meson-uninstalled"), "LD_LIBRARY_PATH": str(BIN)}
    flags = run(["pkg-config", "--cflags", "--libs", f"{NAME}-uninstalled"], env=environment).split()
    program = work / EXAMPLE.stem
    # The header comes from include/, where an installed one has a folder of its own.
    run(["gcc", "-std=c17", *STRICT, "-o", program, EXAMPLE, "-I", SOURCE / "include", *flags, "-pthread"])
    {"stoq": echo_answers, "packetfs": copy_copies}[NAME](program, environment)
    return None


def echo_answers(program, environment):
    for said in ("Hello, peer", "öä€ " * 400):
        assert run([program, said], 30, env=environment) == said, f"it did not say {said[:20]!r}"


def copy_copies(program, environment):
    homes = {"HOME": str(work), "XDG_CONFIG_HOME": str(work / "config"), "XDG_CACHE_HOME": str(work / "cache")}
    (work / "from").mkdir()
    (work / "from" / "letter").write_text("dear all\n" * 1000)
    for _ in range(2):
        run([program, work / "volume", work / "from", work / "to"], 60, env={**environment, **homes})
        assert (work / "to" / "letter").read_text() == "dear all\n" * 1000, "what came back is not what was put"


try:
    run_cases([header_and_map_name_the_same, library_exports_just_these, library_needs_no_changed_code, header_alone_is_c17,
               header_alone_is_cplusplus, example_is_short, installed_description_asks_for_nothing_of_ours, example_answers])
finally:
    shutil.rmtree(work, ignore_errors=True)
