/*
 * usage.h - what every running try uses: memory, CPU time, storage bytes.
 *
 * The agent adds a try when it has started (STARTED, or adopted), samples all of them at most once
 * a second, and takes the last reading when it has ended. For one thread; it only reads.
 *
 * SOURCES, best first, for each try and each figure
 *   USAGE_CGROUP     counters of the slot's cgroup (cgroup.h)
 *   USAGE_MEMBERS    the sum over the processes that its cgroup lists
 *   USAGE_PROCESSES  the sum over its processes, found in /proc: those in the session of the main
 *                    process; children of such, whatever session they are in; and orphans, which
 *                    the kernel gives to the supervisor, by DISTCOMP_COOKIE in their environment.
 * Whose a process is, is found once and kept, by pid and inode of /proc/PID (which the kernel never
 * gives to another process), so that it stays known when its parents die later. What is missed: a
 * process that left the session, lost its parents within one interval and cleared its environment.
 *
 * MEMORY is what would be free if the try were gone: anonymous and shared memory, with kernel
 * memory where a cgroup counts. Page cache is not in it, also not that of mapped files. A sum over
 * processes counts pages that they share several times. When that may be much (two processes or
 * more, and all but the largest together above `share_from_bytes`) a thread asks them for their
 * shares (shares.h), and what was counted twice is taken off from then on: until the answer is
 * there, and for what is shared anew after it, memory is too high, never too low. It is asked again
 * after 5 s, or after 1 s when the sum has changed by a quarter, and takes at most 1 % of a core.
 * Memory shared between tries is divided among them. Not seen without a memory cgroup: tmpfs files
 * that nobody maps, huge pages of hugetlbfs, swap.
 *
 * Storage bytes, and a cgroup's CPU time, are read once in five samples; EXIT has what was waited
 * for.
 *
 * CPU and I/O never go down: a process that nobody waited for takes its figures along, so a sum
 * over processes is a lower bound; EXIT has the true CPU time.
 *
 * PEAK is the largest memory of any sample (but not of one that may count much twice), and where
 * the cgroup knows its own highest charge, at least that less the most page cache seen. A peak
 * shorter than a sample's distance is missed without a memory cgroup: take the larger of this and
 * EXIT's maxrss_kib (which includes mapped files) when the try had one process.
 *
 * COST, CPU time of one sample, Linux 6.18, 2 cores, 200 `sleep` tasks and 100 other processes, on
 * a machine that was not quiet (tests/bench/usage_cost.c): by processes 4.9 ms (24 us a task: stat
 * 9, statm 5, io 5, the list of /proc 0.5 a process), so 0.5 % of a core at one sample a second; by
 * members of a version 2 group without controllers 5.8 ms; memory alone of 10 tasks 0.05 and 0.11
 * ms. Over 512 processes in all, as a fork bomb makes, only new ones and a part of the others are
 * read in each sample, the rest count as they were: about 10 ms, and 0.5 us for each process.
 */
#ifndef DISTCOMP_USAGE_H
#define DISTCOMP_USAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/cgroup.h"

struct usage;

enum usage_source { USAGE_NONE, USAGE_PROCESSES, USAGE_MEMBERS, USAGE_CGROUP };
const char *usage_source_name(enum usage_source source); /* "none", "processes", ... */

struct usage_options {
    const char *root;              /* "" but in tests; borrowed */
    const struct cgroups *cgroups; /* borrowed; NULL: none */
    int32_t supervisor_pid;        /* whose children orphans become */
    uint32_t slots;                /* capacity */
    uint64_t share_from_bytes;     /* 0: 64 MiB */
};

/* What a process had used before this try: a host (host.h) runs one after the other. */
struct usage_base {
    uint64_t cpu_us, read_bytes, write_bytes;
};

struct usage_reading {
    uint64_t mem_bytes, peak_bytes;
    uint64_t cpu_us, read_bytes, write_bytes;
    uint32_t processes;       /* 0: not counted (USAGE_CGROUP), or none left */
    enum usage_source source; /* of mem_bytes; USAGE_NONE: never sampled */
};

struct usage *usage_new(const struct usage_options *options);
void usage_free(struct usage *usage);

/* A try runs in the slot (after cgroup_confirm). pid is its main process, cookie its whole
 * "DISTCOMP_COOKIE=..." string (copied). */
void usage_add(struct usage *usage, uint32_t slot, int32_t pid, const char *cookie);
/* The same for a process that has run others before. */
void usage_add_again(struct usage *usage, uint32_t slot, int32_t pid, const char *cookie,
                     const struct usage_base *before);
/* It has ended (before cgroup_end): the last reading, and forgets it. False: it was not there. */
bool usage_remove(struct usage *usage, uint32_t slot, struct usage_reading *last);

/* Samples every try. Reads /proc only where a cgroup does not tell. */
void usage_sample(struct usage *usage);
/*
 * Only the memory of these, as fast as it goes: counters of the cgroup, or the processes known
 * from the last sample (children since then are missing). For the choice whom to end. Each slot
 * once.
 */
void usage_sample_memory(struct usage *usage, const uint32_t *slots, size_t count);

/* The newest reading; NULL when no try is in the slot. Valid until the next call. */
const struct usage_reading *usage_of(const struct usage *usage, uint32_t slot);

/* The processes of a slot's try, as the last usage_sample found them. Returns how many there are,
 * which may be more than `max`. */
size_t usage_pids(const struct usage *usage, uint32_t slot, int32_t *pids, size_t max);

struct usage_facts {
    uint32_t processes; /* looked at in the last full sample */
    uint32_t unowned;   /* children of the supervisor that could not be given to a try */
    bool truncated;     /* there were more than PROCTREE_MAX: figures are too low */
    uint64_t cost_us;   /* CPU time of this thread */
};
/* Of the last usage_sample. */
struct usage_facts usage_facts(const struct usage *usage);

#endif
