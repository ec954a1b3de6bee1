"""Network namespaces joined by faultnet: every packet between nodes passes one process that can delay, lose, reorder,
duplicate it, or cut nodes off from each other."""
import contextlib
import socket
import subprocess

from machine import COMMAND_SECONDS, run

PORT = 26656  # inside each namespace


class Network:
    """`count` namespaces NAME-0, NAME-1, ...; addresses 10.66.0.1, ... ; as a context."""

    def __init__(self, faultnet, name, count, control, seed):
        self.names = [f"{name}-{i}" for i in range(count)]
        self.control, self.process = str(control), None
        try:
            for namespace in self.names:
                run("ip", "netns", "add", namespace)
            self.process = subprocess.Popen([faultnet, self.control, str(seed), *self.names], stdout=subprocess.PIPE,
                                            text=True)
            if self.process.stdout.readline() != "ready\n":
                raise RuntimeError("faultnet does not start")
        except BaseException:
            self.close()
            raise

    def close(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(COMMAND_SECONDS)
            self.process.stdout.close()
        for namespace in self.names:
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def address(self, number):
        return f"10.66.0.{number + 1}:{PORT}"

    def say(self, line):
        """One command (tests/tools/faultnet.c lists them); the answer's lines but the last."""
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as s:
            s.settimeout(COMMAND_SECONDS)
            s.connect(self.control)
            s.sendall(line.encode() + b"\n")
            got = b""
            while not (got.endswith(b"\n") and got.splitlines()[-1].split(b":")[0] in (b"ok", b"error")):
                piece = s.recv(65536)
                if not piece:
                    raise RuntimeError(f"faultnet {line}: {got}")
                got += piece
        lines = got.decode().splitlines()
        if lines[-1] != "ok":
            raise RuntimeError(f"faultnet {line}: {lines}")
        return lines[:-1]
