"""exec: tasks a second. latency: from addTask to the command's start."""
import json
import shutil
import statistics
import subprocess
import time

from rig import CORES, MANAGER, Redis, Worker, helper, percentile, rounds, timed

TASKS = 10000
PARALLEL_TASKS = 500  # GNU parallel is slower by a factor of five and more


def run_queue(redis, command, count, starts):
    """Tasks a second, from a loaded queue and the worker's start to the last result in Redis."""
    redis.load(f"#@ repeat={count}\nshell:4:0:1:{command}\n")
    with Worker(redis, "--cpus", CORES, "--max_tasks", CORES) as worker:
        starts.append(worker.wait_ready())
        return count / (worker.wait_finished(count) - worker.began)


def run_xargs(words, count):
    numbers = "".join(f"{i}\n" for i in range(count))
    return count / timed(["xargs", f"-P{CORES}", "-n1", *words], input=numbers, text=True)


def run_spawn_loop(words, count):
    line = [helper("spawn_loop"), str(count), str(CORES), *words]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[0])


def run_parallel(redis, command, count):
    numbers = "".join(f"{i}\n" for i in range(count))
    log = redis.dir / "joblog"
    words = ["parallel", "--will-cite", f"-j{CORES}", "-N0", "--joblog", log, command]
    return count / timed(words, input=numbers, text=True)


def measure_command(part, redis, command, words):
    count, starts = part.size(TASKS), []
    contenders = {
        "ours": lambda: run_queue(redis, command, count, starts),
        "xargs": lambda: run_xargs(words, count),
        "spawn": lambda: run_spawn_loop(words, count),
    }
    if shutil.which("parallel"):
        contenders["parallel"] = lambda: run_parallel(redis, command, part.size(PARALLEL_TASKS))
    got = rounds(part.options.pairs, contenders)
    quoted = " ".join(f"'{word}'" if " " in word else word for word in words)
    part.add_median(f"{command}", got["ours"], "tasks/s", "", f"redisWorker, {count} tasks, its start included")
    part.add_ratio(f"{command} / xargs", got["ours"], got["xargs"], ">= 1.0",
                   f"xargs -P{CORES} -n1 {quoted}: {statistics.median(got['xargs']):,.0f} tasks/s")
    part.add_ratio(f"{command} / spawn loop", got["ours"], got["spawn"], ">= 0.7",
                   f"spawn_loop {count} {CORES} {quoted}: {statistics.median(got['spawn']):,.0f} tasks/s")
    if "parallel" in got:
        part.add_ratio(f"{command} / GNU parallel", got["ours"], got["parallel"], "",
                       f"parallel -j{CORES} --joblog F {quoted}: {statistics.median(got['parallel']):,.0f} tasks/s")
    part.add_median(f"{command}: start of the worker", [start * 1000 for start in starts], "ms", "",
                    "until it is registered; part of the above")


def measure_exec(part):
    with Redis() as redis:
        measure_command(part, redis, "/bin/true", ["/bin/true"])
        measure_command(part, redis, "true; true", ["sh", "-c", "true; true"])


# --- latency ----------------------------------------------------------------------------------


def measure_latency(part):
    samples = max(5, 300 // part.options.pairs)
    with Redis() as redis, Worker(redis) as worker:
        worker.wait_ready()
        time.sleep(0.5)
        fifo = str(redis.dir / "fifo")
        seed = iter(range(1000000))

        def sample(*words):
            done = subprocess.run([helper("start_latency"), str(samples), fifo, str(next(seed)), *words],
                                  capture_output=True, text=True, env=redis.environment, cwd=redis.dir)
            if done.returncode != 0:
                raise SystemExit(f"bench: start_latency: {done.stderr}")
            return json.loads(done.stdout)

        got = rounds(part.options.pairs, {"ours": lambda: sample(MANAGER, "addTask", "--"), "spawn": sample})
    ours, spawn = ([ms for run in got[name] for ms in run] for name in ("ours", "spawn"))
    command = f"redisManager addTask -- stamp, {len(ours)} times, its own start included"
    part.add("addTask to start, median", statistics.median(ours), "ms", "<= 3", command)
    part.add("addTask to start, 99th percentile", percentile(ours, 0.99), "ms", "<= 15", "the same")
    part.add("bare spawn to start, median", statistics.median(spawn), "ms", "", "posix_spawn of stamp")
    part.add("bare spawn to start, 99th percentile", percentile(spawn, 0.99), "ms", "", "the same")
