"""Two thousand tasks at a time on one worker."""
import errno
import os
import signal

import pytest

from harness import descendants, wait_until
from tasks import Tasks

COUNT = 2000


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def open_gate(path):
    """Lets go those that wait there now."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    except OSError as error:
        assert error.errno == errno.ENXIO, "nobody waits"


@pytest.mark.limit(300)
def test_two_thousand_at_a_time(queue, redis, worker, box):
    tasks = Tasks(queue, redis)
    w = worker(max_tasks=COUNT, health_report_interval="1s", lease="60s")
    w.wait_event("registered")
    # Each waits in open() for somebody who writes, and costs nothing meanwhile.
    os.mkfifo(box / "gate")
    all_ = tasks.add_all([f"cat {box}/gate {box}/gone{i % 2}" for i in range(COUNT)], min_dram=0, retries=1)
    (box / "gone0").write_text("here\n")
    queue.wait_counts(120, in_progress=COUNT)
    wait_until(lambda: len(descendants(w.pid)) > COUNT, 60, what="all of them run")
    started = cpu_seconds(w.pid)
    assert len(os.listdir(f"/proc/{w.pid}/fd")) < 32, "descriptors of the supervisor"
    wait_until(lambda: open_gate(box / "gate") or queue.counts()["in_progress"] == 0, 120, every=0.1)
    queue.wait_counts(10, finished=COUNT // 2, failed=COUNT // 2)
    print(f"CPU of the supervisor: {started:.2f} s for {COUNT} starts, "
          f"{cpu_seconds(w.pid) - started:.2f} s for {COUNT} ends at once")
    assert [len(task.tries) for task in all_] == [1] * COUNT, "each ran once"
    assert all_[0].out == b"here\n"
    # And all at once again, ended by the supervisor.
    tasks.add_all([f"sleep {1000 + i}" for i in range(COUNT)], min_dram=0)
    queue.wait_counts(120, in_progress=COUNT)
    w.signal(signal.SIGINT)
    assert w.wait(120) == 0
    assert not descendants(w.pid), "nothing is left"
    queue.wait_counts(10, todo=COUNT)
