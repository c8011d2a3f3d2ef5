"""Measures distcomp beside other tools and prints a table; writes build/bench.json.

usage: bench.py [--pairs N] [--scale X] [PART...]       make bench BENCH='exec load' BENCH_FLAGS='--pairs 9'

Parts: exec load latency cancel look idle wake starve memory kernels kernels_ml; all of them when none is named. docs/performance.md tells
what each does. The exit code says whether everything could be measured, not whether the targets were met.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict

import idle_part
import kernels_part
import memory_part
import ml_part
import queue_part
import run_part
import starve_part
from rig import CORES, ROOT, Part

PARTS = {
    "exec": run_part.measure_exec,
    "latency": run_part.measure_latency,
    "load": queue_part.measure_load,
    "cancel": queue_part.measure_cancel,
    "look": queue_part.measure_look,
    "idle": idle_part.measure_idle,
    "wake": idle_part.measure_wake,
    "starve": starve_part.measure_starve,
    "memory": memory_part.measure_memory,
    "kernels": kernels_part.measure_kernels,
    "kernels_ml": ml_part.measure_ml,
}


def output_of(*words):
    try:
        return subprocess.run(words, capture_output=True, text=True, cwd=ROOT).stdout.strip()
    except OSError:
        return ""


def machine():
    cpu = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return {"cores": CORES, "cpu": cpu[0] if cpu else platform.machine(), "kernel": platform.release(),
            "redis": output_of("redis-server", "--version")}


def table(parts):
    rows = [("figure", "measured", "target", "", "command")]
    for part in parts:
        rows += [(f"{part.name}: {f.name}", f.shown(), f.target, f.verdict, f.command) for f in part.figures]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for i, row in enumerate(rows):
        print("  ".join((row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].ljust(widths[2]),
                         row[3].ljust(widths[3]), row[4])).rstrip())
        if i == 0:
            print("-" * (sum(widths) + 8))


def write_json(path, parts, load_before):
    """Parts that were not measured now stay as they were."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        document = {"parts": {}}
    document["machine"] = machine()
    for part in parts:
        document["parts"][part.name] = {
            "version": output_of("git", "describe", "--tags", "--always", "--dirty=+"),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "pairs": part.options.pairs,
            "scale": part.options.scale, "load_average_before": load_before,
            "figures": [{**asdict(f), "verdict": f.verdict} for f in part.figures]}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(prog="bench.py", description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="rounds in which ours and theirs take turns (5)")
    parser.add_argument("--scale", type=float, default=1.0, help="times the number of tasks; 1 for real figures")
    parser.add_argument("parts", nargs="*", metavar="PART", help=" ".join(PARTS))
    options = parser.parse_args()
    unknown = [name for name in options.parts if name not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]}; there are {' '.join(PARTS)}")
    load_before = os.getloadavg()[0]
    if load_before > 0.5:
        print(f"bench: this machine is not idle (load {load_before:.1f}): trust the ratios, not the figures",
              file=sys.stderr)
    parts = []
    for name in options.parts or PARTS:
        print(f"  {name}", file=sys.stderr, flush=True)
        parts.append(Part(name, options))
        PARTS[name](parts[-1])
    table(parts)
    write_json(ROOT / "build" / "bench.json", parts, load_before)


if __name__ == "__main__":
    main()
