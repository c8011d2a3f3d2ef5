"""cancelTask, holdTask, releaseTask, setTask, move…, removeFinishedTask; the verbs for workers; initRedis, cleanup."""
import json
import os
import re
import signal
import subprocess

import pytest

import harness
from redisproxy import interrupted_by_proxy
from scriptqueue import ScriptQueue


@pytest.fixture
def q(redis):
    q = ScriptQueue(redis)
    yield q
    q.check()


@pytest.fixture
def tasks(queue, q):
    """Ten tasks, 0 to 9, even ones named even, odd ones odd, with their number as priority: ids in order."""
    text = "".join(f"#@ name=sweep/{'odd' if i % 2 else 'even'}\nshell:{i}:0:0:echo task{i}\n" for i in range(10))
    queue.load(text)
    by_priority = {record.priority: id for id, record in q.records().items()}
    return [by_priority[i] for i in range(10)]


def states(q):
    found = {}
    for record in q.records().values():
        found[record.state] = found.get(record.state, 0) + 1
    return found


# --- selecting, by the example of holdTask ---


@pytest.mark.parametrize("words,held", [
    (["--name", "sweep/odd"], 5),
    (["--name", "sweep"], 10),
    (["--name", "swee"], 0),
    (["--name", "sweep/odd", "--name", "sweep/even"], 10),
    (["--include", "task[1-3]$"], 3),
    (["--include", "task", "--exclude", "task[0-7]"], 2),
    (["--priority", "4"], 1),
    (["--type", "python"], 0),
    (["--state", "todo"], 10),
    (["--state", "failed,held"], 0),
    (["--all"], 10),
    (["--all", "--limit", "3"], 3),
    (["--include", "task[1-3]", "--limit", "2"], 2),
])
def test_filters(queue, q, tasks, words, held):
    noun = "task" if held == 1 else "tasks"
    dry = queue("holdTask", *words, "--dry_run")
    assert re.search(rf"^{held} {noun} would be held( \({held} todo\))?\n\Z", dry, re.M)
    assert queue.json("holdTask", *words, "--dry_run") == {"dry_run": True, "matched": held}
    assert states(q) == {"todo": 10}
    assert queue("holdTask", *words) == f"{held} {noun} held\n"
    assert states(q).get("held", 0) == held


def test_ids(queue, q, tasks):
    assert queue("holdTask", tasks[0], tasks[3], tasks[0]) == "2 tasks held\n"
    assert [q.state(id) for id in tasks[:4]] == ["held", "todo", "todo", "held"]
    assert queue("holdTask", tasks[0], tasks[1]) == "1 task held, 1 skipped (1 held)\n"
    assert queue.json("holdTask", tasks[0], tasks[2]) == {"held": 1, "skipped": 1}


def test_ids_together_with_filters(queue, q, tasks):
    assert queue("holdTask", *tasks[:4], "--name", "sweep/odd") == "2 tasks held\n"
    assert [q.state(id) for id in tasks[:4]] == ["todo", "held", "todo", "held"]


def test_an_id_that_is_not_there(queue, q, tasks):
    unknown = "0" * 14
    done = queue.run("holdTask", tasks[0], unknown)
    assert done.returncode == 1 and done.stdout == "1 task held\n"
    assert done.stderr == f"redisManager holdTask: the queue default has no task {unknown}\n"
    done = queue.run("holdTask", "--json", unknown)
    assert json.loads(done.stdout) == {"held": 0, "skipped": 0, "unknown": [unknown]}


@pytest.mark.parametrize("verb", ["cancelTask", "holdTask", "releaseTask", "setTask"])
def test_nothing_is_changed_without_a_filter(queue, q, tasks, verb):
    more = ["--priority", "3"] if verb == "setTask" else []
    for words in ([], ["--all", tasks[0]], ["--all", "--name", "x"], ["notanid"], ["--include", "("]):
        done = queue.run(verb, *more, *words)
        assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done
    assert states(q) == {"todo": 10}


# --- what each does ---


def test_cancel_hold_release(queue, q, tasks):
    assert queue("cancelTask", "--name", "sweep/odd") == "5 tasks cancelled\n"
    assert queue("holdTask", "--all") == "5 tasks held\n"
    assert states(q) == {"cancelled": 5, "held": 5}
    assert queue("releaseTask", tasks[0]) == "1 task released\n"
    assert queue("cancelTask", tasks[1], tasks[2]) == "1 task cancelled, 1 skipped (1 cancelled)\n"
    assert queue("releaseTask", "--all") == "3 tasks released\n"
    assert states(q) == {"cancelled": 6, "todo": 4}
    assert queue.json("cancelTask", "--all") == {"cancelled": 4, "requested": 0, "skipped": 0}


def test_set_priority(queue, q, tasks):
    assert queue("setTask", "--old_priority", "3", "--priority", "77") == "1 task set to priority 77\n"
    assert q.record(tasks[3]).priority == 77
    assert queue.json("setTask", "--name", "sweep/even", "--priority", "5") == {"changed": 5, "skipped": 0}
    assert [claimed.id for claimed in _claim(q, 1)] == [tasks[3]]
    assert queue.run("setTask", tasks[0]).returncode == 2


def _claim(q, slots):
    q.register()
    return q.claim(slots=slots)


def test_cancel_a_running_task(queue, worker, q):
    queue.load("#@ name=long\nshell:1:0:0:echo $$ >pid; sleep 1000\nshell:1:0:0:sleep 999\n")
    worker(health_report_interval="200ms", lease="2s", max_tasks=1)
    pid = int(harness.wait_until(lambda: (queue.cwd / "pid").exists() and (queue.cwd / "pid").read_text()))
    assert queue("cancelTask", "--include", "sleep 1000") == "0 tasks cancelled, 1 running task asked to end\n"
    queue.wait_counts(failed=1, in_progress=1)
    harness.wait_until(lambda: not harness.is_running(pid), what="the process ended")
    answer = queue.json("cancelTask", "--name", "long", "--state", "todo,in_progress")
    assert answer == {"cancelled": 0, "requested": 1, "skipped": 0}
    queue.wait_counts(failed=2, in_progress=0)
    assert states(q) == {"cancelled": 2}


def test_filter_by_worker(queue, worker, q):
    queue.load("".join(f"shell:1:0:0:sleep 100{i}\n" for i in range(4)))
    worker("left", max_tasks=2)
    queue.wait_counts(in_progress=2)
    worker("right", max_tasks=2)
    queue.wait_counts(in_progress=4)
    assert queue.json("cancelTask", "--worker", "left", "--dry_run")["matched"] == 2
    queue("cancelTask", "--worker", "left")
    queue.wait_counts(failed=2, in_progress=2)


def test_move_in_progress(queue, q, tasks):
    claimed = _claim(q, 4)
    assert len(claimed) == 4
    assert queue("moveInProgressTaskToTodo", claimed[0].id, tasks[0]) == \
        "1 task moved to todo, 1 skipped (1 todo)\n"
    assert queue("moveInProgressTaskToTodo") == "3 tasks moved to todo\n"
    assert states(q) == {"todo": 10}
    assert q.report(*[(c, "finished") for c in claimed]) == ["stale"] * 4


def test_move_failed(queue, q, tasks):
    failed = _claim(q, 4)
    q.finish(*failed, outcome="failed")
    queue("cancelTask", tasks[0], tasks[1])
    assert states(q) == {"failed": 4, "cancelled": 2, "todo": 4}
    assert queue("moveFailedTaskToTodo", "--name", "sweep/odd") == "2 tasks moved to todo\n"
    assert queue("moveFailedTaskToTodo", tasks[0]) == "1 task moved to todo\n"
    assert queue.json("moveFailedTaskToTodo") == {"moved": 2, "skipped": 0}
    assert states(q) == {"cancelled": 1, "todo": 9}
    assert q.record(failed[0]).failures == 0


def test_move_failed_along_a_chain(queue, q):
    """Each link waits for the one before; more of them than one call takes, in no order."""
    text = "".join(f"#@ name=c{i}{f' after=c{i - 1}' if i else ''}\nshell:1:0:0:echo {i}\n" for i in range(600))
    queue.load(text)
    claimed = _claim(q, 600)
    assert len(claimed) == 1
    q.finish(*claimed, outcome="failed")
    q.settle()
    assert states(q) == {"failed": 600}
    first = claimed[0].id
    others = [id for id in q.records() if id != first]
    assert queue("moveFailedTaskToTodo", others[0]) == \
        "0 tasks moved to todo, 1 skipped (1 wait for tasks that have failed)\n"
    assert queue("moveFailedTaskToTodo") == "600 tasks moved to todo\n"
    assert states(q) == {"waiting": 599, "todo": 1}


def test_remove_finished(queue, q, tasks):
    claimed = _claim(q, 6)
    q.finish(*claimed[:4], out=b"x")
    q.finish(*claimed[4:], outcome="failed")
    assert queue("removeFinishedTask", claimed[0].id, claimed[4].id) == "1 task removed, 1 skipped (1 failed)\n"
    assert queue("removeFinishedTask") == "3 tasks removed\n"
    assert states(q) == {"failed": 2, "todo": 4}
    assert queue.json("removeFinishedTask", "--failed") == {"removed": 2, "skipped": 0}
    assert states(q) == {"todo": 4}
    text = (queue.cwd / "task").read_text()
    assert queue.load(text).startswith("6 new, 4 known")


def test_remove_older(queue, worker, q):
    queue.load("shell:1:0:0:true\n#@ retries=1\nshell:1:0:0:false\n")
    worker()
    queue.wait_counts(finished=1, failed=1)
    assert queue("removeFinishedTask", "--older", "1h") == "0 tasks removed\n"
    assert queue("removeFinishedTask", "--older", "1ms", "--failed") == "2 tasks removed\n"


def test_many_tasks(queue, q, redis):
    """Several pages and batches, changed while they are walked through."""
    queue.load("".join(f"shell:{i % 7}:0:0:echo {i} {i % 2}\n" for i in range(20000)))
    redis.command("CONFIG", "RESETSTAT")
    assert queue("cancelTask", "--include", " 1$") == "10000 tasks cancelled\n"
    calls = int(re.search(r"calls=(\d+)", redis.info("commandstats")["cmdstat_evalsha"]).group(1))
    assert 20 <= calls <= 100
    assert queue("holdTask", "--priority", "3") == f"{sum(i % 7 == 3 and i % 2 == 0 for i in range(20000))} tasks held\n"
    assert queue("setTask", "--all", "--priority", "1") == "10000 tasks set to priority 1\n"
    assert queue("moveFailedTaskToTodo").startswith("0 ")
    assert queue("removeFinishedTask", "--failed", "--limit", "700") == "700 tasks removed\n"
    assert queue("removeFinishedTask", "--failed") == "9300 tasks removed\n"


def test_interrupted(queue, q, redis):
    queue.load("".join(f"shell:1:0:0:echo {i}\n" for i in range(100000)))
    code, out, err = interrupted_by_proxy(redis, queue.cwd, signal.SIGINT, 30, "holdTask", "--all")
    held = q.counts()["held"]
    assert code == 130 and out == f"{held} tasks held\n" and "interrupted" in err
    assert 1000 < held < 100000


# --- the queue, workers ---


def test_init_redis(queue, q, tasks, redis):
    redis.command("SET", "other", "1")
    other = harness.Queue(queue.url, queue.cwd, queue="other")
    other("addTask", *other.flags, "--", "true", flags=False)
    _claim(q, 2)
    done = queue.run("initRedis")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == ("redisManager initRedis: 2 tasks are running in queue default; stopWorker and wait, or "
                           "--force to end them\n")
    assert states(q) == {"todo": 8, "in_progress": 2}
    assert queue("initRedis", "--force") == "10 tasks removed from queue default\n"
    assert states(q) == {}
    assert queue.json("initRedis") == {"removed": 0}
    assert redis.command("GET", "other") == b"1" and other.counts()["todo"] == 1


def test_cleanup(queue, q, tasks):
    q.register(lease=1)
    q.claim(slots=3)
    harness.wait_until(lambda: q.settle() and queue.json("cleanup")["workers_forgotten"] == 1)
    assert states(q) == {"todo": 10}
    assert queue("cleanup") == "0 tasks taken from lost workers, 0 workers forgotten, 0 loads closed\n"


def test_remove_older_goes_by_the_time_of_redis(queue, redis):
    queue("cancelTask", queue("addTask", *queue.flags, "--", "true", flags=False).split()[-1])
    redis.command("CONFIG", "RESETSTAT")
    assert queue("removeFinishedTask", "--older", "1h", "--failed") == "0 tasks removed\n"
    assert redis.info("commandstats")["cmdstat_time"].startswith("calls=1,")


def test_drain_resume_stop(queue, worker):
    for name in ("node1", "node2"):
        worker(name, health_report_interval="200ms", lease="2s", max_tasks=1)
    w1 = worker("node3", health_report_interval="200ms", lease="2s", max_tasks=1)
    harness.wait_until(lambda: queue.run("drainWorker", "node1", "node2", "node3").returncode == 0)
    queue("addTask", *queue.flags, "--", "touch ran", flags=False)
    assert queue("resumeWorker", "node2") == "1 worker may take tasks again\n"
    queue.wait_counts(finished=1)
    assert queue.json("stopWorker", "node3") == {"workers": [{"name": "node3", "lost": False}]}
    assert w1.wait() == 0
    assert queue("stopWorker", "--all").endswith(" asked to finish what they run and leave\n")


def start_wait(queue, *words):
    line = [harness.program("redisManager"), *words, "--wait", *queue.flags]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_stop_and_wait(queue, worker, box):
    w1 = worker("w1", health_report_interval="200ms", lease="2s")
    queue("addTask", *queue.flags, "--", f"while [ ! -e {box}/go ]; do sleep 0.02; done", flags=False)
    queue.wait_counts(in_progress=1)
    done = queue.run("stopWorker", "w1", "--wait", "--timeout", "300ms")
    assert (done.returncode, done.stdout, done.stderr) == (
        124, "1 worker asked to finish what it runs and leave\n0 workers have left\n",
        "redisManager stopWorker: gave up after 300ms; 1 task still runs on w1\n")
    done = queue.run("stopWorker", "w1", "--wait", "--timeout", "100ms", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (
        124, {"workers": [{"name": "w1", "lost": False, "done": False}], "timed_out": True})
    waiting = start_wait(queue, "stopWorker", "w1")
    assert waiting.stdout.readline() == "1 worker asked to finish what it runs and leave\n"
    assert w1.process.poll() is None and waiting.poll() is None
    (box / "go").touch()
    out, err = waiting.communicate(timeout=30)
    assert (waiting.returncode, out, err) == (0, "1 worker has left\n", "")
    assert queue.json("checkWorker")["workers"] == [] and w1.wait() == 0


def test_drain_and_wait(queue, worker, box):
    w1 = worker("w1", health_report_interval="200ms", lease="2s")
    queue("addTask", *queue.flags, "--", f"while [ ! -e {box}/go ]; do sleep 0.02; done", flags=False)
    queue.wait_counts(in_progress=1)
    waiting = start_wait(queue, "drainWorker", "w1")
    assert waiting.stdout.readline() == "1 worker asked to finish what it runs and take nothing new\n"
    queue("resumeWorker", "w1")
    out, err = waiting.communicate(timeout=30)
    assert (waiting.returncode, out) == (1, "0 workers run nothing any more\n")
    assert err == "redisManager drainWorker: w1 was asked for something else meanwhile, or started anew\n"
    waiting = start_wait(queue, "drainWorker", "--all")
    waiting.stdout.readline()
    (box / "go").touch()
    out, err = waiting.communicate(timeout=30)
    assert (waiting.returncode, out, err) == (0, "1 worker runs nothing any more\n", "")
    assert queue.counts()["finished"] == 1 and w1.process.poll() is None
    assert queue.run("drainWorker", "w1", "--timeout", "1s").returncode == 2


def test_a_lost_worker_is_not_waited_for(queue, worker):
    lost = worker("w1", health_report_interval="100ms", lease="500ms")
    harness.wait_until(lambda: queue.json("checkWorker")["workers"])
    lost.signal(signal.SIGSTOP)
    for pid in harness.descendants(lost.pid):
        os.kill(pid, signal.SIGSTOP)
    done = queue.run("stopWorker", "w1", "--wait", timeout=30)
    assert (done.returncode, done.stdout) == (
        0, "1 worker asked to finish what it runs and leave\n1 worker has left\n")


def test_workers_that_are_not_there(queue, worker):
    for words in (["stopWorker"], ["stopWorker", "--all", "w1"], ["drainWorker"], ["resumeWorker"]):
        assert queue.run(*words).returncode == 2
    done = queue.run("stopWorker", "w1")
    assert done.returncode == 1 and "there is no worker w1" in done.stderr
    assert queue("drainWorker", "--all") == "0 workers asked to finish what they run and take nothing new\n"
    w = worker("node17")
    harness.wait_until(lambda: queue.json("resumeWorker", "--all")["workers"])
    done = queue.run("stopWorker", "node17", "node71", "x")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.splitlines() == [
        "redisManager stopWorker: there is no worker node71; did you mean node17?",
        "redisManager stopWorker: there is no worker x; checkWorker lists those of queue default"]
    assert w.process.poll() is None
