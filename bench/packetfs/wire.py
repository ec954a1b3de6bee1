"""What goes over the wire, in bytes: a volume's twin is kept up to date with `push` on this machine."""
import json
import os
import pathlib
import shutil
import subprocess

import tools

SILENCE_MS = 30_000
END_SECONDS = 20


class Twins:
    """Two folders of one volume; the second is served."""

    def __init__(self, work):
        build = pathlib.Path(os.environ["HM_BIN"])
        self.driver = build / "tests/integration/packetfs/packetfs_driver"
        self.transfer = build / "tests/integration/packetfs/packetfs_sync_driver"
        self.first, self.second = work / "first", work / "second"
        self.env = {"PACKETFS_KEY_DIR": str(work / "keys"), "XDG_CACHE_HOME": str(work / "cache")}
        tools.run([self.driver, "create", self.first], self.env)
        self.second.mkdir(mode=0o700)
        shutil.copy(self.first / "volume", self.second / "volume")
        shutil.copytree(self.first / "keys", self.second / "keys")

    def push(self, folder):
        """(bytes of both directions and connections, round trips, seconds) for what the folder has now."""
        tools.run([self.driver, "put", self.first, "v", "-c", folder], self.env)
        server = subprocess.Popen([str(self.transfer), "serve", str(self.second), "127.0.0.1:0"], env={**os.environ, **self.env},
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            word, _, address = server.stdout.readline().strip().partition(" ")
            if word != "ready":
                raise RuntimeError("the twin cannot be served")
            cost = tools.run([self.transfer, "push", self.first, address, str(SILENCE_MS)], self.env)
            server.stdin.close()
            server.wait(END_SECONDS)
        finally:
            if server.poll() is None:
                server.kill()
                server.wait()
            server.stdout.close()
        result = json.loads(cost.out)
        return result["wire"], result["round_trips"], cost.wall
