/*
 * glibcrand.h - the numbers that glibc's srand() and rand() give, on any system.
 *
 * The generator is the additive feedback one of BSD's random(3), x[i] = x[i-3] + x[i-31], whose
 * first 31 words come from Park and Miller's minimal standard generator and whose first 310
 * results are dropped. The letters training starts from these numbers. Pure.
 */
#ifndef DISTCOMP_KIT_GLIBCRAND_H
#define DISTCOMP_KIT_GLIBCRAND_H

#include <stdint.h>

#define GLIBCRAND_MAX   2147483647 /* glibc's RAND_MAX */
#define GLIBCRAND_WORDS 31

struct glibcrand {
    uint32_t words[GLIBCRAND_WORDS];
    unsigned at; /* the oldest word */
};

void glibcrand_seed(struct glibcrand *g, uint32_t seed); /* as srand does: 0 is 1 */
int32_t glibcrand_next(struct glibcrand *g);             /* 0 to GLIBCRAND_MAX */

#endif
