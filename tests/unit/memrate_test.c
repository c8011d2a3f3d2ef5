/* memrate.h: growth from readings, and when to look next; the watch against a virtual clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/memrate.h"

#define M  (UINT64_C(1) << 20)
#define G  (UINT64_C(1) << 30)
#define MS INT64_C(1000)

static void nothing_is_known_at_first(void **state) {
    (void)state;
    struct memrate rate = MEMRATE_INIT;
    assert_int_equal(memrate_growth(&rate, 0), 0);
    memrate_add(&rate, 5 * MS, 4 * G);
    assert_int_equal(memrate_growth(&rate, 5 * MS), 0);
}

static void growth_is_the_slope(void **state) {
    (void)state;
    struct memrate rate = MEMRATE_INIT;
    memrate_add(&rate, 0, 10 * G);
    memrate_add(&rate, 250 * MS, 9 * G);
    assert_int_equal(memrate_growth(&rate, 250 * MS), 4 * G);
    memrate_add(&rate, 500 * MS, 7 * G);
    assert_int_equal(memrate_growth(&rate, 500 * MS), 8 * G);
}

static void falling_use_is_no_growth(void **state) {
    (void)state;
    struct memrate rate = MEMRATE_INIT;
    memrate_add(&rate, 0, 2 * G);
    memrate_add(&rate, 250 * MS, 6 * G);
    memrate_add(&rate, 500 * MS, 6 * G);
    assert_int_equal(memrate_growth(&rate, 500 * MS), 0);
}

static void a_burst_is_remembered_and_fades(void **state) {
    (void)state;
    struct memrate rate = MEMRATE_INIT;
    memrate_add(&rate, 0, 10 * G);
    memrate_add(&rate, 250 * MS, 8 * G);
    memrate_add(&rate, 750 * MS, 9 * G); /* another task has ended and hides the growth */
    assert_int_equal(memrate_growth(&rate, 750 * MS), 4 * G);
    memrate_add(&rate, 1250 * MS, 9 * G);
    assert_int_equal(memrate_growth(&rate, 1250 * MS), 2 * G);
    assert_int_equal(memrate_growth(&rate, 2250 * MS), G / 2);
}

/* Half a megabyte within 5 ms would be 100 MiB/s. */
static void noise_is_not_growth(void **state) {
    (void)state;
    struct memrate rate = MEMRATE_INIT;
    for (int64_t i = 0; i < 400; i++)
        memrate_add(&rate, i * 5 * MS, G + (i % 2 ? M / 2 : 0));
    assert_true(memrate_growth(&rate, 2000 * MS) <= 25 * M);
}

/* ... but slow steady growth is not taken for noise for ever. */
static void slow_growth_adds_up(void **state) {
    (void)state;
    struct memrate rate = MEMRATE_INIT;
    for (uint64_t i = 0; i < 400; i++)
        memrate_add(&rate, (int64_t)i * 5 * MS, 4 * G - i * M / 4);
    uint64_t growth = memrate_growth(&rate, 1995 * MS);
    assert_in_range(growth, 45 * M, 55 * M);
}

static void readings_out_of_order_are_ignored(void **state) {
    (void)state;
    struct memrate rate = MEMRATE_INIT;
    memrate_add(&rate, 100 * MS, 4 * G);
    memrate_add(&rate, 100 * MS, G);
    memrate_add(&rate, 50 * MS, G);
    assert_int_equal(memrate_growth(&rate, 100 * MS), 0);
    assert_int_equal(rate.base_bytes, 4 * G);
}

static void next_by_table(void **state) {
    (void)state;
    static const struct {
        uint64_t growth, available, trigger;
        unsigned young;
        uint64_t next_ms;
    } rows[] = {
        /* far away */
        {0, 64 * G, G, 0, 250},
        {0, UINT64_MAX, 0, 0, 250},
        {4 * G, 9 * G, G, 0, 250}, /* 8 / 4 / 4 = 500 ms */
        /* a quarter of the way */
        {4 * G, 2 * G, G, 0, 62},
        {4 * G, G + 64 * M, G, 0, 5},
        /* at the trigger, and below */
        {4 * G, G, G, 0, 5},
        {4 * G, 0, G, 0, 5},
        {0, 128 * M, 128 * M, 0, 5},
        {UINT64_C(1) << 60, 64 * G, G, 0, 5},
        /* at rest: one task may begin at 2 GiB/s at any moment; ten that have just begun, at 20 */
        {0, 2 * G, G, 0, 125},
        {0, 2 * G, G, 1, 125},
        {0, 2 * G, G, 10, 12},
        {40 * G, 2 * G, G, 10, 6}, /* what is measured is not added to that */
        {0, 64 * G, G, UINT32_MAX, 5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct memrate rate = {true, 0, rows[i].available, (double)rows[i].growth};
        uint64_t next =
            memrate_next_ms(&rate, 0, rows[i].available, rows[i].trigger, rows[i].young);
        if (next != rows[i].next_ms)
            fail_msg("row %zu: %llu ms", i, (unsigned long long)next);
    }
}

/* Memory that begins to be used up at `growth` just after a look: what is left when the watch first
 * sees it below the trigger. */
static uint64_t left_when_seen(uint64_t start, uint64_t trigger, uint64_t growth) {
    struct memrate rate = MEMRATE_INIT;
    uint64_t available = start, ms = 0;
    memrate_add(&rate, 0, start);
    while (available >= trigger) {
        ms += memrate_next_ms(&rate, (int64_t)ms * MS, available, trigger, 0);
        uint64_t used = growth / 1000 * ms;
        available = start > used ? start - used : 0;
        memrate_add(&rate, (int64_t)ms * MS, available);
    }
    return available;
}

/* What one task can use up in 5 ms is all that is lost of the trigger, wherever it begins. */
static void a_burst_is_seen_in_time(void **state) {
    (void)state;
    for (uint64_t start = 128; start < 4096; start += 31)
        for (uint64_t growth = 64; growth <= 2048; growth *= 2) {
            uint64_t left = left_when_seen(start * M, 128 * M, growth * M);
            if (left < 128 * M - growth * M / 200 - M)
                fail_msg("from %llu MiB at %llu MiB/s: %llu MiB left", (unsigned long long)start,
                         (unsigned long long)growth, (unsigned long long)(left / M));
        }
    /* Four at once, unannounced, are more than was reckoned with, and are still seen. */
    assert_true(left_when_seen(256 * M, 128 * M, 8 * G) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_at_first),
        cmocka_unit_test(growth_is_the_slope),
        cmocka_unit_test(falling_use_is_no_growth),
        cmocka_unit_test(a_burst_is_remembered_and_fades),
        cmocka_unit_test(noise_is_not_growth),
        cmocka_unit_test(slow_growth_adds_up),
        cmocka_unit_test(readings_out_of_order_are_ignored),
        cmocka_unit_test(next_by_table),
        cmocka_unit_test(a_burst_is_seen_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
