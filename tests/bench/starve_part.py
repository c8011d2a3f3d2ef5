"""starve: what it costs to keep a worker free for a large task."""
import json
import statistics
import time
from contextlib import ExitStack
from datetime import datetime

from rig import Redis, Worker, rounds, wait_until

WORKERS, SLOTS = 4, 4
STARVE_S = 5
LARGE_S = 8
BEFORE_S = 4      # the small ones run alone for so long
WINDOW_S = 20     # of which all slots are counted, from the moment the large task is there
ALL = WORKERS * SLOTS


def load_stream(redis, seconds):
    """Small tasks of 1 s for so long. The first of each slot differs, so that the slots of a worker (it takes SLOTS
    in a row) become free one by one, evenly spread over each second."""
    first = [f"shell:1:0:1:sleep {(i % SLOTS + (i // SLOTS + 1) / WORKERS) / SLOTS:.4f}; : first {i}\n"
             for i in range(ALL)]
    redis.load("".join(first) + f"#@ repeat={ALL * seconds}\nshell:1:0:1:sleep 1\n")


def runs(redis):
    """(start, end, cores) of every try, in seconds of Unix time."""
    found = []
    for line in redis.manager("exportTask", "--format", "jsonl", "--state", "finished").splitlines():
        task = json.loads(line)
        start, end = (datetime.fromisoformat(task[key]).timestamp() for key in ("start", "end"))
        found.append((start, end, task["min_cpu"], task))
    return found


def unused(tries, begin, end):
    """Slot-seconds of the window in which no task ran."""
    used = sum(max(0, min(stop, end) - max(start, begin)) * cores for start, stop, cores, _ in tries)
    return (end - begin) * ALL - used


def one_run(redis, large):
    """Slot-seconds that no task used, and how long the large one waited."""
    load_stream(redis, BEFORE_S + WINDOW_S + 6)
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(redis, "--cpus", SLOTS, "--starve_after", f"{STARVE_S}s", name=f"w{i}"))
                   for i in range(WORKERS)]
        for worker in workers:
            worker.wait_ready()
        wait_until(lambda: redis.finished() >= ALL * BEFORE_S, 60, 0.05)
        begin = time.time()
        if large:
            redis.manager("addTask", "--priority", 9, "--min_cpu", SLOTS, "--", f"sleep {LARGE_S}")
        time.sleep(WINDOW_S + 2)  # the last that count have ended
        redis.manager("cancelTask", "--state", "todo", "--include", ".")
        tries = runs(redis)
    waited = [start - begin for start, _, cores, _ in tries if cores == SLOTS]
    if large and not waited:
        raise SystemExit("bench: the large task has not run")
    return unused(tries, begin, begin + WINDOW_S), waited[0] if large else 0


def measure_starve(part):
    with Redis() as redis:
        got = rounds(part.options.pairs, {"with": lambda: one_run(redis, True),
                                          "without": lambda: one_run(redis, False)})
    more = [a[0] - b[0] for a, b in zip(got["with"], got["without"])]
    command = (f"{WORKERS} workers x {SLOTS} slots, 1 s tasks, one of {SLOTS} slots and {LARGE_S} s, starve_after "
               f"{STARVE_S} s; {WINDOW_S} s = {WINDOW_S * ALL} slot-seconds are counted")
    part.add_median("lost beside the large task's own share", [100 * lost / (WINDOW_S * ALL) for lost in more],
                    "% of all slot-seconds", "<= 5", command)
    part.add_median("the same", more, "slot-seconds", "", f"its own share is {LARGE_S * SLOTS}")
    part.add_median("unused without it", [run[0] for run in got["without"]], "slot-seconds", "",
                    "between the end of a task and the start of the next")
    part.add("it waited", statistics.median(run[1] for run in got["with"]), "s", "", "from addTask to its start",
             [run[1] for run in got["with"]])
