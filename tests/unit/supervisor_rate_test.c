/*
 * supervisor_rate_test - how fast does the supervisor run small tasks?
 *
 * As a test: 500 tasks, all with exit code 0, so that the figure can be trusted. By hand:
 *     build/tests/supervisor_rate_test N PARALLEL program args...
 * prints tasks per second; compare with build/tests/bench/spawn_loop N PARALLEL program args...
 */
#include "tests/unit/fake_agent.h"

static double run(struct rig *r, long n, uint32_t parallel, char *const *argv) {
    struct rig_start s = {.flags = WIRE_START_DIRECT, .fallback = {"/bin/sh", "-c", "false"}};
    for (int i = 0; i < 7 && argv[i]; i++)
        s.argv[i] = argv[i];
    r->corked = true; /* ACK and START in one write, as the agent does */
    int64_t begin_us = ustime_mono();
    long sent = 0, done = 0;
    for (uint32_t slot = 0; slot < parallel && sent < n; slot++, sent++) {
        s.slot = slot;
        rig_start(r, &s);
    }
    while (done < n) {
        assert_int_not_equal(rig_frame(r), 0);
        for (uint32_t slot = 0; slot < parallel; slot++) {
            if (!r->exited[slot])
                continue;
            assert_int_equal(r->exit[slot].spawn_errno, 0);
            assert_int_equal(r->exit[slot].status, 0);
            r->exited[slot] = false;
            rig_ack(r, slot, 0);
            done++;
            if (sent < n) {
                s.slot = slot;
                rig_start(r, &s);
                sent++;
            }
        }
    }
    r->corked = false;
    return (double)n * US_PER_S / (double)(ustime_mono() - begin_us);
}

static void small_tasks(void **state) {
    (void)state;
    struct rig r;
    rig_up(&r, NULL);
    run(&r, 500, 4, (char *[]){"true", NULL});
    rig_down(&r);
}

int main(int argc, char **argv) {
    if (argc > 3) {
        static struct rig r;
        rig_up(&r, NULL);
        long n = strtol(argv[1], NULL, 10), parallel = strtol(argv[2], NULL, 10);
        printf("%.0f tasks/s\n", run(&r, n, (uint32_t)parallel, argv + 3));
        rig_down(&r);
        return 0;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(small_tasks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
