/*
 * hostkey.h - the key of a host: what a process cannot change later (docs/kernels.md). Pure.
 */
#ifndef DISTCOMP_HOSTKEY_H
#define DISTCOMP_HOSTKEY_H

#include <stdint.h>

#include "common/task.h"
#include "worker/placement.h"

/* Of the variables that the task sets itself, in any order. */
uint64_t hostkey_environment(const struct task *task);
/* With the cards and CPUs that it was given. 0: it is confined, and its host ends with it. */
uint64_t hostkey(uint64_t environment, const struct placement *placement);

#endif
