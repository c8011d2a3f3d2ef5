#include "worker/admission.h"

#include <stdlib.h>

#define MIN(a, b) ((a) < (b) ? (a) : (b))

struct room admission_largest(const struct capacity *capacity) {
    uint64_t mem = capacity->mem_bytes > capacity->reserve_bytes
                       ? capacity->mem_bytes - capacity->reserve_bytes
                       : 0;
    return (struct room){mem, capacity->mcpu, capacity->slots};
}

struct room admission_room(const struct capacity *capacity, const struct load *load) {
    struct room room = admission_largest(capacity);
    room.mem_bytes = MIN(room.mem_bytes, load->mem_room_bytes);
    room.mcpu -= (uint32_t)MIN((uint64_t)room.mcpu, load->mcpu_promised);
    room.slots -= MIN(room.slots, load->running);
    return room;
}

bool admission_fits(const struct room *room, uint64_t mem_bytes, uint32_t mcpu) {
    return room->slots > 0 && mem_bytes <= room->mem_bytes && mcpu <= room->mcpu;
}

uint32_t admission_ahead(uint32_t running, uint64_t wall_us) {
    if (running == 0 || wall_us == 0)
        return 0;
    uint64_t ahead = (uint64_t)running * AHEAD_MS * 1000 / wall_us;
    if (wall_us >= (uint64_t)AHEAD_MS * 1000)
        return 0;
    return (uint32_t)MIN(ahead, (uint64_t)AHEAD_MOST);
}

uint64_t admission_mean(uint64_t mean_us, uint64_t wall_us) {
    if (wall_us == 0)
        wall_us = 1;
    if (mean_us == 0)
        mean_us = MEAN_FIRST_US;
    return mean_us - mean_us / 8 + wall_us / 8;
}

struct room admission_empty(const struct capacity *capacity, uint64_t measured_mem_bytes,
                            const struct room *now) {
    struct room room = admission_largest(capacity);
    room.mem_bytes = MIN(room.mem_bytes, measured_mem_bytes);
    if (room.mem_bytes < now->mem_bytes)
        room.mem_bytes = now->mem_bytes;
    return room;
}

uint64_t admission_left_ms(uint64_t age_ms, uint64_t mean_us, uint64_t timeout_ms) {
    uint64_t mean_ms = mean_us / 1000;
    uint64_t left = age_ms < mean_ms ? mean_ms - age_ms : age_ms;
    if (timeout_ms > 0)
        left = MIN(left, timeout_ms > age_ms ? timeout_ms - age_ms : 0);
    return left;
}

static int compare_promises(const void *a, const void *b) {
    const struct promise *x = a, *y = b;
    return (x->left_ms > y->left_ms) - (x->left_ms < y->left_ms);
}

void admission_forecast(struct forecast *forecast, const struct room *empty,
                        struct promise *promises, size_t count) {
    if (count > 1)
        qsort(promises, count, sizeof *promises, compare_promises);
    forecast->count = count > FORECAST_POINTS ? FORECAST_POINTS : count > 0 ? count : 1;
    uint64_t mem = 0, mcpu = 0; /* still promised after the point, from the last one back */
    for (size_t point = forecast->count, at = count; point-- > 0;) {
        size_t ended = (point + 1) * count / forecast->count; /* by then */
        for (; at > ended; at--) {
            mem += promises[at - 1].mem_bytes;
            mcpu += promises[at - 1].mcpu;
        }
        forecast->points[point].after_ms = ended ? promises[ended - 1].left_ms : 0;
        forecast->points[point].mem_bytes = empty->mem_bytes - MIN(empty->mem_bytes, mem);
        forecast->points[point].mcpu = empty->mcpu - (uint32_t)MIN((uint64_t)empty->mcpu, mcpu);
    }
}
