"""What goes on when Redis is full (maxmemory, noeviction), by the Lua scripts alone."""
import pytest

from scriptqueue import is_error, q, script_server  # noqa: F401


@pytest.fixture
def full(q):  # noqa: F811
    """A queue with one held, one waiting task and no memory left; the memory is back for the checks."""
    q.register()
    tasks = q.add(3)
    q.claimed = q.claim(slots=1)
    q.server.command("CONFIG", "SET", "maxmemory", 1, "maxmemory-policy", "noeviction")
    q.tasks_there = tasks
    yield q
    q.server.command("CONFIG", "SET", "maxmemory", 0)


def test_lease_goes_on(full):
    assert full.renew(full.claimed)[0] == "ok"


def test_result_is_recorded(full):
    full.finish(*full.claimed)
    assert full.state(full.tasks_there[0]) == "finished"


def test_cancel_and_forget_make_room(full):
    assert full.run("cancel", full.tasks_there[2].id) == [1, 0, 0]
    assert full.run("forget", "cancelled", full.tasks_there[2].id) == [1, 0]


def test_worker_comes_and_leaves(full):
    assert full.register("w2", "i2") == ["ok"]
    assert full.run("leave", "w2", "i2") == b"ok"
    assert full.run("maintain", 5, 0, 0, 0)[1] == 0


def test_new_tasks_and_claims_are_refused_whole(full):
    task = full.task()
    assert "OOM" in is_error(full, "load", 0, 0, task.id, task.record(0), "")
    assert full.redis("HEXISTS", "task", task.id) == 0
    assert "OOM" in is_error(full, "claim", "w1", "i1", "f" * 16, "e" * 16, 1 << 30, 4000, 1, 0, ",", 0, 1 << 30,
                             4000, 0, "", "")
    assert full.state(full.tasks_there[1]) == "todo"
