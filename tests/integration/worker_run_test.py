"""What a task is given and what is recorded of it (issue 2, "Worker")."""
import os
import signal
import socket

import pytest

from harness import wait_until
from tasks import Tasks, read

FAST = {"health_report_interval": "100ms", "lease": "1s", "retry_backoff": "50ms"}


@pytest.fixture
def tasks(queue, redis):
    return Tasks(queue, redis)


def test_exit_code_times_and_memory_are_recorded(tasks, worker):
    worker(**FAST)
    task = tasks.add("python3 -c \"x = bytearray(80 << 20); [i for i in range(2000000)]; exit(7)\"", retries=1)
    task.wait("failed")
    entry, = task.tries
    assert (entry.outcome, entry.exit, entry.signal, entry.worker) == ("failed", 7, 0, "w1")
    assert 80 << 10 < entry.maxrss_kib < 400 << 10
    assert entry.user_us > 10_000
    assert entry.user_us + entry.system_us <= 4 * entry.wall_us
    assert 0 <= entry.end_ms - entry.start_ms - entry.wall_us // 1000 <= 50


def test_signal_is_recorded(tasks, worker):
    worker(**FAST)
    task = tasks.add("kill -SEGV $$", retries=1).wait("failed")
    assert (task.tries[0].signal, task.tries[0].exit) == (signal.SIGSEGV, 0)


@pytest.mark.parametrize("command, code", [
    ("exec /no/such/program", 127), ("/no/such/program", 127), ("no_such_program_anywhere 1 2", 127),
    ("/etc/passwd", 126), ("false", 1), ("exit 200", 200), ("'", 2)])
def test_exit_codes_are_the_shells(tasks, worker, command, code):
    worker(**FAST)
    task = tasks.add(command, retries=1).wait("failed")
    assert task.tries[0].exit == code, task
    assert code in (1, 200) or task.tries[0].reason != ""


def test_cwd_is_the_workers_unless_it_is_given(tasks, worker, box):
    worker(**FAST)
    (box / "else where").mkdir()
    here, there = tasks.add("pwd"), tasks.add("pwd; echo $PWD", cwd=str(box / "else where"))
    assert here.wait().out.decode() == f"{box}/cwd\n"
    assert there.wait().out.decode() == f"{box}/else where\n" * 2


def test_cwd_may_be_relative_to_the_workers(tasks, worker, box):
    worker(**FAST)
    (box / "cwd/sub").mkdir()
    assert tasks.add("pwd", cwd="sub").wait().out.decode() == f"{box}/cwd/sub\n"


def test_cwd_that_is_not_there_is_the_reason(tasks, worker, box):
    worker(**FAST)
    task = tasks.add("true", cwd=f"{box}/gone", retries=1).wait("failed")
    assert task.tries[0].exit == 126
    assert "No such file" in task.tries[0].reason


def test_environment(tasks, worker):
    worker(env={"MINE": "kept", "MKL_NUM_THREADS": "5"}, cpus=4, **FAST)
    task = tasks.add("env -0", min_cpu=3.5, env={"SEED": "7 8", "OMP_NUM_THREADS": "2"}).wait()
    env = dict(line.split("=", 1) for line in task.out.decode().split("\0")[:-1])
    assert env["DISTCOMP_TASK_ID"] == task.id
    assert (env["DISTCOMP_TRY"], env["DISTCOMP_WORKER"], env["DISTCOMP_QUEUE"]) == ("1", "w1", "default")
    assert (env["MINE"], env["SEED"]) == ("kept", "7 8")
    assert env["OMP_NUM_THREADS"] == "2", "the task's own"
    assert env["MKL_NUM_THREADS"] == "5", "the worker's own"
    assert env["OPENBLAS_NUM_THREADS"] == "3", "the cores of the task"
    assert "DISTCOMP_AGENT_FD" not in env


def test_try_number_is_the_tasks(tasks, worker):
    worker(**FAST)
    assert tasks.add("echo $DISTCOMP_TRY; [ $DISTCOMP_TRY = 3 ]").wait().out == b"3\n"


def test_python_task(tasks, worker, box):
    worker(**FAST)
    (box / "cwd/my script.py").write_text("import sys; print(sys.argv[1:])")
    task = tasks.add("'my script.py' one 'two three' $HOME", type="python").wait()
    assert task.out.decode() == "['one', 'two three', '$HOME']\n"


def test_python_that_is_not_there_is_127(tasks, worker):
    worker(python="/no/such/python", **FAST)
    assert tasks.add("x.py", type="python", retries=1).wait("failed").tries[0].exit == 127


def test_own_session_null_stdin_default_signals_and_no_descriptors(tasks, worker):
    worker(**FAST)
    script = ("import os; status = open('/proc/self/status').read(); print(os.getsid(0) == os.getpid() == os.getpgid(0), "
              "os.read(0, 1), len(os.listdir('/proc/self/fd')), "
              "*(status.split(name + ':')[1].split()[0] for name in ('SigBlk', 'SigIgn')))")
    out = tasks.add(f'exec python3 -c "{script}"').wait().out.decode().split()
    assert out[:3] == ["True", "b''", "4"], "4: 0 to 2, and the directory that was listed"
    assert int(out[3], 16) == 0
    assert int(out[4], 16) & ~(1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1) == 0, "Python itself ignores these two"


def test_a_command_of_a_megabyte(tasks, worker):
    worker(**FAST)
    text = "x" * ((1 << 20) - 100)
    task = tasks.add(f"printf %s {text} | wc -c; exit 3", retries=1).wait("failed")
    assert task.out.decode() == f"{len(text)}\n"
    assert task.tries[0].exit == 3


def test_leftovers_are_ended_with_the_main_process(tasks, worker, box):
    worker(**FAST)
    task = tasks.add(f"setsid sleep 1000 & echo $! > {box}/pid; true").wait()
    pid = int(read(box / "pid"))
    assert not os.path.exists(f"/proc/{pid}")
    assert task.tries[0].wall_us < 5_000_000


def test_leftovers_may_be_waited_for(tasks, worker, box):
    worker(**FAST)
    task = tasks.add("(sleep 0.5; echo late) & echo early", leftovers="wait").wait()
    assert task.out == b"early\nlate\n"
    assert task.tries[0].wall_us >= 450_000


def test_many_at_once_each_once(tasks, worker, box):
    worker(max_tasks=8, **FAST)
    all_ = tasks.add_all([f"echo {i} >> {box}/ran" for i in range(300)])
    for task in all_:
        task.wait(deadline=60)
    ran = (box / "ran").read_text().split()
    assert sorted(map(int, ran)) == list(range(300))


def test_host_name_of_kept_output(tasks, worker):
    worker(**FAST)
    task = tasks.add("echo kept", output="keep").wait()
    assert task.tries[0].node == socket.gethostname()


def test_a_worker_removes_results_beyond_what_is_kept(tasks, worker, redis, queue):
    """By itself: nobody looks at the queue meanwhile."""
    worker(**FAST, keep_finished=3)
    tasks.add_all([f"echo {i}" for i in range(30)])
    wait_until(lambda: redis.command("LLEN", "distcomp:{default}:finished") == 3, 30)
    assert queue.counts()["finished"] == 30, "they stay known"


def test_what_was_read_and_written_is_kept(tasks, worker, queue, box):
    worker(**FAST)
    task = tasks.add(f"dd if=/dev/zero of={box}/data bs=1M count=8 conv=fsync; sleep 3").wait(deadline=60)
    [entry] = queue.json("showTask", task.id)["try_log"]
    assert entry["write_bytes"] >= 8 << 20
