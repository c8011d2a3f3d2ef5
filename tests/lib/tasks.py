"""Tasks as the worker's tests see them: loaded by redisManager, looked at in Redis, output by taskOutput."""
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness import SLOW, program, wait_until
from scriptqueue import OUTCOMES, ScriptQueue


@dataclass
class Try:
    """An entry of a try log (common/trylog.h)."""
    number: int
    outcome: str
    exit: int
    signal: int
    start_ms: int
    end_ms: int
    wall_us: int
    user_us: int
    system_us: int
    maxrss_kib: int
    out_bytes: int
    err_bytes: int
    worker: str
    node: str
    path: str
    reason: str


def parse_tries(log):
    names = {number: name for name, number in OUTCOMES.items()}
    found = []
    while log:
        size = int.from_bytes(log[:2], "big")
        body, log = log[2:2 + size], log[2 + size:]
        at = 0

        def number(width):
            nonlocal at
            at += width
            return int.from_bytes(body[at - width:at], "big")

        def text(width):
            nonlocal at
            length = number(width)
            at += length
            return body[at - length:at].decode(errors="replace")

        entry = [number(2), names[number(1)], 0, 0]
        entry[3], entry[2] = number(1), number(2)
        entry += [number(width) for width in (6, 6, 6, 6, 6, 5, 6, 6)]
        at += 10  # the nonce
        entry += [text(1), text(1), text(2), text(2)]
        found.append(Try(*entry))
    return found


class Task:
    def __init__(self, tasks, name, id):
        self.tasks, self.name, self.id = tasks, name, id

    def __repr__(self):
        return f"{self.name} ({self.id}) {self.state} {self.tries}"

    @property
    def record(self):
        return self.tasks.view.record(self.id)

    @property
    def state(self):
        return self.tasks.view.state(self.id)

    @property
    def tries(self):
        return parse_tries(self.tasks.view.redis("HGET", "try", self.id) or b"")

    @property
    def outcomes(self):
        return [entry.outcome for entry in self.tries]

    def wait(self, state="finished", deadline=20):
        wait_until(lambda: self.state == state, deadline, what=lambda: f"{state}: {self}")
        return self

    def wait_tries(self, count, deadline=20):
        wait_until(lambda: len(self.tries) >= count, deadline, what=lambda: f"{count} tries: {self}")
        return self

    @property
    def holder(self):
        """The worker that runs it."""
        worker = self.tasks.view.redis("HGET", "running", self.id)
        return worker and worker.decode()

    def output(self, *words):
        """CompletedProcess of taskOutput, in bytes."""
        line = [program("redisManager"), "taskOutput", self.id, *words, *self.tasks.queue.flags]
        return subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=60 * SLOW)

    @property
    def out(self):
        done = self.output()
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def err(self):
        done = self.output("--stream", "stderr")
        assert done.returncode == 0, done.stderr
        return done.stderr


class Tasks:
    def __init__(self, queue, redis):
        self.queue, self.view, self.count = queue, ScriptQueue(redis), 0

    def line(self, params, fields):
        self.count += 1
        fields = {"name": f"t{self.count}", "min_cpu": 0, **fields}
        return json.dumps({"params": params, **fields}), fields["name"]

    def add(self, params, **fields):
        """Loads one task: fields as in a JSON Lines file."""
        return self.add_all([params], **fields)[0]

    def add_all(self, commands, **fields):
        lines, names = zip(*[self.line(params, fields) for params in commands])
        path = Path(self.queue.cwd, "tasks.jsonl")
        path.write_text("\n".join(lines) + "\n")
        self.queue("loadTask", "--taskfile", path)
        ids = {record.name: id for id, record in self.view.records().items()}
        return [Task(self, name, ids[name]) for name in names]


def read(path, deadline=10):
    """What a task wrote to a file, once there is a whole line."""
    path = Path(path)
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"), deadline, what=f"a line in {path}")
    return path.read_text()


def numbers(path, count=1):
    """Pids that tasks wrote to a file, once there are so many."""
    path = Path(path)
    wait_until(lambda: path.exists() and len(path.read_text().split()) >= count, what=f"{count} numbers in {path}")
    return [int(word) for word in path.read_text().split()]
