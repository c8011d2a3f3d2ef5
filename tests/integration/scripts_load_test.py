"""Loading, names and dependencies, by the Lua scripts alone."""
import pytest

from scriptqueue import AUTO, FLAG_DEPENDANTS, GIB, MIB, ScriptQueue, q, script_server  # noqa: F401


def changed(task, **fields):
    return type(task)(**{**vars(task), **fields})


def finish_all(q, worker="w1"):  # noqa: F811
    """Claims and finishes until nothing is left; returns the ids in the order they were given."""
    given = []
    while True:
        claimed = q.claim(worker, slots=100)
        if not claimed:
            if q.settle() == 1 and not q.claim(worker, slots=0) and q.counts().get("todo", 0) == 0:
                return given
            continue
        q.finish(*claimed, worker=worker)
        given += [c.id for c in claimed]


# --- the counts that a load answers ------------------------------------------------------------


def test_load_adds_each_task_once(q):  # noqa: F811
    tasks = q.tasks(5, priority=2, mem=GIB, mcpu=1000)
    assert q.load(tasks) == {"new": 5}
    before = q.records(), q.hints()
    assert q.load(tasks) == {"known": 5}
    assert (q.records(), q.hints()) == before


def test_duplicates_within_a_batch_and_across_batches(q):  # noqa: F811
    [a, b, c] = q.tasks(3)
    load = q.begin()
    assert q.load([a, b, a], load) == {"new": 2, "duplicate": 1}
    assert q.load([b, c], load) == {"new": 1, "duplicate": 1}
    q.close(load)
    assert q.counts()["todo"] == 3


def test_batch_sent_twice_changes_nothing(q):  # noqa: F811
    tasks = q.tasks(4, name="n")
    load = q.begin()
    q.load(tasks, load)
    before = q.records(), q.group("n")
    assert q.load(tasks, load) == {"duplicate": 4}
    assert (q.records(), q.group("n")) == before


@pytest.mark.parametrize("fields", [{"priority": 9}, {"mem": 3 * GIB}, {"mcpu": 4000}, {"requires": "label:x"},
                                    {"options": b"\1\2" + (2).to_bytes(4, "big") + b"99"}, {"mem": AUTO}])
def test_edited_file_updates_what_has_not_started(q, fields):  # noqa: F811
    q.register()
    [running] = q.add()
    q.claim()
    [queued, held] = q.add(2)
    q.run("hold", held.id)
    edited = [changed(t, **fields) for t in (running, queued, held)]
    assert q.load(edited) == {"known": 1, "updated": 2}
    for task in edited[1:]:
        record = q.record(task)
        assert {key: getattr(record, key) for key in fields if key != "options"} == {
            key: value for key, value in fields.items() if key != "options"}
        assert record.rest == b"\0" + task.options + task.params
    assert q.record(running).priority == 0
    q.check()
    assert q.load(edited[1:]) == {"known": 2}
    given = q.claim(slots=5, caps=",label:x,")
    assert [c.id for c in given] == [queued.id]


def test_failed_tasks_are_counted_and_queued_again_on_request(q):  # noqa: F811
    q.register()
    tasks = q.add(3, mem=GIB)
    [a, b] = q.claim(slots=2)
    q.finish(a, outcome="failed")
    q.run("cancel", tasks[2].id)
    q.finish(b)
    assert q.load(tasks) == {"failed": 2, "known": 1}
    edited = [changed(t, mem=2 * GIB) for t in tasks]
    assert q.load(edited, retry=True) == {"retried": 2, "known": 1}
    assert q.states(tasks) == ["todo", "finished", "todo"]
    assert [q.record(t).mem // GIB for t in tasks] == [2, 1, 2], "with what the file says now"
    assert q.record(a.id).failures == 0


def test_load_id_grows_also_when_the_clock_is_set_back(q):  # noqa: F811
    first = q.begin()
    q.redis("HSET", "count", "load", first + 10**9)
    assert q.begin() == first + 10**9 + 1


def test_lists_take_their_age_in_the_order_of_the_file(q):  # noqa: F811
    q.register()
    tasks = [q.task(mcpu=mcpu) for mcpu in (5, 3, 9, 1, 7, 2, 8)]
    q.load(tasks)
    assert [c.id for c in q.claim(slots=9)] == [t.id for t in tasks]


def test_load_is_whole_when_arguments_are_broken(q):  # noqa: F811
    from scriptqueue import is_error
    task = q.task(name="n")
    assert is_error(q, "load", 0, 0, task.id, task.record(), "", q.task().id, "short", "")
    assert q.suffixes() == []


# --- names -----------------------------------------------------------------------------------------


def test_counts_of_nested_names(q):  # noqa: F811
    q.register()
    q.add(2, name="a/b/c")
    q.add(1, name="a/b")
    q.add(1, name="a")
    assert [q.group(n)["total"] for n in ("a", "a/b", "a/b/c")] == [4, 3, 2]
    [x, y, z] = q.claim(slots=3)
    q.finish(x)
    q.finish(y, outcome="failed")
    q.run("cancel", z.id)
    q.finish(z, outcome="cancelled")
    assert {k: q.group("a")[k] for k in ("pending", "finished", "failed", "cancelled")} == {
        "pending": 1, "finished": 1, "failed": 1, "cancelled": 1}
    q.run("retry", y.id)
    assert q.group("a/b/c") == {**q.group("a/b/c"), "pending": 1, "failed": 0}
    q.run("forget", "finished,failed,cancelled", x.id, z.id)
    assert q.group("a")["total"] == 2


def test_forgotten_names_go(q):  # noqa: F811
    q.register()
    q.add(1, name="x/y")
    q.finish(*q.claim())
    q.run("forget", "finished", *q.records())
    assert q.group("x") is None and q.group("x/y") is None


# --- dependencies --------------------------------------------------------------------------------


def test_after_a_name(q):  # noqa: F811
    q.register()
    first = q.add(3, name="prep")
    [second] = q.add(after=["an:prep"])
    assert q.state(second) == "waiting"
    for claimed in q.claim(slots=3):
        assert q.state(second) == "waiting"
        q.finish(claimed)
    assert q.state(second) == "todo"
    assert q.states(first) == ["finished"] * 3


def test_after_an_id(q):  # noqa: F811
    q.register()
    [first] = q.add()
    [second] = q.add(after=[f"at:{first.id}"])
    assert q.record(first).flags & FLAG_DEPENDANTS
    assert finish_all(q) == [first.id, second.id]


def test_after_an_id_of_the_same_batch_edited_later_in_it(q):  # noqa: F811
    """The mark on the task waited for must survive its own update in the same call."""
    q.register()
    [first] = q.add()
    second = q.task(after=[f"at:{first.id}"])
    assert q.load([second, changed(first, priority=4)]) == {"new": 1, "updated": 1}
    q.check()
    assert finish_all(q) == [first.id, second.id]


def test_after_a_parent_name_waits_for_all_below(q):  # noqa: F811
    q.register()
    q.add(1, name="a/x")
    q.add(1, name="a/y/z")
    [last] = q.add(after=["an:a"])
    for claimed in q.claim(slots=2):
        assert q.state(last) == "waiting"
        q.finish(claimed)
    assert q.state(last) == "todo"


def test_several_references_and_the_same_twice(q):  # noqa: F811
    q.register()
    [a] = q.add(name="a")
    [b] = q.add(name="b")
    [c] = q.add(after=["an:a", "an:b", f"at:{a.id}", "an:a"])
    claimed = {x.id: x for x in q.claim(slots=2)}
    q.finish(claimed[b.id])
    assert q.state(c) == "waiting"
    q.finish(claimed[a.id])
    assert q.state(c) == "todo"


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_failed_dependency_fails_what_waits_and_so_on(q, end):  # noqa: F811
    q.register()
    [a] = q.add(name="a")
    [b] = q.add(name="b", after=["an:a"])
    [c] = q.add(after=[f"at:{b.id}"])
    [d] = q.add(after=["en:b"])
    if end == "failed":
        q.finish(*q.claim(), outcome="failed")
    else:
        q.run("cancel", a.id)
    q.settle()
    assert q.states([a, b, c, d]) == [end, "failed", "failed", "todo"]
    assert q.log(b)[-1][1:] == ("dependency", "00" * 10, "", "dependency a failed")


def test_references_that_have_ended_already(q):  # noqa: F811
    q.register()
    q.add(name="good")
    q.finish(*q.claim())
    q.add(name="bad")
    q.finish(*q.claim(), outcome="failed")
    [a] = q.add(after=["an:good"])
    [b] = q.add(after=["an:bad"])
    [c] = q.add(after=["en:bad"])
    [d] = q.add(after=["an:nowhere"])
    assert q.states([a, b, c, d]) == ["todo", "failed", "todo", "failed"]
    assert q.log(d)[-1][4] == "dependency nowhere is not known"


def test_retry_of_a_chain_in_any_order(q):  # noqa: F811
    q.register()
    chain = [q.task(name="t0")]
    for i in range(1, 6):
        chain.append(q.task(name=f"t{i}", after=[f"an:t{i - 1}"]))
    q.load(chain)
    q.finish(*q.claim(), outcome="failed")
    q.settle()
    assert q.states(chain) == ["failed"] * 6
    assert q.run("retry", chain[3].id) == [0, 1], "what it waits for has failed"
    order = [chain[i].id for i in (3, 1, 5, 0, 4, 2)]
    while q.run("retry", *order)[0]:
        q.check()
    assert q.states(chain) == ["todo"] + ["waiting"] * 5
    assert finish_all(q) == [t.id for t in chain]


def test_retry_after_the_dependency_was_forgotten(q):  # noqa: F811
    q.register()
    [a] = q.add(name="a")
    [b] = q.add(after=["an:a"])
    q.finish(*q.claim())
    q.finish(*q.claim(), outcome="failed")
    q.run("forget", "finished", a.id)
    assert q.run("retry", b.id) == [1, 0]
    assert q.state(b) == "todo"


def test_entries_left_in_lists_of_dependants_do_not_count(q):  # noqa: F811
    """Cancelled while waiting and queued again, a task has two entries, and waits for both names all the same."""
    q.register()
    [a] = q.add(name="a")
    [b] = q.add(name="b", requires="label:b")
    [c] = q.add(after=["an:a", "an:b"])
    for _ in range(3):
        q.run("cancel", c.id)
        assert q.run("retry", c.id) == [1, 0]
    q.check()
    q.finish(*q.claim())
    assert q.state(c) == "waiting"
    q.finish(*q.claim(caps=",label:b,"))
    assert q.state(c) == "todo"


def test_held_while_waiting(q):  # noqa: F811
    q.register()
    q.add(name="a")
    [b, c] = q.add(2, after=["an:a"])
    q.run("hold", b.id, c.id)
    q.run("release", c.id)
    assert q.states([b, c]) == ["held", "waiting"]
    q.finish(*q.claim())
    assert q.states([b, c]) == ["held", "todo"]
    q.run("release", b.id)
    assert q.state(b) == "todo"


def test_edited_references(q):  # noqa: F811
    q.register()
    q.add(name="a")
    q.add(name="b", requires="label:b")
    [c] = q.add(after=["an:a"], options=b"\1a")
    c2 = changed(c, after=["an:b"], options=b"\1b")
    assert q.load([c2]) == {"updated": 1}
    q.check()
    q.finish(*q.claim())
    assert q.state(c) == "waiting"
    c3 = changed(c, after=[], options=b"\0")
    assert q.load([c3]) == {"updated": 1}
    assert q.state(c) == "todo"
    q.check()
    assert q.load([c2]) == {"updated": 1}
    assert q.state(c) == "waiting"


# --- loads that are under way ----------------------------------------------------------------------


def test_names_stay_open_until_their_load_ends(q):  # noqa: F811
    q.register()
    load = q.begin()
    q.load(q.tasks(1, name="a"), load)
    last = q.task(after=["an:a"])
    q.load([last], load)
    q.finish(*q.claim())
    assert q.state(last) == "waiting", "more of that name may come"
    q.load(q.tasks(1, name="a"), load)
    q.close(load)
    assert q.state(last) == "waiting"
    q.finish(*q.claim())
    assert q.state(last) == "todo"


def test_close_releases_what_waits_for_complete_names(q):  # noqa: F811
    q.register()
    load = q.begin()
    q.load([*q.tasks(1, name="a"), last := q.task(after=["an:a"])], load)
    q.finish(*q.claim())
    q.close(load)
    assert q.state(last) == "todo"
    assert not [s for s in q.suffixes() if s.startswith(("open:", "load"))]


def test_one_batch_that_is_a_whole_load_leaves_no_name_open(q):  # noqa: F811
    q.register()
    last = q.task(after=["an:a"])
    q.load([q.task(name="a"), last])
    q.finish(*q.claim())
    assert q.state(last) == "todo"


@pytest.mark.parametrize("first", [0, 1])
def test_a_name_that_two_loads_bring(q, first):  # noqa: F811
    """It is open while the load that brought it last is; the other's end must not lose what waits for it."""
    q.register()
    loads = [q.begin(), q.begin()]
    q.load([q.task(name="a"), last := q.task(after=["an:a"])], loads[0])
    q.load([q.task(name="a")], loads[1])
    q.finish(*q.claim(slots=2))
    q.close(loads[first])
    q.close(loads[1 - first])
    assert q.state(last) == "todo"


def test_load_that_was_killed_and_is_repeated(q):  # noqa: F811
    q.register()
    tasks = [*q.tasks(2, name="a"), q.task(after=["an:a"])]
    q.load(tasks, q.begin())  # never closed
    q.finish(*q.claim(slots=2))
    assert q.state(tasks[2]) == "waiting"
    again = q.begin()
    assert q.load(tasks, again) == {"known": 3}
    q.close(again)
    assert q.state(tasks[2]) == "todo"


def test_close_goes_in_steps(q):  # noqa: F811
    q.register()
    load = q.begin()
    names = [f"n{i}" for i in range(1200)]
    for i in range(0, 1200, 300):
        q.load([q.task(name=n) for n in names[i:i + 300]], load)
        q.load([q.task(after=[f"an:{n}"]) for n in names[i:i + 300]], load)
    while (claimed := q.claim(slots=500)):
        q.finish(*claimed)
    assert q.counts()["waiting"] == 1200
    assert q.close(load) == 3
    q.settle()
    assert q.counts()["todo"] == 1200


# --- fan-out ---------------------------------------------------------------------------------------


def load_dependants(q, count, ref):  # noqa: F811
    tasks = q.tasks(count, after=[ref])
    for i in range(0, count, 500):
        q.load(tasks[i:i + 500])
    return tasks


@pytest.mark.parametrize("outcome,becomes", [("finished", "todo"), ("failed", "failed")])
@pytest.mark.parametrize("kind", ["name", "id"])
def test_three_thousand_dependants_in_steps(q, kind, outcome, becomes):  # noqa: F811
    q.register()
    [first] = q.add(name="a")
    load_dependants(q, 3000, "an:a" if kind == "name" else f"at:{first.id}")
    [claimed] = q.claim()
    q.finish(claimed, outcome=outcome)
    done, steps = 0, 0
    while True:
        now = q.counts().get(becomes, 0) - (becomes == "failed")
        assert now - done <= 500, "a step is at most 500 tasks"
        done, steps = now, steps + 1
        q.check()
        if done == 3000:
            break
        due, _ = q.maintain()
        assert due == 0 or q.counts()["waiting"] == 0
    assert steps == 6
    assert "fanout" not in q.suffixes()
    assert not [s for s in q.suffixes() if s.startswith("dependants:")]


@pytest.mark.parametrize("meanwhile", ["forget", "more"])
def test_verdict_holds_for_dependants_whose_turn_comes_later(q, meanwhile):  # noqa: F811
    q.register()
    [first] = q.add(name="a")
    load_dependants(q, 1200, "an:a")
    q.finish(*q.claim())
    if meanwhile == "forget":
        q.run("forget", "finished", first.id)
    else:
        q.add(name="a", requires="label:never")
        late = load_dependants(q, 1, "an:a")
    q.settle()
    assert q.counts().get("failed", 0) == 0
    assert q.counts()["todo"] == 1200 + (meanwhile == "more")
    if meanwhile == "more":
        assert q.states(late) == ["waiting"], "it waits for those that came with it"


def test_wide_and_deep_cascade(q):  # noqa: F811
    q.register()
    q.load([q.task(name="l0")])
    for level in range(1, 8):
        q.load([q.task(name=f"l{level}", after=[f"an:l{level - 1}"]) for _ in range(200)])
    q.finish(*q.claim(), outcome="failed")
    calls = q.settle()
    assert calls >= 2
    assert q.counts()["failed"] == 1401 and q.counts().get("waiting", 0) == 0


# --- emptying --------------------------------------------------------------------------------------


def test_init_leaves_other_queues_alone(q):  # noqa: F811
    other = ScriptQueue(q.server, "other")
    similar = ScriptQueue(q.server, "default}x{")
    for queue in (other, similar):
        queue.register()
        queue.add(3, name="a")
        queue.claim()
    before = other.suffixes(), similar.suffixes(), other.records()
    q.register()
    q.add(5, name="a", mem=MIB)
    q.claim()
    assert q.run("init", 0) == [b"running", 1]
    assert q.counts()["todo"] == 4
    assert q.run("init", 1) == [b"ok", 5]
    assert q.suffixes() == ["lease", "worker:w1", "workers"]
    assert (other.suffixes(), similar.suffixes(), other.records()) == before
    assert q.renew(q.claim())[0] == "ok", "the worker goes on, holding nothing"
    other.check()
