"""Many machines: each a network, UTS and mount namespace of its own, with a host name, an sshd and a cable to
one bridge. Workers are started on them by parallel-ssh as the issue and README say, against one Redis.

The namespaces are held by processes below this one, not by names in /run/netns: they vanish with them,
whatever happens. /run and /var/tmp are empty file systems in each, so that the workers' defaults are used
and the machine's own sshd, screens and files are never touched.
"""
import json
import os
import shutil
import socket
import subprocess

import pytest

from harness import BIN, ROOT, SLOW, Queue, descendants, is_running, process_state, program, wait_until
from tasks import Tasks

NET = "198.18.77"  # for tests of networks (RFC 2544); it exists only in the namespaces
PROGRAMS = ["ip", "unshare", "nsenter", "mount", "sshd", "ssh", "ssh-keygen", "parallel-ssh", "redis-server"]
SCREEN = "screen -S worker -L -Logfile workerScreen/$(hostname) -dm bin/redisWorker"
NO_SCREEN = "setsid bin/redisWorker >workerScreen/$(hostname) 2>&1 </dev/null &"


def find(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def run(*words, **options):
    done = subprocess.run([str(w) for w in words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60 * SLOW, **options)
    assert done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Machine:
    """A process that holds the namespaces; it is ended with the test's other processes."""

    def __init__(self, name):
        self.name = name
        setup = ("mount -t tmpfs -o mode=755 none /run && mkdir -m 755 /run/sshd && mkdir -m 755 /run/screen && "
                 "mount -t tmpfs -o mode=1777 none /var/tmp && hostname $0 && ip link set lo up && "
                 "echo ready && exec sleep 100000")
        self.holder = subprocess.Popen(["unshare", "--net", "--uts", "--mount", "--propagation", "private", "sh", "-c",
                                        setup, name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "ready\n":
            pytest.skip(f"expected: no rights to make namespaces: {self.holder.stderr.read().strip()}")

    def words(self, *words):
        return ["nsenter", "-t", str(self.holder.pid), "-n", "-u", "-m", f"--wd={os.getcwd()}", *map(str, words)]

    def __call__(self, *words, **options):
        return run(*self.words(*words), **options)


class Hall(Queue):
    """The machine with Redis, and redisManager on it, finding Redis by conf.json in `dir`."""

    def __init__(self, box):
        self.box = box
        self.dir = box / "dist"
        (self.dir / "workerScreen").mkdir(parents=True)
        (self.dir / "bin").symlink_to(BIN)
        self.hub = Machine("hub")
        self.hub("ip", "link", "add", "br0", "type", "bridge")
        self.hub("ip", "addr", "add", f"{NET}.1/24", "dev", "br0")
        self.hub("ip", "link", "set", "br0", "up")
        self.machines = []
        super().__init__("", self.dir)
        self.flags = []

    def run(self, *words, **options):
        line = self.hub.words(program("redisManager"), *words)
        line[line.index("-m") + 1] = f"--wd={self.dir}"
        return subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60 * SLOW,
                              **options)

    # --- ssh ---

    def make_keys(self):
        for name in ("host", "user"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.box / name)
        host_key = " ".join((self.box / "host.pub").read_text().split()[:2])
        (self.box / "known_hosts").write_text("".join(f"{NET}.{10 + i} {host_key}\n" for i in range(9)))
        (self.box / "ssh_config").write_text(
            f"IdentityFile {self.box}/user\nIdentitiesOnly yes\nIdentityAgent none\nBatchMode yes\n"
            f"UserKnownHostsFile {self.box}/known_hosts\nGlobalKnownHostsFile none\nStrictHostKeyChecking yes\n")

    def add_machine(self, name):
        number = len(self.machines)
        machine = Machine(name)
        self.machines.append(machine)
        self.hub("ip", "link", "add", f"cable{number}", "type", "veth", "peer", "name", "eth0", "netns",
                 machine.holder.pid)
        self.hub("ip", "link", "set", f"cable{number}", "master", "br0", "up")
        machine.address = f"{NET}.{10 + number}"
        machine("ip", "addr", "add", f"{machine.address}/24", "dev", "eth0")
        machine("ip", "link", "set", "eth0", "up")
        config = self.box / f"{name}.sshd"
        # StrictModes would refuse keys below /tmp.
        config.write_text(f"HostKey {self.box}/host\nAuthorizedKeysFile {self.box}/user.pub\nStrictModes no\n"
                          f"ListenAddress {machine.address}:22\nPidFile none\nUsePAM no\nUseDNS no\nPrintMotd no\n"
                          "PermitRootLogin prohibit-password\nPasswordAuthentication no\n"
                          f"SetEnv ASAN_OPTIONS={os.environ['ASAN_OPTIONS']} "
                          f"UBSAN_OPTIONS={os.environ['UBSAN_OPTIONS']}\n")
        machine.sshd = subprocess.Popen(machine.words(find("sshd"), "-D", "-e", "-f", config),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=open(self.box / f"{name}.sshd.log", "ab"))

    def ssh_answers(self, machine):
        done = subprocess.run(self.hub.words("ssh", "-F", self.box / "ssh_config", machine.address, "hostname"),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        return done.stdout == f"{machine.name}\n"

    def everywhere(self, command):
        hosts = self.box / "hosts"
        hosts.write_text("# one machine a line\n" + "".join(f"{m.address}\n" for m in self.machines))
        out = self.hub("parallel-ssh", "-x", f"-F {self.box}/ssh_config", "-h", hosts, "-i", "-t", "0", command)
        assert out.count("[SUCCESS]") == len(self.machines), out
        return out


@pytest.fixture
def hall(box):
    for name in PROGRAMS:
        if not find(name):
            pytest.skip(f"{name} is not installed")
    if os.geteuid() != 0:
        pytest.skip("expected: namespaces and sshd need root")
    made = Hall(box)
    made.make_keys()
    for name in ("alpha", "beta", "gamma"):
        made.add_machine(name)
    for machine in made.machines:
        wait_until(lambda m=machine: made.ssh_answers(m), 20, every=0.1, what=f"sshd of {machine.name}")
    redis_sh = made.hub.words("bash", ROOT / "redis.sh")
    out = run(*redis_sh, "start", "--bind", f"{NET}.1", "--dir", box / "data")
    (made.dir / "conf.json").write_text(out[out.index("{"):])
    yield made
    run(*redis_sh, "stop")


def workers_left():
    found = []
    for pid in descendants():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                line = file.read()
        except OSError:
            continue
        if (b"redisWorker" in line or b"SCREEN" in line) and process_state(pid) != "Z":
            found.append((pid, line))
    return found


def names(hall):
    return {worker["name"] for worker in hall.json("checkWorker")["workers"]}


def test_parallel_ssh_starts_workers_on_three_machines(hall, box):
    conf = json.loads((hall.dir / "conf.json").read_text())
    assert conf["redis_host"] == f"{NET}.1"
    assert len(conf["redis_pass"]) >= 32
    hall.everywhere(f"cd {hall.dir}; {SCREEN if find('screen') else NO_SCREEN}")
    wait_until(lambda: names(hall) == {"alpha", "beta", "gamma"}, 20, every=0.1, what=lambda: f"workers: {names(hall)}")

    hall.load("".join(f"shell:1:0:1:sleep 0.2; hostname; : {i}\n" for i in range(60)), "--name", "batch")
    hall("waitTask", "--name", "batch", "--timeout", "60")
    assert hall.counts() == {"todo": 0, "in_progress": 0, "finished": 60, "failed": 0}
    lines = [json.loads(line) for line in hall("exportTask", "--name", "batch", "--format", "jsonl").splitlines()]
    ran_on = [line["worker"] for line in lines]
    assert len(ran_on) == 60
    assert set(ran_on) == {"alpha", "beta", "gamma"}
    for line in lines[:6]:
        assert hall("taskOutput", line["id"]) == f"{line['worker']}\n", "the worker's name is its host's"

    # The output of a running task, followed from a machine that does not run it.
    hall.load(f"shell:1:0:1:hostname; until [ -e {box}/go ]; do sleep 0.05; done; echo done\n", "--name", "long")
    task = wait_until(lambda: running(hall), 20, what="it runs")
    reader = next(m for m in hall.machines if m.name != task["worker"])
    line = reader.words(program("redisManager"), "taskOutput", task["id"], "-f")
    line[line.index("-m") + 1] = f"--wd={hall.dir}"
    with subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as follow:
        assert follow.stdout.readline() == f"{task['worker']}\n"
        (box / "go").touch()
        assert follow.stdout.read() == "done\n"
        assert follow.wait(20 * SLOW) == 0

    hall("stopWorker", "--all")
    wait_until(lambda: not workers_left(), 20, what=lambda: f"nothing is left: {workers_left()}")
    wait_until(lambda: not names(hall), what=lambda: f"workers: {names(hall)}")
    for machine in hall.machines:
        assert "registered" in (hall.dir / "workerScreen" / machine.name).read_text(), "the log is where it was asked for"


def running(hall):
    for line in hall("checkTask", "--in_progress", "--json").splitlines():
        entry = json.loads(line)
        if entry.get("worker"):
            return entry
    return None


def test_a_machine_is_lost_and_its_tasks_run_elsewhere(hall, box):
    """The cable of one machine is pulled: its task is taken over by another one after the lease."""
    hall.everywhere(f"cd {hall.dir}; setsid bin/redisWorker --lease 2s --health_report_interval 200ms "
                    ">workerScreen/$(hostname) 2>&1 </dev/null &")
    wait_until(lambda: len(names(hall)) == 3, 20, every=0.1, what="workers")
    hall.load(f"shell:1:0:1:hostname; until [ -e {box}/go ]; do sleep 0.05; done\n")
    task = wait_until(lambda: running(hall), 20, what="it runs")
    number = next(i for i, m in enumerate(hall.machines) if m.name == task["worker"])
    hall.hub("ip", "link", "set", f"cable{number}", "down")
    wait_until(lambda: (running(hall) or task)["worker"] != task["worker"], 30, every=0.1, what="another machine has it")
    (box / "go").touch()
    wait_until(lambda: hall.counts()["finished"] == 1, 20, every=0.1, what="it finishes")
    hall.hub("ip", "link", "set", f"cable{number}", "up")
    hall("stopWorker", "--all")
    wait_until(lambda: not workers_left(), 60, what=lambda: f"nothing is left: {workers_left()}")


def test_three_workers_on_one_host(queue, redis, worker):
    """What needs no rights: three names on one machine are three workers."""
    tasks = Tasks(queue, redis)
    workers = [worker(name, cpus=1, health_report_interval="100ms", lease="1s") for name in ("a", "b", "c")]
    for w in workers:
        w.wait_event("registered")
    all_ = tasks.add_all([f"sleep 0.1; hostname; : {i}" for i in range(30)], min_cpu=1)
    assert queue.run("waitTask", "--timeout", "60").returncode == 0
    assert {task.tries[0].worker for task in all_} == {"a", "b", "c"}
    assert all(task.out.decode() == socket.gethostname() + "\n" for task in all_)
    queue("stopWorker", "--all")
    assert [w.wait() for w in workers] == [0, 0, 0]
    assert not any(is_running(w.pid) for w in workers)
