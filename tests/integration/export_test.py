"""exportTask: every task a row, whatever it printed."""
import csv
import io
import json
import os
import subprocess
import sys

import pytest

import harness

COLUMNS = ["id", "name", "state", "type", "priority", "min_dram", "min_cpu", "gpu", "gpu_mem", "labels", "limit",
           "pin", "command", "tries", "exit_code", "signal", "worker", "start", "end", "wall_s", "user_s", "system_s",
           "max_rss_bytes", "read_bytes", "write_bytes", "stdout", "stderr", "reason"]


def rows(text):
    """CSV as a strict reader sees it."""
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def raw(queue, *words):
    done = subprocess.run([harness.program("redisManager"), "exportTask", *map(str, words), *queue.flags],
                                  capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def json_lines(queue, *words):
    return [json.loads(line) for line in queue("exportTask", "--format", "jsonl", *words).splitlines()]


@pytest.fixture
def done(queue, worker):
    """A few ended tasks of all kinds, and one that has not run."""
    worker("w1", max_retry_per_task=1)
    queue.load("#@ name=good\nshell:3:64MiB:0.5:echo \"a,b\"; printf 'line 2 \"quoted\"\\n\\n'; echo problem >&2\n"
               "#@ name=bad\nshell:3:0:0:echo wrong >&2; exit 9\n"
               "#@ name=killed\nshell:3:0:0:kill -TERM $$\n"
               "#@ name=after after=bad\nshell:3:0:0:true\n"
               "#@ name=never\n#@ after= labels=nobody\nshell:1:auto:2:true never\n"
               "#@ name=gone\nshell:1:0:0:true gone\n")
    queue("cancelTask", "--name", "gone")
    queue.wait_counts(finished=1, failed=4, todo=1)


def test_nothing_is_a_head(queue):
    assert raw(queue) == ",".join(COLUMNS).encode() + b"\r\n"
    assert raw(queue, "--format", "jsonl") == b""


def test_rows_and_columns(queue, done):
    found = {row["name"]: row for row in rows(raw(queue).decode())}
    assert set(found) == {"good", "bad", "killed", "after", "gone"}
    good = found["good"]
    assert list(good) == COLUMNS
    assert (good["state"], good["type"], good["priority"], good["min_dram"], good["min_cpu"], good["tries"],
            good["exit_code"], good["signal"], good["worker"]) == ("finished", "shell", "3", "0.0625", "0.5", "1", "0", "", "w1")
    assert good["stdout"] == 'a,b\nline 2 "quoted"\n' and good["stderr"] == "problem"
    assert good["start"].startswith("20") and good["end"] >= good["start"] and float(good["wall_s"]) > 0
    assert int(good["max_rss_bytes"]) > 100000 and good["reason"] == ""
    assert (found["bad"]["state"], found["bad"]["exit_code"], found["bad"]["reason"]) == ("failed", "9", "wrong")
    assert (found["killed"]["exit_code"], found["killed"]["signal"]) == ("", "SIGTERM")
    assert (found["after"]["exit_code"], found["after"]["reason"]) == ("", "dependency bad failed")
    assert (found["gone"]["state"], found["gone"]["tries"], found["gone"]["start"]) == ("cancelled", "0", "")
    [never] = rows(raw(queue, "--state", "todo").decode())
    assert (never["min_dram"], never["min_cpu"], never["stdout"]) == ("auto", "2", "")
    assert (never["labels"], never["gpu"], never["pin"]) == ("nobody", "", "")
    [never] = json_lines(queue, "--state", "todo")
    assert (never["labels"], never["gpu"], never["limit"]) == ("nobody", None, None)


def test_what_needs_a_card_is_in_columns_of_its_own(queue):
    queue.load("#@ gpu=0.25 gpu_mem=8GiB limit=hard pin=core\nshell:1:1:1:true\n")
    [row] = rows(raw(queue, "--state", "todo").decode())
    assert [row[key] for key in ("gpu", "gpu_mem", "limit", "pin")] == ["0.25", "8", "hard", "core"]
    [row] = json_lines(queue, "--state", "todo")
    assert [row[key] for key in ("gpu", "gpu_mem", "limit", "pin")] == [0.25, 8, "hard", "core"]


def test_every_line_ends_as_rfc_4180_has_it(queue, done):
    text = raw(queue, "--name", "bad").decode()
    assert text.count("\r\n") == text.count("\n") == 2


def test_json_lines(queue, done):
    found = {row["name"]: row for row in json_lines(queue)}
    good = found["good"]
    assert list(good) == [*COLUMNS[:13], "args", *COLUMNS[13:]]
    assert good["stdout"] == 'a,b\nline 2 "quoted"\n\n' and good["stderr"] == "problem\n"
    assert (good["min_dram"], good["min_cpu"], good["exit_code"], good["signal"]) == (0.0625, 0.5, 0, None)
    assert good["wall_s"] > 0 and good["max_rss_bytes"] > 100000
    assert (found["killed"]["exit_code"], found["killed"]["signal"]) == (None, "SIGTERM")
    assert found["after"]["start"] is not None and found["gone"]["start"] is None
    assert raw(queue, "--json") == raw(queue, "--format", "jsonl")


def test_filters(queue, done):
    names = lambda *words: sorted(row["name"] for row in rows(raw(queue, *words).decode()))  # noqa: E731
    assert names("--state", "failed") == ["after", "bad", "killed"]
    assert names("--name", "good", "--name", "bad") == ["bad", "good"]
    assert names("--include", "exit|kill", "--exclude", "kill") == ["bad"]
    assert names("--worker", "w1") == ["bad", "good", "killed"]
    assert names("--priority", 1) == ["gone"]
    assert len(names("--limit", 2)) == 2
    [never] = json_lines(queue, "--state", "todo")
    assert names(never["id"]) == ["never"]
    done = queue.run("exportTask", "zzzzzzzzzzzzzz")
    assert done.returncode == 0 and "1 of the 1 tasks given are not in the queue" in done.stderr


def test_without_output(queue, done):
    head = raw(queue, "--with_output", "false").decode().splitlines()[0]
    assert head.split(",") == [name for name in COLUMNS if name not in ("stdout", "stderr")]
    assert "stdout" not in json_lines(queue, "--with_output", "false")[0]


def test_parameters_of_a_sweep_are_columns(queue, worker):
    worker()
    queue("addTask", "--min_cpu", 0, "--", "echo {1}{2}", ":::", "a", "b,c", ":::", "1", "2")
    queue("addTask", "--min_cpu", 0, "--", "echo {size} {state}", ":::size", "8", ":::state", "x")
    queue("waitTask")
    found = rows(raw(queue).decode())
    assert len(found) == 5
    head = raw(queue).decode().splitlines()[0].split(",")
    assert set(head[13:17]) == {"1", "2", "size", "arg.state"} and head[17] == "tries"
    assert sorted((row["1"], row["2"], row["stdout"]) for row in found if row["1"]) == [
        ("a", "1", "a1"), ("a", "2", "a2"), ("b,c", "1", "b,c1"), ("b,c", "2", "b,c2")]
    [named] = [row for row in found if row["size"]]
    assert (named["arg.state"], named["state"], named["1"]) == ("x", "finished", "")
    assert {"size": "8", "state": "x"} in [row["args"] for row in json_lines(queue)]


def test_bytes_that_are_no_text(queue, worker, box):
    (box / "cwd" / "odd").write_bytes(b"a\xff\0b\xc3\xa9\r\n")
    worker()
    queue("addTask", "--min_cpu", 0, "--", "cat odd")
    queue("waitTask")
    [row] = rows(raw(queue).decode())
    assert row["stdout"] == "a\ufffd\ufffdb\u00e9\r"
    [line] = json_lines(queue)
    assert line["stdout"] == "a\ufffd\0b\u00e9\r\n"


def test_into_a_file_that_appears_when_it_is_whole(queue, done, box):
    path = box / "cwd" / "out.csv"
    ran = queue.run("exportTask", "--file", path)
    assert ran.stdout == "" and "5 tasks written to" in ran.stderr
    assert path.read_bytes() == raw(queue)
    assert [name for name in os.listdir(path.parent) if "out.csv" in name] == ["out.csv"]
    ran = queue.run("exportTask", "--file", box / "nowhere" / "x.csv")
    assert ran.returncode == 1 and "cannot be written" in ran.stderr
    path.unlink()
    if os.path.exists("/dev/full"):
        full = subprocess.run([harness.program("redisManager"), "exportTask", *queue.flags],
                                      stdout=open("/dev/full", "w"), stderr=subprocess.PIPE, text=True)
        assert full.returncode == 1 and "cannot write the answer" in full.stderr


def test_a_closed_pipe_is_no_error_to_tell(queue, done):
    ran = subprocess.run(
        ["sh", "-c", f"{harness.program('redisManager')} exportTask {' '.join(queue.flags)} | true"],
        capture_output=True, text=True)
    assert ran.stderr == ""


def test_many_rows_stream(queue, box):
    """Memory does not grow with the queue: 200,000 rows in less than 40 MiB."""
    queue.load("".join(f"shell:1:0:0:true {n} {'x' * 50}\n" for n in range(200000)))
    program = (f"import resource,subprocess,sys; r=subprocess.run({[harness.program('redisManager'), 'exportTask', '--state', 'todo', *queue.flags]!r},"
               f"stdout=open('{box}/out','wb')); print(r.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    out = subprocess.run([sys.executable, "-c", program],
                                 capture_output=True, text=True, timeout=100).stdout.split()
    assert out[0] == "0" and (box / "out").read_bytes().count(b"\n") == 200001
    if "asan" not in str(harness.BIN):
        assert int(out[1]) < 40 * 1024
