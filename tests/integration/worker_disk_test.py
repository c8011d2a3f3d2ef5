"""A worker whose disk is full: its state_dir is a small file system of its own."""
import os
import subprocess

import pytest

from harness import is_running
from tasks import Tasks

FAST = {"health_report_interval": "100ms", "lease": "2s", "retry_backoff": "50ms"}


@pytest.fixture
def small_disk(box):
    """A tmpfs of 1 MiB where the worker w1 has its state_dir."""
    path = box / "w1"
    path.mkdir(mode=0o700)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "none", path], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"expected: cannot mount a tmpfs here, not even as root: {done.stderr.strip()}" if os.geteuid() == 0
                    else "expected: only root can mount a small file system")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def fill(path):
    """Takes all the space there is."""
    with open(path, "wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    assert os.statvfs(path).f_bavail == 0


def test_full_disk(queue, redis, small_disk, worker):
    tasks = Tasks(queue, redis)
    w = worker("w1", **FAST)
    w.wait_event("registered")
    tasks.add("true").wait()
    fill(small_disk / "filler")

    # What it prints is lost, and it is told so: its own writes fail. The result is recorded all the same.
    task = tasks.add("echo lost; echo $? >&2; exit 5", retries=1).wait("failed")
    assert (task.tries[0].exit, task.tries[0].out_bytes) == (5, 0)
    assert tasks.add("true").wait().outcomes == ["finished"]
    # More than the output of a result: the worker cannot keep it, and says nothing that is not so.
    (small_disk / "filler").unlink()
    task = tasks.add("head -c 4000000 /dev/zero | tr '\\0' x; exit 7", retries=1).wait("failed")
    entry = task.tries[0]
    assert entry.exit == 7
    assert 0 < entry.out_bytes < 4000000, "as much as there was room for"
    out = task.out
    assert out.startswith(b"xxxx") and len(out) <= entry.out_bytes

    # There is room again, and nothing was started anew.
    for name in os.listdir(small_disk / "results") if (small_disk / "results").exists() else []:
        os.unlink(small_disk / "results" / name)
    assert tasks.add("echo after").wait().out == b"after\n"
    assert is_running(w.pid) and "was killed by signal" not in w.log and "starting an agent again" not in w.log


def test_a_worker_that_starts_on_a_full_disk_says_so(redis, small_disk, worker):
    (small_disk / "out").mkdir()
    fill(small_disk / "filler")
    w = worker("w1", **FAST)
    assert w.wait() == 1
    assert "No space left on device" in w.log and str(small_disk) in w.log
    (small_disk / "filler").unlink()
    w.start()
    w.wait_event("registered")
