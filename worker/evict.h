/*
 * evict.h - which task is given back when memory runs short. Pure.
 *
 * Asked at every reading of the watch, and again after each task that it names, until it names
 * none. It sees what is being freed already, so that no more tasks are ended than are needed:
 *
 *     missing = trigger - available - what tasks that are being ended will free
 *
 * The only task goes back as well: below the trigger the next to act is the kernel. Why a task that
 * went back does not come straight back here is in docs/memory.md.
 */
#ifndef DISTCOMP_EVICT_H
#define DISTCOMP_EVICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum evict_policy {
    EVICT_MOST_RECENT, /* the one that was started last */
    EVICT_OVER_REQUEST /* the last started of those above their promise, if any; else as above */
};

enum evict_state {
    EVICT_RUNS,
    EVICT_ASKED, /* was sent SIGTERM for memory, and has grace left */
    EVICT_KILLED /* was sent SIGKILL, for whatever reason */
};

struct evict_task {
    uint64_t order; /* of starts: the largest is the most recent */
    uint64_t promised_bytes;
    uint64_t
        used_bytes; /* measured now: the watch measures all tasks once it is below the trigger */
    enum evict_state state;
    uint64_t since_ms; /* since the signal of `state`; 0 when it runs */
};

struct evict_view {
    enum evict_policy policy;
    uint64_t available_bytes;
    uint64_t trigger_bytes;
    uint64_t growth_bytes_s; /* of all tasks together: memrate_growth */
    uint64_t grace_ms;       /* return_grace, 0: none */
};

#define EVICT_NONE SIZE_MAX
struct evict_choice {
    size_t index;      /* of the task to end, or EVICT_NONE */
    uint64_t grace_ms; /* from SIGTERM to SIGKILL; 0: SIGKILL now */
};

/*
 * The next task to end. One that was asked is named again, with no grace, when there is no time
 * left for it. Of two that would do, the smaller is passed over when its end would free less than
 * 1/64 of what is missing: nothing is gained by it.
 */
struct evict_choice evict_choose(const struct evict_view *view, const struct evict_task *tasks,
                                 size_t count);

/*
 * How long memory of a killed task may take to come back before it is no longer counted on (a
 * process that hangs in the kernel): a second, and one for each GiB. Measured: 0.1 s a GiB.
 */
uint64_t evict_patience_ms(uint64_t used_bytes);

/* Whether a task that goes back is one that took more than it was promised. */
static inline bool evict_is_culprit(uint64_t promised_bytes, uint64_t used_bytes) {
    return used_bytes > promised_bytes;
}

#endif
