#!/usr/bin/env python3
"""nexus without jobs: node up and down, what is listed, what changes, what is refused, and how it ends."""
import http.server
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from nexus_cli import BIN, Node, Skip, keeper_of, run_cases, running, until

LISTS = ("asset", "lease", "job", "image", "account", "block")


def wrong_usage_ends_with_2(node):
    node("stauts").expect(2, err="did you mean status?")
    node("asset", "shwo").expect(2, err="did you mean asset show?")
    node("job", "ls", "--limt", "3").expect(2, err="did you mean --limit?")
    node("-o", "tabel", "status").expect(2, err="must be one of: table json yaml")
    node("asset").expect(2, err="usage: nexus asset VERB")
    node().expect(2, err="usage: nexus")
    node("up", "--wait", "5").expect(2, err="--wait")
    node("up", "--plot", "much").expect(2, err="--plot")


def help_and_version(node):
    for words in (["help"], ["--help"], ["-h"]):
        node(*words).expect(0, out="Groups of verbs:")
    assert node("help", "asset", "lease").out == node("asset", "allocate", "--help").out
    node("help", "run").expect(0, out="--max-price HYPER")
    node("help", "nothing").expect(2, err="there is no verb nothing")
    version = node("--version").expect(0).out
    assert version.startswith("nexus ") and node("version").out == version
    assert node("version", "-o", "json").json()["version"] == version.split()[1]


def complete(node, *words):
    script = ('source <("$1" completion bash); shift; COMP_WORDS=(nexus "$@"); COMP_CWORD=$#; '
              '_nexus 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", script, "bash", str(BIN / "nexus"), *words], capture_output=True, text=True,
                          check=True, env=node.env())
    return done.stdout.split()


def completion(node):
    assert complete(node, "sta") == ["status", "stake", "state"], complete(node, "sta")
    assert complete(node, "asset", "re") == ["register", "retire", "release"]
    assert complete(node, "asset", "ls", "--kind", "m") == ["memory"]
    assert complete(node, "-o", "y") == ["yaml"]
    assert complete(node, "--data", "/x", "job", "wait", "--t") == ["--token-file", "--timeout"]
    assert complete(node, "help", "ver") == ["verify", "version"]
    for shell in ("zsh", "fish"):
        text = node("completion", shell).expect(0).out
        assert "build-base" in text and "max-price" in text
        if shutil.which(shell):
            subprocess.run([shell, "-n" if shell == "fish" else "-f", "-c" if shell == "zsh" else "/dev/stdin"]
                           + ([text] if shell == "zsh" else []), input=text, text=True, check=True)
    node("completion", "tcsh").expect(2, err="bash, zsh and fish")


def without_a_node(node):
    node("status").expect(3, err="no node answers on")
    node("asset", "ls").expect(3, err="hint: nexus up starts a node")
    node("down").expect(0, err="no node is running in")
    node("doctor").expect(3, out="hypermeshd")
    node("--url", "http://127.0.0.1:1", "status").expect(4, err="api.token")
    (node.work / "token").write_text("x\n")
    node("--url", "http://127.0.0.1:1", "--token-file", "token", "status").expect(3, err="no node answers at")
    node("--data", "/" + "d" * 150, "status").expect(1, err="too long for a unix socket")
    node("--url", "https://127.0.0.1", "status").expect(1, err="not supported yet")


def daemon_that_cannot_start(node):
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    listen = "127.0.0.1:%d" % taken.getsockname()[1]
    done = node("up", "--listen", listen, "--plot", "64K").expect(1, err=f"hint: {listen} is in use")
    assert "--listen 127.0.0.1:0" in done.err
    taken.close()
    (node.work / "broken").write_text("nonsense")
    done = node("up", "--listen", listen, "--plot", "64K", "--genesis", "broken").expect(1, err="hint: the whole log is")
    assert "another program" not in done.err, done.err  # the port is free
    done = node("up", "--listen", "none", "--plot", "64K", "--genesis", "broken").expect(1, err="did not start")
    assert "hint: the whole log is" in done.err
    assert node.pid() is None


def interrupt_while_it_starts(node):
    shutil.rmtree(node.data, ignore_errors=True)
    up = node.start("up", "--listen", "none", "--plot", "8G")
    until(lambda: node.pid(), "the daemon's socket")
    pid = node.pid()
    up.send_signal(signal.SIGINT)
    _, err = up.communicate(timeout=60)
    assert up.returncode == 130, (up.returncode, err)
    until(lambda: not running(pid), "the daemon's end")
    shutil.rmtree(node.data, ignore_errors=True)


def up_brings_a_node(node):
    done = node.up()
    assert "ready" in done.out and "http://127.0.0.1:" in done.out, done.out
    assert (node.data / "hypermeshd.log").stat().st_mode & 0o777 == 0o600
    assert os.getsid(node.pid()) == keeper_of(node.pid())  # who is closed with its terminal takes no node along
    again = node("up").expect(0, err="running already")
    assert "ready" in again.out


def status_in_every_format(node):
    table = node("status").expect(0).out
    told = node("status", "-o", "json").expect(0).json()
    assert told["ready"] and told["chain_id"] in table and told["node_account"] in table
    yaml = node("-o", "yaml", "status").expect(0).out
    assert "ready: true" in yaml and f"chain_id: {told['chain_id']}" in yaml
    for name in LISTS:
        assert isinstance(node(name, "ls", "-o", "json").expect(0).json(), list)
        node(name, "ls", "-o", "yaml").expect(0)
        node(name, "ls").expect(0)


def no_colour_into_pipes(node):
    assert "\033" not in node("asset", "ls").out
    if not shutil.which("script"):
        raise Skip("no script(1) to make a terminal")
    for env, color in ({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False):
        done = subprocess.run(["script", "-qec", f"{BIN / 'nexus'} asset ls", "/dev/null"], capture_output=True,
                              text=True, check=True, env=node.env(**env), stdin=subprocess.DEVNULL)
        assert ("\033[1m" in done.stdout) == color, (env, done.stdout)


def assets(node):
    found = node("asset", "ls", "-o", "json").json()
    kinds = {a["kind"] for a in found}
    assert {"cpu", "memory", "storage", "container"} <= kinds, kinds
    cpu = next(a for a in found if a["kind"] == "cpu")
    by_name = node("asset", "show", cpu["hardware_id"], "-o", "json").json()
    by_short = node("asset", "show", cpu["id"][:16], "-o", "json").json()
    assert by_name["id"] == by_short["id"] == cpu["id"] and by_name["address"].startswith("fd")
    node("asset", "show", "nothing").expect(4, err="there is no asset nothing")
    assert node("asset", "history", cpu["hardware_id"], "-o", "json").json()[0]["op"] == "asset_register"
    assert any(i["asset"] == cpu["id"] for i in node("asset", "scan", "-o", "json").json()["items"])
    assert [a["kind"] for a in node("asset", "ls", "--kind", "cpu", "-o", "json").json()] == ["cpu"] * sum(
        a["kind"] == "cpu" for a in found)


def lease_and_release(node):
    cpu = node("asset", "ls", "--kind", "cpu", "-o", "json").json()[0]["hardware_id"]
    node("asset", "lease", cpu, "--share", "10%").expect(2, err="--duration")
    done = node("asset", "lease", cpu, "--share", "10%", "--duration", "1h").expect(0, out="done in block")
    lease = done.out.split()[0]
    assert lease.startswith("lease1")
    before = node("lease", "show", lease, "-o", "json").json()
    assert before["state"] == "active" and before["items"][0]["share_ppm"] == 100000
    node("lease", "renew", lease, "30m").expect(0)
    assert node("lease", "show", lease[:16], "-o", "json").json()["expires_ms"] == before["expires_ms"] + 1800000
    assert [item["id"] for item in node("lease", "ls", "--active", "-o", "json").json()] == [lease]
    node("asset", "lease", cpu, "--share", "95%", "--duration", "1h").expect(5)  # more than is left
    node("asset", "release", cpu).expect(0, out="done in block")
    assert node("lease", "show", lease, "-o", "json").json()["state"] == "released"


def privacy(node):
    cpu = node("asset", "ls", "--kind", "cpu", "-o", "json").json()[0]
    node("asset", "privacy", cpu["hardware_id"], "Public").expect(2, err="FullPublic")
    node("asset", "privacy", cpu["hardware_id"], "Private").expect(0)
    node("asset", "lease", cpu["id"], "--share", "1%", "--duration", "1m").expect(5)
    node("asset", "privacy", cpu["hardware_id"], "FullPublic", "--max-share", "50%", "--max-leases", "3").expect(0)
    told = node("asset", "privacy", cpu["id"], "-o", "json").json()[0]["privacy"]
    assert (told["level"], told["max_share_ppm"], told["max_leases"]) == ("FullPublic", 500000, 3), told
    node("asset", "privacy", cpu["id"], "FullPublic").expect(0)


def register_update_and_retire(node):
    made = node("asset", "register", "gpu", "test-gpu", "--capacity", "2", "--price", "1.5", "--attribute",
                "maker=test", "--privacy", "Private").expect(0, out="asset1")
    asset = made.out.split()[0]
    told = node("asset", "show", asset, "-o", "json").json()
    assert (told["capacity"], told["price_per_hour"], told["attributes"]) == (2000, "1.5", {"maker": "test"}), told
    node("asset", "update", "test-gpu", "--capacity", "3.5", "--price", "2").expect(0)
    told = node("asset", "show", asset, "-o", "json").json()
    assert (told["capacity"], told["price_per_hour"], told["attributes"]) == (3500, "2", {"maker": "test"}), told
    node("asset", "update", "test-gpu").expect(2, err="nothing to change")
    node("asset", "retire", asset).expect(0)
    assert node("asset", "show", asset, "-o", "json").json()["state"] == "retired"
    node("asset", "register", "gpu", "x").expect(2, err="--capacity")


def accounts(node):
    node("account", "create", "ada").expect(0, out="hm1")
    node("account", "transfer", "ada", "2.5", "--memo", "für dich").expect(0, out="done in block")
    assert node("account", "show", "ada", "-o", "json").json()["hyper"] == "2.5"
    node("account", "transfer", "user", "100", "--account", "ada").expect(5)
    node("account", "transfer", "ada", "1e3").expect(2)
    node("account", "show", "nobody").expect(4)
    node("account", "create", "ada").expect(5)
    bonded = float(node("account", "show", "-o", "json").json()["bonded"])
    node("account", "bond", "3").expect(0)
    assert float(node("account", "show", "user", "-o", "json").json()["bonded"]) == bonded + 3
    node("account", "unbond", "3").expect(0)
    assert node("account", "show", "-o", "json").json()["unbonding"][0]["amount"] == "3"


def chain(node):
    block = node("block", "show", "-o", "json").json()
    assert node("block", "show", str(block["height"]), "-o", "json").json()["hash"] == block["hash"]
    assert len(node("block", "ls", "--limit", "2", "-o", "json").json()) == 2
    node("block", "show", "999999").expect(4)
    tx = block["txs"][0]
    told = node("tx", "show", tx, "-o", "json").json()
    assert told["code"] == "ok" and told["height"] == block["height"]
    node("tx", "show", tx).expect(0, out="transaction")
    checked = node("tx", "validate", tx, "-o", "json").json()
    assert [p["name"] for p in checked["proofs"]] == ["space", "stake", "work", "time"] and checked["valid"]
    node("tx", "validate", tx).expect(0, out="CHECKED IN")
    (node.work / "tx").write_bytes(b"\xff" * 40)
    node("tx", "send", "tx").expect(2)
    node("tx", "send", "missing").expect(4)
    node("state", "prove", "00").expect(0, out="root")
    node("verify").expect(0, out="the chain is good")
    assert node("verify", "-o", "json").json()["ok"]


def tcp_with_a_token(node):
    url = "http://" + node("status", "-o", "json").json()["listen"]
    token = str(node.data / "api.token")
    node("--url", url, "--token-file", token, "status").expect(0, out="ready")
    node("--url", url + "/", "asset", "ls").expect(0)  # the token of --data
    (node.work / "wrong").write_text("0" * 64)
    node("--url", url, "--token-file", "wrong", "status").expect(5, err="hint: --token-file")
    assert pathlib.Path(token).read_text().strip() not in node("--url", url, "status").out
    # Not sent through a proxy, whatever the environment says.
    node("--url", url, "status", env={"http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"}).expect(0)


def a_stranger_gets_no_token(node):
    """verify --remote asks a node that is not trusted: this machine's own token is not for it."""
    seen = []

    class Stranger(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            seen.append(self.headers.get("Authorization"))
            self.send_error(401)

    with http.server.HTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        check = ("verify", "--remote", f"http://127.0.0.1:{server.server_port}", "--trust", "5:" + "00" * 32, "--key", "53")
        node(*check).expect(5, err="--open-proofs")
        (node.work / "theirs").write_text("ab" * 32)
        node("--token-file", "theirs", *check).expect(5)
        server.shutdown()
    assert seen == [None, "Bearer " + "ab" * 32], seen


def doctor(node):
    found = node("doctor", "-o", "json").json()
    assert all(item["level"] in ("ok", "note", "warning", "error") for item in found), found
    node("doctor").expect(1 if any(item["level"] == "error" for item in found) else 0)


def full_disk_is_an_error(node):
    if not os.path.exists("/dev/full"):
        raise Skip("no /dev/full")
    with open("/dev/full", "wb") as full:
        call = node.start("asset", "ls", stdout=full)
        _, err = call.communicate(timeout=30)
    assert call.returncode == 1 and b"standard output" in err, (call.returncode, err)


def other_users_are_refused(node):
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        raise Skip("needs root and setpriv")
    node.base.chmod(0o755)
    node.data.chmod(0o755)
    done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", str(BIN / "nexus"),
                           "--data", str(node.data), "status"], capture_output=True, text=True, check=False, cwd="/")
    node.data.chmod(0o700)
    if done.returncode == 126:
        raise Skip("the build folder is closed to other users")
    assert done.returncode == 5 and "another user" in done.stderr, (done.returncode, done.stderr)


def down_ends_it(node):
    pid = node.pid()
    node.root = node("status", "-o", "json").json()["state_root"]
    node("down").expect(0, err="the node has stopped")
    assert not running(pid)
    node("status").expect(3)
    node("down").expect(0, err="no node is running")


def up_again_keeps_the_chain(node):
    node.up()
    blocks = node("block", "ls", "--limit", "10", "-o", "json").json()
    assert node.root in [block["state_root"] for block in blocks]
    assert node("account", "show", "ada", "-o", "json").json()["name"] == "ada"
    node("down", "--wait", "30s").expect(0)


def foreground(node):
    daemon = node.start("up", "--foreground", "--listen", "none", "--plot", "64K")
    until(lambda: node("status").code == 0 and node("status", "-o", "json").json()["ready"], "a ready node")
    assert node.pid() == daemon.pid  # it became the daemon
    daemon.send_signal(signal.SIGTERM)
    daemon.communicate(timeout=60)
    assert daemon.returncode == 0, daemon.returncode


def main():
    node = Node()
    try:
        return run_cases([
            wrong_usage_ends_with_2, help_and_version, completion, without_a_node, daemon_that_cannot_start,
            interrupt_while_it_starts, up_brings_a_node, status_in_every_format, no_colour_into_pipes, assets,
            lease_and_release, privacy, register_update_and_retire, accounts, chain, tcp_with_a_token,
            a_stranger_gets_no_token, doctor,
            full_disk_is_an_error, other_users_are_refused, down_ends_it, up_again_keeps_the_chain, foreground], node)
    finally:
        node.close()


if __name__ == "__main__":
    sys.exit(main())
