#include "worker/evict.h"

enum {
    PATIENCE_MS = 1000,
    FREED_MS = 100,  /* from SIGKILL to a GiB freed */
    SMALL_SHARE = 64 /* a task that frees less than this part of what is missing is passed over */
};

#define GIB (UINT64_C(1) << 30)

uint64_t evict_patience_ms(uint64_t used_bytes) {
    return PATIENCE_MS + used_bytes / (GIB / 1000);
}

static uint64_t plus(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Whether available memory lasts for a grace and the kill after it, at the present growth. */
static bool there_is_time(const struct evict_view *view) {
    if (view->growth_bytes_s == 0)
        return true;
    uint64_t left_s = view->available_bytes / view->growth_bytes_s;
    uint64_t rest = view->available_bytes % view->growth_bytes_s;
    uint64_t left_ms =
        left_s > UINT64_MAX / 2000
            ? UINT64_MAX
            : left_s * 1000 + (uint64_t)((double)rest * 1000 / (double)view->growth_bytes_s);
    return left_ms >= plus(view->grace_ms, FREED_MS);
}

/* Whether its memory can be counted on to come back by itself soon. */
static bool is_freeing(const struct evict_view *view, const struct evict_task *task, bool time) {
    switch (task->state) {
    case EVICT_RUNS:
        return false;
    case EVICT_ASKED:
        return time && task->since_ms < view->grace_ms;
    case EVICT_KILLED:
        return task->since_ms < evict_patience_ms(task->used_bytes);
    }
    return false;
}

/* How gladly a task is ended; of equals, the most recent. 0: not at all. */
static int liking(const struct evict_view *view, const struct evict_task *task, uint64_t missing,
                  bool time) {
    if (task->state == EVICT_KILLED || is_freeing(view, task, time))
        return 0;
    if (task->state == EVICT_ASKED)
        return 4; /* its work is lost already */
    if (task->used_bytes < missing / SMALL_SHARE)
        return 1;
    bool over = view->policy == EVICT_OVER_REQUEST &&
                evict_is_culprit(task->promised_bytes, task->used_bytes);
    return over ? 3 : 2;
}

struct evict_choice evict_choose(const struct evict_view *view, const struct evict_task *tasks,
                                 size_t count) {
    struct evict_choice choice = {EVICT_NONE, 0};
    if (view->available_bytes >= view->trigger_bytes)
        return choice;
    bool time = there_is_time(view);
    uint64_t missing = view->trigger_bytes - view->available_bytes, freeing = 0;
    for (size_t i = 0; i < count; i++)
        if (is_freeing(view, &tasks[i], time))
            freeing = plus(freeing, tasks[i].used_bytes);
    if (freeing >= missing)
        return choice;
    missing -= freeing;
    int best = 0;
    for (size_t i = 0; i < count; i++) {
        int like = liking(view, &tasks[i], missing, time);
        if (like > best || (like && like == best && tasks[i].order > tasks[choice.index].order)) {
            best = like;
            choice.index = i;
        }
    }
    if (best > 0 && best < 4 && time)
        choice.grace_ms = view->grace_ms;
    return choice;
}
