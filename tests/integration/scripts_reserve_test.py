"""A worker is kept free for a large task that small ones were taken before too long, by the Lua scripts alone.

The workers here have 4 cores. Time is passed by moving the times in Redis back.
"""
import pytest

from scriptqueue import AUTO, GIB, ScriptQueue, ids, q, script_server  # noqa: F401

FULL = 4000
STARVE = 60000


def claim(q, worker="w1", free=1000, left=1000, mem=64 * GIB, most=(64 * GIB, FULL), slots=4, **more):  # noqa: F811
    """A claim of a worker that expects to be empty in `left` ms; 0: it is."""
    return q.claim(worker, "i1", slots=slots, mcpu=free, mem=mem, most=most, forecast=[(left, *most)], **more)


def later(q, ms=STARVE, said=False):  # noqa: F811
    """said: what workers said of when they would be free is older, too."""
    for shape, note in q.reservations().items():
        times = [max(0, at - ms) if at else 0 for at in (note.since, note.due, note.owned, note.gone)]
        q.redis("HSET", "reserve", shape, " ".join(map(str, [note.id, *times, note.owner])))
    for suffix in q.suffixes():
        if suffix.startswith("worker:"):
            looked, forecast = q.redis("HMGET", suffix, "looked", "forecast")
            if looked:
                q.redis("HSET", suffix, "looked", max(0, int(looked) - ms))
            if said and forecast:
                said, points = forecast.split(b" ", 1)
                q.redis("HSET", suffix, "forecast", b"%d %b" % (int(said) - ms, points))


def smalls(q, count=50, **more):  # noqa: F811
    return q.add(count, **{"mcpu": 1000, **more})


@pytest.fixture
def crowd(q):  # noqa: F811
    """Three workers, a large task, small ones after it, and the large one passed over."""
    for name in ("w1", "w2", "w3"):
        q.register(name, "i1")
    [big] = q.add(mcpu=FULL)
    smalls(q)
    assert len(claim(q)) == 1
    return big


def note_of(q, task):  # noqa: F811
    found = [note for note in q.reservations().values() if note.id == task.id]
    return found[0] if found else None


def owner(q, task):  # noqa: F811
    """Who is kept free for it; both sides have to say the same."""
    note = note_of(q, task)
    if note and note.owner:
        assert q.redis("HGET", f"worker:{note.owner}", "reserved").decode() == q.record(task).shape
    return note.owner if note else None


def choose(q, worker="w1", **more):  # noqa: F811
    """Its time comes, and a worker looks."""
    later(q)
    return claim(q, worker, **more)


# --- noting ----------------------------------------------------------------------------------------


def test_a_large_task_that_is_passed_over_is_noted_once(q, crowd):  # noqa: F811
    first = note_of(q, crowd)
    assert abs(first.since - q.now()) < 60000 and first.due == first.since + STARVE
    assert (first.owner, first.gone) == ("", 0)
    later(q, 30000)
    claim(q, "w2")
    claim(q)
    again = note_of(q, crowd)
    assert again.since == first.since - 30000, "it goes on waiting"
    assert len(q.reservations()) == 1 and owner(q, crowd) == ""


@pytest.mark.parametrize("name,large,more", [
    ("off", {"mcpu": FULL}, {"starve": 0}),
    ("fits", {"mcpu": 1000}, {}),
    ("never fits this worker: cores", {"mcpu": FULL + 1}, {}),
    ("never fits this worker: memory", {"mem": 64 * GIB + 1}, {"mem": GIB}),
    ("never fits this worker: a label", {"mcpu": FULL, "requires": "label:x"}, {}),
    ("lower priority", {"mcpu": FULL, "priority": 0}, {}),
])
def test_what_is_not_noted(q, name, large, more):  # noqa: F811
    q.register()
    q.add(**{"priority": 1, **large})
    smalls(q, 8, priority=1)
    assert len(claim(q, slots=1, **more)) == 1
    assert q.reservations() == {}, name


def test_nothing_is_noted_where_nothing_is_taken_before_it(q):  # noqa: F811
    q.register()
    q.add(mcpu=FULL)
    q.add(mcpu=FULL - 1)
    assert claim(q) == []
    assert q.reservations() == {}


@pytest.mark.parametrize("large", [{"mem": 64 * GIB}, {"mem": 4 * GIB + 1}, {"mem": AUTO}])
def test_memory_makes_a_task_large_too(q, large):  # noqa: F811
    """Also where only the exact request, between two rungs of the ladder, does not fit."""
    q.register()
    [big] = q.add(**large)
    q.add(3)
    assert len(claim(q, mem=4 * GIB, auto=8 * GIB)) == 3
    assert note_of(q, big)


def test_cancelled_tasks_at_the_head_are_not_noted(q):  # noqa: F811
    q.register()
    bigs = q.add(3, mcpu=FULL)
    smalls(q)
    q.run("cancel", *ids(bigs[:2]))
    claim(q)
    assert [note.id for note in q.reservations().values()] == [bigs[2].id]
    assert q.counts()["discarded"] == 2
    q.run("cancel", bigs[2].id)
    later(q)
    claim(q)
    assert q.reservations() == {}


def test_only_some_are_noted(q):  # noqa: F811
    q.register()
    for i in range(100):
        q.add(mcpu=FULL - i)
    smalls(q, 300)
    for i in range(60):
        later(q, 1000)
        claim(q, caps=",", most=(64 * GIB, FULL - i))
    assert 0 < len(q.reservations()) <= 32


def test_between_two_looks_a_claim_costs_what_it_would_without(q, crowd):  # noqa: F811
    def calls():
        text = q.server.command("INFO", "commandstats").decode()
        return {line.split(":")[0]: int(line.split("calls=")[1].split(",")[0]) for line in text.splitlines() if
                line.startswith("cmdstat_")}

    def cost(**more):
        before = calls()
        assert len(claim(q, **more)) == 1
        return {name: n - before.get(name, 0) for name, n in calls().items() if n != before.get(name, 0)}

    assert cost() == cost(starve=0)
    later(q, 1000)
    assert cost() != cost(starve=0)


def test_a_look_says_what_it_saw_when_the_claim_is_asked_again(q, crowd):  # noqa: F811
    first = choose(q, request="r", nonce="00000000000000aa", left=10)
    before = q.hash("reserve"), q.hash("worker:w1")
    again = claim(q, request="r", nonce="00000000000000aa", left=99)
    assert again == first
    assert (q.hash("reserve"), q.hash("worker:w1")) == before


# --- choosing --------------------------------------------------------------------------------------


def test_the_worker_that_would_be_free_soonest_is_chosen_and_takes_no_more(q, crowd):  # noqa: F811
    assert len(claim(q, "w2", left=300)) == 1
    assert len(claim(q, "w3", left=200)) == 1
    later(q, STARVE - 30000)
    assert len(claim(q, left=900)) == 1 and owner(q, crowd) == "", "not yet"
    later(q, 30000)
    assert len(claim(q, left=900)) == 1
    assert owner(q, crowd) == "w3"
    assert claim(q, "w3", free=3000, left=100) == []
    assert len(claim(q, "w2", free=3000)) == 3
    assert ids(claim(q, "w3", free=FULL, left=0)) == [crowd.id]


def test_the_claimer_takes_nothing_more_when_it_is_chosen_itself(q, crowd):  # noqa: F811
    assert choose(q, left=10) == []
    assert owner(q, crowd) == "w1"


def test_what_should_have_been_over_by_now_is_not_soon(q, crowd):  # noqa: F811
    """w2 said 100 ms a minute ago; w3 said so now."""
    claim(q, "w2", left=100)
    later(q, STARVE - 1000, said=True)
    claim(q, "w3", left=2000)
    later(q, 1000)
    claim(q, left=5000)
    assert owner(q, crowd) == "w3"


def test_who_cannot_have_it_is_not_chosen(q):  # noqa: F811
    for name in ("w1", "w2", "w3", "w4", "w5"):
        q.register(name, "i1")
    [big] = q.add(mem=32 * GIB, requires="label:x")
    q.add(50, mem=GIB)
    has = {"caps": ",label:x,", "mem": GIB}
    claim(q, left=9000, **has)
    claim(q, "w2", left=1, mem=GIB)                                    # no label
    claim(q, "w3", left=1, most=(32 * GIB - 1, FULL), **has)           # too small
    claim(q, "w4", left=1, starve=0, **has)                            # asked not to be
    claim(q, "w5", left=1, **has)
    q.run("want", "drain", "w5")
    choose(q, left=9000, **has)
    assert owner(q, big) == "w1"


def test_the_worker_where_it_failed_is_not_chosen(q, crowd):  # noqa: F811
    [taken] = claim(q, "w2", free=FULL, slots=1, left=0)
    assert taken.id == crowd.id
    q.finish(taken, worker="w2", outcome="failed", delay=0)
    later(q, 3000)
    claim(q)
    claim(q, "w2", left=1)
    claim(q, "w3", left=500)
    choose(q, left=900)
    assert owner(q, crowd) == "w3"


def test_a_chosen_one_where_it_failed_lets_go(q, crowd):  # noqa: F811
    claim(q, "w2", left=1)
    choose(q, left=900)
    [taken] = claim(q, "w2", free=FULL, slots=1, left=0)
    q.finish(taken, worker="w2", outcome="failed", delay=0)
    assert q.state(crowd) == "todo"
    assert len(claim(q, "w2", free=1000, left=1)) == 1
    later(q, 1000)
    claim(q)
    assert owner(q, crowd) == "w1"


# --- what the chosen one takes ----------------------------------------------------------------------


def test_what_ranks_before_is_taken_still(q, crowd):  # noqa: F811
    choose(q, left=10)
    [urgent] = q.add(priority=9, mcpu=1000)
    later_ones = smalls(q, 2)
    assert ids(claim(q, free=3000, left=10)) == [urgent.id]
    assert owner(q, crowd) == "w1"
    assert set(q.states(later_ones)) == {"todo"}


def test_what_takes_nothing_from_it_is_taken_still(q):  # noqa: F811
    q.register()
    q.register("w2", "i1")
    [big] = q.add(mcpu=FULL, mem=8 * GIB)
    smalls(q)
    claim(q)
    choose(q, left=10)
    [beside] = q.add(mem=GIB)
    [too_much] = q.add(mem=GIB + 1)
    assert ids(claim(q, free=2000, mem=9 * GIB, left=10)) == [beside.id]
    assert claim(q, free=2000, mem=9 * GIB - 1, left=10) == []
    assert ids(claim(q, free=FULL, mem=10 * GIB, left=0)) == [big.id, too_much.id]


def test_after_it_small_ones_fill_what_is_left(q, crowd):  # noqa: F811
    choose(q, left=10)
    given = claim(q, free=6000, most=(64 * GIB, 6000), left=0)
    assert given[0].id == crowd.id and len(given) == 3


def test_it_holds_on_later_pages_too(q):  # noqa: F811
    """1,000 shapes a call: the next call begins behind the large one."""
    q.register()
    q.register("w2", "i1")
    [big] = q.add(mcpu=FULL)
    q.load([q.task(mcpu=FULL, requires=f"label:l{i}") for i in range(500)])
    q.load([q.task(mcpu=FULL, requires=f"label:l{i}") for i in range(500, 1100)])
    smalls(q)
    first = claim(q)
    assert len(first) == 0 and first.more >= 1000
    assert note_of(q, big), "who knows what the next call takes"
    assert len(claim(q, rank=first.more)) == 1
    choose(q, left=10)
    assert owner(q, big) == "w1"
    assert claim(q, rank=first.more, left=10) == []
    assert len(claim(q, "w2", rank=first.more)) == 1


def test_the_chosen_one_is_not_woken_for_small_ones(q, crowd):  # noqa: F811
    for name in ("w2", "w3"):
        claim(q, name, left=9000)
    while q.counts()["todo"] > 1:
        q.finish(*claim(q, slots=500, free=3000, left=9000))
    claim(q, left=9000)
    assert b"w1" in q.redis("ZRANGE", "idle", 0, -1)
    choose(q, left=1)
    assert owner(q, crowd) == "w1"
    assert b"w1" not in q.redis("ZRANGE", "idle", 0, -1)


# --- passing on ------------------------------------------------------------------------------------


@pytest.fixture
def kept(q, crowd):  # noqa: F811
    """w2 is kept free for the large task; w3 would be the next."""
    claim(q, "w2", left=1)
    claim(q, "w3", left=1000)
    choose(q, left=2000)
    assert owner(q, crowd) == "w2"
    return crowd


def look(q, worker="w1", left=2000, **more):  # noqa: F811
    later(q, 1000)
    return claim(q, worker, left=left, **more)


def end_lease(q, worker):  # noqa: F811
    q.redis("ZADD", "lease", 1, worker)


@pytest.mark.parametrize("how", ["drain", "stop", "lease", "lost", "leave"])
def test_it_passes_on_when_its_worker_goes(q, kept, how):  # noqa: F811
    if how in ("drain", "stop"):
        q.run("want", how, "w2")
    elif how == "leave":
        assert q.run("leave", "w2", "i1") == b"ok"
    else:
        end_lease(q, "w2")
        if how == "lost":
            q.redis("HSET", "count", "away", 0)  # Redis was there all the time
            q.maintain()
            assert not q.redis("ZSCORE", "lease", "w2")
    since = note_of(q, kept).since
    look(q)
    assert owner(q, kept) == "w3"
    assert note_of(q, kept).since == since - 1000, "it still counts that it has waited"
    assert claim(q, "w3", free=3000) == []


def test_a_worker_that_comes_back_is_no_longer_bound(q, kept):  # noqa: F811
    q.run("want", "drain", "w2")
    look(q)
    q.run("want", "run", "w2")
    assert len(claim(q, "w2", free=3000)) == 3
    assert q.redis("HGET", "worker:w2", "reserved") is None
    assert owner(q, kept) == "w3"


def test_a_worker_that_was_paused_for_a_moment_goes_on(q, kept):  # noqa: F811
    q.run("want", "drain", "w2")
    assert claim(q, "w2").status == "stopped"
    q.run("want", "run", "w2")
    assert claim(q, "w2", free=3000, left=1) == []


def test_an_agent_that_comes_back_goes_on(q, kept):  # noqa: F811
    q.register("w2", "i1")
    assert claim(q, "w2", free=3000, left=1) == []


def test_a_worker_that_lost_its_own_entry_gets_it_again(q, kept):  # noqa: F811
    """A new incarnation, say, or one that was forgotten and came back."""
    q.redis("HDEL", "worker:w2", "reserved")
    look(q)
    assert owner(q, kept) == "w2"
    assert claim(q, "w2", left=1) == []


def test_it_passes_on_when_the_empty_worker_has_no_room_after_all(q, kept):  # noqa: F811
    """Others use its machine: it says what an empty worker has by its own measure."""
    claim(q, "w2", free=2000, most=(64 * GIB, 3000), left=0)
    later(q)
    claim(q)
    assert owner(q, kept) == "w3"
    assert len(claim(q, "w2", free=2000, most=(64 * GIB, 3000), left=0)) == 2


def test_after_a_while_it_passes_on_to_one_that_is_much_sooner(q, kept):  # noqa: F811
    for left, expected in ((700, "w2"), (300, "w3")):
        claim(q, "w2", left=1000)
        claim(q, "w3", left=left)
        later(q)
        claim(q, left=90000)
        assert owner(q, kept) == expected
    assert len(claim(q, "w2", free=2000)) == 2


def test_it_stays_while_nobody_is_sooner(q, kept):  # noqa: F811
    for _ in range(5):
        later(q)
        claim(q, "w2", left=1000)
        claim(q, "w3", left=1000)
        look(q)
        assert owner(q, kept) == "w2"


def test_the_note_goes_when_nobody_can_ever_hold_it(q, crowd):  # noqa: F811
    claim(q, "w2", left=9000)
    later(q)
    claim(q, most=(64 * GIB, FULL - 1))
    assert note_of(q, crowd), "this one cannot; it says nothing about others"
    for name in ("w2", "w3"):
        q.run("leave", name, "i1")
    q.register("w4", "i1")
    claim(q, "w4", left=5)
    q.run("leave", "w4", "i1")
    later(q)
    q.run("claim", "w1", "i1", "ff", "00000000000000ff", GIB, 1000, 1, GIB, ",", 0, 64 * GIB, FULL, STARVE, "",
          "")
    assert q.reservations() == {}


# --- its end ---------------------------------------------------------------------------------------


def listen(q, worker):  # noqa: F811
    client = q.server.connect()
    client.send("SUBSCRIBE", q.key(f"wake:{worker}"))
    client.receive()
    return client


@pytest.mark.parametrize("how", ["cancel", "hold", "prioritize", "finish"])
def test_it_ends_with_its_task_and_the_worker_is_told(q, kept, how):  # noqa: F811
    client = listen(q, "w2")
    if how == "prioritize":
        q.run("prioritize", 0, kept.id)
        q.run("hold", kept.id)
    elif how == "finish":
        [taken] = claim(q, "w3", free=FULL, slots=1, left=0)
        q.finish(taken, worker="w3")
    else:
        q.run(how, kept.id)
    look(q)
    assert note_of(q, kept) is None
    assert client.receive()[2] == b"work"
    client.close()
    assert len(claim(q, "w2", free=3000)) == 3


@pytest.mark.parametrize("how", ["cancel", "hold"])
def test_the_worker_sees_by_itself_that_it_has_ended(q, kept, how):  # noqa: F811
    q.run(how, kept.id)
    assert len(claim(q, "w2", free=3000)) == 3
    assert note_of(q, kept) is None and q.redis("HGET", "worker:w2", "reserved") is None


def test_it_ends_when_the_worker_has_it(q, kept):  # noqa: F811
    assert ids(claim(q, "w2", free=FULL, slots=1, left=0)) == [kept.id]
    assert len(claim(q, "w2", free=1000)) == 1
    later(q, 3000)
    assert len(claim(q, "w2", free=1000)) == 1
    assert note_of(q, kept) is None and q.redis("HGET", "worker:w2", "reserved") is None


def test_one_that_was_claimed_ahead_and_comes_back_has_not_lost_its_turn(q, kept):  # noqa: F811
    since = note_of(q, kept).since
    [taken] = claim(q, "w3", free=FULL, slots=1, left=0)
    look(q)
    assert note_of(q, kept).gone
    assert q.report((taken, "released"), worker="w3") == ["recorded"]
    assert claim(q, "w2", free=2000, left=1) == []
    assert (note_of(q, kept).since, note_of(q, kept).gone) == (since - 1000, 0)
    assert owner(q, kept) == "w2"


def test_one_that_ran_for_a_while_starts_anew(q, kept):  # noqa: F811
    [taken] = claim(q, "w3", free=FULL, slots=1, left=0)
    look(q)
    later(q, 3000)
    q.finish(taken, worker="w3", outcome="returned")
    assert len(claim(q)) == 1
    note = note_of(q, kept)
    assert note.owner == "" and note.due > q.now() + STARVE - 30000


def test_the_next_of_its_shape_waits_its_own_time(q, crowd):  # noqa: F811
    [other] = q.add(mcpu=FULL)
    smalls(q)
    assert [note.id for note in q.reservations().values()] == [crowd.id]
    [taken] = claim(q, "w2", free=FULL, slots=1, left=0)
    assert taken.id == crowd.id
    q.finish(taken, worker="w2")
    while q.state(other) == "todo" and not note_of(q, other):
        later(q, 1000)
        assert len(claim(q)) == 1
    assert note_of(q, other).due > q.now() + STARVE - 30000


# --- several ---------------------------------------------------------------------------------------


def test_two_large_tasks_have_two_workers(q):  # noqa: F811
    for name in ("w1", "w2", "w3"):
        q.register(name, "i1")
    [one] = q.add(mcpu=FULL)
    [two] = q.add(mcpu=FULL - 1)
    smalls(q)
    for name in ("w1", "w2", "w3"):
        claim(q, name, left=10)
    choose(q, left=90000)
    assert owner(q, one) in ("w2", "w3") and owner(q, two) == "", "one at a time, the better one first"
    later(q, 1000)
    claim(q, left=90000)
    assert {owner(q, one), owner(q, two)} == {"w2", "w3"}
    assert len(claim(q, free=1000)) == 1
    assert claim(q, "w2", free=2000) == claim(q, "w3", free=2000) == []


def test_one_worker_is_kept_free_for_one_task_and_then_the_other(q):  # noqa: F811
    q.register()
    [one] = q.add(mcpu=FULL)
    [two] = q.add(mcpu=FULL - 1)
    smalls(q)
    claim(q, left=10)
    assert choose(q, left=10) == []
    assert (owner(q, one), owner(q, two)) == ("w1", "")
    assert ids(claim(q, free=FULL, left=0)) == [one.id]
    q.finish(*[c for c in claim(q, free=0)], )
    later(q, 3000)
    assert claim(q, free=1000, left=5) == []
    assert owner(q, two) == "w1"


def test_a_better_large_task_goes_first(q, crowd):  # noqa: F811
    """It came later, but has a higher priority: the worker that is kept free takes it when that fits."""
    choose(q, left=10)
    [better] = q.add(priority=1, mcpu=FULL)
    assert claim(q, free=3000, left=10) == []
    assert ids(claim(q, free=FULL, left=0)) == [better.id]
    assert owner(q, crowd) == "w1"


# --- clocks, other keys ------------------------------------------------------------------------------


def test_a_clock_that_was_set_back_does_not_hold_it_up(q, crowd):  # noqa: F811
    later(q, -3600000)
    claim(q)
    later(q, STARVE)
    claim(q)
    later(q, 1000)
    assert claim(q, left=1) == [] and owner(q, crowd) == "w1"


def test_init_forgets_them(q, kept):  # noqa: F811
    q.run("init", 1)
    assert q.reservations() == {}
    smalls(q)
    assert len(claim(q, "w2", free=3000)) == 3


def test_a_worker_that_wants_none_is_not_held(q, kept):  # noqa: F811
    assert len(claim(q, "w2", free=3000, starve=0)) == 3
    later(q)
    claim(q, "w3", left=5000)
    assert owner(q, kept) == "w1"


def test_a_claim_looks_no_more_when_nothing_is_left_to_look_at(q, crowd):  # noqa: F811
    q.run("cancel", crowd.id)
    later(q, 1000)
    claim(q)
    later(q, 1000)
    claim(q)
    assert q.redis("EXISTS", "reserve") == 0
    assert q.redis("HGET", "worker:w1", "looked") is None


def test_of_several_the_highest_priority_is_served_first(q):  # noqa: F811
    q.register()
    large = [q.task(mcpu=FULL, priority=priority) for priority in (1, 1000000, 999999)]
    for task in large:
        q.load([task])
    smalls(q)
    claim(q, slots=1)
    choose(q, left=10)
    assert [owner(q, task) for task in large] == ["", "w1", ""]
