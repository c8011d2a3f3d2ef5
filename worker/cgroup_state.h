/*
 * cgroup_state.h - what cgroup.c (slots) and cgroup_base.c (the worker's groups) share.
 */
#ifndef DISTCOMP_CGROUP_STATE_H
#define DISTCOMP_CGROUP_STATE_H

#include "worker/cgdir.h"
#include "worker/cgroup.h"

/* The hierarchies that we may have groups in. */
enum group_kind { KIND_V2, KIND_MEMORY, KIND_CPU, KINDS };
#define CGROUP_BASE_MAX    (CGROUP_PATH_MAX - 64) /* slots' names and their files have to fit too */
#define KIND_VERSION(kind) ((kind) == KIND_V2 ? CGDIR_V2 : CGDIR_V1)

struct slot_group {
    int fd[KINDS];       /* -1: not made yet */
    bool sent[KINDS];    /* the running try was told to go in */
    bool inside[KINDS];  /* the running try's processes are in it */
    bool spoiled[KINDS]; /* by a kill: to be made anew */
    bool limited[KINDS]; /* has limits to lift */
    bool adopted;
    /* Counters at the beginning of the try. */
    uint64_t cpu_us, read_bytes, write_bytes, oom_kills, limit_hits, peak_bytes;
    uint64_t limit_bytes;
};

struct cgroups {
    char *root;
    struct cgroup_abilities can;
    char base[KINDS][CGROUP_PATH_MAX]; /* "": none */
    struct slot_group *slots;
    uint32_t count;
};

/* Fills can and base. */
void cgroup_base_make(struct cgroups *groups, const struct cgroup_options *options);

#endif
