"""memory: what watching costs, and how long it takes from the trigger to memory that is free again.

The second needs a memory cgroup with a limit (tests/lib/memorybox.py): worker and task run in it, and a thread of
this process reads what it uses, as the kernel counts it, each half of a millisecond.
"""
import statistics
import sys
import threading
import time

from idle_part import cpu_ns
from memorybox import MIB, MemoryBox, NoRights, read_counts
from rig import HELPERS, Redis, Worker, descendants, timed, wait_until

TASKS = 200
WATCH_S = 20
LIMIT_MIB, TRIGGER_MIB = 3072, 768
RATES = (512, 1024, 2048)
ROUNDS = 12
MEMHOG = HELPERS.parent / "lib" / "memhog"


class Sampler:
    """What the box uses: samples are (seconds, bytes)."""

    def __init__(self, box):
        self.file, self.samples, self.stop = open(box.usage_file, "rb", buffering=0), [], False
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.stop:
            self.file.seek(0)
            self.samples.append((time.monotonic(), int(self.file.read(32))))
            time.sleep(0.0005)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        self.thread.join()
        self.file.close()


def worker_cpu(seconds, tasks):
    """Of supervisor and agent, in percent of a core, while so many tasks sleep."""
    with Redis() as redis, Worker(redis, "--max_tasks", TASKS + 10) as worker:
        worker.wait_ready()
        pids = [worker.process.pid, *descendants(worker.process.pid)]
        if tasks:
            redis.load(f"#@ repeat={tasks}\nshell:1:0:0:exec sleep 1000\n")
            wait_until(lambda: int(redis.queue("HGET", "count", "in_progress") or 0) == tasks, 60)
        time.sleep(5)  # what a start costs is over
        before, start = sum(map(cpu_ns, pids)), time.monotonic()
        time.sleep(seconds)
        return (sum(map(cpu_ns, pids)) - before) / 1e7 / (time.monotonic() - start)


def cache(box):
    """What the kernel gives up before it kills, and so counts as available."""
    stat = read_counts(box.path / "memory.stat")
    return stat["active_file"] + stat["inactive_file"]


def crossing(samples, level):
    """When the level was first reached, between two samples; the index of the second."""
    for i in range(1, len(samples)):
        (t0, b0), (t1, b1) = samples[i - 1], samples[i]
        if b1 >= level > b0:
            return t0 + (t1 - t0) * (level - b0) / (b1 - b0), i
    raise SystemExit("bench: the trigger was not reached")


def times(samples, level, rest):
    """Of one return: growth before the trigger in bytes a second; seconds from there to the highest use, and to all
    being free again; bytes beyond the trigger at the highest."""
    t0, at = crossing(samples, level)
    before = next((t, b) for t, b in samples if t >= t0 - 0.1)
    growth = (level - before[1]) / max(t0 - before[0], 1e-6)
    top = at
    for i in range(at, len(samples)):
        if samples[i][1] <= rest + 16 * MIB:
            return growth, samples[top][0] - t0, samples[i][0] - t0, samples[top][1] - level
        if samples[i][1] > samples[top][1]:
            top = i
    raise SystemExit("bench: memory has not become free")


def warm_up():
    """A virtual machine's host hands memory out slowly, and may have taken back what was free."""
    timed([MEMHOG, LIMIT_MIB, "huge=1"])


def one_return(redis, box, rate, number):
    """The number is in the command, since a task is known by its content."""
    warm_up()
    rest = box.used
    level = box.limit - TRIGGER_MIB * MIB + cache(box)
    with Sampler(box) as sampler:
        redis.manager("addTask", "--min_dram", "0.1", "--min_cpu", "0", "--",
                      f"{MEMHOG} {2 * LIMIT_MIB} rate={rate} huge=1 hold={number}")
        wait_until(lambda: max((b for _, b in sampler.samples), default=0) >= level, 60)
        redis.manager("cancelTask", "--state", "todo,in_progress", "--include", ".")
        wait_until(lambda: box.used <= rest + 16 * MIB, 30)
        time.sleep(0.1)
    return times(sampler.samples, level, rest)


def measure_returns(part):
    rounds = max(3, int(ROUNDS * part.options.scale))
    try:
        box = MemoryBox(LIMIT_MIB, "distcomp-bench")
    except NoRights as error:
        print(f"    no memory cgroup can be made here, returns are not measured: {error}", file=sys.stderr)
        return
    try:
        settings = ("--min_dram_gb_accept_new_task", f"{TRIGGER_MIB}MiB", "--min_dram_gb_trigger_return",
                    f"{TRIGGER_MIB}MiB", "--health_report_interval", "0.5")
        with Redis() as redis, Worker(redis, *settings, before=box.enter([])) as worker:
            worker.wait_ready()
            for rate in RATES:
                report(part, rate, [one_return(redis, box, rate, i) for i in range(rounds)])
            kills = box.oom_kills
    finally:
        box.close()
    part.add("kernel kills in all of these", kills, "", "<= 0", "the cgroup's oom_kill")


def report(part, rate, returns):
    growth, top, free, beyond = zip(*returns)
    command = (f"{len(returns)} times, {LIMIT_MIB} MiB, trigger {TRIGGER_MIB} MiB; growth of "
               f"{statistics.median(growth) / (1 << 30):.2f} GiB/s was measured")
    name = f"{rate / 1024:g} GiB/s: from the trigger to "
    part.add_median(name + "all freed, median", [1000 * t for t in free], "ms", "", command)
    part.add(name + "all freed, most", 1000 * max(free), "ms", "", "the same")
    part.add_median(name + "the highest use, median", [1000 * t for t in top], "ms", "", "the same")
    part.add(f"{rate / 1024:g} GiB/s: most beyond the trigger", max(beyond) / MIB, "MiB", "", "the same")


def measure_memory(part):
    seconds = max(2, WATCH_S * part.options.scale)
    part.add(f"watching {TASKS} sleeping tasks: CPU", worker_cpu(seconds, TASKS), "% of a core", "<= 1",
             f"supervisor and agent, {seconds:.0f} s")
    part.add("the same without tasks", worker_cpu(seconds, 0), "% of a core", "", "the same")
    measure_returns(part)
