"""addTask: single commands, sweeps, ids, what is refused."""
import json
import re

import pytest

from scriptqueue import ScriptQueue

COUNTS = "{} new, {} known, {} updated, {} duplicate, {} failed"


@pytest.fixture
def records(redis):
    q = ScriptQueue(redis)
    yield q.records
    q.check()


def commands(records):
    """The commands as bytes: behind the type and the options of the record."""
    found = []
    for record in records().values():
        rest, at = record.rest, 2
        for _ in range(rest[1]):
            at += 5 + int.from_bytes(rest[at + 1:at + 5], "big")
        found.append(rest[at:].decode())
    return sorted(found)


def dry(queue, *words):
    return [json.loads(line) for line in queue("addTask", "--dry_run", *queue.flags, *words, flags=False).splitlines()]


def add(queue, *words, **options):
    """queue.flags stand before the command."""
    return queue("addTask", *queue.flags, *words, flags=False, **options)


def refused(queue, *words):
    done = queue.run("addTask", *queue.flags, *words, flags=False)
    assert done.returncode in (1, 2) and done.stdout == "" and done.stderr.count("\n") == 1, done
    return done.returncode, done.stderr


def test_one_command_answers_with_its_id(queue, records):
    out = add(queue, "--priority", "3", "--min_dram", "2", "--min_cpu", "0.5", "--", "./sim", "a b")
    match = re.fullmatch(COUNTS.format(1, 0, 0, 0, 0) + r": ([0-9a-z]{14})\n", out)
    assert match, out
    (id, record), = records().items()
    assert id == match.group(1)
    assert (record.priority, record.mem, record.mcpu, record.rest[2:]) == (3, 2 << 30, 500, b"./sim 'a b'")
    again = add(queue, "--priority", "3", "--min_dram", "2", "--min_cpu", "0.5", "--", "./sim", "a b")
    assert again == COUNTS.format(0, 1, 0, 0, 0) + f": {id}\n"


def test_the_same_task_as_in_a_file(queue, records):
    queue.load("#@ name=x timeout=5m env.A=1\nshell:2:1:1:./sim a\n")
    out = add(queue, "--name", "x", "--timeout", "5m", "--env", "A=1", "--priority", "2", "--min_dram", "1",
              "./sim a")
    assert out.startswith(COUNTS.format(0, 1, 0, 0, 0))
    assert len(records()) == 1


def test_quiet_answers_with_ids_alone(queue, records):
    id = add(queue, "--quiet", "true").strip()
    assert [id] == list(records())
    ids = add(queue, "-q", "echo", ":::", "1", "2", "3").split()
    assert len(ids) == 3 and set(ids) | {id} == set(records())


def test_json_answer(queue, records):
    answer = json.loads(add(queue, "--json", "echo", ":::", "1", "2"))
    assert sorted(answer.pop("ids")) == sorted(records())
    assert answer == {"new": 2, "known": 0, "updated": 0, "duplicate": 0, "failed": 0, "retried": 0}
    answer = json.loads(add(queue, "--json", "echo", ":::", *map(str, range(1001))))
    assert answer["ids"] is None and answer["new"] == 999 and answer["known"] == 2


def test_sweeps(queue, records):
    out = add(queue, "--", "./sim", "{1}", "--size={size}", ":::", "lru", "fifo", ":::size", "1", "2", "4")
    assert out == COUNTS.format(6, 0, 0, 0, 0) + "\n"
    assert commands(records) == sorted(f"./sim {p} --size={n}" for p in ("lru", "fifo") for n in (1, 2, 4))
    tasks = dry(queue, "./sim {1} {size}", ":::", "lru", ":::+size", "8")
    assert [(task["params"], task["arg"]) for task in tasks] == [("./sim lru 8", {"1": "lru", "size": "8"})]


def test_a_sweep_with_repeat(queue, records):
    out = add(queue, "--repeat", "3", "echo", ":::", "1", "2")
    assert out == COUNTS.format(6, 0, 0, 0, 0) + "\n"
    tasks = dry(queue, "--repeat", "2", "echo", ":::", "1")
    assert [task["repeat_index"] for task in tasks] == [1, 2]
    assert len({task["id"] for task in tasks}) == 2


def test_a_large_sweep(queue):
    numbers = [str(i) for i in range(300)]
    out = add(queue, "./sim", ":::", *numbers, ":::", *numbers)
    assert out == COUNTS.format(90000, 0, 0, 0, 0) + "\n"
    assert queue.counts()["todo"] == 90000


def test_retry_failed(queue, worker):
    add(queue, "--retries", "1", "test -e ok")
    worker()
    queue.wait_counts(failed=1)
    done = queue.run("addTask", *queue.flags, "--retries", "1", "test -e ok", flags=False)
    assert done.stdout.startswith(COUNTS.format(0, 0, 0, 0, 1)) and "--retry_failed" in done.stderr
    (queue.cwd / "ok").touch()
    assert ", 1 retried" in add(queue, "--retry_failed", "--retries", "1", "test -e ok")
    queue.wait_counts(finished=1)


def test_after_the_queue_knows(queue, records):
    id = add(queue, "-q", "--name", "prep", "true").strip()
    add(queue, "--after", "prep", "echo by name")
    add(queue, "--after", id, "echo by id")
    assert sorted(record.state for record in records().values()) == ["todo", "waiting", "waiting"]
    code, text = refused(queue, "--after", "nowhere", "echo", ":::", "1", "2")
    assert code == 1 and "nowhere" in text
    assert len(records()) == 3
    assert dry(queue, "--after", "prep", "x")[0]["after"] == ["prep"]
    assert refused(queue, "--dry_run", "--after", "nowhere", "x")[0] == 1


@pytest.mark.parametrize("words,told", [
    ([], "expected"),
    (["--"], "expected"),
    (["echo", ":::"], "no values"),
    (["echo {1}", ":::", "a", ":::", "b"], "list 2"),
    (["echo", ":::", "a", ":::+", "b", "c"], ":::+"),
    (["echo a\necho b"], "line break"),
    (["--type", "shell,python", "x"], "--type"),
    (["--type", "python", "--", "-c 'open"], "expected"),
    (["--timeout", "soon", "x"], "--timeout"),
    (["--env", "A", "x"], "NAME=VALUE"),
    (["--name", "a", "--after", "a", "x"], "after"),
    (["--priority", "-1", "x"], "--priority"),
])
def test_refused_usage(queue, records, words, told):
    code, text = refused(queue, *words)
    assert code == 2 and told in text, text
    assert records() == {}


def test_one_bad_combination_refuses_all(queue, records):
    code, text = refused(queue, "echo " + 10 * "{1}", ":::", "good", "x" * 120_000)
    assert code == 2 and "expected at most 1048576" in text
    assert records() == {}


def test_it_runs(queue, worker):
    worker()
    add(queue, "--env", "WORD=hello", "echo $WORD {1} >out.{1}", ":::", "1", "2")
    queue.wait_counts(finished=2)
    assert (queue.cwd / "out.1").read_text() == "hello 1\n"
