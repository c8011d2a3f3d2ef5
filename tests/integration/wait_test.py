"""waitTask: when it ends, how, and what it says meanwhile."""
import os
import pty
import signal
import subprocess
import time

import pytest

import harness


def start(queue, *words):
    return subprocess.Popen([harness.program("redisManager"), "waitTask", *map(str, words), *queue.flags],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_nothing_to_wait_for(queue):
    assert queue("waitTask").startswith("0 finished, 0 failed; waited ")


def test_exit_code_tells_whether_all_finished(queue, worker):
    worker(max_retry_per_task=1)
    queue.load("shell:1:0:0:true\nshell:1:0:0:sleep 0.3\n")
    assert queue("waitTask").startswith("2 finished, 0 failed; waited ")
    queue("addTask", "--", "exit 3")
    done = queue.run("waitTask")
    assert done.returncode == 1 and done.stdout.startswith("2 finished, 1 failed; waited ")
    assert done.stderr == ""


def test_a_name_and_those_below_it(queue, worker):
    queue.load("#@ name=a/b\nshell:1:0:0:sleep 0.2\n#@ name=a\nshell:1:0:0:true\n"
               "#@ name=other labels=nobody\nshell:1:0:0:true\n")
    worker()
    assert queue("waitTask", "--name", "a").startswith("2 finished, 0 failed")
    assert queue("waitTask", "--name", "a/b").startswith("1 finished, 0 failed")
    done = queue.run("waitTask", "--name", "nowhere")
    assert done.returncode == 1 and "nowhere: no task of queue default has that name" in done.stderr


def test_ids(queue, worker):
    first = queue("addTask", "--", "true").split()[-1]
    second = queue("addTask", "--labels", "nobody", "--", "true two").split()[-1]
    worker()
    assert queue("waitTask", first).startswith("1 finished, 0 failed")
    done = queue.run("waitTask", first, second, "--timeout", "300ms")
    assert done.returncode == 124
    assert "1 finished, 0 failed, 1 not ended; gave up after " in done.stdout
    queue("cancelTask", second)
    done = queue.run("waitTask", first, second)
    assert done.returncode == 1 and "1 finished, 0 failed, 1 cancelled" in done.stdout
    done = queue.run("waitTask", "0" * 14)
    assert done.returncode == 1 and "1 of the tasks given are not in queue default" in done.stderr
    assert queue.run("waitTask", "short").returncode == 2
    assert queue.run("waitTask", first, "--name", "x").returncode == 2


def test_removed_while_waited_for(queue):
    task = queue("addTask", "--", "true").split()[-1]
    waiting = start(queue, task)
    time.sleep(0.3)
    queue("initRedis")
    out, _ = waiting.communicate(timeout=20)
    assert waiting.returncode == 1 and "1 removed" in out


def test_json(queue, worker):
    worker()
    queue.load("shell:1:0:0:true\n")
    answer = queue.json("waitTask")
    assert answer.pop("elapsed_ms") >= 0
    assert answer == {"ok": True, "timed_out": False, "finished": 1, "failed": 0, "cancelled": 0, "removed": 0,
                      "pending": 0}


def test_no_worker_is_said_once_and_does_not_end_it(queue, worker):
    queue.load("shell:1:0:0:true\n")
    done = queue.run("waitTask", "--timeout", "4s")
    assert done.returncode == 124
    assert done.stderr == "redisManager waitTask: no worker is running; start one with redisWorker\n"
    assert queue.run("waitTask", "--timeout", "3s", "--quiet").stderr == ""


def test_held_tasks_are_told(queue):
    queue.load("shell:1:0:0:true\n")
    queue("holdTask", "--all")
    done = queue.run("waitTask", "--timeout", "500ms")
    assert done.returncode == 124 and "all that is left is held; releaseTask" in done.stderr


def test_a_lost_worker_is_found_by_waiting_alone(queue, worker):
    queue.load("shell:1:0:0:sleep 1000\n")
    lost = worker("gone", lease="600ms", health_report_interval="200ms", max_losses=1)
    queue.wait_counts(in_progress=1)
    agent = queue.json("checkWorker")["workers"][0]["info"]["agent_pid"]
    waiting = start(queue, "--max_losses", 1, "--timeout", "60s")
    os.kill(lost.pid, signal.SIGSTOP)
    os.kill(agent, signal.SIGSTOP)
    out, _ = waiting.communicate(timeout=40)
    assert waiting.returncode == 1 and out.startswith("0 finished, 1 failed"), out


def test_redis_may_go_away_meanwhile(queue, redis, worker):
    worker()
    queue.load("shell:1:0:0:sleep 1.5\n")
    queue.wait_counts(in_progress=1)
    waiting = start(queue)
    time.sleep(0.4)
    redis.command("CONFIG", "SET", "appendfsync", "always")
    redis.kill()
    time.sleep(0.5)
    redis.start(same_port=True)
    out, err = waiting.communicate(timeout=40)
    assert waiting.returncode == 0 and out.startswith("1 finished, 0 failed"), (out, err)
    assert err.count("waiting for it to come back") == 1


def test_no_redis_at_all_fails_at_once(queue, redis):
    redis.kill()
    done = queue.run("waitTask")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("progress", ["true", "false"])
def test_the_bar_is_for_a_terminal(queue, worker, progress):
    worker(max_retry_per_task=1)
    queue.load("".join(f"shell:1:0:1:sleep 0.2 # {n}\n" for n in range(12)) + "shell:2:0:0:exit 1\n")
    master, slave = pty.openpty()
    done = subprocess.run([harness.program("redisManager"), "waitTask", "--progress", progress, *queue.flags],
                          stdout=subprocess.PIPE, stderr=slave, text=True, timeout=60,
                          env={**os.environ, "TERM": "xterm"})
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 65536):
            shown += chunk
    except OSError:
        pass
    os.close(master)
    assert done.stdout.startswith("12 finished, 1 failed")
    if progress == "false":
        assert shown == b""
    else:
        text = shown.decode()
        assert "of 13" in text and "1 failed" in text and "/s" in text
        assert text.endswith("\r\033[K")  # it leaves no trace


def test_it_polls_cheaply(queue, redis):
    """Often at first, so that a short wait ends in time, and ever less so."""
    queue.load("shell:1:0:0:true\n")
    before = int(redis.info("stats")["total_commands_processed"])
    queue.run("waitTask", "--timeout", "3s")
    assert int(redis.info("stats")["total_commands_processed"]) - before < 800
