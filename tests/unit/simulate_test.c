/* The simulator: its parts, small cases reckoned by hand, and what the rules must reach on the
 * drawn traces. The clock is virtual: nothing here depends on the machine's speed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/simulate/running.h"
#include "tests/simulate/sim.h"
#include "tests/simulate/todo.h"

#define SECOND INT64_C(1000000)

static void curves(void **state) {
    (void)state;
    double peak = 2 * SIM_GIB;
    struct sim_curve linear = sim_curve_make(SHAPE_LINEAR, peak, 100 * SECOND);
    assert_true(sim_curve_at(&linear, 25 * SECOND) == peak / 4);
    assert_true(sim_curve_area(&linear) == 50 * peak);
    struct sim_curve at_once = sim_curve_make(SHAPE_AT_ONCE, peak, 100 * SECOND);
    assert_true(sim_curve_at(&at_once, SECOND) == peak); /* 2 GiB at 2 GiB/s */
    assert_true(sim_curve_at(&at_once, SECOND / 2) == peak / 2);
    struct sim_curve late = sim_curve_make(SHAPE_LATE, peak, 100 * SECOND);
    assert_true(sim_curve_at(&late, 75 * SECOND) == peak / 10);
    assert_true(sim_curve_at(&late, 76 * SECOND) == peak);
    for (int shape = 0; shape < SIM_SHAPES; shape++) /* too short to fill at that speed */
        for (int64_t us = 100; us < 2000; us += 7) {
            struct sim_curve curve = sim_curve_make((enum sim_shape)shape, peak, us);
            assert_true(sim_curve_at(&curve, us) == peak && sim_curve_at(&curve, 0) == 0);
            for (int i = 1; i < curve.count; i++)
                assert_true(curve.at_us[i] >= curve.at_us[i - 1]);
            assert_int_equal(curve.at_us[curve.count - 1], us);
        }
}

static void a_killed_task_frees_its_memory(void **state) {
    (void)state;
    struct sim_curve curve = sim_curve_make(SHAPE_AT_ONCE, 5 * SIM_GIB, 100 * SECOND);
    struct running r = {.curve = &curve, .start_us = 10 * SECOND, .killed_us = NEVER};
    assert_int_equal(running_turn_us(&r, 10 * SECOND), 12 * SECOND + SECOND / 2);
    assert_int_equal(running_end_us(&r), 110 * SECOND);
    r.killed_us = 20 * SECOND;
    r.killed_bytes = 5 * SIM_GIB;
    assert_int_equal(running_turn_us(&r, r.killed_us), r.killed_us + SIM_KILL_US);
    assert_int_equal(running_end_us(&r), r.killed_us + SIM_KILL_US + SECOND / 2);
    assert_true(running_level(&r, r.killed_us + SIM_KILL_US) == 5 * SIM_GIB);
    assert_true(running_level(&r, r.killed_us + SIM_KILL_US + SECOND / 4) == 2.5 * SIM_GIB);
    assert_true(running_level(&r, running_end_us(&r)) == 0);
}

static void todo_gives_the_oldest_head_first(void **state) {
    (void)state;
    struct todo todo;
    todo_init(&todo, 2);
    for (size_t i = 0; i < 200; i++)
        todo_push(&todo, TODO_STEPS + (unsigned)(i % 2), i, false);
    todo_push(&todo, 7, 200, false);
    struct todo_cursor cursor = {0};
    assert_true(todo_next(&todo, &cursor));
    assert_int_equal(cursor.list, TODO_STEPS);
    for (size_t i = 0; i < 100; i += 2) {
        assert_int_equal(todo_head(&todo, cursor.list), i);
        todo_pop(&todo, cursor.list);
    }
    assert_true(todo_next(&todo, &cursor));
    assert_int_equal(cursor.list, TODO_STEPS + 1);
    assert_true(todo_next(&todo, &cursor)); /* the first list has fallen back behind it */
    assert_int_equal(cursor.list, TODO_STEPS);
    assert_true(todo_next(&todo, &cursor));
    assert_int_equal(cursor.list, 7);
    assert_false(todo_next(&todo, &cursor));
    todo_push(&todo, 7, 4, true);
    cursor = (struct todo_cursor){0};
    assert_true(todo_next(&todo, &cursor));
    assert_int_equal(cursor.list, 7);
    assert_int_equal(todo_head(&todo, 7), 4);
    assert_int_equal(todo.count, 152);
    todo_free(&todo);
}

/* --- drawn traces ---------------------------------------------------------------------------- */

static void drawn_traces_are_as_they_should_be(void **state) {
    (void)state;
    double most = 60 * SIM_GIB;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim_trace trace;
        double request[SIM_FAMILIES] = {0}, logs[SIM_FAMILIES] = {0}, squares[SIM_FAMILIES] = {0};
        sim_trace_draw(&trace, seed, 2000, SIM_SHAPES, most);
        assert_int_equal(trace.count, 2000);
        int shapes[SIM_SHAPES] = {0}, mixed = 0;
        for (size_t i = 0; i < trace.count; i++) {
            const struct sim_task *task = &trace.tasks[i];
            double log_gib = log(task->peak_bytes / SIM_GIB);
            assert_true(task->peak_bytes <= most && task->request_bytes <= most);
            assert_true(request[task->family] == 0 || request[task->family] == task->request_bytes);
            request[task->family] = task->request_bytes;
            logs[task->family] += log_gib / 100;
            squares[task->family] += log_gib * log_gib / 100;
            shapes[task->shape]++;
            mixed += i > 0 && trace.tasks[i - 1].family != task->family;
        }
        assert_true(mixed > 1500);
        for (int family = 0; family < SIM_FAMILIES; family++) {
            double median = exp(logs[family]);
            double sigma = sqrt(squares[family] - logs[family] * logs[family]);
            assert_true(median > 0.2 * 0.7 && median < 8 * 1.4);
            assert_true(sigma > 0.07 && sigma < 1.1);
            double padding = request[family] / SIM_GIB / (median * exp(1.645 * sigma));
            assert_true(request[family] == most || (padding > 1 && padding < 10));
        }
        assert_int_equal(shapes[0] + shapes[1] + shapes[2], 2000);
        sim_trace_free(&trace);
    }
}

static void the_same_seed_draws_the_same(void **state) {
    (void)state;
    struct sim_trace one, two, other;
    sim_trace_draw(&one, 5, 500, SIM_SHAPES, 1e12);
    sim_trace_draw(&two, 5, 500, SHAPE_LATE, 1e12);
    sim_trace_draw(&other, 6, 500, SIM_SHAPES, 1e12);
    size_t same = 0;
    for (size_t i = 0; i < 500; i++) {
        assert_true(one.tasks[i].peak_bytes == two.tasks[i].peak_bytes);
        assert_int_equal(two.tasks[i].shape, SHAPE_LATE);
        same += one.tasks[i].peak_bytes == other.tasks[i].peak_bytes;
    }
    assert_int_equal(same, 0);
    sim_trace_free(&one);
    sim_trace_free(&two);
    sim_trace_free(&other);
}

static bool read_text(const char *text, struct sim_trace *trace, struct buf *error) {
    FILE *file = tmpfile();
    assert_non_null(file);
    fputs(text, file);
    rewind(file);
    bool ok = sim_trace_read(trace, file, 8 * SIM_GIB, error);
    fclose(file);
    return ok;
}

static void traces_from_files(void **state) {
    (void)state;
    struct sim_trace trace;
    struct buf error = BUF_INIT;
    assert_true(
        read_text("{\"command\": \"./sim 1\", \"min_dram\": 2, \"max_rss_bytes\": 1073741824,"
                  " \"wall_s\": 1.5, \"args\": {}}\n\n"
                  "{\"command\": \"./sim 2\", \"min_dram\": \"auto\", \"max_rss_bytes\": 5,"
                  " \"wall_s\": 2, \"shape\": \"late\"}\n"
                  "{\"command\": \"./sim 3\", \"max_rss_bytes\": null, \"wall_s\": null}\n"
                  "{\"family\": \"x\", \"min_dram\": 99, \"max_rss_bytes\": 7, \"wall_s\": 3}\n",
                  &trace, &error));
    assert_int_equal(trace.count, 3);
    assert_int_equal(trace.families, 2);
    assert_string_equal(trace.family_names[0], "shell sim");
    assert_true(trace.tasks[0].request_bytes == 2 * SIM_GIB);
    assert_int_equal(trace.tasks[0].duration_us, 1500000);
    assert_true(trace.tasks[1].request_bytes == 5 && trace.tasks[1].shape == SHAPE_LATE);
    assert_true(trace.tasks[2].request_bytes == 8 * SIM_GIB && trace.tasks[2].family == 1);
    sim_trace_free(&trace);
    static const char *const wrong[][2] = {
        {"", "no task has"},
        {"{\"wall_s\": 2}\n", "no task has"},
        {"\n{\n", "line 2: "},
        {"[]\n", "line 1: expected an object"},
        {"{\"max_rss_bytes\": 1e12, \"wall_s\": 2}\n", "line 1: max_rss_bytes is more"},
        {"{\"max_rss_bytes\": 1, \"wall_s\": 2, \"shape\": \"odd\"}\n", "line 1: unknown shape"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        buf_clear(&error);
        assert_false(read_text(wrong[i][0], &trace, &error));
        assert_memory_equal(error.data, wrong[i][1], strlen(wrong[i][1]));
        sim_trace_free(&trace);
    }
    buf_free(&error);
}

/* --- small cases ----------------------------------------------------------------------------- */

static struct sim_result run_setup(const struct sim_setup *setup, size_t count, double request_gib,
                                   double peak_gib, enum sim_shape shape, int64_t seconds) {
    struct sim_trace trace = {.families = 1};
    struct sim_task task = {.shape = shape,
                            .request_bytes = request_gib * SIM_GIB,
                            .peak_bytes = peak_gib * SIM_GIB,
                            .duration_us = seconds * SECOND};
    for (size_t i = 0; i < count; i++)
        sim_trace_add(&trace, &task);
    struct sim_result result = sim_run(&trace, setup);
    sim_trace_free(&trace);
    return result;
}

static struct sim_result run_alike(enum sim_policy policy, size_t count, double request_gib,
                                   double peak_gib, enum sim_shape shape, int64_t seconds) {
    struct sim_setup setup = sim_setup_default(policy);
    return run_setup(&setup, count, request_gib, peak_gib, shape, seconds);
}

static void requests_that_do_not_fit_together_run_in_turn(void **state) {
    (void)state;
    struct sim_result fixed = run_alike(SIM_FIXED, 2, 40, 1, SHAPE_LINEAR, 100);
    assert_true(fixed.makespan_s == 200 && fixed.useful_s == 200 && fixed.wasted_s == 0);
    assert_true(fabs(fixed.used_share - 0.5 / 64) < 1e-9);
    assert_true(run_alike(SIM_FIXED, 2, 32, 1, SHAPE_LINEAR, 100).makespan_s == 100);
    assert_true(run_alike(SIM_PERFECT, 2, 40, 1, SHAPE_LINEAR, 100).makespan_s == 100);
    assert_true(run_alike(SIM_FIXED, 64, 1, 1, SHAPE_LINEAR, 100).makespan_s == 200);   /* cores */
    assert_true(run_alike(SIM_ORIGINAL, 3, 1, 1, SHAPE_LINEAR, 100).makespan_s == 104); /* gaps */
}

/* Two tasks that say 1 GiB and take 40 of the 64: slowly, or faster than anything can be freed. */
static void a_task_that_outgrows_its_request_is_returned_and_raised(void **state) {
    (void)state;
    struct sim_result r = run_alike(SIM_PROMISE, 2, 1, 40, SHAPE_LINEAR, 1000);
    assert_int_equal(r.kernel_kills, 0);
    assert_int_equal(r.returns, 1);
    assert_int_equal(r.culprits, 1);
    assert_int_equal(r.starts, 3);
    /* The second one ran until both had 31.2 GiB, and again after the first: 39 GiB were promised.
     */
    assert_true(fabs(r.wasted_s - 780) < 1);
    assert_true(r.makespan_s == 2000);
}

/* 30 tasks that fill 60 GiB/s together: 0.6 GiB in the 10 ms from a look to the first byte freed.
 */
static void both_sides_of_the_line(void **state) {
    (void)state;
    struct sim_setup setup = sim_setup_default(SIM_PROMISE);
    assert_int_equal(run_setup(&setup, 30, 0.1, 20, SHAPE_AT_ONCE, 100).kernel_kills, 0);
    setup.accept_bytes = setup.trigger_bytes = SIM_GIB / 8;
    assert_true(run_setup(&setup, 30, 0.1, 20, SHAPE_AT_ONCE, 100).kernel_kills > 0);
    assert_int_equal(run_setup(&setup, 4, 0.1, 20, SHAPE_AT_ONCE, 100).kernel_kills, 0);
}

/* An hour in bins: a worker whose memory was full, and then was not. */
static void used_memory_over_time(void **state) {
    (void)state;
    struct sim_result r = run_alike(SIM_FIXED, 2, 64, 32, SHAPE_LINEAR, 1000);
    double sum = 0;
    for (int i = 0; i < r.bin_count; i++) {
        assert_true(r.bins[i] >= 0 && r.bins[i] <= 0.5);
        sum += r.bins[i];
    }
    assert_in_range(r.bin_count, SIM_BINS / 2, SIM_BINS);
    assert_true(fabs(sum / r.bin_count - 0.25) < 0.01);
    assert_true(r.bins[0] < 0.02 && r.bins[r.bin_count / 2 - 1] > 0.45);
    assert_true(fabs(r.used_share - 0.25) < 1e-6 && fabs(r.running_mean - 1) < 1e-6);
}

static void the_original_rules_meet_the_kernel(void **state) {
    (void)state;
    struct sim_result r = run_alike(SIM_ORIGINAL, 4, 1, 40, SHAPE_AT_ONCE, 1000);
    assert_true(r.kernel_kills > 0);
}

static void a_task_larger_than_the_machine_fails(void **state) {
    (void)state;
    struct sim_result r = run_alike(SIM_PROMISE, 1, 1, 63, SHAPE_LINEAR, 1000);
    assert_int_equal(r.failed, 1);
    assert_int_equal(r.kernel_kills, 0);
}

static void what_was_learned_packs_the_machine(void **state) {
    (void)state;
    struct sim_result fixed = run_alike(SIM_FIXED, 640, 8, 2, SHAPE_AT_ONCE, 100);
    struct sim_result learned = run_alike(SIM_LEARNED, 640, 8, 2, SHAPE_AT_ONCE, 100);
    assert_true(fixed.makespan_s == 8000);
    assert_true(learned.makespan_s < 2300); /* 30 x 2 GiB of the 60.8 that are to be had: 2200 */
    assert_int_equal(learned.returns, 0);
}

/* --- what the rules must reach --------------------------------------------------------------- */

/* Promise 9, and the target of the simulator: each of 20 traces. */
static void the_rules_reach_the_target(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim_trace trace;
        struct sim_result results[SIM_POLICY_COUNT];
        for (int policy = 0; policy < SIM_POLICY_COUNT; policy++) {
            struct sim_setup setup = sim_setup_default((enum sim_policy)policy);
            if (policy == 0)
                sim_trace_draw(&trace, seed, 2000, SIM_SHAPES, sim_setup_most(&setup));
            results[policy] = sim_run(&trace, &setup);
        }
        static const enum sim_policy ours[] = {SIM_PROMISE, SIM_HOLD, SIM_LEARNED, SIM_PERFECT};
        for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
            const struct sim_result *r = &results[ours[i]];
            if (r->kernel_kills || r->failed || sim_wasted_share(r) >= 0.03)
                fail_msg("seed %d, %s: %u kernel kills, %u failed, %.2f %% wasted", (int)seed,
                         sim_policy_name(ours[i]), r->kernel_kills, r->failed,
                         100 * sim_wasted_share(r));
        }
        double fixed = results[SIM_FIXED].makespan_s, learned = results[SIM_LEARNED].makespan_s;
        if (fixed < 1.8 * learned)
            fail_msg("seed %d: %.2f times fixed requests", (int)seed, fixed / learned);
        sim_trace_free(&trace);
    }
}

/* Ten tasks that start at one moment and fill 2 GiB/s each, while there was little to see before:
 * the watch must not be as slow as for one. */
static void tasks_that_begin_together_are_seen_in_time(void **state) {
    (void)state;
    struct sim_setup setup = sim_setup_default(SIM_LEARNED);
    setup.memory_bytes = 16 * SIM_GIB;
    setup.accept_bytes = sim_accept_default(setup.memory_bytes);
    setup.trigger_bytes = setup.accept_bytes / 2;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim_trace trace;
        sim_trace_draw(&trace, seed, 2000, SIM_SHAPES, sim_setup_most(&setup));
        struct sim_result r = sim_run(&trace, &setup);
        if (r.kernel_kills || r.failed)
            fail_msg("seed %d: %u kernel kills, %u failed", (int)seed, r.kernel_kills, r.failed);
        sim_trace_free(&trace);
    }
}

static void the_same_run_gives_the_same(void **state) {
    (void)state;
    struct sim_setup setup = sim_setup_default(SIM_LEARNED);
    struct sim_trace trace;
    sim_trace_draw(&trace, 7, 600, SIM_SHAPES, sim_setup_most(&setup));
    struct sim_result one = sim_run(&trace, &setup), two = sim_run(&trace, &setup);
    assert_true(one.makespan_s == two.makespan_s && one.wasted_s == two.wasted_s);
    assert_int_equal(one.starts, two.starts);
    sim_trace_free(&trace);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(curves),
        cmocka_unit_test(a_killed_task_frees_its_memory),
        cmocka_unit_test(todo_gives_the_oldest_head_first),
        cmocka_unit_test(drawn_traces_are_as_they_should_be),
        cmocka_unit_test(the_same_seed_draws_the_same),
        cmocka_unit_test(traces_from_files),
        cmocka_unit_test(requests_that_do_not_fit_together_run_in_turn),
        cmocka_unit_test(a_task_that_outgrows_its_request_is_returned_and_raised),
        cmocka_unit_test(both_sides_of_the_line),
        cmocka_unit_test(used_memory_over_time),
        cmocka_unit_test(the_original_rules_meet_the_kernel),
        cmocka_unit_test(a_task_larger_than_the_machine_fails),
        cmocka_unit_test(what_was_learned_packs_the_machine),
        cmocka_unit_test(the_rules_reach_the_target),
        cmocka_unit_test(tasks_that_begin_together_are_seen_in_time),
        cmocka_unit_test(the_same_run_gives_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
