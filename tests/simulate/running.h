/*
 * running.h - the memory of one try on the simulated machine, from its start until the last byte is
 * free. Times are microseconds of the virtual clock.
 */
#ifndef DISTCOMP_SIMULATE_RUNNING_H
#define DISTCOMP_SIMULATE_RUNNING_H

#include <stddef.h>
#include <stdint.h>

#include "tests/simulate/trace.h"

#define NEVER       INT64_MAX
#define SIM_KILL_US INT64_C(5000) /* from SIGKILL to the first byte freed */
#define SIM_FREE_S  10.0          /* GiB a second then: measured */

struct running {
    size_t task;
    const struct sim_curve *curve;
    int64_t start_us;
    uint64_t promised_bytes, held_bytes;
    uint64_t order;    /* of starts */
    int64_t killed_us; /* NEVER: it runs */
    double killed_bytes;
};

double running_level(const struct running *r, int64_t now_us);
/* When it ends: of a task that was killed, when all of its memory is free. */
int64_t running_end_us(const struct running *r);
/* The next time after now at which its memory takes another direction, or it ends. */
int64_t running_turn_us(const struct running *r, int64_t now_us);

#endif
