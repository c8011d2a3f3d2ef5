/*
 * limits.h - what limit=hard becomes on this machine. Pure.
 *
 *   min_dram  memory.max of a cgroup, else RLIMIT_DATA of each process (confine.h says what that
 *             does not bound); nothing for min_dram=auto
 *   min_cpu   cpu.max of a cgroup, else a set of as many CPUs (whole ones: 1.5 gives 2)
 */
#ifndef DISTCOMP_LIMITS_H
#define DISTCOMP_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/cgroup.h"
#include "worker/placement.h"

struct limits {
    struct cgroup_limits cgroup;
    uint64_t data_bytes; /* RLIMIT_DATA; 0: none */
    bool pin;            /* to as many CPUs as min_cpu has */
};

/* abilities NULL: no cgroups. placement NULL, or without limit=hard: all zero. */
void limits_choose(const struct cgroup_abilities *abilities, const struct placement *placement,
                   struct limits *limits);

#endif
