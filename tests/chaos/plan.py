"""What is drawn from the seed: the tasks of a run, and what is done to the system when. Nothing here looks
at a clock or a process, so that a seed names the same choices every time; how the machine's own timing falls
between them differs from run to run.
"""
import json
import random
from dataclasses import dataclass

# kind of task: (of a thousand, milliseconds)
KINDS = {"ok": (845, (0, 300)), "slow": (10, (2000, 5000)), "fail": (20, (0, 100)), "flaky": (20, (0, 200)),
         "again": (25, (0, 100)), "hang": (5, (0, 0)), "away": (25, (0, 200)), "flood": (25, (0, 100)),
         "tree": (25, (0, 200)), "crash": (10, (0, 100))}
NATIVE_EVERY = 6  # of those that can be: a kernel in a host that lives on
NATIVE = ("ok", "slow", "fail", "flaky", "hang", "tree")
GROUP_EVERY, GROUP_SIZE, DEPENDANTS = 100, 8, 3
CPUS_OF_WORKER = 4


@dataclass
class Planned:
    number: int
    kind: str
    ms: int
    batch: int
    after: str = ""  # a group's name
    name: str = ""

    @property
    def native(self):
        return self.kind == "crash" or (self.kind in NATIVE and self.number % NATIVE_EVERY == 1)

    def line(self, program):
        """Its line of a JSONL task file."""
        kind = "ok" if self.kind == "slow" else self.kind
        fields = {"params": f"{program} {self.number} {kind} {self.ms}", "priority": self.number * 7 % 5, "min_dram": 0,
                  "min_cpu": (0, 0, 0.5, 1)[self.number % 4], "backoff": "200ms"}
        if self.native:
            fields.update(type="native", params=f"chaos number={self.number} kind={kind} ms={self.ms}")
        if self.kind in ("fail", "flaky"):
            fields["retries"] = 3
        if self.kind == "crash":
            fields["retries"] = 10  # a first try that the AOF forgot is a first one again
        if self.kind == "hang":
            fields.update(timeout="1s", retries=2)
        if self.name:
            fields["name"] = self.name
        if self.after:
            fields["after"] = self.after
        return json.dumps(fields)


def plan_tasks(seed, total, batches):
    """All tasks; the first batch has 40 % of them. Groups lie within a batch: a name is defined before it is
    waited for."""
    draw = random.Random(f"tasks {seed}")
    names, weights = zip(*((name, weight) for name, (weight, _) in KINDS.items()))
    tasks, first = [], total * 2 // 5
    while len(tasks) < total:
        number = len(tasks)
        batch = 0 if number < first else 1 + (number - first) * (batches - 1) // max(1, total - first)
        kind = draw.choices(names, weights)[0]
        ms = draw.randint(*KINDS[kind][1])
        place = number % GROUP_EVERY
        task = Planned(number, kind, ms, batch)
        if place < GROUP_SIZE:
            task.name = f"g{number // GROUP_EVERY}"
        elif place < GROUP_SIZE + DEPENDANTS and tasks[number - place].batch == batch:
            task.after = f"g{number // GROUP_EVERY}"
        tasks.append(task)
    return tasks


@dataclass
class Act:
    at: float      # seconds from the start
    what: str
    who: int       # worker
    lasts: float   # seconds, for what is undone
    dice: float    # 0 to 1, for what the act has to choose itself


def of(low, high):
    return lambda draw: draw.uniform(low, high)


def short_or_long(short, long, share):
    """Mostly short; a share lasts longer than a lease."""
    return lambda draw: draw.uniform(*(long if draw.random() < share else short))


# what: (weight, how long)
ACTS = {
    "kill agent": (34, of(0, 0)),
    "kill supervisor": (22, of(0, 0)),
    "kill both": (8, short_or_long((0.0, 1.0), (3.5, 5.0), 0.3)),
    "kill redis": (4, short_or_long((0.0, 0.8), (2.5, 4.0), 0.1)),
    "kill redis, cut": (5, short_or_long((0.0, 0.5), (2.5, 4.0), 0.15)),
    "stop agent": (5, short_or_long((0.1, 1.5), (3.5, 5.0), 0.4)),
    "stop supervisor": (3, short_or_long((0.1, 1.5), (3.5, 5.0), 0.3)),
    "stop both": (4, short_or_long((0.1, 1.5), (3.5, 5.0), 0.5)),
    "stop redis": (2, short_or_long((0.1, 1.0), (3.5, 4.5), 0.25)),
    "net cut": (3, short_or_long((0.0, 1.0), (3.5, 5.0), 0.4)),
    "net freeze": (4, short_or_long((0.1, 1.5), (3.5, 5.0), 0.4)),
    "net delay": (3, of(0.5, 3.0)),
    "script flush": (3, of(0, 0)),
    "clock step": (3, of(0, 0)),
    "drain": (2, of(0.2, 2.0)),
    "stop worker": (2, of(0.0, 1.0)),
    "return (SIGINT)": (1, of(0.0, 1.0)),
    "hand over (SIGUSR1)": (3, of(0.0, 0.8)),
    "cancel": (4, of(0, 0)),
    "requeue": (4, of(0, 0)),
    "bgrewriteaof": (1, of(0, 0)),
}


def plan_acts(seed, seconds, every, workers):
    draw = random.Random(f"acts {seed}")
    names, weights = zip(*((name, weight) for name, (weight, _) in ACTS.items()))
    acts, at = [], 1.0
    while at < seconds:
        what = draw.choices(names, weights)[0]
        acts.append(Act(at, what, draw.randrange(workers), ACTS[what][1](draw), draw.random()))
        at += draw.expovariate(1 / every)
    return acts
