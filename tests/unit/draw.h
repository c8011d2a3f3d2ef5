/*
 * draw.h - for tests: random numbers, the same ones in every run.
 */
#ifndef DISTCOMP_DRAW_H
#define DISTCOMP_DRAW_H

#include <stdint.h>

static uint64_t draw_state = 20261121;

/* One of 0 to below - 1; below is at most 2^31. */
static uint64_t draw(uint64_t below) {
    draw_state = draw_state * 6364136223846793005u + 1442695040888963407u;
    return (draw_state >> 33) % below;
}

#endif
