"""Validators with real daemons, a spare place beside them, and the network between them."""
import json
import os
import pathlib
import shutil
import tempfile

from machine import BIN, run
from network import Network
from node import Node

START_SECONDS = 180


class Cluster:
    """As a context. tools: paths by name. spare: the last place, for a twin or a node that joins."""

    def __init__(self, count, tools, seed=1):
        self.tools, self.seed, self.count = tools, seed, count
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hm-r-"))
        self.nodes, self.spare, self.network = [], None, None
        try:
            made = json.loads(run(str(BIN / "hypermeshd"), "--cluster-create", str(count), "--data",
                                  str(self.folder / "c"), "--plot", "64K"))
            self.chain_id = made["chain_id"]
            self.network = Network(tools["faultnet"], f"hmr{os.getpid()}", count + 1, self.folder / "net.sock", seed)
            for i, member in enumerate(made["nodes"]):
                self.nodes.append(Node(i, self.folder / "c" / member["name"], self.network.names[i],
                                       self.network.address(i), member, tools))
            for node in self.nodes:
                node.peers = [other for other in self.nodes if other is not node]
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for node in [*self.nodes, self.spare]:
            if node is not None:
                node.kill()
        if self.network is not None:
            self.network.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_ready(START_SECONDS)

    def make_spare(self, *options):
        """A folder for one more node, in the spare namespace, that knows all validators."""
        folder = self.folder / "c" / f"node{self.count}"
        genesis = self.nodes[0].data / "engine/config/genesis.json"
        made = json.loads(run(str(BIN / "hypermeshd"), "--cluster-add", str(genesis), "--data", str(folder), *options))
        self.spare = Node(self.count, folder, self.network.names[self.count], self.network.address(self.count), made,
                          self.tools)
        self.spare.peers = list(self.nodes)
        return self.spare

    def make_twin(self, node):
        """A copy of a node, which must not run, in the spare place: the same keys, and only its address is another one."""
        twin = self.make_spare()
        own_key = (twin.data / "validator/node_key.json").read_bytes()
        shutil.rmtree(twin.data)
        shutil.copytree(node.data, twin.data, ignore=lambda folder, names: [n for n in names if n.endswith(".sock")])
        twin.data.chmod(0o700)
        (twin.data / "validator/node_key.json").write_bytes(own_key)
        return twin

    def drop_spare(self):
        if self.spare is not None:
            self.spare.kill()
            shutil.rmtree(self.spare.data, ignore_errors=True)
            self.spare = None

    def say(self, line):
        return self.network.say(line)
