/* result.h: what an exit means, and what the entry of the try log says of it. */
#include "tests/unit/result_rig.h"

/* --- what the exit means --------------------------------------------------------------------- */

static void every_exit_has_its_outcome(void **state) {
    (void)state;
    enum { SECOND = 1000, NO_MORE = -1, FIRST_TRY = 0, LAST_TRY = 3 };
    static const struct {
        struct wire_exit exit;
        enum run_fate fate;
        uint16_t failures;
        enum try_outcome outcome;
        int64_t delay_ms; /* -2: does not matter */
    } rows[] = {
        {{.status = EXITED(0)}, RUN_RAN, FIRST_TRY, TRY_FINISHED, -2},
        {{.status = EXITED(1)}, RUN_RAN, FIRST_TRY, TRY_FAILED, SECOND},
        {{.status = EXITED(1)}, RUN_RAN, 1, TRY_FAILED, 2 * SECOND},
        {{.status = EXITED(1)}, RUN_RAN, 2, TRY_FAILED, 4 * SECOND},
        {{.status = EXITED(1)}, RUN_RAN, LAST_TRY, TRY_FAILED, NO_MORE},
        {{.status = EXITED(0)}, RUN_RAN, LAST_TRY, TRY_FINISHED, -2},
        {{.status = KILLED(9)}, RUN_RAN, FIRST_TRY, TRY_FAILED, SECOND},
        {{.status = EXITED(127)}, RUN_RAN, FIRST_TRY, TRY_FAILED, SECOND},
        {{.status = EXITED(75)}, RUN_RAN, FIRST_TRY, TRY_TEMPFAIL, SECOND},
        {{.status = EXITED(75)}, RUN_RAN, LAST_TRY, TRY_TEMPFAIL, 8 * SECOND}, /* uncounted */
        {{.status = KILLED(75)}, RUN_RAN, FIRST_TRY, TRY_FAILED, SECOND},
        {{.status = KILLED(15), .why = WIRE_WHY_TIMEOUT}, RUN_RAN, 0, TRY_TIMEOUT, SECOND},
        {{.status = EXITED(0), .why = WIRE_WHY_TIMEOUT}, RUN_RAN, 0, TRY_TIMEOUT, SECOND},
        {{.status = EXITED(75), .why = WIRE_WHY_TIMEOUT}, RUN_RAN, 3, TRY_TIMEOUT, NO_MORE},
        {{.status = EXITED(0), .why = WIRE_WHY_CANCEL}, RUN_RAN, 0, TRY_CANCELLED, -2},
        {{.status = KILLED(9), .why = WIRE_WHY_MEMORY}, RUN_RAN, LAST_TRY, TRY_RETURNED, 0},
        {{.status = KILLED(9), .why = WIRE_WHY_RETURN}, RUN_RAN, LAST_TRY, TRY_RELEASED, 0},
        {{.status = KILLED(9), .why = WIRE_WHY_STALE}, RUN_RAN, LAST_TRY, TRY_RELEASED, 0},
        {{.status = KILLED(9), .why = WIRE_WHY_ORPHAN}, RUN_RAN, LAST_TRY, TRY_RELEASED, 0},
        {{.spawn_errno = EAGAIN}, RUN_RAN, LAST_TRY, TRY_RELEASED, 0}, /* comes back by itself */
        {{.spawn_errno = ENOMEM}, RUN_RAN, LAST_TRY, TRY_RELEASED, 0},
        {{.spawn_errno = EMFILE}, RUN_RAN, LAST_TRY, TRY_RELEASED, 0},
        {{.spawn_errno = ENFILE}, RUN_RAN, LAST_TRY, TRY_RELEASED, 0},
        {{.spawn_errno = ENOENT}, RUN_RAN, FIRST_TRY, TRY_FAILED, SECOND}, /* status 0 is no exit */
        {{.spawn_errno = EACCES}, RUN_RAN, LAST_TRY, TRY_FAILED, NO_MORE},
        {{.status = EXITED(126)}, RUN_REFUSED, FIRST_TRY, TRY_FAILED, SECOND},
        {{.status = EXITED(0)}, RUN_LOST, FIRST_TRY, TRY_LOST, 0},
        {{.status = EXITED(0)}, RUN_RELEASED, FIRST_TRY, TRY_RELEASED, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t delay_ms;
        run.exit = rows[i].exit;
        run.fate = rows[i].fate;
        run.failures = rows[i].failures;
        enum try_outcome outcome = result_outcome(&run, &config, &delay_ms);
        if (outcome != rows[i].outcome || (rows[i].delay_ms != -2 && delay_ms != rows[i].delay_ms))
            fail_msg("row %zu: %s, %lld ms", i, try_outcome_name(outcome), (long long)delay_ms);
    }
}

static void a_tasks_own_retries_and_backoff(void **state) {
    (void)state;
    int64_t delay_ms;
    run.exit.status = EXITED(1);
    run.retries = 2;
    run.backoff_ms = 100;
    assert_int_equal(result_outcome(&run, &config, &delay_ms), TRY_FAILED);
    assert_int_equal(delay_ms, 100);
    run.failures = 1;
    result_outcome(&run, &config, &delay_ms);
    assert_int_equal(delay_ms, -1);
    run.retries = 1000;
    run.failures = 900;
    result_outcome(&run, &config, &delay_ms);
    assert_int_equal(delay_ms, config.retry_backoff_max_ms);
    run.backoff_ms = 300000; /* a task may ask for more than the configuration's most */
    result_outcome(&run, &config, &delay_ms);
    assert_int_equal(delay_ms, 300000);
    run.backoff_ms = 0;
    result_outcome(&run, &config, &delay_ms);
    assert_int_equal(delay_ms, 0);
}

/* Code 2 of a program may mean anything; a kernel says by it that no other try can do better. */
static void what_a_kernel_refuses_is_not_tried_again(void **state) {
    (void)state;
    int64_t delay_ms;
    run.exit.status = EXITED(2);
    assert_int_equal(result_outcome(&run, &config, &delay_ms), TRY_FAILED);
    assert_true(delay_ms >= 0);
    run.native = true;
    assert_int_equal(result_outcome(&run, &config, &delay_ms), TRY_FAILED);
    assert_int_equal(delay_ms, -1);
}

static void backoff_doubles_up_to_its_most(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(result_backoff(1000, 60000, i), 1000 << i);
    assert_int_equal(result_backoff(1000, 60000, 6), 60000);
    assert_int_equal(result_backoff(1000, 60000, UINT32_MAX), 60000);
    assert_int_equal(result_backoff(60000, 60000, 0), 60000);
    assert_int_equal(result_backoff(0, 60000, 1000000), 0);
    assert_int_equal(result_backoff(3, INT64_MAX, UINT32_MAX), INT64_MAX); /* no overflow */
}

static void the_entry_says_how_it_ran(void **state) {
    (void)state;
    run.exit = (struct wire_exit){.status = EXITED(3),
                                  .start_wall_ms = 1000,
                                  .end_wall_ms = 2500,
                                  .wall_us = 1499000,
                                  .user_us = 11,
                                  .system_us = 12,
                                  .maxrss_kib = 13};
    print(false, "out", 3);
    print(true, "why\n", 4);
    assert_true(make());
    assert_int_equal(result.outcome, TRY_FAILED);
    assert_int_equal(result.delay_ms, 1000);
    assert_int_equal(result.wall_us, 1499000);
    assert_int_equal(entry.try_number, 2);
    assert_int_equal(entry.outcome, TRY_FAILED);
    assert_int_equal(entry.exit_code, 3);
    assert_int_equal(entry.signal, 0);
    assert_int_equal(entry.start_ms, 1000);
    assert_int_equal(entry.end_ms, 2500);
    assert_int_equal(entry.wall_us, 1499000);
    assert_int_equal(entry.user_us, 11);
    assert_int_equal(entry.system_us, 12);
    assert_int_equal(entry.maxrss_kib, 13);
    assert_int_equal(entry.out_bytes, 3);
    assert_int_equal(entry.err_bytes, 4);
    assert_string_equal(entry.nonce, NONCE);
    expect_text(entry.worker, "w1");
    expect_text(entry.node, "");
    expect_text(entry.path, "");
    expect_text(entry.reason, "why");
    expect_text(output.out, "out");
    expect_text(output.err, "why\n");
    assert_int_equal(output.flags, 0);
    assert_int_equal(result.ack_flags, 0);
    run.exit.status = KILLED(11);
    assert_true(make());
    assert_int_equal(entry.signal, 11);
    assert_int_equal(entry.exit_code, 0);
}

static void finished_without_a_word(void **state) {
    (void)state;
    assert_false(make());
    assert_int_equal(result.outcome, TRY_FINISHED);
    expect_text(entry.reason, "");
    print(true, "only a warning\n", 15);
    assert_true(make());
    expect_text(entry.reason, ""); /* why it failed; it did not */
    expect_text(output.out, "");
}

static void tries_that_never_ran_have_no_entry(void **state) {
    (void)state;
    struct result_files files = {state_dir, result_dir, "node1"};
    static const enum run_fate fates[] = {RUN_LOST, RUN_RELEASED};
    run.slot = RUN_NO_SLOT;
    for (int i = 0; i < 2; i++) {
        run.fate = fates[i];
        result_make(&result, &run, &config, &files);
        assert_int_equal(result.outcome, i ? TRY_RELEASED : TRY_LOST);
        assert_int_equal(result.entry.len + result.output.len, 0);
    }
}

static void what_could_not_start_is_no_exit_0(void **state) {
    (void)state;
    run.exit.spawn_errno = ENOENT;
    assert_false(make());
    assert_int_equal(entry.exit_code, 126);
    assert_true(contains(entry.reason, "could not be started: No such file or directory"));
    run.exit.status = WIRE_STEP_CPUS;
    assert_false(make());
    assert_int_equal(entry.exit_code, 126);
    assert_int_equal(entry.signal, 0);
    assert_true(contains(entry.reason, "could not be started: cannot be pinned to its CPUs: No"));
    run.exit.spawn_errno = 0;
    run.exit.status = EXITED(126);
    run.fate = RUN_REFUSED;
    run.exit.out_bytes = 5; /* of the try that had the slot before: not this one's */
    char why[] = "a quote is not closed";
    run.start_error = why;
    make();
    expect_text(entry.reason, why);
    assert_int_equal(entry.exit_code, 126);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        fresh(every_exit_has_its_outcome),
        fresh(a_tasks_own_retries_and_backoff),
        fresh(what_a_kernel_refuses_is_not_tried_again),
        fresh(backoff_doubles_up_to_its_most),
        fresh(the_entry_says_how_it_ran),
        fresh(finished_without_a_word),
        fresh(tries_that_never_ran_have_no_entry),
        fresh(what_could_not_start_is_no_exit_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
