#include "worker/admission.h"

#define MIN(a, b) ((a) < (b) ? (a) : (b))

struct room admission_largest(const struct capacity *capacity) {
    uint64_t mem = capacity->mem_bytes > capacity->reserve_bytes
                       ? capacity->mem_bytes - capacity->reserve_bytes
                       : 0;
    return (struct room){mem, capacity->mcpu, capacity->slots};
}

struct room admission_room(const struct capacity *capacity, const struct load *load) {
    struct room room = admission_largest(capacity);
    room.mem_bytes -= MIN(room.mem_bytes, load->mem_promised_bytes);
    uint64_t available = load->mem_available_bytes > capacity->reserve_bytes
                             ? load->mem_available_bytes - capacity->reserve_bytes
                             : 0;
    room.mem_bytes = MIN(room.mem_bytes, available);
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
    return mean_us == 0 ? wall_us : mean_us - mean_us / 8 + wall_us / 8;
}
