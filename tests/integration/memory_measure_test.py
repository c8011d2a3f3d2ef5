"""What counts as a task's memory, and what is learned from it."""
import json

import pytest

from harness import wait_until
from hogs import WATCH, at_once, finished, gib, hog, touch, wait_files
from memorybox import MIB
from tasks import Tasks


@pytest.fixture
def tasks(queue, redis):
    return Tasks(queue, redis)


def use_of(tasks, worker, task):
    """(now, peak) of a running task's memory in bytes, as its worker reported it last; (0, 0): not yet."""
    stats = json.loads(tasks.view.redis("HGET", f"worker:{worker.name}", "stats") or "{}")
    return next(((now, peak) for id, now, peak, *_ in stats.get("use", []) if id == task.id), (0, 0))


def test_page_cache_is_nobodys_use(memory_box, boxed_worker, tasks, box):
    """One that reads a file three times the machine's size: it is not returned, and what runs beside it gets the
    memory that the cache holds."""
    there = memory_box(1024)
    w = boxed_worker(there, **WATCH)
    data = box / "data"
    with data.open("wb") as file:
        file.truncate(3072 * MIB)
    reader = tasks.add(hog(3072, kind="cache", file=data, until=box / "go"), min_dram=gib(50))
    wait_until(lambda: there.used > 900 * MIB, 60, what=lambda: f"{there.used >> 20} MiB of 1024 are cache")
    beside = tasks.add(hog(500, rate=500), min_dram=gib(550))
    finished([beside])
    touch(box / "go")
    finished([reader])
    assert reader.outcomes == beside.outcomes == ["finished"] and not w.events("task_return")
    assert reader.tries[0].maxrss_kib < 50 * 1024
    assert there.oom_kills == 0


def test_shared_memory_counts_once(memory_box, boxed_worker, tasks, box):
    there = memory_box(1024)
    w = boxed_worker(there, **WATCH)
    task = tasks.add(hog(200, kind="shared", procs=4, full=box / "full", until=box / "go"), min_dram=gib(240))
    wait_files([box / "full"])
    wait_until(lambda: 200 * MIB <= use_of(tasks, w, task)[0] <= 230 * MIB, 30,
               what=lambda: f"use is about 200 MiB, not {use_of(tasks, w, task)}")
    assert use_of(tasks, w, task)[1] <= 230 * MIB, "nor was it ever more"
    touch(box / "go")
    finished([task])
    assert task.outcomes == ["finished"] and not w.events("task_return")
    assert 200 * 1024 <= task.tries[0].maxrss_kib <= 240 * 1024


def family_of(tasks, key):
    """What Redis keeps of a family."""
    for digest in tasks.view.redis("ZRANGE", "families", 0, -1):
        flat = tasks.view.redis("HGETALL", f"family:{digest.decode()}")
        fields = dict(zip(flat[::2], flat[1::2]))
        if fields[b"key"] == key.encode():
            return {name: int(fields[name.encode()]) for name in ("count", "max")}
    return {"count": 0, "max": 0}


def test_needs_are_learned(memory_box, boxed_worker, tasks, queue, box):
    """min_dram=auto: the first ones get a core's share each, the second batch packs the machine."""
    boxed_worker(memory_box(1024), **WATCH)

    def add(first, last, **options):
        return [tasks.add(hog(20, full=box / f"full{i}", **options), name=f"batch/{i}", min_dram="auto")
                for i in range(first, last)]

    first = add(0, 5, hold=0.2)
    finished(first)
    assert at_once(first) <= 2
    second = add(5, 21, until=box / "go")
    wait_files([box / f"full{i}" for i in range(5, 21)])
    assert all(task.state == "in_progress" for task in second)
    touch(box / "go")
    finished(second)
    wait_until(lambda: family_of(tasks, "batch")["count"] == 21, 20)
    assert 20 * MIB <= family_of(tasks, "batch")["max"] <= 40 * MIB
    assert "batch" in queue("showFamily")
