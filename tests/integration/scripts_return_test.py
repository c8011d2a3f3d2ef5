"""Tasks that were returned since memory was short: what the next try asks for, and what loading them again does."""
import random

import pytest

from families import LRU, WORD, auto, family, learn, less, need, probe
from scriptqueue import AUTO, GIB, MIB, FLAG_RAISED, mem_step, q, script_server  # noqa: F401


# --- returned --------------------------------------------------------------------------------------


def test_a_bystander_comes_back_as_it_was(q):  # noqa: F811
    q.register()
    [task] = q.add(1, mem=2 * GIB)
    [claimed] = q.claim()
    q.finish(claimed, outcome="returned", family=LRU, peak=GIB, promised=2 * GIB, reason="memory was short")
    record = q.record(task)
    assert (record.state, record.mem, record.returns) == ("todo", 2 * GIB, 1)
    assert q.log(task)[-1][4] == "memory was short"
    assert q.redis("EXISTS", "families") == 0


def test_an_auto_bystander_stays_auto(q):  # noqa: F811
    q.register()
    [task] = auto(q, 1)
    [claimed] = q.claim(auto=2 * GIB)
    q.finish(claimed, outcome="returned", peak=GIB, promised=2 * GIB)
    assert (q.record(task).mem, q.record(task).step) == (AUTO, 255)
    task.mem, task.requires = 5 * GIB, ""
    assert q.load([task], q.begin()) == {"updated": 1}
    assert q.record(task).mem == 5 * GIB


def test_a_culprit_asks_for_more(q):  # noqa: F811
    q.register()
    [task] = q.add(1, mem=2 * GIB)
    other = q.add(1, mem=2 * GIB)
    [claimed] = q.claim()
    q.finish(claimed, outcome="returned", peak=3 * GIB, promised=2 * GIB, need=4 * GIB, reason="memory was short")
    record = q.record(task)
    assert (record.state, record.mem, record.step, record.returns) == ("todo", 4 * GIB, mem_step(4 * GIB), 1)
    assert q.log(task)[-1] == (1, "returned", claimed.nonce, "w1",
                               "memory was short; min_dram raised from 2.0 GiB to 4.0 GiB")
    assert [c.id for c in q.claim(slots=2, mem=4 * GIB, most=(64 * GIB, 64000))] == [task.id], "before the others"
    assert q.state(other[0]) == "todo"


def test_an_auto_culprit_asks_for_a_number_from_then_on(q):  # noqa: F811
    q.register()
    [task] = auto(q, 1)
    [claimed] = q.claim(auto=GIB)
    q.finish(claimed, outcome="returned", peak=3 * GIB, promised=GIB, need=15 * GIB // 4)
    assert q.record(task).mem == 15 * GIB // 4
    assert q.log(task)[-1][4] == "; min_dram raised from auto (1.0 GiB) to 3.8 GiB"
    [again] = q.claim(auto=GIB)
    assert again.need == () and again.id == task.id


def test_a_raise_is_cut_to_the_largest_worker(q):  # noqa: F811
    q.register()
    q.register("w2")
    q.claim("w2", mem=13 * GIB, slots=0)
    [task] = q.add(1, mem=2 * GIB)
    [claimed] = q.claim(mem=8 * GIB)
    q.finish(claimed, outcome="returned", peak=12 * GIB, promised=2 * GIB, need=15 * GIB)
    record = q.record(task)
    assert (record.mem, record.step) == (less(13 * GIB), mem_step(less(13 * GIB)))
    assert [c.id for c in q.claim("w2", mem=13 * GIB * 127 // 128)] == [task.id], "which varies"


@pytest.mark.parametrize("reason", ["", "memory was short"])
def test_what_no_worker_has_fails(q, reason):  # noqa: F811
    q.register()
    q.register("w2")
    q.claim("w2", mem=13 * GIB, slots=0)
    [task] = q.add(1, mem=2 * GIB)
    [claimed] = q.claim(mem=8 * GIB)
    q.finish(claimed, outcome="returned", peak=less(13 * GIB) + 1, promised=2 * GIB, need=18 * GIB, reason=reason)
    record = q.record(task)
    assert (record.state, record.mem, record.returns) == ("failed", 2 * GIB, 1)
    why = "needs at least 12.8 GiB; the largest worker has 12.8 GiB"
    assert q.log(task)[-1][4] == (f"{why}: {reason}" if reason else why)
    q.run("retry", task.id)
    assert q.state(task) == "todo"


def test_a_worker_that_may_yet_have_enough_keeps_it_from_failing(q):  # noqa: F811
    """Drained, or not heard of yet; not one that lacks a label, has left, or has no such card."""
    for other, state in (("drained", "todo"), ("new", "todo"), ("without label", "failed"), ("gone", "failed"),
                         ("without card", "failed"), ("with card", "todo")):
        q.run("init", "1")
        q.register()
        q.register("w2")
        fields = {"label": "label:a", "card": "gpu:500"}
        requires = fields.get(other.split()[-1], "")
        caps = ",label:a," if "label" in requires else ","
        card = f"0:0:0:{8 * GIB}:0"
        if other != "new":
            q.claim("w2", mem=64 * GIB, slots=0, gpus=card if other == "with card" else "")
        if other == "drained":
            q.run("want", "drain", "w2")
        if other == "gone":
            q.run("leave", "w2", "i1")
        [task] = q.add(1, requires=requires)
        [claimed] = q.claim(mem=8 * GIB, caps=caps, gpus=f"1000:{8 * GIB}:{8 * GIB}:{8 * GIB}:1")
        q.finish(claimed, outcome="returned", peak=10 * GIB, promised=GIB, need=12 * GIB)
        assert q.state(task) == state, other
        q.run("leave", "w2", "i1")


def test_what_nobody_there_could_run_waits_for_a_worker(q):  # noqa: F811
    """w1 has lost the label that the task needs: no worker is too small for it."""
    q.register()
    [task] = q.add(1, mem=GIB, requires="label:x")
    [claimed] = q.claim(caps=",label:x,", mem=8 * GIB)
    q.claim(caps=",", mem=8 * GIB, slots=0)
    q.finish(claimed, outcome="returned", peak=2 * GIB, promised=GIB, need=3 * GIB)
    assert (q.state(task), q.record(task).mem) == ("todo", 3 * GIB)


def test_a_raise_is_cut_although_a_worker_has_not_said_what_it_has(q):  # noqa: F811
    """Or nobody might ever start it: the silent one may turn out to be small."""
    q.register()
    q.register("w2", "i2")
    small, large = q.add(2, mem=GIB)
    fits, above = q.claim(slots=2, mem=4 * GIB)
    q.finish(fits, outcome="returned", peak=3 * GIB, promised=GIB, need=5 * GIB)
    q.finish(above, outcome="returned", peak=6 * GIB, promised=GIB, need=8 * GIB)
    assert (q.record(small).mem, q.record(large).mem) == (less(4 * GIB), 8 * GIB)
    q.claim("w2", "i2", mem=2 * GIB, slots=0)
    assert [c.id for c in q.claim(slots=2, mem=4 * GIB)] == [small.id]


def test_what_asks_for_all_there_is_does_not_come_back_for_ever(q):  # noqa: F811
    """The kernel killed it within its promise, again and again."""
    q.register()
    [task] = q.add(1, mem=less(4 * GIB))
    for times in range(10):
        assert q.state(task) == "todo", f"returned {times} times"
        [claimed] = q.claim(mem=4 * GIB)
        q.finish(claimed, outcome="returned", peak=3 * GIB, promised=less(4 * GIB), need=5 * GIB, reason="killed")
    record = q.record(task)
    assert (record.state, record.mem, record.returns) == ("failed", less(4 * GIB), 10)
    assert [entry[4] for entry in q.log(task)] == 9 * ["killed"] + [
        "returned 10 times, last with 3.9 GiB, all that the largest worker has: killed"]
    q.run("retry", task.id)
    assert (q.state(task), q.record(task).returns) == ("todo", 0)


def test_what_was_raised_from_auto_is_no_request(q):  # noqa: F811
    q.register()
    auto(q, 1)
    [claimed] = q.claim()
    q.finish(claimed, outcome="returned", peak=3 * GIB, promised=GIB, need=4 * GIB)
    [claimed] = q.claim()
    q.finish(claimed, family=LRU, peak=3 * GIB, promised=4 * GIB)
    assert (family(q)["count"], family(q)["asked"], family(q)["used"]) == (1, 0, 0)


def test_raises_are_those_of_need_c(q):  # noqa: F811
    """The agent says what is asked for whatever workers have; the script cuts that."""
    q.register()
    draw = random.Random(6)
    rows = []
    for _ in range(150):
        promised = draw.randrange(1, 8 * GIB)
        rows.append((promised, promised + draw.randrange(1, 8 * GIB), draw.randrange(1, 24 * GIB)))
    rows += [(GIB, 2 * GIB, 2 * GIB), (GIB, 2 * GIB, 2 * GIB - 1), (MIB, MIB + 1, 1 << 46), (1, 1023, 1500)]
    for (promised, peak, largest), line in zip(rows, probe("need", [(*row[:2], less(row[2])) for row in rows])):
        verdict, bytes_, whatever, text = line.split(" ", 3)
        [task] = q.add(1, mem=min(promised, largest))
        [claimed] = q.claim(mem=largest, auto=promised)
        q.finish(claimed, outcome="returned", peak=peak, promised=promised, need=int(whatever))
        record, reason = q.record(task), q.log(task)[-1][4]
        if verdict == "impossible":
            assert record.state == "failed" and reason == text
        elif int(bytes_) > record.mem or int(bytes_) == record.mem:
            assert (record.state, record.mem) == ("todo", int(bytes_)) and reason.endswith(f" to {text}")
        q.run("cancel", task.id)


# --- loading it again ------------------------------------------------------------------------------


@pytest.mark.parametrize("was,now,expected", [
    (2 * GIB, 2 * GIB, 4 * GIB), (2 * GIB, GIB, 4 * GIB), (2 * GIB, AUTO, 4 * GIB), (AUTO, AUTO, 4 * GIB),
    (2 * GIB, 5 * GIB, 5 * GIB), (AUTO, 5 * GIB, 5 * GIB)])
def test_loading_again_keeps_the_larger(q, was, now, expected):  # noqa: F811
    q.register()
    task = q.task(mem=was, requires=WORD if was == AUTO else "")
    q.load([task], q.begin())
    [claimed] = q.claim(auto=2 * GIB)
    q.finish(claimed, outcome="returned", peak=3 * GIB, promised=2 * GIB, need=4 * GIB)
    task.mem, task.requires = now, WORD if now == AUTO else ""
    for _ in range(2):
        q.load([task], q.begin())
        record = q.record(task)
        assert (record.mem, record.step, record.state) == (expected, mem_step(expected), "todo")
    assert q.load([task], q.begin()) == {"known": 1}


def test_loading_again_lowers_what_was_never_returned(q):  # noqa: F811
    task = q.task(mem=4 * GIB)
    q.load([task], q.begin())
    task.mem = GIB
    assert q.load([task], q.begin()) == {"updated": 1}
    assert q.record(task).mem == GIB


def test_loading_again_lowers_what_was_returned_but_not_raised(q):  # noqa: F811
    q.register()
    [task] = q.add(1, mem=8 * GIB)
    [claimed] = q.claim()
    q.finish(claimed, outcome="returned", peak=GIB, promised=8 * GIB)
    task.mem = 2 * GIB
    assert q.load([task], q.begin()) == {"updated": 1}
    assert (q.record(task).mem, q.record(task).returns) == (2 * GIB, 1)


def test_a_larger_number_of_the_file_takes_the_place_of_a_raise(q):  # noqa: F811
    q.register()
    [task] = q.add(1, mem=2 * GIB)
    [claimed] = q.claim()
    q.finish(claimed, outcome="returned", peak=3 * GIB, promised=2 * GIB, need=4 * GIB)
    assert q.record(task).flags == FLAG_RAISED
    for mem in (5 * GIB, 3 * GIB):
        task.mem = mem
        assert q.load([task], q.begin()) == {"updated": 1}
        assert (q.record(task).mem, q.record(task).flags) == (mem, 0)


def test_other_changes_of_the_file_hold_for_what_was_raised(q):  # noqa: F811
    q.register()
    task = q.task(mem=2 * GIB)
    q.load([task], q.begin())
    [claimed] = q.claim()
    q.finish(claimed, outcome="returned", peak=3 * GIB, promised=2 * GIB, need=4 * GIB)
    task.priority, task.mcpu = 7, 2000
    assert q.load([task], q.begin()) == {"updated": 1}
    record = q.record(task)
    assert (record.priority, record.mcpu, record.mem) == (7, 2000, 4 * GIB)
