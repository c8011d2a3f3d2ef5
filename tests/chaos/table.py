"""What a run of chaos prints, in the form in which docs/reliability.md has it."""
from dataclasses import dataclass


@dataclass
class Result:
    seed: int
    seconds: float
    settled: float
    workers: int
    total: int
    native: int
    acts: object
    verdict: object
    loader: object
    gone: list
    again_after_cut: int
    events: dict
    left: int


def listed(counter):
    return ", ".join(f"{name} {n}" for name, n in sorted(counter.items(), key=lambda i: -i[1]) if n) or "none"


def rows(r):
    v, a = r.verdict, r.acts
    counts = v.counts
    lost_s = sum(cut.until - cut.since for cut in a.cuts)
    yield "seed, duration", f"{r.seed}, {r.seconds:.0f} s + {r.settled or 0:.0f} s to settle, {r.workers} workers"
    yield "SIGKILLs", f"{sum(a.kills.values())}: {listed(a.kills)}"
    yield "AOF tails cut off", (f"{len(a.cuts)} ({lost_s:.1f} s, {sum(c.records for c in a.cuts)} records, "
                                f"{sum(c.torn for c in a.cuts)} torn); {a.copies} copies checked")
    rest = {name: n for name, n in a.done.items() if not name.startswith("kill")}
    yield "other acts", listed(rest)
    yield "acts that found nobody", str(sum(a.skipped.values()))
    yield "clock steps of Redis", (f"{len(a.steps)}, {min(a.steps):+.1f} to {max(a.steps):+.1f} s" if a.steps else "none")
    yield "loads", f"{r.loader.loads}, of which Redis was away for {r.loader.failures}"
    yield "tasks", (f"{r.total}, {r.native} of them native: finished {counts['finished']}, failed {counts['failed']} (by a dependency "
                    f"{counts['failed by dependency']}), cancelled {counts['cancelled']}")
    yield "runs (start marks)", f"{counts['runs']}, of which {counts['ended']} came to their end"
    yield "runs without an entry in the log", listed(v.unrecorded)
    yield "overlapping runs of one task", f"{sum(v.overlaps.values())}: {listed(v.overlaps)}; {counts['overlap_ms']} ms in all"
    yield "ended well and run again", f"{sum(v.reruns.values())}: {listed(v.reruns)}"
    yield "recorded again after a lost tail", str(r.again_after_cut)
    yield "stale reports refused", str(r.events.get("report_refused stale", 0))
    yield "taken over by a new agent", str(r.events.get("task_taken_over", 0))
    yield "retaken after lease or lost tail", str(r.events.get("task_retaken", 0))
    yield "workers that left by themselves", str(len(r.gone))
    yield "processes left", str(r.left)
    yield "**recorded twice**", str(counts["recorded twice"])
    yield "**lost**", str(counts["lost"])
    yield "unexplained", str(counts["problems"])


def render(result):
    return "\n".join(["| | |", "| --- | --- |"] + [f"| {name} | {value} |" for name, value in rows(result)])
