/* gpuplace.h: which cards tasks get, as tables of steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "worker/gpuplace.h"

#define G (UINT64_C(1) << 30)

/* Cards of so many GiB, of which so many are used. */
struct card {
    uint64_t total, used;
};

static size_t make_cards(const struct card *rows, struct gpu *cards) {
    size_t n = 0;
    for (; rows[n].total; n++) {
        cards[n] =
            (struct gpu){.mem_total_bytes = rows[n].total * G, .mem_used_bytes = rows[n].used * G};
        snprintf(cards[n].uuid, sizeof cards[n].uuid, "GPU-%zu", n);
    }
    return n;
}

enum what { END, COME, LEAVE, USE, LOSE };
struct step {
    enum what what;
    uint64_t a,
        b; /* COME: milli, GiB; LEAVE: which step's task; USE: card, GiB used now; LOSE: card */
    const char *at; /* COME: "0", "1,2", "no"; USE: "" is enough */
};

static void show(const struct gpu_grant *grant, bool fits, char *text, size_t size) {
    size_t len = (size_t)snprintf(text, size, fits ? "" : "no");
    for (size_t i = 0; i < grant->count; i++)
        len += (size_t)snprintf(text + len, size - len, "%s%u", i ? "," : "", grant->cards[i]);
}

static void run(const char *name, const struct card *rows, const struct step *steps) {
    struct gpu cards[GPUS_MAX];
    struct gpuplace place;
    struct gpu_grant grants[64];
    char text[128];
    gpuplace_init(&place, cards, make_cards(rows, cards));
    for (size_t i = 0; steps[i].what != END; i++) {
        const struct step *step = &steps[i];
        if (step->what == LEAVE) {
            gpuplace_release(&place, &grants[step->a]);
        } else if (step->what == COME) {
            struct gpu_request request = {(uint32_t)step->a, step->b * G};
            bool fits = gpuplace_choose(&place, &request, &grants[i]);
            show(&grants[i], fits, text, sizeof text);
            if (strcmp(text, step->at) != 0)
                fail_msg("%s, step %zu: '%s', not '%s'", name, i, text, step->at);
            gpuplace_take(&place, &grants[i]);
        } else {
            if (step->what == USE)
                cards[step->a].mem_used_bytes = step->b * G;
            cards[step->a].lost = step->what == LOSE;
            gpuplace_observe(&place, cards);
        }
    }
}
#define CARDS(...) ((const struct card[]){__VA_ARGS__, {0, 0}})
#define STEPS(...) ((const struct step[]){__VA_ARGS__, {END, 0, 0, NULL}})

static void whole_cards(void **state) {
    (void)state;
    run("one each", CARDS({80, 0}, {80, 0}),
        STEPS({COME, 1000, 0, "0"}, {COME, 1000, 0, "1"}, {COME, 1000, 0, "no"}, {LEAVE, 0, 0, ""},
              {COME, 1000, 0, "0"}));
    run("two for one task", CARDS({80, 0}, {80, 0}, {80, 0}),
        STEPS({COME, 1000, 0, "0"}, {COME, 2000, 0, "1,2"}, {LEAVE, 0, 0, ""},
              {COME, 2000, 0, "no"}, {LEAVE, 1, 0, ""}, {COME, 3000, 0, "0,1,2"}));
    run("a part more than a card is a card more", CARDS({80, 0}, {80, 0}),
        STEPS({COME, 1500, 0, "0,1"}));
    run("the smallest that will do", CARDS({80, 0}, {24, 0}, {40, 0}),
        STEPS({COME, 1000, 30, "2"}, {COME, 1000, 0, "1"}, {COME, 1000, 90, "no"}));
    run("memory is for each card", CARDS({80, 0}, {24, 0}, {40, 0}),
        STEPS({COME, 2000, 50, "no"}, {COME, 2000, 30, "2,0"}));
    run("nobody else is on a whole card", CARDS({80, 0}),
        STEPS({COME, 1000, 8, "0"}, {COME, 0, 1, "no"}, {COME, 100, 1, "no"}, {LEAVE, 0, 0, ""},
              {COME, 0, 1, "0"}, {COME, 1000, 0, "no"}));
}

static void fractions(void **state) {
    (void)state;
    run("whole cards stay whole", CARDS({80, 0}, {80, 0}),
        STEPS({COME, 250, 0, "0"}, {COME, 250, 0, "0"}, {COME, 1000, 0, "1"}, {COME, 500, 0, "0"},
              {COME, 1, 0, "no"}));
    run("the fullest card that has it", CARDS({80, 0}, {80, 0}, {80, 0}),
        STEPS({COME, 500, 0, "0"}, {COME, 700, 0, "1"}, {COME, 300, 0, "1"}, {COME, 300, 0, "0"},
              {COME, 300, 0, "2"}));
    run("memory limits, too", CARDS({24, 0}),
        STEPS({COME, 100, 16, "0"}, {COME, 100, 16, "no"}, {COME, 100, 8, "0"},
              {COME, 100, 0, "no"}));
    run("a quarter is a quarter of the memory", CARDS({80, 0}),
        STEPS({COME, 250, 0, "0"}, {COME, 250, 0, "0"}, {COME, 250, 30, "0"}, {COME, 250, 0, "no"},
              {COME, 250, 10, "0"}));
    run("a driver's few hundred MiB do not count", CARDS({80, 1}),
        STEPS({COME, 250, 0, "0"}, {COME, 250, 0, "0"}, {COME, 250, 0, "0"}, {COME, 250, 0, "0"},
              {COME, 250, 0, "no"}));
    run("unless memory was named", CARDS({80, 1}),
        STEPS({COME, 500, 80, "no"}, {COME, 500, 79, "0"}));
}

static void memory_alone(void **state) {
    (void)state;
    run("no share of the time", CARDS({80, 0}),
        STEPS({COME, 0, 30, "0"}, {COME, 0, 30, "0"}, {COME, 0, 30, "no"}, {COME, 250, 0, "0"}));
    run("where others are already", CARDS({80, 0}, {80, 0}),
        STEPS({COME, 250, 8, "0"}, {COME, 0, 8, "0"}, {COME, 1000, 0, "1"}));
    run("nothing wanted", CARDS({80, 0}), STEPS({COME, 0, 0, ""}));
    run("nothing there", ((const struct card[]){{0, 0}}),
        STEPS({COME, 0, 0, ""}, {COME, 1, 0, "no"}, {COME, 0, 1, "no"}, {COME, 1000, 0, "no"}));
}

static void what_others_use(void **state) {
    (void)state;
    run("a card that others fill is not offered", CARDS({80, 70}, {80, 0}),
        STEPS({COME, 1000, 0, "1"}, {COME, 1000, 0, "no"}, {COME, 500, 0, "no"},
              {COME, 0, 20, "no"}, {COME, 0, 10, "0"}));
    run("what our tasks use is not others'", CARDS({80, 0}),
        STEPS({COME, 500, 40, "0"}, {USE, 0, 40, ""}, {COME, 500, 40, "0"}));
    run("what they use beyond their promise is gone", CARDS({80, 0}),
        STEPS({COME, 500, 20, "0"}, {USE, 0, 60, ""}, {COME, 100, 30, "no"}, {COME, 100, 20, "0"}));
    run("and is there again when they have let go", CARDS({80, 0}),
        STEPS({COME, 500, 20, "0"}, {USE, 0, 60, ""}, {USE, 0, 20, ""}, {COME, 100, 60, "0"}));
    run("a task that has not used its memory yet is not credited with others'", CARDS({80, 30}),
        STEPS({COME, 500, 30, "0"}, {USE, 0, 30, ""}, {COME, 100, 30, "no"}, {USE, 0, 60, ""},
              {COME, 100, 30, "no"}, {COME, 100, 20, "0"}));
    run("others come while ours runs", CARDS({80, 0}),
        STEPS({COME, 500, 20, "0"}, {USE, 0, 70, ""}, {COME, 0, 20, "no"}, {COME, 0, 10, "0"}));
    run("others leave while ours runs", CARDS({80, 40}),
        STEPS({COME, 500, 20, "0"}, {USE, 0, 10, ""}, {COME, 500, 50, "0"}));
}

static void a_task_that_just_ended(void **state) {
    (void)state;
    run("before the next reading its card is as it was", CARDS({80, 1}),
        STEPS({COME, 1000, 0, "0"}, {USE, 0, 60, ""}, {LEAVE, 0, 0, ""}, {COME, 1000, 0, "0"}));
    run("its memory may still be seen for one reading, and no longer", CARDS({80, 1}),
        STEPS({COME, 500, 40, "0"}, {USE, 0, 41, ""}, {LEAVE, 0, 0, ""}, {USE, 0, 41, ""},
              {COME, 1000, 0, "no"}, {USE, 0, 1, ""}, {COME, 1000, 0, "0"}));
    run("and is not taken for others' while the next one runs", CARDS({80, 1}),
        STEPS({COME, 500, 30, "0"}, {USE, 0, 31, ""}, {LEAVE, 0, 0, ""}, {USE, 0, 31, ""},
              {COME, 500, 30, "0"}, {USE, 0, 31, ""}, {COME, 500, 49, "0"}));
    run("two that share: the other stays", CARDS({80, 0}),
        STEPS({COME, 250, 20, "0"}, {COME, 500, 20, "0"}, {LEAVE, 0, 0, ""}, {COME, 1000, 0, "no"},
              {COME, 500, 60, "0"}));
}

static void lost_cards(void **state) {
    (void)state;
    run("are not offered", CARDS({80, 0}, {80, 0}),
        STEPS({COME, 500, 0, "0"}, {LOSE, 0, 0, ""}, {COME, 500, 0, "1"}, {USE, 0, 0, ""},
              {COME, 500, 0, "0"}));
}

static void what_could_ever_fit(void **state) {
    (void)state;
    static const struct {
        uint32_t milli;
        uint64_t gib;
        bool possible;
    } rows[] = {{0, 0, true},      {1000, 0, true},  {2000, 0, true},  {3000, 0, false},
                {250, 0, true},    {0, 80, true},    {0, 81, false},   {2000, 24, true},
                {2000, 25, false}, {1000, 80, true}, {1000, 81, false}};
    struct gpu cards[GPUS_MAX];
    struct gpuplace place;
    gpuplace_init(&place, cards, make_cards(CARDS({80, 79}, {24, 24}), cards));
    struct gpu_request small = {500, 0};
    struct gpu_grant grant;
    assert_false(gpuplace_choose(&place, &small, &grant));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gpu_request request = {rows[i].milli, rows[i].gib * G};
        if (gpuplace_possible(&place, &request) != rows[i].possible)
            fail_msg("%u, %llu GiB", rows[i].milli, (unsigned long long)rows[i].gib);
    }
}

static void a_new_agent_takes_tasks_over(void **state) {
    (void)state;
    struct gpu cards[GPUS_MAX];
    struct gpuplace place;
    struct gpu_grant first, second, third;
    struct gpu_request half = {500, 30 * G}, two = {2000, 0}, quarter = {250, 20 * G};
    struct buf uuids = BUF_INIT;
    size_t n = make_cards(CARDS({80, 31}, {80, 80}, {80, 70}), cards);
    gpuplace_init(&place, cards, n);
    assert_true(gpuplace_adopt(&place, &half, cards, "GPU-0", &first));
    assert_true(gpuplace_adopt(&place, &two, cards, "GPU-2,GPU-1", &second));
    assert_false(gpuplace_adopt(&place, &half, cards, "GPU-0,GPU-9", &third));
    assert_int_equal(third.count, 0);
    gpuplace_observe(&place, cards);
    gpu_grant_uuids(&second, cards, &uuids);
    assert_string_equal(uuids.data, "GPU-2,GPU-1");
    buf_free(&uuids);
    /* 31 used, of which 30 are the adopted task's: 49 are left. */
    struct gpu_request rest = {500, 49 * G};
    assert_true(gpuplace_choose(&place, &rest, &third));
    assert_int_equal(third.cards[0], 0);
    rest.mem_bytes = 50 * G;
    assert_false(gpuplace_choose(&place, &rest, &third));
    assert_false(gpuplace_choose(&place, &(struct gpu_request){1000, 0}, &third));
    gpuplace_release(&place, &second);
    cards[1].mem_used_bytes = cards[2].mem_used_bytes = 0;
    gpuplace_observe(&place, cards);
    assert_true(gpuplace_choose(&place, &two, &third));
    gpuplace_release(&place, &first);
    assert_true(gpuplace_choose(&place, &quarter, &third));
    assert_int_equal(place.cards[0].promised_bytes, 0);
    assert_int_equal(place.cards[0].promised_milli, 0);
}

static void told_to_the_queue(void **state) {
    (void)state;
    struct gpu cards[GPUS_MAX];
    struct gpuplace place;
    struct gpu_grant grant;
    struct gpu_request quarter = {250, 20 * G}, whole = {1000, 0};
    struct buf text = BUF_INIT;
    gpuplace_init(&place, cards, make_cards(CARDS({80, 1}, {80, 70}, {80, 0}, {8, 0}), cards));
    cards[3].lost = true;
    gpuplace_observe(&place, cards);
    assert_true(gpuplace_choose(&place, &quarter, &grant)); /* card 0: it has less left */
    gpuplace_take(&place, &grant);
    assert_true(gpuplace_choose(&place, &whole, &grant));
    gpuplace_take(&place, &grant);
    gpuplace_add_free(&place, &text);
    assert_string_equal(text.data, "750:63350767616:64424509440:85899345920:0,"
                                   "1000:10737418240:10737418240:85899345920:1,"
                                   "0:0:0:85899345920:0,0:0:0:8589934592:0");
    buf_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_cards),
        cmocka_unit_test(fractions),
        cmocka_unit_test(memory_alone),
        cmocka_unit_test(what_others_use),
        cmocka_unit_test(a_task_that_just_ended),
        cmocka_unit_test(lost_cards),
        cmocka_unit_test(what_could_ever_fit),
        cmocka_unit_test(a_new_agent_takes_tasks_over),
        cmocka_unit_test(told_to_the_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
