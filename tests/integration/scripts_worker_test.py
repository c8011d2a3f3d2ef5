"""Registration, leases, healing, results and what is kept of them, by the Lua scripts alone."""
import pytest

from harness import wait_until
from scriptqueue import (GIB, RedisError, ScriptQueue, is_error, output, q, script_server,  # noqa: F401
                         try_entry)


def ids(things):
    return [thing.id for thing in things]


# --- registration ----------------------------------------------------------------------------------


def test_a_name_is_taken_while_its_lease_lasts(q):  # noqa: F811
    assert q.register() == ["ok"]
    assert q.register() == ["ok"], "the same supervisor, another agent"
    status, info, age = q.register(incarnation="i2")
    assert (status, info) == ("taken", "{}") and 0 <= age < 10000
    assert q.register(incarnation="i2", dead="i0")[0] == "taken"
    assert q.register(incarnation="i2", dead="i1") == ["ok"]
    assert q.renew(session="i1")[0] == "gone"
    assert q.claim(session="i1").status == "gone"
    assert q.claim(session="i2").status == "ok"


def test_any_earlier_life_of_the_state_dir_is_dead(q):  # noqa: F811
    """i2 died before it registered: i3 has its state_dir, and so i1's. Found by the model."""
    q.register()
    [task] = q.add()
    q.claim()
    assert q.register(incarnation="i3", dead="i2 i1") == ["ok"]
    assert q.state(task) == "todo"
    assert q.register(incarnation="i1", dead="i0")[0] == "taken", "a late one of the dead"
    assert q.renew(session="i3")[0] == "ok"


def test_a_copied_state_dir_proves_nothing(q):  # noqa: F811
    """An image of i1's machine, started elsewhere: i1 has renewed since that machine was started."""
    q.register()
    q.add()
    claimed = q.claim()
    q.renew(claimed)
    assert q.register(incarnation="i2", dead="i1.3600000")[0] == "taken"
    assert q.renew(claimed)[0] == "ok", "i1 goes on"
    # The same machine after a reboot: the last that was heard of i1 was before.
    q.redis("HSET", "worker:w1", "report", int(q.now()) - 5000)
    assert q.register(incarnation="i2", dead="i1.4000") == ["ok"]
    assert q.counts()["losses"] == 1


def test_what_an_older_session_asked_is_refused(q):  # noqa: F811
    """The requests of a connection that was given up, read after those of the next one. Found by the model."""
    q.register(session="s1")
    q.add(2)
    known = q.claim(session="s1")
    assert q.register(session="s2") == ["ok"], "the next agent, or the next connection"
    claimed = q.claim(session="s2")
    both = [*known, *claimed]
    assert q.renew(both, session="s2")[0] == "ok"
    before = q.dump()
    assert q.reconcile(known, session="s1") == ["gone"], "it would give the second task back"
    assert q.renew((), session="s1")[0] == "gone"
    assert q.claim(session="s1").status == "gone"
    assert q.run("leave", "w1", "s1") == b"gone"
    assert q.dump() == before
    assert q.register(session="s1") == ["ok"], "a late register"
    assert q.renew(both, session="s2")[0] == "gone", "who lives registers again"
    assert q.register(session="s3") == ["ok"]
    assert q.renew(both, session="s3")[0] == "ok"


def test_a_claim_is_asked_again_in_the_next_session(q):  # noqa: F811
    q.register(session="s1")
    q.add(2)
    first = q.claim(session="s1", request="a" * 16, nonce="b" * 16)
    q.register(session="s2")
    again = q.claim(session="s2", request="a" * 16, nonce="b" * 16)
    assert [c.token for c in again] == [c.token for c in first]


def test_a_name_whose_lease_is_over_is_free(q):  # noqa: F811
    q.register(lease=20)
    q.add()
    q.claim()
    wait_until(lambda: q.register(incarnation="i2")[0] == "ok")
    assert q.counts()["todo"] == 1 and q.counts()["losses"] == 1


def test_tasks_of_the_previous_incarnation_are_freed_in_steps(q):  # noqa: F811
    q.register()
    for _ in range(3):
        q.add(500)
        q.claim(slots=500)
    answers = []
    while not answers or answers[-1] == ["again"]:
        answers.append(q.register(incarnation="i2", dead="i1"))
        q.check()
    assert answers[-1] == ["ok"] and len(answers) >= 3
    assert q.counts()["todo"] == 1500 and q.counts()["losses"] == 1500


def test_an_agent_that_comes_back_keeps_its_tasks(q):  # noqa: F811
    q.register()
    q.add()
    claimed = q.claim()
    assert q.register() == ["ok"]
    assert q.renew(claimed)[0] == "ok"


def test_a_new_incarnation_begins_undrained(q):  # noqa: F811
    q.register()
    q.run("want", "stop", "w1")
    q.register(incarnation="i2", dead="i1")
    assert q.renew(session="i2")[1] == "run"


def test_leave_gives_back_uncounted_and_in_steps(q):  # noqa: F811
    q.register()
    for _ in range(3):
        q.add(500)
        q.claim(slots=500)
    assert q.run("leave", "w1", "other") == b"gone"
    answers = []
    while not answers or answers[-1] == b"again":
        answers.append(q.run("leave", "w1", "i1"))
        q.check()
    assert answers[-1] == b"ok" and len(answers) == 3
    assert q.counts()["todo"] == 1500 and q.counts().get("losses", 0) == 0
    assert not [s for s in q.suffixes() if s.startswith(("worker", "held", "lease", "idle"))]


def test_expel_forgets_lost_workers_only(q):  # noqa: F811
    q.register("live", "i1")
    q.register("lost", "i1", lease=10)
    q.add()
    q.claim("lost")
    wait_until(lambda: q.maintain()[1] == 1)
    q.redis("SADD", "workers", "never")
    assert q.run("expel", "live", "lost", "never") == 2
    assert q.redis("SMEMBERS", "workers") == [b"live"]
    assert not [s for s in q.suffixes() if s.endswith("lost")]


# --- renew and reconcile -----------------------------------------------------------------------------


def test_renew_compares_count_and_digest(q):  # noqa: F811
    q.register()
    q.add(40)
    claimed = q.claim(slots=20)
    assert q.renew(claimed)[0] == "ok"
    assert q.renew(list(reversed(claimed)))[0] == "ok", "in any order"
    assert q.renew(claimed[1:])[0] == "mismatch"
    other = type(claimed[0])(claimed[0].id, claimed[0].number, "f" * 20, b"")
    assert q.renew([other, *claimed[1:]])[0] == "mismatch"
    newer = type(claimed[0])(claimed[0].id, claimed[0].number + 1, claimed[0].nonce, b"")
    assert q.renew([newer, *claimed[1:]])[0] == "mismatch"
    q.finish(claimed[0])
    assert q.renew(claimed[1:])[0] == "ok"


def test_lost_claim_answer_heals(q):  # noqa: F811
    q.register()
    q.add(3)
    known = q.claim()
    q.claim(slots=2)  # its answer never came, and nobody asks again
    assert q.renew(known)[0] == "mismatch"
    assert q.reconcile(known) == ["ok", "yours"]
    assert q.renew(known)[0] == "ok"
    assert q.counts()["todo"] == 2 and q.counts().get("losses", 0) == 0


def test_lost_aof_tail_heals_when_the_claim_was_in_it(q):  # noqa: F811
    q.register()
    [task] = q.add()
    before = q.dump()
    claimed = q.claim()
    q.restore(before)  # Redis came back without the claim
    assert q.renew(claimed)[0] == "mismatch"
    assert q.reconcile(claimed) == ["ok", "retaken"]
    assert q.renew(claimed)[0] == "ok"
    q.finish(*claimed)
    assert q.state(task) == "finished"


def test_lost_aof_tail_heals_when_another_has_it_by_now(q):  # noqa: F811
    q.register()
    q.register("w2", "j1")
    q.add()
    before = q.dump()
    mine = q.claim()
    q.restore(before)
    other = q.claim("w2", "j1")
    assert other[0].number == mine[0].number, "the try number was lost with the tail: the nonce tells"
    assert q.reconcile(mine) == ["ok", "stale"]
    assert q.report((mine[0], "finished")) == ["stale"]
    assert q.renew(other, "w2", "j1")[0] == "ok"


def test_lost_aof_tail_heals_when_the_result_was_in_it(q):  # noqa: F811
    q.register()
    [task] = q.add()
    claimed = q.claim()
    before = q.dump()
    q.finish(*claimed, out=b"hello")
    q.restore(before)
    assert q.report((claimed[0], "finished", {"out": b"hello"})) == ["recorded"], "reported again"
    assert q.report((claimed[0], "finished", {"out": b"hello"})) == ["yours"]
    assert q.state(task) == "finished"


@pytest.mark.parametrize("outcome", ["failed", "tempfail", "returned"])
def test_a_try_that_was_recorded_is_not_retaken(q, outcome):  # noqa: F811
    """Redis was restarted, and lost nothing: the worker lists what it reported in the last seconds. Found by chaos: the
    try was taken back and its failure recorded, and counted, once more."""
    q.register()
    [task] = q.add()
    claimed = q.claim()
    q.report((claimed[0], outcome, {"delay": 1}))
    wait_until(lambda: q.settle() and q.state(task) == "todo")
    before = q.record(task), q.log(task)
    assert q.reconcile(claimed) == ["ok", "stale"]
    assert q.state(task) == "todo"
    assert q.report((claimed[0], outcome, {"delay": 1})) == ["yours"]
    assert (q.record(task), q.log(task)) == before, "recorded once, counted once"


def test_lost_aof_tail_with_two_results_of_one_task(q):  # noqa: F811
    """The worker lists both tries; the counts follow one of them only. Found by chaos."""
    q.register()
    [task] = q.add()
    before = q.dump()
    [first] = q.claim()
    q.report((first, "tempfail", {"delay": 1}))
    wait_until(lambda: q.settle() and q.state(task) == "todo")
    [second] = q.claim()
    q.finish(second)
    q.restore(before)
    assert q.reconcile([first, second]) == ["ok", "stale", "retaken"]
    q.check()
    assert q.report((first, "tempfail", {"delay": 1}), (second, "finished")) == ["stale", "recorded"]
    assert q.state(task) == "finished"


def test_an_id_that_comes_twice_counts_once(q):  # noqa: F811
    [task, other] = q.add(2)
    assert q.run("cancel", task.id, task.id) == [1, 0, 1]
    assert q.run("hold", other.id, other.id) == [1, 1]
    assert q.run("release", other.id, other.id) == [1, 1]
    assert q.run("retry", task.id, task.id) == [1, 1]


def test_reconcile_of_a_newer_claim_that_the_worker_does_not_know(q):  # noqa: F811
    """It lists an old try of a task of which the queue believes that it has a newer one."""
    q.register()
    [task] = q.add()
    [old] = q.claim()
    q.finish(old, outcome="returned")
    q.claim()  # the answer was lost
    assert q.reconcile([old]) == ["ok", "stale"]
    assert q.state(task) == "todo"
    assert q.renew()[0] == "ok"


def test_a_try_of_a_task_that_was_removed_is_not_retaken(q):  # noqa: F811
    """The task was taken away, ran elsewhere, was removed, and the same line was loaded again. Found by the model."""
    q.register()
    q.register("w2", "j1")
    [task] = q.add()
    mine = q.claim()
    q.run("requeue", task.id)
    q.finish(*q.claim("w2", "j1"), worker="w2")
    assert q.run("forget", "finished", task.id) == [1, 0]
    wait_until(lambda: q.now() > q.record_of(mine[0]).loaded + 1)
    q.load([task])
    assert q.record(task).tries == 0
    assert q.reconcile(mine) == ["ok", "stale"]
    assert q.state(task) == "todo"


def test_tries_of_two_lives_of_a_task(q):  # noqa: F811
    """Its number tells nothing about which is the later."""
    q.register()
    [task] = q.add()
    q.finish(*q.claim(), outcome="returned")
    old = q.claim()
    q.finish(*old)
    q.run("forget", "finished", task.id)
    wait_until(lambda: q.now() > q.record_of(old[0]).loaded + 1)
    q.load([task])
    new = q.claim()
    assert (old[0].number, new[0].number) == (2, 1)
    assert q.reconcile([*old, *new]) == ["ok", "stale", "yours"]
    assert q.renew(new)[0] == "ok"


def test_a_try_of_an_agent_from_before_the_upgrade_is_retaken(q):  # noqa: F811
    """It does not know when its task was loaded."""
    q.register()
    q.add()
    before = q.dump()
    [mine] = q.claim()
    q.restore(before)
    assert q.reconcile([type(mine)(mine.id, mine.number, mine.nonce, b"")]) == ["ok", "retaken"]


def test_reconcile_needs_registration(q):  # noqa: F811
    assert q.reconcile() == ["gone"]


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


def test_reconcile_of_one_try_under_two_tokens_keeps_the_one_that_is_held(q):  # noqa: F811
    """The claim was in the lost tail of the AOF, and the next one brought the same try again."""
    q.register()
    task, = q.add()
    before = q.dump()
    forgotten = q.claim()
    q.restore(before)
    again = q.claim()
    assert [c.number for c in forgotten] == [c.number for c in again]
    assert q.reconcile([*again, *forgotten]) == ["ok", "yours", "stale"]
    assert q.state(task) == "in_progress"
    assert q.reconcile([*forgotten, *again]) == ["ok", "stale", "yours"]
    q.finish(*again)
