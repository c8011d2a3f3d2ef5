"""Leases: what ends with one, and what does not; and how the others fare. By the Lua scripts alone."""
import pytest

from harness import wait_until
from scriptqueue import GIB, ids, q, script_server  # noqa: F401


# --- leases ------------------------------------------------------------------------------------------


def other_renews(q):  # noqa: F811
    """A second worker, so that Redis was not away."""
    q.register("other", "i1")

    def step():
        q.renew((), "other")
        return q.maintain()

    return step


def test_lease_covers_what_is_held_and_ends(q):  # noqa: F811
    q.register(lease=40)
    tasks = q.add(3)
    claimed = q.claim(slots=2)
    step = other_renews(q)
    wait_until(lambda: step()[1] == 2)
    assert q.states(tasks) == ["todo"] * 3
    assert [q.record(t).losses for t in tasks] == [1, 1, 0]
    assert q.log(tasks[0])[-1][1::2] == ("lost", "w1")
    assert q.redis("HGET", "worker:w1", "state") == b"lost"
    assert q.report((claimed[0], "finished")) == ["stale"], "not `yours`: its result was not recorded"
    # It comes back: what nobody has claimed is its own again.
    taken = q.claim("other")
    assert ids(taken) == [claimed[0].id] or ids(taken) == [claimed[1].id]
    mine = [c for c in claimed if c.id != taken[0].id]
    assert q.renew(claimed)[0] == "mismatch"
    answers = q.reconcile(claimed)
    assert sorted(answers[1:]) == ["retaken", "stale"]
    assert q.renew(mine)[0] == "ok"
    q.finish(*mine)


def test_a_task_that_loses_its_workers_fails(q):  # noqa: F811
    [task] = q.add()
    for number in range(1, 4):
        q.register(incarnation=f"i{number}", dead=f"i{number - 1}", max_losses=3)
        q.claim(session=f"i{number}")
    assert q.record(task).losses == 2
    q.register(incarnation="i4", dead="i3", max_losses=3)
    assert q.state(task) == "failed"
    assert q.log(task)[-1][4].startswith("its worker vanished 3 times, last w1")


def test_lost_reported_by_the_worker_itself_counts_too(q):  # noqa: F811
    q.register()
    [task] = q.add()
    for _ in range(2):
        assert q.report((q.claim()[0], "lost"), max_losses=2) == ["recorded"]
    assert q.state(task) == "failed"


def test_when_redis_was_away_nobody_is_lost_at_once(q):  # noqa: F811
    """No worker at all has renewed: a whole lease passes from the first call on."""
    q.register(lease=300)
    q.add()
    claimed = q.claim()
    wait_until(lambda: q.redis("ZRANGEBYSCORE", "lease", "-inf", int(q.now())) == [b"w1"])
    due, lost = q.maintain()
    assert lost == 0
    assert 0 < due <= 300, "not 0: nobody spins while it waits"
    assert q.renew(claimed, lease=300)[0] == "ok", "it was in time"
    wait_until(lambda: q.maintain()[1] == 1)


@pytest.mark.parametrize("back", ["register", "renew"])
def test_the_first_that_is_back_does_not_end_the_leases_of_the_others(q, back):  # noqa: F811
    """Redis was away for longer than a lease. One worker is back, and maintains, before the rest."""
    lease = 1000
    for name in ("w1", "w2", "w3"):
        q.register(name, lease=lease)
    q.add(3)
    claimed = {name: q.claim(name) for name in ("w1", "w2", "w3")}
    past = int(q.now()) - 5 * lease  # as if all that was 5 leases ago
    q.redis("HSET", "count", "renewed", past)
    q.redis("HDEL", "count", "away")
    for name in claimed:
        q.redis("ZADD", "lease", past + lease, name)
    if back == "register":
        q.register("w1", lease=lease)
    else:
        q.renew(claimed["w1"], "w1", lease=lease)
    due, lost = q.maintain()
    assert lost == 0 and 0 < due <= lease
    assert q.renew(claimed["w2"], "w2", lease=lease)[0] == "ok"
    q.finish(*claimed["w2"], worker="w2")
    assert q.maintain()[1] == 0

    def others_renew():
        q.renew((), "w2", lease=lease)
        q.renew(claimed["w1"], "w1", lease=lease)
        return q.maintain()[1]

    wait_until(lambda: others_renew() == 1, what="the third has not come within a lease")
    assert q.counts()["losses"] == 1
    q.finish(*claimed["w1"])


def test_two_outages_in_a_row_are_two(q):  # noqa: F811
    q.register(lease=300)
    q.add()
    claimed = q.claim()
    wait_until(lambda: q.redis("ZRANGEBYSCORE", "lease", "-inf", int(q.now())) == [b"w1"])
    assert q.maintain()[1] == 0
    assert q.renew(claimed, lease=300)[0] == "ok"
    wait_until(lambda: q.redis("ZRANGEBYSCORE", "lease", "-inf", int(q.now())) == [b"w1"])
    assert q.maintain()[1] == 0, "away again, right after"
    wait_until(lambda: q.maintain()[1] == 1, what="but not for ever")


def test_a_clock_that_jumps_back_leaves_no_endless_lease(q):  # noqa: F811
    q.register(lease=1000)
    q.redis("ZADD", "lease", int(q.now()) + 10**8, "w1")
    q.maintain()
    assert float(q.redis("ZSCORE", "lease", "w1")) <= q.now() + 1000


def test_many_held_tasks_are_lost_in_steps(q):  # noqa: F811
    q.register(lease=30)
    for _ in range(3):
        q.add(500)
        q.claim(slots=500)
    step = other_renews(q)
    steps = []
    while sum(steps) < 1500:
        lost = step()[1]
        assert lost <= 512 or not steps  # HSCAN's COUNT is a hint
        steps += [lost] if lost else []
    assert len(steps) >= 3
    assert q.counts()["todo"] == 1500


def test_a_claim_that_arrives_after_the_lease_gives_nothing(q):  # noqa: F811
    """It would be held by a worker that no lease covers, and nobody would ever take it back."""
    q.register()
    q.register("w2", "i2")
    task, = q.add()
    q.redis("ZREM", "lease", "w1")
    assert q.claim().status == "gone"
    assert q.reconcile([]) == ["gone"]
    assert q.state(task) == "todo"
    q.register()
    assert ids(q.claim()) == [task.id]


# --- how the others fare -------------------------------------------------------------------------------


def test_health_counts_what_others_finish(q):  # noqa: F811
    q.register()
    q.register("w2", "j1")
    q.add(3)
    first, _ = q.run("health", "w1", 20)
    q.finish(*q.claim())
    assert q.run("health", "w1", 20)[0] == first, "not one's own"
    q.finish(*q.claim("w2", "j1"), worker="w2")
    assert q.run("health", "w1", 20)[0] == first + 1
    q.run("forget", "finished", *[id.decode()[:14] for id in q.redis("LRANGE", "finished", 0, -1)])
    assert q.run("health", "w1", 20)[0] == first + 1, "removing results sets nothing back"


def test_hope_is_in_those_that_could_finish_it(q):  # noqa: F811
    def hope():
        return q.run("health", "w1", 3)[1]

    q.register()
    assert hope() == 0, "alone"
    q.register("w2", "j1")
    assert hope() == 1
    q.redis("ZADD", "lease", 1, "w2")
    assert hope() == 0, "its lease is over, though nobody has looked yet"
    q.renew(worker="w2", session="j1")
    assert hope() == 1
    q.run("want", "drain", "w2")
    assert hope() == 0, "it takes nothing"
    q.run("want", "run", "w2")
    q.add(4)
    for _ in range(3):
        q.finish(*q.claim("w2", "j1"), worker="w2", outcome="failed", delay=0)
    assert hope() == 0, "it fails too"
    q.finish(*q.claim("w2", "j1"), worker="w2")
    assert hope() == 1, "no longer"
    q.add(mem=GIB)
    q.claim("w2", "j1", slots=500, mem=1000)
    assert q.redis("ZSCORE", "idle", "w2") is not None
    assert hope() == 0, "it has seen that it cannot take what is there"
