"""An agent that is stopped, alone, with its supervisor, and while Redis is away (worker/pulse.h, worker/orphan.h)."""
import os
import signal
import socket
import time

import pytest

from harness import agent_of, descendants, is_running, wait_until
from tasks import Tasks, numbers

FAST = {"health_report_interval": "100ms", "lease": "2s", "retry_backoff": "50ms"}
LEASE_S = 2
UNTIL_GO = "echo $$ >> {0}/pids; until [ -e {0}/go ]; do sleep 0.02; done; echo $DISTCOMP_TRY >> {0}/ran"


@pytest.fixture
def tasks(queue, redis):
    return Tasks(queue, redis)


@pytest.fixture
def running(tasks, worker, box):
    """A worker, the task it runs, and the pid of that."""
    w = worker(**FAST)
    task = tasks.add(UNTIL_GO.format(box)).wait("in_progress")
    return w, task, numbers(box / "pids")[0]


def finish(task, box):
    (box / "go").touch()
    task.wait()
    return task.outcomes, task.record.losses, (box / "ran").read_text().split()


def test_a_stopped_agent_is_replaced_before_its_lease_is_over(running, box):
    w, task, pid = running
    agent = agent_of(w)
    os.kill(agent, signal.SIGSTOP)
    wait_until(lambda: not is_running(agent), what="the stopped agent is killed")
    w.wait_event("task_taken_over")
    assert f"agent {agent} is stopped: SIGKILL" in w.log
    assert is_running(pid)
    assert finish(task, box) == (["finished"], 0, ["1"])


def test_a_stopped_agent_while_redis_is_away(running, redis, box):
    w, task, pid = running
    redis.kill()
    w.wait_event("redis_down")
    time.sleep(2 * LEASE_S)  # the lease is over, and the agent lives
    assert is_running(pid)
    agent = agent_of(w)
    os.kill(agent, signal.SIGSTOP)
    wait_until(lambda: not is_running(agent), what="the stopped agent is killed")
    w.wait_event("task_taken_over")
    time.sleep(LEASE_S)
    assert is_running(pid), "the agent's successor lives, and Redis is away"
    redis.start(same_port=True)
    assert finish(task, box) == (["finished"], 0, ["1"])


def test_a_whole_worker_stopped_for_less_than_its_lease(running, box):
    w, task, pid = running
    agent = agent_of(w)
    both = w.pid, agent
    for _ in range(4):
        for target in both:
            os.kill(target, signal.SIGSTOP)
        time.sleep(LEASE_S * 0.6)
        for target in both:
            os.kill(target, signal.SIGCONT)
        time.sleep(0.3)
    assert is_running(agent) and is_running(pid)
    assert finish(task, box) == (["finished"], 0, ["1"])


def test_an_agent_under_a_service_manager(tasks, worker, box):
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(box / "notify"))
    w = worker(env={"NOTIFY_SOCKET": str(box / "notify")}, **FAST)
    task = tasks.add(UNTIL_GO.format(box)).wait("in_progress")
    pid, = numbers(box / "pids")
    w.signal(signal.SIGSTOP)
    assert w.wait() == -signal.SIGKILL
    assert is_running(pid)
    w.start()  # Restart=on-failure
    w.wait_event("task_taken_over")
    assert finish(task, box) == (["finished"], 0, ["1"])
    w.signal(signal.SIGTERM)
    assert w.wait() == 0
    wait_until(lambda: pid not in descendants(), what="the supervisor leaves too")
    notify.close()
