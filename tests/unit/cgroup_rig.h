/*
 * cgroup_rig.h - for tests: tries in cgroups, with the real processes of task_rig.h.
 */
#ifndef DISTCOMP_CGROUP_RIG_H
#define DISTCOMP_CGROUP_RIG_H

#include "tests/unit/task_rig.h"

/* On this machine's hierarchies, or with none. */
RIG_UNUSED static struct cgroups *open_groups(void) {
    /* The same key in every run: what a failed one left is removed by the next. */
    struct cgroup_options options = {"", "unit test", getpid(), 16};
    return cgroups_open(&options);
}

/* After open_groups(): what cannot be made here is skipped, and says why. */
#define SKIP_UNLESS(condition, why)                                                                \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_message("expected: %s\n", why);                                                  \
            cgroups_close(groups, true);                                                           \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

/* cgroup_begin() that must succeed. */
static void begin(struct cgroups *groups, uint32_t slot, uint64_t memory_bytes, uint32_t mcpu,
                  struct cgroup_entry *entry) {
    struct buf error = BUF_INIT;
    struct cgroup_limits limits = {memory_bytes, mcpu};
    if (!cgroup_begin(groups, slot, &limits, entry, &error))
        fail_msg("%s", error.data);
    buf_free(&error);
}

#endif
