/*
 * workers.h - what the live workers of a queue offer, for a plan's size.
 */
#ifndef DISTCOMP_KERNEL_PLAN_WORKERS_H
#define DISTCOMP_KERNEL_PLAN_WORKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/config.h"

struct workers {
    size_t live;
    uint64_t cores;      /* of all; a worker with a part of one counts as one */
    uint64_t core_bytes; /* memory for a task of one core on the worker that has least */
};

/* Asks the queue. No live worker is no error. */
bool workers_look(const struct config *config, struct workers *workers, struct buf *error);
/* Whether somebody has said where the queue is: a flag, the environment, conf.json or redis.sh. */
bool workers_known(const struct config *config);

#endif
