/*
 * store.h - the queue in Redis, as typed operations that wait for their answer. For the manager;
 * the worker's agent, which must not wait, uses common/claimops.h.
 *
 * Every function that returns bool gives true on success; on failure it has appended one line to
 * `error` that says what was wrong and what to do. A struct store is used by one thread.
 * Ids are arrays of TASK_ID_LEN + 1 characters. Times are Redis' Unix milliseconds.
 */
#ifndef DISTCOMP_STORE_H
#define DISTCOMP_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "common/buf.h"
#include "common/cmd.h"
#include "common/config.h"
#include "common/link.h"
#include "common/peaks.h"
#include "common/task.h"
#include "common/trylog.h"

#define STORE_BATCH 500 /* ids a call may carry */

typedef char task_id_t[TASK_ID_LEN + 1];

struct store {
    struct link *link;   /* owned */
    char *queue;         /* name, owned */
    char *queue_key;     /* distcomp:{NAME}, owned */
    struct cmd cmd;      /* scratch */
    uint32_t max_losses; /* from the configuration, for store_maintain */
    uint64_t keep_finished, keep_finished_ms,
        keep_output_bytes;  /* the latter 0: not looked up yet */
    uint32_t wait_replicas; /* that must have a load before it is acknowledged */
};

bool store_open(struct store *store, const struct config *config, struct buf *error);
void store_close(struct store *store);

/* Runs store->cmd and returns its answer (freeReplyObject), or NULL with an error. */
redisReply *store_run(struct store *store, struct buf *error);
/* Sends store->cmd without waiting; answers come in order from store_reply. */
bool store_send(struct store *store, struct buf *error);
redisReply *store_reply(struct store *store, struct buf *error);

/* --- the queue as a whole ------------------------------------------------------------------- */

struct store_counts {
    uint64_t state[TASK_STATE_COUNT]; /* tasks, by enum task_state */
    uint64_t stale, losses,
        discarded; /* reports of an old token; tasks lost with a worker; stale hints */
    uint64_t output_bytes;
    uint64_t live_workers;
    uint64_t loads_open;
};
bool store_counts(struct store *store, struct store_counts *counts, struct buf *error);

/* Empties the queue. *running > 0 and nothing done when tasks run and !force. */
bool store_init(struct store *store, bool force, uint64_t *removed, uint64_t *running,
                struct buf *error);

/* One bounded piece of due work; *due_ms as maintain.lua says (0: call again, -1: nothing). */
bool store_maintain(struct store *store, int64_t *due_ms, struct buf *error);

/* --- groups (names) ----------------------------------------------------------------------------
 */

struct store_group {
    bool known;
    bool open; /* a load that brings tasks of this name has not ended */
    uint32_t total, pending, finished, failed, cancelled;
};
bool store_group(struct store *store, const char *name, struct store_group *group,
                 struct buf *error);
/* exists[i]: whether the queue has refs[i], n:NAME or t:ID. Any number; a round trip for
 * STORE_BATCH. */
bool store_refs_exist(struct store *store, const char *const *refs, const size_t *lens,
                      size_t count, bool *exists, struct buf *error);

/* --- loading ------------------------------------------------------------------------------------
 */

struct load_counts {
    uint64_t new_tasks, known, updated, duplicate, failed, retried;
};

/*
 * A load: store_load_begin, store_load_add for every task, store_load_end. Batches are pipelined,
 * and memory is bounded by the window (a few MiB). A load that is not ended leaves whole tasks
 * only; its names stay open until the same load is repeated, or cleanup.
 */
struct store_load;
struct store_load *store_load_begin(struct store *store, bool retry_failed, struct buf *error);
/* What after= names is then looked up there (a check's refs_settle); refs is borrowed. */
struct refs;
void store_load_use_refs(struct store_load *load, struct refs *refs);
bool store_load_add(struct store_load *load, const struct task *task, struct buf *error);
/* Counts so far, of the batches that Redis has acknowledged. */
struct load_counts store_load_counts(const struct store_load *load);
/* Sends what is left, waits for all answers, closes the names; frees load, also on failure. */
bool store_load_end(struct store_load *load, struct load_counts *counts, struct buf *error);
void store_load_abandon(struct store_load *load);

/* --- looking at tasks ---------------------------------------------------------------------------
 */

struct store_task {
    task_id_t id;
    struct task_head head;
    struct task task;    /* borrows from the page */
    struct slice log;    /* try log, when asked for */
    struct slice output; /* packed output (task_output_unpack), when asked for */
    bool has_output;     /* there was one, though it may have been dropped (then output.len is 0) */
    struct slice worker; /* that runs it, for in_progress ones when asked for; else empty */
};

#define STORE_WITH_LOG    1u
#define STORE_WITH_OUTPUT 2u
#define STORE_WITH_WORKER 4u

/* Which tasks to walk through. Each is read in pages; none is ever held whole. */
enum store_source {
    STORE_ALL,         /* in no order */
    STORE_IN_PROGRESS, /* in no order */
    STORE_FAILED,      /* in no order */
    STORE_FINISHED,    /* as they finished */
    STORE_TODO         /* as they will be claimed */
};

/*
 * Calls each(task, arg) for every task of a source, until it returns false. What it gets is
 * borrowed for the call. Tasks that change state while this goes on may be missed or seen twice;
 * none is seen in a state that it did not have. Returns false only for errors.
 */
typedef bool store_each(const struct store_task *task, void *arg);
bool store_walk(struct store *store, enum store_source source, unsigned with, store_each *each,
                void *arg, struct buf *error);
/* The same for given ids; unknown ones are skipped. */
bool store_walk_ids(struct store *store, task_id_t *ids, size_t count, unsigned with,
                    store_each *each, void *arg, struct buf *error);

/* Everything about one task. Call store_detail_free. False without an error text: no such task. */
struct store_detail {
    redisReply *replies[9]; /* what the slices borrow from */
    struct store_task task;
    struct slice after;  /* its references, a line each: a|e, n|t, ':', name or id */
    int64_t unresolved;  /* of them, -1 when not waiting */
    uint64_t due_ms;     /* delayed: when it goes back to todo */
    uint64_t started_ms; /* in progress: when it was claimed */
    struct slice stats;  /* in progress: what its worker reported last, JSON */
    uint64_t now_ms;     /* Redis time of the answer */
};
bool store_detail(struct store *store, const char *id, struct store_detail *detail,
                  struct buf *error);
void store_detail_free(struct store_detail *detail);
/* The ids that begin with prefix, at most `most`; walks all tasks unless prefix is a whole id. */
bool store_find_prefix(struct store *store, const char *prefix, task_id_t *ids, size_t most,
                       size_t *found, struct buf *error);

/* --- changing tasks -----------------------------------------------------------------------------
 */

enum store_change {
    CHANGE_CANCEL,
    CHANGE_HOLD,
    CHANGE_RELEASE,
    CHANGE_PRIORITY, /* arg: the priority in decimal */
    CHANGE_RETRY,    /* failed and cancelled ones to todo */
    CHANGE_REQUEUE,  /* running ones to todo, whoever has them */
    CHANGE_FORGET    /* arg: states, "finished" or "finished,failed,cancelled" */
};
struct change_counts {
    uint64_t changed;
    uint64_t requested; /* CHANGE_CANCEL: running ones that were asked to end */
    uint64_t skipped;   /* not in a state for it, or not there */
};
/* Adds to *counts. Any number of ids; they go in batches of STORE_BATCH. */
bool store_change(struct store *store, enum store_change change, const char *arg, task_id_t *ids,
                  size_t count, struct change_counts *counts, struct buf *error);

/* --- workers
 * -------------------------------------------------------------------------------------- */

struct store_worker {
    struct slice name, want, state; /* state: "lost" or empty */
    struct slice info, stats; /* JSON that the worker wrote at start and with its last report */
    uint64_t report_ms;       /* Redis time of its last report */
    uint64_t lease_end_ms;    /* 0: no lease */
    uint64_t held, finished, failed; /* tasks */
    uint64_t now_ms;
    bool idle; /* waits for work */
};
typedef bool store_each_worker(const struct store_worker *worker, void *arg);
bool store_walk_workers(struct store *store, store_each_worker *each, void *arg, struct buf *error);
/* Asks workers to "run", "drain" or "stop"; answers[i] is "ok", "lost" or "unknown" (static). */
bool store_want(struct store *store, const char *want, const char *const *names, size_t count,
                const char **answers, struct buf *error);

/* --- families of tasks (docs/memory.md)
 * --------------------------------------------------------- */

struct store_family {
    struct slice digest, key; /* key: as people see it (family.h) */
    struct peaks peaks;
    uint64_t request_bytes; /* what the last counted task with a written min_dram asked for; or 0 */
    uint64_t seen_ms;       /* when its peaks were last counted */
};
/* Those counted last come first; at most `most` of them, 0: all. */
typedef bool store_each_family(const struct store_family *family, void *arg);
bool store_walk_families(struct store *store, uint64_t most, store_each_family *each, void *arg,
                         struct buf *error);

/* A worker that takes nothing which would delay a large task that waits for it. */
struct store_reservation {
    task_id_t id;
    char *worker; /* owned */
    uint32_t priority;
    uint64_t loaded_ms; /* of the task */
    uint64_t since_ms;  /* when the task was first seen to be passed over, Redis time */
    uint64_t owned_ms;  /* when the worker was chosen */
};
#define STORE_RESERVATIONS 32
struct store_reservations {
    struct store_reservation list[STORE_RESERVATIONS];
    size_t count;
    uint64_t now_ms; /* Redis time of the answer */
};
/* Those that are in force: call store_reservations_free, unless it failed. */
bool store_reservations(struct store *store, struct store_reservations *all, struct buf *error);
void store_reservations_free(struct store_reservations *all);
/* What a worker is kept free for, or NULL. Borrowed from `all`. */
const struct store_reservation *store_reservation_of(const struct store_reservations *all,
                                                     const char *worker);

/* --- repair
 * ---------------------------------------------------------------------------------------- */

struct cleanup_counts {
    uint64_t leases_ended; /* tasks taken from workers whose lease was over */
    uint64_t workers_forgotten;
    uint64_t loads_closed; /* loads without a sign of life for a minute */
};
bool store_cleanup(struct store *store, struct cleanup_counts *counts, struct buf *error);

#endif
