"""Tries that fail, and tries that are ended (issue 2, "Retry", "Timeout", cancel)."""
import re
import time

import pytest

from harness import is_running, wait_until
from tasks import Tasks, numbers

FAST = {"health_report_interval": "100ms", "lease": "1s", "sleep_sec_between_accepting_task": "100ms"}
# Ignores SIGTERM, and so does its child in a session of its own.
STUBBORN = ("trap '' TERM; echo $$ >> {0}; setsid sh -c 'trap \"\" TERM; echo $$ >> {0}; while :; do sleep 0.1; done' & "
            "while :; do sleep 0.1; done")
# Forks twice and leaves its session, so that nothing but the supervisor is its parent.
DAEMON = "setsid sh -c '(sleep 1000 & echo $! >> {0}) & exit' & echo $$ >> {0}; exec sleep 1000"


@pytest.fixture
def tasks(queue, redis):
    return Tasks(queue, redis)


def test_back_off_doubles_and_reasons_are_kept(tasks, worker):
    worker(retry_backoff="200ms", **FAST)
    task = tasks.add("echo this is why, try $DISTCOMP_TRY >&2; exit 3", retries=4).wait("failed")
    tries = task.tries
    assert task.outcomes == ["failed"] * 4
    assert [t.reason for t in tries] == [f"this is why, try {n}" for n in (1, 2, 3, 4)]
    gaps = [later.start_ms - earlier.end_ms for earlier, later in zip(tries, tries[1:])]
    for gap, wanted in zip(gaps, (200, 400, 800)):
        assert wanted - 20 <= gap <= wanted + 500, gaps


def test_back_off_has_a_limit(tasks, worker):
    worker(retry_backoff="100ms", retry_backoff_max="150ms", **FAST)
    tries = tasks.add("false", retries=5).wait("failed").tries
    assert tries[-1].start_ms - tries[-2].end_ms < 600


def test_another_worker_first(tasks, worker, box):
    """The one that failed it is the quicker to ask; the other one gets it all the same."""
    for name in ("w1", "w2"):
        worker(name, retry_backoff="50ms", **FAST)
    command = f"[ -e {box}/$DISTCOMP_TASK_ID ] && [ $(cat {box}/$DISTCOMP_TASK_ID) != $DISTCOMP_WORKER ] || " \
              f"{{ echo $DISTCOMP_WORKER > {box}/$DISTCOMP_TASK_ID; exit 1; }}"
    for task in tasks.add_all([command] * 12):
        first, second = task.wait().tries
        assert first.worker != second.worker, task


def test_last_lines_of_stderr(tasks, worker):
    worker(**FAST)
    task = tasks.add("seq 1 5000 >&2; exit 1", retries=1).wait("failed")
    assert task.tries[0].reason == "4996\n4997\n4998\n4999\n5000"


def test_exit_75_is_queued_again_uncounted(tasks, worker):
    worker(retry_backoff="50ms", **FAST)
    task = tasks.add("[ $DISTCOMP_TRY -ge 4 ] || exit 75", retries=1).wait()
    assert task.outcomes == ["tempfail"] * 3 + ["finished"]
    assert task.record.failures == 0


def test_timeout_ends_the_tree_however_stubborn(tasks, worker, box):
    worker(kill_grace="300ms", **FAST)
    task = tasks.add(STUBBORN.format(box / "pids"), timeout="500ms", retries=1).wait("failed")
    entry, = task.tries
    assert entry.outcome == "timeout"
    assert 750_000 < entry.wall_us < 5_000_000
    assert [pid for pid in numbers(box / "pids", 2) if is_running(pid)] == []


def test_timeout_is_soft_first(tasks, worker):
    worker(kill_grace="10s", **FAST)
    start = time.monotonic()
    task = tasks.add("trap 'echo saved; exit 0' TERM; while :; do sleep 0.05; done", timeout="300ms", retries=1)
    task.wait("failed")
    assert time.monotonic() - start < 5
    assert (task.outcomes, task.out) == (["timeout"], b"saved\n")


def test_timeout_of_the_configuration_is_retried(tasks, worker):
    worker(timeout="200ms", kill_grace="100ms", retry_backoff="20ms", **FAST)
    assert tasks.add("sleep 100", retries=2).wait("failed").outcomes == ["timeout", "timeout"]


def test_cancel_ends_a_running_tree(tasks, worker, box):
    worker(kill_grace="300ms", **FAST)
    task = tasks.add(DAEMON.format(box / "pids")).wait("in_progress")
    pids = numbers(box / "pids", 2)
    tasks.queue("cancelTask", task.id)
    task.wait("cancelled")
    assert task.outcomes == ["cancelled"]
    assert [pid for pid in pids if is_running(pid)] == []


def test_a_broken_worker_pauses_itself(tasks, worker, box):
    """/bin/false in place of the shell: what fails at once on w1 finishes on w2."""
    worker("w2", max_tasks=1, **FAST)
    broken = worker("w1", shell="/bin/false", broken_after=6, retry_backoff="20ms", max_tasks=2, **FAST)
    all_ = tasks.add_all([f"sleep 0.1; : {i}" for i in range(60)], retries=20)
    broken.wait_event("worker_paused", 30)
    for task in all_:
        task.wait(deadline=60)
    assert all(task.tries[-1].worker == "w2" for task in all_)
    failures = sum(t.worker == "w1" for task in all_ for t in task.tries)
    assert failures < 300, "it did not eat the queue"
    assert "paused" in tasks.queue("checkWorker")


def test_resumeWorker_puts_it_back(tasks, worker, box):
    broken = worker("w1", shell=box / "shell", broken_after=5, retry_backoff="20ms", max_tasks=2, **FAST)
    worker("w2", max_tasks=1, **FAST)
    all_ = tasks.add_all([f"sleep 0.1; : {i}" for i in range(40)], retries=20)
    broken.wait_event("worker_paused", 30)
    (box / "shell").symlink_to("/bin/sh")
    for task in all_:
        task.wait(deadline=60)
    tasks.queue("drainWorker", "w2")
    tasks.queue("resumeWorker", "w1")
    assert tasks.add("echo $DISTCOMP_WORKER; :").wait().out == b"w1\n"


def test_a_broken_worker_beside_busy_ones_goes_slowly(tasks, worker, box, queue):
    """Nobody else finishes anything for now, so nobody can tell whose fault it is."""
    good = worker("w2", max_tasks=1, **FAST)
    good.wait_event("registered")
    long = tasks.add(f"until [ -e {box}/go ]; do sleep 0.02; done").wait("in_progress")
    broken = worker("w1", shell="/bin/false", broken_after=5, max_tasks=2, **FAST)
    all_ = tasks.add_all([f": {i}" for i in range(2000)], retries=1)
    broken.wait_event("worker_slow", 30)
    wait_until(lambda: re.search(r"^w1 .* slow ", queue("checkWorker"), re.M), what="it says so")
    (box / "go").touch()
    assert long.wait().outcomes == ["finished"]
    queue.wait_counts(60, todo=0, in_progress=0)
    assert sum(task.state == "failed" for task in all_) < 1000, "it did not eat the queue"


def test_a_slow_worker_that_was_mended_is_fast_again(tasks, worker, box, queue):
    good = worker("w2", max_tasks=1, **FAST)
    good.wait_event("registered")
    tasks.add(f"until [ -e {box}/go ]; do sleep 0.02; done").wait("in_progress")
    broken = worker("w1", shell=box / "shell", broken_after=5, max_tasks=2, **FAST)
    tasks.add_all([f": {i}" for i in range(2000)], retries=1)
    broken.wait_event("worker_slow", 30)
    (box / "shell").symlink_to("/bin/sh")
    broken.wait_event("worker_not_slow", 90)
    queue.wait_counts(60, todo=0, in_progress=1)
    assert not broken.events("worker_paused")
    (box / "go").touch()


def test_tasks_that_fail_everywhere_are_not_slowed(tasks, worker, queue):
    """Two workers, of which each sees that the other fails as well; and a third that cannot take any of it."""
    idle = worker("w3", labels="other", memory="64MiB", **FAST)
    idle.wait_event("registered")
    both = [worker(name, broken_after=5, max_tasks=2, **FAST) for name in ("w1", "w2")]
    all_ = tasks.add_all([f"exit 1; {i}" for i in range(300)], retries=1, min_dram="128MiB")
    for task in all_:
        task.wait("failed", 60)
    assert not any(w.events("worker_paused") for w in both)


def test_all_workers_broken_is_the_tasks_fault(tasks, worker):
    """Nothing succeeds anywhere: nobody pauses, the tasks fail."""
    w = worker(broken_after=5, retry_backoff="10ms", **FAST)
    for task in tasks.add_all(["exit 1"] * 15, retries=1):
        task.wait("failed")
    assert not w.events("worker_paused")


def test_not_more_than_what_fits(tasks, worker, box):
    worker(cpus=2, **FAST)
    command = f"mkdir {box}/slots/$$; ls {box}/slots | wc -l >> {box}/seen; sleep 0.1; rmdir {box}/slots/$$"
    (box / "slots").mkdir()
    for task in tasks.add_all([command] * 12, min_cpu=1):
        task.wait()
    assert max(map(int, (box / "seen").read_text().split())) == 2
    wait_until(lambda: not list((box / "slots").iterdir()))
