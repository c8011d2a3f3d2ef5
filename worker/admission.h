/*
 * admission.h - what a worker can take on. Pure functions over plain numbers.
 */
#ifndef DISTCOMP_ADMISSION_H
#define DISTCOMP_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the worker may use in all. */
struct capacity {
    uint64_t mem_bytes;     /* for tasks: what the machine or --memory gives */
    uint64_t reserve_bytes; /* kept free: the larger of accept and trigger (memroom.h) */
    uint32_t mcpu;          /* thousandths of a core */
    uint32_t slots;         /* tasks at the same time */
};

/* What is taken of it. */
struct load {
    uint64_t mem_room_bytes; /* left for tasks that start now: memroom_room */
    uint64_t mcpu_promised;
    uint32_t running;
};

struct room {
    uint64_t mem_bytes;
    uint32_t mcpu;
    uint32_t slots;
};

/* What is free for tasks that start now. */
struct room admission_room(const struct capacity *capacity, const struct load *load);
/* What one task may have when the worker is empty. */
struct room admission_largest(const struct capacity *capacity);
bool admission_fits(const struct room *room, uint64_t mem_bytes, uint32_t mcpu);

/*
 * Claiming ahead: how many tasks to have at hand beyond those that run, so that a worker on short
 * tasks does not wait for Redis after each. As many as would start within AHEAD_MS, none once tasks
 * last that long, since a task at hand here could be running elsewhere. `running` is how many run
 * now, wall_us the mean wall time of recent tries (0: not known yet).
 */
#define AHEAD_MS   100
#define AHEAD_MOST 256
uint32_t admission_ahead(uint32_t running, uint64_t wall_us);
/* Exponential mean with weight 1/8 for the new value. It begins with MEAN_FIRST_US, so that it
 * takes some twenty short tasks to be believed: after a single one, what comes next may be long,
 * and others idle. */
#define MEAN_FIRST_US 1000000
uint64_t admission_mean(uint64_t mean_us, uint64_t wall_us);

/*
 * What the worker has for one task when it is empty, as far as can be known: its capacity less the
 * reserve, but no more than what was measured when it last was empty (measured_mem_bytes,
 * UINT64_MAX: not lately), since others may use the machine; and no less than what is free now.
 */
struct room admission_empty(const struct capacity *capacity, uint64_t measured_mem_bytes,
                            const struct room *now);

/*
 * Forecast: how much will be free, and when, if nothing new is taken. A guess that is good enough
 * to choose between workers. How long a task goes on: to the mean of recent tries; one that has
 * outlived it, for as long as it has run (also when there is no mean, 0); no longer than its
 * timeout allows (0: none).
 */
uint64_t admission_left_ms(uint64_t age_ms, uint64_t mean_us, uint64_t timeout_ms);

struct promise { /* to one task */
    uint64_t mem_bytes;
    uint32_t mcpu;
    uint64_t left_ms;
};
#define FORECAST_POINTS 4
struct forecast {
    size_t count; /* 1 to FORECAST_POINTS, by time; the last is the empty worker */
    struct {
        uint64_t after_ms, mem_bytes;
        uint32_t mcpu;
    } points[FORECAST_POINTS];
};
/* Sorts the promises. With more than FORECAST_POINTS of them, points between are left out. */
void admission_forecast(struct forecast *forecast, const struct room *empty,
                        struct promise *promises, size_t count);

#endif
