/*
 * placement.h - what a task asks for beyond memory and cores, and where it was put: cards, CPUs and
 * hard limits. Pure.
 *
 * Most tasks ask for nothing of the kind and have no placement. A run owns its own, from the claim
 * on (placement_of); the agent fills in where it goes before the start (agent_gpu.c, agent_pin.c);
 * and the note, which the supervisor keeps, carries it to the next agent (placement_pack).
 */
#ifndef DISTCOMP_PLACEMENT_H
#define DISTCOMP_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/task.h"
#include "worker/cpus.h"
#include "worker/gpuplace.h"

enum placement_pin { PLACEMENT_FREE, PLACEMENT_CORE, PLACEMENT_NUMA };

struct placement {
    struct gpu_request gpu;   /* asked for; none when gpu_request_none */
    bool gpu_optional;        /* device=auto: it runs without, when none is free */
    struct gpu_grant grant;   /* given; count 0: not (yet) */
    uint32_t cards[GPUS_MAX]; /* placement_card of each card of the grant; after unpack, */
    uint8_t card_count;       /* of those that the earlier agent gave */
    char *gpus;               /* UUIDs of the grant, for CUDA_VISIBLE_DEVICES; NULL: none. Owned */
    enum placement_pin pin;   /* asked for */
    bool pinned;              /* to these, */
    struct cpus cpus;         /* which are promised for this much */
    uint32_t pinned_mcpu;
    bool hard;            /* limit=hard, */
    uint64_t limit_bytes; /* of memory; 0: none (min_dram is 0, or auto: learned, not asked) */
    uint32_t limit_mcpu;  /* of CPU time; 0: none */
};

/* NULL when the task asks for nothing of this. */
struct placement *placement_of(const struct task *task);
void placement_free(struct placement *placement); /* NULL is fine */

#define PLACEMENT_BYTES_MAX 640
/* Appends what the next agent must know, at most PLACEMENT_BYTES_MAX: nothing for NULL. A set of
 * CPUs whose numbers are more than 2559 apart is left out: its try is then pinned, but not counted.
 */
void placement_pack(const struct placement *placement, struct buf *out);
/* False for bytes that placement_pack did not write. No bytes: NULL. The grant is empty: see
 * gpu_adopt (agent_gpu.c). */
bool placement_unpack(const char *bytes, size_t len, struct placement **placement);

/* What a note has for a card: of its UUID, 32 bits. */
uint32_t placement_card(const char *uuid);

#endif
