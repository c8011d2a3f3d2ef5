"""Memory runs short on a machine of 1 GiB (a memory cgroup): who goes back, what it asks for then, and that the
kernel never has to kill. What is looked at are outcomes, not times."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import HELPERS, program, wait_until
from hogs import (WATCH, all_in_progress, assert_newest_returned, assert_only_returned, assert_raised, finished, gib, hog,
                  running, touch, wait_files)
from memorybox import MIB
from tasks import Tasks

@pytest.fixture
def tasks(queue, redis):
    return Tasks(queue, redis)


def test_ten_that_outgrow_what_they_asked_for(memory_box, boxed_worker, tasks, box):
    """All ten are packed, and want two GiB in the end: above what was promised, and above what there is."""
    there = memory_box(1024)
    w = boxed_worker(there, **WATCH)
    ten = tasks.add_all([hog(200, rate=60, after=box / "go")] * 10, min_dram=gib(50))
    all_in_progress(ten)
    touch(box / "go")
    finished(ten)
    assert there.oom_kills == 0
    assert_only_returned(ten)
    assert_newest_returned(w, ten)
    assert ten[0].outcomes == ["finished"], "the first was never the newest"
    returned = [task for task in ten if len(task.tries) > 1]
    assert returned
    for task in returned:
        assert_raised(task, 50 * MIB)
        assert "memory was short: it used" in task.tries[0].reason and "min_dram raised" in task.tries[0].reason


def nine_honest(tasks, box):
    """Each within its request, and full; they go on until the file `go`."""
    full = [box / f"full{i}" for i in range(9)]
    honest = tasks.add_all([hog(45, full=path, until=box / "go") for path in full], min_dram=gib(56))
    wait_files(full)
    return honest


@pytest.mark.parametrize("policy", ["most_recent", "over_request"])
def test_a_hog_among_nine_honest_ones(memory_box, boxed_worker, tasks, box, policy):
    there = memory_box(1024)
    w = boxed_worker(there, return_policy=policy, **WATCH)
    greedy = tasks.add(hog(600, rate=250, after=box / "grow", full=box / "grown", until=box / "go"), min_dram=gib(64))
    greedy.wait("in_progress")
    honest = nine_honest(tasks, box)
    asked = honest[0].record.mem
    touch(box / "grow")
    if policy == "most_recent":
        wait_files([box / "grown"])
    else:
        greedy.wait_tries(1)
    touch(box / "go")
    finished([greedy, *honest])
    assert there.oom_kills == 0
    assert_only_returned([greedy, *honest])
    returned = [task for task in honest if len(task.tries) > 1]
    if policy == "most_recent":
        assert greedy.outcomes == ["finished"], "it was started first"
        assert returned
        assert_newest_returned(w, [greedy, *honest])
    else:
        assert greedy.outcomes[0] == "returned" and not returned
        assert_raised(greedy, 64 * MIB)
    for task in honest:
        assert task.record.mem == asked, "a bystander keeps its request"
    for task in returned:
        assert ", within the " in task.tries[0].reason


@pytest.mark.parametrize("others", [0, 150])
def test_larger_than_the_machine(memory_box, boxed_worker, tasks, box, others):
    """It fails, and says what it would need; also where something that is not ours has a part of the machine."""
    there = memory_box(640)
    if others:
        subprocess.Popen(there.enter([HELPERS / "memhog", str(others), f"full={box}/full", f"until={box}/never"]))
        wait_files([box / "full"])
    boxed_worker(there, **{**WATCH, "min_dram_gb_accept_new_task": "192MiB"})
    task = tasks.add(hog(4000, rate=300), min_dram=gib(50)).wait("failed", 60)
    assert there.oom_kills == 0
    assert set(task.outcomes) == {"returned"}
    assert "needs at least " in task.tries[-1].reason and "; the largest worker has " in task.tries[-1].reason


def test_too_large_for_one_worker_goes_to_a_larger_one(memory_box, boxed_worker, tasks, box):
    small, large = memory_box(640), memory_box(1024)
    settings = {**WATCH, "min_dram_gb_accept_new_task": "192MiB"}
    boxed_worker(large, "large", labels="large", **settings)
    filler = tasks.add(f"until [ -e {box}/free ]; do sleep 0.05; done", min_dram=gib(760), labels="large")
    filler.wait("in_progress")
    boxed_worker(small, "small", **settings)
    task = tasks.add(hog(600, rate=200), min_dram=gib(100)).wait_tries(1)
    touch(box / "free")
    task.wait("finished", 60)
    assert [(entry.worker, entry.outcome) for entry in task.tries] == [("small", "returned"), ("large", "finished")]
    assert small.oom_kills == large.oom_kills == 0


@pytest.mark.parametrize("shape", [{"procs": 300}, {"daemon": 1}, {"term": "ignore"}], ids=lambda s: next(iter(s)))
def test_it_goes_back_as_a_whole(memory_box, boxed_worker, tasks, box, shape):
    """A crowd of small processes, a daemon in a session of its own, one that ignores SIGTERM: measured as one task
    and ended as one. That which runs beside it does not notice."""
    there = memory_box(1024)
    boxed_worker(there, **WATCH)
    beside = tasks.add(hog(400, full=box / "full", until=box / "go"), min_dram=gib(430))
    wait_files([box / "full"])
    mark = f"full={box}/grown"
    task = tasks.add(hog(500, rate=300, full=box / "grown", **shape), min_dram=gib(50)).wait_tries(1)
    assert not running(mark), "all of it is gone when its return is known"
    assert task.tries[0].maxrss_kib > 200 * 1024 and task.outcomes == ["returned"]
    assert_raised(task, 50 * MIB)
    touch(box / "go")
    finished([beside, task])
    assert there.oom_kills == 0
    assert beside.outcomes == ["finished"]
    assert_only_returned([task])


def test_grace_for_one_that_wants_to_tidy_up(memory_box, boxed_worker, tasks, box):
    """Slow growth leaves time for return_grace: SIGTERM, and the task ends by itself."""
    there = memory_box(1024)
    boxed_worker(there, return_grace="500ms", **WATCH)
    task = tasks.add(f"trap 'echo tidied >{box}/tidied; kill $hog; exit 0' TERM; {hog(2000, rate=20, first=760)} & "
                     "hog=$!; wait", min_dram=gib(50)).wait_tries(1)
    assert task.outcomes[0] == "returned", task.tries
    assert (box / "tidied").read_text() == "tidied\n"
    assert there.oom_kills == 0


def test_by_processes_and_memory_setting_alone(tasks, redis, box, boxed_worker):
    """Without rights: an ordinary user, no cgroup with a limit, 0.6 of the machine's GiB for tasks."""
    mine = box / "nobody"
    mine.mkdir()
    for path in (Path(program("redisWorker")), HELPERS / "memhog"):
        shutil.copy(path, mine / path.name)
    before = []
    if os.geteuid() == 0:
        before = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
        box.chmod(0o755)
        for path in (mine, box / "run", box / "tmp", box / "cwd", box / "home"):
            shutil.chown(path, 65534, 65534)
    w = boxed_worker(None, url=redis.tcp_url, before=before, memory="640MiB", state_dir=mine / "state", **WATCH)
    four = tasks.add_all([hog(200, program=mine / "memhog", rate=80, after=box / "go")] * 4, min_dram=gib(50))
    all_in_progress(four)
    touch(box / "go")
    finished(four)
    assert w.events("memory_watch")[0]["source"] == "processes"
    assert_only_returned(four)
    assert_newest_returned(w, four)
