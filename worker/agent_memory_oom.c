#include "worker/agent_memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "worker/agent_state.h"
#include "worker/procfile.h"

/* oom_score_adj: thousandths of all memory that a process counts for, on top of what it uses. */
enum {
    AGENT = -900,    /* where it may: after everybody else */
    OLDEST = 500,    /* of many tries, the first; all are taken before other programs */
    NEWEST = 999,    /* the last started */
    STEP = 16,       /* not written anew for less */
    PIDS_MOST = 256, /* of one try */
    SHORT_MS = 5000  /* so long after memory was short the kernel may have killed for it */
};

static void write_score(int32_t pid, int score) {
    char path[64], text[16];
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)pid);
    snprintf(text, sizeof text, "%d", score);
    procfile_write(AT_FDCWD, path, text); /* a wish: it may have ended, or be another user's */
}

static int read_score(int32_t pid) {
    char path[64], text[32];
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)pid);
    return procfile_read(AT_FDCWD, path, text, sizeof text) > 0 ? (int)strtol(text, NULL, 10) : 0;
}

void memory_oom_protect(struct agent *a) {
    int32_t self = (int32_t)getpid();
    if (read_score(self) > AGENT)
        write_score(self, AGENT);
    a->memory.oom_always = read_score((int32_t)a->supervisor_pid) < 0;
}

int memory_oom_start(const struct agent *a) {
    return memory_short_tasks(a) && !a->memory.oom_always ? 0 : NEWEST;
}

int memory_oom_rank(size_t younger, size_t running) {
    if (running < 2 || younger >= running)
        return running < 2 ? NEWEST : OLDEST;
    return OLDEST + (int)((NEWEST - OLDEST) * (running - 1 - younger) / (running - 1));
}

/* Children that were born before keep what they have inherited: they are set as soon as they are
 * known. */
static void set_score(struct agent *a, struct run *run, int score) {
    int32_t pids[PIDS_MOST] = {run->pid};
    size_t count = 1;
    if (run->memory.measured)
        count = usage_pids(a->memory.usage, run->slot, pids, PIDS_MOST);
    for (size_t i = 0; i < count && i < PIDS_MOST; i++)
        write_score(pids[i], score);
    run->memory.oom_score_adj = score;
    run->memory.oom_whole = run->memory.measured;
}

void memory_oom_order(struct agent *a) {
    size_t running = a->runs.lists[RUN_STARTED].count, younger = running;
    for (struct run *run = a->runs.lists[RUN_STARTED].first; run; run = run->next) {
        int score = memory_oom_rank(--younger, running), now = run->memory.oom_score_adj;
        bool whole = run->memory.oom_whole || !run->memory.measured || score == NEWEST;
        if (run->pid > 0 && (abs(score - now) >= STEP || !whole))
            set_score(a, run, score);
    }
}

void memory_oom_read(struct agent *a) {
    a->memory.kills = oom_count("");
    a->memory.kills_read = mono_now();
}

enum oom_verdict memory_oom_judge(struct agent *a, const struct run *run) {
    struct agent_memory *m = &a->memory;
    bool grouped = run->memory.in_cgroup;
    bool limited = run->memory.adopted && run->placement && run->placement->limit_bytes;
    struct oom_evidence e = {
        .status = run->exit.status,
        .ours = run->exit.why != WIRE_WHY_NONE || run->exit.spawn_errno,
        .slot_kills = grouped ? cgroup_oom_kills(m->cgroups, run->slot) : 0,
        .at_start = run->memory.kills,
        .at_end = {UINT64_MAX, UINT64_MAX},
        .was_short = true,
    };
    /* The counts cost more than all the rest: they are read only when they can matter. */
    if (oom_judge(&e) == OOM_NO)
        return OOM_NO;
    /* What an earlier agent has limited is not known to have met that; it is the likelier cause. */
    e.limit_met = limited || (grouped && cgroup_limit_met(m->cgroups, run->slot));
    if (e.slot_kills == 0)
        memory_oom_read(a);
    e.at_end = m->kills;
    e.was_short = m->short_at.ms && mono_diff(mono_now(), m->short_at) < SHORT_MS;
    return oom_judge(&e);
}
