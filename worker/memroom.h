/*
 * memroom.h - memory that is left for tasks that start now. Pure functions over plain numbers;
 * docs/memory.md has the rule's reasons and limits.
 *
 * A task is taken when what it is promised (min_dram, or its family's need) fits into the room.
 * From then on memory is held for it: what it was promised, or with min_dram=auto what its family
 * takes typically. What it has not used of that it may still take at any moment, so it is not free:
 *
 *     available = min(the machine's, capacity - sum of used)
 *     room      = available - sum of max(0, held - used) - max(accept, trigger)
 *
 * What a task uses beyond that is missing in `available` already. Used memory may be a second old,
 * `available` must be fresh: a task that has grown in between then counts twice, never not at all.
 */
#ifndef DISTCOMP_MEMROOM_H
#define DISTCOMP_MEMROOM_H

#include <stdbool.h>
#include <stdint.h>

/* What the worker goes by; all in bytes. */
struct memroom_limits {
    uint64_t capacity_bytes; /* for tasks: the machine's, or --memory */
    uint64_t accept_bytes;   /* kept free by admission: min_dram_gb_accept_new_task */
    uint64_t trigger_bytes;  /* a task is returned below: min_dram_gb_trigger_return */
};

/* One running task. */
struct memroom_task {
    uint64_t held_bytes;
    uint64_t used_bytes; /* last measured, without page cache; 0: not measured yet */
    bool ending;         /* was told to end: it will claim nothing more */
};

/* Sums over the running tasks; starts as {0}. */
struct memroom_sum {
    uint64_t used_bytes; /* of all, those being ended too, until they are gone */
    uint64_t due_bytes;  /* held and not used yet */
};

/* Sums stop at UINT64_MAX. */
void memroom_add(struct memroom_sum *sum, const struct memroom_task *task);

/* What tasks can still get before they meet a limit. machine_bytes: the machine's available memory,
 * or that of the nearest cgroup limit above the worker if less. */
uint64_t memroom_available(const struct memroom_limits *limits, uint64_t machine_bytes,
                           const struct memroom_sum *sum);

/*
 * What tasks that start now may be promised, 0 when nothing. Admission never eats into the trigger,
 * even where accept was set below it: a task would be taken to be returned at once.
 */
uint64_t memroom_room(const struct memroom_limits *limits, uint64_t machine_bytes,
                      const struct memroom_sum *sum);

/* The room of the worker when it is empty and nobody else uses the machine. */
uint64_t memroom_largest(const struct memroom_limits *limits);

#endif
