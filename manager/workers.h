/*
 * workers.h - a worker as people see it: its registration, and the JSON that it wrote, read.
 */
#ifndef DISTCOMP_MANAGER_WORKERS_H
#define DISTCOMP_MANAGER_WORKERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/store.h"

struct worker_view {
    char *name;
    const char *host;                   /* "?" when it is not told */
    const char *state;                  /* run, drain, stop, return, paused, lost */
    const char *want, *reason, *labels; /* "" for nothing; reason: why it is paused */
    uint64_t report_ms, now_ms;
    uint64_t mcpu, mcpu_promised;
    uint64_t mem, mem_promised, mem_available, mem_used; /* bytes; used: by running tasks */
    uint64_t mem_most_used; /* by all tasks that ran together at any time since its agent started */
    uint64_t gpus, gpu_mpromised;    /* cards; thousandths of them that are promised */
    uint64_t held, finished, failed; /* tasks */
    bool live, idle;
    const struct store_reservation *reserved; /* borrowed; NULL: it is not kept free for a task */
    json_t *info, *stats;                     /* owned; host, … borrow from them */
    char *own_want;                           /* owned */
};

/* reserved: who is kept free for what, which must outlive the view; or NULL when it does not
 * matter.
 */
void worker_view_init(struct worker_view *view, const struct store_worker *worker,
                      const struct store_reservations *reserved);
void worker_view_free(struct worker_view *view);

/* A worker's JSON: everything, with info and stats as it wrote them. A new reference. */
json_t *worker_view_json(const struct worker_view *view);

#endif
