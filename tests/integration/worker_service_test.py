"""A worker under a service manager, played by this test: its notify socket, its signals, its restarts."""
import os
import signal
import socket
import subprocess

import pytest

from harness import ROOT, is_running, wait_until
from tasks import Tasks, numbers

FAST = {"health_report_interval": "100ms", "lease": "2s", "retry_backoff": "50ms"}
UNIT = ROOT / "worker/distcomp-worker.service"


@pytest.fixture
def tasks(queue, redis):
    return Tasks(queue, redis)


class Manager:
    def __init__(self, box, abstract):
        self.path = f"@{box.name}" if abstract else str(box / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + self.path[1:] if abstract else self.path)
        self.socket.settimeout(20)

    def told(self, wanted):
        """Reads messages up to one with this line."""
        while True:
            lines = self.socket.recv(4096).decode().split("\n")
            if wanted in lines:
                return lines


@pytest.fixture
def manager(box):
    made = Manager(box, abstract=False)
    yield made
    made.socket.close()


@pytest.fixture
def service(worker, manager):
    def make(**settings):
        w = worker(env={"NOTIFY_SOCKET": manager.path}, **{**FAST, "kill_grace": "300ms", **settings})
        manager.told("READY=1")
        return w
    return make


def supervisor_of(w):
    return int((w.state_dir / "lock").read_text())


def test_restart_keeps_the_tasks(service, manager, tasks, box):
    w = service()
    task = tasks.add(f"echo $$ > {box}/pid; until [ -e {box}/go ]; do sleep 0.02; done; env").wait("in_progress")
    pid, = numbers(box / "pid")
    supervisor = supervisor_of(w)
    assert supervisor != w.pid, "the main process is the agent"
    for _ in range(3):
        w.signal(signal.SIGUSR1)  # the unit's KillSignal
        manager.told("STOPPING=1")
        assert w.wait() == 0
        assert is_running(pid)
        w.start()
        manager.told("READY=1")
    (box / "go").touch()
    task.wait()
    assert b"NOTIFY_SOCKET" not in task.out
    assert (supervisor_of(w), task.outcomes) == (supervisor, ["finished"])


def test_crash_of_the_agent_is_the_managers_to_mend(service, manager, tasks, box):
    w = service()
    task = tasks.add(f"echo $$ > {box}/pid; until [ -e {box}/go ]; do sleep 0.02; done").wait("in_progress")
    numbers(box / "pid")
    w.kill()
    w.start()  # Restart=on-failure
    manager.told("READY=1")
    (box / "go").touch()
    assert task.wait().outcomes == ["finished"]


def test_notify_socket_in_the_abstract_name_space(worker, box):
    manager = Manager(box, abstract=True)
    worker(env={"NOTIFY_SOCKET": manager.path}, **FAST)
    assert "STATUS=w1 in queue default" in manager.told("READY=1")


def test_stop_without_tasks_leaves_nothing(service):
    w = service()
    supervisor = supervisor_of(w)
    w.signal(signal.SIGUSR1)
    assert w.wait() == 0
    wait_until(lambda: not is_running(supervisor), what="the supervisor leaves")


def test_crash_without_tasks_leaves_nothing(service):
    w = service()
    supervisor = supervisor_of(w)
    w.kill()
    wait_until(lambda: not is_running(supervisor), what="the supervisor leaves")


def test_stop_and_no_start_ends_the_tasks_before_the_lease_is_over(service, tasks, box):
    w = service()
    tasks.add(f"echo $$ > {box}/pid; exec sleep 1000").wait("in_progress")
    pid, = numbers(box / "pid")
    w.signal(signal.SIGUSR1)
    w.wait()
    wait_until(lambda: not is_running(pid), 4, what="the task is ended")


def test_term_drains_to_the_end(service, manager, tasks, box):
    w = service()
    task = tasks.add(f"until [ -e {box}/go ]; do sleep 0.02; done").wait("in_progress")
    supervisor = supervisor_of(w)
    w.signal(signal.SIGTERM)
    manager.told("STATUS=stop")
    (box / "go").touch()
    manager.told("STOPPING=1")
    assert w.wait() == 0
    wait_until(lambda: not is_running(supervisor))
    assert task.state == "finished"


def test_term_to_all_of_them_counts_once(service, tasks, box):
    """systemctl kill without --kill-whom=main."""
    w = service()
    task = tasks.add(f"echo $$ > {box}/pid; until [ -e {box}/go ]; do sleep 0.02; done").wait("in_progress")
    pid, = numbers(box / "pid")
    for target in (supervisor_of(w), w.pid):
        os.kill(target, signal.SIGTERM)
    w.wait_event("mode")
    (box / "go").touch()
    assert w.wait() == 0
    assert (task.state, is_running(pid)) == ("finished", False)


def test_supervisor_killed_the_agent_starts_another_and_stays_the_main_process(service, manager, tasks, box):
    w = service(lease="30s", health_report_interval="1s")
    task = tasks.add(f"echo $$ >> {box}/pid; until [ -e {box}/go ]; do sleep 0.02; done").wait("in_progress")
    first, = numbers(box / "pid")
    os.kill(supervisor_of(w), signal.SIGKILL)
    manager.told("READY=1")
    numbers(box / "pid", 2)
    assert not is_running(first)
    assert w.process.poll() is None
    (box / "go").touch()
    assert task.wait().outcomes == ["lost", "finished"]
    w.signal(signal.SIGTERM)
    assert w.wait() == 0


def test_restart_while_redis_is_away(service, manager, tasks, redis, box):
    w = service()
    task = tasks.add(f"until [ -e {box}/go ]; do sleep 0.02; done; echo done").wait("in_progress")
    redis.command("CONFIG", "SET", "appendfsync", "always")
    redis.kill()
    w.signal(signal.SIGUSR1)
    assert w.wait() == 0
    w.start()
    manager.told("READY=1")
    (box / "go").touch()
    redis.start(same_port=True)
    assert task.wait().outcomes == ["finished"]


def test_without_redis_it_does_not_start(worker, manager, redis):
    redis.kill()
    w = worker(env={"NOTIFY_SOCKET": manager.path}, **FAST)
    assert w.wait() == 1
    assert not (w.state_dir / "lock").exists()


def test_name_in_use_leaves_nothing(service, worker, manager, box):
    service()
    other = worker("other", env={"NOTIFY_SOCKET": manager.path}, words=["--name", "w1"], **FAST)
    assert other.wait() == 1
    assert "w1 is already in queue default" in other.log
    wait_until(lambda: not is_running(supervisor_of(other)))


def test_the_unit_file(box):
    text = UNIT.read_text()
    for line in ("Type=notify", "KillMode=process", "KillSignal=SIGUSR1", "Delegate=yes", "OOMPolicy=continue",
                 "Restart=on-failure"):
        assert f"\n{line}\n" in text
    for key in ("PrivateTmp=", "DynamicUser=", "RuntimeDirectory="):
        assert f"\n{key}" not in text
    copy = box / UNIT.name
    copy.write_text(text.replace("/usr/local/bin/redisWorker", "/bin/true"))
    try:
        done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("expected: no systemd-analyze here")
    assert (done.returncode, done.stderr) == (0, "")
