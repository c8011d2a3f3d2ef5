/* See shuffle.h. */
#include "kernels/kit/shuffle.h"

uint64_t shuffle_next(struct shuffle *s) {
    uint64_t z = s->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

struct shuffle shuffle_seed(uint64_t seed, uint64_t stream) {
    struct shuffle s = {.state = seed};
    s.state = shuffle_next(&s) ^ stream;
    s.state = shuffle_next(&s);
    return s;
}

double shuffle_unit(struct shuffle *s) {
    return (double)(shuffle_next(s) >> 11) * 0x1p-53;
}

void shuffle_order(struct shuffle *s, uint32_t *order, size_t count) {
    for (size_t i = 0; i < count; i++) {
        /* A number below i + 1, by multiplication; its bias is under 2^-32. */
        size_t other = (size_t)((shuffle_next(s) >> 32) * (uint64_t)(i + 1) >> 32);
        order[i] = order[other];
        order[other] = (uint32_t)i;
    }
}
