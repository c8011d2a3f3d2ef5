/*
 * resources.h - memory and cores of this machine, as this process may use them.
 *
 * Memory is the machine's, or the smallest limit of a cgroup that holds us (v1, v2, both side by
 * side; memory.high counts like memory.max, since past it the kernel only slows us down). Available
 * is MemAvailable, or what the tightest of those groups has left: limit - usage + what the kernel
 * gives up before it kills, that is clean page cache (active and inactive, less dirty and under
 * writeback) and half of the reclaimable slab. Cores are the affinity mask, the cpuset, and the cpu
 * quotas.
 *
 * A meter keeps the files open and reads them anew: resource_meter_available costs microseconds and
 * may be called hundreds of times a second. Once in RESOURCES_RESCAN_MS, and when a group has gone,
 * it looks where the process is and what the limits are now. Not for use by two threads at once.
 */
#ifndef DISTCOMP_RESOURCES_H
#define DISTCOMP_RESOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "worker/cpus.h"

#define RESOURCES_RESCAN_MS 1000

struct resources {
    uint64_t mem_total_bytes;
    uint64_t mem_available_bytes; /* may be above the total for a moment: two files, two times */
    uint32_t mcpu;                /* thousandths of a CPU, at least 1 */
    struct cpus cpus;             /* those we may run on; empty when unknown */
};

struct resource_meter;

/* `root` is "" but in tests, where it is a directory with such files. What cannot be read counts as
 * no limit. Never NULL. */
struct resource_meter *resource_meter_open(const char *root);
void resource_meter_close(struct resource_meter *meter); /* NULL is fine */
void resource_meter_read(struct resource_meter *meter, struct resources *resources);
/* Only mem_available_bytes. */
uint64_t resource_meter_available(struct resource_meter *meter);

/* A memory limit above us. */
struct resource_limit {
    const char *directory; /* the group's; borrowed from the meter until its next call */
    bool v2;
    uint64_t limit_bytes;
};
/* The i-th, from our own group upwards; false past the last. */
bool resource_meter_limit(const struct resource_meter *meter, size_t i,
                          struct resource_limit *limit);

/* For who asks once: open, read, close. */
void resources_read(struct resources *resources, const char *root);
uint64_t resources_available(const char *root);

/* Appends the boot id, or "unknown". */
void resources_boot_id(struct buf *out);

#endif
