/*
 * topology.h - which CPUs make a core, and which cores and how much memory make a NUMA node.
 *
 * By hwloc, opened with dlopen when it is asked for, so that a machine without libhwloc.so.15 runs
 * the same program: there, and where it was not at hand when this was built, every CPU is a core
 * and all of them are one node. hwloc's own environment variables apply (HWLOC_XMLFILE,
 * HWLOC_SYNTHETIC, ...). Only CPUs of `allowed` are listed, cores and nodes left with none are not.
 */
#ifndef DISTCOMP_TOPOLOGY_H
#define DISTCOMP_TOPOLOGY_H

#include <stddef.h>
#include <stdint.h>

#include "worker/cpus.h"

struct topology_core {
    uint32_t node;    /* index into nodes */
    struct cpus cpus; /* its hardware threads, at least one */
};

struct topology_node {
    uint32_t number;       /* the kernel's */
    uint64_t memory_bytes; /* 0: not known */
    struct cpus cpus;
};

struct topology {
    const char *source; /* "hwloc", "inventory", or "none": nothing is known beyond the CPUs */
    struct topology_node *nodes;
    size_t node_count;           /* at least 1 */
    struct topology_core *cores; /* by node, then by first CPU */
    size_t core_count;           /* at least 1 */
};

/* Fills an uninitialised struct; memory_bytes is the whole machine's, for a single node. An empty
 * `allowed` means CPU 0. Takes some milliseconds where there is hwloc. */
void topology_read(struct topology *topology, const struct cpus *allowed, uint64_t memory_bytes);
/* The same without hwloc. */
void topology_plain(struct topology *topology, const struct cpus *allowed, uint64_t memory_bytes);
/* For makers of one: appends; a core belongs to the last node. Start with an all-zero struct. */
struct topology_node *topology_add_node(struct topology *topology, uint32_t number,
                                        uint64_t memory_bytes);
void topology_add_core(struct topology *topology, const struct cpus *cpus);
void topology_free(struct topology *topology);

#endif
