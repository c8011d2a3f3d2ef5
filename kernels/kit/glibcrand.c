/* See glibcrand.h. */
#include "kernels/kit/glibcrand.h"

void glibcrand_seed(struct glibcrand *g, uint32_t seed) {
    /* Schrage's way to 16807 x mod 2^31-1 in 32 bits; a seed above 2^31 is negative in it. */
    int32_t word = seed == 0 ? 1 : (int32_t)seed;
    g->words[0] = (uint32_t)word;
    for (unsigned i = 1; i < GLIBCRAND_WORDS; i++) {
        word = 16807 * (word % 127773) - 2836 * (word / 127773);
        if (word < 0)
            word += GLIBCRAND_MAX;
        g->words[i] = (uint32_t)word;
    }
    g->at = 3; /* the order of age is 3 ... 30, 0, 1, 2 */
    for (unsigned i = 0; i < 310; i++)
        glibcrand_next(g);
}

int32_t glibcrand_next(struct glibcrand *g) {
    unsigned from = (g->at + GLIBCRAND_WORDS - 3) % GLIBCRAND_WORDS; /* three results ago */
    uint32_t word = g->words[g->at] += g->words[from];
    g->at = (g->at + 1) % GLIBCRAND_WORDS;
    return (int32_t)(word >> 1);
}
