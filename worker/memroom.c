#include "worker/memroom.h"

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

static uint64_t less(uint64_t from, uint64_t amount) {
    return from > amount ? from - amount : 0;
}

static uint64_t plus(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void memroom_add(struct memroom_sum *sum, const struct memroom_task *task) {
    sum->used_bytes = plus(sum->used_bytes, task->used_bytes);
    if (!task->ending)
        sum->due_bytes = plus(sum->due_bytes, less(task->held_bytes, task->used_bytes));
}

uint64_t memroom_available(const struct memroom_limits *limits, uint64_t machine_bytes,
                           const struct memroom_sum *sum) {
    return MIN(machine_bytes, less(limits->capacity_bytes, sum->used_bytes));
}

static uint64_t reserve(const struct memroom_limits *limits) {
    return MAX(limits->accept_bytes, limits->trigger_bytes);
}

uint64_t memroom_room(const struct memroom_limits *limits, uint64_t machine_bytes,
                      const struct memroom_sum *sum) {
    uint64_t available = memroom_available(limits, machine_bytes, sum);
    return less(less(available, sum->due_bytes), reserve(limits));
}

uint64_t memroom_largest(const struct memroom_limits *limits) {
    return less(limits->capacity_bytes, reserve(limits));
}
