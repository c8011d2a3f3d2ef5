/* memroom.h: tables of running tasks to available memory and room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/memroom.h"

#define G (UINT64_C(1) << 30)

static const struct memroom_limits limits = {16 * G, 2 * G, G};

static void room_by_table(void **state) {
    (void)state;
    static const struct {
        const char *what;
        struct memroom_limits limits;
        uint64_t machine;
        struct memroom_task tasks[3];
        uint64_t available, room;
    } rows[] = {
        {"idle: all but what is kept free", {16 * G, 2 * G, G}, 20 * G, {{0}}, 16 * G, 14 * G},
        {"the machine has less: others use it", {16 * G, 2 * G, G}, 5 * G, {{0}}, 5 * G, 3 * G},
        {"a task not measured yet counts whole",
         {16 * G, 2 * G, G},
         16 * G,
         {{4 * G, 0, false}},
         16 * G,
         10 * G},
        {"what is used is not due any more",
         {16 * G, 2 * G, G},
         13 * G,
         {{4 * G, 3 * G, false}},
         13 * G,
         10 * G},
        {"used up entirely", {16 * G, 2 * G, G}, 12 * G, {{4 * G, 4 * G, false}}, 12 * G, 10 * G},
        {"more than promised is missing in what is available",
         {16 * G, 2 * G, G},
         10 * G,
         {{4 * G, 6 * G, false}},
         10 * G,
         8 * G},
        {"one task's excess does not use up another's due",
         {16 * G, 2 * G, G},
         10 * G,
         {{4 * G, 6 * G, false}, {4 * G, 0, false}},
         10 * G,
         4 * G},
        {"one that is ended takes nothing more",
         {16 * G, 2 * G, G},
         15 * G,
         {{8 * G, G, true}},
         15 * G,
         13 * G},
        {"--memory: tasks' use counts, not the machine's",
         {4 * G, 0, 0},
         60 * G,
         {{G, G, false}, {2 * G, 0, false}},
         3 * G,
         G},
        {"--memory is used up", {4 * G, 0, 0}, 60 * G, {{G, 5 * G, false}}, 0, 0},
        {"nothing is due beyond zero",
         {16 * G, 2 * G, G},
         6 * G,
         {{9 * G, 0, false}, {9 * G, 0, false}},
         6 * G,
         0},
        {"below what is kept free", {16 * G, 2 * G, G}, G, {{0}}, G, 0},
        {"accept below trigger: the trigger counts",
         {16 * G, G, 3 * G},
         16 * G,
         {{0}},
         16 * G,
         13 * G},
        {"sums that overflow",
         {16 * G, 2 * G, G},
         16 * G,
         {{UINT64_MAX, 0, false}, {UINT64_MAX, UINT64_MAX - 1, false}, {0, 9, false}},
         0,
         0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct memroom_sum sum = {0};
        for (size_t j = 0; j < 3; j++)
            memroom_add(&sum, &rows[i].tasks[j]);
        uint64_t available = memroom_available(&rows[i].limits, rows[i].machine, &sum);
        uint64_t room = memroom_room(&rows[i].limits, rows[i].machine, &sum);
        if (available != rows[i].available || room != rows[i].room)
            fail_msg("%s: available %llu, room %llu", rows[i].what, (unsigned long long)available,
                     (unsigned long long)room);
    }
}

/* While a task grows within its promise, what was measured of it may be old: room is never more. */
static void an_old_measurement_errs_to_the_safe_side(void **state) {
    (void)state;
    struct memroom_sum fresh = {0}, old = {0};
    memroom_add(&fresh, &(struct memroom_task){4 * G, 3 * G, false});
    memroom_add(&old, &(struct memroom_task){4 * G, G, false});
    uint64_t machine = 13 * G;
    assert_int_equal(memroom_room(&limits, machine, &fresh), 10 * G);
    assert_int_equal(memroom_room(&limits, machine, &old), 8 * G);
}

/* Whatever was returned for want of memory does not fit again before something else has ended. */
static void what_went_back_does_not_fit_again(void **state) {
    (void)state;
    for (uint64_t used = 0; used <= 8; used++) {
        struct memroom_sum others = {0};
        memroom_add(&others, &(struct memroom_task){2 * G, 3 * G, false});
        uint64_t available = limits.trigger_bytes - 1 + used * G;
        uint64_t promised = used * G; /* the least that a bystander was promised */
        assert_true(memroom_room(&limits, available, &others) < promised || promised == 0);
    }
}

static void largest(void **state) {
    (void)state;
    assert_int_equal(memroom_largest(&limits), 14 * G);
    assert_int_equal(memroom_largest(&(struct memroom_limits){G, 2 * G, 0}), 0);
    assert_int_equal(memroom_largest(&(struct memroom_limits){4 * G, G, 3 * G}), G);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(room_by_table),
        cmocka_unit_test(an_old_measurement_errs_to_the_safe_side),
        cmocka_unit_test(what_went_back_does_not_fit_again),
        cmocka_unit_test(largest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
