/*
 * hwloclib.h - reads a topology from hwloc 2, opened with dlopen("libhwloc.so.15"). Only topology.c
 * calls it.
 */
#ifndef DISTCOMP_HWLOCLIB_H
#define DISTCOMP_HWLOCLIB_H

#include <stdbool.h>

#include "worker/topology.h"

/* Appends the nodes that have cores with allowed CPUs. False when there is no hwloc, here or when
 * this was built; the topology may then be half full. */
bool hwloclib_read(struct topology *topology, const struct cpus *allowed);

#endif
