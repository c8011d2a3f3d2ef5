#include "worker/placement.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/native.h"

enum { CPU_WORDS_MAX = 40, FLAG_HARD = 1, FLAG_PINNED = 2 };

/* Of a whole card, when one is free. */
static bool takes_card(const struct task *task) {
    return task->type == TASK_NATIVE && !task_option(task, OPT_GPU) &&
           !task_option(task, OPT_GPU_MEM) &&
           native_device(task->params, task->params_len) == NATIVE_DEVICE_AUTO;
}

struct placement *placement_of(const struct task *task) {
    bool optional = takes_card(task);
    struct placement p = {
        .gpu = {optional ? GPUPLACE_WHOLE : (uint32_t)task_gpu_milli(task),
                (uint64_t)task_option_number(task, OPT_GPU_MEM, 0)},
        .gpu_optional = optional,
        .pin = task_option_is(task, OPT_PIN, "core")   ? PLACEMENT_CORE
               : task_option_is(task, OPT_PIN, "numa") ? PLACEMENT_NUMA
                                                       : PLACEMENT_FREE,
        .hard = task_option_is(task, OPT_LIMIT, "hard"),
    };
    if (gpu_request_none(&p.gpu) && p.pin == PLACEMENT_FREE && !p.hard)
        return NULL;
    if (p.hard) {
        p.limit_bytes = task->mem_bytes == TASK_MEM_AUTO ? 0 : task->mem_bytes;
        p.limit_mcpu = task->mcpu;
    }
    struct placement *placement = xmalloc(sizeof *placement);
    *placement = p;
    return placement;
}

void placement_free(struct placement *placement) {
    if (!placement)
        return;
    free(placement->gpus);
    free(placement);
}

uint32_t placement_card(const char *uuid) {
    return (uint32_t)XXH3_64bits(uuid, strlen(uuid));
}

static void pack_cpus(const struct placement *p, struct buf *out) {
    size_t first = 0, last = CPUS_MAX / 64;
    while (first < last && !p->cpus.bits[first])
        first++;
    while (last > first && !p->cpus.bits[last - 1])
        last--;
    bool known = p->pinned && last > first && last - first <= CPU_WORDS_MAX;
    buf_add_be(out, known ? first : 0, 1);
    buf_add_be(out, known ? last - first : 0, 1);
    for (size_t i = first; known && i < last; i++)
        buf_add_be(out, p->cpus.bits[i], 8);
}

void placement_pack(const struct placement *p, struct buf *out) {
    if (!p)
        return;
    buf_add_be(out, (p->hard ? FLAG_HARD : 0u) | (p->pinned ? FLAG_PINNED : 0u), 1);
    buf_add_be(out, (uint64_t)p->pin, 1);
    buf_add_be(out, p->limit_bytes, 8);
    buf_add_be(out, p->limit_mcpu, 4);
    buf_add_be(out, p->pinned_mcpu, 4);
    buf_add_be(out, p->gpu_optional && !p->grant.count ? 0 : p->gpu.milli, 4);
    buf_add_be(out, p->gpu.mem_bytes, 8);
    buf_add_be(out, p->card_count, 1);
    for (size_t i = 0; i < p->card_count; i++)
        buf_add_be(out, p->cards[i], 4);
    pack_cpus(p, out);
}

static bool unpack_cpus(struct cursor *c, struct placement *p) {
    size_t first = (size_t)cursor_be(c, 1), count = (size_t)cursor_be(c, 1);
    if (count > CPU_WORDS_MAX || first + count > CPUS_MAX / 64)
        return false;
    for (size_t i = 0; i < count; i++)
        p->cpus.bits[first + i] = cursor_be(c, 8);
    p->pinned = p->pinned && count > 0;
    return true;
}

static bool unpack(struct cursor *c, struct placement *p) {
    uint64_t flags = cursor_be(c, 1), pin = cursor_be(c, 1);
    p->hard = flags & FLAG_HARD;
    p->pinned = flags & FLAG_PINNED;
    p->limit_bytes = cursor_be(c, 8);
    p->limit_mcpu = (uint32_t)cursor_be(c, 4);
    p->pinned_mcpu = (uint32_t)cursor_be(c, 4);
    p->gpu.milli = (uint32_t)cursor_be(c, 4);
    p->gpu.mem_bytes = cursor_be(c, 8);
    p->card_count = (uint8_t)cursor_be(c, 1);
    if (c->failed || flags > (FLAG_HARD | FLAG_PINNED) || pin > PLACEMENT_NUMA ||
        p->card_count > GPUS_MAX)
        return false;
    p->pin = (enum placement_pin)pin;
    for (size_t i = 0; i < p->card_count; i++)
        p->cards[i] = (uint32_t)cursor_be(c, 4);
    return unpack_cpus(c, p) && !c->failed && cursor_left(c) == 0;
}

bool placement_unpack(const char *bytes, size_t len, struct placement **placement) {
    *placement = NULL;
    if (len == 0)
        return true;
    struct placement *p = xcalloc(1, sizeof *p);
    struct cursor c = cursor_make(bytes, len);
    if (!unpack(&c, p)) {
        placement_free(p);
        return false;
    }
    *placement = p;
    return true;
}
