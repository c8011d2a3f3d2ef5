/*
 * launch.h - from a task to what the supervisor starts. Pure: fills a START frame, touches nothing.
 */
#ifndef DISTCOMP_LAUNCH_H
#define DISTCOMP_LAUNCH_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/config.h"
#include "worker/run.h"

/* Longest single argument that Linux takes (MAX_ARG_STRLEN, its NUL included). */
#define LAUNCH_ARGUMENT_MAX (128u * 1024u)

struct launch {
    struct wire_start head;
    struct buf tail;   /* note, cwd, strings: follows head in the frame */
    struct buf script; /* not empty: the command is too long for an argument, and must be in the
                          file script_path before the frame is sent */
};

/*
 * shell: /bin/sh -c PARAMS, or directly when that is the same (worker/plaincmd.h). python: the
 * configured interpreter with PARAMS split into words. Environment: DISTCOMP_TASK_ID, _TRY,
 * _WORKER, _QUEUE, _COOKIE, _REPEAT, which the task cannot set; the task's own env; and thread
 * counts from min_cpu unless the worker's environment or the task sets them. Returns false with an
 * error when the task cannot be started by this worker (a quote without its end, or longer than a
 * frame takes).
 */
bool launch_make(struct launch *launch, const struct run *run, const struct config *config,
                 const char *script_path, struct buf *error);
void launch_free(struct launch *launch);

#endif
