/*
 * launch.h - from a task to what the supervisor starts. Pure: fills a START frame, touches nothing.
 */
#ifndef DISTCOMP_LAUNCH_H
#define DISTCOMP_LAUNCH_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/config.h"
#include "worker/cgroup.h"
#include "worker/kernels.h"
#include "worker/run.h"

/* Longest single argument that Linux takes (MAX_ARG_STRLEN, its NUL included). */
#define LAUNCH_ARGUMENT_MAX (128u * 1024u)

struct launch {
    struct wire_start head;
    struct buf tail;   /* what follows head in the frame */
    struct buf script; /* not empty: the command is too long for an argument, and must be in the
                          file script_path before the frame is sent */
};

/* What the agent adds to the task's own wishes; all zero: nothing. */
struct launch_extra {
    const struct cgroup_entry *entry; /* as cgroup_begin filled it; NULL: no cgroup */
    uint64_t data_bytes;              /* RLIMIT_DATA (limits.h); 0: none */
    int32_t oom_score_adj;            /* 0 leaves it alone */
    uint32_t wire_version;            /* what the supervisor speaks (WIRE_WELCOME) */
    const struct kernels *kernels;    /* for native tasks; NULL: there are none */
    uint32_t host_most;               /* struct wire_host's `most` */
    const char *redis_url;            /* likewise; NULL or "": not known */
};

/* Whether a supervisor of that version can confine tasks: without, a worker offers neither
 * limit=hard nor pin=, and cgroups stay unused. */
bool launch_confines(uint32_t wire_version);
/* Whether it can keep hosts: without, a worker offers no kernels. */
bool launch_hosts(uint32_t wire_version);

/* Remembers which thread counts the worker's own environment sets. Done by the first launch_make
 * where it was not done before. */
void launch_read_environment(void);

/*
 * shell: /bin/sh -c PARAMS, or directly when that is the same (worker/plaincmd.h). python: the
 * configured interpreter with PARAMS split into words. native: a host, with run->host_key, and
 * PARAMS as its third argument, or, when they are long, "@SCRIPT_PATH" (hostwire.h); it has further
 * variables (docs/kernels.md), and no cards but those that it was given. Environment:
 * DISTCOMP_TASK_ID, _TRY, _WORKER, _QUEUE, _COOKIE, _REPEAT and, of a task that was given cards,
 * CUDA_VISIBLE_DEVICES, which the task cannot set; the task's own env; and thread counts from
 * min_cpu, or from how many CPUs it is pinned to, unless the worker's environment or the task sets
 * them. A task that asks for no card sees those that the worker sees. CPUs and cards are those of
 * run->placement. Returns false with an error when the task cannot be started by this worker (a
 * quote without its end, longer than a frame takes, or limited by a supervisor that cannot).
 */
bool launch_make(struct launch *launch, const struct run *run, const struct config *config,
                 const struct launch_extra *extra, const char *script_path, struct buf *error);
void launch_free(struct launch *launch);

#endif
