"""Claiming and waking, by the Lua scripts alone."""
import pytest

from harness import wait_until
from scriptqueue import AUTO, GIB, MIB, ScriptQueue, ids, q, script_server, step_bytes, task_id  # noqa: F401


# --- order and fit ---------------------------------------------------------------------------------


def test_priority_high_to_low_then_first_in_first_out(q):  # noqa: F811
    q.register()
    tasks = [q.task(priority=p, mcpu=m) for p, m in
             [(0, 1), (5, 1), (1000000, 2), (5, 3), (0, 1), (5, 1), (7, 0)]]
    for task in tasks:
        q.load([task])
    order = [2, 6, 1, 5, 3, 0, 4]  # within a list first in, first out; among lists the older head
    assert ids(q.claim(slots=9)) == [tasks[i].id for i in order]


def test_claim_takes_what_fits_in_memory_cores_and_slots(q):  # noqa: F811
    q.register()
    q.add(10, mem=GIB, mcpu=1000)
    assert len(q.claim(mem=3 * GIB + 5, mcpu=64000, slots=9)) == 3
    assert len(q.claim(mem=64 * GIB, mcpu=2999, slots=9)) == 2
    assert len(q.claim(mem=64 * GIB, mcpu=64000, slots=1)) == 1
    assert len(q.claim(mem=64 * GIB, mcpu=64000, slots=0)) == 0
    assert len(q.claim(mem=GIB - 1, mcpu=64000, slots=9)) == 0
    assert len(q.claim(mem=64 * GIB, mcpu=999, slots=9)) == 0
    assert len(q.claim(slots=500)) == 4


def test_what_does_not_fit_is_passed_over_for_what_does(q):  # noqa: F811
    q.register()
    [big] = q.add(priority=9, mem=100 * GIB)
    [wide] = q.add(priority=8, mcpu=128000)
    [special] = q.add(priority=7, requires="label:ssd")
    [small] = q.add(priority=1)
    assert ids(q.claim(slots=9)) == [small.id]
    assert ids(q.claim(slots=9, caps=",label:ssd,native,")) == [special.id]
    assert ids(q.claim(slots=9, mem=100 * GIB)) == [big.id]
    assert ids(q.claim(slots=9, mcpu=128000)) == [wide.id]


def test_a_worker_with_as_many_native_tasks_as_may_run_takes_others(q):  # noqa: F811
    q.register()
    [native] = q.add(priority=9, requires="kernel:noop,label:a")
    [shell] = q.add(priority=1, requires="label:a")
    assert ids(q.claim(slots=9, caps=",kernel:noop,label:a,!kernel,")) == [shell.id]
    assert ids(q.claim(slots=9, caps=",kernel:noop,label:a,")) == [native.id]


def test_all_required_words_must_be_there(q):  # noqa: F811
    q.register()
    q.add(requires="label:a,label:b")
    for caps in (",", ",label:a,", ",label:b,", ",label:a,label:bb,", ",xlabel:a,label:b,"):
        assert q.claim(caps=caps) == []
    assert len(q.claim(caps=",label:b,label:c,label:a,")) == 1


@pytest.mark.parametrize("mem", [1, MIB, MIB + 1, 5 * MIB + 77, GIB - 1, GIB, GIB + 1, 100 * GIB + 3, 1 << 47])
def test_exact_request_decides_between_two_rungs(q, mem):  # noqa: F811
    q.register()
    [task] = q.add(mem=mem)
    shape_step = int(list(q.hints())[0].split(":")[1])
    assert step_bytes(shape_step) >= mem and (shape_step == 1 or step_bytes(shape_step - 1) < mem)
    assert q.claim(mem=mem - 1) == []
    assert ids(q.claim(mem=mem)) == [task.id]


def test_auto_counts_for_what_the_claimer_says(q):  # noqa: F811
    q.register()
    q.add(4, mem=AUTO)
    assert len(q.claim(slots=9, mem=GIB, auto=GIB // 2)) == 2
    assert q.claim(slots=9, mem=GIB, auto=GIB + 1) == []


def test_large_page_of_one_list(q):  # noqa: F811
    q.register()
    tasks = q.tasks(700)
    q.load(tasks[:400])
    q.load(tasks[400:])
    assert ids(q.claim(slots=500)) == ids(tasks[:500])
    assert ids(q.claim(slots=500)) == ids(tasks[500:])


def test_large_records_bound_an_answer(q):  # noqa: F811
    q.register()
    tasks = q.tasks(12, params=b"x" * (1 << 20))
    for task in tasks:
        q.load([task])
    given, answers = [], 0
    while True:
        claimed = q.claim(slots=500)
        answers += 1
        given += ids(claimed)
        assert sum(len(c.record) for c in claimed) < 6 << 20
        if claimed.more < 0:
            break
    assert given == ids(tasks) and answers >= 3


# --- tokens ----------------------------------------------------------------------------------------


def test_claim_asked_again_gives_the_same(q):  # noqa: F811
    q.register()
    q.add(5)
    first = q.claim(slots=3, request="r1", nonce="00000000000000aa")
    again = q.claim(slots=3, request="r1", nonce="00000000000000aa")
    assert again == first and len(again) == 3
    assert q.counts()["todo"] == 2
    q.finish(*again)
    assert len(q.claim(slots=3, request="r2")) == 2


def test_claim_asked_again_keeps_places(q):  # noqa: F811
    """The nonce of a task is that of its place: one that is gone must not shift the others."""
    q.register()
    q.add(3)
    first = q.claim(slots=3, request="r1", nonce="00000000000000aa")
    q.run("requeue", first[1].id)
    again = q.claim(slots=3, request="r1", nonce="00000000000000aa")
    assert [c.token for c in again if c.record] == [first[0].token, first[2].token]
    assert again[1].record == b""
    q.finish(*[c for c in again if c.record])


def test_every_claim_is_a_new_try(q):  # noqa: F811
    q.register()
    q.add()
    seen = []
    for number in range(1, 5):
        [claimed] = q.claim()
        assert claimed.number == number
        for old in seen:
            assert q.report((old, "finished")) == ["yours"], "it was reported returned, under that token"
        q.finish(claimed, outcome="returned")
        seen.append(claimed)


def test_old_token_changes_nothing(q):  # noqa: F811
    q.register()
    q.register("w2", "j1")
    [task] = q.add()
    [old] = q.claim()
    q.run("requeue", task.id)
    [new] = q.claim("w2", "j1")
    assert q.report((old, "finished")) == ["stale"]
    assert q.report((old, "failed"), worker="w2") == ["stale"]
    wrong = type(new)(new.id, new.number, "f" * 20, b"")
    assert q.report((wrong, "finished"), worker="w2") == ["stale"]
    assert q.state(task) == "in_progress"
    q.finish(new, worker="w2")


def test_unregistered_drained_and_stopped_workers_get_nothing(q):  # noqa: F811
    q.add()
    assert q.claim().status == "gone"
    q.register()
    assert q.claim(session="other").status == "gone"
    for want in ("drain", "stop"):
        assert q.run("want", want, "w1", "nobody") == [b"ok", b"unknown"]
        claimed = q.claim()
        assert (claimed.status, len(claimed)) == ("stopped", 0)
        assert q.renew()[1] == want
        assert q.register() == ["ok"], "an agent that comes back"
        assert q.renew()[1] == want
    q.run("want", "run", "w1")
    assert len(q.claim()) == 1


# --- stale hints -----------------------------------------------------------------------------------


def test_stale_hints_are_discarded(q):  # noqa: F811
    q.register()
    tasks = q.add(400)
    q.run("cancel", *ids(tasks[:300]))
    assert ids(q.claim(slots=2)) == ids(tasks[300:302])
    assert q.counts()["discarded"] == 300
    q.run("hold", *ids(tasks[302:399]))
    q.run("release", tasks[302].id)
    assert ids(q.claim(slots=9)) == [tasks[399].id, tasks[302].id]


def test_many_stale_hints_take_several_bounded_calls_and_hide_nothing(q):  # noqa: F811
    q.register()
    tasks = [q.tasks(500, priority=9 - i // 2) for i in range(10)]
    for batch in tasks:
        q.load(batch)
    [last] = q.add(priority=0)
    for batch in tasks:
        q.run("cancel", *ids(batch))
    calls, given = 0, []
    while True:
        claimed = q.claim()
        given += ids(claimed)
        calls += 1
        if claimed.more < 0:
            break
        assert claimed.more == 0, "from the start: what was not looked at comes first"
    assert given == [last.id]
    assert 8 <= calls <= 11, "about 500 a call"


def test_ten_thousand_shapes(q):  # noqa: F811
    q.register()
    tasks = [q.task(mcpu=i + 1) for i in range(10000)]
    for i in range(0, 10000, 500):
        q.load(tasks[i:i + 500])
    assert q.redis("ZCARD", "shape") == 10000
    assert ids(q.claim(slots=3)) == ids(tasks[:3])
    # One that fits only the last of them finds it, in bounded steps.
    q.run("cancel", *ids(tasks[3:500]))
    q.run("prioritize", 0, tasks[9999].id)
    rank, calls = 0, 0
    while True:
        claimed = q.claim(mcpu=500, rank=rank)
        calls += 1
        if claimed.more < 0:
            break
        rank = claimed.more
    assert claimed == [] or claimed[0].record
    assert calls <= 12


def test_a_list_that_moves_while_it_is_claimed_hides_none(q):  # noqa: F811
    """Taking from lists changes their ranks; none may be passed over by that."""
    q.register()
    for i in range(300):  # two tasks a list, of which one fits: the list stays, and moves
        q.load([q.task(mcpu=i + 1, mem=(9 if i % 2 else 5) * MIB),
                q.task(mcpu=i + 1, mem=9 * MIB if i % 2 else 9 * MIB)])
    claimed = q.claim(slots=500, mem=10**15, mcpu=10**9)
    assert len(claimed) == 500
    rest = q.claim(slots=500, mem=10**15, mcpu=10**9)
    assert len(rest) == 100 and rest.more == -1


# --- leaving a failed try to others ------------------------------------------------------------------


def test_failed_try_goes_to_another_worker_first(q):  # noqa: F811
    q.register()
    q.register("w2", "j1")
    [bad, good] = q.add(2)
    [claimed] = q.claim()
    q.finish(claimed, outcome="failed", delay=0)
    assert ids(q.claim(slots=5)) == [good.id], "what is behind it can be had"
    assert q.claim(slots=5) == []
    assert ids(q.claim("w2", "j1")) == [bad.id]


def test_failed_try_comes_back_when_there_is_no_other_or_after_a_while(q):  # noqa: F811
    q.register()
    [task] = q.add()
    [claimed] = q.claim()
    q.finish(claimed, outcome="failed", delay=0)
    assert ids(q.claim()) == [task.id], "the only worker"
    q.finish(*[c for c in q.claim(request="x")], outcome="failed", delay=0)
    q.redis("HSET", "avoid", task.id, "w1 1")
    q.register("w2", "j1")
    q.run("requeue", task.id)
    assert ids(q.claim()) == [task.id], "it has waited long enough"


# --- waking ----------------------------------------------------------------------------------------


class Pool:
    """Idle workers that claim when they are woken, as agents do, and count it."""

    def __init__(self, q, count, **room):  # noqa: F811
        self.q, self.room, self.claims, self.given = q, room, 0, []
        self.client = q.server.connect()
        self.rooms = {}
        names = [f"w{i}" for i in range(count)]
        self.client.send("SUBSCRIBE", "end")
        self.client.receive()
        for at in range(0, count, 100):
            self.client.send("SUBSCRIBE", *[q.key(f"wake:{n}") for n in names[at:at + 100]])
            for _ in names[at:at + 100]:
                self.client.receive()
        for name in names:
            q.register(name, "i1")
            assert self.q.claim(name, **room) == []
        self.claims = 0

    def close(self):
        self.client.close()

    def claim(self, name):
        self.claims += 1
        self.given += self.q.claim(name, **{**self.room, **self.rooms.get(name, {})})

    def run(self, most=2000):
        """Follows the wake-ups until there are none."""
        while True:
            woken = self.woken()
            if not woken or self.claims >= most:
                return
            for name in woken:
                self.claim(name)

    def woken(self):
        """Who was told of work since the last call; a message of our own marks the end."""
        self.q.server.command("PUBLISH", "end", "")
        names = []
        while True:
            _, channel, what = self.client.receive()
            if channel == b"end":
                return names
            assert what == b"work"
            names.append(channel.decode().rsplit(":", 1)[1])


@pytest.fixture
def pool(q):  # noqa: F811
    pools = []

    def make(count, **room):
        pools.append(Pool(q, count, **{"slots": 1, "mem": 8 * GIB, "mcpu": 4000, **room}))
        return pools[-1]

    yield make
    for made in pools:
        made.close()


def test_one_task_for_five_hundred_idle_workers(q, pool):  # noqa: F811
    workers = pool(500)
    q.add()
    workers.run()
    assert len(workers.given) == 1 and workers.claims <= 3


def test_one_task_that_does_not_fit_the_first_that_is_woken(q, pool):  # noqa: F811
    """Its memory shrank since it said how much it has: it says so, and wakes the next."""
    workers = pool(500)
    first = q.redis("ZRANGE", "idle", 0, 0)[0].decode()
    workers.rooms = {first: {"mem": MIB}}
    q.add(mem=GIB)
    workers.run()
    assert len(workers.given) == 1 and workers.claims <= 3


@pytest.mark.parametrize("mem", [GIB + 1, AUTO, 100 * GIB])
def test_a_task_that_fits_none_wakes_none_for_ever(q, pool, mem):  # noqa: F811
    """Between two rungs, and for `auto`, a worker that cannot take it must not wake the next."""
    workers = pool(10, mem=GIB, auto=2 * GIB)
    q.add(mem=mem)
    workers.run()
    assert workers.given == [] and workers.claims == 0
    workers.claim("w3")
    workers.run()
    assert workers.claims == 1


def test_a_failed_try_that_nobody_else_can_take_ends_quietly(q, pool):  # noqa: F811
    """The worker that should leave it to others must not be woken for it by its own claim."""
    workers = pool(1)
    q.register("small", "i1")
    q.claim("small", mcpu=0)
    [task] = q.add(mcpu=1000)
    workers.run()
    [claimed] = workers.given
    q.finish(claimed, worker="w0", outcome="failed", delay=0)
    workers.claims = 0
    workers.claim("w0")
    workers.run(most=20)
    assert workers.claims == 1
    assert q.state(task) == "todo"


def test_as_many_are_woken_as_there_is_work_for(q, pool):  # noqa: F811
    workers = pool(20, slots=4)
    q.add(40)
    workers.run()
    assert len(workers.given) == 40
    assert 10 <= workers.claims <= 13


def test_the_least_request_of_a_batch_decides_who_is_woken(q, pool):  # noqa: F811
    workers = pool(3, mem=GIB)
    q.load([q.task(mem=GIB + 1000 - i * 500) for i in range(3)])  # one rung, the last one fits
    assert len(workers.woken()) >= 1


def test_work_left_behind_wakes_the_next(q, pool):  # noqa: F811
    """What memory allows is known only at the claim: each that is woken takes one and wakes another."""
    workers = pool(6, slots=16, mem=GIB)
    q.add(6, mem=GIB)
    workers.run()
    assert len(workers.given) == 6 and workers.claims <= 8


def test_workers_that_cannot_take_it_are_not_woken(q, pool):  # noqa: F811
    workers = pool(5)
    q.add(mcpu=5000)
    q.add(requires="label:x")
    q.add(mem=9 * GIB)
    workers.run()
    assert workers.claims == 0
    q.add()
    workers.run()
    assert len(workers.given) == 1


def test_a_worker_that_is_gone_does_not_swallow_the_wake_up(q, pool):  # noqa: F811
    workers = pool(2)
    q.register("gone", "i1")
    q.claim("gone", mem=7 * GIB)  # idle, and the best fit, but it listens no more
    q.add(mem=GIB)
    workers.run()
    assert len(workers.given) == 1
    assert b"gone" not in q.redis("ZRANGE", "idle", 0, -1)


def test_delayed_and_released_tasks_wake_too(q, pool):  # noqa: F811
    workers = pool(3)
    [a, b] = q.add(2, priority=1)
    workers.run()
    assert len(workers.given) == 2
    held = {c.id: c for c in workers.given}
    who = {id: q.redis("HGET", "running", id).decode() for id in held}
    workers.given = []
    q.finish(held[a.id], worker=who[a.id], outcome="tempfail", delay=20)
    q.finish(held[b.id], worker=who[b.id], outcome="returned")
    workers.run()
    assert ids(workers.given) == [b.id]
    for name in who.values():
        q.claim(name)
    wait_until(lambda: q.maintain()[0] != 0 and q.state(a) != "delayed")
    workers.run()
    assert q.state(a) == "in_progress"
