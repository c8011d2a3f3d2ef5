/* peaks.h: quantiles on the ladder, ageing, the hash's fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/peaks.h"
#include "common/task.h"

#define M (UINT64_C(1) << 20)
#define G (UINT64_C(1) << 30)

static void quantiles_of_a_hundred(void **state) {
    (void)state;
    struct peaks peaks = PEAKS_INIT;
    assert_int_equal(peaks_quantile(&peaks, 50), 0);
    for (uint64_t i = 1; i <= 100; i++)
        peaks_add(&peaks, i * 64 * M, 0);
    for (unsigned percent = 1; percent <= 100; percent++) {
        uint64_t exact = percent * 64 * M, quantile = peaks_quantile(&peaks, percent);
        assert_in_range(quantile, exact, exact + exact / 8);
    }
    assert_int_equal(peaks.max_bytes, 6400 * M);
    assert_int_equal(peaks_need(&peaks), peaks_quantile(&peaks, 95));
    assert_int_equal(peaks_hold(&peaks), peaks_quantile(&peaks, 50));
}

static void known_after_the_first_few(void **state) {
    (void)state;
    struct peaks peaks = PEAKS_INIT;
    for (int i = 0; i < PEAKS_FIRST; i++) {
        assert_false(peaks_known(&peaks));
        peaks_add(&peaks, (uint64_t)(i + 1) * G, 0);
    }
    assert_true(peaks_known(&peaks));
    assert_int_equal(peaks_need(&peaks), 5 * G); /* of so few: the largest */
    assert_int_equal(peaks_hold(&peaks), 3 * G);
}

static void a_peak_of_nothing_counts(void **state) {
    (void)state;
    struct peaks peaks = PEAKS_INIT;
    peaks_add(&peaks, 0, 0);
    assert_int_equal(peaks.count, 1);
    assert_int_equal(peaks_quantile(&peaks, 95), M);
}

static void need_is_computed_seldom(void **state) {
    (void)state;
    unsigned computed = 0;
    for (uint64_t count = 1, fresh = 1; count <= 1000; count++, fresh++)
        if (peaks_need_due(count, fresh)) {
            computed++;
            fresh = 0;
        }
    assert_false(peaks_need_due(PEAKS_FIRST - 1, PEAKS_FIRST - 1));
    assert_true(peaks_need_due(PEAKS_FIRST, 1));
    assert_false(peaks_need_due(160, 10));
    assert_true(peaks_need_due(160, 11));
    assert_in_range(computed, 50, 100);
}

static void wasted_share(void **state) {
    (void)state;
    struct peaks peaks = PEAKS_INIT;
    assert_int_equal(peaks_wasted_milli(&peaks), 0);
    peaks_add(&peaks, 5 * G, 0); /* asked for nothing: says nothing of requests */
    assert_int_equal(peaks_wasted_milli(&peaks), 0);
    peaks_add(&peaks, G, 4 * G);
    peaks_add(&peaks, 2 * G, 4 * G);
    assert_int_equal(peaks_wasted_milli(&peaks), 625);
    peaks_add(&peaks, 9 * G, G);
    assert_int_equal(peaks_wasted_milli(&peaks), 0);
}

/* A program that has come to need less, or more, is learned although thousands ran before. */
static void a_changed_program_is_learned(void **state) {
    (void)state;
    struct peaks peaks = PEAKS_INIT;
    for (int i = 0; i < 10000; i++)
        peaks_add(&peaks, 8 * G, 0);
    assert_true(peaks.count < PEAKS_MOST);
    int more = 0, less = 0;
    for (; peaks_need(&peaks) < 16 * G; more++)
        peaks_add(&peaks, 16 * G, 0);
    assert_in_range(more, 10, 40); /* a twentieth of the newest */
    for (int i = 0; i < 1000; i++)
        peaks_add(&peaks, 16 * G, 0);
    for (; peaks_need(&peaks) > G; less++)
        peaks_add(&peaks, G, 0);
    assert_in_range(less, 256, 2000);
}

static void ageing_halves_all(void **state) {
    (void)state;
    struct peaks peaks = PEAKS_INIT;
    for (int i = 0; i < 5; i++)
        peaks_add(&peaks, G, 2 * G);
    peaks_add(&peaks, 9 * G - 1, 0);
    peaks_age(&peaks);
    assert_int_equal(peaks.count, 2);
    assert_int_equal(peaks.steps[task_mem_step(G)], 2);
    assert_int_equal(peaks.max_bytes, G); /* the single high one is forgotten */
    assert_int_equal(peaks_wasted_milli(&peaks), 500);
    peaks_age(&peaks);
    peaks_age(&peaks);
    assert_int_equal(peaks.count, 0);
    assert_int_equal(peaks_need(&peaks), 0);
}

static bool read_field(struct peaks *peaks, const char *name, const char *value) {
    return peaks_read_field(peaks, name, strlen(name), value, strlen(value));
}

static void fields_of_the_hash(void **state) {
    (void)state;
    struct peaks peaks = PEAKS_INIT, same = PEAKS_INIT;
    for (int i = 0; i < 3; i++)
        peaks_add(&same, G, 2 * G);
    peaks_add(&same, 3 * G, 4 * G);
    assert_true(read_field(&peaks, "81", "1"));
    assert_true(read_field(&peaks, "81", "3")); /* in place of the former */
    assert_int_equal(peaks.count, 3);
    char step[8];
    snprintf(step, sizeof step, "%u", task_mem_step(3 * G));
    assert_true(read_field(&peaks, step, "1"));
    assert_true(read_field(&peaks, "max", "3221225472"));
    assert_true(read_field(&peaks, "used", "6291456"));
    assert_true(read_field(&peaks, "asked", "10485760"));
    assert_memory_equal(&peaks, &same, sizeof peaks);
    static const char *const wrong[][2] = {{"key", "sim"},  {"need", "5"}, {"0", "1"},
                                           {"255", "1"},    {"81", "-1"},  {"81", ""},
                                           {"81", "1.5"},   {"", "1"},     {"81", "4294967296"},
                                           {"max", "many"}, {"8x", "1"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(read_field(&peaks, wrong[i][0], wrong[i][1]));
    assert_memory_equal(&peaks, &same, sizeof peaks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_of_a_hundred),
        cmocka_unit_test(known_after_the_first_few),
        cmocka_unit_test(a_peak_of_nothing_counts),
        cmocka_unit_test(need_is_computed_seldom),
        cmocka_unit_test(wasted_share),
        cmocka_unit_test(a_changed_program_is_learned),
        cmocka_unit_test(ageing_halves_all),
        cmocka_unit_test(fields_of_the_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
