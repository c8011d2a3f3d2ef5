/*
 * resources.h - what the machine has, as this process may use it.
 */
#ifndef DISTCOMP_RESOURCES_H
#define DISTCOMP_RESOURCES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

struct resources {
    uint64_t mem_total_bytes;     /* the machine's, or the smallest cgroup limit above us */
    uint64_t mem_available_bytes; /* MemAvailable, or the smallest cgroup limit's rest if less */
    uint32_t mcpu;                /* affinity mask and cpu quota, in thousandths of a core */
};

/*
 * Reads /proc/meminfo, the cgroups (v1 and v2) named by /proc/self/cgroup, and the affinity mask.
 * `root` is "" but in tests, where it is a directory with such files. What cannot be read counts as
 * no limit.
 */
void resources_read(struct resources *resources, const char *root);
/* Only mem_available_bytes anew: for every turn, so cheap. */
uint64_t resources_available(const char *root);

/* Appends the boot id, or "unknown". */
void resources_boot_id(struct buf *out);

#endif
