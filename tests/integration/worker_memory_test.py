"""The agent measures what its tasks use, and its successor goes on with that (worker/agent_memory.h)."""
import json
import os
import signal

import pytest

from harness import wait_until
from tasks import Tasks

FAST = {"health_report_interval": "100ms", "lease": "5s"}
MIB = 1 << 20


@pytest.fixture
def tasks(queue, redis):
    return Tasks(queue, redis)


def told(tasks, key, field):
    """What the worker has told the queue of itself."""
    return json.loads(tasks.view.redis("HGET", "worker:w1", field) or b"{}").get(key)


def use_of(tasks, task):
    return next((use for use in told(tasks, "use", "stats") or [] if use[0] == task.id), None)


def test_use_is_told_and_a_new_agent_goes_on_measuring(tasks, worker, box):
    worker(**FAST)
    program = box / "hold.py"
    program.write_text(f"import os, time\nx = bytearray(80 << 20)\n"
                       f"while not os.path.exists('{box}/go'):\n    time.sleep(0.02)\n")
    task = tasks.add(f"python3 {program}", min_dram=0.25)
    task.wait("in_progress")
    wait_until(lambda: (use_of(tasks, task) or [0, 0])[1] >= 80 * MIB, 20, what=lambda: f"used: {use_of(tasks, task)}")
    assert 80 * MIB <= told(tasks, "mem_used", "stats") <= told(tasks, "mem_most_used", "stats")
    first = told(tasks, "agent_pid", "info")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: told(tasks, "agent_pid", "info") != first, 20)
    tasks.view.redis("HDEL", "worker:w1", "stats")  # the first agent's
    wait_until(lambda: (use_of(tasks, task) or [0, 0])[1] >= 80 * MIB, 20, what=lambda: f"used: {use_of(tasks, task)}")
    assert told(tasks, "mem_held", "stats") == 256 * MIB, "what was held for it is known to the new agent, too"
    (box / "go").touch()
    task.wait()
    assert 80 << 10 <= task.tries[0].maxrss_kib <= 200 << 10
