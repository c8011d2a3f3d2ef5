"""A large task is not starved by small ones (promise 10), with real workers."""
import os
import signal

import pytest

from harness import SLOW

FAST = {"health_report_interval": "100ms", "sleep_sec_between_accepting_task": "0.1"}


def add(queue, *words):
    return queue("addTask", *words).split()[-1]


def told(queue, task):
    return queue.json("showTask", task)


def reserved(queue, task):
    """Who is kept free for it."""
    return [w["name"] for w in queue.json("checkWorker")["workers"] if w["reserved_for"] == task]


# A task that goes on until the one after it has started, or the test says so, or it has waited for that often enough: so
# a worker that takes small tasks is never empty, and a task that needs it all would wait for ever.
HAND_OVER = ("touch {0}; n=0; until [ -e {1} ] || [ -e {2} ] || [ $n = {3} ]; do n=$((n+1)); sleep 0.1; done; "
             "sleep 0.05")


def stream(queue, box, count, patience):
    """patience: how often a task looks for the next one, in tenths of a second."""
    queue.load("".join("shell:1:0:1:" + HAND_OVER.format(box / f"s{i}", box / f"s{i + 1}", box / "over", patience) + "\n"
                       for i in range(count)), name="stream")


def finished(queue):
    return queue.counts()["finished"]


@pytest.mark.parametrize("starve_after,starved", [("0", True), ("300ms", False)])
def test_a_stream_of_small_tasks_and_one_for_the_whole_machine(queue, worker, box, wait_until, starve_after, starved):
    count = 2000
    stream(queue, box, count, patience=9999 if starved else 50)
    worker("w1", cpus=4, starve_after=starve_after, **FAST)
    wait_until(lambda: finished(queue) > 0)
    large = add(queue, "--priority", 9, "--min_cpu", 4, "--", "true")
    if starved:
        before = finished(queue)
        wait_until(lambda: finished(queue) >= before + 60, 60)
        assert told(queue, large)["state"] == "todo"
        assert not reserved(queue, large)
        queue("cancelTask", "--state", "todo", "--include", "touch")
        (box / "over").touch()
    wait_until(lambda: told(queue, large)["state"] == "finished", 60)
    assert starved or queue.counts()["todo"] > 0, "the stream goes on"


def test_it_passes_on_when_its_worker_drains_and_when_it_dies(queue, worker, box, wait_until):
    """Three workers, each held up by a long task beside the small ones."""
    names = ("w1", "w2", "w3")
    workers = {}
    for name in names:
        workers[name] = worker(name, cpus=2, labels=name, starve_after="300ms", lease="2s", **FAST)
        add(queue, "--priority", 5, "--labels", name, "--min_cpu", 1, "--",
            f": {name}; until [ -e {box}/go ]; do sleep 0.1; done")
    queue.wait_counts(in_progress=3)
    queue.load("".join(f"shell:1:0:1:sleep 0.2; : {i}\n" for i in range(3000)), name="stream")
    wait_until(lambda: finished(queue) > 3)
    large = add(queue, "--priority", 9, "--min_cpu", 2, "--", "true")

    first = wait_until(lambda: reserved(queue, large), 30)[0]
    remark = next(line for line in queue("checkWorker").splitlines() if line.startswith(first))
    assert f"kept free for task {large}, for " in remark
    small = add(queue, "--priority", 1, "--min_cpu", 1, "--", "true small")
    why = [line for line in told(queue, small)["why_not_running"] if large in line]
    assert why and why[0].startswith(f"{first} takes none that would delay task {large}"), told(queue, small)
    assert any(f"{first} has been kept free for it for " in line for line in told(queue, large)["why_not_running"])

    queue("drainWorker", first)
    second = wait_until(lambda: [n for n in reserved(queue, large) if n != first], 30)[0]
    agent = queue.json("checkWorker", second)["workers"][0]["info"]["agent_pid"]
    os.kill(workers[second].pid, signal.SIGSTOP)  # no supervisor that is born again in its place
    os.kill(agent, signal.SIGKILL)
    workers[second].kill()
    third = wait_until(lambda: [n for n in reserved(queue, large) if n not in (first, second)], 30)[0]
    assert {first, second, third} == set(names)
    assert told(queue, large)["state"] == "todo"
    (box / "go").touch()
    wait_until(lambda: told(queue, large)["state"] == "finished", 60)
    assert [entry["worker"] for entry in told(queue, large)["try_log"]] == [third]
    assert queue.counts()["todo"] > 0, "the stream goes on"


def test_the_worker_goes_on_when_the_large_task_is_cancelled(queue, worker, box, wait_until):
    worker("w1", cpus=2, starve_after="300ms", **FAST)
    add(queue, "--priority", 5, "--min_cpu", 1, "--", f"until [ -e {box}/go ]; do sleep 0.1; done")
    queue.wait_counts(in_progress=1)
    queue.load("".join(f"shell:1:0:1:sleep 0.1; : {i}\n" for i in range(3000)), name="stream")
    large = add(queue, "--priority", 9, "--min_cpu", 2, "--", "true")
    wait_until(lambda: reserved(queue, large), 30)
    queue.wait_counts(in_progress=1)
    before = finished(queue)
    queue("cancelTask", large)
    wait_until(lambda: finished(queue) > before + 3, 30)
    assert not reserved(queue, large)
    (box / "go").touch()


def test_a_bad_setting_is_refused(queue, worker):
    w = worker("w1", starve_after="soon")
    assert w.wait(20 * SLOW) == 2
    assert "starve_after" in w.log
