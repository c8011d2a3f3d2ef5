/*
 * machine.h - what this machine has, and what the worker makes of it: memory and cores
 * (resources.h), NUMA nodes (topology.h), cards (gpu.h), all of which an inventory file may say
 * instead (inventory.h).
 *
 * Costly parts are found when they are first asked for: a machine that nobody asks for its cards
 * never loads NVML, nor hwloc for its nodes. Not for use by two threads at once.
 *
 *     struct machine *machine = machine_open(config->inventory, "", &error);
 *     machine_use(machine, config, &use);                     at start, and when conf.json changed
 *     available_bytes = machine_available(machine);           as often as wanted: microseconds
 *     cards = machine_gpus(machine, &count, &fresh);          if (fresh) gpuplace_observe(...)
 */
#ifndef DISTCOMP_MACHINE_H
#define DISTCOMP_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "common/buf.h"
#include "common/config.h"
#include "worker/gpu.h"
#include "worker/resources.h"
#include "worker/topology.h"

struct machine;

/* inventory: a file, or "" for none; root: "" but in tests. On a bad inventory returns NULL and
 * appends what is wrong with it. */
struct machine *machine_open(const char *inventory, const char *root, struct buf *error);
void machine_close(struct machine *machine); /* NULL is fine */

/* What there is, and what the settings make of it. */
struct machine_use {
    struct resources found;
    uint64_t mem_bytes;     /* for tasks: found, or --memory */
    uint64_t reserve_bytes; /* of it, kept free: min_dram_gb_accept_new_task */
    uint64_t return_bytes;  /* min_dram_gb_trigger_return */
    uint32_t mcpu;          /* found, or --cpus */
    uint32_t slots;         /* tasks at the same time: max_task_per_worker, or 16 a core */
};
void machine_use(struct machine *machine, const struct config *config, struct machine_use *use);

/* Memory available now, in bytes. An inventory file that has changed is read again; one that is
 * then bad is logged and left. */
uint64_t machine_available(struct machine *machine);
/* As resource_meter_limit. */
bool machine_limit(const struct machine *machine, size_t i, struct resource_limit *limit);

/* Of the CPUs we may run on; stays as it is. */
const struct topology *machine_topology(struct machine *machine);

/* The cards, borrowed, in an order that stays; memory in use and utilisation are at most
 * GPUS_REREAD_MS old. *fresh (may be NULL): they were read anew, or this is the first time. */
const struct gpu *machine_gpus(struct machine *machine, size_t *count, bool *fresh);
/* Why there are none or fewer than might be, or ""; after machine_gpus. */
const char *machine_gpu_trouble(const struct machine *machine);

/* Adds to a worker's registered info, where there are cards: "gpus": [{"uuid", "name", "memory"}].
 */
void machine_describe(struct machine *machine, json_t *info);

#endif
