"""The table of signals in docs/operations.md, row by row, and the deaths of agent and supervisor."""
import os
import signal
import socket
import subprocess
import time

import pytest

from harness import agent_of, is_running, process_state, program, wait_until
from tasks import Tasks, numbers

FAST = {"health_report_interval": "100ms", "lease": "2s", "retry_backoff": "50ms"}
# Runs until `go` is there, and adds a line to `ran` each time it comes to its end.
UNTIL_GO = "echo $$ >> {0}/pids; until [ -e {0}/go ]; do sleep 0.02; done; echo $DISTCOMP_TRY >> {0}/ran"


@pytest.fixture
def tasks(queue, redis):
    return Tasks(queue, redis)


@pytest.fixture
def running(tasks, worker, box):
    """A worker, the task it runs, and the pid of that."""
    def make(**settings):
        w = worker(**{**FAST, "kill_grace": "300ms", **settings})
        task = tasks.add(UNTIL_GO.format(box)).wait("in_progress")
        return w, task, numbers(box / "pids")[0]
    return make


def ran(box):
    path = box / "ran"
    return path.read_text().split() if path.exists() else []


def test_term_drains(running, tasks, box):
    w, task, pid = running()
    w.signal(signal.SIGTERM)
    w.wait_event("mode")
    second = tasks.add("true")
    time.sleep(0.5)
    assert (second.state, task.state) == ("todo", "in_progress")
    assert is_running(w.pid) and is_running(pid)
    (box / "go").touch()
    assert w.wait() == 0
    assert (task.state, second.state) == ("finished", "todo")


def test_term_twice_gives_back(running, tasks):
    w, task, pid = running()
    w.signal(signal.SIGTERM)
    w.wait_event("mode")
    w.signal(signal.SIGTERM)
    assert w.wait() == 0
    assert not is_running(pid)
    assert (task.state, task.record.failures, task.record.losses) == ("todo", 0, 0)


def test_int_gives_back_at_once(running):
    w, task, pid = running()
    w.signal(signal.SIGINT)
    assert w.wait() == 0
    assert not is_running(pid)
    assert (task.state, task.record.failures, task.record.losses) == ("todo", 0, 0)


def test_drain_has_an_end(running):
    w, task, _ = running(drain_timeout="300ms")
    w.signal(signal.SIGTERM)
    assert w.wait() == 0
    assert task.state == "todo"


def test_a_drain_outlives_its_agent(running, tasks, box):
    """The next agent goes on draining; a redisWorker that is started anew runs."""
    w, task, pid = running()
    w.signal(signal.SIGTERM)
    w.wait_event("mode")
    os.kill(agent_of(w), signal.SIGKILL)
    w.wait_event("task_taken_over")
    second = tasks.add("true")
    assert is_running(pid)
    (box / "go").touch()
    assert w.wait() == 0
    assert (task.state, second.state) == ("finished", "todo")
    w.start()
    assert second.wait().outcomes == ["finished"]


def test_a_return_outlives_its_agent(tasks, worker, box):
    w = worker(**{**FAST, "kill_grace": "2s"})
    task = tasks.add(f"trap '' TERM; echo $$ >> {box}/pids; while :; do sleep 0.05; done")
    pid, = numbers(box / "pids")
    w.signal(signal.SIGINT)
    w.wait_event("mode")
    os.kill(agent_of(w), signal.SIGKILL)
    w.wait_event("task_taken_over")
    assert w.wait() == 0
    assert not is_running(pid)
    assert (task.state, task.record.failures, task.record.losses) == ("todo", 0, 0)


def test_a_drain_outlives_its_supervisor(running, redis):
    """The agent gives back what is lost, and leaves instead of starting anew."""
    w, task, pid = running(lease="60s", health_report_interval="1s")
    agent = agent_of(w)
    w.signal(signal.SIGTERM)
    w.wait_event("mode")
    w.kill()
    wait_until(lambda: not is_running(agent), what="it leaves")
    assert not is_running(pid)
    assert (task.state, task.record.losses) == ("todo", 1)
    assert redis.command("EXISTS", "distcomp:{default}:worker:w1") == 0


def test_a_hand_over_ends_a_drain(running, tasks, box):
    """Whoever starts redisWorker after SIGUSR1 wants it to run."""
    w, task, _ = running()
    w.signal(signal.SIGTERM)
    w.wait_event("mode")
    agent = agent_of(w)
    w.signal(signal.SIGUSR1)
    wait_until(lambda: not is_running(agent), what="the agent leaves")
    w.start()
    w.wait_event("task_taken_over")
    (box / "go").touch()
    task.wait()
    assert tasks.add("true").wait().outcomes == ["finished"]


def test_killall_counts_once(running, box):
    """SIGTERM to supervisor and agent is one request to drain, not two."""
    w, task, pid = running()
    agent = agent_of(w)
    for target in (agent, w.pid):
        os.kill(target, signal.SIGTERM)
    w.wait_event("mode")
    time.sleep(0.5)
    assert is_running(pid)
    (box / "go").touch()
    assert w.wait() == 0
    assert task.state == "finished"


def test_hup_reads_conf_json_again(tasks, worker, box):
    conf = box / "cwd/conf.json"
    conf.write_text('{"timeout": "10s", "health_report_interval": "60s", "lease": "180s"}')
    w = worker()
    w.wait_event("registered")
    conf.write_text('{"timeout": "100ms", "kill_grace": "100ms", "health_report_interval": "60s", "lease": "180s"}')
    w.signal(signal.SIGHUP)
    w.wait_event("config_read")
    assert tasks.add("sleep 100", retries=1).wait("failed").outcomes == ["timeout"]


def test_usr1_leaves_the_tasks_and_the_next_one_takes_them(running, box):
    w, task, pid = running()
    agent = agent_of(w)
    w.signal(signal.SIGUSR1)
    wait_until(lambda: not is_running(agent), what="the agent leaves")
    assert is_running(pid) and is_running(w.pid)
    first = w.process
    w.start()  # attaches
    w.wait_event("task_taken_over")
    (box / "go").touch()
    task.wait()
    assert ran(box) == ["1"]
    w.signal(signal.SIGTERM)
    assert w.wait() == 0
    assert first.wait(10) == 0, "the supervisor leaves too"


def test_usr1_with_nothing_to_keep_is_the_end(worker):
    w = worker(**FAST)
    w.wait_event("registered")
    w.signal(signal.SIGUSR1)
    assert w.wait() == 0


@pytest.mark.parametrize("policy, survives", [("stop", False), ("keep", True)])
def test_tasks_nobody_comes_for(running, policy, survives, box):
    w, task, pid = running(orphan_policy=policy)
    w.signal(signal.SIGUSR1)
    if survives:
        time.sleep(3)
        assert is_running(pid)
    else:
        wait_until(lambda: not is_running(pid), 4, what="the tasks are ended before the lease is over")


def test_agent_killed_task_goes_on_and_is_recorded_once(running, box):
    w, task, pid = running()
    os.kill(agent_of(w), signal.SIGKILL)
    w.wait_event("task_taken_over")
    assert is_running(pid)
    (box / "go").touch()
    task.wait()
    assert (ran(box), task.outcomes, task.record.losses) == (["1"], ["finished"], 0)


def test_agent_killed_again_and_again(tasks, worker, box):
    """100 short tasks; each runs once and is recorded once, with its output."""
    w = worker(max_tasks=4, output_limit="64", **FAST)
    all_ = tasks.add_all([f"sleep 0.02; seq 1 40; echo {i}; echo {i} >> {box}/ran" for i in range(100)])
    wait_until(lambda: len(ran(box)) > 10)
    for _ in range(5):
        before = len(ran(box))
        os.kill(agent_of(w), signal.SIGKILL)
        wait_until(lambda: len(ran(box)) > before + 5)
    for task in all_:
        task.wait()
    assert sorted(map(int, ran(box))) == list(range(100)), "no task ran twice"
    for i, task in enumerate(all_):
        assert task.outcomes == ["finished"]
        with open(task.tries[0].path, encoding="ascii") as kept:
            assert kept.read().split() == [*map(str, range(1, 41)), str(i)]


def test_supervisor_killed_nothing_is_left_and_the_task_starts_again_at_once(running, tasks, box):
    w, task, pid = running(lease="30s", health_report_interval="1s")
    daemon = tasks.add(f"setsid sleep 1000 & echo $! > {box}/daemon; wait")
    daemon_pid = numbers(box / "daemon")[0]
    agent = agent_of(w)
    start = time.monotonic()
    os.kill(w.pid, signal.SIGKILL)
    wait_until(lambda: len(numbers(box / "pids")) >= 2, 5, what="it runs again")
    assert time.monotonic() - start < 5
    assert not is_running(pid) and not is_running(daemon_pid)
    (box / "go").touch()
    task.wait()
    assert (task.outcomes, task.record.losses, ran(box)) == (["lost", "finished"], 1, ["2"])
    assert is_running(agent), "the agent has become the supervisor"
    os.kill(agent, signal.SIGINT)
    wait_until(lambda: not is_running(agent), what="it leaves")


def test_supervisor_and_agent_killed_the_next_start_clears_up(running, box):
    w, task, pid = running(lease="30s", health_report_interval="1s")
    agent = agent_of(w)
    os.kill(agent, signal.SIGSTOP)
    w.kill()
    os.kill(agent, signal.SIGKILL)
    wait_until(lambda: process_state(pid) in (None, "Z"), what="PDEATHSIG")
    w.start()
    wait_until(lambda: len(numbers(box / "pids")) >= 2, 10, what="it runs again at once, not after the lease")
    assert task.record.losses == 1


def test_a_start_that_dies_before_it_registers(running, redis, box, monkeypatch):
    """The start after it is not refused its own name, although Redis has heard nothing of the one between. Found by the
    model."""
    w, task, _ = running(lease="60s", health_report_interval="1s")
    agent = agent_of(w)
    os.kill(agent, signal.SIGSTOP)
    w.kill()
    os.kill(agent, signal.SIGKILL)
    lives = w.state_dir / "incarnation"
    before = lives.read_text()
    redis.freeze()
    with monkeypatch.context() as m:
        m.setenv("DISTCOMP_AGENT_AGAIN", "1")  # does not ask Redis first, like a worker whose supervisor died
        w.start()
    wait_until(lambda: lives.read_text() != before, what="it has begun")
    agent = agent_of(w)
    w.kill()
    os.kill(agent, signal.SIGKILL)
    redis.thaw()
    w.start()
    wait_until(lambda: len(numbers(box / "pids")) >= 2, 20, what="its task runs again at once, not after the lease")
    assert task.record.losses == 1


def test_a_lost_claim_answer_when_the_supervisor_dies(running, redis, box):
    """The claim is asked again, and what its supervisor lost is told, before the agent starts itself anew."""
    w, task, _ = running(lease="60s", health_report_interval="10s", max_tasks=2,
                         sleep_sec_between_accepting_task="100ms")
    redis.command("CLIENT", "PAUSE", "600000", "WRITE")
    wait_until(lambda: any("cmd=evalsha" in line and " flags=b" in line for line in
                           redis.command("CLIENT", "LIST").decode().splitlines()), what="a claim waits for its answer")
    redis.kill()
    w.wait_event("redis_down")
    supervisor = w.pid
    os.kill(supervisor, signal.SIGKILL)
    w.wait_event("supervisor_gone")
    redis.start(same_port=True)
    w.wait_event("supervisor_restart", 20)
    assert w.events("supervisor_restart")[0]["unreported"] == 0
    wait_until(lambda: [t.outcome for t in task.tries] == ["lost"])
    assert "its supervisor died" in task.tries[0].reason
    (box / "go").touch()
    task.wait()


def test_agent_that_cannot_stay_alive_is_not_restarted_in_a_hurry(running):
    w, _, _ = running()
    for _ in range(4):
        os.kill(agent_of(w), signal.SIGKILL)
        time.sleep(0.05)
    starts = w.log.count("starting an agent again in ")
    assert 1 <= starts <= 4
    assert "again in 200 ms" in w.log


def test_a_supervisor_that_dies_before_it_has_told_its_tasks(redis, box, queue):
    """Its agent becomes a worker all the same. Found by chaos: it waited for the rest of the list for ever."""
    ours, theirs = socket.socketpair()
    line = [program("redisWorker"), "--redis", redis.url, "--name", "w1", "--state_dir", str(box / "w1")]
    with open(box / "w1.log", "wb") as log:
        agent = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[theirs.fileno()],
                                 env={**os.environ, "DISTCOMP_AGENT_FD": str(theirs.fileno())})
    theirs.close()
    assert ours.recv(100), "it says hello"
    ours.close()
    wait_until(lambda: b"w1" in redis.command("SMEMBERS", "distcomp:{default}:workers"), 20,
               what=lambda: (box / "w1.log").read_text())
    assert int((box / "w1/lock").read_text()) == agent.pid, "in its own place"
