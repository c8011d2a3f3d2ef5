/*
 * matmul_wish.h - the command line of `redisPlan matmul`.
 */
#ifndef DISTCOMP_KERNEL_PLAN_MATMUL_WISH_H
#define DISTCOMP_KERNEL_PLAN_MATMUL_WISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/config.h"

/* Words are borrowed from argv. */
struct matmul_wish {
    const char *names[2]; /* A, B */
    size_t name_count;
    const char *out, *blocks, *name; /* the last two NULL when not said */
    size_t block_rows, block_cols;   /* 0: not said, as below */
    uint64_t mem_bytes, workers, priority;
    struct config_flags flags;
};

/* wish is zeroed, its flags are CONFIG_FLAGS_INIT; config_flags_free in any case. False with an
 * error: bad usage. */
bool matmul_wish_parse(int argc, char **argv, struct matmul_wish *wish, struct buf *error);

#endif
