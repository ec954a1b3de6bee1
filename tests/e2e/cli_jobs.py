#!/usr/bin/env python3
"""nexus run and job: output, exit codes, the report, Ctrl-C, and what is left behind."""
import hashlib
import json
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from nexus_cli import SKIPPED, SOURCE, Node, kill_for_good, read_until, run_cases, until

SMALL = ("run", "--image", "busybox", "--cpus", "0.5", "--memory", "64M", "--timeout", "60s")
QUIET = SMALL + ("--quiet",)


def no_lease_is_left(node):
    left = node("lease", "ls", "--active", "-o", "json").json()
    assert left == [], left


def base_image_is_made_once(node):
    done = node(*SMALL, "--", "true").expect(0, err="making image busybox")
    assert done.out == ""
    assert "making image" not in node(*SMALL, "--", "true").expect(0).err
    assert node("image", "ls", "-o", "json").json()[0]["name"] == "busybox:latest"


def output_goes_where_the_job_sent_it(node):
    done = node(*QUIET, "sh", "-c", "echo out; echo err >&2").expect(0)
    assert (done.out, done.err) == ("out\n", "err\n")
    # Every byte, control characters too; and more than any buffer holds.
    script = ("i=0; while [ $i -lt 40 ]; do head -c 50000 /dev/zero | tr '\\0' '\\033'; printf 'x\\0\\377\\n'; "
              "i=$((i+1)); done")
    code, out, err = node.raw(*QUIET, "sh", "-c", script)
    wanted = (b"\033" * 50000 + b"x\0\xff\n") * 40
    assert code == 0 and err == b"" and hashlib.sha256(out).digest() == hashlib.sha256(wanted).digest(), len(out)


def output_comes_while_the_job_runs(node):
    run = node.start(*QUIET, "sh", "-c", "echo first; sleep 2; echo second")
    begin = time.monotonic()
    assert read_until(run.stdout, b"first\n") == b"first\n"
    waited = time.monotonic()
    out, _ = run.communicate(timeout=60)
    assert out == b"second\n" and run.returncode == 0
    assert time.monotonic() - waited > 1, (begin, waited)


def exit_code_is_the_commands(node):
    for code in (0, 1, 7, 255):
        node(*QUIET, "sh", "-c", f"exit {code}").expect(code)
    # The first process of a container cannot be killed from within.
    node(*QUIET, "sh", "-c", "sh -c 'kill -9 $$'; exit $?").expect(137)


def exit_codes_of_nexus(node):
    node(*QUIET, "no-such-program").expect(125)
    node("run", "--image", "nothing", "true").expect(125, err="nothing")
    node("run", "true").expect(125, err="hint: nexus run -f")
    node("run", "--imag", "x").expect(125, err="did you mean --image?")
    node("run", "--image", "busybox", "--cpus", "4000", "true").expect(125, err="--cpus 4000")
    node("run", "--image", "busybox", "--max-price", "0.000000001", "-q", "--", "true").expect(125)
    node("run", "--image", "busybox", "--timeout", "1s", "-q", "--", "sleep", "20").expect(124)
    no_lease_is_left(node)


def report_tells_it_all(node):
    (node.work / "in").mkdir(exist_ok=True)
    (node.work / "in" / "text").write_text("one two three\n")
    done = node(*SMALL, "--name", "count", "--input", "in:/in", "--output", "/out:out", "--", "sh", "-c",
                "wc -w </in/text | tee /out/words").expect(0)
    assert done.out.strip() == "3" and (node.work / "out" / "words").read_text().strip() == "3"
    for wanted in (r"job +j[0-9a-f]{12} count: finished, exit code 0", r"lease +lease1\w+ for at most",
                   r"cpu +[\d.]+ %", r"memory +[\d.]+ %", r"container +[\d.]+ %", r"proofs +space +holds +[\d.]+ .s",
                   r"stake +holds", r"work +holds", r"time +holds", r"used +CPU", r"memory [\d.]+ [KMG]?i?B at most",
                   r"paid +[\d.]+ HYPER from user to operator", r"CAES minted for operator; fees of [\d.]+ HYPER burnt",
                   r"allocate +block \d+ +state root [0-9a-f]{64}", r"settle +block \d+ +state root [0-9a-f]{64}"):
        assert re.search(wanted, done.err), (wanted, done.err)
    assert node("job", "show").out == done.err.split("\n\n", 1)[1]


def record_for_programs(node):
    done = node(*SMALL, "-o", "json", "--", "true").expect(0)
    record = done.json()
    assert record["outcome"] == "finished" and record["lease"]["state"] == "settled"
    paid, refunded = float(record["lease"]["paid"]), float(record["lease"]["refunded"])
    assert paid > 0 and refunded > 0
    assert set(record["receipts"]) == {"allocate", "settle"} and len(record["proofs"]) == 4
    assert all(proof["valid"] and proof["check_ns"] > 0 for proof in record["proofs"])
    assert node("job", "show", record["id"], "-o", "json").json() == record


def file_and_options(node):
    spec = ("name: greet\nimage: busybox\ncommand: echo $WHO $WHAT; exit 3\ntimeout: 30s\nmemory: 64M\n"
            "env: {WHO: ada, WHAT: there}\n")
    (node.work / "job.yaml").write_text(spec)
    node("run", "-f", "job.yaml", "-q").expect(3, out="ada there\n")
    node("run", "-qf", "-", "-e", "WHO=grace", stdin=spec.encode()).expect(3, out="grace there\n")
    node("run", "-f", "job.yaml", "-q", "--", "echo", "other").expect(0, out="other\n")
    assert node("job", "show", "-o", "json").json()["spec"]["name"] == "greet"
    (node.work / "bad.yaml").write_text(spec + "memry: 3\n")
    node("run", "-f", "bad.yaml").expect(125, err="bad.yaml:7:1: memry: there is no such field; did you mean memory?")
    node("run", "-f", "job.yaml", "--memory", "1").expect(125, err="--memory 1")
    node("run", "-f", "missing.yaml").expect(125, err="missing.yaml")


def the_example(node):
    done = node("run", "-f", str(SOURCE / "examples" / "wordcount.yaml")).expect(0, out="words: ")
    assert (node.work / "wordcount-out" / "result.txt").read_text() == done.out


def interrupt_cancels_and_settles(node):
    for number in (signal.SIGINT, signal.SIGTERM):
        run = node.start(*SMALL, "--", "sh", "-c", "trap 'echo bye; exit 9' TERM; echo hi; while :; do sleep 0.1; done")
        read_until(run.stdout, b"hi\n")
        run.send_signal(number)
        out, err = run.communicate(timeout=60)
        assert run.returncode == 130 and out == b"bye\n", (run.returncode, out, err)
        assert b"cancelling j" in err and b"cancelled" in err and b"paid" in err, err
        no_lease_is_left(node)
    assert node("job", "show", "-o", "json").json()["lease"]["state"] == "settled"


def second_interrupt_leaves_at_once(node):
    run = node.start(*SMALL, "--", "sh", "-c", "trap '' TERM; echo hi; while :; do sleep 0.1; done")
    read_until(run.stdout, b"hi\n")
    run.send_signal(signal.SIGINT)
    begin = time.monotonic()
    read_until(run.stderr, b"cancelling")
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130 and time.monotonic() - begin < 1.5, (run.returncode, time.monotonic() - begin)
    job = re.search(rb"nexus job show (j\w+)", err).group(1).decode()
    node("job", "wait", job).expect(130)
    no_lease_is_left(node)


def interrupt_while_nobody_reads(node):
    run = node.start(*QUIET, "--", "yes")
    time.sleep(1)  # the pipe is full by now, and nexus waits to write
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode == 130, run.returncode
    no_lease_is_left(node)


def closed_pipe_does_not_end_the_job(node):
    run = node.start(*SMALL, "--", "sh", "-c", "echo a; sleep 0.5; echo b; sleep 0.5; echo c; exit 5")
    read_until(run.stdout, b"a\n")
    run.stdout.close()
    err = run.stderr.read()
    assert run.wait(timeout=60) == 5 and b"exit code 5" in err, (run.returncode, err)
    assert node("job", "logs").out == "a\nb\nc\n"


def detached(node):
    job = node(*SMALL, "--detach", "--", "sh", "-c", "echo one; sleep 1; echo two; echo three >&2; exit 4").out.strip()
    assert re.fullmatch(r"j[0-9a-f]{12}", job), job
    node("job", "wait", job, "--timeout", "100ms").expect(125, err=f"job {job} is")
    logs = node("job", "logs", "-f", job).expect(0)
    assert (logs.out, logs.err) == ("one\ntwo\n", "three\n")
    node("job", "wait", job).expect(4, out="exit code 4")
    logs = node("job", "logs").expect(0)
    assert (logs.out, logs.err) == ("one\ntwo\n", "three\n")
    listed = node("job", "ls", "--limit", "1", "-o", "json").json()
    assert [j["id"] for j in listed] == [job]
    node("job", "ls").expect(0, out="failed, exit code 4")


def logs_into_a_closed_pipe(node):
    job = node(*SMALL, "-d", "--", "yes").out.strip()
    logs = node.start("job", "logs", "-f", job)
    read_until(logs.stdout, b"y\ny\n")
    logs.stdout.close()
    assert logs.wait(timeout=30) == 0
    node("job", "cancel", job).expect(0)
    node("job", "wait", job).expect(130, out="cancelled")
    node("job", "cancel", "jffffffffffff").expect(4)
    no_lease_is_left(node)


def node_that_dies(node):
    run = node.start(*SMALL, "--", "sh", "-c", "echo hi; sleep 30")
    read_until(run.stdout, b"hi\n")
    kill_for_good(node.pid())
    _, err = run.communicate(timeout=60)
    assert run.returncode == 125 and b"hint: nexus job show" in err, (run.returncode, err)
    until(lambda: node.pid() is None, "the node's end")
    node.up()
    job = node("job", "ls", "--limit", "1", "-o", "json").json()[0]
    assert job["state"] == "done", job
    no_lease_is_left(node)


def images(node):
    node("image", "build-base").expect(0, out="busybox:latest")
    node("image", "ls").expect(0, out="STORED")
    base = node("image", "ls", "-o", "json").json()[0]
    assert 0 < base["stored_bytes"] < base["bytes"], base  # compressed, and made twice it costs once
    node("image", "import", "missing.tar").expect(4)
    (node.work / "no-image").write_text("not an archive")
    done = node("image", "import", "no-image", "test")
    assert done.code in (1, 2), (done.code, done.err)
    node("image", "rm", "busybox").expect(0)
    node("image", "rm", "busybox").expect(4)
    node(*QUIET, "echo", "again").expect(0, out="again\n", err="making image busybox")


def the_chain_agrees(node):
    node("verify").expect(0, out="the chain is good")
    supply = json.loads(subprocess.run(["curl", "-s", "--unix-socket", str(node.data / "api.sock"),
                                        "http://localhost/consensus/status"], capture_output=True, check=True).stdout)
    assert float(supply["supply"]["hyper_escrow"]) == 0, supply["supply"]


def main():
    node = Node()
    try:
        node.up()
        checks = {item["name"]: item for item in node("doctor", "-o", "json").json()}
        if checks["sandbox"]["level"] == "error":
            print("no container runtime works here: " + checks["sandbox"]["text"])
            return SKIPPED
        return run_cases([
            base_image_is_made_once, output_goes_where_the_job_sent_it, output_comes_while_the_job_runs,
            exit_code_is_the_commands, exit_codes_of_nexus, report_tells_it_all, record_for_programs, file_and_options,
            the_example, interrupt_cancels_and_settles, second_interrupt_leaves_at_once, interrupt_while_nobody_reads,
            closed_pipe_does_not_end_the_job, detached, logs_into_a_closed_pipe, node_that_dies, images,
            the_chain_agrees], node)
    finally:
        node.close()


if __name__ == "__main__":
    sys.exit(main())
