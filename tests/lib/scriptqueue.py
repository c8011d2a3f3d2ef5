"""A queue driven through its Lua scripts alone, without the programs: what a loader, a worker and a manager
would send, and check(), which compares everything a queue keeps twice.

Records and hints are packed here anew, from docs/protocol.md, not by the programs' own code.
"""
import functools
import hashlib
import itertools
import os
import re
import shutil
import struct
import tempfile
from dataclasses import dataclass, field

import pytest

from harness import ROOT, SERVER, RedisError, RedisServer

LUA = ROOT / "common" / "lua"
STATES = {1: "waiting", 2: "todo", 3: "in_progress", 4: "finished", 5: "failed", 6: "delayed", 7: "held",
          8: "cancelled"}
ENDED = {"finished", "failed", "cancelled"}
OUTCOMES = {"finished": 1, "failed": 2, "timeout": 3, "cancelled": 4, "returned": 5, "released": 6, "tempfail": 7,
            "lost": 8, "dependency": 9}
FLAG_DEPENDANTS, FLAG_CANCEL, FLAG_AFTER, FLAG_RAISED = 1, 2, 4, 16
AUTO = 0xFFFFFFFFFFFF
MIB, GIB = 1 << 20, 1 << 30
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def script_names():
    return sorted(path.stem for path in LUA.glob("*.lua") if path.stem != "lib")


def script_text(name):
    files = sorted((LUA / "lib").glob("*.lua")) + [LUA / f"{name}.lua"]
    return "".join(file.read_text() for file in files)


def digest_of(family):
    """Stands for a family in the names of lists and keys; any 16 hexadecimal digits will do for the scripts."""
    return hashlib.sha256(family.encode()).hexdigest()[:16]


def be(number, size):
    return number.to_bytes(size, "big")


def task_id(number):
    """An id of the right form for a test's task."""
    digits = ""
    for _ in range(14):
        digits = DIGITS[number & 31] + digits
        number >>= 5
    return digits


@functools.lru_cache(maxsize=None)
def mem_step(mem):
    """The memory ladder of common/task.h: the first rung that is not below mem."""
    if mem == 0:
        return 0
    if mem == AUTO:
        return 255
    return next(step for step in range(1, 255) if step_bytes(step) >= mem)


def step_bytes(step):
    return (8 + (step - 1) % 8 << (step - 1) // 8) * 131072 if step else 0


@dataclass
class Task:
    id: str
    priority: int = 0
    mem: int = 0
    mcpu: int = 0
    requires: str = ""
    name: str = ""
    params: bytes = b"true"
    options: bytes = b"\0"
    after: list = field(default_factory=list)  # "an:NAME", "et:ID", ...

    def record(self, loaded=0):
        return (struct.pack(">BBHI", 2, 0, 0, self.priority) + be(self.mem, 6) + be(mem_step(self.mem), 1) +
                be(self.mcpu, 4) + bytes(8) + be(loaded, 6) + be(len(self.requires), 1) + self.requires.encode() +
                be(len(self.name), 1) + self.name.encode() + b"\0" + self.options + self.params)


@dataclass
class Record:
    state: str
    flags: int
    generation: int
    priority: int
    mem: int
    step: int
    mcpu: int
    tries: int
    failures: int
    losses: int
    returns: int
    loaded: int
    requires: str
    name: str
    rest: bytes

    @staticmethod
    def decode(raw):
        state, flags, generation, priority = struct.unpack(">BBHI", raw[:8])
        tries, failures, losses, returns = struct.unpack(">HHHH", raw[19:27])
        n = raw[33]
        m = raw[34 + n]
        return Record(STATES[state], flags, generation, priority, int.from_bytes(raw[8:14], "big"), raw[14],
                      int.from_bytes(raw[15:19], "big"), tries, failures, losses, returns,
                      int.from_bytes(raw[27:33], "big"), raw[34:34 + n].decode(),
                      raw[35 + n:35 + n + m].decode(), raw[35 + n + m:])

    @property
    def shape(self):
        return f"{self.priority}:{self.step}:{self.mcpu}:{self.requires}"


def try_entry(number, nonce="", outcome="finished", exit_code=0, worker="w1", reason="", start=1, end=2, tail=b""):
    body = (struct.pack(">HBBH", number, OUTCOMES[outcome], 0, exit_code) + be(start, 6) + be(end, 6) + be(1, 6) +
            be(0, 6) + be(0, 6) + be(0, 5) + be(0, 6) + be(0, 6) + (bytes.fromhex(nonce) or bytes(10)) +
            be(len(worker), 1) + worker.encode() + b"\0" + b"\0\0" + be(len(reason), 2) + reason.encode() + tail)
    return be(len(body), 2) + body


def parse_log(log):
    """[(try, outcome name, nonce, worker, reason)] of a try log."""
    names = {number: name for name, number in OUTCOMES.items()}
    found = []
    while log:
        size = int.from_bytes(log[:2], "big")
        body, log = log[2:2 + size], log[2 + size:]
        assert len(body) == size
        at = 63
        n = body[at]
        worker = body[at + 1:at + 1 + n].decode()
        at += 1 + n
        at += 1 + body[at]
        at += 2 + int.from_bytes(body[at:at + 2], "big")
        size = int.from_bytes(body[at:at + 2], "big")
        reason = body[at + 2:at + 2 + size].decode()
        assert len(body) - at - 2 - size in (0, 12), "and what was read and written, if that is known"
        found.append((int.from_bytes(body[:2], "big"), names[body[2]], body[53:63].hex(), worker, reason))
    return found


def output(number, out=b"", err=b""):
    return be(number, 2) + b"\0" + be(len(out), 6) + be(len(err), 6) + be(len(out), 4) + out + be(len(err), 4) + err


def usage(family="", peak=0, promised=0, need=0, digest=None):
    """What a report says of a try's memory."""
    if not peak:
        return b""
    return (be(mem_step(peak), 1) + be(peak, 6) + be(promised, 6) + be(need, 6) +
            ((digest or digest_of(family)) + family if family else "").encode())


@dataclass(frozen=True)
class Claimed:
    id: str
    number: int
    nonce: str
    record: bytes
    need: tuple = ()  # (promised, held) of min_dram=auto

    @property
    def token(self):
        return (self.id, self.number, self.nonce)


@dataclass
class Note:
    """Of a large task (common/lua/claim.lua); times in ms of Redis' clock."""
    id: str
    since: int
    due: int
    owned: int
    gone: int
    owner: str


class Claim(list):
    """The tasks of an answer, and .status, .due, .more."""


class ScriptQueue:
    lease = 60000

    def __init__(self, server, name="default"):
        self.server, self.name = server, name
        self.base = f"distcomp:{{{name}}}"
        self.numbers = itertools.count(1)
        self.ids = itertools.count(1)
        self.shas = {}
        self.calls = []  # (script, arguments, answer), for the tests that want to look back

    def key(self, suffix):
        return f"{self.base}:{suffix}"

    def redis(self, verb, suffix, *words):
        return self.server.command(verb, self.key(suffix), *words)

    def run(self, script, *words):
        sha = self.shas.get(script)
        if sha is None:
            sha = self.shas[script] = self.server.command("SCRIPT", "LOAD", script_text(script))
        answer = self.server.command("EVALSHA", sha, 1, self.base, *words)
        self.calls.append((script, words, answer))
        return answer

    # --- a loader ---

    def task(self, **fields):
        return Task(id=task_id(next(self.ids)), **fields)

    def tasks(self, count, **fields):
        return [self.task(**fields) for _ in range(count)]

    def load(self, tasks, load=0, retry=False):
        """load.lua; returns {'new': ...} of the counts that are not 0."""
        words = []
        for task in tasks:
            words += [task.id, task.record(load), "\n".join(task.after)]
        answer = self.run("load", load, 1 if retry else 0, *words)
        names = ("new", "known", "updated", "duplicate", "failed", "retried")
        return {name: n for name, n in zip(names, answer) if n}

    def add(self, count=1, **fields):
        tasks = self.tasks(count, **fields)
        self.load(tasks)
        return tasks

    def begin(self):
        return self.run("begin")

    def close(self, load):
        calls = 1
        while self.run("close", load):
            calls += 1
        return calls

    # --- a worker ---

    def register(self, worker="w1", incarnation="i1", dead="", lease=None, max_losses=5, session=None,
                 info="{}"):
        """dead: incarnations, joined by blanks; 'i0.500' for one that is dead if it was silent for 500 ms. Here a session
        is called as its incarnation unless the test gives it another name."""
        dead = " ".join(life if "." in life else f"{life}.0" for life in dead.split())
        return [part.decode() if isinstance(part, bytes) else part
                for part in self.run("register", worker, incarnation, session or incarnation, dead, lease or self.lease, info,
                                     max_losses)]

    def claim(self, worker="w1", session="i1", slots=1, mem=64 * GIB, mcpu=64000, auto=GIB, caps=",", rank=0,
              request=None, nonce=None, most=None, starve=60000, forecast=None, gpus=""):
        """most: (memory, milli-cores) of the empty worker, by default what is free now. forecast: [(after ms, memory,
        milli-cores)], by default the empty worker at once."""
        most = most or (mem, mcpu)
        points = " ".join(str(n) for point in forecast or [(0, *most)] for n in point)
        number = next(self.numbers)
        nonce = nonce or f"{number * 0x9E3779B97F4A7C15 & (1 << 64) - 1:016x}"
        answer = self.run("claim", worker, session, request or f"{number:016x}", nonce, mem, mcpu, slots, auto,
                          caps, rank, *most, starve, points, gpus)
        tasks = Claim()
        tasks.status, tasks.due, tasks.more = answer[0].decode(), answer[1], answer[2]
        assert len(answer) % 3 == 0
        for i in range(3, len(answer), 3):
            record, need = answer[i + 1], tuple(int(word) for word in answer[i + 2].split())
            tries = Record.decode(record).tries if record else 0
            tasks.append(Claimed(answer[i].decode(), tries, f"{nonce}{(i - 3) // 3:04x}", record, need))
        return tasks

    def report(self, *items, worker="w1", max_losses=5, keep=1 << 40):
        """items: (claimed, outcome) with delay, out, entry, reason, family, peak, promised, need as a third dict; returns
        the answers."""
        words = []
        for claimed, outcome, *more in items:
            extra = more[0] if more else {}
            ran = outcome != "released"
            entry = try_entry(claimed.number, claimed.nonce, outcome, worker=worker,
                              reason=extra.get("reason", "")) if ran else b""
            out, family = extra.get("out"), extra.get("family", "")
            words += [claimed.id, claimed.number, claimed.nonce, outcome, extra.get("delay", -1),
                      extra.get("entry", entry), b"" if out is None else output(claimed.number, out),
                      usage(family, extra.get("peak", 0), extra.get("promised", 0), extra.get("need", 0),
                            extra.get("digest"))]
        answer = self.run("report", worker, max_losses, keep, *words)
        self.due = answer[0]
        return [word.decode() for word in answer[1:]]

    def finish(self, *claimed, worker="w1", outcome="finished", **extra):
        answers = self.report(*[(c, outcome, extra) for c in claimed], worker=worker)
        assert answers == ["recorded"] * len(claimed), answers

    @staticmethod
    def digest(claimed):
        return sum(int(c.nonce[:12], 16) + int(c.nonce[16:], 16) * 7919 + c.number for c in claimed) % (1 << 48)

    def renew(self, held=(), worker="w1", session="i1", lease=None, stats="{}"):
        answer = self.run("renew", worker, session, lease or self.lease, len(held), self.digest(held), stats)
        return [part.decode() if isinstance(part, bytes) else part for part in answer]

    def reconcile(self, held=(), worker="w1", session="i1"):
        words = [word for c in held for word in (*c.token, Record.decode(c.record).loaded if c.record else 0)]
        return [word.decode() for word in self.run("reconcile", worker, session, *words)]

    def maintain(self, max_losses=5, keep_finished=0, keep_ms=0, keep_output=0):
        return self.run("maintain", max_losses, keep_finished, keep_ms, keep_output)

    def settle(self, **options):
        """Maintains until nothing is due now; returns the calls it took."""
        for calls in range(1, 10000):
            if self.maintain(**options)[0] != 0:
                return calls
        raise AssertionError("maintain is due for ever")

    # --- looking ---

    def record(self, task):
        raw = self.redis("HGET", "task", getattr(task, "id", task))
        return Record.decode(raw) if raw else None

    @staticmethod
    def record_of(claimed):
        """As it was when it was claimed."""
        return Record.decode(claimed.record)

    def state(self, task):
        record = self.record(task)
        return record.state if record else None

    def states(self, tasks):
        return [self.state(task) for task in tasks]

    def records(self):
        flat = self.redis("HGETALL", "task")
        return {flat[i].decode(): Record.decode(flat[i + 1]) for i in range(0, len(flat), 2)}

    def log(self, task):
        return parse_log(self.redis("HGET", "try", getattr(task, "id", task)) or b"")

    def counts(self):
        flat = self.redis("HGETALL", "count")
        return {flat[i].decode(): int(flat[i + 1]) for i in range(0, len(flat), 2)}

    def group(self, name):
        raw = self.redis("HGET", "name", name)
        if raw is None:
            return None
        total, pending, finished, failed, cancelled, dependants = struct.unpack(">IIIIIB", raw[:21])
        return {"total": total, "pending": pending, "finished": finished, "failed": failed, "cancelled": cancelled,
                "dependants": dependants, "load": int.from_bytes(raw[21:27], "big")}

    def hash(self, suffix):
        flat = self.redis("HGETALL", suffix)
        return {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}

    def reservations(self):
        """{shape: Note}"""
        notes = {}
        for shape, value in self.hash("reserve").items():
            assert re.fullmatch(r"\d+:\d+:\d+:.*", shape), shape
            id, *times, owner = value.decode().split(" ")
            notes[shape] = Note(id, *map(int, times), owner)
        return notes

    def now(self):
        """Redis' clock in ms."""
        seconds, us = self.server.command("TIME")
        return int(seconds) * 1000 + int(us) / 1000

    def dump(self):
        """All keys of the queue as they are, for restore()."""
        return {suffix: self.redis("DUMP", suffix) for suffix in self.suffixes()}

    def restore(self, dumped):
        """What a Redis that lost the end of its AOF comes back with."""
        for suffix in self.suffixes():
            self.redis("DEL", suffix)
        for suffix, bytes_ in dumped.items():
            self.redis("RESTORE", suffix, 0, bytes_)

    def suffixes(self):
        prefix = self.base + ":"
        return sorted(k[len(prefix):] for k in self.server.keys() if k.startswith(prefix))

    def hints(self):
        """{shape: [(id, generation, sequence)]}"""
        lists = {}
        for suffix in self.suffixes():
            if suffix.startswith("todo:"):
                lists[suffix[5:]] = [(part[0], int(part[1], 16), int(part[2], 16)) for part in
                                     (hint.decode().split(".") for hint in self.redis("LRANGE", suffix, 0, -1))]
        return lists

    # --- what must hold after every call ---

    def check(self):
        records = self.records()
        self._check_counts(records)
        self._check_hints(records)
        self._check_running(records)
        self._check_groups(records)
        self._check_ends(records)
        self._check_waiting(records)
        self._check_outputs(records)
        self._check_reservations()
        self._check_families()

    def _check_counts(self, records):
        counts = self.counts()
        for state in STATES.values():
            real = sum(record.state == state for record in records.values())
            assert counts.get(state, 0) == real, f"count of {state}: {counts.get(state, 0)}, records say {real}"

    def _check_hints(self, records):
        lists, valid = self.hints(), {}
        flat = self.redis("ZRANGE", "shape", 0, -1, "WITHSCORES")
        scores = {flat[i].decode(): float(flat[i + 1]) for i in range(0, len(flat), 2)}
        assert set(scores) == set(lists), "the shapes are the non-empty lists"
        for shape, hints in lists.items():
            priority = int(shape.split(":")[0])
            assert scores[shape] == hints[0][2] % 2**33 - priority * 2**33, f"score of {shape}"
            for id, generation, _ in hints:
                record = records.get(id)
                if record and record.state == "todo" and record.generation == generation:
                    valid.setdefault(id, []).append(shape)
        for id, record in records.items():
            expected = [record.shape] if record.state == "todo" else []
            assert valid.get(id, []) == expected, f"hints of {id} ({record.state}): {valid.get(id, [])}"
        delayed = {member.decode() for member in self.redis("ZRANGE", "delayed", 0, -1)}
        for id, record in records.items():
            if record.state == "delayed":
                assert f"{id}.{record.generation:x}" in delayed

    def _check_running(self, records):
        running = {id: worker.decode() for id, worker in self.hash("running").items()}
        holders = {}
        for suffix in self.suffixes():
            if suffix.startswith("held:"):
                for id, entry in self.hash(suffix).items():
                    holders.setdefault(id, []).append(suffix[5:])
                    number = int(entry.split(b".")[0])
                    assert id in records and records[id].tries == number, f"held try of {id}"
        in_progress = {id for id, record in records.items() if record.state == "in_progress"}
        assert set(running) == in_progress
        assert holders == {id: [running[id]] for id in in_progress}
        for suffix in self.suffixes():
            if suffix.startswith("cancel:"):
                for id in self.redis("SMEMBERS", suffix):
                    assert running.get(id.decode()) == suffix[7:]
                    assert records[id.decode()].flags & FLAG_CANCEL
        for id, record in records.items():
            assert not record.flags & FLAG_CANCEL or id in in_progress, f"{id} keeps a request to cancel"

    def _check_groups(self, records):
        wanted = {}
        for record in records.values():
            parts = record.name.split("/") if record.name else []
            for i in range(len(parts)):
                group = wanted.setdefault("/".join(parts[:i + 1]), dict.fromkeys(
                    ("total", "pending", "finished", "failed", "cancelled"), 0))
                group["total"] += 1
                group[record.state if record.state in ENDED else "pending"] += 1
        known = {name: self.group(name) for name in self.hash("name")}
        for name, group in known.items():
            real = wanted.pop(name, dict.fromkeys(("total", "pending", "finished", "failed", "cancelled"), 0))
            assert {key: group[key] for key in real} == real, f"group {name}"
        assert not wanted, f"groups that are not there: {wanted}"

    def _check_ends(self, records):
        assert not [id for id in self.hash("avoid") if id not in records or records[id].state in ENDED]
        failed = {id.decode() for id in self.redis("SMEMBERS", "failed")}
        assert failed == {id for id, record in records.items() if record.state == "failed"}
        entries = [entry.decode() for entry in self.redis("LRANGE", "finished", 0, -1)]
        valid = [entry[:14] for entry in entries if entry[:14] in records and
                 records[entry[:14]].state == "finished" and int(entry[15:], 16) == records[entry[:14]].loaded]
        assert len(valid) == len(set(valid)), "a finished task is listed once"
        for id, record in records.items():
            trimmed = record.rest[1:] == b"\0"
            assert (id in valid) == (record.state == "finished" and not trimmed), f"{id} in finished"

    def _check_waiting(self, records):
        after, waiting = self.hash("after"), self.hash("await")
        for id, record in records.items():
            assert bool(record.flags & FLAG_AFTER) == (id in after), f"flag of {id}"
            assert record.state != "waiting" or id in waiting
        for id, left in waiting.items():
            assert records[id].state in ("waiting", "held") and int(left) > 0
        # Each unresolved reference has one entry, in a list of dependants, under the task's generation.
        entries = {}
        for suffix in self.suffixes():
            if suffix.startswith("dependants:"):
                for entry in self.redis("LRANGE", suffix, 0, -1):
                    id, generation = entry[1:15].decode(), int(entry[16:], 16)
                    if id in waiting and records[id].generation == generation:
                        entries[id] = entries.get(id, 0) + 1
        assert entries == {id: int(left) for id, left in waiting.items()}

    def _check_reservations(self):
        """What is noted may be out of date, since nothing depends on it; but it is bounded, and no worker waits for two."""
        notes = self.reservations()
        assert len(notes) <= 32
        owners = [note.owner for note in notes.values() if note.owner]
        assert len(owners) == len(set(owners)), f"kept free for two tasks: {notes}"

    def _check_families(self):
        """Each that is counted is in the zset, and only those have a need; it is on the ladder and no more than was held."""
        known = {digest.decode() for digest in self.redis("ZRANGE", "families", 0, -1)}
        assert {suffix[7:] for suffix in self.suffixes() if suffix.startswith("family:")} == known
        for digest in known:
            fields = {name: value for name, value in self.hash(f"family:{digest}").items()}
            peaks = {int(name): int(value) for name, value in fields.items() if name.isdigit()}
            assert sum(peaks.values()) == int(fields["count"]) < 512 and all(peaks.values())
            assert int(fields["max"]) <= step_bytes(max(peaks)) and fields["key"]
        for digest, value in self.hash("need").items():
            need, hold = map(int, value.split())
            if digest[0] == "=":  # the largest worker, and when it was looked up
                continue
            assert digest in known and need >= hold and step_bytes(mem_step(need)) == need

    def _check_outputs(self, records):
        outputs = self.hash("output")
        there, counted = sum(map(len, outputs.values())), self.counts().get("output_bytes", 0)
        assert there == counted, f"outputs have {there} bytes, counted are {counted}"
        order = {item.decode() for item in self.redis("LRANGE", "output_order", 0, -1)}
        for id, packed in outputs.items():
            assert id in records
            assert not packed or f"{id}.{int.from_bytes(packed[:2], 'big')}" in order
        for id in self.hash("try"):
            assert id in records


def ids(things):
    return [thing.id for thing in things]


def is_error(queue, script, *words):
    try:
        queue.run(script, *words)
    except RedisError as error:
        return re.sub(r"\s+", " ", str(error))
    return None


# The servers that the scripts are tested with: the one that was asked for, else Redis, and Valkey if it is here.
SERVERS = [SERVER]
if "DISTCOMP_SERVER" not in os.environ and shutil.which("valkey-server"):
    SERVERS.append("valkey-server")


@pytest.fixture(scope="module", params=SERVERS)
def script_server(request):
    """One Redis for a module's tests; each begins with it empty."""
    with tempfile.TemporaryDirectory(prefix="dq", dir="/tmp") as directory:
        server = RedisServer(directory, program=request.param, appendonly="no")
        try:
            yield server.start()
        finally:
            server.kill()


@pytest.fixture
def q(script_server):
    script_server.command("FLUSHALL")
    script_server.command("CONFIG", "RESETSTAT")
    queue = ScriptQueue(script_server)
    yield queue
    queue.check()
