#!/usr/bin/env python3
"""Makes a file of tests/unit/light/blocks: a packed LightBlock of what an engine's RPC answers for one height.

Usage: pack_block.py COMMIT.json VALIDATORS.json > blocks/NAME
COMMIT.json: the answer (or its "result") to /commit?height=H; VALIDATORS.json: to /validators?height=H&per_page=100.
The files there were recorded from CometBFT 0.38.25 with small networks: powers, who was down, who rejected proposals
(votes for nil) are named in test_engine.c.
"""
import base64
import calendar
import json
import re
import sys
import time


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value) if value else b""


def chunk(field, value, always=False):
    return varint(field << 3 | 2) + varint(len(value)) + value if value or always else b""


def stamp(field, text):
    found = re.fullmatch(r"(.{19})(?:\.(\d{1,9}))?Z", text)
    seconds = calendar.timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%S"))
    return chunk(field, number(1, seconds) + number(2, int((found[2] or "0").ljust(9, "0"))), True)


def block_id(field, value):
    parts = number(1, value["parts"]["total"]) + chunk(2, bytes.fromhex(value["parts"]["hash"]))
    return chunk(field, chunk(1, bytes.fromhex(value["hash"])) + chunk(2, parts, True), True)


def header(value):
    version = number(1, int(value["version"]["block"])) + number(2, int(value["version"].get("app", "0")))
    hashes = ["last_commit_hash", "data_hash", "validators_hash", "next_validators_hash", "consensus_hash", "app_hash",
              "last_results_hash", "evidence_hash", "proposer_address"]
    return (chunk(1, version) + chunk(2, value["chain_id"].encode()) + number(3, int(value["height"]))
            + stamp(4, value["time"]) + block_id(5, value["last_block_id"])
            + b"".join(chunk(6 + i, bytes.fromhex(value[name])) for i, name in enumerate(hashes)))


def entry(value):
    if value["block_id_flag"] == 1:  # absent: nothing else
        return number(1, 1)
    return (number(1, value["block_id_flag"]) + chunk(2, bytes.fromhex(value["validator_address"]))
            + stamp(3, value["timestamp"]) + chunk(4, base64.b64decode(value["signature"])))


def commit(value):
    return (number(1, int(value["height"])) + number(2, value["round"]) + block_id(3, value["block_id"])
            + b"".join(chunk(4, entry(one), True) for one in value["signatures"]))


def validator(value):
    key = chunk(1, base64.b64decode(value["pub_key"]["value"]))
    return chunk(1, key) + number(2, int(value["voting_power"]))


def light_block(commit_answer, validators_answer):
    signed = commit_answer["signed_header"]
    both = chunk(1, header(signed["header"])) + chunk(2, commit(signed["commit"]))
    return chunk(1, both) + b"".join(chunk(2, validator(one)) for one in validators_answer["validators"])


def answer(path):
    with open(path, encoding="utf-8") as file:
        value = json.load(file)
    return value.get("result", value)


if __name__ == "__main__":
    sys.stdout.buffer.write(light_block(answer(sys.argv[1]), answer(sys.argv[2])))
