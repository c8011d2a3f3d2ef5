"""redisPlan matmul through real workers: one is killed, a plan is loaded twice, and input that is no number."""
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from harness import SLOW, program, wait_until

rng = np.random.default_rng(5)


def save(name, array, fortran=False):
    np.save(name, np.asfortranarray(array) if fortran else np.ascontiguousarray(array))
    return array


def planned(*words):
    line = [program("redisPlan"), "matmul", *map(str, words), "--workers", "2", "--mem", "1"]
    return subprocess.run(line, capture_output=True, text=True, timeout=60 * SLOW, check=True).stdout


def tasks_of(text):
    return [line for line in text.splitlines() if not line.startswith("#")]


def close(got, a, b):
    bound = 2 * (a.shape[1] + 2) * 2.0**-53 * (np.abs(a) @ np.abs(b))
    assert (np.abs(got - a @ b) <= bound).all()


def finished(redis):
    return int(redis.command("HGET", "distcomp:{default}:count", "finished") or 0)


@pytest.mark.limit(300)
@pytest.mark.parametrize("place", ["files", "objects"])
def test_a_worker_dies_and_the_product_is_whole(queue, redis, worker, place):
    """Two workers share the blocks; one is killed while it multiplies, machine and all."""
    a = save("A.npy", rng.standard_normal((1600, 3000)))
    b = save("B.npy", rng.standard_normal((3000, 2000)), fortran=True)
    more = ["--blocks", "redis:parts"] if place == "objects" else []
    text = planned("A.npy", "B.npy", "-o", "C.npy", "--block", "200x2000", "--redis", redis.url, *more)
    assert text.count("native:") == 9 + (place == "objects")
    settings = {"cpus": 1, "lease": "1500ms", "health_report_interval": "300ms"}
    victim, other = worker("victim", **settings), worker("other", **settings)
    queue("loadTask", "--taskfile", "-", input=text)
    wait_until(lambda: finished(redis) >= 1, 60)  # at the latest now both multiply, for a fifth of a second and more
    victim.kill()
    wait_until(lambda: queue.counts()["finished"] == len(tasks_of(text)), 120,
               what=lambda: queue("checkTask", "--finished", "false") + other.log[-2000:])
    close(np.load("C.npy"), a, b)
    assert queue.counts()["failed"] == 0
    assert sorted(os.listdir()) == ["A.npy", "B.npy", "C.npy"]  # no block, and nothing half made


@pytest.mark.limit(240)
def test_a_plan_is_loaded_twice(queue, worker):
    """The second load brings nothing new; another name does it again."""
    a, b = save("A.npy", rng.standard_normal((100, 90))), save("B.npy", rng.standard_normal((90, 80)))
    line = ["A.npy", "B.npy", "-o", "C.npy", "--block", "50"]
    text = planned(*line)
    worker(cpus=2)
    queue("loadTask", "--taskfile", "-", input=text)
    queue("waitTask", "--timeout", "60s")
    close(np.load("C.npy"), a, b)
    os.remove("C.npy")
    again = queue.json("loadTask", "--taskfile", "-", input=text)
    assert again["new"] == 0
    queue("loadTask", "--taskfile", "-", input=planned(*line, "--name", "once/more"))
    queue("waitTask", "--timeout", "60s")
    close(np.load("C.npy"), a, b)


@pytest.mark.limit(240)
def test_what_cannot_be_multiplied_fails_with_the_reason(queue, worker):
    a = rng.standard_normal((100, 90))
    a[70, 3] = np.nan
    save("A.npy", a), save("B.npy", rng.standard_normal((90, 80)))
    worker(cpus=1)
    queue("loadTask", "--taskfile", "-",
          input="#@ retries=1\n" + planned("A.npy", "B.npy", "-o", "C.npy", "--block", "50"))
    assert queue.run("waitTask", "--timeout", "60s").returncode == 1
    failed = queue("checkTask", "--failed")
    assert "A.npy has nan in row 70, column 3" in queue("exportTask", "--state", "failed") and failed
    assert not Path("C.npy").exists()


@pytest.mark.limit(240)
def test_what_was_mended_goes_on(queue, worker):
    """The same plan with --retry_failed, after a file was whole again."""
    a, b = save("A.npy", rng.standard_normal((100, 90))), save("B.npy", rng.standard_normal((90, 80)))
    good = Path("A.npy").read_bytes()
    text = "#@ retries=1\n" + planned("A.npy", "B.npy", "-o", "C.npy", "--block", "50")
    Path("A.npy").write_bytes(good[:-8])
    worker(cpus=1)
    queue("loadTask", "--taskfile", "-", input=text)
    assert queue.run("waitTask", "--timeout", "60s").returncode == 1
    assert queue.counts()["finished"] == 1 and not Path("C.npy").exists()
    Path("A.npy").write_bytes(good)
    queue("loadTask", "--taskfile", "-", "--retry_failed", input=text)
    queue("waitTask", "--timeout", "60s")
    close(np.load("C.npy"), a, b)
    assert sorted(os.listdir()) == ["A.npy", "B.npy", "C.npy"]
