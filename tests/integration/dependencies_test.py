"""after= and after_any=: names and ids, from directives, JSON lines and addTask; failures and their reasons."""
import json

import pytest

from scriptqueue import ScriptQueue


@pytest.fixture
def q(redis):
    q = ScriptQueue(redis)
    yield q
    q.check()


def by_command(q):
    """{last word of the command: id}"""
    return {record.rest.split(b" ")[-1].decode(): id for id, record in q.records().items()}


def state_of(q):
    return {record.rest.split(b" ")[-1].decode(): record.state for record in q.records().values()}


def work(q, *outcomes):
    """Claims what there is and ends it: {last word: outcome}, the others are finished."""
    wanted = dict(outcomes)
    q.register()
    claimed = q.claim(slots=100)
    for c in claimed:
        q.finish(c, outcome=wanted.get(q.record(c).rest.split(b" ")[-1].decode(), "finished"))
    q.settle()
    return len(claimed)


def reason(q, id):
    return q.log(id)[-1][-1]


def test_names_from_directives(queue, q):
    queue.load("#@ name=prep\nshell:1:0:0:echo p1\nshell:1:0:0:echo p2\n"
               "#@ name=sim after=prep\nshell:9:0:0:echo s1\nshell:9:0:0:echo s2\n"
               "#@ name= after=sim\nshell:9:0:0:echo plot\n")
    assert state_of(q) == {"p1": "todo", "p2": "todo", "s1": "waiting", "s2": "waiting", "plot": "waiting"}
    assert work(q) == 2
    assert state_of(q) == {"p1": "finished", "p2": "finished", "s1": "todo", "s2": "todo", "plot": "waiting"}
    assert work(q) == 2
    assert work(q) == 1
    assert set(state_of(q).values()) == {"finished"}


def test_json_lines_and_several_names(queue, q):
    lines = [{"params": "echo a", "name": "a"}, {"params": "echo b", "name": "b"},
             {"params": "echo c", "after": ["a", "b"]}, {"params": "echo d", "after": "a"},
             {"params": "echo e", "after_any": ["b"]}]
    queue.load("".join(json.dumps(line) + "\n" for line in lines), name="task.jsonl")
    assert {word for word, state in state_of(q).items() if state == "waiting"} == {"c", "d", "e"}
    work(q)
    assert {word for word, state in state_of(q).items() if state == "todo"} == {"c", "d", "e"}


def test_ids_of_the_queue(queue, q):
    queue.load("shell:1:0:0:echo first\n")
    first = by_command(q)["first"]
    queue.load(f"#@ after={first}\nshell:1:0:0:echo second\n", name="second")
    queue("addTask", *queue.flags, "--after", first, "echo", "third", flags=False)
    assert state_of(q) == {"first": "todo", "second": "waiting", "third": "waiting"}
    work(q)
    assert state_of(q) == {"first": "finished", "second": "todo", "third": "todo"}


def test_what_has_finished_is_not_waited_for(queue, q):
    queue.load("#@ name=a\nshell:1:0:0:echo a\n")
    work(q)
    queue.load("#@ after=a\nshell:1:0:0:echo b\n", name="second")
    assert state_of(q)["b"] == "todo"


def test_a_failure_goes_down_with_its_reason(queue, q):
    queue.load("#@ name=a retries=1\nshell:1:0:0:echo a1\nshell:1:0:0:echo a2\n"
               "#@ name=b after=a\nshell:1:0:0:echo b\n"
               "#@ name=c after=b\nshell:1:0:0:echo c\n"
               "#@ name= after= after_any=a\nshell:1:0:0:echo any\n")
    work(q, ("a1", "failed"))
    q.settle()
    assert state_of(q) == {"a1": "failed", "a2": "finished", "b": "failed", "c": "failed", "any": "todo"}
    ids = by_command(q)
    assert "a" in reason(q, ids["b"]) and "failed" in reason(q, ids["b"])
    assert "b" in reason(q, ids["c"])


def test_added_to_what_has_failed(queue, q):
    queue.load("#@ name=a\nshell:1:0:0:echo a\n")
    work(q, ("a", "failed"))
    queue.load("#@ after=a\nshell:1:0:0:echo b\n", name="second")
    assert state_of(q)["b"] == "failed"
    assert "a" in reason(q, by_command(q)["b"])
    # Retried together, in whichever order.
    assert queue("moveFailedTaskToTodo") == "2 tasks moved to todo\n"
    assert state_of(q) == {"a": "todo", "b": "waiting"}


def test_cancelled_is_as_failed(queue, q):
    queue.load("#@ name=a\nshell:1:0:0:echo a\n#@ name= after=a\nshell:1:0:0:echo b\n"
               "#@ after= after_any=a\nshell:1:0:0:echo c\n")
    queue("cancelTask", "--name", "a")
    q.settle()
    assert state_of(q) == {"a": "cancelled", "b": "failed", "c": "todo"}


def test_held_tasks_wait_on(queue, q):
    queue.load("#@ name=a\nshell:1:0:0:echo a\n#@ name= after=a\nshell:1:0:0:echo b\n")
    assert queue("holdTask", by_command(q)["b"]) == "1 task held\n"
    work(q)
    assert state_of(q) == {"a": "finished", "b": "held"}
    queue("releaseTask", "--all")
    assert state_of(q)["b"] == "todo"
    queue.load("#@ name=a\nshell:1:0:0:echo a2\n#@ name= after=a\nshell:1:0:0:echo b2\n", name="second")
    queue("holdTask", by_command(q)["b2"])
    assert queue("releaseTask", "--all") == "1 task released\n"
    assert state_of(q)["b2"] == "waiting"


def test_names_inside_a_batch_and_nested(queue, q):
    text = ("#@ name=prep\nshell:1:0:0:echo p\n#@ name=sim/x after=prep\nshell:1:0:0:echo x\n"
            "#@ name= after=sim\nshell:1:0:0:echo plot\n")
    queue.load(text, "--name", "night")
    queue.load(text, "--name", "day")
    assert sorted(record.state for record in q.records().values()) == ["todo"] * 2 + ["waiting"] * 4
    assert q.group("night")["total"] == 3 and q.group("night/sim")["total"] == 1
    queue("cancelTask", "--name", "night/prep")
    q.settle()
    assert {record.name: record.state for record in q.records().values()} == {
        "night/prep": "cancelled", "night/sim/x": "failed", "night": "failed",
        "day/prep": "todo", "day/sim/x": "waiting", "day": "waiting"}


def test_a_load_of_several_batches_stays_open_until_its_end(queue, q):
    """What waits for a name waits for all tasks of the load that have it."""
    queue.load("#@ name=a\n" + "".join(f"shell:1:0:0:echo a{i}\n" for i in range(1500)) +
               "#@ name= after=a\nshell:1:0:0:echo last\n")
    for _ in range(14):
        assert work(q) == 100
        assert state_of(q)["last"] == "waiting"
    assert work(q) == 100
    assert state_of(q)["last"] == "todo"


def test_ended_names_that_a_load_of_several_batches_opens_again(queue, q):
    """What waits for them is let go when that load closes, since nothing else ends."""
    early = "#@ name=early\nshell:0:0:0:true early\n"
    queue.load(early)
    queue("cancelTask", by_command(q)["early"])
    text = early + "#@ name=\n" + "".join(f"shell:0:0:0:true {n}\n" for n in range(1200))
    queue.load(text + "#@ after_any=early\nshell:0:0:0:true late\n")
    q.settle()
    assert state_of(q)["late"] == "todo"


def test_the_queue_is_asked_once_and_for_many_names_at_a_time(queue, redis, box):
    count = 4000
    (box / "first.jsonl").write_text(
        "".join(json.dumps({"params": f"true {n}", "name": f"n{n}"}) + "\n" for n in range(count)))
    (box / "second.jsonl").write_text(
        "".join(json.dumps({"params": f"false {n}", "after": [f"n{n}"]}) + "\n" for n in range(count)))
    queue("loadTask", box / "first.jsonl")
    redis.command("CONFIG", "RESETSTAT")
    queue("loadTask", box / "second.jsonl")
    assert redis.info("commandstats")["cmdstat_hexists"].startswith(f"calls={count},")
    assert int(redis.info("stats")["total_reads_processed"]) < 500


def test_errors_are_told_in_the_order_of_the_file(queue, box):
    """A reference that the queue is asked for is known to be wrong later than a line below it."""
    path = box / "bad.jsonl"
    path.write_text('{"params": "a", "after": "nowhere"}\nnonsense\n{"params": "b", "after": ["x", "y"]}\n'
                    + '{"params": "c", "name": "c"}\n' * 3 + '{"params": "d", "after": "c"}\n{"bad": 1}\n')
    done = queue.run("loadTask", path)
    lines = [line.split(":")[1] for line in done.stderr.splitlines()[:-1]]
    assert (done.returncode, lines) == (1, ["1", "2", "3", "8"]), done.stderr
    assert done.stderr.endswith("has 4 errors; nothing was loaded\n")
    path.write_text("nonsense\n" * 3 + '{"params": "a", "after": "nowhere"}\n' * 10 + "nonsense\n" * 30)
    told = queue.run("loadTask", path).stderr.splitlines()
    assert [line.split(":")[1] for line in told[:20]] == [str(n) for n in range(1, 21)]
    assert told[20].endswith(": and 23 more")


def test_many_dependants(queue, q):
    queue.load("#@ name=a\nshell:1:0:0:echo a\n#@ name= after=a\n" +
               "".join(f"shell:1:0:0:echo b{i}\n" for i in range(3000)))
    work(q)
    assert q.counts()["todo"] == 3000


# --- refused ---


@pytest.mark.parametrize("text,place", [
    ("#@ after=nowhere\nshell:1:0:0:a\n", "task:1:10"),
    ("shell:1:0:0:a\n#@ name=x   after_any='no where,nowhere'\nshell:1:0:0:b\n", "task:2:"),
    ("#@ name=b after=c\nshell:1:0:0:a\n#@ name=c after=b\nshell:1:0:0:b\n", "task:1:17"),
    ("#@ name=x\n#@ after=x\nshell:1:0:0:a\n", "task:"),
    ("#@ name=x/y after=x\nshell:1:0:0:a\n", "task:"),
    ("#@ after=0123456789abcd\nshell:1:0:0:a\n", "task:1:10"),
    ('{"params": "a"}\n{"params": "b", "after": ["nowhere"]}\n', "task:2:17"),
])
def test_unknown_names_and_cycles_are_refused(queue, q, text, place):
    (queue.cwd / "task").write_text(text)
    done = queue.run("loadTask", "task")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(place), done.stderr
    assert q.records() == {}


def test_one_directive_is_told_once(queue, q):
    (queue.cwd / "task").write_text("#@ after=nowhere repeat=1000\n" + "shell:1:0:0:a\nshell:1:0:0:b\n")
    done = queue.run("loadTask", "task")
    assert len(done.stderr.splitlines()) == 2, done.stderr
    assert "1 error;" in done.stderr


def test_through_real_workers(queue, worker):
    queue.load("#@ name=a\nshell:1:0:0:echo one >>log\nshell:1:0:0:echo one >>log\n"
               "#@ name=b after=a\nshell:9:0:0:echo two >>log\n"
               "#@ name=c after=b retries=1\nshell:9:0:0:echo three >>log; exit 3\n"
               "#@ name=d after=c\nshell:9:0:0:echo never >>log\n"
               "#@ name=e after= after_any=d\nshell:9:0:0:echo four >>log\n")
    worker(health_report_interval="200ms", lease="2s")
    queue.wait_counts(finished=3, failed=2, todo=0, in_progress=0)
    assert (queue.cwd / "log").read_text().split() == ["one", "two", "three", "four"]


def test_the_file_before_the_queue(queue, q, redis):
    """A name of the file is meant, however near one of the queue is; and it costs no question."""
    queue.load("#@ name=x/a\nshell:1:0:0:echo old\n", name="old")
    redis.command("CONFIG", "RESETSTAT")
    text = "#@ name=a\nshell:1:0:0:echo new\n" + "".join(f"#@ name=x/{i} after=a\nshell:1:0:0:echo {i}\n"
                                                         for i in range(100))
    for _ in range(2):
        queue.load(text)
    assert q.group("x/a")["dependants"] == 0 and q.group("a")["dependants"] == 1
    assert redis.info("commandstats").get("cmdstat_hexists") is None
