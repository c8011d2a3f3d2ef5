"""A worker and its Redis: away, restarted, frozen; what the queue tells the worker; its configuration."""
import json
import os
import signal
import time

import pytest

from harness import Queue, Worker, is_running, wait_until
from tasks import Tasks, numbers

FAST = {"health_report_interval": "100ms", "lease": "2s", "retry_backoff": "50ms",
        "sleep_sec_between_accepting_task": "200ms"}


@pytest.fixture
def tasks(queue, redis):
    return Tasks(queue, redis)


def counted(box):
    return sorted(map(int, (box / "ran").read_text().split()))


def test_redis_restarted_in_the_middle(tasks, worker, redis, box):
    redis.command("CONFIG", "SET", "appendfsync", "always")
    worker(max_tasks=4, **FAST)
    all_ = tasks.add_all([f"sleep 0.1; echo {i} >> {box}/ran; echo {i}" for i in range(160)])
    for _ in range(3):
        before = len(counted(box)) if (box / "ran").exists() else 0
        wait_until(lambda: (box / "ran").exists() and len(counted(box)) >= before + 10)
        redis.kill()
        time.sleep(0.3)
        redis.start(same_port=True)
    for i, task in enumerate(all_):
        assert task.wait(deadline=60).outcomes == ["finished"]
        assert task.out == b"%d\n" % i
    assert counted(box) == list(range(160)), "no task ran twice"


def test_results_wait_for_redis(tasks, worker, redis, box):
    redis.command("CONFIG", "SET", "appendfsync", "always")
    w = worker(**FAST)
    task = tasks.add(f"until [ -e {box}/go ]; do sleep 0.02; done; echo kept; touch {box}/over").wait("in_progress")
    redis.kill()
    w.wait_event("redis_down")
    (box / "go").touch()
    wait_until((box / "over").exists)
    time.sleep(2.5)  # longer than the lease
    redis.start(same_port=True)
    assert task.wait().outcomes == ["finished"]
    assert task.out == b"kept\n"


def test_configuration_read_while_a_claim_has_no_answer(tasks, redis, box, queue):
    """The claim is asked again with the labels that there are now."""
    conf = box / "conf.json"
    conf.write_text('{"labels": "old"}')
    redis.command("CONFIG", "SET", "appendfsync", "always")
    w = Worker(box, redis.url, "w1", conf=conf, **FAST)
    w.wait_event("registered")
    redis.freeze()
    time.sleep(1)  # a claim is under way
    conf.write_text('{"labels": "new"}')
    w.signal(signal.SIGHUP)
    w.wait_event("config_read")
    redis.kill()
    redis.start(same_port=True)
    tasks.add("true", labels="new").wait()


def test_frozen_redis(tasks, worker, redis, box):
    worker(**FAST)
    task = tasks.add(f"echo $$ >> {box}/pid; until [ -e {box}/go ]; do sleep 0.02; done").wait("in_progress")
    pid, = numbers(box / "pid")
    redis.freeze()
    time.sleep(4)  # twice the lease
    assert is_running(pid)
    redis.thaw()
    (box / "go").touch()
    assert task.wait().outcomes == ["finished"]
    assert len(numbers(box / "pid")) == 1, "it ran once"


def test_a_full_redis_does_not_end_the_lease(tasks, worker, redis, box):
    """Claims are refused with an error, second after second; the worker renews all the same."""
    worker("w1", max_tasks=2, **FAST)
    task = tasks.add(f"until [ -e {box}/go ]; do sleep 0.02; done").wait("in_progress")
    tasks.add("true", labels="nobody")
    redis.command("CONFIG", "SET", "maxmemory", "1")

    def report_ms():
        return int(redis.command("HGET", "distcomp:{default}:worker:w1", "report"))

    begin = report_ms()
    wait_until(lambda: report_ms() > begin + 5000, 30, what="it has renewed for longer than its lease")
    redis.command("CONFIG", "SET", "maxmemory", "0")
    (box / "go").touch()
    assert (task.wait().outcomes, task.record.losses) == (["finished"], 0)


def test_a_worker_cut_off_past_its_lease_kills_its_copies(tasks, worker, box):
    lost = worker("lost", **FAST)
    task = tasks.add(f"echo $$ $DISTCOMP_WORKER >> {box}/pid; until [ -e {box}/go ]; do sleep 0.02; done")
    task.wait("in_progress")
    wait_until((box / "pid").exists)
    first = int((box / "pid").read_text().split()[0])
    other = worker("other", **FAST)
    other.wait_event("registered")
    agents = [pid for pid in wait_until(lambda: children(lost.pid)) if b"DISTCOMP_AGENT_FD=" in environ(pid)]
    os.kill(lost.pid, signal.SIGSTOP)  # the whole worker is away, its task runs on
    os.kill(agents[0], signal.SIGSTOP)
    wait_until(lambda: task.holder == "other", 10, what="somebody else has it")
    assert is_running(first)
    os.kill(lost.pid, signal.SIGCONT)
    os.kill(agents[0], signal.SIGCONT)
    wait_until(lambda: not is_running(first), what="its copy is killed")
    (box / "go").touch()
    task.wait()
    assert [(entry.outcome, entry.worker) for entry in task.tries][-1] == ("finished", "other")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def environ(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read()


def test_drain_resume_stop_by_name(tasks, worker, box):
    w1, w2 = worker("w1", **FAST), worker("w2", **FAST)
    for w in (w1, w2):
        w.wait_event("registered")
    tasks.queue("drainWorker", "w1")
    for task in tasks.add_all([f"echo $DISTCOMP_WORKER; : {i}" for i in range(20)]):
        assert task.wait().out == b"w2\n"
    tasks.queue("stopWorker", "w2")
    assert w2.wait() == 0
    waiting = tasks.add("echo $DISTCOMP_WORKER")
    time.sleep(0.5)
    assert waiting.state == "todo"
    tasks.queue("resumeWorker", "w1")
    assert waiting.wait().out == b"w1\n"
    tasks.queue("stopWorker", "--all")
    assert w1.wait() == 0


def test_stop_waits_for_what_runs(tasks, worker, box):
    w = worker(**FAST)
    task = tasks.add(f"until [ -e {box}/go ]; do sleep 0.02; done").wait("in_progress")
    tasks.queue("stopWorker", "w1")
    w.wait_event("mode")
    assert task.state == "in_progress"
    (box / "go").touch()
    assert w.wait() == 0
    assert task.state == "finished"
    assert "starting an agent again" not in w.log


def test_exit_when_empty(tasks, worker):
    all_ = tasks.add_all(["sleep 0.1", "[ $DISTCOMP_TRY = 2 ]", "exit 1"], retries=2)
    assert worker(exit_when_empty=True, **FAST).wait() == 0
    assert [task.state for task in all_] == ["finished", "finished", "failed"], "it waited for the retries"


def test_exit_when_empty_at_once(redis, worker):
    assert worker(exit_when_empty=True, **FAST).wait(10) == 0


def test_name_twice_is_refused(worker, box):
    worker("w1", **FAST).wait_event("registered")
    second = worker("second", words=["--name", "w1"], **FAST)
    assert second.wait() == 1
    assert "a worker named w1 is already in queue default" in second.log
    assert "--name" in second.log


def test_state_dir_twice_is_refused(worker, box):
    first = worker("w1", **FAST)
    first.wait_event("registered")
    second = worker("w2", words=["--state_dir", first.state_dir], **FAST)
    assert second.wait() == 1
    assert f"already runs on state_dir {first.state_dir}" in second.log
    assert f"supervisor pid {first.pid}" in second.log


def test_a_name_is_free_again_when_its_worker_left_or_its_lease_ended(worker):
    first = worker("w1", **FAST)
    first.wait_event("registered")
    first.signal(signal.SIGTERM)
    first.wait()
    again = worker("again", words=["--name", "w1"], **FAST)
    again.wait_event("registered")


def test_queues_are_apart(redis, worker, box):
    one, two = (Tasks(Queue(redis.url, box / "cwd", queue=name), redis) for name in ("one", "two"))
    one.view = type(one.view)(redis, "one")
    two.view = type(two.view)(redis, "two")
    worker("w1", queue="one", **FAST)
    there, here = two.add("echo $DISTCOMP_QUEUE"), one.add("echo $DISTCOMP_QUEUE")
    assert here.wait().out == b"one\n"
    assert there.state == "todo"


# --- configuration ------------------------------------------------------------------------------


def test_conf_json_is_read_again_when_it_changes(tasks, worker, box):
    conf = box / "cwd/conf.json"
    conf.write_text(json.dumps({"retry_backoff": "20ms", "max_retry_per_task": 3}))
    w = worker(health_report_interval="100ms", lease="1s")
    assert tasks.add("exit 1").wait("failed").outcomes == ["failed"] * 3
    conf.write_text(json.dumps({"retry_backoff": "20ms", "max_retry_per_task": 2}))
    w.wait_event("config_read")
    assert tasks.add("exit 1").wait("failed").outcomes == ["failed"] * 2


@pytest.mark.parametrize("text, message", [
    ('{"max_retry_per_tusk": 2}', "max_retry_per_tusk"),
    ('{"max_retry_per_task": "many"}', "max_retry_per_task"),
    ('{"max_retry_per_task": 2', "worker.json"),
])
def test_bad_conf_json(tasks, worker, box, text, message):
    """At start it is an error that names it; later the worker says so and stays as it was."""
    conf = box / "worker.json"
    conf.write_text(text)
    refused = worker("refused", conf=conf, **FAST)
    assert refused.wait() == 2
    assert message in refused.log
    conf.write_text('{"max_retry_per_task": 1}')
    w = worker("w1", conf=conf, **FAST)
    w.wait_event("registered")
    conf.write_text(text)
    assert message in w.wait_event("config_refused")[0]["why"]
    assert tasks.add("exit 1").wait("failed").outcomes == ["failed"]


def test_flag_beats_environment_beats_file(tasks, worker, box):
    (box / "cwd/conf.json").write_text('{"max_retry_per_task": 2, "retry_backoff": "10ms"}')
    environment = {"DISTCOMP_MAX_RETRY_PER_TASK": "3"}
    for env, flag, tries in [({}, {}, 2), (environment, {}, 3), (environment, {"max_retry_per_task": 1}, 1)]:
        task = tasks.add("exit 1")
        w = worker(f"w{tries}", env=env, health_report_interval="100ms", lease="1s", exit_when_empty=True, **flag)
        assert len(task.wait("failed").tries) == tries
        assert w.wait() == 0


@pytest.mark.parametrize("words, code, message", [
    (["--max_tasks", "none"], 2, "max_task"), (["--cpu", "2"], 2, "--cpu"), (["--lease", "1s"], 2, "lease")])
def test_bad_flags(worker, words, code, message):
    w = worker(words=words)
    assert w.wait() == code
    assert message in w.log


def test_redis_that_is_not_there(worker, box):
    w = worker(url=f"unix://{box}/nothing")
    assert w.wait() == 1
    assert len(w.log.splitlines()) == 1


def test_wrong_password(worker, redis_server):
    server = redis_server(requirepass="secret")
    w = worker(url=f"redis://:wrong@127.0.0.1:{server.port}")
    assert w.wait() == 1
    assert "password" in w.log.lower()
    assert "wrong@" not in w.log and "secret" not in w.log
