"""What the scripts learn of memory: families, and min_dram=auto."""
import random

import pytest

from families import LRU, WORD, auto, family, learn, look_again, need, probe
from scriptqueue import (AUTO, GIB, MIB, digest_of, mem_step, parse_log, q, script_server, step_bytes,  # noqa: F401
                         try_entry)


# --- counting --------------------------------------------------------------------------------------


def test_peaks_are_counted_as_peaks_c_counts_them(q):  # noqa: F811
    """One a report, through two halvings; each need is that of the counts at that time, or of a sixteenth before."""
    q.register()
    draw = random.Random(4)
    peaks = [(int(draw.lognormvariate(0, 1.5) * 300 * MIB) + 1, draw.choice([0, GIB, 3 * GIB + 7])) for _ in range(900)]
    wanted = [tuple(map(int, line.split())) for line in probe("peaks", peaks)]
    before, fresh = 0, 0
    for i, (peak, asked) in enumerate(peaks):
        learn(q, [peak], asked=asked)
        there = family(q)
        count, most, used, asked_kib, *needs = wanted[i]
        assert (there["count"], there["max"], there["used"], there["asked"]) == (count, most, used, asked_kib), i
        assert sum(n for name, n in there.items() if name.isdigit()) == count
        before, fresh = before + 1, fresh + 1
        if before >= 5 and fresh >= 1 + before // 16:
            assert need(q) == tuple(needs), i
            fresh = 0
        assert there["fresh"] == fresh, i
        before = count


def test_a_batch_counts_as_one_after_the_other(q):  # noqa: F811
    q.register()
    draw = random.Random(5)
    peaks = [draw.randrange(1, 8 * GIB) for _ in range(400)]
    learn(q, peaks, asked=16 * GIB)
    count, most, used, asked, *needs = map(int, probe("peaks", [(peak, 16 * GIB) for peak in peaks])[-1].split())
    there = family(q)
    assert (there["count"], there["max"], there["used"], there["asked"]) == (count, most, used, asked)
    assert need(q) == tuple(needs)
    assert q.hash(f"family:{digest_of(LRU)}")["key"] == LRU.encode()


def test_the_rung_of_every_border(q):  # noqa: F811
    q.register()
    peaks = sorted({max(1, min(step_bytes(step) + off, 1 << 47)) for step in range(1, 218) for off in (-1, 0, 1)})
    for at in range(0, len(peaks), 400):
        q.run("init", "1")
        part = peaks[at:at + 400]
        learn(q, part)
        wanted = {}
        for peak in part:
            wanted[mem_step(peak)] = wanted.get(mem_step(peak), 0) + 1
        assert {int(name): n for name, n in family(q).items() if name.isdigit()} == wanted


def test_only_finished_tries_are_counted_and_only_once(q):  # noqa: F811
    q.register()
    q.add(6)
    a, b, c, d, e, f = q.claim(slots=6)
    more = {"family": LRU, "peak": GIB, "promised": 2 * GIB}
    assert q.report((a, "finished", more), (a, "finished", more), (b, "failed", more), (c, "timeout", more),
                    (d, "tempfail", {**more, "delay": 5}), (e, "returned", more), (f, "finished", {**more, "peak": 0})) == [
                        "recorded", "yours"] + ["recorded"] * 5
    assert q.report((a, "finished", more)) == ["yours"]
    assert family(q)["count"] == 1


def test_what_an_auto_task_was_promised_is_no_request(q):  # noqa: F811
    q.register()
    auto(q, 2)
    q.add(1, mem=4 * GIB)
    for claimed in q.claim(slots=3):
        q.finish(claimed, family=LRU, peak=GIB, promised=4 * GIB)
    assert family(q)["count"] == 3 and family(q)["asked"] == 4 << 20 and family(q)["used"] == 1 << 20


def test_what_was_cancelled_too_late_is_counted(q):  # noqa: F811
    q.register()
    q.add(2)
    a, b = q.claim(slots=2)
    q.run("cancel", a.id, b.id)
    q.report((a, "finished", {"family": LRU, "peak": GIB}), (b, "returned", {"peak": 2 * GIB, "need": 3 * GIB}))
    assert q.states([a, b]) == ["finished", "cancelled"]
    assert family(q)["count"] == 1


def test_init_forgets_families(q):  # noqa: F811
    q.register()
    learn(q, [GIB] * 6)
    learn(q, [GIB] * 6, name="python x")
    assert set(q.hash("need")) == {digest_of(LRU), digest_of("python x")}
    q.run("init", "0")
    assert not [s for s in q.suffixes() if s.startswith("famil") or s == "need"]


def test_the_oldest_families_are_forgotten(q):  # noqa: F811
    q.register()
    old = [f"{i:016x}" for i in range(10010)]
    q.redis("ZADD", "families", *[word for i, digest in enumerate(old) for word in (i, digest)])
    q.redis("HSET", "need", *[word for digest in old for word in (digest, f"{MIB} {MIB}")])
    for digest in old:
        q.redis("HSET", f"family:{digest}", "key", "x", "count", 1, "max", 1 << 20, "1", 1)
    for i in range(12):
        learn(q, [GIB], name=f"shell {i}")
    assert q.redis("ZCARD", "families") == 10000
    left = {digest.decode() for digest in q.redis("ZRANGE", "families", 0, -1)}
    assert digest_of("shell 11") in left and old[21] not in left and old[22] in left
    assert not q.redis("HEXISTS", "need", old[21]) and q.redis("HEXISTS", "need", old[22])
    q.run("init", "0")


# --- min_dram=auto ---------------------------------------------------------------------------------


def test_auto_counts_for_the_need_of_its_family(q):  # noqa: F811
    q.register()
    auto(q, 20)
    [unknown] = q.claim(mem=64 * GIB, auto=3 * GIB)
    assert unknown.need == (3 * GIB, 3 * GIB)
    q.finish(unknown, family=LRU, peak=GIB, promised=3 * GIB)
    learn(q, [GIB] * 5 + [2 * GIB] * 4)
    assert need(q) == (2 * GIB, GIB)
    known = q.claim(slots=9, mem=9 * GIB, auto=32 * GIB)
    assert [c.need for c in known] == [(2 * GIB, GIB)] * 4
    assert q.claim(slots=9, mem=2 * GIB - 1, most=(64 * GIB, 64000), auto=1) == []


def test_written_requests_have_no_need_in_the_answer(q):  # noqa: F811
    q.register()
    learn(q, [GIB] * 5)
    q.add(1, mem=GIB, requires=WORD)  # auto once; raised after a return
    [given] = q.claim(mem=GIB, auto=7 * GIB)
    assert given.need == ()


def test_families_do_not_share_what_they_need(q):  # noqa: F811
    q.register()
    learn(q, [GIB] * 5)
    learn(q, [4 * GIB] * 5, name="python x")
    auto(q, 1)
    auto(q, 1, name="python x")
    auto(q, 1, name="shell new")
    q.add(1, mem=AUTO)  # of a program that knew no families
    assert [c.need[0] for c in q.claim(slots=9, auto=7 * GIB)] == [GIB, 4 * GIB, 7 * GIB, 7 * GIB]


def test_a_claim_asked_again_says_needs_again(q):  # noqa: F811
    q.register()
    learn(q, [GIB] * 5)
    auto(q, 1)
    q.add(1)
    first = q.claim(slots=2, request="r1", nonce="00000000000000aa")
    assert [c.need for c in first] == [(GIB, GIB), ()]
    assert q.claim(slots=2, request="r1", nonce="00000000000000aa") == first


def test_a_need_above_the_largest_worker_is_cut_to_what_it_has(q):  # noqa: F811
    q.register("w1")
    q.register("w2")
    learn(q, [GIB] * 8 + [12 * GIB] * 2)
    auto(q, 2)
    assert need(q) == (12 * GIB, GIB)
    q.claim("w2", mem=16 * GIB, slots=0)
    assert q.claim("w1", mem=8 * GIB) == [], "w2 has as much"
    q.claim("w2", mem=10 * GIB, slots=0)
    look_again(q)
    assert q.claim("w1", mem=8 * GIB) == []
    [given] = q.claim("w2", mem=10 * GIB)
    assert given.need == (10 * GIB, GIB)
    q.run("leave", "w2", "i1")
    assert q.claim("w1", mem=8 * GIB) == [], "what was seen of w2 holds for a second"
    look_again(q)
    assert q.claim("w1", mem=7 * GIB, most=(8 * GIB, 64000)) == []
    [given] = q.claim("w1", mem=8 * GIB)
    assert given.need == (8 * GIB, GIB)


def test_only_workers_that_could_run_it_bound_a_need(q):  # noqa: F811
    q.register("w1")
    q.register("w2")
    learn(q, [12 * GIB] * 5)
    auto(q, 1, requires="label:ssd")
    q.claim("w2", mem=64 * GIB, slots=0)
    q.redis("HSET", "need", "=label:ssd", f"{64 * GIB} {int(q.now()) - 1500}")  # of a while ago
    assert [c.need for c in q.claim("w1", mem=8 * GIB, caps=",label:ssd,")] == [(8 * GIB, 8 * GIB)]
    look_again(q, "label:ssd")


def test_a_worker_that_has_not_said_what_it_has_may_be_larger(q):  # noqa: F811
    q.register("w1")
    learn(q, [12 * GIB] * 5)
    q.register("w2")
    auto(q, 1)
    assert q.claim("w1", mem=8 * GIB) == []


def test_idle_workers_are_woken_for_what_their_family_needs(q):  # noqa: F811
    q.register()
    q.register("w2")
    learn(q, [4 * GIB] * 5)
    assert q.claim("w1", mem=64 * GIB, slots=0) == []
    assert q.claim("w2", mem=4 * GIB - 1, most=(64 * GIB, 64000), auto=MIB) == []
    client = q.server.connect()
    client.send("SUBSCRIBE", q.key("wake:w2"))
    client.receive()
    auto(q, 1)
    assert q.redis("ZSCORE", "idle", "w2") == str(4 * GIB - 1).encode(), "it has too little"
    assert q.claim("w2", mem=0, most=(64 * GIB, 64000)) == []
    q.claim("w2", mem=5 * GIB, slots=1, most=(64 * GIB, 64000))
    assert q.claim("w2", mem=4 * GIB, most=(64 * GIB, 64000)) == []
    auto(q, 1)
    assert client.receive()[2] == b"work"
    client.close()


# --- what Redis lost or somebody wrote -------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "nonsense", "5", "5 ", f"{GIB} x", "-1 -1"])
def test_an_absurd_need_stops_no_claim(q, value):  # noqa: F811
    q.register()
    auto(q, 1)
    q.redis("HSET", "need", digest_of(LRU), value)
    [given] = q.claim(auto=GIB)
    assert 0 < given.need[1] <= given.need[0] <= GIB
    q.redis("DEL", "need")


def test_what_stands_behind_the_reason_stays_there(q):  # noqa: F811
    """The raise adds a note to the reason of an entry; bytes read and written follow it."""
    q.register()
    q.claim(mem=8 * GIB)
    q.add(1, mem=GIB)
    [task] = q.claim(mem=8 * GIB)
    tail = bytes(range(12))
    entry = try_entry(task.number, task.nonce, "returned", reason="memory was short", tail=tail)
    assert q.report((task, "returned", {"need": 2 * GIB, "peak": 2 * GIB, "promised": GIB, "entry": entry})) == ["recorded"]
    log = q.hash("try")[task.id]
    assert log.endswith(tail)
    assert parse_log(log)[-1][4] == "memory was short; min_dram raised from 1.0 GiB to 2.0 GiB"
