"""An agent under a supervisor that does what a real one rarely does."""
import signal
import struct
import time

import pytest

from fakesupervisor import KILL, FakeSupervisor

FAST = {"health_report_interval": "100ms", "lease": "2s"}


@pytest.mark.parametrize("version", [1, 1000])
def test_an_agent_that_does_not_know_its_supervisor_leaves_its_tasks_alone(redis, box, version):
    supervisor = FakeSupervisor(box, redis.url, **FAST)
    supervisor.welcome(version, [(0, int(time.time() * 1000))])
    assert KILL not in supervisor.rest()
    assert supervisor.agent.wait(30) == 100


def test_an_order_to_leave_that_comes_before_the_tasks(redis, box):
    """It holds for the tasks that the agent is told of afterwards."""
    supervisor = FakeSupervisor(box, redis.url, **FAST)
    supervisor.signal(signal.SIGINT)
    now = int(time.time() * 1000)
    supervisor.welcome(supervisor.version, [(0, now), (1, now)])
    killed = {struct.unpack("=III", supervisor.wait(KILL))[0] for _ in range(2)}
    assert killed == {0, 1}
    supervisor.agent.kill()
    supervisor.agent.wait()
