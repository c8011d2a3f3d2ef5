/* When an agent counts as silent, on a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/pulse.h"

static const struct pulse_terms terms = {.watch_us = 1000, .patience_us = 100, .hang_us = 500};

static void nothing_is_asked_while_the_lease_is_renewed(void **state) {
    (void)state;
    struct pulse p;
    struct pulse_terms t = terms;
    pulse_begin(&p, 0);
    for (int64_t now = 0; now < 10000; now += 300, t.watch_us = now + 500)
        assert_int_equal(pulse_step(&p, &t, now, true), PULSE_NONE);
    t.watch_us = INT64_MAX;
    assert_true(pulse_due(&p, &t) == INT64_MAX);
    assert_int_equal(pulse_step(&p, &t, 99999, true), PULSE_NONE);
}

static void a_stopped_one_is_silent_after_the_patience(void **state) {
    (void)state;
    struct pulse p;
    pulse_begin(&p, 0);
    assert_true(pulse_due(&p, &terms) == 1000);
    assert_int_equal(pulse_step(&p, &terms, 999, true), PULSE_NONE);
    assert_int_equal(pulse_step(&p, &terms, 1000, true), PULSE_ASK);
    assert_true(pulse_due(&p, &terms) == 1100);
    assert_int_equal(pulse_step(&p, &terms, 1050, true), PULSE_NONE);
    assert_int_equal(pulse_step(&p, &terms, 1100, true), PULSE_SILENT);
    assert_true(p.silent && pulse_due(&p, &terms) == INT64_MAX);
    assert_int_equal(pulse_step(&p, &terms, 5000, true), PULSE_NONE);
    pulse_heard(&p, 5001); /* somebody let it go on */
    assert_false(p.silent);
    assert_int_equal(pulse_step(&p, &terms, 5101, false), PULSE_ASK);
}

static void a_running_one_has_longer(void **state) {
    (void)state;
    struct pulse p;
    pulse_begin(&p, 0);
    assert_int_equal(pulse_step(&p, &terms, 1000, false), PULSE_ASK);
    int64_t now = pulse_due(&p, &terms);
    for (; now < 1500; now = pulse_due(&p, &terms))
        assert_int_equal(pulse_step(&p, &terms, now, false), PULSE_NONE);
    assert_int_equal(pulse_step(&p, &terms, now, false), PULSE_SILENT);
}

static void one_that_answers_is_never_silent(void **state) {
    (void)state;
    struct pulse p;
    pulse_begin(&p, 0);
    for (int64_t now = pulse_due(&p, &terms); now < 100000; now = pulse_due(&p, &terms)) {
        assert_int_equal(pulse_step(&p, &terms, now, true), PULSE_ASK);
        pulse_heard(&p, now + 99);
    }
}

static void one_that_said_so_may_be_quiet_unless_it_is_stopped(void **state) {
    (void)state;
    struct pulse p;
    for (int stopped = 0; stopped < 2; stopped++) {
        pulse_begin(&p, 0);
        pulse_heard(&p, 900);
        pulse_quiet(&p, 3000);
        assert_int_equal(pulse_step(&p, &terms, 1000, stopped), PULSE_ASK);
        int64_t now = pulse_due(&p, &terms);
        while (pulse_step(&p, &terms, now, stopped) == PULSE_NONE)
            now = pulse_due(&p, &terms);
        assert_true(now == (stopped ? 1100 : 3000));
    }
    pulse_heard(&p, 3500); /* it is back: what it said is over */
    assert_true(p.quiet_us == 0);
}

static void who_was_stopped_himself_asks_again(void **state) {
    (void)state;
    struct pulse p;
    pulse_begin(&p, 0);
    assert_int_equal(pulse_step(&p, &terms, 1000, false), PULSE_ASK);
    assert_int_equal(pulse_step(&p, &terms, 60000, true), PULSE_ASK);
    assert_int_equal(pulse_step(&p, &terms, 60100, true), PULSE_SILENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_asked_while_the_lease_is_renewed),
        cmocka_unit_test(a_stopped_one_is_silent_after_the_patience),
        cmocka_unit_test(a_running_one_has_longer),
        cmocka_unit_test(one_that_answers_is_never_silent),
        cmocka_unit_test(one_that_said_so_may_be_quiet_unless_it_is_stopped),
        cmocka_unit_test(who_was_stopped_himself_asks_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
