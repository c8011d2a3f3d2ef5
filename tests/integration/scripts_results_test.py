"""Reports, try logs, outputs, and what is kept of finished tasks, by the Lua scripts alone."""
import pytest

from harness import wait_until
from scriptqueue import GIB, ids, is_error, output, q, script_server, try_entry  # noqa: F401


# --- reports -----------------------------------------------------------------------------------------


def test_a_batch_of_reports(q):  # noqa: F811
    q.register()
    q.add(5)
    [a, b, c, d, e] = q.claim(slots=5)
    unknown = type(a)("zzzzzzzzzzzzzz", 1, a.nonce, b"")
    stale = type(b)(b.id, b.number, "0" * 20, b"")
    assert q.report((a, "finished"), (unknown, "finished"), (stale, "failed"), (b, "failed"), (a, "finished")) == [
        "recorded", "unknown", "stale", "recorded", "yours"]
    assert q.hash("worker:w1")["finished"] == b"1" and q.hash("worker:w1")["failed"] == b"1"


def test_an_unknown_outcome_changes_nothing(q):  # noqa: F811
    q.register()
    q.add(2)
    [a, b] = q.claim(slots=2)
    before = q.dump()
    assert "unknown outcome exploded" in is_error(
        q, "report", "w1", 5, 0, a.id, 1, a.nonce, "failed", 5, "", "", "", b.id, 1, b.nonce, "exploded", 0, "", "",
            "")
    assert q.dump() == before


def test_try_log_keeps_the_last_twenty(q):  # noqa: F811
    q.register()
    [task] = q.add()
    for _ in range(30):
        q.finish(*q.claim(), outcome="returned", entry=b"")
        log = q.log(task)
    assert log == []
    for _ in range(30):
        q.finish(*q.claim(), outcome="returned")
    assert [entry[0] for entry in q.log(task)] == list(range(41, 61))
    assert q.record(task).returns == 60


def test_sixty_five_thousand_tries(q):  # noqa: F811
    """The try number has 16 bits and goes round; the nonce still tells."""
    q.register()
    [task] = q.add()
    raw = q.redis("HGET", "task", task.id)
    q.redis("HSET", "task", task.id, raw[:19] + b"\xff\xff" + raw[21:])
    [claimed] = q.claim()
    assert claimed.number == 1
    q.finish(claimed)


@pytest.mark.parametrize("end", ["returned", "lost"])
def test_who_failed_at_it_is_forgotten_when_it_ends(q, end):  # noqa: F811
    """Also where the queue itself ends it: no worker has the memory, or too many have vanished."""
    q.register()
    [task] = q.add(1, mem=GIB)
    q.finish(*q.claim(), outcome="failed", delay=0)
    assert list(q.hash("avoid")) == [task.id]
    [claimed] = q.claim(mem=4 * GIB)
    q.report((claimed, end, {"peak": 9 * GIB, "promised": GIB, "need": 12 * GIB}), max_losses=1)
    assert q.state(task) == "failed"
    assert q.hash("avoid") == {}


# --- outputs -------------------------------------------------------------------------------------------


def test_outputs_are_kept_within_a_limit_the_oldest_go_first(q):  # noqa: F811
    q.register()
    tasks = q.add(10)
    size = len(output(1, b"x" * 1000))
    for claimed in q.claim(slots=10):
        q.report((claimed, "finished", {"out": b"x" * 1000}), keep=4 * size)
        assert q.counts()["output_bytes"] <= 4 * size
        q.check()
    outputs = q.hash("output")
    assert [len(outputs[t.id]) for t in tasks] == [0] * 6 + [size] * 4, "dropped ones are marked"


def test_output_of_a_later_try_replaces_the_earlier(q):  # noqa: F811
    q.register()
    [task] = q.add()
    q.finish(*q.claim(), outcome="failed", delay=0, out=b"first" * 100)
    q.finish(*q.claim(), outcome="failed", delay=0, out=b"second")
    q.check()
    assert q.hash("output")[task.id] == output(2, b"second")
    q.finish(*q.claim(), out=b"")
    assert q.hash("output")[task.id] == output(3)


def test_an_old_entry_does_not_drop_a_new_output(q):  # noqa: F811
    q.register()
    [a, b] = q.add(2)
    [first, other] = q.claim(slots=2)
    q.finish(first, outcome="failed", delay=0, out=b"a1")
    q.finish(other, out=b"b")
    size = len(output(1, b"b"))
    [again] = q.claim()
    q.report((again, "finished", {"out": b"a2"}), keep=2 * size)
    assert len(q.hash("output")[a.id]) > 0, "the newest: what is oldest in the list is its old output"
    assert len(q.hash("output")[b.id]) == 0
    q.check()


def test_entries_of_outputs_that_are_gone_do_not_pile_up(q):  # noqa: F811
    q.register()
    tasks = q.tasks(500)
    keep = q.task()
    q.load([keep])
    q.finish(*q.claim(), out=b"kept")
    for _ in range(6):
        q.load(tasks)
        q.finish(*q.claim(slots=500), out=b"x")
        q.run("forget", "finished", *ids(tasks))
    for _ in range(20):
        q.maintain()
    assert q.redis("LLEN", "output_order") <= 1002
    q.check()
    q.run("forget", "finished", keep.id)
    assert q.redis("LLEN", "output_order") == 0


# --- what is kept of finished tasks ----------------------------------------------------------------------


def test_finished_tasks_beyond_the_limit_keep_identity_and_state(q):  # noqa: F811
    q.register()
    tasks = q.tasks(30, name="a/b", requires="label:x", params=b"c" * 500, after=["en:zzz"])
    q.add(1, name="zzz", requires="label:never")
    q.load(tasks)
    q.run("cancel", *[id for id, r in q.records().items() if r.name == "zzz"])
    claimed = q.claim(slots=50, caps=",label:x,")
    assert len(claimed) == 30
    q.finish(*claimed, out=b"out")
    assert q.settle(keep_finished=10) >= 1
    assert q.states(tasks) == ["finished"] * 30
    assert [len(q.record(t).rest) > 2 for t in tasks] == [False] * 20 + [True] * 10
    assert q.record(tasks[0]).name == "a/b"
    assert len(q.hash("try")) == 10 + 1 - 1 and len(q.hash("output")) == 10
    assert q.group("a/b")["finished"] == 30
    assert q.load(tasks) == {"known": 30}, "it does not run again"
    assert q.settle(keep_finished=0) == 1, "0 is no limit"


def test_finished_tasks_beyond_their_age(q):  # noqa: F811
    q.register()
    tasks = q.add(60)
    for claimed in q.claim(slots=60):
        entries = try_entry(1, claimed.nonce, start=1, end=2)
        q.report((claimed, "finished", {"entry": entries}))
    q.settle(keep_ms=10**15)
    assert len(q.hash("try")) == 60
    q.settle(keep_ms=1000)
    assert q.hash("try") == {}
    assert q.states(tasks) == ["finished"] * 60


def test_forgotten_and_finished_again_is_listed_once(q):  # noqa: F811
    q.register()
    [a, b] = q.add(2)
    q.finish(*q.claim(slots=2))
    q.run("forget", "finished", b.id)  # its entry stays in the list, behind a's
    loaded = q.now()
    wait_until(lambda: q.now() > loaded + 1)
    q.load([b])
    q.finish(*q.claim())
    q.check()
    assert q.redis("LLEN", "finished") == 3
    q.settle(keep_finished=1)
    assert set(q.hash("try")) == {b.id}, "the old entry is no reason to drop the new result"


def test_init_of_a_queue_with_everything_in_it(q):  # noqa: F811
    q.register()
    q.add(3, name="a")
    q.add(2, after=["an:a"])
    claimed = q.claim(slots=3)
    q.finish(claimed[0], out=b"x")
    q.finish(claimed[1], outcome="failed", delay=10000)
    q.run("cancel", claimed[2].id)
    assert q.run("init", 1) == [b"ok", 5]
    left = [s for s in q.suffixes() if not s.startswith("dependants:")]
    assert left == ["lease", "worker:w1", "workers"]
