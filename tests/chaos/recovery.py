#!/usr/bin/env python3
"""make recovery: how long it takes until the queue is right again after a death, each measured on ten workers that
run one task, on an otherwise idle system.

agent      SIGKILL of an agent, until its successor has the task and is registered
supervisor SIGKILL of a supervisor, until Redis has the task in todo again (or another worker has it already)
lease      from the end of a lease whose worker is gone, until the task starts on another worker
"""
import os
import signal
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
import chaos  # noqa: E402, F401 - for its stand-in of pytest
import harness  # noqa: E402
from cluster import TASK, Cluster, send  # noqa: E402
from scriptqueue import ScriptQueue, parse_log  # noqa: E402

VICTIMS, LONG_MS = 10, 600000


def wall(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Bench:
    def __init__(self, box):
        self.cluster = Cluster(box, VICTIMS + 1, cpus=16, max_tasks=16)
        self.queue = ScriptQueue(self.cluster.redis)
        self.spare, self.victims = self.cluster.stations[-1], self.cluster.stations[:-1]
        self.number = 0

    def one_task_each(self):
        """Every victim runs one task. Returns {worker name: task id}."""
        harness.wait_until(lambda: all(s.agent() for s in self.victims), 20)
        self.cluster.queue("drainWorker", "--all")
        harness.wait_until(lambda: all(s.worker.events("mode") for s in self.cluster.stations), 20)
        for station in self.victims:  # one at a time, so that each gets one
            self.cluster.queue("resumeWorker", station.name)
            self.number += 1
            self.cluster.queue("addTask", "--min_cpu", "0", "--", f"{TASK} {self.number} ok {LONG_MS}")
            harness.wait_until(lambda: self.held(station.name), 20, what=f"{station.name} has a task")
            self.cluster.queue("drainWorker", station.name)
        return {s.name: self.held(s.name) for s in self.victims}

    def held(self, name):
        keys = self.queue.redis("HKEYS", f"held:{name}")
        return keys[0].decode() if keys else None

    def agents(self):
        taken = []
        self.one_task_each()
        for station in self.victims:
            before, pid = len(station.worker.events("registered")), station.agent()
            at = time.time()
            send(pid, signal.SIGKILL)
            events = harness.wait_until(lambda: station.worker.events("registered")[before:], 20, every=0.02)
            assert station.worker.events("task_taken_over"), "its task was taken over"
            taken.append(wall(events[0]["time"]) - at)
        return taken

    def supervisors(self):
        taken = []
        held = {s.name: self.held(s.name) for s in self.victims}
        for station in self.victims:
            id, pid = held[station.name], station.supervisor()
            at = time.time()
            send(pid, signal.SIGKILL)
            harness.wait_until(lambda: any(e[1] == "lost" for e in parse_log(self.queue.redis("HGET", "try", id) or b"")),
                               20, every=0.001, what=f"{id} is lost")
            taken.append(time.time() - at)
        return taken

    def leases(self):
        self.cluster.queue("cancelTask", "--all")
        harness.wait_until(lambda: self.queue.counts().get("in_progress", 0) == 0, 20)
        held = self.one_task_each()
        self.cluster.queue("resumeWorker", self.spare.name)
        ends = {}
        for station in self.victims:
            # Both processes in one breath; the task goes on, as on a machine that was only cut off.
            for pid in (station.agent(), station.supervisor()):
                send(pid, signal.SIGSTOP)
            ends[held[station.name]] = self.queue.redis("ZSCORE", "lease", station.name)
            time.sleep(0.3)
        ends = {id: float(score) / 1000 for id, score in ends.items()}
        offset = time.time() - time.monotonic()

        def starts():
            marks = [line.split() for line in self.cluster.marks.read_text().splitlines()]
            return {m[2]: int(m[6]) / 1e6 + offset for m in marks if m[0] == "S" and m[4] == self.spare.name}

        harness.wait_until(lambda: len(starts()) == VICTIMS, 30, every=0.1)
        return [starts()[id] - end for id, end in ends.items()]


def main():
    harness.become_subreaper()
    box = Path(tempfile.mkdtemp(prefix="dc", dir="/tmp"))
    environment = harness.clean_environment(box)
    os.environ.clear()
    os.environ.update(environment)
    try:
        bench = Bench(box)
        print("| from … to … | median ms | least | most | n |\n| --- | --- | --- | --- | --- |")
        for name, measure in (("SIGKILL of an agent, its successor has the task", bench.agents),
                              ("SIGKILL of a supervisor, the task is back in the queue", bench.supervisors),
                              ("end of a lease, another worker has started the task", bench.leases)):
            ms = sorted(1000 * second for second in measure())
            print(f"| {name} | {statistics.median(ms):.0f} | {ms[0]:.0f} | {ms[-1]:.0f} | {len(ms)} |", flush=True)
        bench.cluster.end()
    finally:
        harness.end_descendants()
        harness.remove_box(box)


if __name__ == "__main__":
    main()
