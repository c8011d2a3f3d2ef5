/*
 * confine.h - what a START confines its try to (struct wire_confine): cgroups, CPUs, RLIMIT_DATA.
 *
 * The supervisor opens what it can before the child is made; the child does the rest before it
 * executes its program, by system calls alone. Nothing is allocated.
 *
 * RLIMIT_DATA, of which each process of the try has its own, bounds what malloc and private
 * anonymous mappings reserve (since Linux 4.7), touched or not. It does not bound shared memory,
 * tmpfs, stacks, files that are read, or several processes together; and a program that reserves
 * much more than it uses (Java, Go, CUDA) does not start under a small one. A cgroup bounds all of
 * that by what is used: this is for machines where none can be had.
 */
#ifndef DISTCOMP_CONFINE_H
#define DISTCOMP_CONFINE_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/wireio.h"

struct confine {
    int cgroup_fd; /* of a version 2 group; -1: none */
    bool enter;    /* the child was not born there and goes itself */
    bool strict;   /* it must succeed */
    uint32_t procs_count;
    const char *procs[WIRE_PROCS_MAX]; /* borrowed */
    uint64_t data_bytes;               /* 0: no limit */
    uint32_t cpus_len;                 /* bytes; 0: any CPU */
    uint64_t cpus[WIRE_CPUS_MAX / 8];
};

/* Of nothing. */
void confine_none(struct confine *c);
/* In the supervisor, before the child is made. False, with errno: a strict group is not there. */
bool confine_open(struct confine *c, const struct wire_start_view *view);
/* In the child. WIRE_STEP_NONE, or what failed, with errno. */
enum wire_step confine_self(const struct confine *c);
/* In the supervisor, after. */
void confine_close(struct confine *c);

#endif
