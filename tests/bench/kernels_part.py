"""kernels: native tasks beside what they are made of. noop: tasks a second, BullMQ beside it where npm can install it.
gemm: as a task against cblas_dgemm alone (blas_alone.c). matmul: two workers of one core each against one, and against
numpy, which loads, multiplies and saves on two threads."""
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rig import BIN, CORES, ROOT, Redis, Worker, helper, rounds

NOOPS = 100000
BULLMQ = ROOT / "build" / "bullmq"  # npm's directory
SIZE = 4096
NUMPY = """
import sys, time
import numpy
begin = time.monotonic()
a, b = numpy.load(sys.argv[1]), numpy.load(sys.argv[2])
numpy.save(sys.argv[3], a @ b)
print(time.monotonic() - begin)
"""


def field(redis, name, key):
    """A figure that the one task of that name has printed."""
    rows = [json.loads(line) for line in redis.manager("exportTask", "--format", "jsonl", "--name", name).splitlines()]
    if [row["state"] for row in rows] != ["finished"]:
        raise SystemExit(f"bench: {name}: {rows}")
    return rows[0]["wall_s"] if key == "wall_s" else float(
        dict(word.split("=", 1) for word in rows[0]["stdout"].split())[key])


def add(redis, name, min_cpu, line):
    redis.manager("addTask", "--quiet", "--type", "native", "--min_cpu", str(min_cpu), "--name", name, "--", line)
    redis.manager("waitTask", "--name", name, "--timeout", "300s", "--progress", "false")


# --- noop -------------------------------------------------------------------------------------


def run_noops(redis, count):
    redis.load(f"#@ repeat={count}\nnative:4:0:0:noop\n")
    with Worker(redis, "--cpus", CORES) as worker:
        return count / (worker.wait_finished(count) - worker.began)


def bullmq_there():
    """Installs it, once; it is no dependency of anything else."""
    if not (shutil.which("node") and shutil.which("npm")):
        return "node and npm are not installed"
    if not all((BULLMQ / "node_modules" / name).exists() for name in ("bullmq", "ioredis")):
        BULLMQ.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["npm", "install", "--no-fund", "--no-audit", "--prefix", BULLMQ, "bullmq", "ioredis"],
                              capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            return f"npm install bullmq ioredis: {(done.stderr.splitlines() or ['failed'])[-1]}"
    return None


def run_bullmq(count):
    """With Redis' own defaults: no AOF."""
    with Redis(defaults=True) as redis:
        done = subprocess.run(["node", ROOT / "tests" / "bench" / "bullmq.js", redis.socket, str(count)],
                              capture_output=True, text=True, env={**os.environ, "NODE_PATH": str(BULLMQ / "node_modules")})
        if done.returncode != 0:
            raise SystemExit(f"bench: bullmq.js: {done.stderr}")
        return float(done.stdout)


def measure_noop(part, redis):
    count = part.size(NOOPS)
    contenders = {"ours": lambda: run_noops(redis, count)}
    missing = bullmq_there()
    if missing:
        print(f"    BullMQ is not measured: {missing}", file=sys.stderr)
    else:
        contenders["bullmq"] = lambda: run_bullmq(count // 5)
    got = rounds(part.options.pairs, contenders)
    part.add_median("noop", got["ours"], "tasks/s", ">= 20000",
                    f"{count} tasks on one worker, its start included, AOF everysec")
    if "bullmq" in got:
        part.add_ratio("noop / BullMQ", got["ours"], got["bullmq"], "",
                       f"one worker, concurrency 100, no AOF: {statistics.median(got['bullmq']):,.0f} jobs/s")


# --- gemm -------------------------------------------------------------------------------------


def run_gemm(redis, serial, n, key, whole):
    name = f"gemm{n}/{next(serial)}"
    add(redis, name, CORES, f"gemm n={n} seed={len(whole)}")
    whole.append(field(redis, name, "wall_s"))
    return 1 / field(redis, name, key)


def run_alone(n, repeat):
    done = subprocess.run([helper("blas_alone"), str(n), str(CORES), "f64", str(repeat)], capture_output=True,
                          text=True, check=True)
    return 1 / float(done.stdout)


def measure_gemm(part, redis, n, target):
    """Speeds in multiplications a second. Both have multiplied before: the host is warm."""
    serial, whole = iter(range(1000000)), []
    with Worker(redis, "--cpus", CORES) as worker:
        worker.wait_ready()
        run_gemm(redis, serial, n, "seconds", [])
        got = rounds(part.options.pairs, {"ours": lambda: run_gemm(redis, serial, n, "seconds", whole),
                                          "alone": lambda: run_alone(n, 1)})
    alone = 1 / statistics.median(got["alone"])
    part.add_ratio(f"gemm {n} f64 / cblas_dgemm alone", got["ours"], got["alone"], target,
                   f"blas_alone {n} {CORES} f64 1: {2e-9 * n**3 / alone:,.0f} GFLOP/s")
    part.add_median(f"gemm {n} f64, the whole task / its multiplication",
                    [w * speed for w, speed in zip(whole, got["ours"])], "x", "",
                    f"filling, checking, page faults: {statistics.median(whole) * 1000:.1f} ms in all")


# --- matmul -----------------------------------------------------------------------------------


def make_matrices(directory):
    code = (f"import numpy, sys; r = numpy.random.default_rng(1)\n"
            f"for name in 'AB': numpy.save(sys.argv[1] + '/' + name + '.npy', r.standard_normal(({SIZE}, {SIZE})))")
    subprocess.run([sys.executable, "-c", code, str(directory)], check=True)


def run_numpy(directory):
    line = [sys.executable, "-c", NUMPY, *(str(directory / f"{name}.npy") for name in "ABN")]
    done = subprocess.run(line, capture_output=True, text=True, check=True,
                          env={**os.environ, "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"})
    return 1 / float(done.stdout)


def run_plan(redis, serial, workers):
    """From planning to the product's file, by so many workers of one core each, which are there and warm."""
    name = f"matmul{next(serial)}"
    started = [Worker(redis, "--cpus", 1, name=f"{name}.{i}") for i in range(workers)]
    try:
        for worker in started:
            worker.__enter__()
            worker.wait_ready()
        add_warm = "".join(f"native:0:0:1:gemm n=64 seed={i}\n" for i in range(4 * workers))
        redis.manager("loadTask", "--name", f"{name}/warm", "--taskfile", "-", input=add_warm)
        redis.manager("waitTask", "--name", f"{name}/warm", "--timeout", "60s", "--progress", "false")
        begin = time.monotonic()
        plan = subprocess.run([BIN / "redisPlan", "matmul", "A.npy", "B.npy", "-o", "C.npy", "--name", f"{name}/plan",
                               "--workers", "2", "--mem", "1"], cwd=redis.dir, env=redis.environment, check=True,
                              capture_output=True, text=True).stdout
        redis.manager("loadTask", "--taskfile", "-", input=plan)
        redis.manager("waitTask", "--name", f"{name}/plan/assemble", "--timeout", "300s", "--progress", "false")
        seconds = time.monotonic() - begin
        redis.manager("waitTask", "--name", f"{name}/plan", "--timeout", "60s", "--progress", "false")
    finally:
        for worker in started:
            worker.__exit__()
    return 1 / seconds


def run_blas(count):
    """Multiplications a second of so many processes at a time, one thread each."""
    line = [helper("blas_alone"), "3000", "1", "f64", "2"]
    running = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return sum(1 / float(process.communicate()[0]) for process in running)


def check_matmul(directory):
    code = ("import numpy, sys; c, n = (numpy.load(sys.argv[1] + '/' + x + '.npy') for x in 'CN')\n"
            "sys.exit(not numpy.allclose(c, n, rtol=1e-9, atol=1e-9))")
    if subprocess.run([sys.executable, "-c", code, str(directory)]).returncode:
        raise SystemExit("bench: the product is not numpy's")


def measure_matmul(part, redis):
    serial, directory = iter(range(1000000)), Path(redis.dir)
    make_matrices(directory)
    got = rounds(part.options.pairs, {"two": lambda: run_plan(redis, serial, 2),
                                      "one": lambda: run_plan(redis, serial, 1),
                                      "numpy": lambda: run_numpy(directory),
                                      "blas": lambda: run_blas(1),
                                      "both": lambda: run_blas(2)})
    check_matmul(directory)
    part.add_median(f"matmul {SIZE} f64, two workers", [1 / speed for speed in got["two"]], "s", "",
                    "redisPlan matmul A.npy B.npy -o C.npy, loaded, until C.npy is there")
    part.add_ratio(f"matmul {SIZE} f64, two workers of one core / one", got["two"], got["one"], ">= 1.7",
                   f"one: {1 / statistics.median(got['one']):.2f} s")
    part.add_ratio("two cblas_dgemm of one thread at a time / one", got["both"], got["blas"], "",
                   "what two cores give on this machine")
    part.add_ratio(f"matmul {SIZE} f64, two workers / numpy", got["two"], got["numpy"], ">= 0.85",
                   f"load, multiply, save on two threads: {1 / statistics.median(got['numpy']):.2f} s")


def measure_kernels(part):
    with Redis() as redis:
        measure_noop(part, redis)
        measure_gemm(part, redis, 4096, ">= 0.95")
        measure_gemm(part, redis, 1000, ">= 0.85")
        measure_matmul(part, redis)
