"""Redis comes back without the end of its AOF: what a power cut takes under appendfsync everysec."""
import time

import pytest

from harness import wait_until
from tasks import Tasks

FAST = {"health_report_interval": "100ms", "lease": "2s", "sleep_sec_between_accepting_task": "200ms"}


@pytest.fixture
def tasks(queue, redis):
    return Tasks(queue, redis)


@pytest.mark.parametrize("away_s", [0, 4])
def test_a_lost_result_is_reported_again(tasks, worker, redis, box, away_s):
    """However long Redis stays away: once, after 3 s, the worker had let go of it, and the task ran again."""
    w = worker(**FAST)
    task = tasks.add(f"until [ -e {box}/go ]; do sleep 0.02; done; echo ran >> {box}/ran; echo kept").wait("in_progress")
    w.wait_event("registered")
    aof, = (redis.dir / "appendonlydir").glob("*.incr.aof")
    size = aof.stat().st_size
    (box / "go").touch()
    task.wait()
    redis.kill()
    with open(aof, "r+b") as file:
        file.truncate(size)
    time.sleep(away_s)
    redis.start(same_port=True)
    assert task.wait(deadline=20).outcomes == ["finished"]
    wait_until(lambda: len(w.events("redis_up")) == 2)
    time.sleep(1)  # for a second run, if there were one
    assert task.outcomes == ["finished"] and task.out == b"kept\n"
    assert (box / "ran").read_text() == "ran\n", "it ran once"
