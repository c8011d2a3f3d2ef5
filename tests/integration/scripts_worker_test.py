"""Registration, renew and reconcile, by the Lua scripts alone."""
import pytest

from harness import wait_until
from scriptqueue import q, script_server  # noqa: F401


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


def test_two_tries_of_one_number_leave_one_output(q):  # noqa: F811
    """The claim of the first was lost, and its worker takes the task back when the second has failed. The bytes of the
    second's output were counted for ever. Found by chaos."""
    q.register()
    q.register("w2", "j1")
    [task] = q.add()
    before = q.dump()
    [mine] = q.claim()
    q.restore(before)
    [other] = q.claim("w2", "j1")
    assert other.number == mine.number
    q.report((other, "tempfail", {"delay": 1, "out": b"of the other"}), worker="w2")
    wait_until(lambda: q.settle() and q.state(task) == "todo")
    assert q.reconcile([mine]) == ["ok", "retaken"]
    q.finish(mine, out=b"mine")
    q.check()
    assert q.counts()["output_bytes"] == len(q.hash("output")[task.id])


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
