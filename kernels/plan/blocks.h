/*
 * blocks.h - how a product is cut into blocks, each a task. Pure.
 *
 * Among the ways to cut that fit into the memory of a task, and give the workers enough to share,
 * that is chosen which reads least: `down` x `across` blocks read A `across` times and B `down`
 * times.
 */
#ifndef DISTCOMP_KERNEL_PLAN_BLOCKS_H
#define DISTCOMP_KERNEL_PLAN_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "kernels/kit/matmul.h"

#define BLOCKS_MOST 16384u

struct blocks_wish {
    struct matmul_side a, b;
    bool single;
    uint64_t mem_bytes;  /* that a task may have */
    uint64_t most_bytes; /* of a block as an object; 0: no limit */
    size_t workers;      /* tasks that run at a time */
    size_t rows, cols;   /* of a block, when that is wanted; 0: choose */
};

struct blocks {
    size_t rows, cols;   /* of a block; those at the end may be smaller */
    size_t down, across; /* how many; 1 x 1 also for an empty product */
    size_t panel;        /* of k at a time: less than k when memory is very short */
    uint64_t mem_bytes;  /* the most that one needs */
};

/* False: nothing fits, and error says what would. */
bool blocks_choose(const struct blocks_wish *wish, struct blocks *blocks, struct buf *error);

#endif
