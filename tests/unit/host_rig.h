/*
 * host_rig.h - for tests of hosts (worker/host.h): tries of a fake host under a supervisor of their
 * own. Keys are 7 where they do not matter.
 */
#ifndef DISTCOMP_HOST_RIG_H
#define DISTCOMP_HOST_RIG_H

#include "tests/unit/fake_host.h"
#include "tests/unit/supervisor_rig.h"

RIG_UNUSED static void start_key(uint32_t slot, uint64_t key, const char *orders) {
    rig_start(&r, &(struct rig_start){.slot = slot,
                                      .flags = WIRE_START_HOST,
                                      .host = {.key = key},
                                      .argv = {self, "serve", orders}});
}

RIG_UNUSED static void start(uint32_t slot, const char *orders) {
    start_key(slot, 7, orders);
}

RIG_UNUSED static struct wire_exit run_key(uint32_t slot, uint64_t key, const char *orders) {
    start_key(slot, key, orders);
    return rig_exit(&r, slot);
}

RIG_UNUSED static char *files_path(uint32_t slot, const char *stream) {
    static char path[256];
    uint32_t files = r.exit[slot].files;
    snprintf(path, sizeof path, "%s/out/%s%u.%s", r.dir, files >= WIRE_FILES_HOST ? "h" : "",
             files % WIRE_FILES_HOST, stream);
    return path;
}

/* Of a try that has ended. */
RIG_UNUSED static const char *output(uint32_t slot, const char *stream) {
    return rig_file(files_path(slot, stream), NULL);
}

/* Runs a try, acknowledges it, and expects this of it. */
RIG_UNUSED static int32_t expect(uint32_t slot, const char *orders, const char *out,
                                 const char *err) {
    struct wire_exit e = run_key(slot, 7, orders);
    assert_int_equal(e.spawn_errno, 0);
    assert_string_equal(output(slot, "out"), out);
    assert_int_equal(e.out_bytes, strlen(out));
    assert_string_equal(output(slot, "err"), err);
    assert_int_equal(e.err_bytes, strlen(err));
    rig_ack(&r, slot, 0);
    return e.pid;
}

#endif
