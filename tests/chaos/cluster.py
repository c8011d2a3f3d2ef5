"""The system that is treated badly: one Redis, a proxy door for each worker, workers with names and state
directories of their own.
"""
import os
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
import harness  # noqa: E402
from proxy import Proxy  # noqa: E402

LEASE_S, REPORT_S = 3.0, 0.5
LEAVING_S = 6.0
HERE = Path(os.environ.get("CHAOS_BIN", harness.ROOT / "build" / "tests" / "chaos"))
TASK, KERNELS, CLOCKSTEP = HERE / "chaos_task", HERE / "kernels", HERE / "clockstep.so"


def environment_of(pid):
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def name_of(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


def send(pid, number):
    """False when there was nobody to signal."""
    try:
        if pid:
            os.kill(pid, number)
            return True
    except ProcessLookupError:
        pass
    return False


class Clock:
    """The wall clock of redis-server, if its preloaded library was built."""

    def __init__(self, box):
        self.path = box / "step"
        self.step_s = 0.0
        self.path.write_bytes(struct.pack("=q", 0))
        self.works = CLOCKSTEP.exists()
        if self.works:  # a redis-server of this box's PATH
            (box / "bin").mkdir()
            program = box / "bin" / "redis-server"
            real = next(Path(d, "redis-server") for d in os.environ["PATH"].split(":")
                        if Path(d, "redis-server").exists())
            program.write_text(f'#!/bin/sh\nLD_PRELOAD={CLOCKSTEP} CLOCKSTEP={self.path} exec {real} "$@"\n')
            program.chmod(0o755)
            os.environ["PATH"] = f"{box}/bin:{os.environ['PATH']}"

    def step(self, by_s):
        self.step_s += by_s
        with open(self.path, "r+b") as file:
            file.write(struct.pack("=q", int(self.step_s * 1e6)))


class Station:
    """One worker: the supervisor, its agent, and whoever takes their places."""

    def __init__(self, cluster, index, **settings):
        self.cluster, self.index, self.name = cluster, index, f"w{index + 1}"
        self.due = None      # when it is to be started (again), if it is to be down
        self.leaving = False
        self.leaving_since = self.down_since = None
        self.killed = 0.0    # when one of its processes was, last
        self.starts = 0
        settings = {"lease": f"{LEASE_S}s", "health_report_interval": str(REPORT_S), "max_losses": 1000,
                    "sleep_sec_between_accepting_task": "1", "kill_grace": "300ms", "retry_backoff": "200ms",
                    "broken_after": 0, "kernel_dir": KERNELS, "log_level": "debug", "log_format": "json", **settings}
        url = f"redis://127.0.0.1:{cluster.proxy.ports[index]}"
        self.worker = harness.Worker(cluster.box, url, self.name, cwd=cluster.box / "cwd", **settings)
        self.starts += 1

    def supervisor(self):
        """Its pid, or None."""
        try:
            pid = int((self.worker.state_dir / "lock").read_text() or 0)
        except (OSError, ValueError):
            return None
        mine = str(self.worker.state_dir).encode()
        return pid if pid and harness.is_running(pid) and mine in command_of(pid) else None

    def agent(self):
        mine, supervisor = str(self.worker.state_dir).encode(), self.supervisor()
        for pid, parent in harness.parents().items():
            if pid == supervisor or mine not in command_of(pid) or not harness.is_running(pid):
                continue
            # A child of the supervisor may be a task that has not become another program yet.
            if parent != supervisor or any(e.startswith(b"DISTCOMP_AGENT_FD=") for e in environment_of(pid)):
                return pid
        return None

    def start(self):
        """Another redisWorker on the same state_dir."""
        self.due, self.leaving, self.down_since = None, False, None
        self.worker.start()
        self.starts += 1

    def excused(self):
        """It left because it was told to, though late; or it could not begin, for want of a Redis."""
        words = self.worker.log[-600:]
        return "redisWorker: Redis at " in words or '"event":"left"' in words.splitlines()[-1]

    def lives(self):
        return bool(self.supervisor() or self.agent())


class Cluster:
    def __init__(self, box, workers, redis_options=None, **settings):
        self.box = Path(box)
        self.clock = Clock(self.box)
        self.redis = harness.RedisServer(self.box / "redis", aof_load_truncated="yes", **(redis_options or {}))
        self.redis.start()
        self.proxy = Proxy(workers, self.redis.port)
        self.queue = harness.Queue(self.redis.url, self.box / "cwd")
        self.marks = self.box / "marks"
        os.environ["CHAOS_MARKS"] = str(self.marks)
        self.stations = [Station(self, i, **settings) for i in range(workers)]
        self.known = set()

    def reap(self):
        """Takes the dead that nobody else waits for: this process is everybody's last parent."""
        wanted = {s.worker.process.pid for s in self.stations} | {self.redis.process.pid, self.proxy.pid}
        for pid, parent in harness.parents().items():
            if parent == os.getpid() and pid not in wanted and harness.process_state(pid) == "Z" and \
                    name_of(pid) != "redisManager":  # whoever called that wants its exit code
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass
        for station in self.stations:
            station.worker.process.poll()

    def watch(self):
        """Starts again who is due; returns the names of those who are gone and should not be."""
        now, lost = time.monotonic(), []
        for station in self.stations:
            if station.due is not None:
                if now >= station.due:
                    station.start()
                continue
            if station.lives():
                station.down_since = None
                if station.leaving and now - station.leaving_since > LEAVING_S:
                    station.leaving = False  # nobody told it: Redis was away
            elif station.down_since is None:
                station.down_since = now
            elif now - station.down_since > (0.3 if station.leaving else 1.0):
                if not station.leaving and now - station.killed > 3 and not station.excused():
                    lost.append(station.name)
                station.start()
        return lost

    def restart_redis(self):
        self.redis.start(same_port=True)

    def end(self):
        self.redis.kill()
        self.proxy.close()
