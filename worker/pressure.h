/*
 * pressure.h - the kernel's notifications that memory is getting short, as descriptors to poll.
 *
 * Each is optional and none is trusted to come: the watch has its own timer (memwatch), and a
 * notification only makes it look at once. All may come without reason (page cache fills a limit),
 * so looking has to be cheap, and the caller bounds how often it does.
 *
 *   PRESSURE_STALL   PSI: tasks waited for memory 20 ms within 0.5 s, machine-wide and in the
 *                    first version 2 cgroup above us with a limit. Without CAP_SYS_RESOURCE only
 * windows of 2 s are allowed (Linux 6.5): then 40 ms within 2 s, told up to 2 s late. Late in any
 * case where there is no swap: a process waits only when nothing is left. PRESSURE_USAGE   version
 * 1: a limit above us is nearly used up (page cache included): an eventfd at limit less
 * `trigger_bytes`, told as it is crossed, either way PRESSURE_LEVEL   version 1: the kernel
 * reclaims in earnest ("medium") under a limit above us PRESSURE_EVENTS  version 2: memory.events
 * of a group above us with a limit has changed: the limit was met, or the kernel killed. By inotify
 */
#ifndef DISTCOMP_PRESSURE_H
#define DISTCOMP_PRESSURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/resources.h"

enum pressure_kind { PRESSURE_STALL, PRESSURE_USAGE, PRESSURE_LEVEL, PRESSURE_EVENTS };

struct pressure_source {
    enum pressure_kind kind;
    int fd;         /* non-blocking, close-on-exec */
    short events;   /* for poll(2): POLLPRI or POLLIN (uv_poll_t: UV_PRIORITIZED, UV_READABLE) */
    char what[160]; /* for the log: "/proc/pressure/memory some 20000 500000" */
};

enum { PRESSURE_MAX = 12 };
struct pressure {
    struct pressure_source sources[PRESSURE_MAX];
    size_t count;
};

/* Opens what there is; `root` is "" but in tests, limits are those above us, from our own group
 * upwards (machine_limit). Never fails: count may be 0. */
void pressure_open(struct pressure *pressure, const char *root, const struct resource_limit *limits,
                   size_t count, uint64_t trigger_bytes);
/* After the descriptor was ready, or it would be again at once. False: the source is broken (its
 * cgroup was removed): stop polling it. */
bool pressure_drain(const struct pressure_source *source);
/* Closes all; take them out of the loop before. Open again when the trigger changes. */
void pressure_close(struct pressure *pressure);

#endif
