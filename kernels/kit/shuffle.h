/*
 * shuffle.h - random numbers and orders that are the same on every machine: SplitMix64 (Steele,
 * Lea and Flood, OOPSLA 2014). Pure.
 */
#ifndef DISTCOMP_KIT_SHUFFLE_H
#define DISTCOMP_KIT_SHUFFLE_H

#include <stddef.h>
#include <stdint.h>

struct shuffle {
    uint64_t state;
};

/* A sequence for each pair: stream is an epoch's number, or what else tells sequences apart. */
struct shuffle shuffle_seed(uint64_t seed, uint64_t stream);
uint64_t shuffle_next(struct shuffle *s);
double shuffle_unit(struct shuffle *s); /* 0 <= x < 1, 53 bits */
/* 0 ... count-1 in random order (Fisher and Yates); count is at most 2^32. */
void shuffle_order(struct shuffle *s, uint32_t *order, size_t count);

#endif
