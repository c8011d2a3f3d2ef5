"""taskOutput: the bytes of a task, exactly, after it and while it runs."""
import json
import os
import signal
import struct
import subprocess
import time
from pathlib import Path

import pytest

import harness

FAST = {"health_report_interval": "200ms", "lease": "3s"}
ODD = bytes(range(256)) * 3 + b"\n\0\0last"


def add(queue, *words):
    return queue("addTask", "--min_cpu", 0, *words).split()[-1]


def output(queue, *words, timeout=60):
    """CompletedProcess in bytes."""
    return subprocess.run([harness.program("redisManager"), "taskOutput", *map(str, words), *queue.flags],
                          capture_output=True, timeout=timeout)


def follow(queue, task, *words):
    return subprocess.Popen([harness.program("redisManager"), "taskOutput", "-f", task, *words, *queue.flags],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def read_until(process, wanted, deadline=20):
    """Reads stdout up to what is wanted; returns all that was read."""
    seen = b""
    os.set_blocking(process.stdout.fileno(), False)

    def more():
        nonlocal seen
        seen += process.stdout.read(65536) or b""
        return wanted in seen

    harness.wait_until(more, deadline, what=lambda: f"{wanted!r} in {seen[-200:]!r}")
    os.set_blocking(process.stdout.fileno(), True)
    return seen


# --- afterwards -------------------------------------------------------------------------------


def test_any_bytes_come_back_unchanged(queue, worker, box):
    (box / "cwd" / "odd").write_bytes(ODD)
    worker()
    task = add(queue, "--", "cat odd; tac -s '' odd >&2 || cat odd >&2")
    queue("waitTask")
    done = output(queue, task)
    assert done.returncode == 0 and done.stdout == ODD and len(done.stderr) == len(ODD)
    only = output(queue, task[:8], "--stream", "stdout")
    assert (only.stdout, only.stderr) == (ODD, b"")
    only = output(queue, task, "--stream", "stderr")
    assert (only.stdout, only.stderr) == (b"", done.stderr)
    told = json.loads(output(queue, task, "--json").stdout)
    assert told["stdout_bytes"] == len(ODD) and not told["stdout_cut"] and "\ufffd" in told["stdout"]


def test_no_output(queue, worker):
    task = add(queue, "--", "true")
    done = output(queue, task)
    assert done.returncode == 1 and b"has not run (todo); -f waits for it" in done.stderr
    worker()
    queue("waitTask")
    done = output(queue, task)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert json.loads(output(queue, task, "--json").stdout)["try"] == 1


def test_a_long_output_is_cut_and_says_where_it_is(queue, worker):
    w = worker(output_limit="4KiB")
    task = add(queue, "--", "seq 100000; echo short >&2")
    queue("waitTask")
    done = output(queue, task)
    whole = "".join(f"{n}\n" for n in range(1, 100001)).encode()
    assert done.returncode == 0
    assert done.stdout.startswith(whole[:2048]) and done.stdout.endswith(whole[-2048:])
    assert f"[distcomp: {len(whole) - 4096} bytes left out]".encode() in done.stdout
    assert done.stderr.startswith(b"short\n")
    told = done.stderr.decode()
    assert f"stdout was {len(whole)} bytes long; only its first and last part are here; all of it is kept in " in told
    node, path = told.split("kept in ")[1].strip().split(":")
    assert node == os.uname().nodename and path.startswith(str(w.state_dir))
    assert open(path, "rb").read() == whole
    assert json.loads(output(queue, task, "--json").stdout)["stdout_cut"] is True


def test_output_redis_ships_it_whole(queue, worker):
    worker(output_limit="4KiB")
    task = add(queue, "--output", "redis", "--", "seq 100000; seq 3 >&2")
    queue("waitTask")
    done = output(queue, task)
    assert done.stdout == "".join(f"{n}\n" for n in range(1, 100001)).encode()
    assert done.stderr == b"1\n2\n3\n"


def test_a_dropped_output_says_so(queue, worker):
    worker(keep_output_bytes="2KiB")
    first = add(queue, "--output", "keep", "--", "head -c 3000 /dev/zero")
    queue("waitTask")
    add(queue, "--", "head -c 1000 /dev/zero")
    queue("waitTask")
    done = output(queue, first)
    assert done.returncode == 1 and done.stdout == b""
    assert b"its output was dropped to make room (keep_output_bytes); all of it is kept in " in done.stderr
    assert "output    dropped to make room" in queue("showTask", first)


def test_a_retried_task_shows_its_last_try(queue, worker):
    worker(retry_backoff="1h", retry_backoff_max="1h")
    task = add(queue, "--", "echo try $DISTCOMP_TRY; exit 1")
    harness.wait_until(lambda: queue.json("showTask", task)["state"] == "delayed")
    done = output(queue, task)
    assert (done.returncode, done.stdout) == (0, b"try 1\n")
    assert b"this is from try 1; the task is delayed" in done.stderr


def test_unknown_tasks_and_usage(queue):
    assert output(queue, "zzzzzzzzzzzzzz").returncode == 1
    assert output(queue).returncode == 2
    assert output(queue, "a", "b").returncode == 2
    assert output(queue, "a", "-f", "--json").returncode == 2
    assert output(queue, "a", "--stream", "neither").returncode == 2


# --- while it runs ----------------------------------------------------------------------------


def test_follow_shows_it_as_it_comes(queue, worker, box):
    worker(**FAST)
    task = add(queue, "--", f"echo first; echo problem >&2; while [ ! -e {box}/go ]; do sleep 0.02; done; printf 'a\\0\\377'")
    queue.wait_counts(in_progress=1)
    following = follow(queue, task)
    seen = read_until(following, b"first\n")
    assert following.poll() is None
    (box / "go").touch()
    out, err = following.communicate(timeout=30)
    assert seen + out == b"first\na\0\xff" and err == b"problem\n"
    assert following.returncode == 0


def test_follow_waits_for_a_task_that_has_not_started(queue, worker):
    task = add(queue, "--", "echo there")
    following = follow(queue, task)
    harness.wait_until(lambda: following.stderr.readline().endswith(b"has not started yet (todo); waiting for it\n"))
    worker(**FAST)
    out, err = following.communicate(timeout=30)
    assert (following.returncode, out, err) == (0, b"there\n", b"")


def test_follow_of_an_ended_task_is_its_output(queue, worker):
    worker(max_retry_per_task=1)
    good, bad = add(queue, "--", "echo good"), add(queue, "--", "echo bad; exit 3")
    queue.run("waitTask")
    assert output(queue, "-f", good).stdout == b"good\n"
    done = output(queue, "-f", bad)
    assert done.returncode == 1 and done.stdout == b"bad\n" and b"try 1: exit 3" in done.stderr


def test_follow_goes_through_the_tries(queue, worker):
    worker(retry_backoff="300ms", max_retry_per_task=2, **FAST)
    task = add(queue, "--", "echo try $DISTCOMP_TRY; sleep 0.5; exit 4")
    done = output(queue, "-f", task)
    assert done.returncode == 1
    assert done.stdout == b"try 1\ntry 2\n"
    assert b"try 1: exit 4; the next in " in done.stderr and done.stderr.endswith(b"try 2: exit 4\n")


def test_follow_one_stream(queue, worker):
    worker(**FAST)
    task = add(queue, "--", "echo out; echo err >&2; sleep 0.5")
    done = output(queue, "-f", task, "--stream", "stderr")
    assert (done.stdout, done.stderr) == (b"", b"err\n")


def test_follow_much(queue, worker):
    worker(**FAST)
    task = add(queue, "--output", "redis", "--", "seq 400000; sleep 0.5; seq 400000 410000")
    done = output(queue, "-f", task)
    assert done.returncode == 0
    assert done.stdout == "".join(f"{n}\n" for n in [*range(1, 400001), *range(400000, 410001)]).encode()


def test_follow_survives_the_agents_death_without_saying_a_thing_twice(queue, worker, box):
    worker(**FAST)
    task = add(queue, "--", f"seq 1000; while [ ! -e {box}/go ]; do sleep 0.02; done; seq 1001 2000")
    queue.wait_counts(in_progress=1)
    following = follow(queue, task)
    seen = read_until(following, b"\n1000\n")
    agent = queue.json("checkWorker")["workers"][0]["info"]["agent_pid"]
    os.kill(agent, signal.SIGKILL)
    harness.wait_until(lambda: queue.json("checkWorker")["workers"][0]["info"]["agent_pid"] != agent, 20)
    time.sleep(6)  # it has asked again by then
    (box / "go").touch()
    out, err = following.communicate(timeout=30)
    assert seen + out == "".join(f"{n}\n" for n in range(1, 2001)).encode()
    assert (following.returncode, err) == (0, b"")


def test_follow_survives_a_restart_of_redis(queue, redis, worker, box):
    redis.command("CONFIG", "SET", "appendfsync", "always")
    worker(**FAST)
    task = add(queue, "--", f"seq 1000; while [ ! -e {box}/go ]; do sleep 0.02; done; seq 1001 2000")
    queue.wait_counts(in_progress=1)
    following = follow(queue, task)
    seen = read_until(following, b"\n1000\n")
    redis.restart()
    time.sleep(1)
    (box / "go").touch()
    out, err = following.communicate(timeout=60)
    assert seen + out == "".join(f"{n}\n" for n in range(1, 2001)).encode(), (following.returncode, err)
    assert following.returncode == 0 and err.count(b"\n") == 1 and b"waiting for it to come back" in err


def readers_channel(redis, but=None):
    """The channel that a reader is subscribed to, another one than `but`."""
    def find():
        channels = [c for c in redis.command("PUBSUB", "CHANNELS", "*:follow:*") if c != but]
        return channels[0] if channels else None

    return harness.wait_until(find, what="a reader's channel")


def placed(kind, place, text):
    return kind + struct.pack(">Q", place) + text


def test_follow_sees_duplicates_and_gaps(queue, redis, worker, box):
    worker()
    task = add(queue, "--", f"echo first; while [ ! -e {box}/go ]; do sleep 0.02; done; echo last")
    following = follow(queue, task)
    assert read_until(following, b"first\n") == b"first\n"
    channel = readers_channel(redis)
    redis.command("PUBLISH", channel, placed(b"o", 0, b"first\n"))
    redis.command("PUBLISH", channel, placed(b"o", 3, b"st\nnext\n"))
    assert read_until(following, b"next\n") == b"next\n"
    redis.command("PUBLISH", channel, placed(b"o", 1000, b"far\n"))
    readers_channel(redis, but=channel)
    Path(box, "go").touch()
    out, err = following.communicate(timeout=30)
    # The worker, asked from place 11 on, sends what it has from there: nothing; the result has 11 bytes.
    assert (following.returncode, out, err) == (0, b"", b"")


def test_follow_loses_nothing_with_the_workers_connection(queue, redis, worker, box):
    worker()
    task = add(queue, "--", "i=0; while [ $i -lt 1000 ]; do i=$((i + 1)); echo $i; sleep 0.005; done")
    following = follow(queue, task)
    seen = read_until(following, b"\n50\n")
    for _ in range(2):
        redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        lines = seen.count(b"\n")
        seen += read_until(following, b"\n%d\n" % (lines + 60))
    out, _ = following.communicate(timeout=60)
    assert seen + out == "".join(f"{n}\n" for n in range(1, 1001)).encode()
    assert following.returncode == 0


def test_a_worker_sends_from_the_places_asked_for(queue, redis, worker, box):
    worker("w1")
    task = add(queue, "--", f"echo 0123456789; echo abcdef >&2; while [ ! -e {box}/go ]; do sleep 0.02; done")
    queue.wait_counts(in_progress=1)
    reader = redis.connect()
    reader.command("SUBSCRIBE", "mine")
    wake = redis.command("PUBSUB", "CHANNELS", "*:wake:w1")[0]
    redis.command("PUBLISH", wake, f"follow {task} mine 4 1")
    sent = sorted(reader.receive()[2] for _ in range(2))
    assert sent == [placed(b"e", 1, b"bcdef\n"), placed(b"o", 4, b"456789\n")]
    Path(box, "go").touch()
    assert reader.receive()[2] == b"x"


def test_follow_ends_quietly_when_interrupted_or_unread(queue, worker, box):
    worker(**FAST)
    task = add(queue, "--", "while :; do echo tick; sleep 0.05; done")
    queue.wait_counts(in_progress=1)
    following = follow(queue, task)
    read_until(following, b"tick\n")
    following.send_signal(signal.SIGINT)
    _, err = following.communicate(timeout=10)
    assert (following.returncode, err) == (130, b"")
    following = follow(queue, task)
    following.stdout.readline()
    following.stdout.close()
    assert following.wait(timeout=20) != 0
    assert following.stderr.read() == b""
    queue("cancelTask", task)
