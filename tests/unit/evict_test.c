/* evict.h: who goes back, by tables; and that no more go back than are needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/evict.h"

#define M (UINT64_C(1) << 20)
#define G (UINT64_C(1) << 30)

#define RUNS(order, promised, used)                                                                \
    { order, promised, used, EVICT_RUNS, 0 }
#define KILLED(order, used, since)                                                                 \
    { order, 9 * G, used, EVICT_KILLED, since }
#define ASKED(order, used, since)                                                                  \
    { order, 9 * G, used, EVICT_ASKED, since }

static void chosen_by_table(void **state) {
    (void)state;
    static const struct {
        const char *what;
        struct evict_view view;
        struct evict_task tasks[4];
        size_t count, index;
        uint64_t grace_ms;
    } rows[] = {
        {"nothing is short", {EVICT_MOST_RECENT, G, G, G, 0}, {RUNS(1, G, G)}, 1, EVICT_NONE, 0},
        {"nobody runs", {EVICT_MOST_RECENT, 0, G, G, 0}, {{0}}, 0, EVICT_NONE, 0},
        {"the most recent, wherever it stands",
         {EVICT_MOST_RECENT, M, G, 0, 0},
         {RUNS(1, G, G), RUNS(7, G, G), RUNS(3, G, 2 * G)},
         3,
         1,
         0},
        {"the only one goes too", {EVICT_MOST_RECENT, M, G, 0, 0}, {RUNS(1, G, G / 2)}, 1, 0, 0},
        {"over_request: the last of those above",
         {EVICT_OVER_REQUEST, M, G, 0, 0},
         {RUNS(1, G, 2 * G), RUNS(2, G, 2 * G), RUNS(3, G, G), RUNS(4, G, G)},
         4,
         1,
         0},
        {"over_request: nobody is above",
         {EVICT_OVER_REQUEST, M, G, 0, 0},
         {RUNS(2, G, G), RUNS(1, G, G)},
         2,
         0,
         0},
        {"one that is killed is not killed again",
         {EVICT_MOST_RECENT, M, G, 0, 0},
         {RUNS(1, G, G), KILLED(2, M, 10)},
         2,
         0,
         0},
        {"what is being freed is enough",
         {EVICT_MOST_RECENT, M, G, 0, 0},
         {RUNS(1, G, G), KILLED(2, G, 10)},
         2,
         EVICT_NONE,
         0},
        {"what is being freed is not enough",
         {EVICT_MOST_RECENT, M, G, 0, 0},
         {RUNS(1, G, G), KILLED(2, G / 2, 10)},
         2,
         0,
         0},
        {"one that hangs is not counted on",
         {EVICT_MOST_RECENT, M, G, 0, 0},
         {RUNS(1, G, G), KILLED(2, G, 2100)},
         2,
         0,
         0},
        {"one that frees nothing is passed over",
         {EVICT_MOST_RECENT, 0, G, 0, 0},
         {RUNS(1, G, G), RUNS(2, M, M)},
         2,
         0,
         0},
        {"or when what is being freed leaves little missing",
         {EVICT_MOST_RECENT, 0, G, 0, 0},
         {RUNS(1, G, G), RUNS(2, M, M), KILLED(3, 1020 * M, 10)},
         3,
         1,
         0},
        {"but not when little is missing",
         {EVICT_MOST_RECENT, G - M, G, 0, 0},
         {RUNS(1, G, G), RUNS(2, M, M)},
         2,
         1,
         0},
        {"nor when there are only such",
         {EVICT_MOST_RECENT, 0, G, 0, 0},
         {RUNS(2, M, M), RUNS(1, M, M)},
         2,
         0,
         0},
        {"over_request: a small excess that frees nothing",
         {EVICT_OVER_REQUEST, 0, G, 0, 0},
         {RUNS(1, G, G), RUNS(2, 0, M)},
         2,
         0,
         0},
        {"grace when there is time",
         {EVICT_MOST_RECENT, G / 2, G, 100 * M, 2000},
         {RUNS(1, G, G)},
         1,
         0,
         2000},
        {"grace when nothing grows",
         {EVICT_MOST_RECENT, 0, G, 0, 2000},
         {RUNS(1, G, G)},
         1,
         0,
         2000},
        {"no time for grace", {EVICT_MOST_RECENT, G / 2, G, G, 2000}, {RUNS(1, G, G)}, 1, 0, 0},
        {"one that was asked may take its grace",
         {EVICT_MOST_RECENT, G / 2, G, 100 * M, 2000},
         {RUNS(1, G, G), ASKED(2, G, 500)},
         2,
         EVICT_NONE,
         0},
        {"until its grace is over",
         {EVICT_MOST_RECENT, G / 2, G, 100 * M, 2000},
         {RUNS(3, G, G), ASKED(2, G, 2000)},
         2,
         1,
         0},
        {"or time runs out",
         {EVICT_MOST_RECENT, G / 2, G, 4 * G, 2000},
         {RUNS(3, G, G), ASKED(2, G, 500)},
         2,
         1,
         0},
        {"and then nobody else for what it frees",
         {EVICT_MOST_RECENT, G / 2, G, 4 * G, 2000},
         {RUNS(3, G, G), KILLED(2, G, 0)},
         2,
         EVICT_NONE,
         0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct evict_choice choice = evict_choose(&rows[i].view, rows[i].tasks, rows[i].count);
        if (choice.index != rows[i].index || choice.grace_ms != rows[i].grace_ms)
            fail_msg("%s: task %lld, grace %llu", rows[i].what, (long long)choice.index,
                     (unsigned long long)choice.grace_ms);
    }
}

/* Asked again and again, it names as many as are needed, from the most recent on. */
static void no_more_than_needed(void **state) {
    (void)state;
    for (uint64_t missing = 1; missing <= 10; missing++) {
        struct evict_task tasks[10];
        for (uint64_t i = 0; i < 10; i++)
            tasks[i] = (struct evict_task)RUNS(i, 2 * G, G);
        struct evict_view view = {EVICT_MOST_RECENT, 0, missing * G, 0, 0};
        uint64_t ended = 0;
        struct evict_choice choice;
        while ((choice = evict_choose(&view, tasks, 10)).index != EVICT_NONE) {
            assert_int_equal(choice.index, 9 - ended);
            tasks[choice.index].state = EVICT_KILLED;
            ended++;
        }
        assert_int_equal(ended, missing);
    }
}

static void culprits(void **state) {
    (void)state;
    assert_false(evict_is_culprit(G, G));
    assert_true(evict_is_culprit(G, G + 1));
    assert_true(evict_is_culprit(0, 1)); /* asked for nothing */
    assert_false(evict_is_culprit(0, 0));
}

static void patience_grows_with_size(void **state) {
    (void)state;
    assert_int_equal(evict_patience_ms(0), 1000);
    assert_in_range(evict_patience_ms(4 * G), 5000, 5001);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chosen_by_table),
        cmocka_unit_test(no_more_than_needed),
        cmocka_unit_test(culprits),
        cmocka_unit_test(patience_grows_with_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
