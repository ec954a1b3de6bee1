#!/usr/bin/env python3
"""Another QUIC implementation at the other end, in both directions: quic-go (Go) and aioquic (Python).

    interop.py PEER    PEER is the program made of stoq_peer.c

Go's packages come from its module cache or proxy; aioquic from the interpreter that HYPERMESH_AIOQUIC_PYTHON names
(default python3). What is missing is skipped, with its reason.
"""
import os
import pathlib
import shutil
import subprocess
import sys

from peers import Identity, Server, Skipped, call, run_cases

HERE = pathlib.Path(__file__).resolve().parent
PEER = sys.argv[1]
LOADS = [("1", "0"), ("1", "1"), ("1", "5000000"), ("10", "300000"), ("60", "2000")]


def go_peer(folder):
    if shutil.which("go") is None:
        raise Skipped("go is not installed")
    program = os.path.join(folder, "gopeer")
    built = subprocess.run(["go", "build", "-o", program, "."], cwd=HERE / "go", stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=600, check=False)
    if built.returncode != 0:
        last = (built.stdout.strip().splitlines() or ["no reason given"])[-1]
        if "main.go" in last:
            raise AssertionError(built.stdout)
        raise Skipped(f"quic-go cannot be had: {last}")
    return [program]


def aioquic_peer(_folder):
    python = os.environ.get("HYPERMESH_AIOQUIC_PYTHON", "python3")
    probe = subprocess.run([python, "-c", "import aioquic"], capture_output=True, timeout=60, check=False)
    if probe.returncode != 0:
        raise Skipped(f"{python} cannot import aioquic")
    return [python, str(HERE / "aioquic_peer.py")]


def ours(_folder):
    return [PEER]


def meeting(server, client):
    def case(folder):
        serve, ask = server(folder), client(folder)
        identity = Identity(folder)
        with Server(serve + ["serve", identity.cert, identity.key, "[::1]:0"]) as other:
            for streams, size in LOADS:
                said = call(ask + ["call", identity.cert, identity.key, f"[::1]:{other.port}", streams, size])
                assert "group" in said, said
                if "aioquic" not in "".join(serve + ask):
                    assert "X25519MLKEM768" in said, said
    return case


run_cases([
    ("stoq_calls_stoq", meeting(ours, ours)),
    ("stoq_calls_quic_go", meeting(go_peer, ours)),
    ("quic_go_calls_stoq", meeting(ours, go_peer)),
    ("stoq_calls_aioquic", meeting(aioquic_peer, ours)),
    ("aioquic_calls_stoq", meeting(ours, aioquic_peer)),
])
