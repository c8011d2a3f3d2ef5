#!/usr/bin/env python3
"""Checks the model with Spin: `make model` runs this. README.md explains it.

    check.py             every mix, every seeded fault; exit 1 when one is not as it should be
    check.py NAME ...    only those
    check.py --trace NAME    the shortest story found for a mix or a fault, in words
    check.py --list

MODEL_DIR is where it compiles (default build/model), MODEL_JOBS how many run at a time (default 2).
"""
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("MODEL_DIR", HERE.parents[1] / "build" / "model"))
JOBS = int(os.environ.get("MODEL_JOBS", "2"))
LIMIT_S = 280
MEMORY_MIB = 1900

NET = ["LOST", "LATE", "ERROR", "AGENT"]
MACHINES = ["SUPER", "GONE", "EXPIRE"]
USE = ["FAIL", "RETURN", "OPERATOR", "LEAVE"]
EVERYTHING = NET + MACHINES + USE

# name: (unlucky events in all, their kinds, other definitions)
MIXES = {  # the longest first
    "everysec-machine": (2, MACHINES + ["REDIS"], ["EVERYSEC=1"]),
    "everysec-use": (2, USE + ["REDIS"], ["EVERYSEC=1"]),
    "everysec-twice": (2, ["REDIS=2"], ["EVERYSEC=1"]),
    "any-two": (2, EVERYTHING + ["REDIS"], []),
    "ends": (2, NET + MACHINES, ["LIVENESS"]),
    "supervisor": (3, ["SUPER", "AGENT", "LOST"], []),
    "everysec-network": (2, NET + ["REDIS"], ["EVERYSEC=1"]),
    "results": (3, ["FAIL", "RETURN", "LOST", "AGENT"], []),
    "agent": (3, NET, ["ONCE"]),
    "answers": (3, ["LOST"], ["NO_WASTE"]),
    "ends-everysec": (1, EVERYTHING + ["REDIS"], ["EVERYSEC=1", "LIVENESS"]),
}

SMALL = {"results", "agent", "answers", "ends-everysec"}  # compiling them well takes longer than running them

# name: the mix in which it has to be found
FAULTS = {
    "FAULT_NO_TOKEN_CHECK": "any-two",
    "FAULT_REPORT_KEEPS_HOLD": "any-two",
    "FAULT_CLAIM_NOT_IDEMPOTENT": "answers",
    "FAULT_CLAIM_WITHOUT_LEASE": "any-two",
    "FAULT_RENEW_WITHOUT_OWNER": "any-two",
    "FAULT_RENEW_WITHOUT_DIGEST": "any-two",
    "FAULT_RECONCILE_BY_ID": "any-two",
    "FAULT_RECONCILE_KEEPS_UNLISTED": "ends",
    "FAULT_RECONCILE_TAKES_CLAIMED": "everysec-network",
    "FAULT_RECONCILE_TAKES_FORGOTTEN": "any-two",
    "FAULT_RECONCILE_TAKES_OLDER": "any-two",
    "FAULT_RECONCILE_TAKES_RECORDED": "results",
    "FAULT_RECONCILE_WITHOUT_LEASE": "any-two",
    "FAULT_REGISTER_KNOWS_LAST_LIFE_ONLY": "any-two",
    "FAULT_EXPIRE_WITHOUT_REQUEUE": "any-two",
    "FAULT_LATE_RECONCILE": "any-two",
    "FAULT_LEAVE_KEEPS_TASKS": "any-two",
    "FAULT_REQUEUE_SAME_TRY": "any-two",
    "FAULT_ACK_BEFORE_RECORDED": "agent",
    "FAULT_DRAIN_DIES_WITH_AGENT": "any-two",
    "FAULT_LOST_BEFORE_ENDED": "any-two",
    "FAULT_UNKNOWN_CLAIM_BLOCKS": "answers",
    "FAULT_UNKNOWN_CLAIM_WITHOUT_SUPER": "any-two",
}


def run(words, where, seconds=LIMIT_S):
    done = subprocess.run(words, cwd=where, capture_output=True, text=True, timeout=seconds)
    if done.returncode and words[0] != "./pan":
        raise RuntimeError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def definitions(mix, extra):
    luck, kinds, others = MIXES[mix]
    return [f"-DLUCK={luck}"] + [f"-DK_{k}" for k in kinds] + [f"-D{d}" for d in others + extra]


def build(name, mix, extra, optimize):
    where = BUILD / name
    where.mkdir(parents=True, exist_ok=True)
    for old in where.glob("*.trail"):
        old.unlink()
    liveness = "LIVENESS" in MIXES[mix][2]
    run(["spin", *definitions(mix, extra), "-a", str(HERE / "queue.pml")], where)
    run(["gcc", optimize, "-w", "-DNOREDUCE", "-DNOFAIR", f"-DMEMLIM={MEMORY_MIB}",
         *([] if liveness else ["-DSAFETY"]), "-o", "pan", "pan.c"], where)
    return where, ["-a"] if liveness else []


class Result:
    def __init__(self, name, text, seconds):
        def number(pattern):
            found = re.search(pattern, text)
            return float(found[1]) if found else -1
        self.name, self.seconds, self.text = name, seconds, text
        self.states = int(number(r"([0-9.e+]+) states, stored"))
        self.memory = number(r"([0-9.]+)\s+total actual memory")
        self.errors = int(number(r"errors: (\d+)"))
        self.whole = "max search depth too small" not in text and "Search not completed" not in text
        found = re.search(r"pan:1: (.*?)( \(at depth \d+\))?\n", text)
        self.why = found[1] if found else ""


def check(name):
    start = time.monotonic()
    mix = name if name in MIXES else FAULTS[name]
    extra = [] if name in MIXES else [name]
    try:
        where, flags = build(name, mix, extra, "-O1" if name in MIXES and name not in SMALL else "-O0")
        text = run(["./pan", "-m5000", "-w22", *flags], where)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        text = str(error)
    return Result(name, text, time.monotonic() - start)


def good(result):
    if result.name in MIXES:
        return result.errors == 0 and result.whole
    return result.errors == 1


def show(result):
    verdict = "holds" if result.name in MIXES else "caught"
    if not good(result):
        verdict = "BROKEN" if result.name in MIXES else "NOT CAUGHT"
    print(f"{result.name:32} {verdict:8} {result.states:>10,} states {result.memory:>6.0f} MiB "
          f"{result.seconds:>6.1f} s", flush=True)
    if not good(result):
        print("    " + (result.why or result.text.strip()[-600:]), flush=True)


def trace(name):
    """pan -i goes on as long as it finds a shorter one, which may take minutes."""
    mix = name if name in MIXES else FAULTS[name]
    where, flags = build(name, mix, [] if name in MIXES else [name], "-O1")
    text = run(["./pan", "-m5000", "-w22", *(flags or ["-i"])], where)
    trails = sorted(where.glob("*.trail"))
    if not trails:
        print(f"{name}: no counterexample")
        return 1
    print(re.search(r"pan:1: (.*)", text)[1])
    story = run(["./pan", "-r", trails[-1].name], where)
    for line in story.split("spin: trail ends")[0].splitlines():
        if not re.match(r"\s*\d+:|MSC|\s*\(\(", line):
            print(line)
    return 0


def main(words):
    names = [*MIXES, *FAULTS]
    if words[:1] == ["--list"]:
        print("\n".join(names))
        return 0
    if words[:1] == ["--trace"] and len(words) == 2 and words[1] in names:
        return trace(words[1])
    wrong = [w for w in words if w not in names]
    if wrong:
        print(f"check.py: there is no {wrong[0]}; --list names all", file=sys.stderr)
        return 2
    start = time.monotonic()
    results = []
    with ThreadPoolExecutor(JOBS) as pool:
        for done in as_completed([pool.submit(check, name) for name in words or names]):
            results.append(done.result())
            show(results[-1])
    mixes = [r for r in results if r.name in MIXES]
    bad = [r.name for r in results if not good(r)]
    print(f"model: {sum(r.states for r in mixes):,} states in {len(mixes)} mixes, "
          f"{sum(r.name in FAULTS and good(r) for r in results)} faults caught, "
          f"{time.monotonic() - start:.0f} s" + (f"; WRONG: {' '.join(bad)}" if bad else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
