"""checkTask and checkWorker: what is counted, what is listed, and how they are asked."""
import json
import os
import re
import signal

import pytest

NOTHING = ("--todo", "false", "--in_progress", "false", "--finished", "false", "--failed", "false")
SLOW_RETRY = {"retry_backoff": "1h", "retry_backoff_max": "1h", "max_retry_per_task": 2}


def lines(queue, *words):
    return queue("checkTask", *words).splitlines()


def tasks(queue, *words):
    """The JSON lines behind the counts."""
    return [json.loads(line) for line in lines(queue, "--json", *words)[1:]]


@pytest.fixture
def mixed(queue, worker):
    """A queue with one task in every state."""
    queue.load("shell:5:0:0:echo first; echo 'the answer is 42'\n"
               "#@ retries=1\nshell:5:0:0:echo 'disk full' >&2; exit 7\n"
               "#@ retries=2\nshell:5:0:0:exit 8\n"
               "#@ name=long\nshell:5:0:0:sleep 1000\n"
               "#@ name=\n#@ after=long\nshell:5:0:0:echo waiting\n"
               "#@ after=\n#@ labels=nobody\nshell:4:2:1:echo todo\nshell:3:0:0:echo held\nshell:3:0:0:echo cancelled\n")
    for state, command in (("held", "holdTask"), ("cancelled", "cancelTask")):
        queue(command, "--include", f"^echo {state}$")
    made = worker("w1", **SLOW_RETRY)
    queue.wait_counts(finished=1, failed=2, todo=4, in_progress=1)
    return made


def test_an_empty_queue(queue):
    assert lines(queue) == ["0 todo tasks, 0 in_progress tasks, 0 finished tasks, 0 failed tasks"]
    assert queue("checkWorker") == "no workers\n"
    assert queue.json("checkWorker") == {"workers": []}


def test_counts_and_their_split(queue, mixed):
    first, second, *rest = lines(queue, *NOTHING)
    assert first == "4 todo tasks, 1 in_progress tasks, 1 finished tasks, 2 failed tasks"
    assert second == "of these 1 waiting, 1 delayed, 1 held, 1 cancelled"
    assert rest == []
    counts = queue.json("checkTask", *NOTHING)
    assert counts["states"] == dict.fromkeys(
        ["waiting", "todo", "in_progress", "finished", "failed", "delayed", "held", "cancelled"], 1)
    assert (counts["todo"], counts["failed"], counts["live_workers"]) == (4, 2, 1)


def test_every_task_is_listed_once_in_its_state(queue, mixed):
    found = tasks(queue)
    assert sorted(task["state"] for task in found) == sorted(
        ["waiting", "todo", "in_progress", "finished", "failed", "delayed", "held", "cancelled"])
    assert [task["state"] for task in found][:4] == ["todo", "delayed", "waiting", "held"]
    text = queue("checkTask")
    assert [line for line in text.splitlines() if line.endswith(":") and " " not in line] == [
        "todo:", "in_progress:", "finished:", "failed:"]
    for task in found:
        assert text.count(task["id"]) == 1


def test_lists_are_chosen(queue, mixed):
    assert {task["state"] for task in tasks(queue, "--failed")} == {"failed", "cancelled"}
    assert {task["state"] for task in tasks(queue, "--todo", "false", "--failed", "no")} == {"in_progress", "finished"}
    assert {task["state"] for task in tasks(queue, "--state", "held,delayed")} == {"held", "delayed"}
    assert [task["command"] for task in tasks(queue, "--include", "^echo", "--exclude", "held|wait|disk")] == [
        "echo todo", "echo first; echo 'the answer is 42'", "echo cancelled"]
    assert {task["state"] for task in tasks(queue, "--worker", "w1")} == {"in_progress", "finished", "failed", "delayed"}
    assert [task["state"] for task in tasks(queue, "--name", "long")] == ["in_progress"]


def test_results_and_reasons_are_shown_and_left_out(queue, mixed):
    text = queue("checkTask")
    assert "the answer is 42  echo first" in text
    assert "exit 7: disk full  echo 'disk full'" in text
    text = queue("checkTask", "--print_result", "false", "--failed_reason", "false")
    assert text.count("the answer is 42") == 1 and text.count("disk full") == 1
    [finished] = tasks(queue, "--finished")
    assert finished["result"] == "the answer is 42"
    assert finished["last_try"]["worker"] == "w1" and finished["last_try"]["exit_code"] == 0
    [failed] = tasks(queue, "--failed", "--state", "failed")
    assert failed["last_try"]["reason"] == "disk full"


def test_a_running_task_tells_where_and_since_when(queue, mixed):
    [running] = tasks(queue, "--in_progress")
    assert running["worker"] == "w1" and running["since"].startswith("20")
    assert re.search(r"w1\s+(\d|just)", queue("checkTask", "--in_progress"))


def test_lists_have_a_limit(queue):
    queue.load("".join(f"shell:1:0:0:true {n}\n" for n in range(1200)))
    text = queue("checkTask")
    assert text.count("true ") == 50
    assert text.endswith("… and 1,150 more; --limit 0 shows all\n")
    assert len(tasks(queue, "--limit", 0)) == 1200
    assert len({task["id"] for task in tasks(queue, "--limit", 0)}) == 1200
    assert [task["command"] for task in tasks(queue, "--limit", 3)] == ["true 0", "true 1", "true 2"]
    assert queue("checkTask", "--include", "7", "--limit", 2).endswith("… and more; --limit 0 shows all\n")
    assert "more;" not in queue("checkTask", "--include", "^true 7$", "--limit", 1)


def test_the_latest_finished_come_first(queue, worker):
    for n in range(3):
        queue("addTask", "--min_cpu", 0, "--", f"true {n}")
        if n == 0:
            worker()
        queue.wait_counts(finished=n + 1)
    assert [task["command"] for task in tasks(queue, "--finished", "--limit", 2)] == ["true 2", "true 1"]


def test_text_of_a_stranger_is_safe_on_a_terminal(queue, worker):
    queue.load("shell:1:0:0:printf 'a\\033[31mred\\n'\n")
    worker()
    queue.wait_counts(finished=1)
    assert "\033" not in queue("checkTask")
    assert "a\\x1b[31mred" in queue("checkTask")


def test_what_is_odd_is_said(queue, worker):
    queue.load("shell:1:0:0:exit 1\n")
    assert lines(queue, *NOTHING)[1] == "of these no worker is running"


def test_a_lost_worker_is_found_without_any_other(queue, worker, wait_until):
    queue.load("shell:1:0:0:sleep 1000\n")
    lost = worker("gone", lease="600ms", health_report_interval="200ms")
    queue.wait_counts(in_progress=1)
    assert queue.json("checkWorker")["workers"][0]["state"] == "run"
    agent = queue.json("checkWorker")["workers"][0]["info"]["agent_pid"]
    lost.signal(signal.SIGSTOP)
    os.kill(agent, signal.SIGSTOP)
    wait_until(lambda: queue.json("checkWorker")["workers"][0]["state"] == "lost", 15)
    assert re.search(r"^gone .* lost ", queue("checkWorker"), re.M)
    assert queue.counts()["todo"] == 1


def test_worker_lines(queue, worker, wait_until):
    worker("w1", cpus=3, memory="2GiB")
    worker("w2", labels="ssd")
    queue.load("".join(f"shell:1:128MiB:1.5:sleep 1000 # {n}\n" for n in range(2)))
    queue.wait_counts(in_progress=2)

    def both():
        found = {w["name"]: w for w in queue.json("checkWorker")["workers"]}
        return found if sum(w["cores_promised"] for w in found.values()) == 3 else None

    found = wait_until(both, 15)
    assert found["w1"]["cores"] == 3 and found["w1"]["memory_bytes"] == 2 << 30
    assert found["w2"]["info"]["labels"] == "ssd"
    assert sum(w["in_progress"] for w in found.values()) == 2
    assert sum(w["memory_promised_bytes"] for w in found.values()) == 256 << 20
    head, one, two = queue("checkWorker").splitlines()
    assert head.split()[:4] == ["WORKER", "HOST", "STATE", "REPORT"]
    assert one.split()[0] == "w1" and two.split()[0] == "w2"
    assert one.split()[2] == "run" and "/3" in one and "2.0 GiB" in one
    assert not any(line != line.rstrip() for line in (head, one, two))
    assert [line.split()[0] for line in queue("checkWorker", "w2").splitlines()] == ["WORKER", "w2"]
    done = queue.run("checkWorker", "w9")
    assert done.returncode == 1 and "w9: there is no such worker" in done.stderr


def test_a_drained_worker(queue, worker, wait_until):
    worker("w1")
    wait_until(lambda: queue.json("checkWorker")["workers"])
    queue("drainWorker", "w1")
    wait_until(lambda: queue.json("checkWorker")["workers"][0]["state"] == "drain")
    assert re.search(r"^w1 .* drain ", queue("checkWorker"), re.M)


def test_a_paused_worker_says_why(queue, worker):
    """/bin/false in place of the shell: what fails at once on w1 finishes on w2."""
    fast = {"health_report_interval": "200ms", "lease": "1s", "retry_backoff": "20ms"}
    worker("w2", max_tasks=1, **fast)
    bad = worker("w1", shell="/bin/false", broken_after=5, max_tasks=2, **fast)
    queue.load("#@ retries=20\n" + "".join(f"shell:1:0:0:sleep 0.1; : {n}\n" for n in range(60)))
    bad.wait_event("worker_paused", 30)
    queue.wait_counts(finished=60)
    [told] = queue.json("checkWorker", "w1")["workers"]
    assert told["state"] == "paused" and told["stats"]["reason"]
    assert told["stats"]["reason"] in queue("checkWorker")
    queue("addTask", "--labels", "nobody", "--", "true")
    assert "paused: w1 (checkWorker says why)" in lines(queue, *NOTHING)[1]


def test_usage_errors(queue):
    for words, what in ((["--include", "("], "include"), (["--state", "lost"], "state"), (["--limit", "x"], "limit"),
                        (["xyz"], "xyz")):
        done = queue.run("checkTask", *words)
        assert done.returncode == 2 and what in done.stderr and done.stdout == ""
