"""loadTask --plan: the task file is what redisPlan prints."""
import shutil
import subprocess

import numpy
import pytest

from harness import Queue, program


@pytest.fixture
def matrices(queue):
    made = {name: numpy.random.default_rng(1).standard_normal((60, 60)) for name in "AB"}
    for name, array in made.items():
        numpy.save(queue.cwd / f"{name} 1.npy", array)
    return made["A"] @ made["B"]


PLAN = "matmul 'A 1.npy' \"B 1.npy\" -o C.npy --block 30"


def test_a_product(queue, worker, matrices):
    worker("w1", cpus=2)
    assert queue("loadTask", "--plan", PLAN).startswith("7 new, 0 known")
    queue("waitTask")
    assert numpy.allclose(numpy.load(queue.cwd / "C.npy"), matrices)
    assert queue("loadTask", "--plan", PLAN).startswith("0 new, 7 known")


def test_it_is_the_file_that_redisPlan_prints(queue, matrices):
    printed = subprocess.run(["sh", "-c", f"{program('redisPlan')} {PLAN}"], cwd=queue.cwd, capture_output=True, text=True,
                             check=True).stdout
    (queue.cwd / "task").write_text(printed)
    assert queue("loadTask", "--plan", PLAN, "--dry_run") == queue("loadTask", "task", "--dry_run")
    assert queue.counts()["todo"] == 0


def test_settings_of_the_line_reach_it(redis, queue, matrices):
    """The names of objects are those of a queue."""
    other = Queue(queue.url, queue.cwd, queue="other")
    for name in "AB":
        other("putObject", name, f"{name} 1.npy")
    plan = "matmul redis:A redis:B -o redis:C"
    assert '"matmul a=redis:A b=redis:B' in other("loadTask", "--plan", plan, "--dry_run")
    done = queue.run("loadTask", "--plan", plan)
    assert done.returncode == 1 and "there is no object A in this queue" in done.stderr


@pytest.mark.parametrize("plan,told", [
    ("matmul A", "redisPlan matmul: expected two matrices, A and B"),
    ("matmull A B -o C", 'redisPlan: unknown planner "matmull", did you mean matmul?'),
    ("matmul 'A B", "--plan, column 8: "),
    (" ", "--plan: expected a planner and its arguments"),
    ("matmul --help", "--plan:1:1: "),
])
def test_what_is_no_plan_loads_nothing(queue, plan, told):
    done = queue.run("loadTask", "--plan", plan)
    assert done.returncode == 1 and told in done.stderr and done.stdout == ""
    assert queue.counts()["todo"] == 0


@pytest.mark.parametrize("words", [("task",), ("--taskfile", "task"), ("--format", "lines")])
def test_what_does_not_go_with_it(queue, words):
    done = queue.run("loadTask", "--plan", "matmul A B -o C", *words)
    assert done.returncode == 2 and "--plan" in done.stderr


def test_without_redisPlan(queue, box):
    shutil.copy(program("redisManager"), box / "redisManager")
    done = subprocess.run([box / "redisManager", "loadTask", "--plan", "matmul A B -o C", *queue.flags],
                          capture_output=True, text=True)
    assert done.returncode == 1
    assert f"--plan needs the program redisPlan: {box}/redisPlan: No such file or directory" in done.stderr


def test_a_host_on_the_line_counts_more_than_a_url_in_the_environment(queue, matrices):
    """As it does for the loading itself."""
    env = {"DISTCOMP_REDIS": "redis://127.0.0.1:1"}
    done = queue.run("loadTask", "--plan", PLAN, "--redis_host", "127.0.0.2", "--redis_port", "2", "--dry_run", env=env,
                     flags=False)
    assert done.returncode == 1
    assert "redisPlan matmul: Redis at redis://127.0.0.2:2" in done.stderr and "127.0.0.1:1" not in done.stderr
