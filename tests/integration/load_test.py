"""loadTask: both forms of a task file, identity, refusals, streams, interruption."""
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

import harness
from redisproxy import interrupted_by_proxy
from scriptqueue import ScriptQueue


@pytest.fixture
def records(redis):
    """What the queue has: records() -> {id: Record}; the invariants of the queue hold at the end."""
    q = ScriptQueue(redis)
    yield q.records
    q.check()


def counts(text):
    """{'new': 3, ...} of the answer."""
    assert re.fullmatch(r"\d+ new, \d+ known, \d+ updated, \d+ duplicate, \d+ failed(, \d+ retried)?\n", text), text
    return {word: int(n) for n, word in re.findall(r"(\d+) (\w+)", text) if n != "0"}


def load(queue, text, *words, name="task"):
    data = text if isinstance(text, bytes) else text.encode()
    (queue.cwd / name).write_bytes(data)
    return counts(queue("loadTask", "--taskfile", name, *words))


def dry(queue, text, *words, name="task"):
    data = text if isinstance(text, bytes) else text.encode()
    (queue.cwd / name).write_bytes(data)
    out = queue("loadTask", name, "--dry_run", *words)
    return [json.loads(line) for line in out.splitlines()]


def refused(queue, text, *words, name="task"):
    """The lines of stderr of a load that must fail."""
    data = text if isinstance(text, bytes) else text.encode()
    (queue.cwd / name).write_bytes(data)
    done = queue.run("loadTask", name, *words)
    assert done.returncode == 1 and done.stdout == "", done
    return done.stderr.splitlines()


# --- both forms ---


def test_line_form(queue, records):
    assert load(queue, "# two tasks\n\nshell:4:2:0.5:./sim a:b\npython:0:512MiB:2:-c 'print(1)'\n") == {"new": 2}
    found = {record.rest[-5:]: record for record in records().values()}
    shell, python = found[b"m a:b"], found[b"t(1)'"]
    assert (shell.priority, shell.mem, shell.mcpu, shell.state) == (4, 2 << 30, 500, "todo")
    assert (python.priority, python.mem, python.mcpu) == (0, 512 << 20, 2000)


def test_both_forms_are_the_same_task(queue, records):
    lines = "#@ name=prep timeout=5m env.SEED=7 labels=ssd,big\nshell:4:2:0.5:./sim lru 4\n"
    obj = {"params": "./sim lru 4", "priority": 4, "min_dram": "2GiB", "min_cpu": 0.5, "name": "prep",
           "timeout": 300, "env": {"SEED": 7}, "labels": ["ssd", "big"]}
    assert load(queue, lines) == {"new": 1}
    assert load(queue, json.dumps(obj) + "\n", name="task.jsonl") == {"known": 1}
    assert dry(queue, lines) == dry(queue, json.dumps(obj), name="task.jsonl")
    assert len(records()) == 1


def test_format_is_found_or_said(queue):
    line = '{"params": "true"}\n'
    assert load(queue, line, name="looks_like_json") == {"new": 1}
    assert load(queue, line, "--format", "jsonl") == {"known": 1}
    assert refused(queue, line, "--format", "lines")[0].startswith("task:1:1: ")


def test_name_of_the_batch(queue):
    tasks = dry(queue, "shell:1:0:0:a\n#@ name=x\nshell:1:0:0:b\n", "--name", "night")
    assert [task["name"] for task in tasks] == ["night", "night/x"]
    done = queue.run("loadTask", "task", "--name", "a b")
    assert done.returncode == 2 and "--name" in done.stderr


def test_repeat(queue, records):
    text = "#@ repeat=3\nshell:1:0:0:./sample\n"
    assert load(queue, text) == {"new": 3}
    assert load(queue, text) == {"known": 3}
    assert load(queue, text.replace("3", "5")) == {"new": 2, "known": 3}
    assert len(records()) == 5
    assert [task["repeat_index"] for task in dry(queue, text)] == [1, 2, 3]


def test_directives_hold_until_changed(queue):
    text = "shell:1:0:0:a\n#@ timeout=10 env.A=1\nshell:1:0:0:b\n#@ timeout=\nshell:1:0:0:c\n"
    a, b, c = dry(queue, text)
    assert "timeout" not in a and b["timeout"] == 10 and "timeout" not in c
    assert "env" not in a and b["env"] == c["env"] == {"A": "1"}


# --- bytes ---


def test_line_ends_bom_and_a_last_line_without_end(queue, records):
    text = b"\xef\xbb\xbf#@ name=x\r\nshell:1:0:0:one\r\n\r\n# comment\r\nshell:1:0:0:two"
    assert load(queue, text) == {"new": 2}
    assert load(queue, text.replace(b"\r\n", b"\n").replace(b"\xef\xbb\xbf", b"")) == {"known": 2}
    assert {record.rest[2:] for record in records().values()} == {b"one", b"two"}


def test_bytes_that_are_not_utf8(queue, records):
    assert load(queue, b"shell:1:0:0:cat /data/caf\xe9/\xff\n") == {"new": 1}
    assert [record.rest[2:] for record in records().values()] == [b"cat /data/caf\xe9/\xff"]
    assert dry(queue, b"shell:1:0:0:cat /data/caf\xe9\n")[0]["params"] == "cat /data/caf�"


def test_a_line_of_1_mib(queue, records):
    longest = b"x" * (1 << 20)
    assert load(queue, b"shell:1:0:0:" + longest + b"\nshell:1:0:0:b\n") == {"new": 2}
    assert max(len(record.rest) for record in records().values()) == 2 + (1 << 20)
    lines = refused(queue, b"shell:1:0:0:" + longest + b"x\nshell:1:0:0:b\n")
    assert lines[0].startswith("task:1:1048589: params of 1048577 bytes, expected at most 1048576"), lines[0]


def test_longer_than_any_line(queue):
    lines = refused(queue, b"shell:1:0:0:a\nshell:1:0:0:" + b"x" * 3_000_000 + b"\nshell:1:0:0:b\nshel:1:0:0:b\n")
    assert lines[0].startswith("task:2:") and "too long" in lines[0]
    assert lines[1].startswith("task:4:1: ")


def test_empty_files(queue):
    for text in ("", "\n", "# nothing\n", "#@ name=x\n"):
        assert load(queue, text) == {}


# --- identity ---


def test_again_adds_nothing(queue, records):
    text = "".join(f"shell:1:0:0:echo {i}\n" for i in range(1200))
    assert load(queue, text) == {"new": 1200}
    before = records()
    assert load(queue, text) == {"known": 1200}
    assert {id: (r.state, r.rest) for id, r in records().items()} == {id: (r.state, r.rest) for id, r in before.items()}
    assert queue.counts()["todo"] == 1200


def test_identical_lines_are_one_task(queue, records):
    assert load(queue, "shell:1:0:0:a\nshell:1:0:0:b\nshell:1:0:0:a\n") == {"new": 2, "duplicate": 1}
    assert load(queue, "shell:1:0:0:c\n" + "".join(f"shell:1:0:0:x{i}\n" for i in range(1000)) +
                "shell:1:0:0:c\n") == {"new": 1001, "duplicate": 1}
    assert len(records()) == 1003


def test_edited_priority_and_request_update(queue, records):
    assert load(queue, "shell:1:0:0:a\nshell:1:0:0:b\n") == {"new": 2}
    assert load(queue, "shell:7:2:0.5:a\nshell:1:0:0:b\n") == {"updated": 1, "known": 1}
    found = {record.rest[2:]: record for record in records().values()}
    assert (found[b"a"].priority, found[b"a"].mem, found[b"a"].mcpu) == (7, 2 << 30, 500)
    assert load(queue, "#@ timeout=5\nshell:7:2:0.5:a\n") == {"updated": 1}
    # What makes a task another task.
    assert load(queue, "#@ env.A=1\nshell:1:0:0:a\n") == {"new": 1}
    assert load(queue, "#@ cwd=/tmp\nshell:1:0:0:a\n#@ cwd= name=n\nshell:1:0:0:a\n") == {"new": 2}


def test_ended_tasks_and_retry_failed(queue, worker, records):
    text = "shell:1:0:0:test -e ok\nshell:1:0:0:true\n"
    assert load(queue, text) == {"new": 2}
    worker(max_retry_per_task=1)
    queue.wait_counts(finished=1, failed=1)
    done = queue.run("loadTask", "task")
    assert counts(done.stdout) == {"known": 1, "failed": 1}
    assert "--retry_failed" in done.stderr
    assert queue.run("loadTask", "task", "--quiet").stderr == ""
    assert load(queue, text.replace("shell:1", "shell:5")) == {"known": 1, "failed": 1}
    (queue.cwd / "ok").touch()
    assert load(queue, text, "--retry_failed") == {"known": 1, "retried": 1}
    queue.wait_counts(finished=2, failed=0)
    assert load(queue, text, "--retry_failed") == {"known": 2}


def test_json_answer(queue):
    queue.load("shell:1:0:0:a\nshell:1:0:0:a\n")
    assert queue.json("loadTask", "task") == {"new": 0, "known": 1, "updated": 0, "duplicate": 1, "failed": 0,
                                              "retried": 0}


# --- bad files ---


def test_bad_files_are_refused_whole(queue, records):
    text = ("shell:1:0:0:good\n"
            "shel:1:0:0:type\n"
            "shell:-1:0:0:priority\n"
            "shell:1:2X:0:memory\n"
            "shell:1:0:many:cores\n"
            "shell:1:0:0:\n"
            "shell:1:0\n"
            "#@ timout=5\n"
            "#@  retries=0\n"
            "python:1:0:0:-c 'open\n"
            "shell:1:0:0:good too\n")
    lines = refused(queue, text)
    places = [line.split(": ")[0] for line in lines[:-1]]
    assert places == ["task:2:1", "task:3:7", "task:4:9", "task:5:11", "task:6:13", "task:7:10", "task:8:4",
                      "task:9:13", "task:10:17"]
    assert all("expected " in line for line in lines[:-1]), lines
    assert lines[-1] == "redisManager loadTask: task has 9 errors; nothing was loaded"
    assert records() == {}


def test_bad_json_lines(queue, records):
    text = '{"params": "good"}\n{"params": "a", "priorty": 1}\n{"params": "a", "priority": "x"}\n{"params"\n[1]\n{}\n'
    lines = refused(queue, text, name="t.jsonl")
    places = [line.split(": ")[0] for line in lines[:-1]]
    assert places[:2] == ["t.jsonl:2:17", "t.jsonl:3:17"]
    assert [place.split(":")[1] for place in places[2:]] == ["4", "5", "6"]
    assert "priority" in lines[0] and records() == {}


def test_twenty_errors_are_told_and_the_rest_counted(queue):
    lines = refused(queue, "x\n" * 50)
    assert [line.split(":")[1] for line in lines[:20]] == [str(i) for i in range(1, 21)]
    assert lines[20] == "task: and 30 more"
    assert "50 errors" in lines[21] and len(lines) == 22


def test_a_nul_byte_and_utf16(queue):
    assert refused(queue, b"shell:1:0:0:a\nshell:1:0:0:a\0b\n")[0].startswith("task:2:14: a NUL byte")
    assert refused(queue, "shell:1:0:0:a\n".encode("utf-16"))[0].startswith("task:1:")


@pytest.mark.parametrize("path,why", [("missing", "No such file"), (".", "directory")])
def test_files_that_cannot_be_read(queue, path, why):
    done = queue.run("loadTask", path)
    assert done.returncode == 1 and why.lower() in done.stderr.lower() and done.stderr.count("\n") == 1


def test_a_bad_file_empties_nothing_in_a_chain(queue, records):
    queue.load("shell:1:0:0:a\n")
    (queue.cwd / "bad").write_text("shell:1:0:0\n")
    for words, text in ((["--taskfile", "bad"], None), (["--taskfile", "missing"], None),
                        (["--taskfile", "-"], "shell:x:0:0:a\n")):
        done = queue.run("--task", "initRedis&loadTask", *words, input=text)
        assert done.returncode == 1 and done.stdout == "", done
        assert len(records()) == 1
    out = queue("--task", "initRedis&loadTask", "--taskfile", "-", input="shell:1:0:0:b\nshell:1:0:0:c\n")
    assert out.splitlines() == ["1 task removed from queue default",
                                "2 new, 0 known, 0 updated, 0 duplicate, 0 failed"]


def test_usage(queue):
    for words in (["loadTask"], ["loadTask", "a", "--taskfile", "b"], ["loadTask", "a", "b"],
                  ["loadTask", "a", "--format", "xml"]):
        done = queue.run(*words)
        assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done


# --- dry run ---


def test_dry_run_changes_nothing_and_needs_no_redis(queue, box, records):
    text = "#@ name=a\nshell:1:auto:0.5:x\n#@ name=b after=a\nshell:1:2:0:y\n"
    first, second = dry(queue, text)
    assert first == {"id": first["id"], "type": "shell", "priority": 1, "min_dram": "auto", "min_cpu": 0.5,
                     "params": "x", "name": "a"}
    assert second["after"] == ["a"] and second["min_dram"] == 2
    assert records() == {}
    offline = harness.Queue(f"unix://{box}/nothing", queue.cwd)
    assert len(dry(offline, text)) == 2
    assert load(queue, text) == {"new": 2}
    assert set(records()) == {first["id"], second["id"]}


def test_dry_run_of_a_bad_file(queue):
    lines = refused(queue, "shell:1:0:0:a\nshell\n", "--dry_run")
    assert lines[0].startswith("task:2:")


def test_dry_run_asks_the_queue_for_names(queue, box):
    queue.load("#@ name=there\nshell:1:0:0:x\n")
    assert len(dry(queue, "#@ after=there\nshell:1:0:0:y\n")) == 1
    assert refused(queue, "#@ after=nowhere\nshell:1:0:0:y\n", "--dry_run")[0].startswith("task:1:10: ")
    done = harness.Queue(f"unix://{box}/nothing", queue.cwd).run("loadTask", "task", "--dry_run")
    assert done.returncode == 1 and "nothing" in done.stderr


# --- streams, size, interruption ---


def test_standard_input(queue, records):
    assert counts(queue("loadTask", "-", input="shell:1:0:0:a\nshell:1:0:0:b\n")) == {"new": 2}
    assert counts(queue("loadTask", "--taskfile", "-", input='{"params": "a", "priority": 1}\n')) == {"updated": 1}
    done = queue.run("loadTask", "-", input="shell:1:0:0:c\nshell:1\n")
    assert done.returncode == 1 and done.stderr.startswith("standard input:2:"), done.stderr
    assert len(records()) == 2


def test_a_pipe_is_read_once(queue, box):
    fifo = box / "fifo"
    os.mkfifo(fifo)
    writer = subprocess.Popen(["sh", "-c", f"seq 1 3000 | sed 's/^/shell:1:0:0:echo /' >{fifo}"])
    assert counts(queue("loadTask", fifo)) == {"new": 3000}
    assert writer.wait() == 0


def write_many(path, count, word="echo"):
    with open(path, "w") as file:
        for i in range(count):
            file.write(f"shell:1:0:0:{word} {i:07d} padded to about eighty bytes a line, as usual ....\n")


def test_memory_does_not_grow_with_the_file(queue, records):
    write_many(queue.cwd / "task", 300_000)
    process = start_load(queue)
    peaks = [0]

    def ended():
        status = Path(f"/proc/{process.pid}/status").read_text()
        peaks.extend(int(kib) for kib in re.findall(r"VmHWM:\s+(\d+)", status))
        return process.poll() is not None

    harness.wait_until(ended, 60)
    assert process.returncode == 0 and counts(process.communicate()[0]) == {"new": 300_000}
    assert max(peaks) > 0
    if "build-" not in str(harness.BIN):  # sanitizers need more
        assert max(peaks) < 32 * 1024, f"{max(peaks)} KiB"
    assert queue.counts()["todo"] == 300_000


def start_load(queue, *words):
    return subprocess.Popen([harness.program("redisManager"), "loadTask", "task", *words, *queue.flags],
                            cwd=queue.cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_load_repeated_is_whole(queue, redis, records, how):
    write_many(queue.cwd / "task", 200_000)
    code, out, err = interrupted_by_proxy(redis, queue.cwd, how, 60, "loadTask", "task")
    if how != signal.SIGKILL:
        assert code == 128 + how and out == ""
        assert re.search(r"interrupted; by then \d+ new, .*the same call again brings the rest\n", err), err
    ScriptQueue(redis).check()  # only whole tasks
    there = len(records())
    assert 20_000 < there < 200_000, "the load was not interrupted"
    assert counts(queue("loadTask", "task")) == {"known": there, "new": 200_000 - there}
    assert counts(queue("loadTask", "task")) == {"known": 200_000}
    assert queue.counts()["todo"] == 200_000


def test_a_reader_that_goes_away(queue):
    write_many(queue.cwd / "task", 50_000)
    line = f"{harness.program('redisManager')} loadTask task --dry_run"
    done = subprocess.run(["bash", "-c", f"{line} | head -n 1; echo ${{PIPESTATUS[0]}}"], cwd=queue.cwd,
                          capture_output=True, text=True)
    assert done.stdout.splitlines()[1] == str(128 + signal.SIGPIPE) and done.stderr == ""


def test_no_bar_without_a_terminal(queue):
    write_many(queue.cwd / "task", 150_000)
    done = queue.run("loadTask", "task")
    assert done.returncode == 0 and done.stderr == ""


def test_a_bar_on_a_terminal(queue):
    write_many(queue.cwd / "task", 300_000)
    shown = on_terminal(queue, "loadTask", "task")
    assert "loading" in shown and "of 300,000" in shown
    assert "loading" not in on_terminal(queue, "loadTask", "task", "--progress", "false")
    assert "loading" not in on_terminal(queue, "loadTask", "task", "--quiet")


def on_terminal(queue, *words):
    """All that is written when stdout and stderr are a terminal."""
    main, side = os.openpty()
    process = subprocess.Popen([harness.program("redisManager"), *words, *queue.flags], cwd=queue.cwd, stdout=side,
                               stderr=side, env={**os.environ, "TERM": "xterm"})
    os.close(side)
    shown = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(main)
    assert process.wait() == 0, shown
    return shown.decode(errors="replace")
