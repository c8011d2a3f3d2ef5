#!/usr/bin/env python3
"""make chaos: runs thousands of tasks on several workers while their processes, Redis and the network are
killed, stopped, cut off and set back, then compares what the tasks did with what the queue says.

    CHAOS_SEED=N        the choices (default: 1; drawn and printed for "random")
    CHAOS_MINUTES=30    how long (default: 80 s)
    CHAOS_TASKS=N       how many tasks (default: 5,000, or 60 a second of a longer run)
    DISTCOMP_KEEP=1     leaves the box (AOF, logs, marks) for a look

Exit 0 only when nothing was lost, nothing recorded twice, and everything is explained. docs/reliability.md says
what it does and what came out.
"""
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
try:
    import pytest  # noqa: F401 - scriptqueue has fixtures of its own
except ImportError:
    import types
    sys.modules["pytest"] = types.SimpleNamespace(fixture=lambda *a, **k: a[0] if a and callable(a[0]) else lambda f: f)
import harness  # noqa: E402
from scriptqueue import ScriptQueue, parse_log  # noqa: E402

import plan  # noqa: E402
import table  # noqa: E402
from acts import Acts  # noqa: E402
from cluster import TASK, Cluster  # noqa: E402
from verdict import History, Verdict, read_marks, recorded_in_logs  # noqa: E402

WORKERS, SECONDS, ACT_EVERY_S, BATCHES, SETTLE_S = 6, 80, 0.22, 12, 120
TASKS, TASKS_PER_S = 5000, 60


class Loader(threading.Thread):
    """Loads the batches whose time has come, as often as it takes; all of them again when Redis forgot its last
    seconds, which adds only what is missing."""

    def __init__(self, cluster, tasks):
        super().__init__(daemon=True)
        self.cluster, self.tasks = cluster, tasks
        self.wanted, self.dirty, self.ended = 0, threading.Event(), threading.Event()
        self.loads = self.failures = 0
        self.said, self.wrong = {}, []

    def want(self, batch):
        self.wanted = max(self.wanted, batch)
        self.dirty.set()

    def load(self):
        """True when Redis has acknowledged all that is wanted."""
        lines = [task.line(TASK) for task in self.tasks if task.batch <= self.wanted]
        path = self.cluster.box / "batch.jsonl"
        path.write_text("\n".join(lines) + "\n")
        done = self.cluster.queue.run("loadTask", "--taskfile", path, "--json")
        self.loads += 1
        if done.returncode == 0:
            try:
                self.said = json.loads(done.stdout)
            except ValueError:
                self.wrong.append(f"loadTask --json left with 0 and said {done.stdout[:300]!r} {done.stderr[:300]!r}")
            return True
        self.failures += 1
        self.said = {"error": done.stderr[-300:]}
        return False

    def run(self):
        while not self.ended.is_set():
            if not self.dirty.wait(0.2):
                continue
            self.dirty.clear()
            if not self.load():
                self.dirty.set()
                time.sleep(0.3)

    def close(self):
        self.ended.set()
        self.join()


def say(text):
    print(f"chaos: {text}", flush=True)


def drive(cluster, acts, loader, plan_of_acts, seconds):
    """The bad time. Returns who was gone without having been told."""
    began, todo, gone, beat = time.monotonic(), list(plan_of_acts), [], 0
    while True:
        at = time.monotonic() - began
        if at >= seconds:
            return gone
        loader_batch = 1 + int(at / seconds * (BATCHES - 1) / 0.9)
        if loader_batch > loader.wanted and loader_batch < BATCHES:
            loader.want(loader_batch)
        acts.run_due()
        # One act a turn, and no flood of them after a turn that took long.
        if todo and todo[0].at <= at:
            acts.do(todo.pop(0))
        beat += 1
        if beat % 5 == 0:
            for name in cluster.watch():
                gone.append(name)
                say(f"{name} has left by itself: " + last_words(cluster, name))
            cluster.reap()
        time.sleep(0.02)


def last_words(cluster, name):
    log = next(s for s in cluster.stations if s.name == name).worker.log
    lines = [line for line in log.splitlines() if '"level":"debug"' not in line]
    return " | ".join(lines[-4:])[-800:]


def settle(cluster, queue):
    """Waits until nothing is left to do. Returns the seconds it took, or None."""
    began, told = time.monotonic(), 0.0
    while time.monotonic() - began < SETTLE_S * harness.SLOW:
        cluster.watch()
        cluster.reap()
        counts = queue.counts()
        left = sum(counts.get(state, 0) for state in ("waiting", "todo", "in_progress", "delayed", "held"))
        if left == 0:
            return time.monotonic() - began
        if time.monotonic() - began - told > 15:
            told = time.monotonic() - began
            say(f"{left} tasks left: {counts}")
        time.sleep(0.2)
    return None


def all_registered(cluster):
    """Only who is known to the queue can be told to stop."""
    cluster.watch()
    known = {w["name"]: w["info"].get("agent_pid") for w in cluster.queue.json("checkWorker")["workers"]}
    return all(station.agent() and known.get(station.name) == station.agent() for station in cluster.stations)


def end_workers(cluster):
    """All leave as asked. Returns what processes are left then."""
    harness.wait_until(lambda: all_registered(cluster), 20, what=lambda: cluster.queue("checkWorker"))
    cluster.queue.run("stopWorker", "--all")
    end = time.monotonic() + 20 * harness.SLOW
    mine = {os.getpid(), cluster.redis.process.pid, cluster.proxy.pid}
    while time.monotonic() < end:
        cluster.reap()
        left = {pid for pid in harness.descendants() - mine if harness.is_running(pid)}
        if not left:
            return []
        time.sleep(0.1)
    return [" ".join(word.decode(errors="replace") for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"))
            for pid in left if Path(f"/proc/{pid}").exists()]


def told(error):
    """Which assertion it was, if it has no words of its own."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} {str(error)[:600]} ({frame.name}: {frame.line})"


def mono_of_wall():
    offset = time.time() - time.monotonic()
    return lambda text: datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() - offset


def run(box, seed, seconds, total):
    tasks = plan.plan_tasks(seed, total, BATCHES)
    acts_planned = plan.plan_acts(seed, seconds, ACT_EVERY_S, WORKERS)
    # Under everysec a write to the AOF may wait for the disk and be lost with the process. Here only aofcut.py loses
    # anything, as much as everysec may, and knows what.
    cluster = Cluster(box, WORKERS, {"appendfsync": "no"}, cpus=plan.CPUS_OF_WORKER, max_tasks=8)
    queue = ScriptQueue(cluster.redis)
    say(f"{box}: monotonic {time.monotonic():.3f} is {datetime.now(timezone.utc):%H:%M:%S.%f} UTC")
    acts, loader = Acts(cluster, say), Loader(cluster, tasks)
    say(f"seed {seed}: {total} tasks, {WORKERS} workers, {len(acts_planned)} acts in {seconds:.0f} s"
        + ("" if cluster.clock.works else "; no clock steps: clockstep.so was not built"))
    loader.wanted = 0
    if not loader.load():
        raise AssertionError(f"the first load failed: {loader.said}")
    loader.start()
    acts.after_cut = loader.dirty.set
    cluster.known = {s.name for s in cluster.stations}
    gone = drive(cluster, acts, loader, acts_planned, seconds)
    for station in cluster.stations:
        station.leaving = False
    acts.heal()
    loader.close()
    loader.wanted = BATCHES
    problems = list(acts.copy_errors)
    for _ in range(3):  # the last of them must find nothing missing
        if not loader.load():
            problems.append(f"a load into a healthy Redis failed: {loader.said}")
    problems += loader.wrong
    if loader.said.get("new"):
        problems.append(f"loading the same file again added tasks: {loader.said}")
    cluster.queue.run("resumeWorker", "--all")
    say(f"healed after {sum(acts.kills.values())} kills; {queue.counts()}")
    settled = settle(cluster, queue)
    if settled is None:
        problems.append(f"the queue has not settled within {SETTLE_S * harness.SLOW:.0f} s: {queue.counts()}")
    acts.join()
    left = end_workers(cluster)
    if left:
        problems.append(f"processes left: {left[:5]}")
    try:
        queue.check()
    except AssertionError as error:
        problems.append(f"an invariant does not hold: {told(error)}")

    history = History(acts.cuts, acts.requeued, acts.cancelled, acts.held_up)
    logs = {id: parse_log(log) for id, log in queue.hash("try").items()}
    explained, twice, events = recorded_in_logs(cluster.stations, history, mono_of_wall())
    verdict = Verdict({task.number: task for task in tasks}, read_marks(cluster.marks), queue.records(), logs,
                      history).judge()
    problems += verdict.problems + twice
    verdict.counts["recorded twice"] += len(twice)
    cluster.end()
    result = table.Result(seed, seconds, settled, WORKERS, total, sum(task.native for task in tasks), acts, verdict,
                          loader, gone, explained, events, len(left))
    print(table.render(result))
    return problems


def main():
    minutes = float(os.environ.get("CHAOS_MINUTES", "0") or 0)
    seconds = minutes * 60 or SECONDS
    total = int(os.environ.get("CHAOS_TASKS", "0") or 0) or (max(TASKS, int(seconds * TASKS_PER_S)) if minutes else TASKS)
    seed = os.environ.get("CHAOS_SEED", "1") or "1"
    seed = random.randrange(1 << 31) if seed == "random" else int(seed)
    if not TASK.exists():
        sys.exit(f"chaos: {TASK} is not built; run make chaos")
    harness.become_subreaper()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    box = Path(tempfile.mkdtemp(prefix="dc", dir="/tmp"))
    environment = harness.clean_environment(box)
    if "DISTCOMP_KEEP" in os.environ:
        environment["DISTCOMP_KEEP"] = "1"
    os.environ.clear()
    os.environ.update(environment)
    problems = ["the run did not come to its end"]
    try:
        problems = run(box, seed, seconds, total)
    finally:
        harness.end_descendants()
        reports = harness.sanitizer_reports(box)
        harness.remove_box(box)
        if (box).exists():
            say(f"kept {box}")
    if reports:
        problems.append(reports[:3000])
    for line in problems[:40]:
        print(f"PROBLEM {line}")
    print(f"chaos: {'1 passed, 0 failed' if not problems else '0 passed, 1 failed'}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
