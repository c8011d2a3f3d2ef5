"""What the verbs say of memory and GPUs; workers are played by the scripts."""
import json
import re

import pytest

from scriptqueue import GIB, MIB, ScriptQueue, digest_of

NOTHING = ("--todo", "false", "--in_progress", "false", "--finished", "false", "--failed", "false")
INFO = {"host": "n1", "memory": 64 * GIB, "mcpu": 8000}


@pytest.fixture
def q(redis):
    made = ScriptQueue(redis)
    made.register("w1", info=json.dumps(INFO))
    yield made
    made.check()


def learn(q, family, peaks, asked=0):
    """Finishes tasks with these peaks."""
    q.add(len(peaks), mem=asked, priority=1000)
    for claimed, peak in zip(q.claim(slots=len(peaks), mem=1 << 46), peaks):
        q.finish(claimed, family=family, peak=peak, promised=asked)


def family_of(q, task):
    """The digest that the loader gave an auto task."""
    requires = q.record(task).requires
    assert requires.startswith("family:")
    return requires[7:23]


# --- showFamily ------------------------------------------------------------------------------------


def test_no_families(queue, q):
    assert queue("showFamily") == "no families\n"
    assert queue("showFamily", "--json") == ""


def test_families_by_what_they_left_unused(queue, q):
    learn(q, "shell small", [100 * MIB] * 30, asked=GIB)
    learn(q, "shell large", [GIB] * 20 + [2 * GIB], asked=8 * GIB)
    learn(q, "shell auto", [3 * GIB] * 6)
    head, *rows = [line.split() for line in queue("showFamily").splitlines()]
    assert head == ["COUNT", "REQUEST", "MEDIAN", "P95", "MAX", "UNUSED", "FAMILY"]
    assert [" ".join(row) for row in rows] == [
        "21 8.0 GiB 1.0 GiB 1.0 GiB 2.0 GiB 87 % shell large",
        "30 1.0 GiB 104.0 MiB 104.0 MiB 100.0 MiB 90 % shell small",
        "6 - 3.0 GiB 3.0 GiB 3.0 GiB - shell auto"]
    large, small, auto = [json.loads(line) for line in queue("showFamily", "--json").splitlines()]
    assert large.pop("seen").startswith("20")
    assert large == {"family": "shell large", "count": 21, "request_bytes": 8 * GIB, "median_bytes": GIB,
                     "p95_bytes": GIB, "max_bytes": 2 * GIB, "known": True, "wasted": 0.869,
                     "wasted_bytes": 146 * GIB, "asks_too_much": True}
    assert (auto["request_bytes"], auto["wasted"], auto["wasted_bytes"], auto["asks_too_much"]) == (None, None, 0, False)
    assert [f["family"] for f in map(json.loads, queue("showFamily", "--json", "--limit", "1").splitlines())] == [
        "shell large"]
    assert "… and 2 more; --limit 0 shows all" in queue("showFamily", "--limit", "1")
    assert [line.split()[-1] for line in queue("showFamily", "--include", "^shell [as]").splitlines()[1:]] == [
        "small", "auto"]
    assert [line.split()[-1] for line in queue("showFamily", "--exclude", "small", "--exclude", "^x").splitlines()[1:]] == [
        "large", "auto"]


def test_a_family_of_one_is_not_known(queue, q):
    learn(q, "shell new", [GIB], asked=GIB)
    assert [f["known"] for f in map(json.loads, queue("showFamily", "--json").splitlines())] == [False]


# --- checkTask: requests that are too large --------------------------------------------------------


def test_large_requests_are_pointed_at(queue, q):
    for i in range(4):
        learn(q, f"shell sim-{'abcd'[i]}", [(i + 1) * 100 * MIB] * 20, asked=8 * GIB)
    done = queue.run("checkTask", *NOTHING)
    assert done.stderr.splitlines() == [
        "redisManager checkTask: shell sim-a: asks for 8.0 GiB, 95 of 100 took 104.0 MiB or less",
        "redisManager checkTask: shell sim-b: asks for 8.0 GiB, 95 of 100 took 208.0 MiB or less",
        "redisManager checkTask: shell sim-c: asks for 8.0 GiB, 95 of 100 took 320.0 MiB or less"]
    assert len(done.stdout.splitlines()) == 1
    assert queue.run("checkTask", "--quiet", *NOTHING).stderr == ""
    done = queue.run("checkTask", "--json", *NOTHING)
    assert done.stderr == ""
    assert [f["family"] for f in json.loads(done.stdout)["large_requests"]] == [f"shell sim-{c}" for c in "abc"]


@pytest.mark.parametrize("count,peak,asked", [(19, MIB, GIB), (20, 600 * MIB, GIB), (20, MIB, 0), (20, MIB, 33 * MIB)])
def test_others_are_not(queue, q, count, peak, asked):
    """Too few; used more than half; asked for nothing, or for so little that it does not matter."""
    learn(q, "shell sim", [peak] * count, asked=asked)
    assert queue.run("checkTask", *NOTHING).stderr == ""
    assert queue.json("checkTask", *NOTHING)["large_requests"] == []


def test_a_request_that_was_put_right_is_not_pointed_at(queue, q):
    learn(q, "shell sim", [100 * MIB] * 30, asked=8 * GIB)
    assert queue.json("checkTask", *NOTHING)["large_requests"]
    learn(q, "shell sim", [100 * MIB], asked=110 * MIB)
    assert queue.json("checkTask", *NOTHING)["large_requests"] == []


# --- what runs -------------------------------------------------------------------------------------


@pytest.fixture
def running(queue, q):
    """Two tasks on w1, of which it has measured the first."""
    queue.load("shell:5:2:1:sleep 1\nshell:4:0:0:sleep 2\n")
    first, second = q.claim(slots=2)
    use = [[first.id, 1536 * MIB, 2 * GIB, 3250000, 7 * MIB, 3 * GIB]]
    q.renew([first, second], stats=json.dumps({"mode": "run", "mem_used": 3 * GIB, "mem_most_used": 5 * GIB,
                                               "mem_available": 20 * GIB,
                                               "mem_promised": 4 * GIB, "use": use}))
    return first, second


USE = {"memory_bytes": 1536 * MIB, "peak_bytes": 2 * GIB, "cpu_s": 3.25, "read_bytes": 7 * MIB, "write_bytes": 3 * GIB}


def test_check_task_shows_what_runs_uses(queue, running):
    lines = queue("checkTask", "--in_progress").splitlines()
    at = lines.index("in_progress:")
    assert lines[at + 1].split() == ["ID", "WORKER", "FOR", "TRY", "MEMORY", "CORES", "USED", "PEAK", "CPU", "COMMAND"]
    rows = {line.split()[0]: line for line in lines[at + 2:]}
    assert rows[running[0].id].split("2.0 GiB", 1)[1].split() == ["1", "1.5", "GiB", "2.0", "GiB", "3.25s", "sleep", "1"]
    assert rows[running[1].id].split()[-7:] == ["-", "-", "-", "-", "-", "sleep", "2"]
    found = {t["id"]: t["use"] for t in map(json.loads, queue("checkTask", "--json", "--in_progress").splitlines()[1:])}
    assert found == {running[0].id: USE, running[1].id: None}


def test_show_task_shows_what_it_uses(queue, running):
    assert "\nuses      1.5 GiB of memory, 2.0 GiB at most; 3.25s of CPU; read 7.0 MiB, wrote 3.0 GiB\n" in queue(
        "showTask", running[0].id)
    assert "uses " not in queue("showTask", running[1].id)
    assert queue.json("showTask", running[0].id)["use"] == USE
    assert queue.json("showTask", running[1].id)["use"] is None


def test_what_ran_is_not_said_to_use_anything(queue, q, running):
    q.finish(*running)
    assert queue.json("showTask", running[0].id)["use"] is None


def test_stats_of_any_form_do_no_harm(queue, q, running):
    for stats in ("", "nonsense", "[]", '{"use":5}', '{"use":[[],[1,2],["x"]]}',
                  json.dumps({"use": [[running[0].id], None]}), json.dumps({"use": [[running[0].id, -5, "x", 1.5, None]]}),
                  '{"gpus":7}', '{"gpus":[1,[],["x",-1]],"mem_used":"x"}'):
        q.renew(running, stats=stats)
        queue("checkTask", "--in_progress")
        queue("showTask", running[0].id)
        queue("checkWorker")
        queue.json("checkWorker")


def test_check_worker_shows_memory(queue, running):
    head, row = queue("checkWorker").splitlines()
    assert head.split()[5:9] == ["PROMISED", "USED", "PEAK", "FREE"] and "GPUS" not in head
    assert re.search(r" 4\.0 GiB +3\.0 GiB +5\.0 GiB +20\.0 GiB +64\.0 GiB +2 ", row)
    [found] = queue.json("checkWorker")["workers"]
    assert (found["memory_used_bytes"], found["memory_peak_bytes"], found["memory_available_bytes"], found["gpus"]) == (
        3 * GIB, 5 * GIB, 20 * GIB, [])


def test_check_worker_shows_cards(queue, q):
    q.register("w2", info=json.dumps({**INFO, "gpus": [
        {"uuid": "GPU-1", "name": "A100", "memory": 80 * GIB}, {"uuid": "GPU-2", "name": "A100", "memory": 80 * GIB}]}))
    assert [line.split()[-1] for line in queue("checkWorker").splitlines()] == ["GPUS", "-", "0/2"]
    q.renew(worker="w2", stats=json.dumps({"mode": "run", "gpus": [["GPU-1", GIB, 80 * GIB, 40, 2, 500],
                                                                   ["GPU-2", 0, 80 * GIB, 0, 1, 1000]]}))
    assert [line.split()[-1] for line in queue("checkWorker").splitlines()] == ["GPUS", "-", "1.5/2"]
    one, two = queue.json("checkWorker", "w2")["workers"][0]["gpus"]
    assert one == {"uuid": "GPU-1", "name": "A100", "used_bytes": GIB, "memory_bytes": 80 * GIB,
                   "utilization_percent": 40, "tasks": 2, "promised": 0.5}
    assert two["promised"] == 1.0


# --- a raised request ------------------------------------------------------------------------------


def test_show_task_tells_of_a_raise(queue, q):
    queue.load("shell:5:2:1:sleep 1\n")
    [claimed] = q.claim()
    q.finish(claimed, outcome="returned", peak=3 * GIB, promised=2 * GIB, need=4 * GIB,
             reason="memory was short: it used 3.0 GiB of the 2.0 GiB promised")
    assert "\nraised    min_dram raised from 2.0 GiB to 4.0 GiB after a return (used " in queue("showTask", claimed.id)
    shown = queue.json("showTask", claimed.id)
    assert shown["raised"].startswith("min_dram raised from 2.0 GiB to 4.0 GiB after a return (used ")
    assert shown["min_dram_bytes"] == 4 * GIB
    queue.load("shell:5:16:1:sleep 1\n")
    assert queue.json("showTask", claimed.id)["raised"] is None, "the file has more"


def test_an_auto_task_is_learned_from_its_load_to_the_next_claim(queue, q):
    """The loader's family is the one that the report counts under."""
    queue.load("shell:5:auto:1:./cachesim lru 1\nshell:5:auto:1:./cachesim lru 2\nshell:5:auto:1:./other\n")
    first, *_ = q.claim(slots=1)
    digest = family_of(q, first.id)
    for _ in range(5):
        q.add(1, priority=9)
        [c] = q.claim()
        q.finish(c, family="shell cachesim lru", digest=digest, peak=GIB)
    second, other = q.claim(slots=2, auto=3 * GIB)
    assert (second.need, other.need) == ((GIB, GIB), (3 * GIB, 3 * GIB))
    assert digest_of("shell cachesim lru") != digest, "the loader's own digest"
    q.finish(first, second, other)


def test_loading_again_keeps_a_raised_request(queue, q):
    text = "shell:5:auto:1:sleep 1\n"
    queue.load(text)
    [claimed] = q.claim()
    q.finish(claimed, outcome="returned", peak=3 * GIB, promised=2 * GIB, need=4 * GIB)
    assert queue.json("showTask", claimed.id)["min_dram_bytes"] == 4 * GIB
    queue.load(text)
    assert queue.json("showTask", claimed.id)["min_dram_bytes"] == 4 * GIB


def test_a_task_that_no_worker_can_hold_says_so(queue, q):
    queue.load("shell:5:2:1:sleep 1\n")
    [claimed] = q.claim(mem=8 * GIB)
    q.finish(claimed, outcome="returned", peak=9 * GIB, promised=2 * GIB, need=12 * GIB, reason="memory was short")
    assert "returned (memory): needs at least 9.0 GiB; " in queue("checkTask", "--failed")
    assert "needs at least 9.0 GiB; the largest worker has 7.9 GiB: memory was short" in queue("showTask", claimed.id)


# --- why a task that wants cards does not run ------------------------------------------------------


@pytest.mark.parametrize("gpu,gpu_mem,why", [
    ("1", None, "it needs 1 GPU, which no live worker has"), ("3", None, "it needs 3 GPUs, which no live worker has"),
    ("0.5", None, "it needs 0.5 GPU, which no live worker has"),
    (None, "90", "it needs a GPU with 90.0 GiB, which no live worker has")])
def test_why_a_task_gets_no_card(queue, q, gpu, gpu_mem, why):
    if gpu == "3" or gpu_mem:
        q.register("w1", info=json.dumps({**INFO, "gpus": [{"uuid": f"GPU-{i}", "memory": 80 * GIB} for i in (1, 2)]}))
    options = " ".join(f"{key}={value}" for key, value in (("gpu", gpu), ("gpu_mem", gpu_mem)) if value)
    queue.load(f"#@ {options}\nshell:5:auto:1:train\n")
    [task] = q.records()
    assert queue.json("showTask", task)["why_not_running"] == [why]


def test_a_task_with_a_family_waits_for_the_busy_only(queue, q):
    q.register("w1", info=json.dumps({**INFO, "gpus": [{"uuid": "GPU-1", "memory": 80 * GIB}]}))
    queue.load("#@ gpu=1 gpu_mem=8\nshell:5:auto:1:train\n")
    [task] = q.records()
    assert queue.json("showTask", task)["why_not_running"] == ["the workers are busy: no other of its own"]


def test_a_fraction_above_one_is_refused(queue, q):
    done = queue.run("addTask", "--gpu", "1.5", "train")
    assert done.returncode == 2
    assert "expected a share of one GPU (0.25) or a whole number of them" in done.stderr
