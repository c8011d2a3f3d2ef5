/*
 * gpuplace.h - which cards a task gets. Pure functions over plain structs.
 *
 * A request is gpu=N and gpu_mem=SIZE (task.h):
 *
 *   gpu=0.25             a quarter of a card; promises that share of its memory, too
 *   gpu=0.25 gpu_mem=8G  a quarter of it, and 8 GiB
 *   gpu_mem=8G           8 GiB on a card that others may use, no share of its time promised
 *   gpu=1                a whole card, all of its memory: nobody else of ours is on it
 *   gpu=1 gpu_mem=40G    the same, on a card that has 40 GiB left
 *   gpu=2 gpu_mem=40G    two such cards, 40 GiB on each
 *
 * Shares are promises of time that nothing enforces: 1000 thousandths a card. Of the memory,
 *
 *   free = total - promised - foreign
 *
 * where foreign is what others use: somebody else's program, a desktop, the driver. With none of
 * our tasks on the card that is all that is used. With some it is only known to lie between used -
 * promised and used, and is taken to be what it was when the card was last empty, within these
 * bounds: a task that has not used its memory yet is not credited with another's, and one that uses
 * more than it was promised makes the card so much smaller.
 *
 * A request that names no memory overlooks foreign memory up to 1/GPUPLACE_OVERLOOK of the card: a
 * driver's few hundred MiB do not keep four quarters from fitting.
 *
 * Fractions go to the card with the least left, so that whole cards stay whole; whole cards are
 * taken the smallest first that will do. gpuplace_add_free writes what a claim script needs to
 * place tasks likewise.
 */
#ifndef DISTCOMP_GPUPLACE_H
#define DISTCOMP_GPUPLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/gpu.h"

#define GPUPLACE_WHOLE    1000u
#define GPUPLACE_OVERLOOK 8u

struct gpuplace_card {
    uint64_t total_bytes;
    uint64_t foreign_bytes;  /* what others use, as estimated */
    uint64_t empty_bytes;    /* what they used when none of our tasks was there */
    uint64_t promised_bytes; /* to our tasks */
    uint32_t promised_milli; /* of its time */
    uint32_t tasks;          /* of ours */
    bool whole;              /* promised as a whole */
    bool was_empty;          /* of our tasks, at the last reading and since */
    bool lost;               /* not to be offered */
};

struct gpuplace {
    struct gpuplace_card cards[GPUS_MAX]; /* in the order of gpus_list */
    size_t count;
};

struct gpu_request {
    uint32_t milli;     /* thousandths of a card; above 1000 a multiple of it (else rounded up) */
    uint64_t mem_bytes; /* on each card; 0: not named */
};

/* What a task was given; an all-zero one is nothing. */
struct gpu_grant {
    uint8_t cards[GPUS_MAX]; /* indices, count of them */
    uint8_t count;
    bool whole;         /* all of each card; else: */
    uint32_t milli;     /* promised on its card */
    uint64_t mem_bytes; /* promised on its card */
};

/* Begins with these cards and nothing promised. */
void gpuplace_init(struct gpuplace *place, const struct gpu *cards, size_t count);
/* After each new reading; cards as in gpuplace_init. Not with an old one: a task that has ended
 * since would be counted as somebody else's. */
void gpuplace_observe(struct gpuplace *place, const struct gpu *cards);

/* Whether the request needs no card. */
bool gpu_request_none(const struct gpu_request *request);
/* Where it would go now; false: nowhere. Changes nothing. A request for no card always fits. */
bool gpuplace_choose(const struct gpuplace *place, const struct gpu_request *request,
                     struct gpu_grant *grant);
/* Whether these cards could ever hold it, with nothing promised and nobody else on them. */
bool gpuplace_possible(const struct gpuplace *place, const struct gpu_request *request);
/* The grant's task runs now, or has ended. */
void gpuplace_take(struct gpuplace *place, const struct gpu_grant *grant);
void gpuplace_release(struct gpuplace *place, const struct gpu_grant *grant);
/*
 * For a task that an earlier agent placed: takes the request on exactly the cards with these UUIDs
 * ("GPU-a,GPU-b", as in its CUDA_VISIBLE_DEVICES). Call it for all such tasks after gpuplace_init,
 * then gpuplace_observe with the same reading. False, with an empty grant and nothing taken, when a
 * card is not here any more.
 */
bool gpuplace_adopt(struct gpuplace *place, const struct gpu_request *request,
                    const struct gpu *cards, const char *uuids, struct gpu_grant *grant);

/*
 * Appends what is free, "SHARE:MEMORY:PLAIN:TOTAL:EMPTY,..." by card: thousandths, bytes left to a
 * request that names its memory, bytes left to one that does not, bytes in all, and 1 where no task
 * of ours is. A card that is not offered has 0 but for its total.
 */
void gpuplace_add_free(const struct gpuplace *place, struct buf *out);

/* Appends the grant's UUIDs joined by ',': the task's CUDA_VISIBLE_DEVICES. */
void gpu_grant_uuids(const struct gpu_grant *grant, const struct gpu *cards, struct buf *out);

#endif
