"""A master, its replicas and the Sentinels that watch them, all of a test's own."""
import subprocess

from harness import SERVER, RedisError, RedisServer, Resp, free_port, wait_until

NAME = "main"
# A machine that is busy for a second is no reason for a failover of its own; nor is a slow disk, for whose fsync a
# server would stop.
DOWN_AFTER_MS = 2000
UNHURRIED = {"appendfsync": "no"}
SYNC_FAST = {"repl_diskless_sync_delay": 0, "repl_ping_replica_period": 1}


def ask(server, *words):
    """A command to a server, on a new connection when Sentinel had the old one cut."""
    try:
        return server.command(*words)
    except OSError:
        return server.command(*words)


def again(act):
    """act(), which only reads: once more when Sentinel had its connection cut, as it has with every server whose
    role it changes."""
    try:
        return act()
    except OSError:
        return act()


def online(master):
    """How many replicas a master counts as such."""
    return sum("state=online" in value for key, value in master.info("replication").items() if key.startswith("slave"))


class Sentinel:
    """One Sentinel."""

    def __init__(self, directory, password=None):
        self.dir, self.password = directory, password
        self.dir.mkdir(parents=True)
        self.process, self.port = None, None

    def start(self, monitor, down_after_ms):
        for _ in range(5):
            self.port = free_port()
            lines = [f"port {self.port}", "bind 127.0.0.1", "protected-mode no", f"dir {self.dir}",
                     f"logfile {self.dir}/log", f"sentinel monitor {NAME} {monitor}",
                     f"sentinel down-after-milliseconds {NAME} {down_after_ms}",
                     f"sentinel failover-timeout {NAME} 2000"]
            if self.password:
                lines += [f"requirepass {self.password}", f"sentinel sentinel-pass {self.password}"]
            (self.dir / "conf").write_text("\n".join(lines) + "\n")
            self.process = subprocess.Popen([SERVER, str(self.dir / "conf"), "--sentinel"],
                                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL)
            if wait_until(self._answers_or_died, 30, what="a Sentinel answers") == "answers":
                return self
        raise AssertionError(f"the Sentinel did not start:\n{(self.dir / 'log').read_text()[-2000:]}")

    def _answers_or_died(self):
        if self.process.poll() is not None:
            return "died"
        try:
            return "answers" if self.command("PING") == b"PONG" else None
        except (OSError, RedisError):
            return None

    def command(self, *words):
        client = Resp(port=self.port)
        try:
            if self.password:
                client.command("AUTH", self.password)
            return client.command(*words)
        finally:
            client.close()

    def state(self):
        flat = self.command("SENTINEL", "MASTER", NAME)
        return {flat[i].decode(): flat[i + 1].decode() for i in range(0, len(flat), 2)}

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Watched:
    """Some Redis servers, the first of them the master, and Sentinels that agree on it."""

    def __init__(self, box, replicas=2, sentinels=3, sentinel_pass=None, **options):
        self.servers = [RedisServer(box / "s0", **{**SYNC_FAST, **UNHURRIED, **options}).start()]
        self.sentinels = []
        for i in range(replicas):
            self.servers.append(RedisServer(box / f"s{i + 1}", replicaof=f"127.0.0.1 {self.servers[0].port}",
                                            **{**SYNC_FAST, **UNHURRIED, **options}).start())
        wait_until(self._synced, 30, what="the replicas follow")
        for i in range(sentinels):
            monitor = f"127.0.0.1 {self.servers[0].port} {sentinels // 2 + 1}"
            self.sentinels.append(Sentinel(box / f"sentinel{i}", sentinel_pass).start(monitor, DOWN_AFTER_MS))
        wait_until(self._known, 30, what="the Sentinels know each other and the replicas")

    def _synced(self):
        return online(self.servers[0]) == len(self.servers) - 1

    def _known(self):
        for sentinel in self.sentinels:
            state = sentinel.state()
            if (int(state["num-slaves"]), int(state["num-other-sentinels"])) != \
                    (len(self.servers) - 1, len(self.sentinels) - 1):
                return False
        return True

    @property
    def url(self):
        return f"sentinel://{','.join(f'127.0.0.1:{sentinel.port}' for sentinel in self.sentinels)}/{NAME}"

    @property
    def master(self):
        """The server that the last Sentinel names."""
        _, port = self.sentinels[-1].command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return next(server for server in self.servers if server.port == int(port))

    def wait_failover(self, old):
        """Until every Sentinel names another master than `old`, and it is one."""
        def done():
            named = {sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1] for sentinel in self.sentinels}
            return len(named) == 1 and self.master is not old and ask(self.master, "ROLE")[0] == b"master"
        wait_until(done, 60, what="another master")
        return self.master

    def wait_settled(self):
        """Until the master that the Sentinels name has all others as its replicas."""
        def done():
            try:
                master = self.master
                settled = ask(master, "ROLE")[0] == b"master" and online(master) == len(self.servers) - 1
                return master if settled else None
            except (OSError, RedisError):
                return None  # in the middle of a failover
        return wait_until(done, 60, what="master and replicas agree")

    def close(self):
        for sentinel in self.sentinels:
            sentinel.kill()
        for server in self.servers:
            server.kill()
