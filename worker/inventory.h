/*
 * inventory.h - a file that says what the machine has, where looking would say otherwise: for
 * tests, and for odd machines (setting `inventory`).
 *
 *     {
 *         "memory_total": "64GiB",
 *         "memory_available": "48GiB",
 *         "cores": 8,
 *         "numa": [{"cpus": "0-3", "memory": "32GiB"},
 *                  {"cores": ["4,6", "5,7"], "memory": "32GiB"}],
 *         "gpus": [{"uuid": "GPU-1", "name": "A100", "memory": "80GiB", "used": "1GiB",
 *                   "utilization": 5}],
 *         "nvml": false
 *     }
 *
 * Every key may be left out: then the machine is looked at. Sizes are bytes, or text with a unit.
 * `cores` is how much CPU there is, fractions allowed; with `numa` and without `cores`, as many as
 * its CPUs. A node gives its CPUs as "cpus" (each a core of its own) or as "cores", each with its
 * hardware threads. A card needs "uuid" and "memory"; gpus [] is a machine without any. "nvml" true
 * asks the driver's library even where no device file shows a driver, false never asks it.
 * redisWorker
 * --show_resources --json prints the same keys, and more.
 */
#ifndef DISTCOMP_INVENTORY_H
#define DISTCOMP_INVENTORY_H

#include <stdbool.h>

#include "common/buf.h"
#include "worker/gpu.h"
#include "worker/topology.h"

struct inventory {
    bool has_total, has_available, has_gpus;
    uint64_t mem_total_bytes, mem_available_bytes;
    uint32_t mcpu;            /* 0: not given */
    struct topology topology; /* node_count 0: not given */
    struct gpu gpus[GPUS_MAX];
    size_t gpu_count;
    enum gpus_probe probe;
};

/* Fills an uninitialised struct. On failure appends "FILE: KEY: what is wrong" and leaves it empty;
 * inventory_free is fine in any case. */
bool inventory_read(struct inventory *inventory, const char *path, struct buf *error);
void inventory_free(struct inventory *inventory);

#endif
