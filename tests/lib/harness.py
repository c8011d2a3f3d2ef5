"""What the integration tests drive: a Redis of their own, the programs, and waiting with a deadline.

Everything lives in a box, one temporary directory a test (short, since sockets are made in it). The test
process is a child subreaper, so whatever a test starts, double-forked daemons included, stays its
descendant and is ended with it.
"""
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("DISTCOMP_BIN", ROOT / "bin"))
HELPERS = Path(os.environ.get("DISTCOMP_HELPERS", ROOT / "build" / "tests" / "lib"))
# What the tests take for a Redis: redis-server, or valkey-server.
SERVER = os.environ.get("DISTCOMP_SERVER", "redis-server")
# Sanitizers and busy machines are slow: every deadline is multiplied by this.
SLOW = float(os.environ.get("DISTCOMP_SLOW", "1"))


def wait_until(condition, deadline=10.0, every=0.01, what=None):
    """Returns the first true value of condition(); fails when there was none within deadline seconds."""
    end = time.monotonic() + deadline * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            name = what() if callable(what) else what or getattr(condition, "__name__", "condition")
            raise AssertionError(f"not within {deadline * SLOW:g} s: {name}; last value {value!r}")
        time.sleep(every)


def program(name):
    path = BIN / name
    if not path.exists():
        raise AssertionError(f"{path} is not built; run make")
    return str(path)


# --- processes --------------------------------------------------------------------------------


def become_subreaper():
    PR_SET_CHILD_SUBREAPER = 36
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def parents():
    """{pid: parent pid} of every process."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            found[int(entry)] = int(stat[stat.rindex(")") + 2:].split()[1])
    return found


def descendants(root=None):
    """The pids below a process (default: this one), zombies included."""
    children = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found, todo = set(), [root or os.getpid()]
    while todo:
        for pid in children.get(todo.pop(), []):
            if pid not in found:
                found.add(pid)
                todo.append(pid)
    return found


def process_state(pid):
    """R, S, T, Z, ...; None when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat[stat.rindex(")") + 2]


def is_running(pid):
    return process_state(pid) not in (None, "Z", "X")


def is_agent(pid):
    """Of a redisWorker the agent: not the supervisor, nor a task that is not another program yet."""
    try:
        return b"DISTCOMP_AGENT_FD=" in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def end_descendants(keep=frozenset()):
    """KILLs everything below this process but `keep`, until nothing is left."""
    end = time.monotonic() + 20
    while True:
        left = descendants() - keep
        if not left:
            return
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
        if time.monotonic() > end:
            raise AssertionError(f"processes that do not end: {left}")
        time.sleep(0.005)


# --- Redis ------------------------------------------------------------------------------------


class RedisError(Exception):
    pass


class Resp:
    """The least of a Redis client: command(*words) returns bytes, int, None or a list."""

    def __init__(self, path=None, port=None, timeout=10.0):
        if path:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout * SLOW)
            self.socket.connect(str(path))
        else:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout * SLOW)
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, *words):
        parts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))

    def receive(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return RedisError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.receive() for _ in range(int(rest))]
        raise ConnectionError(f"not RESP: {line!r}")

    def command(self, *words):
        self.send(*words)
        answer = self.receive()
        if isinstance(answer, RedisError):
            raise answer
        return answer


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RedisServer:
    """A redis-server (or `program`) in its own directory: unix socket, a port chosen by the kernel, AOF everysec.
    env is added to its environment."""

    def __init__(self, directory, program=None, env=None, **options):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.socket = self.dir / "s"
        self.program, self.env = program or SERVER, env or {}
        self.options = {"appendonly": "yes", "appendfsync": "everysec", "save": "", **options}
        self.process = None
        self.port = None
        self._client = None

    @property
    def url(self):
        return f"unix://{self.socket}"

    @property
    def tcp_url(self):
        return f"redis://127.0.0.1:{self.port}"

    @property
    def log(self):
        return (self.dir / "log").read_text(errors="replace")

    def start(self, same_port=False):
        for _ in range(5):
            if not (same_port and self.port):
                self.port = free_port()
            words = [self.program, "--bind", "127.0.0.1", "--port", self.port, "--unixsocket", self.socket,
                     "--dir", self.dir, "--logfile", self.dir / "log", "--daemonize", "no"]
            for key, value in self.options.items():
                words += [f"--{key.replace('_', '-')}", value]
            self.process = subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                            env={**os.environ, **self.env})
            if wait_until(self._answers_or_died, 30, what=f"{self.program} answers") == "answers":
                return self
            if "Address already in use" not in self.log or same_port:
                break
        raise AssertionError(f"{self.program} did not start:\n{self.log[-2000:]}")

    def _answers_or_died(self):
        if self.process.poll() is not None:
            return "died"
        try:
            client = self.connect()
            try:
                client.command("PING")
            finally:
                client.close()
            return "answers"
        except (OSError, RedisError):
            return None

    def connect(self, login=True):
        client = Resp(path=self.socket)
        if login and self.options.get("requirepass"):
            client.command("AUTH", self.options["requirepass"])
        return client

    def command(self, *words):
        if self._client is None:
            self._client = self.connect()
        try:
            return self._client.command(*words)
        except OSError:
            self._forget()
            raise

    def _forget(self):
        if self._client is not None:
            self._client.close()
            self._client = None

    def info(self, section):
        text = self.command("INFO", section).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def keys(self):
        return sorted(key.decode() for key in self.command("KEYS", "*"))

    def freeze(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self, how=signal.SIGKILL):
        """Ends it at once; start(same_port=True) brings it back with what the AOF has."""
        self._forget()
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, how)
            if how == signal.SIGKILL:
                self.thaw()
            self.process.wait(30 * SLOW)

    def restart(self):
        self.kill()
        return self.start(same_port=True)


# --- the programs -----------------------------------------------------------------------------


class Queue:
    """redisManager on one Redis and queue."""

    def __init__(self, url, cwd, queue=None):
        self.url, self.cwd = url, Path(cwd)
        self.flags = ["--redis", url] + (["--queue", queue] if queue else [])

    def run(self, *words, input=None, timeout=60, env=None, flags=True):
        """One call, whatever it returns: CompletedProcess with text."""
        line = [program("redisManager"), *map(str, words)]
        if flags:
            # After the verb, before anything that ends options.
            cut = line.index("--") if "--" in line else len(line)
            line[cut:cut] = self.flags
        return subprocess.run(line, input=input if input is not None else "", capture_output=True, text=True,
                              errors="surrogateescape", cwd=self.cwd, timeout=timeout * SLOW,
                              env={**os.environ, **(env or {})})

    def __call__(self, *words, **options):
        """stdout of a call that must succeed."""
        done = self.run(*words, **options)
        assert done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *words, **options):
        return json.loads(self(*words, "--json", **options))

    def load(self, text, *words, name="task"):
        """Writes a task file and loads it; returns stdout."""
        path = self.cwd / name
        path.write_text(text)
        return self("loadTask", "--taskfile", path, *words)

    def counts(self):
        """{'todo': N, 'in_progress': N, 'finished': N, 'failed': N}: the first line of checkTask."""
        out = self("checkTask", "--todo", "false", "--in_progress", "false", "--finished", "false",
                   "--failed", "false")
        return {word: int(number) for number, word in re.findall(r"(\d+) (\w+) tasks", out.splitlines()[0])}

    def wait_counts(self, deadline=30.0, **wanted):
        """Until each of the counts given has its value."""
        last = {}

        def reached():
            last.update(self.counts())
            return all(last[key] == value for key, value in wanted.items())

        wait_until(reached, deadline, every=0.05, what=lambda: f"counts {wanted}, they are {last}")
        return last


class Worker:
    """A running redisWorker with its own name, state_dir and log."""

    def __init__(self, box, url, name, words=(), env=None, cwd=None, **settings):
        self.name = name
        self.state_dir = Path(box) / name
        self.log_path = Path(box) / f"{name}.log"
        self.line = [program("redisWorker"), "--redis", url, "--name", name, "--state_dir", str(self.state_dir)]
        for key, value in settings.items():
            self.line += [f"--{key}", str(value).lower() if isinstance(value, bool) else str(value)]
        self.line += map(str, words)
        self.env, self.cwd = env or {}, cwd
        self.process = None
        self.start()

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.line, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.cwd, env={**os.environ, **self.env})
        return self

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def events(self, event=None):
        """The JSON lines of the log, or those of one event."""
        found = []
        for line in self.log.splitlines():
            if line.startswith("{"):
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if event in (None, entry.get("event")):
                    found.append(entry)
        return found

    def wait_event(self, event, deadline=10.0):
        return wait_until(lambda: self.events(event), deadline, what=lambda: f"{event} in the log:\n{self.log[-3000:]}")

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, timeout=30):
        """Its exit status."""
        try:
            return self.process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} has not ended:\n{self.log[-3000:]}") from None

    def kill(self):
        """KILLs only redisWorker's first process (the supervisor)."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def agent_of(worker):
    """The pid of a Worker's agent, once there is one."""
    def find():
        return next((pid for pid, parent in parents().items() if parent == worker.pid and is_agent(pid)), None)
    return wait_until(find, what="an agent")


def was_killed_while_checked(path):
    """LeakSanitizer looks at an exiting process from a helper, by ptrace. SIGKILL in that moment (tests kill programs at
    any) leaves a report of just this line, about the process' own thread, and no verdict: whoever is killed has none. The
    same line beside anything else, or about another thread, is a finding."""
    pid = re.escape(path.suffix[1:])
    return re.fullmatch(rf"==\d+==Unable to get registers from thread {pid}\.\n?", path.read_text(errors="replace"))


def sanitizer_reports(box):
    """What AddressSanitizer and its like had to say in this box."""
    paths = sorted(Path(box).glob("sanitizer.*"))
    return "\n".join(path.read_text(errors="replace") for path in paths if not was_killed_while_checked(path))


def clean_environment(box):
    """The environment of a test: nothing of the user's can be touched or read."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("DISTCOMP_", "XDG_"))}
    for name in ("home", "tmp", "run", "cwd"):
        (Path(box) / name).mkdir()
    env.update(HOME=f"{box}/home", TMPDIR=f"{box}/tmp", XDG_RUNTIME_DIR=f"{box}/run", DISTCOMP_RUN_DIR=f"{box}/run",
               LC_ALL="C.UTF-8", TZ="UTC",
               ASAN_OPTIONS=f"log_path={box}/sanitizer:detect_leaks=1",
               UBSAN_OPTIONS=f"log_path={box}/sanitizer:print_stacktrace=1:halt_on_error=1",
               TSAN_OPTIONS=f"log_path={box}/sanitizer:halt_on_error=1")
    return env


def remove_box(box):
    if "DISTCOMP_KEEP" not in os.environ:
        shutil.rmtree(box, ignore_errors=True)
