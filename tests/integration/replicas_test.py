"""wait_replicas: a load, and a result, is acknowledged when replicas have it."""
import signal
import time

import pytest

from harness import Queue, wait_until
from scriptqueue import ScriptQueue
from sentinels import SYNC_FAST, Watched, again, ask, online

FAST = {"health_report_interval": "200ms", "lease": "3s", "sleep_sec_between_accepting_task": "300ms"}


@pytest.fixture
def pair(redis_server):
    master = redis_server(**SYNC_FAST)
    replica = redis_server(replicaof=f"127.0.0.1 {master.port}", **SYNC_FAST)
    wait_until(lambda: online(master) == 1, 30, what="the replica follows")
    return master, replica


def lines(box, first, last):
    return "".join(f"shell:1:0:0:echo {i} >> {box}/ran\n" for i in range(first, last))


def ran(box):
    path = box / "ran"
    return sorted(map(int, path.read_text().split())) if path.exists() else []


def waits(server):
    """How often WAIT was asked."""
    found = server.info("commandstats").get("cmdstat_wait")
    return int(found.split("calls=")[1].split(",")[0]) if found else 0


def test_load(pair, box):
    master, replica = pair
    queue = Queue(master.url, box / "cwd")
    queue.load("shell:1:0:0:true one\n", "--wait_replicas", "1")
    replica.freeze()
    (box / "cwd/task").write_text("shell:1:0:0:true two\n")
    done = queue.run("loadTask", "--taskfile", box / "cwd/task", "--wait_replicas", "1")
    assert done.returncode == 1
    assert "only 0 of 1 replicas have it after 5 s" in done.stderr
    assert queue.counts()["todo"] == 2, "it is in Redis nevertheless"
    replica.thaw()
    assert queue.load("shell:1:0:0:true two\n", "--wait_replicas", "1").startswith("0 new, 1 known")


def test_results_that_replicas_have(pair, worker, box):
    master, _ = pair
    queue = Queue(master.url, box / "cwd")
    w = worker(url=master.url, wait_replicas=1, **FAST)
    queue.load(lines(box, 0, 50))
    queue.wait_counts(finished=50)
    w.signal(signal.SIGTERM)
    assert w.wait() == 0
    assert w.events("left")[-1]["replicated"] is True
    assert waits(master) >= 1, "it has asked"


def test_nothing_is_asked_without_it(pair, worker, box):
    master, replica = pair
    queue = Queue(master.url, box / "cwd")
    replica.freeze()
    w = worker(url=master.url, **FAST)
    queue.load(lines(box, 0, 5))
    queue.wait_counts(finished=5)
    w.signal(signal.SIGTERM)
    assert w.wait() == 0
    replica.thaw()
    assert waits(master) == 0


def test_replica_away_and_back(pair, worker, box):
    """Tasks and leases go on, it is said once, and settled when the replica is back."""
    master, replica = pair
    queue = Queue(master.url, box / "cwd")
    w = worker(url=master.url, wait_replicas=1, **FAST)
    w.wait_event("registered")
    replica.freeze()
    for i in range(5):
        queue.load(lines(box, 10 * i, 10 * i + 10))
        queue.wait_counts(finished=10 * i + 10)
    wait_until(lambda: waits(master) >= 3, 30, what="it asks again")
    assert len(w.events("replicas_behind")) == 1
    assert not w.events("replicas_caught_up")
    replica.thaw()
    assert w.wait_event("replicas_caught_up", 30)[0]["let_go"] == 0
    w.signal(signal.SIGTERM)
    assert w.wait() == 0
    assert w.events("left")[-1]["replicated"] is True
    assert ran(box) == list(range(50))
    assert not w.events("redis_down") and not w.events("task_taken_away")


def test_a_worker_that_leaves_waits_ten_seconds_for_replicas(pair, worker, box):
    master, replica = pair
    queue = Queue(master.url, box / "cwd")
    w = worker(url=master.url, wait_replicas=1, **FAST)
    w.wait_event("registered")
    replica.freeze()
    queue.load(lines(box, 0, 5))
    queue.wait_counts(finished=5)
    w.signal(signal.SIGTERM)
    assert w.wait(60) == 0
    assert w.events("left")[-1]["replicated"] is False
    replica.thaw()


@pytest.mark.limit(240)
def test_results_outlive_a_master_whose_replica_did_not_have_them(box, worker):
    """The replica is cut off while 40 tasks are claimed, run and recorded; the master dies 4 s later, when a result
    would have been let go of without wait_replicas; the replica, where all are in todo, becomes the master."""
    redis = Watched(box, replicas=1, sentinels=1)
    try:
        old, replica = redis.servers
        queue = Queue(redis.url, box / "cwd")
        w = worker(url=redis.url, wait_replicas=1, **FAST)
        w.wait_event("registered")
        queue("drainWorker", "w1")
        w.wait_event("mode")
        queue.load(lines(box, 0, 40), "--wait_replicas", "1")
        replica.freeze()
        old.command("CLIENT", "KILL", "TYPE", "replica")  # nothing may lie in its socket either
        queue("resumeWorker", "w1")
        queue.wait_counts(finished=40)
        time.sleep(4)
        old.kill()
        replica.thaw()
        assert redis.wait_failover(old) is replica
        ask(replica, "PING")
        view = ScriptQueue(replica)
        wait_until(lambda: again(view.counts).get("finished") == 40, 60, what=lambda: f"{view.counts()}\n{w.log[-2000:]}")
        assert ran(box) == list(range(40)), "no task ran twice"
        assert len(w.events("replicas_behind")) == 1 and not w.events("replicas_caught_up")
        old.start(same_port=True)  # Sentinel makes it a replica
        w.wait_event("replicas_caught_up", 60)
        again(ScriptQueue(redis.wait_settled()).check)
        assert ran(box) == list(range(40))
    finally:
        redis.close()
