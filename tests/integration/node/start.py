#!/usr/bin/env python3
"""Starting, stopping and the mistakes that people make with both."""
import os
import stat
import subprocess
import tempfile

from daemon import BIN, Daemon, run_cases


def ended(daemon):
    """Runs it to its end; gives exit code and what it said."""
    daemon.spawn().process.wait(60)
    return daemon.process.returncode, daemon.log()


def restart_keeps_the_chain():
    node = Daemon()
    try:
        node.start()
        before = node.call("GET", "/node")
        assert node.stop() == 0
        node.start()
        after = node.call("GET", "/node")
        for field in ("chain_id", "node_account"):
            assert before[field] == after[field], field
        # hardware that changes meanwhile makes a block of its own; those that were there stay
        assert after["height"] >= before["height"]
        if before["height"] > 0:
            assert node.call("GET", f"/blocks/{before['height']}")["hash"] == before["block_hash"]
        assert len(node.call("GET", "/accounts")["items"]) == 2
        assert node.stop() == 0
    finally:
        node.remove()


def files_are_private():
    with Daemon() as node:
        for folder, _, files in os.walk(node.data):
            assert stat.S_IMODE(os.stat(folder).st_mode) & 0o077 == 0 or "/images" in folder, folder
            if "/images" in folder:
                continue
            for name in files:
                mode = stat.S_IMODE(os.lstat(os.path.join(folder, name)).st_mode)
                assert mode & 0o077 == 0, (folder, name, oct(mode))


def second_daemon_is_told_why():
    with Daemon() as node:
        second = Daemon(data=node.data)
        code, said = ended(second)
        assert code == 1 and node.data in said, said
        node.call("GET", "/node")


def busy_port_is_told_how_to_choose():
    with Daemon() as node:
        port = node.call("GET", "/node")["listen"].rsplit(":", 1)[1]
        other = Daemon()
        try:
            other.extra = ["--listen", f"127.0.0.1:{port}"]
            code, said = ended(other)
            assert code == 1 and port in said and "--listen" in said, said
        finally:
            other.remove()


def killed_while_the_plot_is_built():
    node = Daemon(plot="64M")
    try:
        node.spawn()
        while "building a plot" not in node.log():
            assert node.process.poll() is None, node.log()
        node.kill()
        node.start()
        assert node.call("GET", "/node")["plot_bytes"] == 64 << 20
        assert node.stop() == 0
    finally:
        node.remove()


def stop_while_the_plot_is_built():
    node = Daemon(plot="512M")
    try:
        node.spawn()
        while "building a plot" not in node.log():
            assert node.process.poll() is None, node.log()
        assert node.stop() == 0, node.log()
        assert not os.path.exists(os.path.join(node.data, "plot"))
    finally:
        node.remove()


def damaged_plot_is_built_anew():
    node = Daemon()
    try:
        node.start()
        node.stop()
        os.truncate(os.path.join(node.data, "plot"), 100)
        node.start()
        assert node.stop() == 0
    finally:
        node.remove()


def sealed_keystore_needs_its_passphrase():
    with tempfile.TemporaryDirectory() as base:
        for name, text in (("good", "correct horse\n"), ("bad", "wrong\n")):
            with open(f"{base}/{name}", "w") as file:
                file.write(text)
        node = Daemon(extra=["--passphrase-file", f"{base}/good"])
        try:
            node.start()
            node.stop()
            for extra in ([], ["--passphrase-file", f"{base}/bad"]):
                node.extra = extra
                code, said = ended(node)
                assert code == 1 and "passphrase" in said, said
            node.extra = ["--passphrase-file", f"{base}/good"]
            node.start()
            with open(os.path.join(node.data, "keys", "user.root"), "rb") as file:
                assert file.read()
            assert "correct horse" not in node.log()
            assert node.stop() == 0
        finally:
            node.remove()


def bad_options_are_named():
    for options, word in ((["--data", "relative"], "absolute"), (["--plot", "many", "--data", "/x"], "--plot"),
                          ([], "--data"), (["--nonsense"], "--help")):
        ran = subprocess.run([os.path.join(BIN, "hypermeshd")] + options, capture_output=True, text=True, timeout=30)
        assert ran.returncode != 0 and word in ran.stderr, ran


def read_only_data_directory_is_named():
    if os.getuid() != 0:
        return "needs root to be another user"
    node = Daemon(user=65534)
    try:
        os.chown(node.data, 0, 0)
        code, said = ended(node)
        assert code == 1 and node.data in said, said
    finally:
        node.remove()
    return None


def ordinary_user_runs_jobs():
    if os.getuid() != 0:
        return "the other tests run as an ordinary user already"
    with Daemon(user=65534) as node:
        if not node.can_run_jobs():
            return "no rootless container runtime works here: " + node.call("GET", "/node")["sandbox"]
        node.call("POST", "/images/base")
        job = node.job(command="echo hello; id -u")
        assert job["outcome"] == "finished", job
        assert node.output(job["id"])[0].startswith("hello\n")
        assert job["warnings"], "limits that do not hold are not said"
    return None


if __name__ == "__main__":
    run_cases([restart_keeps_the_chain, files_are_private, second_daemon_is_told_why, busy_port_is_told_how_to_choose,
               killed_while_the_plot_is_built, stop_while_the_plot_is_built, damaged_plot_is_built_anew,
               sealed_keystore_needs_its_passphrase, bad_options_are_named, read_only_data_directory_is_named,
               ordinary_user_runs_jobs])
