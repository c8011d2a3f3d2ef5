"""showTask: everything about a task, and why it does not run."""
import json
import re

import pytest

FAST = {"health_report_interval": "200ms", "lease": "1s"}


def add(queue, *words):
    """Adds a command and returns its id."""
    return queue("addTask", "--min_cpu", 0, *words).split()[-1]


def why(queue, task):
    return queue.json("showTask", task)["why_not_running"]


def test_a_finished_task(queue, worker):
    worker("w1")
    task = add(queue, "--name", "batch/a", "--priority", 7, "--min_dram", "64MiB", "--timeout", "90s",
               "--env", "SEED=7", "--", "echo out; echo err >&2")
    queue("waitTask")
    text = queue("showTask", task)
    for line in (f"task      {task}", "state     finished", "command   echo out; echo err >&2", "name      batch/a",
                 "request   shell, priority 7, 64.0 MiB memory, 0 cores", "options   timeout=1m30s env.SEED=7",
                 "tries     1 try", "output    stdout 4 B, stderr 4 B"):
        assert line in text.splitlines(), f"{line}\n---\n{text}"
    assert re.search(r"^  1  w1 +20\S+Z .* exit 0$", text, re.M)
    assert "because" not in text
    told = queue.json("showTask", task)
    assert (told["id"], told["name"], told["state"], told["priority"]) == (task, "batch/a", "finished", 7)
    assert (told["min_dram_bytes"], told["min_cpu"], told["timeout_ms"], told["env"]) == (64 << 20, 0, 90000, {"SEED": "7"})
    assert told["output"] == {"try": 1, "stdout_bytes": 4, "stderr_bytes": 4, "cut": False}
    [entry] = told["try_log"]
    assert (entry["outcome"], entry["exit_code"], entry["signal"], entry["worker"]) == ("finished", 0, None, "w1")
    assert 0 < entry["wall_s"] < 60 and entry["max_rss_bytes"] > 100000
    assert told["why_not_running"] == [] and told["after"] == []


def test_every_try_is_shown(queue, worker):
    worker("w1", retry_backoff="10ms")
    task = add(queue, "--retries", 3, "--", "echo try $DISTCOMP_TRY >&2; kill -SEGV $$")
    assert queue.run("waitTask").returncode == 1
    text = queue("showTask", task)
    assert "state     failed" in text and "tries     3 tries, 3 failed" in text
    assert len(re.findall(r"^  [123]  w1 .*killed by SIGSEGV$", text, re.M)) == 3
    for n in (1, 2, 3):
        assert f"try {n} ended so:\n    try {n}\n" in text
    assert [(entry["try"], entry["signal"], entry["exit_code"]) for entry in queue.json("showTask", task)["try_log"]] == [
        (1, "SIGSEGV", None), (2, "SIGSEGV", None), (3, "SIGSEGV", None)]


def test_a_running_task(queue, worker):
    worker("w1")
    task = add(queue, "--", "sleep 1000")
    queue.wait_counts(in_progress=1)
    assert re.search(r"^state     in_progress, try 1 on w1 for ", queue("showTask", task), re.M)
    told = queue.json("showTask", task)
    assert told["worker"] == "w1" and told["since"].startswith("20") and told["why_not_running"] == []
    queue("cancelTask", task)


def test_the_start_of_an_id_will_do(queue):
    task = add(queue, "--", "true")
    assert queue("showTask", task[:6]).startswith(f"task      {task}\n")
    assert queue.run("showTask", "0" * 13).returncode == 1
    for unknown in ("no-such", "zzzzzzzzzzzzzz", task + "0"):
        done = queue.run("showTask", unknown)
        assert done.returncode == 1 and "there is no such task in queue default" in done.stderr and done.stdout == ""
    queue.load("".join(f"shell:1:0:0:true {n}\n" for n in range(100)))
    done = queue.run("showTask", task[:1] if sum(
        json.loads(line).get("id", " ")[0] == task[0] for line in
        queue("checkTask", "--json", "--limit", 0).splitlines()[1:]) > 1 else "0")
    assert done.returncode == 1


def test_several_ids(queue):
    one, two = add(queue, "--", "true 1"), add(queue, "--", "true 2")
    text = queue("showTask", one, two)
    assert re.findall(r"^task +(\w+)$", text, re.M) == [one, two]
    assert [json.loads(line)["id"] for line in queue("showTask", one, two, "--json").splitlines()] == [one, two]
    done = queue.run("showTask", one, "zzzzzzzzzzzzzz")
    assert done.returncode == 1 and one in done.stdout and "zzzzzzzzzzzzzz" in done.stderr


# --- why not ----------------------------------------------------------------------------------


def test_no_worker(queue):
    assert why(queue, add(queue, "--", "true")) == ["no worker is running; start one with redisWorker"]


@pytest.mark.parametrize("words, reason", [
    (["--min_dram", "64GiB"], r"it needs 64.0 GiB of memory; the largest live worker, big, has .* GiB for tasks"),
    (["--labels", "gpu,fast"], r"it needs the label gpu, which no live worker has"),
    (["--labels", "fast", "--min_dram", "3GiB"], r"no live worker has all that it needs at the same time"),
])
def test_what_no_live_worker_has(queue, worker, wait_until, words, reason):
    worker("big", cpus=2, memory="4GiB", **FAST)
    worker("quick", cpus=1, memory="1GiB", labels="fast", **FAST)
    wait_until(lambda: len(queue.json("checkWorker")["workers"]) == 2)
    [told] = why(queue, add(queue, *words, "--", "true"))
    assert re.fullmatch(reason, told), told


def test_what_a_worker_keeps_free_is_as_it_says(queue, worker, wait_until):
    """The worker's setting, of which the manager's configuration knows nothing."""
    worker("w1", memory="4GiB", min_dram_gb_accept_new_task=3, **FAST)
    wait_until(lambda: queue.json("checkWorker")["workers"])
    task = add(queue, "--min_dram", "1.5GiB", "--", "true")
    assert why(queue, task) == [
        "it needs 1.5 GiB of memory; the largest live worker, w1, has 1.0 GiB for tasks"]


def test_too_many_cores(queue, worker, wait_until):
    worker("w1", cpus=2)
    wait_until(lambda: queue.json("checkWorker")["workers"])
    task = queue("addTask", "--min_cpu", "2.5", "--", "true").split()[-1]
    assert why(queue, task) == ["it needs 2.5 cores; the largest live worker, w1, has 2"]


def test_workers_that_take_nothing(queue, worker, wait_until):
    worker("w1", **FAST)
    wait_until(lambda: queue.json("checkWorker")["workers"])
    queue("drainWorker", "w1")
    wait_until(lambda: queue.json("checkWorker")["workers"][0]["state"] == "drain")
    assert why(queue, add(queue, "--", "true")) == ["the workers that could run it take no tasks: w1 (drain)"]


def test_its_place(queue, worker):
    worker("w1", cpus=1)
    queue.load("shell:9:0:1:sleep 1000\n")
    queue.wait_counts(in_progress=1)
    queue.load("".join(f"shell:8:0:1:true {n}\n" for n in range(3)) + "shell:7:{}:1:true x\nshell:7:0:1:true y\n".format(0))
    task = queue("addTask", "--priority", 7, "--", "true z").split()[-1]
    assert why(queue, task) == ["the workers are busy: 3 queued tasks of higher priority, 2 others of its own"]


def test_dependencies_and_how_far_they_are(queue, worker):
    worker("w1", cpus=1)
    queue.load("#@ name=prep\nshell:9:0:0:true 1\nshell:9:0:0:true 2\nshell:9:0:0:sleep 1000\n")
    queue.wait_counts(finished=2, in_progress=1)
    running = json.loads(queue("checkTask", "--json", "--in_progress").splitlines()[1])["id"]
    task = add(queue, "--after", f"prep,{running}", "--", "true after")
    assert why(queue, task) == ["it waits for prep: 2 of 3 tasks have ended",
                                f"it waits for task {running}, which is in_progress"]
    text = queue("showTask", task)
    assert "because   it waits for prep: 2 of 3 tasks have ended\n" in text
    assert "after     prep: pending, 2 of 3 tasks have ended\n" in text
    assert [(ref["kind"], ref["state"]) for ref in queue.json("showTask", task)["after"]] == [
        ("after", "pending"), ("after", "in_progress")]
    queue("cancelTask", running)
    queue.wait_counts(in_progress=0, todo=0)
    assert queue.json("showTask", task)["state"] == "failed"
    assert why(queue, task) in (["dependency prep failed"], [f"dependency {running} failed"])


def test_delayed_and_held(queue, worker):
    worker("w1", retry_backoff="1h", retry_backoff_max="1h")
    task = add(queue, "--", "exit 1")
    held = add(queue, "--labels", "nobody", "--", "true")
    queue("holdTask", held)
    queue.wait_counts(todo=2, in_progress=0)
    import harness
    harness.wait_until(lambda: queue.json("showTask", task)["state"] == "delayed")
    [told] = why(queue, task)
    assert re.fullmatch(r"its last try failed; the next is due in (1h|59m\d+s)", told), told
    assert queue.json("showTask", task)["due"] > queue.json("showTask", task)["loaded"]
    assert why(queue, held) == ["it is held; releaseTask lets it go"]
