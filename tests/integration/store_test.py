"""common/store by way of redisManager, checked with what tests/lib/scriptqueue.py knows of a queue."""
import signal
import subprocess

import pytest

from harness import program, wait_until
from scriptqueue import ScriptQueue


@pytest.fixture
def keys(redis):
    return ScriptQueue(redis)


def lines(count, start=0, priority=1):
    return "".join(f"shell:{priority}:0.5:1:work {i}\n" for i in range(start, start + count))


def test_load_of_many_batches(queue, keys):
    text = "#@ name=prep\n" + lines(1300) + "#@ name=main/x after=prep\n" + lines(700, 5000)
    assert "2000 new" in queue.load(text)
    keys.check()
    records = keys.records()
    [load] = {record.loaded for record in records.values()}
    assert load == int(keys.redis("HGET", "count", "load")), "loaded is the load's id, in the first batch too"
    assert keys.redis("ZCARD", "load") == 0, "it was closed"
    assert {record.state for record in records.values() if record.name == "main/x"} == {"waiting"}
    assert "2000 known" in queue.load(text)
    assert keys.records() == records


def test_load_of_one_batch_is_one_call_of_load(queue, keys, redis):
    redis.command("CONFIG", "RESETSTAT")
    queue.load(lines(20))
    keys.check()
    calls = redis.info("commandstats")
    assert "cmdstat_incr" not in calls
    assert keys.redis("HGET", "count", "load") is None, "it needs no id"
    assert all(record.loaded > 10**12 for record in keys.records().values())


def test_references_beside_and_above_the_task(queue, keys):
    queue.load("#@ name=prep\n" + lines(1), "--name", "night")
    queue.load("#@ name=prep\n" + lines(1, 10))
    queue.load("#@ name=clean after=prep\n" + lines(1, 20), "--name", "night")
    queue.load("#@ name=other after=prep\n" + lines(1, 30), "--name", "day")
    after = {keys.record(id).name: refs for id, refs in keys.hash("after").items()}
    assert after["night/clean"].strip() == b"an:night/prep"
    assert after["day/other"].strip() == b"an:prep"


def test_references_to_ids_in_the_queue(queue, keys):
    queue.load(lines(1))
    [id] = keys.records()
    queue.load(f"#@ after_any={id}\n" + lines(1, 10))
    assert [refs.strip() for refs in keys.hash("after").values()] == [f"et:{id}".encode()]
    keys.check()


def test_unknown_reference_is_refused_and_nothing_loaded(queue, keys, redis):
    done = queue.run("loadTask", "--taskfile", "-", input=lines(1200) + "#@ after=nowhere\nshell:1:1:1:x\n")
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert redis.keys() == []


def test_load_killed_in_the_middle_leaves_whole_tasks_and_can_be_repeated(queue, keys, box):
    path = box / "cwd" / "task"
    path.write_text("#@ name=a\n" + lines(200000))
    loader = subprocess.Popen([program("redisManager"), "loadTask", "--taskfile", str(path), *queue.flags],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: keys.redis("HLEN", "task") > 2000, every=0)
    loader.send_signal(signal.SIGKILL)
    loader.wait()
    there = keys.redis("HLEN", "task")
    assert 2000 < there < 200000
    assert keys.group("a")["total"] == there
    assert keys.redis("ZCARD", "load") == 1
    out = queue("loadTask", "--taskfile", path)
    assert f"{200000 - there} new, {there} known" in out
    assert keys.counts()["todo"] == 200000
    load = keys.group("a")["load"]
    assert keys.redis("ZSCORE", "load", load) is None, "the name is closed with the second load"


def test_init_removes_this_queue_and_nothing_else(queue, keys, redis):
    queue.load("#@ name=a\n" + lines(3) + "#@ name=b after=a\n" + lines(1500, 10))
    redis.command("SET", "mine", "1")
    redis.command("SET", "distcomp:{default2}:dependants:n:a", "1")
    redis.command("SET", "distcomp:{default}x", "1")
    redis.command("SET", "xdistcomp:{default}:open:1", "1")
    keys.redis("SADD", "open:77", "a")
    assert any("dependants:" in key for key in redis.keys())
    queue("initRedis")
    assert redis.keys() == ["distcomp:{default2}:dependants:n:a", "distcomp:{default}x", "mine",
                            "xdistcomp:{default}:open:1"]


def test_cleanup_forgets_lost_workers_and_closes_silent_loads(queue, keys):
    keys.register("lost", lease=600)
    keys.register("live")
    keys.add(3)
    keys.claim("lost", slots=2)
    load = keys.begin()
    last = keys.task(after=["an:a"])
    keys.load([keys.task(name="a", requires="label:none"), last], load)
    keys.run("cancel", *[id for id, record in keys.records().items() if record.name == "a"])
    keys.redis("ZADD", "load", 1, load)
    wait_until(lambda: keys.redis("ZRANGEBYSCORE", "lease", "-inf", int(keys.now())) == [b"lost"])
    keys.renew((), "live")  # so that Redis was not away
    queue("cleanup")
    keys.check()
    assert keys.redis("SMEMBERS", "workers") == [b"live"]
    assert keys.counts()["in_progress"] == 0
    assert keys.redis("ZCARD", "load") == 0
    assert keys.state(last) == "failed"
