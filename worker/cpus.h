/*
 * cpus.h - a set of CPUs by the kernel's numbers, as a plain value.
 *
 * A "CPU" is what the kernel schedules on: one hardware thread. All sets hold CPUs 0 to CPUS_MAX-1;
 * larger numbers are left out. An all-zero struct is the empty set.
 */
#ifndef DISTCOMP_CPUS_H
#define DISTCOMP_CPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define CPUS_MAX 4096u

struct cpus {
    uint64_t bits[CPUS_MAX / 64];
};

bool cpus_has(const struct cpus *set, uint32_t cpu);
void cpus_add(struct cpus *set, uint32_t cpu); /* a number that is too large is left out */
void cpus_add_range(struct cpus *set, uint32_t first, uint32_t last); /* both included */
void cpus_join(struct cpus *set, const struct cpus *other);
void cpus_keep(struct cpus *set, const struct cpus *other); /* what both have */
bool cpus_meet(const struct cpus *a, const struct cpus *b); /* whether they share one */
bool cpus_same(const struct cpus *a, const struct cpus *b);
uint32_t cpus_count(const struct cpus *set);
/* The first CPU >= from, or CPUS_MAX. */
uint32_t cpus_next(const struct cpus *set, uint32_t from);

/*
 * Reads the kernel's form, "0-3,8,10-11"; blanks at the end are fine, and so is "" (the empty set).
 * False, with *set empty, for anything else.
 */
bool cpus_parse(const char *text, struct cpus *set);
void cpus_print(const struct cpus *set, struct buf *out); /* appends the same form */

/* The CPUs this process may run on (affinity mask, and with it the cpuset); false: unknown. */
bool cpus_of_process(struct cpus *set);

#endif
