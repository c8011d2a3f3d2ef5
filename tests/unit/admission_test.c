/* admission.h: tables of capacity and load to room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/admission.h"

#define G (UINT64_C(1) << 30)

static void room_by_table(void **state) {
    (void)state;
    static const struct {
        struct capacity capacity;
        struct load load;
        struct room room;
    } rows[] = {
        /* idle: all but the reserve */
        {{8 * G, G, 4000, 64}, {16 * G, 0, 0}, {7 * G, 4000, 64}},
        /* what runs has taken its part, others use the machine */
        {{8 * G, G, 4000, 64}, {4 * G, 1500, 3}, {4 * G, 2500, 61}},
        {{8 * G, G, 4000, 64}, {2 * G, 0, 1}, {2 * G, 4000, 63}},
        /* nothing is left, and nothing goes below 0 */
        {{8 * G, G, 4000, 64}, {0, 0, 0}, {0, 4000, 64}},
        {{8 * G, G, 4000, 64}, {16 * G, 4001, 65}, {7 * G, 0, 0}},
        {{8 * G, G, 4000, 64}, {0, UINT64_MAX, UINT32_MAX}, {0, 0, 0}},
        /* more than 32 bits of milli-cores promised are not taken modulo 2^32 */
        {{8 * G, G, 4000, 64}, {16 * G, (UINT64_C(1) << 32) + 1, 0}, {7 * G, 0, 64}},
        /* a reserve as large as the memory, or larger */
        {{G, G, 1000, 1}, {16 * G, 0, 0}, {0, 1000, 1}},
        {{G, 2 * G, 1000, 1}, {16 * G, 0, 0}, {0, 1000, 1}},
        {{G, UINT64_MAX, 1000, 1}, {UINT64_MAX, 0, 0}, {0, 1000, 1}},
        {{UINT64_MAX, 0, UINT32_MAX, UINT32_MAX},
         {UINT64_MAX, 0, 0},
         {UINT64_MAX, UINT32_MAX, UINT32_MAX}},
        {{0, 0, 0, 0}, {0, 0, 0}, {0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct room room = admission_room(&rows[i].capacity, &rows[i].load);
        if (room.mem_bytes != rows[i].room.mem_bytes || room.mcpu != rows[i].room.mcpu ||
            room.slots != rows[i].room.slots)
            fail_msg("row %zu: %llu bytes, %u mcpu, %u slots", i,
                     (unsigned long long)room.mem_bytes, room.mcpu, room.slots);
    }
}

static void largest_ignores_the_load(void **state) {
    (void)state;
    struct capacity capacity = {8 * G, G, 4000, 64};
    struct room room = admission_largest(&capacity);
    assert_int_equal(room.mem_bytes, 7 * G);
    assert_int_equal(room.mcpu, 4000);
    assert_int_equal(room.slots, 64);
}

static void fits_needs_all_three(void **state) {
    (void)state;
    struct room room = {G, 1000, 1};
    assert_true(admission_fits(&room, G, 1000));
    assert_true(admission_fits(&room, 0, 0));
    assert_false(admission_fits(&room, G + 1, 1000));
    assert_false(admission_fits(&room, G, 1001));
    assert_false(admission_fits(&room, UINT64_MAX, 0));
    room.slots = 0;
    assert_false(admission_fits(&room, 0, 0));
}

static void ahead_by_table(void **state) {
    (void)state;
    static const struct {
        uint32_t running;
        uint64_t wall_us;
        uint32_t ahead;
    } rows[] = {
        {0, 1000, 0},                /* nothing runs: what is claimed starts at once */
        {4, 0, 0},                   /* not known yet */
        {1, 1000, 100},              /* 1 ms each: 100 in 100 ms */
        {2, 50000, 4},               /* */
        {1, 99999, 1},               /* just under AHEAD_MS */
        {1, 100000, 0},              /* as long as AHEAD_MS: none */
        {4096, 100000, 0},           /* also of many */
        {4096, 99999, AHEAD_MOST},   /* no more than that */
        {1, 1, AHEAD_MOST},          /* */
        {UINT32_MAX, 1, AHEAD_MOST}, /* nothing overflows */
        {UINT32_MAX, UINT64_MAX, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t ahead = admission_ahead(rows[i].running, rows[i].wall_us);
        if (ahead != rows[i].ahead)
            fail_msg("row %zu: %u", i, ahead);
    }
}

static void mean_follows_and_stays_known(void **state) {
    (void)state;
    assert_int_equal(admission_mean(0, 800), 875100); /* the first value is not believed at once */
    uint64_t seen = 0;
    int tasks = 0;
    while (admission_ahead(1, seen) == 0 && tasks++ < 100)
        seen = admission_mean(seen, 2000);
    assert_in_range(tasks, 10, 25);
    assert_int_equal(admission_mean(800, 1600), 900);
    assert_int_equal(admission_mean(800, 0), 700);
    assert_int_equal(admission_mean(UINT64_MAX, UINT64_MAX), UINT64_MAX);
    uint64_t mean = 1000000;
    for (int i = 0; i < 100; i++) {
        mean = admission_mean(mean, 0);
        assert_true(mean > 0);
    }
    assert_true(mean < 10);
    for (int i = 0; i < 200; i++)
        mean = admission_mean(mean, 1000000);
    assert_in_range(mean, 999900, 1000000);
}

static void empty_by_table(void **state) {
    (void)state;
    static const struct {
        struct capacity capacity;
        uint64_t measured;
        struct room now;
        uint64_t mem_bytes;
    } rows[] = {
        {{8 * G, G, 4000, 64}, UINT64_MAX, {2 * G, 1000, 3}, 7 * G}, /* nothing was measured */
        {{8 * G, G, 4000, 64}, 5 * G, {2 * G, 1000, 3}, 5 * G},      /* others use the machine */
        {{8 * G, G, 4000, 64}, 5 * G, {6 * G, 4000, 64}, 6 * G},     /* they have left since */
        {{8 * G, G, 4000, 64}, 9 * G, {2 * G, 1000, 3}, 7 * G}, /* the capacity is smaller now */
        {{8 * G, G, 4000, 64}, 0, {0, 0, 0}, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct room room = admission_empty(&rows[i].capacity, rows[i].measured, &rows[i].now);
        if (room.mem_bytes != rows[i].mem_bytes || room.mcpu != 4000 || room.slots != 64)
            fail_msg("row %zu: %llu bytes", i, (unsigned long long)room.mem_bytes);
    }
}

static void left_by_table(void **state) {
    (void)state;
    static const struct {
        uint64_t age_ms, mean_us, timeout_ms, left_ms;
    } rows[] = {
        {0, 1000000, 0, 1000},    /* as long as those before */
        {300, 1000000, 0, 700},   /* */
        {1000, 1000000, 0, 1000}, /* outlived the mean: as long again */
        {5000, 1000000, 0, 5000}, /* */
        {5000, 0, 0, 5000},       /* no mean */
        {0, 0, 0, 0},             /* */
        {300, 1000000, 800, 500}, /* its timeout is nearer */
        {5000, 0, 6000, 1000},    /* */
        {5000, 0, 4000, 0},       /* past it: it is being ended */
        {UINT64_MAX, 0, 0, UINT64_MAX},
        {0, UINT64_MAX, 0, UINT64_MAX / 1000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t left = admission_left_ms(rows[i].age_ms, rows[i].mean_us, rows[i].timeout_ms);
        if (left != rows[i].left_ms)
            fail_msg("row %zu: %llu", i, (unsigned long long)left);
    }
}

static void expect_point(const struct forecast *f, size_t point, uint64_t after_ms,
                         uint64_t mem_bytes, uint32_t mcpu) {
    if (f->points[point].after_ms != after_ms || f->points[point].mem_bytes != mem_bytes ||
        f->points[point].mcpu != mcpu)
        fail_msg("point %zu: after %llu ms %llu bytes, %u mcpu", point,
                 (unsigned long long)f->points[point].after_ms,
                 (unsigned long long)f->points[point].mem_bytes, f->points[point].mcpu);
}

static void forecast_adds_up_what_ends(void **state) {
    (void)state;
    struct forecast f;
    struct room empty = {10, 4000, 64};
    admission_forecast(&f, &empty, NULL, 0);
    assert_int_equal(f.count, 1);
    expect_point(&f, 0, 0, 10, 4000); /* it is empty */

    struct promise three[] = {{5, 1000, 900}, {2, 2000, 100}, {1, 0, 500}};
    admission_forecast(&f, &empty, three, 3);
    assert_int_equal(f.count, 3);
    expect_point(&f, 0, 100, 4, 3000);
    expect_point(&f, 1, 500, 5, 3000);
    expect_point(&f, 2, 900, 10, 4000);

    /* More was promised than it has: claimed ahead, or its limits were lowered. */
    struct promise much[] = {{UINT64_MAX / 2, UINT32_MAX, 1}, {UINT64_MAX / 2, UINT32_MAX, 2}};
    admission_forecast(&f, &empty, much, 2);
    expect_point(&f, 0, 1, 0, 0);
    expect_point(&f, 1, 2, 10, 4000);
}

static void forecast_of_many_is_short_and_never_early(void **state) {
    (void)state;
    for (size_t count = 5; count <= 40; count++) {
        struct promise promises[40];
        struct forecast f;
        for (size_t i = 0; i < count; i++)
            promises[i] = (struct promise){1, 100, 10 * (count - i)};
        struct room empty = {count, (uint32_t)(100 * count), 64};
        admission_forecast(&f, &empty, promises, count);
        assert_int_equal(f.count, FORECAST_POINTS);
        for (size_t point = 0; point < f.count; point++) {
            uint64_t ended = f.points[point].after_ms / 10; /* by then, one each 10 ms */
            expect_point(&f, point, 10 * ended, ended, (uint32_t)(100 * ended));
            assert_true(point == 0 || f.points[point - 1].after_ms < f.points[point].after_ms);
        }
        assert_int_equal(f.points[f.count - 1].after_ms, 10 * count);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(room_by_table),
        cmocka_unit_test(largest_ignores_the_load),
        cmocka_unit_test(fits_needs_all_three),
        cmocka_unit_test(ahead_by_table),
        cmocka_unit_test(mean_follows_and_stays_known),
        cmocka_unit_test(empty_by_table),
        cmocka_unit_test(left_by_table),
        cmocka_unit_test(forecast_adds_up_what_ends),
        cmocka_unit_test(forecast_of_many_is_short_and_never_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
