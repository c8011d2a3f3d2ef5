"""Compares what the tasks wrote outside Redis with what the queue says, and explains every difference or
reports it.

A run is one start mark: a process that was one try of a task. Its end is its end mark, or else the last sign
of life. Every run needs an entry in its task's try log, or a cause: the manager took the task away (requeue
leaves no entry), the AOF lost it, or the log is full.
"""
import re
from collections import Counter
from dataclasses import dataclass, field

from scriptqueue import ENDED

SLACK_S = 0.6       # from a claim to the start mark, from the end mark to the report
TRIES_KEPT = 20
ASKED_S = 20        # an ended run is recorded by then, leases and outages included
GOOD = {"ok", "slow", "again", "away", "flood", "tree", "crash"}
EVENTS = ("task_end", "task_taken_away", "task_retaken", "report_refused", "task_taken_over", "leases_ended",
          "processes_ended", "leftovers_ended", "registered", "worker_paused", "left_unreported")


@dataclass
class Run:
    number: int
    id: str
    number_of_try: int
    worker: str
    pid: int
    start: float
    last: float = 0.0      # the last sign of life
    code: int = None       # None: no end mark
    daemon_last: float = 0.0
    entry: tuple = None    # of the try log
    cause: str = None

    @property
    def end(self):
        return max(self.last, self.daemon_last)


def read_marks(path):
    """{(task number): [Run in the order of their starts]}"""
    runs, by_pid = {}, {}
    for line in path.read_text().splitlines() if path.exists() else ():
        what, number, id, try_, worker, pid, us, code = line.split()
        key = (int(number), int(try_), worker)
        when = int(us) / 1e6
        if what == "S":
            run = Run(int(number), id, int(try_), worker, int(pid), when, when)
            runs.setdefault(run.number, []).append(run)
            by_pid[key] = run  # a daemon's marks have another pid: they belong to the last start
            by_pid[(key, int(pid))] = run
            continue
        run = by_pid.get((key, int(pid))) or by_pid.get(key)
        if what == "D":
            run.daemon_last = when
        else:
            run.last = when
            if what == "E":
                run.code = int(code)
    return runs


@dataclass
class History:
    """What the driver did and saw, in monotonic seconds."""
    cuts: list = field(default_factory=list)
    requeued: dict = field(default_factory=dict)
    cancelled: dict = field(default_factory=dict)
    held_up: dict = field(default_factory=dict)  # worker: [(from, to)] it was stopped, or its network was
    told: dict = field(default_factory=dict)  # (id, try, worker): when its worker was told that its end is recorded

    def forgot(self, id, since, until):
        """An AOF tail was lost that had something of this task and of this time in it."""
        return any(id in cut.ids and cut.since - SLACK_S <= until and since <= cut.until + SLACK_S
                   for cut in self.cuts)

    def answered(self, worker, when):
        """The earliest that Redis may have answered what this worker saw at that time: an answer waits in a socket
        while the worker is stopped."""
        for since, until in sorted(self.held_up.get(worker, []), reverse=True):
            if since <= when <= until + SLACK_S:
                when = since
        return when

    def forgot_start(self, run):
        return self.forgot(run.id, self.answered(run.worker, run.start) - SLACK_S, run.start)

    def forgot_end(self, id, worker, told):
        return self.forgot(id, self.answered(worker, told) - 1, told + 1)


class Verdict:
    def __init__(self, tasks, runs, records, logs, history):
        """tasks: {number: Planned}; records: {id: Record}; logs: {id: parse_log()}"""
        self.tasks, self.runs, self.records, self.logs, self.history = tasks, runs, records, logs, history
        self.counts, self.problems = Counter(), []
        self.unrecorded, self.overlaps, self.reruns = Counter(), Counter(), Counter()
        self.ids = {}

    def problem(self, text):
        self.counts["problems"] += 1
        if len(self.problems) < 40:
            self.problems.append(text)

    def judge(self):
        self._find_ids()
        for number in self.tasks:
            id = self.ids.get(number)
            if id is None:
                self.counts["lost"] += 1
                self.problem(f"task {number} is not in the queue")
                continue
            runs = self.runs.get(number, [])
            self._match(id, runs)
            self._state(number, id, runs)
            self._recorded(number, id, runs)
            self._overlaps(number, runs)
        self._dependencies()
        return self

    def _find_ids(self):
        for id, record in self.records.items():
            found = re.search(r"chaos(?:_task | number=)(\d+) \S+ \S+$", record.rest.decode(errors="replace"))
            if not found:
                self.problem(f"record {id} is of no task that was loaded")
            elif int(found[1]) in self.ids:
                self.problem(f"task {found[1]} is in the queue twice: {id} and {self.ids[int(found[1])]}")
            else:
                self.ids[int(found[1])] = id

    def _match(self, id, runs):
        """Gives each run its entry, each entry at most one run, latest first: where a number was given out
        twice, the AOF lost the earlier."""
        entries = list(self.logs.get(id, []))
        for run in reversed(runs):
            self.counts["runs"] += 1
            for entry in reversed(entries):
                if entry[0] == run.number_of_try and entry[3] == run.worker:
                    run.entry = entry
                    entries.remove(entry)
                    break
        for entry in entries:
            if entry[1] in ("finished", "failed", "timeout"):
                self.problem(f"task {id}: try {entry[0]} on {entry[3]} is recorded as {entry[1]}, but no such run "
                             "left a mark")
        for run in runs:
            self.counts["ended"] += run.code is not None
            if run.entry is None:
                run.cause = self._cause_without_entry(id, run)
                self.unrecorded[run.cause] += 1
                if run.cause == "unexplained":
                    told = self.history.told.get((id, run.number_of_try, run.worker))
                    self.problem(f"task {id} ({run.number}): try {run.number_of_try} on {run.worker} lived {run.start:.3f}.."
                                 f"{run.end:.3f}, code {run.code}, recorded by its worker's log at {told}; no entry in "
                                 f"its log {self.logs.get(id)}")
            elif run.entry[1] == "finished" and run.code != 0:
                self.problem(f"task {id}: try {run.number_of_try} is recorded as finished, its mark says {run.code}")

    def _cause_without_entry(self, id, run):
        # An end that was not recorded within this time was lost for another reason than a later request.
        if any(run.start - SLACK_S <= when <= run.end + ASKED_S for when in self.history.requeued.get(id, [])):
            return "asked"
        # Its claim, or whatever was recorded of its end, lay in a lost tail.
        if self.history.forgot_start(run) or self.history.forgot(id, run.end, run.end + 3 + SLACK_S):
            return "aof"
        # It ended while Redis was away, and was recorded much later. (Its agent died before it could tell it again.)
        told = self.history.told.get((id, run.number_of_try, run.worker), [])
        if any(self.history.forgot_end(id, run.worker, when) for when in told):
            return "aof"
        log = self.logs.get(id, [])
        if len(log) >= TRIES_KEPT - 1 and run.number_of_try < min(entry[0] for entry in log):
            return "log full"
        return "unexplained"

    def _state(self, number, id, runs):
        record, task = self.records[id], self.tasks[number]
        self.counts[record.state] += 1
        if record.state not in ENDED:
            self.counts["lost"] += 1
            return self.problem(f"task {number} ({id}) is {record.state} at the end")
        asked = id in self.history.cancelled
        if record.state == "cancelled" and not asked:
            self.problem(f"task {number} is cancelled, and nobody asked for it")
        ended_well = any(run.code == 0 for run in runs)
        if record.state == "finished" and not ended_well:
            self.problem(f"task {number} is finished, but no run of it ended with 0")
        if record.state == "finished" and task.kind in ("fail", "hang"):
            self.problem(f"task {number} is finished, but can only fail")
        if record.state == "failed":
            last = self.logs[id][-1] if self.logs.get(id) else None
            if last and last[1] == "dependency":
                self.counts["failed by dependency"] += 1
                if not self._bad_group(task.after):
                    self.problem(f"task {number} failed for its dependency {task.after}, which has not")
            elif task.kind in GOOD:
                self.problem(f"task {number} of kind {task.kind} failed: {self.logs.get(id)}")

    def _bad_group(self, name):
        return any(task.name == name and self.records[self.ids[n]].state != "finished"
                   for n, task in self.tasks.items() if n in self.ids)

    def _recorded(self, number, id, runs):
        entries = self.logs.get(id, [])
        told = [(e[0], e[2]) for e in entries if e[2].strip("0")]  # a lease may end twice over a try that was retaken
        if len(set(told)) != len(told):
            self.counts["recorded twice"] += 1
            self.problem(f"task {number}: one try is recorded twice: {entries}")
        if sum(e[1] == "finished" for e in entries) > 1:
            self.counts["recorded twice"] += 1
            self.problem(f"task {number} is recorded as finished twice: {entries}")
        if self.records[id].state == "finished" and entries and entries[-1][1] != "finished":
            self.problem(f"task {number} is finished, its log ends otherwise: {entries}")
        # It ended well more than once: work that was done again.
        well = [run for run in runs if run.code == 0]
        counted = [run for run in well if run.entry and run.entry[1] == "finished"] or well[-1:]
        for run in well:
            if run is not counted[0]:
                self.reruns[self._fate(id, run)] += 1

    def _fate(self, id, run):
        """Why a run's result did not count, or why another could run beside it."""
        if run.entry is None:
            return run.cause
        outcome, reason = run.entry[1], run.entry[4]
        if outcome == "lost":
            if "lease ended" in reason:
                return "lease"
            return "supervisor" if "supervisor died" in reason else "anew"
        return outcome

    def _overlaps(self, number, runs):
        id = self.ids[number]
        for i, run in enumerate(runs):
            for later in runs[i + 1:]:
                if later.start >= run.end:
                    continue
                cause = self._fate(id, run)
                if cause not in ("lease", "asked", "aof"):
                    # Perhaps the lost tail had the claim of one of them: it was taken back beside the other.
                    if later.cause == "aof" or self.history.forgot_start(later) or self.history.forgot_start(run):
                        cause = "aof"
                    elif self._fate(id, later) in ("lease", "asked"):
                        cause = self._fate(id, later)
                self.overlaps[cause] += 1
                self.counts["overlap_ms"] += int(1000 * (min(run.end, later.end) - later.start))
                if cause not in ("lease", "asked", "aof"):
                    self.problem(
                        f"task {id} ({number}, {self.tasks[number].kind}): try {run.number_of_try} on {run.worker} lived "
                        f"{run.start:.3f}..{run.last:.3f} (daemon {run.daemon_last:.3f}), try {later.number_of_try} on "
                        f"{later.worker} began {later.start:.3f}: {run.entry} {later.entry}")

    def _dependencies(self):
        """Nobody starts before what it waits for has ended well."""
        ended = {}
        for number, task in self.tasks.items():
            if task.name:
                ends = [run.last for run in self.runs.get(number, []) if run.code == 0]
                ended.setdefault(task.name, []).append(min(ends, default=float("inf")))
        for number, task in self.tasks.items():
            for run in self.runs.get(number, []) if task.after else ():
                if run.start < max(ended[task.after]):
                    self.problem(f"task {number} started at {run.start:.3f}, before {task.after} had ended")


def recorded_in_logs(stations, history, wall_to_mono):
    """Tries whose end was answered `recorded` more than once, from the workers' own logs: right only when the AOF
    lost the first. Returns (explained, unexplained, events), and fills history.told."""
    seen, events, explained, bad = {}, Counter(), 0, []
    for station in stations:
        for entry in station.worker.events():
            event = entry.get("event")
            if event in EVENTS:
                events[event if event != "report_refused" else f"report_refused {entry.get('answer')}"] += 1
            if event != "task_end" or entry.get("answer") != "recorded":
                continue
            when = wall_to_mono(entry["time"])
            history.told.setdefault((entry["task"], entry["try"], station.name), []).append(when)
            if entry.get("outcome") == "finished":
                seen.setdefault(entry["task"], []).append((when, entry["try"], station.name))
    for task, ends in seen.items():
        ends.sort()
        for first, second in zip(ends, ends[1:]):
            # What was read late may have been answered before the other, and then be what was forgotten.
            if history.forgot_end(task, first[2], first[0]) or history.answered(second[2], second[0]) < first[0] and \
                    history.forgot_end(task, second[2], second[0]):
                explained += 1
            else:
                bad.append(f"task {task} was recorded as finished twice: {first} {second}")
    return explained, bad, events
