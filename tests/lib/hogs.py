"""Tasks that take memory (tests/lib/memhog.c), and what is known of them afterwards."""
import os
import shlex
from datetime import datetime
from pathlib import Path

from harness import HELPERS, SLOW, wait_until
from memorybox import MIB
from scriptqueue import mem_step, step_bytes

# A worker on a machine of 1 GiB. 192 MiB left is early enough for tasks that take 600 MiB/s together, on a machine that
# does other things too.
WATCH = {"health_report_interval": "200ms", "lease": "5s", "sleep_sec_between_accepting_task": "0.2", "cpus": 2,
         "min_dram_gb_accept_new_task": "256MiB", "min_dram_gb_trigger_return": "192MiB"}
# One that has only just begun frees next to nothing, and may be passed over for it (docs/memory.md).
JUST_BEGUN_MS = 300
# What a task takes beside what memhog is told to: a shell, its own pages.
SMALL = 8 * MIB


def hog(mib, program=HELPERS / "memhog", rate=0, **options):
    """The command of a task: sizes in MiB, rate in MiB/s; a slow machine gets slower tasks."""
    words = [program, mib] + ([f"rate={rate / SLOW:.1f}"] if rate else [])
    return shlex.join([str(word) for word in words + [f"{key}={value}" for key, value in options.items()]])


def gib(mib):
    """min_dram of a task file."""
    return mib / 1024


def touch(path):
    Path(path).touch()


def all_in_progress(tasks):
    wait_until(lambda: all(task.state == "in_progress" for task in tasks), 20, what=lambda: f"all run: {tasks}")


def wait_files(paths):
    wait_until(lambda: all(path.exists() for path in paths), 30,
               what=lambda: f"{[path.name for path in paths if not path.exists()]} are there")


def finished(tasks, deadline=60):
    for task in tasks:
        task.wait("finished", deadline)


def running(word):
    """The processes that have this word in their command line."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                words = Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if os.fsencode(str(word)) in words:
                found.append(int(entry))
    return found


def unix_ms(event):
    return datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp() * 1000


def at_once(tasks):
    """The most tries that ran at the same time."""
    tries = [entry for task in tasks for entry in task.tries]
    return max(sum(other.start_ms <= entry.start_ms < other.end_ms for other in tries) for entry in tries)


def assert_newest_returned(worker, tasks):
    """Whenever one was ended for memory, all that had been started after it were being ended, or had ended."""
    tries = {(task.id, entry.number): entry for task in tasks for entry in task.tries}
    ending = set()
    events = worker.events("task_return")
    assert events, worker.log[-3000:]
    for event in events:
        key = event["task"], event["try"]
        ending.add(key)
        at = unix_ms(event)
        newer = [other for other, entry in tries.items() if other not in ending
                 and entry.start_ms > tries[key].start_ms and entry.start_ms < at - JUST_BEGUN_MS and entry.end_ms > at]
        assert not newer, f"{key} at {at}: newer ones ran: {[tries[other] for other in newer]}\n{worker.log[-3000:]}"


def assert_only_returned(tasks):
    """Each finished once, and all tries before were returned."""
    for task in tasks:
        assert task.outcomes == ["returned"] * (len(task.tries) - 1) + ["finished"], task.tries
        assert task.record.failures == task.record.losses == 0


def assert_raised(task, before):
    """It was returned as a culprit: it asks for the peak of that try (the last of such) and a quarter, on the ladder."""
    peak = [entry.maxrss_kib * 1024 for entry in task.tries if "min_dram raised" in entry.reason][-1]
    least, most = (step_bytes(mem_step(max(1, int(size * 1.25)))) for size in (peak - SMALL, peak))
    assert max(least, before) <= task.record.mem <= most, f"{task.record.mem} after {peak}: {task.tries}"
