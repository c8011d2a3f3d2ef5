"""load, cancel, look: a queue of a million tasks."""
import json
import os
import re
import statistics
import subprocess
import time

from rig import CORES, HELPERS, MANAGER, Redis, Worker, helper, percentile, rounds, spawn_timed, timed

TASKS = 1000000
COMMAND_BYTES = 80
SHAPES = 10000
COUNTS_ONLY = [f"--{name}=false" for name in ("todo", "in_progress", "finished", "failed")]


def write_tasks(path, count):
    """Distinct commands of COMMAND_BYTES each."""
    with open(path, "w") as out:
        for i in range(count):
            command = f"./simulate --seed {i:09d} --trace ".ljust(COMMAND_BYTES - 8, "x") + " --quick"
            out.write(f"shell:4:0.5:1:{command}\n")
    return path


# --- load -------------------------------------------------------------------------------------


def empty(redis):
    redis.command("FLUSHALL")
    redis.settle()


def load_ours(redis, tasks, count, peaks):
    empty(redis)
    seconds, peak_kib = spawn_timed([MANAGER, "loadTask", "--taskfile", tasks], redis.environment)
    peaks.append(peak_kib / 1024)
    return count / seconds


def load_pipe(redis, protocol, count):
    empty(redis)
    with open(protocol) as commands:
        return count / timed(["redis-cli", "-s", redis.socket, "--pipe"], stdin=commands, stdout=subprocess.DEVNULL)


def used_bytes(redis):
    redis.settle()
    memory = redis.info("memory")
    return int(memory["used_memory"]) - int(memory["mem_aof_buffer"]) - int(memory["mem_clients_normal"])


def task_bytes(redis, tasks, count):
    empty(redis)
    redis.manager("initRedis", "--force")
    before = used_bytes(redis)
    redis.manager("loadTask", "--taskfile", tasks)
    return (used_bytes(redis) - before) / count


def measure_load(part):
    count, peaks = part.size(TASKS), []
    with Redis() as redis:
        tasks, protocol = write_tasks(redis.dir / "tasks", count), redis.dir / "protocol"
        with open(protocol, "wb") as out:
            subprocess.run([helper("pipe_tasks"), tasks], stdout=out, check=True)
        got = rounds(part.options.pairs, {
            "ours": lambda: load_ours(redis, tasks, count, peaks),
            "pipe": lambda: load_pipe(redis, protocol, count),
        })
        ours_bytes = task_bytes(redis, tasks, count)
        with Redis(defaults=True) as plain:
            plain_bytes = task_bytes(plain, tasks, count)
    command = f"loadTask of {count:,} commands of {COMMAND_BYTES} bytes"
    part.add_median("loadTask", got["ours"], "tasks/s", ">= 150000", command)
    part.add_ratio("loadTask / redis-cli --pipe", got["ours"], got["pipe"], ">= 0.6",
                   f"one HSET and one RPUSH a task: {statistics.median(got['pipe']):,.0f} tasks/s")
    part.add("Redis' memory a task, redis.sh", ours_bytes, "bytes", "<= 260", "INFO memory, before and after")
    part.add("Redis' memory a task, defaults", plain_bytes, "bytes", "<= 330", "the same, plain redis-server")
    part.add("peak RSS of loadTask", max(peaks), "MiB", "<= 32", command)


# --- cancel -----------------------------------------------------------------------------------


def script_name(sha1):
    """Of a script of ours, from the table that was built into the programs."""
    table = (HELPERS.parents[1] / "scripts.c").read_text()
    found = re.search(r'"(\w+)", "%s"' % sha1, table)
    return f"{found[1]}.lua" if found else sha1


def slowest_ms(redis, action):
    """The longest single command of Redis while action() runs, by its slow log; and its name."""
    redis.command("CONFIG", "SET", "slowlog-log-slower-than", "500", "slowlog-max-len", "10000",
                  "latency-monitor-threshold", "10")
    redis.command("SLOWLOG", "RESET")
    redis.command("LATENCY", "RESET")
    action()
    entries = redis.command("SLOWLOG", "GET", "-1")
    redis.command("CONFIG", "SET", "slowlog-log-slower-than", "10000", "latency-monitor-threshold", "0")
    worst = max(entries, key=lambda entry: entry[2], default=None)
    if not worst:
        return 0, "none over 0.5 ms"
    words = worst[3]
    return worst[2] / 1000, script_name(words[1].decode()) if words[0].upper() == b"EVALSHA" else words[0].decode()


def write_two_kinds(path, count, first):
    """Half of the tasks to cancel, half to run; the former first, or in turns."""
    with open(path, "w") as out:
        for i in range(count):
            cancel = i < count // 2 if first else i % 2 == 0
            out.write(f"shell:4:0:1:{'/bin/false' if cancel else '/bin/true'} {i}\n")
    return path


def run_some(redis, count):
    """Tasks a second, from the first `count` results of a worker on what is queued."""
    before = redis.finished()
    with Worker(redis, "--cpus", CORES, "--max_tasks", CORES) as worker:
        return count / (worker.wait_finished(before + count) - worker.began)


def cancel_half(redis, part, count, first):
    redis.manager("initRedis", "--force")
    redis.manager("loadTask", "--taskfile", write_two_kinds(redis.dir / "tasks", count, first))
    redis.settle()
    took = []

    def cancel():
        took.append(timed([MANAGER, "cancelTask", "--include", "/bin/false"], env=redis.environment,
                          stdout=subprocess.DEVNULL))

    worst, which = slowest_ms(redis, cancel)
    where = "at the head" if first else "every other one"
    command = f"cancelTask --include /bin/false: {count // 2:,} of {count:,}, {where}, {took[0]:.1f} s; it was {which}"
    part.add(f"longest call of Redis, cancelled {where}", worst, "ms", "<= 10", command)


def measure_cancel(part):
    count, run = part.size(TASKS), part.size(5000)
    with Redis() as redis, Redis() as fresh:
        cancel_half(redis, part, count, first=False)
        fresh.load("".join(f"shell:4:0:1:/bin/true {i}\n" for i in range((part.options.pairs + 1) * run)))
        got = rounds(part.options.pairs, {"after": lambda: run_some(redis, run), "fresh": lambda: run_some(fresh, run)})
        after, new = (statistics.median(got[name]) for name in ("after", "fresh"))
        part.add_ratio("rate after cancelling / fresh queue", got["after"], got["fresh"], ">= 0.95",
                       f"{run:,} tasks: {after:,.0f} and {new:,.0f} tasks/s")
        cancel_half(redis, part, count, first=True)
        with Worker(redis, "--cpus", CORES) as worker:
            seconds = worker.wait_finished(redis.finished() + 1) - worker.began
            part.add(f"to the first result behind {count // 2:,} cancelled", seconds, "s", "",
                     "redisWorker, its start included")
    measure_shapes(part)


def claim_latency(redis, claims, free_mib):
    done = subprocess.run([helper("claim_latency"), str(redis.socket), str(claims), str(free_mib)], capture_output=True,
                          text=True, check=True)
    return json.loads(done.stdout)["ms"]


def measure_shapes(part):
    count, claims = part.size(SHAPES), part.size(SHAPES) // 10
    with Redis() as redis:
        for name, free_mib in (("all fit", 1 << 20), ("one in five fits", count // 5)):
            redis.load("".join(f"shell:4:{i + 1}MiB:1:/bin/true {i}\n" for i in range(count)))
            ms = [claim_latency(redis, claims // part.options.pairs + 1, free_mib) for _ in range(part.options.pairs)]
            ms = [value for run in ms for value in run]
            part.add(f"claim, {count:,} sizes of min_dram, {name}: 99th percentile", percentile(ms, 0.99), "ms", "<= 1",
                     f"{len(ms)} claims of one task by a client; median {statistics.median(ms):.3f} ms")


# --- look -------------------------------------------------------------------------------------


def measure_look(part):
    count = part.size(TASKS)
    with Redis() as redis, Worker(redis, "--cpus", 1) as worker:
        worker.wait_ready()
        redis.manager("drainWorker", "bench")
        redis.manager("loadTask", "--taskfile", write_tasks(redis.dir / "tasks", count))
        redis.settle()
        time.sleep(1)
        looks = {"checkTask": [MANAGER, "checkTask", *COUNTS_ONLY], "checkWorker": [MANAGER, "checkWorker"],
                 "redis-cli ping": ["/usr/bin/redis-cli", "-s", str(redis.socket), "ping"]}
        got = rounds(part.options.pairs * 5, {
            name: lambda words=words: 1000 * spawn_timed(words, redis.environment)[0]
            for name, words in looks.items() if os.path.exists(words[0])})
    for name, values in got.items():
        target = "" if name.startswith("redis") else "<= 20"
        part.add_median(f"{name}, {count:,} queued", values, "ms", target,
                        " ".join(["redisManager" if w == MANAGER else os.path.basename(w) for w in looks[name]]))
