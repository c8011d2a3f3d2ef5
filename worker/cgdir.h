/*
 * cgdir.h - one cgroup, as an open directory: what is in it, its counters, its limits, its end.
 *
 * The two versions differ only in file names and units, and those differences end here. Counters
 * are the kernel's, cumulative since the group was made; cgroup.h takes the difference for a try.
 */
#ifndef DISTCOMP_CGDIR_H
#define DISTCOMP_CGDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cgdir_version { CGDIR_V1 = 1, CGDIR_V2 };

/* Makes the directory if it is not there, and opens it (close-on-exec). -1 with errno. */
int cgdir_open(const char *path);

/* Process ids in the group itself; returns how many there are, of which at most `max` are written.
 */
size_t cgdir_pids(int fd, int32_t *pids, size_t max);
/* Is that process in the group itself? */
bool cgdir_holds(int fd, int32_t pid);
/* Any process, also in groups below. */
bool cgdir_populated(int fd, enum cgdir_version version);

/*
 * SIGKILL to every process in it and below: by cgroup.kill, which fork cannot outrun (Linux 5.14),
 * else in rounds over cgroup.procs until a round finds nobody new. Returns true when it is empty
 * now; dying processes may take a while, so ask again.
 *
 * A version 2 group is spoiled by it: Linux (seen on 6.18) compares the group's kill count with
 * that of the parent's group, and SIGKILLs every later child of clone3(CLONE_INTO_CGROUP) at birth.
 * Remove it and make it anew.
 */
bool cgdir_kill(int fd, enum cgdir_version version);

/* Is a child that clone3 puts there alive? Not before Linux 5.7, not where it is forbidden, and not
 * where somebody used cgroup.kill on our own group. Starts a process. */
bool cgdir_born_alive(int fd);

/* Kills what is in it, then removes it with all groups below. True when it is gone. */
bool cgdir_remove(const char *path, enum cgdir_version version);

struct cgdir_memory {
    uint64_t charged_bytes; /* all: anonymous, shared, page cache, kernel */
    uint64_t cache_bytes;   /* of that, what the kernel gives up without harm: file pages on its
                               lists, and in version 2 reclaimable slab */
};
/* The first figure alone, for half the price. */
bool cgdir_charged(int fd, enum cgdir_version version, uint64_t *bytes);
bool cgdir_memory(int fd, enum cgdir_version version, struct cgdir_memory *memory);
/* The most that was ever charged. Before Linux 5.19 version 2 has none. */
bool cgdir_peak(int fd, enum cgdir_version version, uint64_t *bytes);
/* Version 1 can forget it; false where that is not possible. */
bool cgdir_peak_reset(int fd, enum cgdir_version version);
/* How often the kernel killed a process in it (and below, in version 2) because memory ran out. */
bool cgdir_oom_kills(int fd, enum cgdir_version version, uint64_t *count);
/* Version 2 only: how often the group's own limit could not be kept by giving up page cache. */
bool cgdir_limit_hits(int fd, uint64_t *count);
/* Version 2 only; cpu needs no controller. */
bool cgdir_cpu(int fd, uint64_t *us);
bool cgdir_io(int fd, uint64_t *read_bytes, uint64_t *write_bytes);

/*
 * Limits; 0 lifts them. Memory counts with swap, so that swapping does not hide a breach. In
 * version 2 the whole group dies together (memory.oom.group). Returns 0 or the errno of the file
 * that refused.
 */
int cgdir_limit_memory(int fd, enum cgdir_version version, uint64_t bytes);
int cgdir_limit_cpu(int fd, enum cgdir_version version, uint32_t mcpu);

#endif
