"""Native tasks through a real worker: warm hosts, how their tries end, and who may have them (docs/kernels.md)."""
import os
import re
import signal

import pytest

import probekernel
from harness import BIN, descendants, is_running, wait_until
from hogs import WATCH, hog, wait_files
from tasks import Tasks

FAST = {"health_report_interval": "100ms", "lease": "2s", "retry_backoff": "50ms", "kill_grace": "300ms"}


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A directory with the kernel `probe`."""
    return probekernel.build(tmp_path_factory.mktemp("kernels"))


@pytest.fixture
def native(worker, built):
    """A worker with the kernels probe and noop."""
    def make(name=None, **settings):
        return worker(name, **{**FAST, "kernel_dir": f"{built}:{BIN}/kernels", **settings})
    return make


@pytest.fixture
def tasks(queue, redis):
    made = Tasks(queue, redis)

    def add(params, **fields):
        return made.add(params, **{"type": "native", **fields})

    def add_all(all_params, **fields):
        return made.add_all(all_params, **{"type": "native", **fields})

    made.native, made.natives = add, add_all
    return made


def lines(path):
    return [tuple(map(int, line.split())) for line in path.read_text().splitlines()] if path.exists() else []


def pids(path):
    return {pid for pid, _ in lines(path)}


def hosts(worker):
    """Pids of living hosts of a worker."""
    found = set()
    for pid in descendants(worker.pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"/kernelHost") and is_running(pid):
            found.add(pid)
    return found


def test_a_thousand_tasks_run_in_a_few_processes(tasks, native, queue, box):
    queue.load("#@ repeat=1000\nnative:1:0:0:noop\n" + "".join(
        f"#@ name=p repeat=1\nnative:1:0:0:probe do=nothing file={box}/pids text={i}\n" for i in range(200)))
    made = native(max_kernel_hosts=3)
    queue.wait_counts(finished=1200, todo=0, in_progress=0, failed=0)
    assert len(lines(box / "pids")) == 200
    assert 1 <= len(pids(box / "pids")) <= 3
    assert len(hosts(made)) <= 3


def test_short_native_tasks_are_claimed_many_at_a_time(native, queue, redis):
    """More than hosts could start: each claim that brings some looks into the list once at least."""
    queue.load("#@ repeat=2000\nnative:1:0:0:noop\n")
    native(max_kernel_hosts=2)
    queue.wait_counts(finished=2000, todo=0, in_progress=0, failed=0)
    looks = int(re.search(r"calls=(\d+)", redis.info("commandstats")["cmdstat_lrange"]).group(1))
    assert looks < 600, "two at a time would be 1000"


def test_the_worker_says_which_kernels_it_has(native, queue):
    native()
    wait_until(lambda: queue.json("checkWorker")["workers"])
    [seen] = queue.json("checkWorker")["workers"]
    assert {"noop", "probe"} <= set(seen["kernels"])


def test_what_a_kernel_sees(tasks, native, redis, box):
    native(cpus=4, object_max="3MiB", object_ttl="2h")
    (box / "else where").mkdir()
    task = tasks.native("probe do=show text='a b'", min_cpu=2, min_dram="16MiB", cwd=str(box / "else where"),
                        env={"MINE": "x=y"})
    out = dict(line.split("=", 1) for line in task.wait().out.decode().splitlines())
    assert out == {"DISTCOMP_QUEUE": "default", "DISTCOMP_WORKER": "w1", "DISTCOMP_THREADS": "2",
                   "DISTCOMP_MEMORY": str(16 << 20), "DISTCOMP_REDIS": redis.url, "DISTCOMP_OBJECT_MAX": str(3 << 20),
                   "DISTCOMP_OBJECT_TTL": "7200", "CUDA_VISIBLE_DEVICES": "", "MINE": "x=y",
                   "PWD": f"{box}/else where", "text": f"3 threads=2 memory={16 << 20}"}


def test_a_shell_task_has_nothing_of_that(tasks, native):
    native()
    assert tasks.add("echo ${DISTCOMP_REDIS-none} ${DISTCOMP_OBJECT_MAX-none}").wait().out == b"none none\n"


def test_long_parameters_reach_the_kernel(tasks, native):
    native()
    text = "x" * 200_000
    assert b"text=200000 " in tasks.native(f"probe do=show text={text}").wait().out


def test_a_crash_costs_one_try_of_one_task(tasks, native, box):
    native(max_kernel_hosts=1)
    crash = tasks.native(f"probe do=crash file={box}/pids", retries=2)
    others = tasks.natives([f"probe do=nothing text={i} file={box}/others" for i in range(20)])
    for task in [crash, *others]:
        task.wait()
    assert [(t.outcome, t.signal) for t in crash.tries] == [("failed", signal.SIGSEGV), ("finished", 0)]
    assert "probe" in crash.tries[0].reason
    assert all(t.outcomes == ["finished"] for t in others)
    assert len(pids(box / "pids") | pids(box / "others")) == 2


def test_exit_ends_the_host_and_is_the_exit_code(tasks, native):
    native()
    task = tasks.native("probe do=exit n=9", retries=1).wait("failed")
    assert (task.tries[0].exit, task.tries[0].signal) == (9, 0)


def test_usage_is_that_of_the_try(tasks, native, box):
    native(max_kernel_hosts=1)
    big = tasks.native(f"probe do=eat n=200 file={box}/pids").wait()
    spin = tasks.native(f"probe do=spin n=300 file={box}/pids").wait()
    small = tasks.native(f"probe do=nothing file={box}/pids text=s").wait()
    assert len(pids(box / "pids")) == 1
    assert big.tries[0].maxrss_kib > 200 << 10
    assert small.tries[0].maxrss_kib < 150 << 10
    assert spin.tries[0].user_us > 50_000
    assert small.tries[0].user_us + small.tries[0].system_us < spin.tries[0].user_us


@pytest.mark.parametrize("what, outcome", [("nap n=60000", "cancelled"), ("hang", "cancelled")])
def test_cancel_ends_the_host(tasks, native, queue, box, what, outcome):
    made = native(max_kernel_hosts=1)
    task = tasks.native(f"probe do={what} file={box}/pids")
    wait_until(lambda: pids(box / "pids"), 20)
    queue("cancelTask", task.id)
    task.wait("cancelled")
    [pid] = pids(box / "pids")
    assert task.outcomes == [outcome] and not is_running(pid)
    tasks.native("noop").wait()
    assert pid not in hosts(made)


def test_timeout_ends_the_host(tasks, native, box):
    native()
    task = tasks.native(f"probe do=hang file={box}/pids", timeout="300ms", retries=1).wait("failed")
    assert task.outcomes == ["timeout"]
    assert not any(is_running(pid) for pid in pids(box / "pids"))


def test_an_agent_that_dies_costs_nothing(tasks, native, box):
    made = native(lease="10s")
    warm = tasks.native(f"probe do=nothing file={box}/pids").wait()
    naps = tasks.natives([f"probe do=nap n=3000 text={i} file={box}/pids" for i in range(3)])
    wait_until(lambda: len(lines(box / "pids")) == 4, 20)
    [agent] = [pid for pid in descendants(made.pid) if parent(pid) == made.pid and pid not in hosts(made)]
    os.kill(agent, signal.SIGKILL)
    made.wait_event("task_taken_over", 30)
    for task in [warm, *naps]:
        task.wait(deadline=40)
        assert task.outcomes == ["finished"]
    assert len(lines(box / "pids")) == 4  # none ran twice
    tasks.native("probe do=show").wait()


def parent(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rsplit(")", 1)[1].split()[1])


def test_a_supervisor_that_dies_takes_its_hosts_along(tasks, native, box):
    made = native()
    idle = tasks.native(f"probe do=nothing file={box}/idle").wait()
    task = tasks.native(f"probe do=nap n=2000 file={box}/pids")
    wait_until(lambda: lines(box / "pids"), 20)
    before = pids(box / "pids") | pids(box / "idle")
    os.kill(made.pid, signal.SIGKILL)
    wait_until(lambda: not any(is_running(pid) for pid in before), 20)
    task.wait(deadline=60)
    assert task.outcomes == ["lost", "finished"] and idle.outcomes == ["finished"]


def test_outputs_are_whole_and_do_not_mix(tasks, native):
    native(max_kernel_hosts=1, output_limit="4KiB")
    sizes = [0, 64, 100_000, 0, 3_000, 500_000, 16]
    made = tasks.natives([f"probe do=fill n={n} text={i}" for i, n in enumerate(sizes)])
    for task, size in zip(made, sizes):
        [entry] = task.wait().tries
        expected = b"".join(b"%014d\n." % i for i in range(0, size, 16))
        assert entry.out_bytes == len(expected)
        if size > 4096:
            with open(entry.path, "rb") as file:
                assert file.read() == expected
        elif size:
            assert task.out == expected


def test_an_environment_of_its_own_is_a_host_of_its_own(tasks, native, box):
    native(max_kernel_hosts=4)
    for value in ["one", "two", "one", "two", "one"]:
        task = tasks.native(f"probe do=show file={box}/{value} text={tasks.count}", env={"MINE": value})
        assert f"MINE={value}\n".encode() in task.wait().out
    one, two = pids(box / "one"), pids(box / "two")
    assert len(one) == 1 and len(two) == 1 and one != two


def test_a_kernel_that_nobody_has_waits_and_comes(tasks, native, queue, box, built):
    (box / "kernels").mkdir()
    native(kernel_dir=f"{box}/kernels:{BIN}/kernels")
    task = tasks.native("later do=nothing")
    tasks.native("noop").wait()
    assert "it needs the kernel later, which no live worker has" in queue("showTask", task.id)
    assert task.state == "todo"
    probekernel.build(box / "kernels", "later")
    task.wait()
    os.unlink(box / "kernels/later.so")
    wait_until(lambda: "later" not in queue.json("checkWorker")["workers"][0]["kernels"])


def test_a_name_that_no_kernel_can_have_is_refused(queue):
    path = queue.cwd / "bad"
    path.write_text("shell:1:0:1:true\nnative:1:0:1:../evil n=1\n")
    done = queue.run("loadTask", "--taskfile", path)
    assert done.returncode != 0
    assert 'bad:2:14: kernel "../evil", expected its name' in done.stderr, done.stderr


def test_no_more_than_max_kernel_hosts_at_a_time(tasks, native, queue, box):
    made = native(max_kernel_hosts=2, cpus=8)
    naps = tasks.natives([f"probe do=nap n=300 text={i}" for i in range(8)])
    shells = tasks.add_all([f"true {i}" for i in range(20)])
    most = 0

    def done():
        nonlocal most
        most = max(most, len(hosts(made)))
        return all(task.state == "finished" for task in naps + shells)

    wait_until(done, 60)
    assert 1 <= most <= 2


def test_idle_hosts_go_after_a_while(tasks, native):
    made = native(kernel_idle="300ms")
    tasks.native("noop").wait()
    wait_until(lambda: not hosts(made))
    tasks.native("noop x=1", retries=1).wait("failed")  # refused by the kernel's table, by a new host
    wait_until(lambda: not hosts(made))


def test_a_worker_that_leaves_takes_its_hosts_along(tasks, native):
    made = native()
    tasks.native("noop").wait()
    before = hosts(made)
    assert before
    made.signal(signal.SIGTERM)
    assert made.wait() == 0
    assert not any(is_running(pid) for pid in before)


def test_a_limited_task_has_a_host_of_its_own(tasks, native, box):
    native()
    for i in range(3):
        tasks.native(f"probe do=nothing text={i} file={box}/pids", limit="hard", min_dram="1GiB").wait()
    assert len(pids(box / "pids")) == 3
    wait_until(lambda: not any(is_running(pid) for pid in pids(box / "pids")))


def test_idle_hosts_go_before_tasks_do(memory_box, boxed_worker, tasks, built, box):
    """A host that keeps 500 MiB is no reason to take no task of 400 MiB, nor to give it back."""
    there = memory_box(1024)
    made = boxed_worker(there, **WATCH, kernel_idle="1h", kernel_dir=built)
    tasks.native(f"probe do=eat n=500 text=kept file={box}/pids").wait()
    [pid] = pids(box / "pids")
    assert is_running(pid)
    large = tasks.add(hog(400, full=box / "full", until=box / "go"), min_dram="400MiB")
    wait_files([box / "full"])
    (box / "go").touch()
    assert large.wait().outcomes == ["finished"]
    assert made.events("hosts_dismissed") and not made.events("task_return")
    assert not is_running(pid) and there.oom_kills == 0


def test_auto_runs_on_cores_where_no_card_is_free_and_gpu_waits(tasks, native, queue):
    native()
    assert b"CUDA_VISIBLE_DEVICES=\n" in tasks.native("probe do=show device=auto").wait().out
    task = tasks.native("probe do=show device=gpu")
    tasks.native("noop").wait()
    assert "it needs 1 GPU, which no live worker has" in queue("showTask", task.id)


def test_what_a_kernel_refuses_is_not_tried_again(tasks, native):
    native()
    task = tasks.native("noop x=1").wait("failed")
    assert task.outcomes == ["failed"]
    assert "unknown parameter" in task.tries[0].reason


def test_many_that_print_need_few_hosts(tasks, native, box):
    """A host whose output waits for its report takes no other try."""
    made = native(max_kernel_hosts=3)
    tasks.natives([f"probe do=fill n=16 file={box}/pids text={i}" for i in range(300)], min_cpu=0)
    most = 0

    def done():
        nonlocal most
        most = max(most, len(hosts(made)))
        return len(lines(box / "pids")) == 300

    wait_until(done, 60)
    assert most <= 3


def test_following_a_task_shows_its_own_output_alone(tasks, native, queue):
    """A native task that prints nothing, in a slot that a shell task had."""
    native(cpus=4)
    tasks.add("sleep 30")
    tasks.add("echo of another task").wait()
    task = tasks.native("probe do=nap n=1500")
    task.wait("in_progress")
    assert queue("taskOutput", "-f", task.id) == ""
    assert task.wait().out == b""


def test_a_child_of_a_kernel_that_comes_back_answers_for_nobody(tasks, native, box):
    native(max_kernel_hosts=1)
    first = tasks.native(f"probe do=fork n=700 text={box}/output", retries=1).wait("failed")
    assert (first.outcomes, first.tries[0].exit) == (["failed"], 7)
    assert not (box / "output").exists(), "nor does it show what its parent has not done"
    second = tasks.native(f"probe do=nap n=300 file={box}/ran", retries=1).wait()
    assert second.outcomes == ["finished"] and second.tries[0].wall_us >= 300_000


def test_a_kernel_that_closes_the_socket_is_told(tasks, native):
    native()
    task = tasks.native("probe do=close n=20000", retries=1).wait("failed")
    assert "closed its connection" in task.tries[0].reason, task.tries


def test_a_kernel_that_leaves_with_0_has_not_finished(tasks, native):
    native()
    task = tasks.native("probe do=leave", retries=1).wait("failed")
    assert task.tries[0].exit == 1 and "ended its process" in task.tries[0].reason


def test_storage_bytes_are_each_trys_own(tasks, native, queue, box):
    native(max_kernel_hosts=1)
    for i in range(3):
        writes = tasks.native(f"probe do=write n=4 text={box}/data{i}").wait()
        [entry] = queue.json("showTask", writes.id)["try_log"]
        assert 4 << 20 <= entry["write_bytes"] < 6 << 20
    quiet = tasks.native("probe do=nap n=100").wait()
    [entry] = queue.json("showTask", quiet.id)["try_log"]
    assert entry["write_bytes"] == 0
