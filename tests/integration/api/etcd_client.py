#!/usr/bin/env python3
"""A program written for etcd, with a client library made for etcd (Debian's python3-etcd3gw), run unchanged against
`hypermeshd --kv-listen` and, where etcd-server is installed, against etcd: it must say the same."""
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "node"))
from daemon import BIN, Daemon, run_cases  # noqa: E402

sys.path.append("/usr/lib/python3/dist-packages")  # where Debian puts it, whichever Python runs this
try:
    from etcd3gw.client import Etcd3Client
    from etcd3gw.utils import _encode
except ImportError:
    Etcd3Client = None

def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def program(client, said):
    """Configuration, a lock, a counter, a service that is registered under a lease, and somebody who watches it."""
    say = said.append
    say(client.put("config/a", "1"))
    say(client.put("config/b", "two"))
    say(client.get("config/a"))
    say(sorted(value for value, _ in client.get_prefix("config/")))
    say([value for value, _ in client.get_prefix("config/", sort_order="descend", sort_target="key")])
    say(client.create("config/a", "again"))  # exists
    say(client.create("config/c", "new"))
    say(client.replace("config/a", "1", "3"))
    say(client.replace("config/a", "1", "4"))  # is 3 now
    say(client.get("config/a"))
    say(client.get("nothing"))
    value, facts = client.get("config/a", metadata=True)[0]
    say((value, facts["version"], int(facts["mod_revision"]) > int(facts["create_revision"])))

    counter = 0
    for _ in range(5):  # compare and swap until it holds
        client.put("counter", "0") if counter == 0 else None
        while not client.replace("counter", str(counter), str(counter + 1)):
            raise AssertionError("nobody else counts")
        counter += 1
    say(client.get("counter"))

    lease = client.lease(ttl=60)
    client.put("services/one", "here", lease=lease)
    say(lease.keys())
    say(0 < lease.ttl() <= 60)
    say(lease.refresh())
    lock = client.lock("job", ttl=30)
    say(lock.acquire())
    say(lock.is_acquired())
    say(client.lock("job", ttl=30).acquire())  # somebody has it
    say(lock.release())

    events, cancel = client.watch_prefix("services/")
    def change():
        time.sleep(0.5)
        client.put("services/two", "there")
        lease.revoke()
    thread = threading.Thread(target=change)
    thread.start()
    seen = []
    for event in events:
        seen.append((event.get("type", "PUT"), event["kv"]["key"], event["kv"].get("value")))
        if len(seen) == 2:
            break
    cancel()
    thread.join()
    say(seen)
    say(client.get("services/one"))
    say(client.transaction({"compare": [], "success": [{"request_put": {"key": _encode("t"),
                                                                         "value": _encode("1")}}],
                            "failure": []})["succeeded"])
    say(client.delete("config/b"))
    say(client.delete("config/b"))
    say(client.delete_prefix("config/"))
    say(sorted(key["key"].decode() for _, key in client.get_all()))
    say(sorted(client.status()["header"]))
    say(len(client.members()))


def run_program(port):
    said = []
    program(Etcd3Client(host="127.0.0.1", port=port, api_path="/v3/", timeout=20), said)
    return said


def against_hypermesh():
    port = free_port()
    node = Daemon(extra=["--kv-listen", f"127.0.0.1:{port}"])
    try:
        node.start()
        return run_program(port)
    finally:
        node.remove()


def against_etcd():
    folder = tempfile.mkdtemp(prefix="hm-etcd-")
    port, peer = free_port(), f"http://127.0.0.1:{free_port()}"
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        ["etcd", "--data-dir", folder, "--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls",
         peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}", "--log-level", "error"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(url + "/health", timeout=2).read()
                break
            time.sleep(0.05)
        return run_program(port)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def a_program_for_etcd_works_unchanged():
    if Etcd3Client is None:
        return "python3-etcd3gw is not installed"
    if "--kv-listen" not in subprocess.run([os.path.join(BIN, "hypermeshd"), "--help"], capture_output=True, text=True).stdout:
        return "this hypermeshd has no --kv-listen"
    ours = against_hypermesh()
    assert ours[2] == [b"1"] and ours[-1] >= 1, ours
    if not shutil.which("etcd"):
        print("   not compared with etcd: etcd-server is not installed")
        return None
    theirs = against_etcd()
    for at, (mine, other) in enumerate(zip(ours, theirs)):
        assert mine == other, f"step {at}: {mine!r}, but etcd says {other!r}"
    assert len(ours) == len(theirs)
    return None


run_cases([a_program_for_etcd_works_unchanged])
