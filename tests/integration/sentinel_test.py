"""A failover that Sentinels make: workers and redisManager follow, and every task ends once."""
import subprocess
import threading

import pytest

from harness import SLOW, Queue, program, wait_until
from scriptqueue import ScriptQueue
from sentinels import NAME, Watched, again

FAST = {"health_report_interval": "200ms", "lease": "3s", "sleep_sec_between_accepting_task": "300ms"}


@pytest.fixture
def watched(box):
    made = []

    def make(**options):
        made.append(Watched(box, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def lines(box, first, last):
    return "".join(f'shell:1:0:0:sleep 0.05; echo {i} >> {box}/ran; echo {i}\n' for i in range(first, last))


def ran(box):
    path = box / "ran"
    return [int(word) for word in path.read_text().split()] if path.exists() else []


class Loader(threading.Thread):
    """Loads one file after the other, each again until it was acknowledged; loading again adds what is missing."""

    def __init__(self, queue, box, files):
        super().__init__(daemon=True)
        self.queue, self.paths, self.refused, self.stop = queue, [], [], False
        for i, text in enumerate(files):
            self.paths.append(box / f"file{i}")
            self.paths[-1].write_text(text)

    def run(self):
        for path in self.paths:
            while not self.stop:
                # A master that was frozen answers what lay in its socket before it learns that it is none any more.
                done = self.queue.run("loadTask", "--taskfile", path, "--wait_replicas", "1")
                if done.returncode == 0:
                    break
                self.refused.append(done.stderr)


def end_state(redis, total, box):
    """Every task finishes (some once more, where a busy machine made one more failover at the end), is recorded once,
    and the queue agrees with itself."""
    wait_until(lambda: again(ScriptQueue(redis.wait_settled()).counts).get("finished") == total, 60,
               what="all are finished")
    view = ScriptQueue(redis.wait_settled())
    again(view.check)
    records = again(view.records)
    assert len(records) == total
    assert {record.state for record in records.values()} == {"finished"}
    for id in records:
        outcomes = [entry[1] for entry in again(lambda id=id: view.log(id))]
        assert outcomes.count("finished") == 1, f"{id}: {outcomes}"
    assert sorted(set(ran(box))) == list(range(total))


@pytest.mark.limit(240)
@pytest.mark.parametrize("how", ["kill", "failover", "freeze"])
def test_failover(watched, worker, box, how):
    """The master is SIGKILLed, replaced by SENTINEL FAILOVER, or stops for as long as the failover takes and comes
    back believing that it is the master."""
    redis = watched()
    queue = Queue(redis.url, box / "cwd")
    workers = [worker(url=redis.url, max_tasks=4, **FAST) for _ in range(3)]
    queue.load(lines(box, 0, 200))
    old = redis.master
    loader = Loader(queue, box, [lines(box, 200 + 20 * i, 220 + 20 * i) for i in range(10)])
    loader.start()
    waiting = subprocess.Popen([program("redisManager"), "waitTask", *queue.flags], cwd=box / "cwd",
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(ran(box)) >= 60, 60, what="some tasks have run")
    if how == "kill":
        old.kill()
    elif how == "freeze":
        old.freeze()
    else:
        redis.sentinels[0].command("SENTINEL", "FAILOVER", NAME)
    new = redis.wait_failover(old)
    if how == "kill":
        old.start(same_port=True)
    elif how == "freeze":
        old.thaw()
    at = f"redis://127.0.0.1:{new.port}"
    for each in workers:
        wait_until(lambda each=each: any(up["at"] == at for up in each.events("redis_up")), 60,
                   what=lambda each=each: f"{each.name} follows:\n{each.log[-2000:]}")
    loader.join(120 * SLOW)
    assert not loader.is_alive(), loader.refused
    assert all(refusal.count("\n") == 1 for refusal in loader.refused), loader.refused
    out, err = waiting.communicate(timeout=120 * SLOW)
    assert waiting.returncode == 0, out + err
    queue("waitTask")  # what was loaded after the first had seen an empty queue
    end_state(redis, 400, box)
    again = queue("loadTask", "--taskfile", loader.paths[0])
    assert again.startswith("0 new, 20 known"), again
    redis.wait_settled()  # the old master is a replica
