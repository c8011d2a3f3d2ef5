"""Every system call of the supervisor that can fail, made to fail once (strace -e inject).

Whatever fails, and whenever: the worker goes on, or ends with a line that says why and is started again; then
all tasks have ended as they should, each with one result, and no process is left. Nothing hangs.

DISTCOMP_FAULTS=N makes the first N occurrences of each fail in turn (default 1, which takes about a minute).
"""
import os
import shutil
import signal
import subprocess

import pytest

from harness import Queue, Worker, descendants, is_agent, parents, process_state, wait_until
from scriptqueue import ScriptQueue
from tasks import Tasks

FAST = {"health_report_interval": "200ms", "lease": "3s", "retry_backoff": "20ms", "retry_backoff_max": "100ms",
        "kill_grace": "100ms"}
OCCURRENCES = int(os.environ.get("DISTCOMP_FAULTS", "1"))
FILES = ("EMFILE", "ENOMEM")

# Calls of a supervisor that starts, and what each may say.
BOOT = {"mkdir": ("ENOSPC",), "openat": ("EMFILE", "EACCES"), "flock": ("ENOLCK",),
        "ftruncate": ("EIO",), "pwrite64": ("ENOSPC",), "getrandom": ("EAGAIN",), "write": ("ENOSPC",),
        "fsync": ("EIO",), "renameat": ("EIO",), "socket": ("EMFILE",), "bind": ("EADDRINUSE",), "chmod": ("EPERM",),
        "listen": ("EADDRINUSE",), "epoll_create1": FILES, "epoll_ctl": ("ENOSPC",), "signalfd4": FILES,
        "prctl": ("EINVAL",), "close_range": ("ENOSYS",), "getdents64": ("EIO",), "socketpair": FILES,
        "clone": ("EAGAIN",), "unlink": ("EPERM",), "rt_sigprocmask": ("EINVAL",)}
# Calls of one that runs tasks.
RUNNING = {"epoll_wait": ("EINTR",), "epoll_ctl": ("ENOMEM",), "read": ("EINTR", "EAGAIN", "EIO"),
           "recvfrom": ("EAGAIN", "EINTR", "ECONNRESET"), "sendto": ("EAGAIN", "ENOBUFS", "EINTR", "EPIPE"),
           "wait4": ("EINTR",), "pread64": ("EIO", "EINTR"), "newfstatat": ("EIO", "ENOENT"), "openat": FILES,
           "close": ("EIO",), "clone": ("EAGAIN", "ENOMEM"), "getdents64": ("EIO",), "pidfd_open": FILES,
           "pidfd_send_signal": ("EPERM",), "kill": ("EPERM",), "unlinkat": ("EROFS",), "socketpair": FILES}


@pytest.fixture(autouse=True)
def strace():
    assert shutil.which("strace"), "strace is not installed; run: make deps-test"
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"expected: no ptrace here: {probe.stderr.strip()}")


class Case:
    """One worker on a queue of its own, with tasks of several kinds."""

    def __init__(self, box, redis, name):
        self.box, self.redis, self.name = box / name, redis, name
        self.box.mkdir()
        self.before = descendants()
        self.tasks = Tasks(Queue(redis.url, self.box, queue=name), redis)
        self.tasks.view = ScriptQueue(redis, name)
        self.worker = None

    def start(self, *tracer):
        made = Worker.__new__(Worker)
        made.start = lambda: made  # not yet: its line is to be preceded by the tracer's
        # LeakSanitizer works by ptrace, of which there is one a process.
        env = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
        made.__init__(self.box, self.redis.url, "w", queue=self.name, cwd=self.box, env=env, **FAST)
        made.line = [*tracer, *made.line]
        self.worker = made
        Worker.start(made)
        wait_until(lambda: made.process.poll() is not None or self.workers(), 30, what=self.story)

    def load(self):
        self.ends_well = self.tasks.add_all(["echo out", "sleep 0.1", "setsid sleep 1000 & echo left",
                                             "(setsid sleep 1000 &); true"])
        self.fails = self.tasks.add("exit 3", retries=1)
        self.times_out = self.tasks.add("trap '' TERM; sleep 1000 & wait; wait", timeout="200ms", retries=1)

    @property
    def all(self):
        return [*self.ends_well, self.fails, self.times_out]

    def ended(self):
        return all(task.state in ("finished", "failed") for task in self.all)

    def ended_any(self):
        return any(task.state in ("finished", "failed") for task in self.all)

    def agents(self):
        return [pid for pid in self.workers() if is_agent(pid)]

    def left(self):
        return [pid for pid in descendants() - self.before if process_state(pid) not in (None, "Z")]

    def workers(self):
        return [pid for pid in self.left() if comm(pid) == "redisWorker"]

    def reap(self):
        """The strace of the first process may be its child, and become ours."""
        if self.worker:
            self.worker.process.poll()

    def finish(self):
        """Until all has ended, with another worker when the first has left; then that has to leave too."""
        def ended_or_alone():
            self.reap()
            return self.ended() or not self.workers()
        wait_until(ended_or_alone, 30, what=self.story)
        if not self.ended():
            assert "redisWorker: " in self.worker.log, f"it left without a word: {self.story()}"
            self.start()
        wait_until(self.ended, 30, what=self.story)
        self.check()
        lock = self.box / "w/lock"
        for _ in range(2):
            holder = int(lock.read_text() or 0)
            if holder in self.workers():
                os.kill(holder, signal.SIGINT)
        wait_until(lambda: self.reap() or not self.left(), 30, what=lambda: f"nothing is left: {self.story()}")

    def check(self):
        for task in self.ends_well:
            # Its own try may have been spoilt by what failed; then it is tried again.
            assert task.state == "finished" and task.outcomes.count("finished") == 1, self.story()
        assert [self.fails.outcomes.count(word) for word in ("failed", "finished")] == [1, 0], self.story()
        assert self.times_out.state == "failed", self.story()

    def story(self):
        processes = {pid: f"{comm(pid)} {process_state(pid)} of {parents().get(pid)}" for pid in self.left()}
        return f"{self.name}: {self.all}\n{processes}\n{self.worker.log[-2500:]}"


def comm(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return None


def injection(case, call, what=""):
    """strace of one call, which fails when `what` says so; case.box/strace is what it saw."""
    return ["strace", "-o", str(case.box / "strace"), "-e", f"trace={call}", *(["-e", f"inject={call}:{what}"] if what else [])]


def seen(case):
    path = case.box / "strace"
    return path.read_text().splitlines() if path.exists() else []


def run_case(case, kill_agent=False):
    case.load()
    if kill_agent:
        wait_until(lambda: case.ended_any() or not case.workers(), 30, what=case.story)
        for pid in case.agents():
            os.kill(pid, signal.SIGKILL)
    case.finish()
    return any("(INJECTED)" in line for line in seen(case))


@pytest.mark.limit(240 + 240 * OCCURRENCES)
@pytest.mark.parametrize("call", BOOT)
def test_while_it_starts(redis, box, call):
    """The last occurrences of a start: the first are the C library's."""
    clean = Case(box, redis, f"{call}-clean")
    clean.start(*injection(clean, call), "-D")
    clean.worker.wait_event("registered")
    total = sum(line.startswith(call) for line in seen(clean))
    clean.load()
    clean.finish()
    assert total > 0, f"{call} is not called any more: take it off the list"
    for number in range(total, max(total - OCCURRENCES, 0), -1):
        for error in BOOT[call]:
            case = Case(box, redis, f"{call}-{error}-{number}")
            case.start(*injection(case, call, f"error={error}:when={number}"), "-D")
            run_case(case)


@pytest.mark.limit(240 + 240 * OCCURRENCES)
@pytest.mark.parametrize("call", RUNNING)
def test_while_it_runs(redis, box, call):
    hits = 0
    for number in range(1, OCCURRENCES + 1):
        for error in RUNNING[call]:
            case = Case(box, redis, f"{call}-{error}-{number}")
            case.start()
            case.worker.wait_event("registered")
            line = injection(case, call, f"error={error}:when={number}")
            tracer = subprocess.Popen([*line, "-p", str(case.worker.pid)], stderr=subprocess.PIPE, text=True)
            assert "attached" in tracer.stderr.readline()
            hits += run_case(case, kill_agent=True)
            tracer.wait(30)
            tracer.stderr.close()
    assert hits, f"{call} never failed: take it off the list"
