/* result.h: what is said, and learned, of a try's memory. */
#include "tests/unit/result_rig.h"

#define M (UINT64_C(1) << 20)

static void the_peak_by_table(void **state) {
    (void)state;
    enum { LONG_US = 60000000, SHORT_US = 1900000 };
    static const struct {
        struct usage_reading last;
        uint64_t wall_us, maxrss_kib, peak_bytes;
    } rows[] = {
        /* never measured: the kernel's figure of its largest process */
        {{.source = USAGE_NONE}, 1000, 2048, 2 * M},
        {{.source = USAGE_NONE}, LONG_US, 2048, 2 * M},
        {{.source = USAGE_NONE}, 0, 0, 0},
        /* measured a few times: it may have grown after the last */
        {{.source = USAGE_PROCESSES, .peak_bytes = M, .processes = 1}, SHORT_US, 2048, 2 * M},
        {{.source = USAGE_PROCESSES, .peak_bytes = 3 * M, .processes = 1}, SHORT_US, 2048, 3 * M},
        {{.source = USAGE_PROCESSES, .peak_bytes = 3 * M}, SHORT_US, 4096, 4 * M}, /* none left */
        /* its figure has mapped files in it, and one process is not all of them */
        {{.source = USAGE_PROCESSES, .peak_bytes = M, .processes = 1}, LONG_US, 2048, M},
        {{.source = USAGE_PROCESSES, .peak_bytes = M, .processes = 2}, SHORT_US, 2048, M},
        {{.source = USAGE_MEMBERS, .peak_bytes = M, .processes = 1}, SHORT_US, 2048, 2 * M},
        /* a cgroup misses nothing */
        {{.source = USAGE_CGROUP, .peak_bytes = M}, SHORT_US, 2048, M},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct wire_exit how = {.wall_us = rows[i].wall_us, .maxrss_kib = rows[i].maxrss_kib};
        uint64_t peak = result_peak(&rows[i].last, &how);
        if (peak != rows[i].peak_bytes)
            fail_msg("row %zu: %llu", i, (unsigned long long)peak);
    }
}

static void returned(uint64_t promised, uint64_t peak) {
    run.exit.status = KILLED(9);
    run.exit.why = WIRE_WHY_MEMORY;
    run.mem_bytes = promised;
    run.memory.peak_bytes = peak;
    make();
    assert_int_equal(result.outcome, TRY_RETURNED);
    assert_int_equal(result.memory.promised_bytes, promised);
    assert_int_equal(result.memory.peak_bytes, peak);
    assert_int_equal(entry.maxrss_kib, peak / 1024);
}

static void a_culprit_needs_more_and_a_bystander_does_not(void **state) {
    (void)state;
    returned(2048 * M, 3072 * M);
    expect_text(entry.reason, "memory was short: it used 3.0 GiB of the 2.0 GiB promised");
    assert_int_equal(result.memory.need_bytes, 3840 * M); /* a quarter more is a rung by itself */
    returned(2048 * M, 2048 * M);
    expect_text(entry.reason, "memory was short: it used 2.0 GiB, within the 2.0 GiB promised");
    assert_int_equal(result.memory.need_bytes, 0);
    returned(2048 * M, 0); /* it was not measured */
    expect_text(entry.reason, "memory was short");
    assert_int_equal(result.memory.need_bytes, 0);
}

/* Not known to be above its promise, but the kernel chose it: the same again would go on for ever.
 */
static void what_the_kernel_killed_is_a_culprit(void **state) {
    (void)state;
    run.exit.status = KILLED(9);
    run.mem_bytes = 1024 * M;
    run.memory.peak_bytes = 100 * M;
    run.memory.verdict = OOM_MACHINE;
    run.failures = 3; /* it would be the last one */
    make();
    assert_int_equal(result.outcome, TRY_RETURNED);
    assert_int_equal(result.delay_ms, 0);
    assert_int_equal(result.memory.peak_bytes, 100 * M); /* as it was measured */
    assert_true(result.memory.need_bytes >= 1280 * M && result.memory.need_bytes <= 1440 * M);
    expect_text(entry.reason, "the kernel killed it for want of memory: it used 100.0 MiB, within "
                              "the 1.0 GiB promised");
}

static void a_limit_of_its_own_is_a_failure_that_says_so(void **state) {
    (void)state;
    run.exit.status = KILLED(9);
    run.mem_bytes = 1024 * M;
    run.memory.verdict = OOM_LIMIT;
    struct placement placement = {.hard = true, .limit_bytes = 512 * M};
    run.placement = &placement;
    print(true, "Killed\n", 7);
    make();
    assert_int_equal(result.outcome, TRY_FAILED);
    expect_text(entry.reason, "it went over its limit of 512.0 MiB (limit=hard)");
    assert_int_equal(result.memory.need_bytes, 0);
}

static void only_tries_that_ran_teach(void **state) {
    (void)state;
    struct result_files files = {state_dir, result_dir, "node1"};
    snprintf(run.family, sizeof run.family, "shell true");
    run.memory.peak_bytes = M;
    make();
    assert_string_equal(result.memory.family, "shell true");
    for (int fate = RUN_RELEASED; fate <= RUN_LOST; fate++) {
        run.fate = (enum run_fate)fate;
        result_free(&result);
        result_make(&result, &run, &config, &files);
        assert_string_equal(result.memory.family, "");
        assert_int_equal(result.memory.peak_bytes, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_peak_by_table),
        fresh(a_culprit_needs_more_and_a_bystander_does_not),
        fresh(what_the_kernel_killed_is_a_culprit),
        fresh(a_limit_of_its_own_is_a_failure_that_says_so),
        fresh(only_tries_that_ran_teach),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
