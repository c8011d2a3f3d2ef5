"""What the tests of the scripts' memory share: a family, tasks with min_dram=auto, and what was learned of them."""
import subprocess

from harness import HELPERS
from scriptqueue import AUTO, digest_of

LRU = "shell lru"
WORD = f"family:{digest_of(LRU)}"


def probe(kind, rows):
    lines = "".join(" ".join(map(str, row)) + "\n" for row in rows)
    return subprocess.run([HELPERS / "peaks_probe", kind], input=lines, capture_output=True, text=True,
                          check=True).stdout.splitlines()


def family(q, name=LRU):
    """The counters of a family: {field: number}, peaks by rung among them."""
    return {field: int(value) for field, value in q.hash(f"family:{digest_of(name)}").items() if field != "key"}


def need(q, name=LRU):
    value = q.redis("HGET", "need", digest_of(name))
    return value and tuple(map(int, value.split()))


def look_again(q, words=""):
    """The largest worker is looked up once a second."""
    assert q.redis("HDEL", "need", f"={words}") == 1


def auto(q, count=1, name=LRU, **fields):
    word = f"family:{digest_of(name)}"
    more = fields.pop("requires", "")
    return q.add(count, mem=AUTO, requires=f"{word},{more}" if more else word, **fields)


def less(most):
    """What a worker is taken to have that says `most`."""
    return most - most // 64


def learn(q, peaks, name=LRU, asked=0):
    """Finishes one task for each peak, one report for all."""
    q.add(len(peaks), mem=asked, priority=1000000)
    claimed = q.claim(slots=len(peaks), mem=1 << 46)
    assert len(claimed) == len(peaks)
    answers = q.report(*[(c, "finished", {"family": name, "peak": peak, "promised": asked})
                         for c, peak in zip(claimed, peaks)])
    assert answers == ["recorded"] * len(peaks)
    return claimed
