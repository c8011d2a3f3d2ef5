"""Where tasks run and what bounds them: cards, CPUs, limit=hard (issue 4, "Memory and resources")."""
import json
import os
import signal
import struct
import subprocess

import pytest

import harness
from fakesupervisor import ACK, BYE, EXIT, SIGNAL, START, STARTED, FakeSupervisor
from harness import Worker, agent_of, wait_until
from tasks import Tasks, read

FAST = {"health_report_interval": "100ms", "lease": "2s", "retry_backoff": "50ms",
        "sleep_sec_between_accepting_task": "100ms"}
CARDS = {"gpus": [{"uuid": "GPU-a", "name": "A", "memory": "16GiB"},
                  {"uuid": "GPU-b", "name": "B", "memory": "16GiB", "used": "15GiB"}]}
FREE = {"min_dram": 0, "min_cpu": 0}


@pytest.fixture
def tasks(queue, redis):
    return Tasks(queue, redis)


@pytest.fixture
def machine(box):
    """Writes what the machine has; returns the worker's setting."""
    def make(**said):
        path = box / "inventory.json"
        path.write_text(json.dumps(said))
        return {"inventory": path, **FAST}
    return make


def waiting(box, name):
    """A command that says its cards, and ends when it is told to."""
    return f"echo \"$CUDA_VISIBLE_DEVICES\" > {box}/{name}; until [ -e {box}/{name}.go ]; do sleep 0.02; done"


def go(box, name):
    (box / f"{name}.go").touch()


# --- cards ---


def test_quarters_share_a_card_and_a_whole_one_waits(tasks, worker, machine, box):
    worker(**machine(**CARDS))
    quarters = [tasks.add(waiting(box, f"q{i}"), gpu=0.25, **FREE) for i in range(2)]
    assert [read(box / f"q{i}") for i in range(2)] == ["GPU-a\n", "GPU-a\n"]
    whole = tasks.add(waiting(box, "whole"), gpu=1, **FREE)
    plain = tasks.add("echo ${CUDA_VISIBLE_DEVICES-unset}", **FREE)
    assert plain.wait().out == b"unset\n", "a task that asks for none is left alone, and is not held up"
    assert whole.state == "todo", "b is filled by somebody else, a by quarters"
    go(box, "q0")
    quarters[0].wait()
    tasks.add("true", **FREE).wait()
    assert whole.state == "todo"
    go(box, "q1")
    assert read(box / "whole") == "GPU-a\n"
    go(box, "whole")
    whole.wait()


def test_another_agent_knows_which_cards_are_taken(tasks, worker, machine, box):
    w = worker(**machine(**CARDS))
    first = tasks.add(waiting(box, "first"), gpu=0.75, **FREE)
    assert read(box / "first") == "GPU-a\n"
    os.kill(agent_of(w), signal.SIGKILL)
    w.wait_event("task_taken_over")
    second = tasks.add(waiting(box, "second"), gpu=0.5, **FREE)
    tasks.add("true", **FREE).wait()
    assert second.state == "todo"
    go(box, "first")
    assert read(box / "second") == "GPU-a\n"
    go(box, "second")
    assert [first.wait().outcomes, second.wait().outcomes] == [["finished"]] * 2


def test_a_card_that_somebody_else_fills(tasks, worker, machine, box, queue):
    """By NVML: what others take there meanwhile is seen."""
    def say(used):
        (box / "fresh").write_text(f"GPU-a A 17179869184 {used} -\n")
        os.rename(box / "fresh", box / "cards")
    say(15 << 30)
    worker(env={"LD_LIBRARY_PATH": str(harness.HELPERS / "nvml"), "FAKE_NVML": str(box / "cards")},
           **machine(nvml=True))
    half = tasks.add(waiting(box, "half"), gpu=0.5, **FREE)
    tasks.add("true", **FREE).wait()
    assert half.state == "todo"
    say(0)
    assert read(box / "half") == "GPU-a\n"
    say(12 << 30)  # 8 GiB are promised, so at least 4 are somebody else's
    wait_until(lambda: queue.json("checkWorker")["workers"][0]["stats"]["gpus"][0][1] == 12 << 30)
    quarter = tasks.add(waiting(box, "quarter"), gpu_mem="6GiB", **FREE)
    tasks.add("true", **FREE).wait()
    assert quarter.state == "todo"
    say(8 << 30)
    assert read(box / "quarter") == "GPU-a\n"
    go(box, "half"), go(box, "quarter")
    assert [half.wait().outcomes, quarter.wait().outcomes] == [["finished"]] * 2


def test_no_card_for_it(tasks, worker, machine, queue):
    worker(**machine(**CARDS))
    task = tasks.add("true", gpu=3, **FREE)
    tasks.add("true", **FREE).wait()
    assert task.state == "todo"
    assert any("gpu" in why.lower() for why in queue.json("showTask", task.id)["why_not_running"])


# --- CPUs ---


def allowed():
    return sorted(os.sched_getaffinity(0))


def numbers(text):
    """The CPUs of 0-3,8."""
    found = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


SHOW = "taskset -pc $$ | sed 's/.*: //'; echo threads $OMP_NUM_THREADS"


def test_pinned_to_cores(tasks, worker, box):
    worker(**FAST)
    task = tasks.add(SHOW, pin="core", min_cpu=1).wait()
    cpus, threads = task.out.decode().split("threads")
    assert numbers(cpus) <= set(allowed()) and 1 <= len(numbers(cpus)) <= 8, "a core, with its threads"
    assert int(threads) == len(numbers(cpus))
    for pin in ({}, {"pin": "none"}):
        task = tasks.add(SHOW, min_cpu=1, **pin).wait()
        assert sorted(numbers(task.out.decode().split("threads")[0])) == allowed()


@pytest.mark.skipif(len(allowed()) < 2, reason="expected: one CPU leaves nothing to choose")
def test_each_on_its_own_core_also_by_another_agent(tasks, worker, machine, box):
    one, two = allowed()[:2]
    w = worker(cpus=2, **machine(numa=[{"cpus": f"{one},{two}"}]))
    names = ["a", "b", "c"]
    line = "taskset -pc $$ | sed 's/.*: //' > {box}/{n}; until [ -e {box}/{n}.go ]; do sleep 0.02; done"
    made = {n: tasks.add(line.format(box=box, n=n), pin="core", min_cpu=0.5, name=n) for n in names[:1]}
    first = read(box / "a")
    os.kill(agent_of(w), signal.SIGKILL)
    w.wait_event("task_taken_over")
    made["b"] = tasks.add(line.format(box=box, n="b"), pin="core", min_cpu=0.5, name="b")
    assert {int(first), int(read(box / "b"))} == {one, two}
    go(box, "a")
    made["a"].wait()
    made["c"] = tasks.add(line.format(box=box, n="c"), pin="core", min_cpu=0.5, name="c")
    assert read(box / "c") == first
    go(box, "b"), go(box, "c")
    assert all(made[n].wait().outcomes == ["finished"] for n in names)


# --- limits ---


HOG = "python3 -c \"b = bytearray({mib} << 20); b[::4096] = b'x' * len(b[::4096]); print('grown')\""


def test_memory_within_a_hard_limit(tasks, worker):
    worker(**FAST)
    task = tasks.add(HOG.format(mib=20), limit="hard", min_dram="256MiB").wait()
    assert task.out == b"grown\n"


def can(controller):
    """Whether a limit of that kind can be a version 1 cgroup's here, as root."""
    return os.geteuid() == 0 and os.access(f"/sys/fs/cgroup/{controller}/cgroup.procs", os.W_OK)


@pytest.mark.skipif(not can("memory"), reason="expected: no memory cgroup of version 1 can be made here")
def test_memory_above_a_hard_limit_is_a_failure(tasks, worker):
    w = worker(**FAST)
    task = tasks.add(HOG.format(mib=400), limit="hard", min_dram="64MiB", retries=2, backoff="50ms").wait("failed")
    assert task.outcomes == ["failed"] * 2, "each breach is a failed try, none a return"
    assert task.out == b""
    for entry in task.tries:
        assert "limit of 64.0 MiB (limit=hard)" in entry.reason, entry
    assert len(w.events("task_over_limit")) == 2


@pytest.mark.skipif(not can("memory"), reason="expected: no memory cgroup of version 1 can be made here")
def test_a_limit_outlives_the_agent(tasks, worker, box):
    w = worker(**FAST)
    task = tasks.add(f"echo > {box}/on; until [ -e {box}/go ]; do sleep 0.02; done; {HOG.format(mib=400)}",
                     limit="hard", min_dram="64MiB", retries=1)
    wait_until((box / "on").exists)
    os.kill(agent_of(w), signal.SIGKILL)
    w.wait_event("task_taken_over")
    (box / "go").touch()
    task.wait("failed")
    assert task.outcomes == ["failed"], "not returned, which would be for ever"


THROTTLED = """
import re
groups = dict(line.rstrip().split(":")[1:] for line in open("/proc/self/cgroup"))
path = "/sys/fs/cgroup/cpu" + groups["cpu"] + "/"
while not re.search(r"nr_throttled [1-9]", open(path + "cpu.stat").read()):
    sum(range(100000))
print(int(open(path + "cpu.cfs_quota_us").read()) * 1000 // int(open(path + "cpu.cfs_period_us").read()))
"""


@pytest.mark.skipif(not can("cpu"), reason="expected: no cpu cgroup of version 1 can be made here")
def test_cpu_above_a_hard_limit_is_throttled(tasks, worker, box):
    worker(**FAST)
    (box / "spin.py").write_text(THROTTLED)
    task = tasks.add(f"python3 {box}/spin.py", limit="hard", min_cpu=0.25).wait(deadline=60)
    assert task.out == b"250\n"


class WithoutCgroups(Worker):
    """On a machine where no cgroup can be made: there is nothing under /sys/fs/cgroup."""

    def start(self):
        if self.line[0] != "unshare":
            hide = '[ ! -d /sys/fs/cgroup ] || mount -t tmpfs none /sys/fs/cgroup || exit 1; exec "$0" "$@"'
            self.line = ["unshare", "-m", "sh", "-c", hide, *self.line]
        return super().start()


def can_hide():
    """Only root may, and in a chroot whose root is no mount nobody (unshare makes mounts private first)."""
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_hide(), reason="expected: no mount namespace can be made here to hide the cgroups in")
def test_limits_without_cgroups(tasks, redis, box):
    w = WithoutCgroups(box, redis.url, "w1", cwd=box / "cwd", **FAST)
    try:
        task = tasks.add(f"{SHOW}; ulimit -d", limit="hard", min_cpu=1, min_dram="512MiB").wait()
        cpus, _, data = task.out.decode().splitlines()
        assert len(numbers(cpus)) == 1, "min_cpu is as many CPUs"
        assert int(data) == 512 << 10
        task = tasks.add(HOG.format(mib=400), limit="hard", min_dram="64MiB", retries=1).wait("failed")
        assert b"MemoryError" in task.err
        task = tasks.add("ulimit -d", min_dram="64MiB").wait()
        assert task.out == b"unlimited\n"
    finally:
        w.kill()


def test_soft_is_no_limit(tasks, worker):
    worker(**FAST)
    task = tasks.add(HOG.format(mib=200), limit="soft", min_dram="64MiB").wait()
    assert task.out == b"grown\n"


def test_a_hard_limit_needs_something_to_limit(queue):
    done = queue.run("addTask", "--limit", "hard", "--min_dram", "auto", "--min_cpu", "0", "--", "true")
    assert done.returncode != 0 and "limit=hard needs min_dram or min_cpu" in done.stderr
    done = queue.run("loadTask", "-", input="#@ limit=hard\nshell:1:1:0:true\nshell:1:0:0:true\n")
    assert done.returncode == 1 and done.stderr.startswith("standard input:3:9: limit=hard needs"), done.stderr


def test_options_are_shown(queue, tasks):
    dry = queue("loadTask", "--dry_run", "-", input="#@ limit=hard pin=numa\nshell:1:1:1:true\n")
    assert (json.loads(dry)["limit"], json.loads(dry)["pin"]) == ("hard", "numa")
    task = tasks.add("true", limit="hard", pin="core", min_cpu=1)
    shown = queue.json("showTask", task.id)
    assert (shown["limit"], shown["pin"]) == ("hard", "core")


# --- an agent and a supervisor of two versions ---


def test_an_agent_under_an_older_supervisor(tasks, redis, queue, box):
    """An upgrade restarts the agent alone."""
    old = FakeSupervisor(box, redis.url, **FAST)
    assert old.version > 2
    old.welcome(2)
    pinned = tasks.add("true", pin="core", min_cpu=1)
    plain = tasks.add("true", min_cpu=0)
    payload = old.wait(START)
    slot, flags, _, _, _, note, cwd, argc, _, envc, strings = struct.unpack("=IIQIiIIIIII", payload[:48])
    assert flags & ~3 == 0, "no flag that it would not know"
    assert len(payload) == 48 + note + cwd + strings, "and nothing else"
    assert payload[48 + note + cwd:].count(b"\0") >= argc + envc
    old.send((STARTED, struct.pack("=IiQ", slot, os.getpid(), 1)))
    old.send((EXIT, struct.pack("=IiiiIIQQQQQQQQ", slot, os.getpid(), 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0)))
    plain.wait()
    old.wait(ACK)
    assert pinned.state == "todo", "such a worker does not say that it can"
    assert any("pin" in why for why in queue.json("showTask", pinned.id)["why_not_running"])
    old.send((SIGNAL, struct.pack("=iI", signal.SIGTERM, 0)))
    old.wait(BYE)
    assert old.agent.wait(30) == 0
