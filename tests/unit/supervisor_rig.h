/*
 * supervisor_rig.h - for tests under a supervisor of their own (fake_agent.h), new for each; they
 * may run this program again.
 */
#ifndef DISTCOMP_SUPERVISOR_RIG_H
#define DISTCOMP_SUPERVISOR_RIG_H

#include "tests/unit/fake_agent.h"

static struct rig r;

RIG_UNUSED static int up(void **state) {
    (void)state;
    rig_up(&r, NULL);
    return 0;
}

RIG_UNUSED static int down(void **state) {
    (void)state;
    rig_down(&r);
    return 0;
}

#define fresh(test) cmocka_unit_test_setup_teardown(test, up, down)

static char self[512]; /* the path of this program */

RIG_UNUSED static void find_self(void) {
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
}

/* A child that shares no memory with us cannot tell which step failed; and limits are not real. */
#define NOT_UNDER_VALGRIND()                                                                       \
    do {                                                                                           \
        if (getenv("UNDER_VALGRIND"))                                                              \
            skip();                                                                                \
    } while (0)

#endif
