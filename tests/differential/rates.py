#!/usr/bin/env python3
"""Rates of one conversation against themselves: said one by one while DNS answers at once, and pipelined, or while DNS takes its time.

    tests/differential/rates.py POSTERN [--scenes N] [--seed N]

Each scene is a random policy, whose applied and monitor rules read random rates in all stages, and a random conversation of two transactions, as a
transcript. What each stage and each recipient read must be the same however it was said and however late it was known by whom a rate is counted.
Left out is what policy/README.md says is not so: a group does not see its own unknown recipients; a later message does not wait for the domain of
an earlier one (there is a pause between two where a rate is counted by such a domain).
Ends with "N scenes, N readings, N failed".
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

STAGES = ["connect", "helo", "mail", "rcpt", "data"]
KEYS = {"client.name": "connect", "client.ip": "connect", "spf.domain": "mail", "rcpt.domain": "rcpt", "from.domain": "data"}
COUNTED = {"connections": ["client.name"], "errors": ["client.name"], "unknown": ["client.name", "spf.domain"],
           "recipients": ["client.name", "spf.domain", "client.ip", "rcpt.domain"], "messages": ["client.name", "spf.domain", "from.domain"]}
ASKED = ("spf.domain", "from.domain")  # by a message


def policy(choice):
    """Lines of a policy, and the facts that its rates are counted by."""
    rates = []
    for name in "abcd":
        counted = choice.choice(sorted(COUNTED))
        rates.append((name, counted, choice.choice(COUNTED[counted])))
    lines, rules = [f"rate {name} {counted} by {key} over 1h" for name, counted, key in rates], 0
    for stage in STAGES:
        lines.append(f"stage {stage}")
        if stage == "rcpt" and choice.random() < 0.5:  # some recipients are decided before others
            lines.append('  rule waits: score 1 when rcpt.local like "u*" and spf = fail')
        for name, counted, key in rates:
            readable = STAGES.index(KEYS[key]) <= STAGES.index(stage) and (KEYS[key], stage) != ("rcpt", "data")
            if readable and (counted, stage) != ("unknown", "rcpt") and choice.random() < 0.5:
                monitor = " monitor" if choice.random() < 0.5 else ""
                lines.append(f"  rule r{rules}{monitor}: score 1 when rate.{name} >= {choice.randrange(3)}")
                rules += 1
    return lines, {key for _, _, key in rates}


def transaction(choice, pipelined):
    domain = choice.choice("ab")
    recipients = [f"{choice.choice(['u', 'no', 'v'])}{i}" for i in range(choice.randrange(1, 5))] + ["z"]
    said = [(f"MAIL FROM:<x@{domain}.example>", "250")]
    said += [(f"RCPT TO:<{r}@our.test>", "550" if r.startswith("no") else "250") for r in recipients]
    if pipelined:
        lines = [f"C: {command}" for command, _ in said] + [f"S: {code} *" for _, code in said]
    else:
        lines = [line for command, code in said for line in (f"C: {command}", f"S: {code} *")]
    if choice.random() < 0.7:
        return lines + ["C: DATA", "S: 354 *", f"C: From: a@{domain}.example", "C:", "C: x", "C: .", "S: 250 *"]
    return lines + ["C: RSET", "S: 250 *"]


def transcript(seed, pipelined, delays):
    """The scene of this seed. delays: a source of random numbers, None: DNS answers at once."""
    choice = random.Random(seed)

    def delay():
        return f" delay {delays.choice([0, 10, 500, 1500, 3000])}ms" if delays else ""

    rules, keys = policy(choice)
    lines = ["policy", *rules, "end", "set backend-probe 1h", 'backend on RCPT "TO:<no*" 550 5.1.1 User unknown',
             "dns 9.113.0.203.in-addr.arpa PTR m.example" + delay(), "dns m.example A 203.0.113.9" + delay(),
             *(f'dns {name}.example TXT "v=spf1 -all"{delay()}' for name in "ab"), "S: 220 *", "C: EHLO client.example", "S: 250-*"]
    for _ in range(2):
        lines += transaction(choice, pipelined)
        if keys.intersection(ASKED):
            lines.append("wait 5s")
        if choice.random() < 0.3:
            lines += ["C: FOO", "S: 500 *"]
    # what failed shows its journal
    return "\n".join([*lines, "C: QUIT", "S: 221 *", "S closed", "wait 20s", 'expect journal has "to be shown"', ""])


def readings(postern, text):
    """(record, stage or number of the recipient, rate, value), sorted."""
    with tempfile.NamedTemporaryFile("w", suffix=".transcript", delete=False) as file:
        file.write(text)
    try:
        run = subprocess.run([postern, "test", "--verbose", file.name], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    finally:
        os.unlink(file.name)
    if "expected the record to hold it" not in run.stdout:
        sys.exit(f"not as expected:\n{text}\n{run.stdout[:3000]}{run.stderr[:3000]}")
    found = set()
    for line in run.stdout.split("\n"):
        if not line.lstrip().startswith('{"v":'):
            continue
        record = json.loads(line)
        scopes = {**{stage: part["facts"] for stage, part in record["stages"].items()},
                  **{f"rcpt {i}": part["facts"] for i, part in enumerate(record["recipients"]) if "facts" in part}}
        number = record["id"].rpartition(".")[2]
        found |= {(number, scope, name, str(fact[0])) for scope, facts in scopes.items() for name, fact in facts.items() if name.startswith("rate.")}
    return sorted(found)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("postern")
    arguments.add_argument("--scenes", type=int, default=100)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    failed = seen = 0
    for seed in range(given.seed, given.seed + given.scenes):
        plain = readings(given.postern, transcript(seed, False, None))
        seen += len(plain)
        for way in range(3):
            text = transcript(seed, way > 0, random.Random(f"{seed} {way}"))
            other = readings(given.postern, text)
            if other != plain:
                failed += 1
                print(f"--seed {seed} --scenes 1: one by one {sorted(set(plain) - set(other))}, but {sorted(set(other) - set(plain))} in\n{text}")
                break
    print(f"{given.scenes} scenes, {seen} readings, {failed} failed")
    return failed > 0 or seen < given.scenes


if __name__ == "__main__":
    sys.exit(main())
