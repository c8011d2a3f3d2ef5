#include "worker/memrate.h"

#include <math.h>

#define NEAR_US    20000               /* readings nearer than this, and */
#define NEAR_BYTES (UINT64_C(1) << 20) /* less apart than this, are one */
#define HALVES_US  500000              /* what was measured once counts half after this long */

static double faded(const struct memrate *rate, int64_t now_us) {
    return rate->growth_bytes_s * exp2(-(double)(now_us - rate->base_us) / HALVES_US);
}

void memrate_add(struct memrate *rate, int64_t now_us, uint64_t available_bytes) {
    if (!rate->begun) {
        *rate = (struct memrate){true, now_us, available_bytes, 0};
        return;
    }
    int64_t passed_us = now_us - rate->base_us;
    if (passed_us <= 0)
        return;
    bool fell = available_bytes < rate->base_bytes;
    uint64_t change =
        fell ? rate->base_bytes - available_bytes : available_bytes - rate->base_bytes;
    if (passed_us < NEAR_US && change < NEAR_BYTES)
        return;
    double growth = fell ? (double)change * 1e6 / (double)passed_us : 0;
    rate->growth_bytes_s = fmax(growth, faded(rate, now_us));
    rate->base_us = now_us;
    rate->base_bytes = available_bytes;
}

uint64_t memrate_growth(const struct memrate *rate, int64_t now_us) {
    if (!rate->begun)
        return 0;
    double growth = now_us > rate->base_us ? faded(rate, now_us) : rate->growth_bytes_s;
    return growth < 1 ? 0 : growth < 9e18 ? (uint64_t)growth : UINT64_C(1) << 63;
}

uint64_t memrate_next_ms(const struct memrate *rate, int64_t now_us, uint64_t available_bytes,
                         uint64_t trigger_bytes, unsigned young) {
    uint64_t headroom = available_bytes > trigger_bytes ? available_bytes - trigger_bytes : 0;
    double least = (double)MEMRATE_LEAST * (young ? young : 1);
    double growth = fmax((double)memrate_growth(rate, now_us), least);
    double ms = (double)headroom * 1000 / growth / 4;
    if (ms >= MEMRATE_NEXT_MOST_MS)
        return MEMRATE_NEXT_MOST_MS;
    return ms < MEMRATE_NEXT_LEAST_MS ? MEMRATE_NEXT_LEAST_MS : (uint64_t)ms;
}
