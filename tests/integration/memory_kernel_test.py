"""Memory runs short, and something else goes wrong: the kernel kills first, the agent dies, Redis is away."""
import os
import signal
from pathlib import Path

import pytest

from harness import SLOW, descendants, is_running, wait_until
from hogs import WATCH, all_in_progress, assert_only_returned, assert_raised, finished, gib, hog, running, touch, wait_files
from memorybox import MIB
from tasks import Tasks


@pytest.fixture
def tasks(queue, redis):
    return Tasks(queue, redis)


def comm(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


def programs(w):
    """The pids of supervisor and agent."""
    return {pid for pid in descendants(w.pid) | {w.pid} if comm(pid) == "redisWorker" and is_running(pid)}


def agent_of(w):
    agent, = wait_until(lambda: len(programs(w)) == 2 and programs(w) - {w.pid}, 20, what="there is an agent")
    return agent


def oom_score_adj(pid):
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_the_kernels_kill_is_a_return(memory_box, boxed_worker, tasks, box):
    """Nobody watches (the trigger is 0): the kernel takes the newest task, not the largest, and not the worker."""
    there = memory_box(640)
    w = boxed_worker(there, **{**WATCH, "min_dram_gb_trigger_return": "0", "min_dram_gb_accept_new_task": "64MiB"})
    before = {w.pid, agent_of(w)}
    largest = tasks.add(hog(300, full=box / "full", until=box / "go"), min_dram=gib(320))
    wait_files([box / "full"])
    newest = tasks.add(hog(450, rate=200, after=box / "grow", full=box / "grown"), min_dram=gib(100))
    old, new = [wait_until(lambda: running(f"full={box}/{name}"), 20) for name in ("full", "grown")]
    wait_until(lambda: max(map(oom_score_adj, before)) < min(map(oom_score_adj, old)) < min(map(oom_score_adj, new)), 20,
               what="the kernel is told whom to take")
    touch(box / "grow")
    newest.wait_tries(1, 60)
    assert there.oom_kills > 0, newest.tries
    assert newest.outcomes[0] == "returned" and "the kernel killed it" in newest.tries[0].reason
    assert programs(w) == before
    assert [e["task"] for e in w.wait_event("task_oom")] == [newest.id]
    touch(box / "go")
    finished([largest, newest])
    assert largest.outcomes == ["finished"]
    assert_only_returned([newest])
    assert_raised(newest, 100 * MIB)


def test_below_the_line_of_the_promise(memory_box, boxed_worker, tasks, box):
    """8 MiB above the trigger are gone within milliseconds: whoever kills, the watch or the kernel, it is a return."""
    there = memory_box(1024)
    w = boxed_worker(there, **{**WATCH, "min_dram_gb_trigger_return": "8MiB", "min_dram_gb_accept_new_task": "64MiB"})
    before = {w.pid, agent_of(w)}
    three = tasks.add_all([hog(500, procs=2, after=box / "grow", hold=SLOW)] * 3, min_dram=gib(100))
    all_in_progress(three)
    touch(box / "grow")
    finished(three)
    assert_only_returned(three)
    assert any(len(task.tries) > 1 for task in three)
    assert programs(w) == before


def test_the_agent_dies_while_memory_is_short(memory_box, boxed_worker, tasks, box):
    w = boxed_worker(memory_box(1024), **WATCH)
    five = tasks.add_all([hog(250, rate=80, after=box / "grow")] * 5, min_dram=gib(50))
    all_in_progress(five)
    touch(box / "grow")
    w.wait_event("task_return", 60)
    first = agent_of(w)
    os.kill(first, signal.SIGKILL)
    finished(five, 90)
    assert agent_of(w) != first
    assert_only_returned(five)
    assert any(len(task.tries) > 1 for task in five)


def test_redis_is_away_while_memory_is_short(memory_box, boxed_worker, tasks, redis, box):
    """Memory is made free at once, and what was returned is known when Redis is back."""
    there = memory_box(1024)
    w = boxed_worker(there, **WATCH)
    first = tasks.add(hog(400, full=box / "full", until=box / "go"), min_dram=gib(430))
    second = tasks.add(hog(600, rate=300, after=box / "grow", full=box / "grown"), min_dram=gib(50))
    wait_files([box / "full"])
    all_in_progress([first, second])
    redis.kill()
    touch(box / "grow")
    w.wait_event("task_return", 60)
    wait_until(lambda: not running(f"full={box}/grown"), 20)
    assert running(f"full={box}/full")
    redis.start(same_port=True)
    second.wait_tries(1, 60)
    touch(box / "go")
    finished([first, second])
    assert first.outcomes == ["finished"]
    assert_only_returned([second])
    assert_raised(second, 50 * MIB)
    assert there.oom_kills == 0
