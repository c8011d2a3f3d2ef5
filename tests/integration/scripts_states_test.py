"""Every state of a task against every operation: what it may become, and that nothing else changes it."""
import pytest

from scriptqueue import ENDED, GIB, MIB, q, script_server, task_id  # noqa: F401

STATES = ["waiting", "todo", "in_progress", "finished", "failed", "delayed", "held", "cancelled"]


class Made:
    """A task brought into a state, and what is needed to go on with it."""

    def __init__(self, q, state):  # noqa: F811
        self.q, self.state, self.claimed, self.before = q, state, None, None
        q.register()
        if state == "waiting":
            [self.before] = q.add(name="before", requires="label:nobody")
            [self.task] = q.add(after=["an:before"])
            return
        [self.task] = q.add()
        if state in ("in_progress", "finished", "failed", "delayed"):
            [self.claimed] = q.claim()
        if state == "finished":
            q.finish(self.claimed, out=b"done")
        elif state == "failed":
            q.finish(self.claimed, outcome="failed")
        elif state == "delayed":
            q.finish(self.claimed, outcome="failed", delay=1000000)
        elif state == "held":
            q.run("hold", self.task.id)
        elif state == "cancelled":
            q.run("cancel", self.task.id)


def edited(task, **fields):
    return type(task)(**{**vars(task), **fields})


# operation: (what is done, {state before: state after}); states that are not named stay what they are.
OPERATIONS = {
    "cancel": (lambda q, m: q.run("cancel", m.task.id),
               dict.fromkeys(["waiting", "todo", "delayed", "held"], "cancelled")),
    "hold": (lambda q, m: q.run("hold", m.task.id), dict.fromkeys(["waiting", "todo", "delayed"], "held")),
    "release": (lambda q, m: q.run("release", m.task.id), {"held": "todo"}),
    "prioritize": (lambda q, m: q.run("prioritize", 7, m.task.id), {}),
    "retry": (lambda q, m: q.run("retry", m.task.id), {"failed": "todo", "cancelled": "todo"}),
    "requeue": (lambda q, m: q.run("requeue", m.task.id), {"in_progress": "todo"}),
    "forget finished": (lambda q, m: q.run("forget", "finished", m.task.id), {"finished": None}),
    "forget ended": (lambda q, m: q.run("forget", "finished,failed,cancelled", m.task.id),
                     {"finished": None, "failed": None, "cancelled": None}),
    "load again": (lambda q, m: q.load([m.task]), {}),
    "load edited": (lambda q, m: q.load([edited(m.task, priority=3, mem=GIB)]), {}),
    "load, retry failed": (lambda q, m: q.load([m.task], retry=True), {"failed": "todo", "cancelled": "todo"}),
    "claim": (lambda q, m: q.claim(), {"todo": "in_progress"}),
    "report of an unknown try": (lambda q, m: q.run("report", "w1", 5, 0, m.task.id, 9, "0" * 20, "finished", 0, "", "", ""),
                                 {}),
    "maintain": (lambda q, m: q.maintain(), {}),
    "leave": (lambda q, m: q.run("leave", "w1", "i1"), {"in_progress": "todo"}),
    "register anew": (lambda q, m: q.register(incarnation="i2", dead="i1"), {"in_progress": "todo"}),
    "reconcile, holding nothing": (lambda q, m: q.reconcile(), {"in_progress": "todo"}),
    "init": (lambda q, m: q.run("init", 0), {state: None for state in STATES if state != "in_progress"}),
    "init by force": (lambda q, m: q.run("init", 1), {state: None for state in STATES}),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("state", STATES)
def test_transition(q, state, operation):  # noqa: F811
    made = Made(q, state)
    assert q.state(made.task) == state
    q.check()
    do, becomes = OPERATIONS[operation]
    do(q, made)
    assert q.state(made.task) == becomes.get(state, state)
    q.check()
    do(q, made)  # again: legal, and nothing breaks
    if operation.startswith("init") and becomes.get(state, state) is None:
        # dependants:* and open:* are removed by the caller, who can scan
        for suffix in q.suffixes():
            if suffix.startswith(("dependants:", "open:")):
                q.redis("DEL", suffix)


REPORTS = {"finished": "finished", "failed": "failed", "timeout": "failed", "cancelled": "cancelled",
           "returned": "todo", "released": "todo", "tempfail": "delayed", "lost": "todo"}


@pytest.mark.parametrize("outcome", REPORTS)
def test_report_ends_a_try(q, outcome):  # noqa: F811
    made = Made(q, "in_progress")
    assert q.report((made.claimed, outcome)) == ["recorded"]
    assert q.state(made.task) == REPORTS[outcome]
    record = q.record(made.task)
    assert (record.tries, record.failures, record.losses, record.returns) == (
        1, outcome in ("failed", "timeout"), outcome == "lost", outcome == "returned")
    assert [entry[1] for entry in q.log(made.task)] == ([outcome] if outcome != "released" else [])
    q.check()
    again = q.report((made.claimed, outcome))
    assert again == (["stale"] if outcome == "released" else ["yours"]), "asked again, nothing changes"
    assert q.state(made.task) == REPORTS[outcome]
    assert q.record(made.task) == record


@pytest.mark.parametrize("outcome", ["failed", "timeout", "tempfail"])
def test_failed_try_goes_back_with_delay(q, outcome):  # noqa: F811
    made = Made(q, "in_progress")
    q.finish(made.claimed, outcome=outcome, delay=30)
    assert q.state(made.task) == "delayed"
    assert 0 <= q.due <= 30
    q.check()

    from harness import wait_until
    wait_until(lambda: q.maintain()[0] != 0 and q.state(made.task) == "todo")
    assert q.record(made.task).failures == (outcome != "tempfail")


def test_failed_try_without_delay_is_todo_at_once(q):  # noqa: F811
    made = Made(q, "in_progress")
    q.finish(made.claimed, outcome="failed", delay=0)
    assert q.state(made.task) == "todo"


@pytest.mark.parametrize("outcome,becomes", [("finished", "finished"), ("failed", "cancelled"),
                                             ("cancelled", "cancelled"), ("returned", "cancelled"),
                                             ("released", "cancelled"), ("lost", "cancelled"),
                                             ("tempfail", "cancelled"), ("timeout", "cancelled")])
def test_cancel_of_a_running_task(q, outcome, becomes):  # noqa: F811
    """The request reaches the worker; whichever report comes first decides."""
    made = Made(q, "in_progress")
    assert q.run("cancel", made.task.id) == [0, 1, 0]
    assert q.state(made.task) == "in_progress"
    assert q.renew([made.claimed])[3:] == [made.task.id]
    q.check()
    q.finish(made.claimed, outcome=outcome, delay=5)
    assert q.state(made.task) == becomes
    assert q.renew()[3:] == []


@pytest.mark.parametrize("how", ["leave", "lost", "reconcile"])
def test_cancel_of_a_running_task_whose_worker_goes(q, how):  # noqa: F811
    made = Made(q, "in_progress")
    q.run("cancel", made.task.id)
    if how == "leave":
        assert q.run("leave", "w1", "i1") == b"ok"
    elif how == "lost":
        q.register(incarnation="i2", dead="i1")
    else:
        q.reconcile()
    assert q.state(made.task) == "cancelled", "it must not run again"


def test_retry_resets_counts_but_not_tries(q):  # noqa: F811
    made = Made(q, "failed")
    assert q.run("retry", made.task.id) == [1, 0]
    record = q.record(made.task)
    assert (record.failures, record.losses, record.tries) == (0, 0, 1)
    [again] = q.claim()
    assert again.number == 2
    q.finish(again)
    assert [entry[:2] for entry in q.log(made.task)] == [(1, "failed"), (2, "finished")]


def test_requeue_fences_the_worker_that_still_runs_it(q):  # noqa: F811
    made = Made(q, "in_progress")
    assert q.run("requeue", made.task.id) == [1, 0]
    assert q.renew([made.claimed])[0] == "mismatch"
    assert q.reconcile([made.claimed]) == ["ok", "stale"]
    assert q.report((made.claimed, "finished")) == ["stale"]
    assert q.state(made.task) == "todo"
    assert q.counts()["stale"] == 1


def test_released_task_goes_before_others_of_its_priority(q):  # noqa: F811
    q.register()
    tasks = q.add(3)
    [first] = q.claim()
    q.finish(first, outcome="released")
    assert [c.id for c in q.claim(slots=3)] == [t.id for t in tasks]


def test_prioritize_moves_queued_tasks_and_marks_running_ones(q):  # noqa: F811
    q.register()
    tasks = q.add(4, priority=1)
    [running] = q.claim()
    assert q.run("prioritize", 5, running.id, tasks[3].id, task_id(999)) == [2, 1]
    assert q.record(running.id).priority == 5
    assert [c.id for c in q.claim(slots=1)] == [tasks[3].id]
    q.finish(running, outcome="returned")
    assert [c.id for c in q.claim(slots=1)] == [running.id]
    assert q.counts().get("discarded", 0) == 0
    assert [c.id for c in q.claim(slots=9)] == [t.id for t in tasks[1:3]]
    assert q.counts()["discarded"] == 1, "the hint that priority 1 still had"


def test_states_end_once(q):  # noqa: F811
    """The sum over states is what was loaded, through a life with everything in it."""
    q.register()
    tasks = q.add(40, mem=MIB)
    claimed = q.claim(slots=20)
    for i, outcome in enumerate(list(REPORTS) * 2):
        q.report((claimed[i], outcome, {"delay": 1000000 if i > 8 else -1}))
        q.check()
    q.run("cancel", *[t.id for t in tasks[::3]])
    q.run("retry", *[t.id for t in tasks[::2]])
    q.check()
    assert sum(q.counts()[state] for state in STATES if state in q.counts()) == 40
    assert all(q.state(t) in STATES for t in tasks) and ENDED < set(STATES)
