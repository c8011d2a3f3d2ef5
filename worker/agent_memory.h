/*
 * agent_memory.h - the memory of running tries: measured, watched, given back. docs/memory.md says
 * why; the decisions are in memroom.h, memrate.h, evict.h and oomkill.h, this is what feeds them
 * and does what they say. Only worker/agent*.c include it.
 *
 *   agent_memory.c       what tries use: from START to EXIT, the sample each second, the room
 *   agent_memory_watch.c when to look; below the trigger, who goes back: idle hosts first
 *   agent_memory_oom.c   the kernel's killer: whom it should take, and whom it took
 *
 *     claim ─► memory_starts ─► START ─► STARTED ─► memory_started
 *                                                      │  once a turn: memory_step
 *                                                      ▼
 *     no try runs: asleep ◄──► a look each 5 to 250 ms, at once when the kernel tells
 *                               │ each second: all are sampled, oom_score_adj follows their order
 *                               └ available < trigger: all are measured, evict_choose names,
 * WIRE_KILL EXIT ─► memory_ends: last reading, peak, whether the kernel killed it
 *
 * SHORT TASKS cost nothing here but a few words of memory: a try is given to usage.h at the first
 * sample that finds it SETTLED_MS old, and gets no cgroup while tasks last less than
 * ADMISSION's AHEAD_MS on average.
 *
 * WITHOUT cgroups, PSI or root everything works by processes and the timer; without /proc nothing
 * is measured: a try then counts for what it is promised, and none is given back but by what the
 * machine has available.
 */
#ifndef DISTCOMP_AGENT_MEMORY_H
#define DISTCOMP_AGENT_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <uv.h>

#include "worker/cgroup.h"
#include "worker/memrate.h"
#include "worker/memroom.h"
#include "worker/oomkill.h"
#include "worker/pressure.h"
#include "worker/run.h"
#include "worker/usage.h"

struct agent;

struct memory_poll; /* agent_memory_watch.c */

struct agent_memory {
    struct cgroups *cgroups;
    struct usage *usage;    /* NULL before WELCOME */
    uint64_t machine_bytes; /* available, as it was read last */
    mono_ms_t machine_read;
    uint64_t available_bytes; /* memroom_available, at the last look */
    mono_ms_t sampled;        /* all of them; .ms 0: not since it awoke */
    uint64_t most_used_bytes; /* by all tries together, in any sample of this agent */

    bool awake; /* tries run, and it looks */
    uv_timer_t timer;
    struct memrate rate;
    mono_ms_t looked;
    uint64_t seen_order; /* of the last start that the timer knows of */
    struct pressure pressure;
    uint64_t pressure_trigger; /* what they were opened for */
    struct memory_poll *polls;

    bool oom_always;     /* the supervisor's own oom_score_adj is below 0 */
    uint64_t idle_bytes; /* of idle hosts, as they were read last */
    mono_ms_t idle_read;
    uint64_t dismissed_bytes; /* of idle hosts that were sent away for want of memory, */
    mono_ms_t dismissed;      /* and when */

    struct oom_count kills;
    mono_ms_t kills_read;
    mono_ms_t short_at; /* memory was short; .ms 0: never */
};

/* --- agent_memory.c --- */
void memory_open(struct agent *a); /* at WELCOME: slots and supervisor are known */
/* nothing_runs: the cgroups go, too. */
void memory_close(struct agent *a, bool nothing_runs);
/* The supervisor is dead: kills what the cgroups still hold. */
void memory_kill_all(struct agent *a);

/* Before its START, in its slot: the cgroup it is to be born in, or an empty entry. False, with a
 * message: a limit was asked for that no cgroup can set; without limits it is always true. */
bool memory_starts(struct agent *a, struct run *run, const struct cgroup_limits *limits,
                   struct cgroup_entry *entry, struct buf *error);
void memory_started(struct agent *a, struct run *run); /* its pid is known; adopted ones too */
void memory_ends(struct agent *a, struct run *run);    /* run->exit is filled */

/* What is left for tasks that start now: with what idle hosts have, which go when it is needed. */
uint64_t memory_room(struct agent *a);
/* Available memory of the machine, at most a few ms old; `fresh`: not older than this call. */
uint64_t memory_machine(struct agent *a, bool fresh);
/* What idle hosts have; but for `fresh` at most a second old. */
uint64_t memory_idle(struct agent *a, bool fresh);
/* Over the running tries. */
struct memroom_sum memory_sum(const struct agent *a);
struct memroom_limits memory_limits(const struct agent *a);
uint64_t memory_used(const struct agent *a, const struct run *run);
/* What comes back when it ends: what it uses or what is held for it, if that is more. */
uint64_t memory_frees(const struct agent *a, const struct run *run);
/* Measures all tries that have settled; `all`: those that have just begun, too. */
void memory_sample(struct agent *a, bool all);

/* Tasks last so short that what a start costs is what counts. */
bool memory_short_tasks(const struct agent *a);

/* For checkWorker: adds mem_available, mem_used, mem_held, use. */
void memory_stats(const struct agent *a, json_t *stats);

/* --- agent_memory_watch.c --- */
void memory_watch_open(struct agent *a);
void memory_watch_close(struct agent *a);
void memory_watch_trigger(struct agent *a); /* it may have changed */
/* Once a turn of the loop. */
void memory_step(struct agent *a);

/* --- agent_memory_oom.c --- */
/*
 * Protects the agent, where it may. The supervisor is left as it is, since tasks inherit from it:
 * it is small, and all tasks that last are told to be taken before it. Where somebody has protected
 * it, no task may start without a value of its own.
 */
void memory_oom_protect(struct agent *a);
/* oom_score_adj of a try that starts now; 0: not worth the system calls. */
int memory_oom_start(const struct agent *a);
/* That of the one that `younger` of `running` tries were started after: less the older it is. */
int memory_oom_rank(size_t younger, size_t running);
/* Sets it for all that run. */
void memory_oom_order(struct agent *a);
void memory_oom_read(struct agent *a); /* the kernel's counts, before a start */
enum oom_verdict memory_oom_judge(struct agent *a, const struct run *run);

#endif
