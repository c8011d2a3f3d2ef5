/*
 * run.h - one try of one task, as the agent follows it.
 *
 *   READY ──start──► STARTED ──EXIT──► ENDED ──report sent──► REPORTING ──answer──► (ACK, freed)
 *     └──────── released ───────────────▲                          │ lost answer
 *                                       └──────────────────────────┘
 *
 * READY: claimed, and waits for room (claiming ahead). STARTED: the supervisor has it, in a slot.
 * ENDED: the result waits to be reported; its output is still in the slot's files. Only the
 * functions here change a state. A run that the queue gave to somebody else is `stale`: it is
 * ended, and nothing is reported.
 */
#ifndef DISTCOMP_RUN_H
#define DISTCOMP_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/family.h"
#include "common/task.h"
#include "common/trylog.h"
#include "worker/oomkill.h"
#include "worker/placement.h"
#include "worker/wire.h"

enum run_state { RUN_READY, RUN_STARTED, RUN_ENDED, RUN_REPORTING, RUN_STATES };
#define RUN_NO_SLOT UINT32_MAX

struct result; /* worker/result.h */

enum output_mode { OUTPUT_AUTO, OUTPUT_KEEP, OUTPUT_REDIS };

enum run_fate {
    RUN_RAN,      /* the supervisor told its exit */
    RUN_RELEASED, /* it never started, and goes back to todo uncounted */
    RUN_LOST,     /* its supervisor died */
    RUN_REFUSED   /* this worker cannot start it: start_error says why; ends as exit code 126 */
};

/* What agent_memory.h keeps with a try from its start on. */
struct run_memory {
    uint64_t order;                   /* of starts: a later one has a larger number */
    mono_ms_t started;                /* one that was taken over: when it really was */
    bool adopted;                     /* an earlier agent started it */
    bool in_cgroup;                   /* its START named a cgroup */
    bool measured;                    /* usage.h knows it */
    struct oom_count kills;           /* of the kernel, before its start */
    int oom_score_adj;                /* as it was set last; 0: not yet */
    bool oom_whole;                   /* for its children as well */
    enum wire_why end_why;            /* the agent asked to end it; WIRE_WHY_NONE: it did not */
    mono_ms_t end_asked;              /* when, last, */
    uint64_t end_grace_ms;            /* and how long after that it is killed */
    uint64_t end_used_bytes;          /* what it used when it was first asked */
    uint64_t peak_bytes;              /* from ENDED on: the most that is known of; 0: nothing */
    uint64_t read_bytes, write_bytes; /* from ENDED on: storage, as it was measured last */
    enum oom_verdict verdict;         /* from ENDED on */
};

struct run {
    enum run_state state;
    struct run *next, *prev; /* in the list of its state, oldest first */
    /* From the claim; also what the note carries through an agent's restart. */
    char id[TASK_ID_LEN + 1];
    char nonce[NONCE_LEN + 1];
    uint16_t try_number;
    uint16_t failures;   /* before this try */
    uint64_t loaded;     /* of the record: tells a task from one that was removed; 0: not known */
    uint32_t retries;    /* failed tries in all that the task allows; 0: the configuration's */
    uint64_t backoff_ms; /* UINT64_MAX: the configuration's */
    uint64_t mem_bytes;  /* promised */
    uint64_t held_bytes; /* of it, kept for the try while it runs (memroom.h) */
    bool mem_auto;       /* min_dram=auto */
    uint32_t mcpu;
    char family[FAMILY_KEY_MAX + 1]; /* "" of one whose note was written before there were any */
    uint64_t timeout_ms; /* UINT64_MAX: the configuration's; not known of one that was taken over */
    enum output_mode output;
    struct placement *placement; /* cards, CPUs and hard limits; NULL for most. Owned */
    bool native;
    bool has_host;        /* NATIVE: counted in runs.natives */
    uint64_t environment; /* NATIVE: hostkey_environment; not known of one that was taken over */
    uint64_t host_key;    /* likewise: hostkey, from its start on */
    /* While READY: the record, decoded again at start. Freed then. */
    struct buf record;
    mono_ms_t claimed; /* one that was taken over: when it was started */
    /* From STARTED on. */
    uint32_t slot;
    uint32_t files; /* where its output is (struct wire_files) */
    int32_t pid;
    bool stale;
    bool cancelled; /* a kill for cancelTask was sent */
    struct run_memory memory;
    struct wire_exit exit; /* from ENDED on; slot RUN_NO_SLOT when it never started */
    enum run_fate fate;    /* how it came to be ENDED */
    char *start_error;     /* REFUSED: owned */
    bool in_supervisor;    /* its START was sent: its slot needs an ACK */
    mono_ms_t not_before;  /* ENDED: a report that failed waits until then */
    struct result
        *kept; /* ENDED: the result of a report without an answer, to be sent again; owned */
};

struct run_list {
    struct run *first, *last;
    size_t count;
};

/* All runs of a worker, by state, and the supervisor's slots. */
struct runs {
    struct run_list lists[RUN_STATES];
    struct run **slots; /* capacity entries, NULL: free */
    uint32_t capacity;
    uint32_t *free_slots; /* a stack */
    uint32_t free_count;
    size_t natives; /* that have a host: STARTED, or with output that waits for ACK */
    uint64_t started_mem_bytes;
    uint64_t started_mcpu;
    uint64_t last_order; /* of starts */
};

void runs_init(struct runs *runs, uint32_t capacity);
void runs_free(struct runs *runs);

/* What a task with min_dram=auto is promised, and what of that is held. */
struct run_share {
    uint64_t need_bytes, hold_bytes;
};
/* A new run from a claimed task, READY. NULL when the record cannot be read. */
struct run *run_add(struct runs *runs, const char *id, const char *nonce, struct slice record,
                    struct run_share share);
/* A run that the supervisor already has, from its note. NULL when the note cannot be read. */
struct run *run_adopt(struct runs *runs, const struct wire_task *task, const char *note);
/* Keeps a slot out of use: the supervisor has a try in it that run_adopt did not understand. */
void runs_block(struct runs *runs, uint32_t slot);
/* That try has ended: its slot may be used again. False when it was not blocked. */
bool runs_unblock(struct runs *runs, uint32_t slot);
/* Takes a free slot for a READY run: STARTED. False when there is none. */
bool run_start(struct runs *runs, struct run *run);
/* The supervisor was told to end it, and to kill it after so long; told again, the earlier counts.
 */
void run_end_asked(struct run *run, enum wire_why why, uint64_t grace_ms);
void run_end(struct runs *runs, struct run *run, const struct wire_exit *how);
/* Ends it without an exit: a READY one goes back, a STARTED one lost its supervisor. */
void run_give_up(struct runs *runs, struct run *run, enum run_fate fate);
void run_report(struct runs *runs, struct run *run);   /* ENDED -> REPORTING */
void run_unreport(struct runs *runs, struct run *run); /* the answer was lost: back to ENDED */
/* Forgets it; its slot is free again. */
void run_remove(struct runs *runs, struct run *run);

struct run *runs_in_slot(const struct runs *runs, uint32_t slot); /* or NULL */
/* The run of this id in a state before its report, or NULL. Linear: for rare use. */
struct run *runs_find(const struct runs *runs, const char *id);
/* How many the queue believes this worker holds, once the reports under way are in, and their
 * digest. */
size_t runs_held(const struct runs *runs, uint64_t *digest);

/* What the supervisor keeps for us: everything above "While READY" but the timeout. Appends at
 * most WIRE_NOTE_MAX. */
void run_note(const struct run *run, struct buf *out);

#endif
