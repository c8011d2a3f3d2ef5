"""What every part of the bench uses: a Redis of its own, the programs, interleaved pairs, and figures.

No figure here is a test. A part measures ours and the yardstick in turn, in one run, and reports the median of
the ratios, since the machine's own speed drifts by more than what is looked for.
"""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness import BIN, ROOT, Resp, descendants, free_port  # noqa: E402,F401

HELPERS = Path(os.environ.get("DISTCOMP_HELPERS", ROOT / "build" / "tests" / "bench"))
CORES = len(os.sched_getaffinity(0))
MANAGER, WORKER = str(BIN / "redisManager"), str(BIN / "redisWorker")
QUEUE = "distcomp:{default}"


def helper(name):
    return str(HELPERS / name)


def clean_environment(**more):
    """Without the user's settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DISTCOMP_")}
    return {**kept, **more}


# --- figures ----------------------------------------------------------------------------------


@dataclass
class Figure:
    name: str
    value: float
    unit: str = ""       # "x" for a ratio
    target: str = ""     # ">= 1.0", "<= 260"; "" for one that is only shown
    command: str = ""
    runs: list = field(default_factory=list)

    @property
    def verdict(self):
        if not self.target:
            return ""
        sign, limit = self.target.split()
        met = self.value >= float(limit) if sign == ">=" else self.value <= float(limit)
        return "pass" if met else "SHORT"

    def shown(self, number=None):
        number = self.value if number is None else number
        text = f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
        return f"{text} {self.unit}".rstrip()


class Part:
    """Collects the figures of one part; add() shows each at once."""

    def __init__(self, name, options):
        self.name, self.options, self.figures = name, options, []

    def add(self, name, value, unit="", target="", command="", runs=()):
        figure = Figure(name, value, unit, target, command, [round(run, 6) for run in runs])
        self.figures.append(figure)
        print(f"    {figure.name}: {figure.shown()} {figure.verdict}", file=sys.stderr, flush=True)

    def add_ratio(self, name, ours, theirs, target="", command=""):
        """ours and theirs: figures of the same rounds, larger is better."""
        ratios = [a / b for a, b in zip(ours, theirs)]
        self.add(name, statistics.median(ratios), "x", target, command, ratios)

    def add_median(self, name, values, unit="", target="", command=""):
        self.add(name, statistics.median(values), unit, target, command, values)

    def size(self, number):
        """A number of tasks, as --scale has it."""
        return max(10, int(number * self.options.scale))


def rounds(pairs, contenders):
    """Runs every contender once a round, each round beginning with another one: {name: [values]}."""
    names, values = list(contenders), {name: [] for name in contenders}
    for i in range(pairs):
        for name in names[i % len(names):] + names[:i % len(names)]:
            values[name].append(contenders[name]())
    return values


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


# --- Redis ------------------------------------------------------------------------------------


class Redis:
    """A redis-server of its own in a temporary directory, started by redis.sh, or with Redis' own defaults."""

    def __init__(self, defaults=False):
        self.defaults = defaults

    def __enter__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="dcbench."))
        (self.dir / "conf.json").write_text("{}")
        self.environment = clean_environment(DISTCOMP_RUN_DIR=str(self.dir), DISTCOMP_CONF=str(self.dir / "conf.json"))
        try:
            self._start()
            self.client = Resp(path=self.socket, timeout=120)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _answers(self):
        """The socket is there before anybody listens on it."""
        try:
            return bool(Resp(path=self.socket).command("PING"))
        except OSError:
            return False

    def _start(self):
        self.process = None
        if self.defaults:
            self.socket = self.dir / "redis.sock"
            words = ["redis-server", "--port", "0", "--unixsocket", self.socket, "--dir", self.dir]
            self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
            wait_until(self._answers, 10)
        else:
            self.socket = self.dir / ".redis" / "redis.sock"
            self._redis_sh("start", "--no_password", "--dir", self.dir / "redis", "--port", free_port())
        self.url = f"unix://{self.socket}"
        self.environment["DISTCOMP_REDIS"] = self.url

    def _redis_sh(self, *words):
        subprocess.run(["bash", ROOT / "redis.sh", *map(str, words)], env=self.environment, check=True,
                       stdout=subprocess.DEVNULL, cwd=self.dir, timeout=60)

    def __exit__(self, *_):
        if self.process:
            self.process.kill()
            self.process.wait()
        elif not self.defaults:
            subprocess.run(["bash", ROOT / "redis.sh", "stop"], env=self.environment, stdout=subprocess.DEVNULL)
        shutil.rmtree(self.dir, ignore_errors=True)

    def command(self, *words):
        return self.client.command(*words)

    def queue(self, verb, suffix, *words):
        return self.command(verb, f"{QUEUE}:{suffix}", *words)

    def info(self, section):
        text = self.command("INFO", section).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def finished(self):
        return int(self.queue("HGET", "count", "finished") or 0)

    def settle(self):
        """Until no rewrite of the AOF or snapshot is under way."""
        def quiet():
            info = self.info("persistence")
            fields = ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress")
            return all(info[field] == "0" for field in fields)
        wait_until(quiet, 300, 0.05)

    def manager(self, *words, **options):
        """redisManager; its stdout."""
        done = subprocess.run([MANAGER, *map(str, words)], env=self.environment, cwd=self.dir, capture_output=True,
                              text=True, **options)
        if done.returncode != 0:
            raise SystemExit(f"bench: redisManager {' '.join(map(str, words))}: exit {done.returncode}\n"
                             f"{done.stdout}{done.stderr}")
        return done.stdout

    def load(self, text):
        """Empties the queue and loads these lines."""
        self.manager("initRedis", "--force")
        path = self.dir / "task"
        path.write_text(text)
        self.manager("loadTask", "--taskfile", path)


def wait_until(condition, seconds, every=0.005):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"bench: nothing within {seconds} s")
        time.sleep(every)


# --- processes --------------------------------------------------------------------------------


class Worker:
    """One redisWorker, stopped at the end; `before` are words put before its line."""

    def __init__(self, redis, *flags, name="bench", before=()):
        self.redis, self.flags, self.name, self.before = redis, flags, name, list(before)

    def __enter__(self):
        self.log = self.redis.dir / f"{self.name}.log"
        self.began = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.before, WORKER, "--name", self.name, "--state_dir", self.redis.dir / self.name,
                 *map(str, self.flags)],
                env=self.redis.environment, cwd=self.redis.dir, stderr=log, stdout=log)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait(20)

    def wait_ready(self):
        wait_until(lambda: self.redis.queue("ZSCORE", "lease", self.name), 20, 0.001)
        return time.monotonic() - self.began

    def wait_finished(self, count, seconds=600, every=0.002):
        """Until Redis has that many results; looks seldom while many are to come, so as not to disturb, and every so
        many seconds at the end."""
        end = time.monotonic() + seconds
        while (left := count - self.redis.finished()) > 0:
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"bench: {left} tasks have not finished\n{self.log.read_text()[-2000:]}")
            time.sleep(min(0.2, max(every, left / 20000)))
        return time.monotonic()


def timed(words, **options):
    """Seconds that a command takes, which must succeed."""
    start = time.monotonic()
    done = subprocess.run([str(word) for word in words], **options)
    seconds = time.monotonic() - start
    if done.returncode != 0:
        raise SystemExit(f"bench: {' '.join(map(str, words))}: exit {done.returncode}")
    return seconds


def spawn_timed(words, environment):
    """The same for a short one: as little as can be around it, its output to /dev/null. Also its peak RSS in KiB."""
    null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1)]
    start = time.monotonic()
    pid = os.posix_spawn(words[0], [str(word) for word in words], environment, file_actions=null)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - start
    if status != 0:
        raise SystemExit(f"bench: {' '.join(map(str, words))}: status {status}")
    return seconds, usage.ru_maxrss
