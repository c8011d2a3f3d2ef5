"""What the scripts learn of memory: families, min_dram=auto, and what a task asks for after it was returned."""
import random
import subprocess

import pytest

from harness import HELPERS
from scriptqueue import AUTO, GIB, MIB, digest_of, mem_step, q, script_server, step_bytes  # noqa: F401

LRU = "shell lru"
WORD = f"family:{digest_of(LRU)}"


def probe(kind, rows):
    lines = "".join(" ".join(map(str, row)) + "\n" for row in rows)
    return subprocess.run([HELPERS / "peaks_probe", kind], input=lines, capture_output=True, text=True,
                          check=True).stdout.splitlines()


def family(q, name=LRU):  # noqa: F811
    """The counters of a family: {field: number}, peaks by rung among them."""
    return {field: int(value) for field, value in q.hash(f"family:{digest_of(name)}").items() if field != "key"}


def need(q, name=LRU):  # noqa: F811
    value = q.redis("HGET", "need", digest_of(name))
    return value and tuple(map(int, value.split()))


def look_again(q, words=""):  # noqa: F811
    """The largest worker is looked up once a second."""
    assert q.redis("HDEL", "need", f"={words}") == 1


def auto(q, count=1, name=LRU, **fields):  # noqa: F811
    word = f"family:{digest_of(name)}"
    more = fields.pop("requires", "")
    return q.add(count, mem=AUTO, requires=f"{word},{more}" if more else word, **fields)


def less(most):
    """What a worker is taken to have that says `most`."""
    return most - most // 64


def learn(q, peaks, name=LRU, asked=0):  # noqa: F811
    """Finishes one task for each peak, one report for all."""
    q.add(len(peaks), mem=asked, priority=1000000)
    claimed = q.claim(slots=len(peaks), mem=1 << 46)
    assert len(claimed) == len(peaks)
    answers = q.report(*[(c, "finished", {"family": name, "peak": peak, "promised": asked})
                         for c, peak in zip(claimed, peaks)])
    assert answers == ["recorded"] * len(peaks)
    return claimed


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


# --- what Redis lost or somebody wrote -------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "nonsense", "5", "5 ", f"{GIB} x", "-1 -1"])
def test_an_absurd_need_stops_no_claim(q, value):  # noqa: F811
    q.register()
    auto(q, 1)
    q.redis("HSET", "need", digest_of(LRU), value)
    [given] = q.claim(auto=GIB)
    assert 0 < given.need[1] <= given.need[0] <= GIB
    q.redis("DEL", "need")
