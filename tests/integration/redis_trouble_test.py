"""Redis is slow, frozen, stopped, or its clock steps: no lease expires for it, and every task counts once."""
import struct
import threading
import time

import pytest

from harness import HELPERS, Queue, RedisError, Resp, wait_until
from scriptqueue import ScriptQueue

LEASE_S = 2
FAST = {"health_report_interval": "200ms", "lease": f"{LEASE_S}s", "sleep_sec_between_accepting_task": "300ms"}


def lines(box, count, seconds=0.1):
    return "".join(f"shell:1:0:0:sleep {seconds}; echo {i} >> {box}/ran; echo {i}\n" for i in range(count))


def ran(box):
    path = box / "ran"
    return sorted(map(int, path.read_text().split())) if path.exists() else []


def all_once(redis, queue, box, count):
    """Waits for the end. Every task ran once, was recorded once, and no worker has lost one."""
    queue("waitTask", timeout=120)
    view = ScriptQueue(redis)
    view.check()
    counts = view.counts()
    assert (counts["finished"], counts.get("losses", 0), counts.get("stale", 0)) == (count, 0, 0)
    assert ran(box) == list(range(count))
    for id in view.records():
        assert [entry[1] for entry in view.log(id)] == ["finished"]


def started(box, at_least=10):
    wait_until(lambda: len(ran(box)) >= at_least, 30, what="tasks run")


def test_blocked_for_longer_than_the_lease(redis_server, worker, box):
    """DEBUG SLEEP: Redis answers nobody for 5 s, and then all at once."""
    redis = redis_server(enable_debug_command="yes")
    queue = Queue(redis.url, box / "cwd")
    workers = [worker(url=redis.url, max_tasks=3, **FAST) for _ in range(3)]
    queue.load(lines(box, 200))
    started(box)
    redis.command("DEBUG", "SLEEP", "5")
    all_once(redis, queue, box, 200)
    assert not any(w.events("task_taken_away") for w in workers)


def test_busy_with_a_script(redis_server, worker, box):
    """-BUSY to everybody for 5 s: claims pause, results that end meanwhile are reported later."""
    redis = redis_server(lua_time_limit=100)
    queue = Queue(redis.url, box / "cwd")
    workers = [worker(url=redis.url, max_tasks=3, **FAST) for _ in range(3)]
    queue.load(lines(box, 150))
    started(box)

    def loop_for_ever():
        client = Resp(path=redis.socket, timeout=60)
        with pytest.raises(RedisError, match="SCRIPT KILL"):
            client.command("EVAL", "while true do end", "0")
        client.close()

    looping = threading.Thread(target=loop_for_ever)
    looping.start()
    for w in workers:
        wait_until(lambda w=w: any("slow script" in e["why"] for e in w.events("redis_error")), 20,
                   what=lambda w=w: f"{w.name} is told:\n{w.log[-2000:]}")
    time.sleep(5)
    redis.command("SCRIPT", "KILL")
    looping.join()
    all_once(redis, queue, box, 150)
    for w in workers:
        assert not w.events("redis_down"), "it waits on the connection that it has"
        assert not w.events("task_taken_away")


@pytest.mark.limit(240)
@pytest.mark.parametrize("how", ["frozen", "stopped"])
def test_away_for_three_leases(redis, queue, worker, box, how):
    """Ten workers, and none of them loses a task for it."""
    redis.command("CONFIG", "SET", "appendfsync", "always")
    workers = [worker(max_tasks=2, **FAST) for _ in range(10)]
    queue.load(lines(box, 400))
    started(box)
    if how == "frozen":
        redis.freeze()
    else:
        redis.kill()
    time.sleep(3 * LEASE_S)
    if how == "frozen":
        redis.thaw()
    else:
        redis.start(same_port=True)
    all_once(redis, queue, box, 400)
    assert not any(w.events("task_taken_away") or w.events("leases_ended") for w in workers)


class Clock:
    """The wall clock of a Redis: tests/chaos/clockstep.c."""

    def __init__(self, box):
        self.path = box / "clockstep"
        self.path.write_bytes(bytes(8))
        self.env = {"LD_PRELOAD": str(HELPERS.parent / "chaos" / "clockstep.so"), "CLOCKSTEP": str(self.path)}

    def step(self, seconds):
        with open(self.path, "r+b") as file:
            file.write(struct.pack("=q", int(seconds * 1e6)))


def test_clock_steps(redis_server, worker, box):
    """An hour ahead, back, an hour behind, and by about a lease, with tasks that are longer than the lease."""
    clock = Clock(box)
    redis = redis_server(env=clock.env)
    queue = Queue(redis.url, box / "cwd")
    view = ScriptQueue(redis)
    workers = [worker(url=redis.url, max_tasks=3, **FAST) for _ in range(3)]
    queue.load(lines(box, 9, seconds=4 * LEASE_S) + "".join(
        f"shell:0:0:0:sleep 0.2; echo {i} >> {box}/ran; echo {i}\n" for i in range(9, 60)))
    queue.wait_counts(in_progress=9)
    for step in (3600, 0, -3600, 2 * LEASE_S, 0):
        before = view.now()
        clock.step(step)
        wait_until(lambda: abs(view.now() - before) > 1000 * LEASE_S, what="its clock has stepped")
        renewed = int(view.redis("HGET", "worker:w1", "report"))
        wait_until(lambda: int(view.redis("HGET", "worker:w1", "report")) != renewed, what="w1 renews")
        time.sleep(LEASE_S / 2)
    all_once(redis, queue, box, 60)
    assert not any(w.events("task_taken_away") or w.events("leases_ended") for w in workers)
