"""Takes from a dead Redis the end of its AOF: what a power cut takes under appendfsync everysec. A killed
redis-server by itself loses nothing, since the kernel has what it wrote.
"""
import bisect
import re
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from scriptqueue import DIGITS

LOSS_S = 2.0  # everysec: at most so much
SAMPLE_S = 0.02
MULTI, EXEC = b"*1\r\n$5\r\nMULTI\r\n", b"*1\r\n$4\r\nEXEC\r\n"
TASK_ID = re.compile(rf"\r\n([{DIGITS}]{{14}})".encode())


@dataclass
class Cut:
    since: float   # monotonic: what was acknowledged from here
    until: float   # to here may be forgotten
    bytes: int
    records: int
    torn: bool     # the last record that is left is half of one
    ids: frozenset  # the tasks that what is lost speaks of


def newest(directory):
    """The AOF file that is being written: the incremental one with the highest number."""
    files = Path(directory, "appendonlydir").glob("*.incr.aof")
    numbered = [(int(re.search(r"\.(\d+)\.incr\.aof$", file.name)[1]), file) for file in files]
    return max(numbered)[1] if numbered else None


class Sampler(threading.Thread):
    """Knows how long the AOF was when."""

    def __init__(self, directory):
        super().__init__(daemon=True)
        self.directory, self.samples, self.ended = directory, [], threading.Event()
        self.start()

    def run(self):
        file, looks = None, 0
        while not self.ended.wait(SAMPLE_S):
            looks += 1
            if file is None or looks % 5 == 0:
                file = newest(self.directory)
            try:
                size = file.stat().st_size if file else 0
            except OSError:
                file = None
                continue
            self.samples.append((time.monotonic(), file, size))
            if len(self.samples) > 2000:
                del self.samples[:1000]

    def begin(self):
        """Redis runs again: what is in the AOF now is there for good, and it may be shorter than it was."""
        file = newest(self.directory)
        self.samples = [(time.monotonic(), file, file.stat().st_size)] if file else []

    def size_at(self, file, when):
        """A size it had at or before that moment, but after Redis was started."""
        sizes = [(at, size) for at, name, size in self.samples if name == file]
        before = [size for at, size in sizes if at <= when]
        if before:
            return before[-1]
        return sizes[0][1] if sizes and self.samples[0][1] == file else 0

    def when(self, file, size):
        """The last moment at which no more than that was there."""
        found = [at for at, name, length in self.samples if name == file and length <= size]
        return found[-1] if found else self.samples[0][0]

    def close(self):
        self.ended.set()
        self.join()


def record_ends(data, start):
    """Offsets at which a record of RESP ends, from `start`, which is the beginning of one."""
    ends, at = [], start
    while at < len(data):
        line = data.find(b"\r\n", at)
        if line < 0:
            break
        if data[at:at + 1] == b"#":  # an annotation
            at = line + 2
            continue
        if data[at:at + 1] != b"*":
            raise ValueError(f"not RESP at {at}: {data[at:at + 40]!r}")
        words, at = int(data[at + 1:line]), line + 2
        for _ in range(words):
            line = data.find(b"\r\n", at)
            if line < 0:
                return ends
            at = line + 2 + int(data[at + 1:line]) + 2
        if at > len(data):
            break
        ends.append(at)
    return ends


def task_ids(data, size):
    """The tasks that what is lost with an end at `size` speaks of, in arguments that are an id or begin with one."""
    begin = data.rfind(MULTI, 0, size)
    if begin >= 0 and EXEC not in data[begin:size]:
        size = begin  # of a transaction that is not whole nothing is run
    return frozenset(id.decode() for id in TASK_ID.findall(data, size))


def mend(manifest):
    """Cuts off the transaction that is not whole. Redis 7 by itself cuts off its torn record only and goes on writing
    behind the others, so that its next start runs half a script (valkey-io/valkey#4342)."""
    done = subprocess.run(["redis-check-aof", "--fix", manifest], input="y\n", capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"redis-check-aof: {done.stdout[-500:]}")


def cut(directory, sampler, killed, dice):
    """Redis is dead since `killed`: shortens its AOF to a record, chosen by dice (0 to 1), of those that were
    written in the last LOSS_S. Every fourth cut leaves a torn record. Returns a Cut."""
    file = newest(directory)
    data = file.read_bytes()
    start = sampler.size_at(file, killed - LOSS_S)
    if start and data[start:start + 1] not in (b"*", b"#", b""):
        ends = record_ends(data, 0)
        start = ([0] + ends)[bisect.bisect_right(ends, start)]
    ends = [start] + record_ends(data, start)
    chosen = int(dice * len(ends))
    size = ends[chosen]
    torn = int(dice * 1e6) % 4 == 0 and size + 3 < len(data)
    since = sampler.when(file, size) - SAMPLE_S
    with open(file, "r+b") as aof:
        aof.truncate(size + 3 if torn else size)
    if torn:
        mend(file.parent / "appendonly.aof.manifest")
    return Cut(since, killed, len(data) - size, len(ends) - 1 - chosen, torn, task_ids(data, size))
