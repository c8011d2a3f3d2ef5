"""idle: what a worker costs that has nothing to do. wake: what a new task costs 500 idle workers."""
import json
import subprocess
import time
from pathlib import Path

from rig import MANAGER, Redis, Worker, descendants, helper

IDLE_S = 20
WORKERS = 500


def cpu_ns(pid):
    """Of all threads, by the scheduler's count (finer than ticks)."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def switches(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if "ctxt_switches" in line)


def memory_mib(pid, name):
    """Rss or Pss."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return 0


def measure_idle(part):
    seconds = max(1, IDLE_S * part.options.scale)
    with Redis() as redis, Worker(redis) as worker:
        worker.wait_ready()
        redis.manager("addTask", "--", "/bin/true")  # one that has worked before
        worker.wait_finished(1)
        time.sleep(4)  # results are kept for some seconds
        pids = [worker.process.pid, *descendants(worker.process.pid)]
        before = [(cpu_ns(pid), switches(pid)) for pid in pids]
        start = time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - start
        after = [(cpu_ns(pid), switches(pid)) for pid in pids]
        cpu = sum(a[0] - b[0] for a, b in zip(after, before)) / 1e9 / took
        wakes = sum(a[1] - b[1] for a, b in zip(after, before)) / took
        rss, pss = (sum(memory_mib(pid, name) for pid in pids) for name in ("Rss", "Pss"))
        alone = ", ".join(f"{memory_mib(pid, 'Rss'):.1f}" for pid in pids)
    part.add("CPU", cpu * 100, "% of a core", "<= 0.5", f"redisWorker, {took:.0f} s, {len(pids)} processes")
    part.add("context switches", wakes, "a second", "", "the same")
    part.add("RSS, supervisor and agent", rss, "MiB", "<= 12",
             f"smaps_rollup: {alone} MiB; what they share counts twice")
    part.add("PSS, supervisor and agent", pss, "MiB", "<= 12", "what is shared counts by shares")


def wake(redis, small_percent, memory, tasks):
    words = [helper("wake_count"), redis.socket, WORKERS, tasks, small_percent, MANAGER, "addTask",
             "--min_dram", memory, "--min_cpu", "1", "--", "/bin/echo", f"{small_percent}"]
    done = subprocess.run([str(word) for word in words], env=redis.environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"bench: wake_count: {done.stderr}")
    got = json.loads(done.stdout)
    if got["got"] != tasks:
        raise SystemExit(f"bench: {tasks} tasks were added and {got['got']} claimed")
    return got["claims"]


def measure_wake(part):
    tasks = part.size(50)
    for name, small_percent, memory in (("fits all", 0, "0.5"), ("fits half of them", 50, "4")):
        with Redis() as redis:
            claims = wake(redis, small_percent, memory, tasks)
        command = f"{WORKERS} idle workers, addTask --min_dram {memory}, {tasks} times"
        part.add(f"claims beyond the one that takes it, {name}: most", max(claims) - 1, "", "<= 2", command)
        mean = sum(claims) / len(claims) - 1
        part.add(f"claims beyond the one that takes it, {name}: mean", mean, "", "", "the same")
