/* need.h: what a return means for the next try. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/need.h"
#include "common/task.h"

#define M (UINT64_C(1) << 20)
#define G (UINT64_C(1) << 30)

static void after_return_by_table(void **state) {
    (void)state;
    static const struct {
        const char *what;
        uint64_t promised, peak, largest;
        enum need_verdict verdict;
        uint64_t mem;
    } rows[] = {
        {"bystander", 2 * G, G, 8 * G, NEED_KEEP, 2 * G},
        {"to the byte", 2 * G, 2 * G, 8 * G, NEED_KEEP, 2 * G},
        {"a bystander on a worker that has shrunk", 9 * G, G, 8 * G, NEED_KEEP, 9 * G},
        {"culprit: 2.5 GiB is a rung", G, 2 * G, 8 * G, NEED_RAISED, 2560 * M},
        {"culprit: 1.25 GiB + 1 is not", 0, G + 1, 8 * G, NEED_RAISED, 1280 * M + 128 * M},
        {"asked for nothing", 0, 8 * M, 8 * G, NEED_RAISED, 10 * M},
        {"more than a quarter above: the whole worker", G, 7 * G, 8 * G, NEED_RAISED, 8 * G},
        {"exactly what there is", G, 8 * G, 8 * G, NEED_RAISED, 8 * G},
        {"more than there is", G, 8 * G + 1, 8 * G, NEED_IMPOSSIBLE, 8 * G + 1},
        {"had the whole worker", 8 * G, 9 * G, 8 * G, NEED_IMPOSSIBLE, 9 * G},
        {"no worker is known", G, 100 * G, UINT64_MAX, NEED_RAISED, 128 * G},
        {"beyond all that can be asked for", G, TASK_MEM_MAX + 1, UINT64_MAX, NEED_IMPOSSIBLE,
         TASK_MEM_MAX + 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct need need = need_after_return(rows[i].promised, rows[i].peak, rows[i].largest);
        if (need.verdict != rows[i].verdict || need.mem_bytes != rows[i].mem)
            fail_msg("%s: verdict %d, %llu MiB", rows[i].what, (int)need.verdict,
                     (unsigned long long)(need.mem_bytes / M));
    }
}

/* Raised again and again, a task comes to an end: the need grows by a quarter at least. */
static void raises_end(void **state) {
    (void)state;
    uint64_t promised = M;
    int raises = 0;
    for (struct need need;
         (need = need_after_return(promised, promised + 1, 64 * G)).verdict == NEED_RAISED;
         raises++) {
        assert_true(need.mem_bytes >= promised + promised / 4 || need.mem_bytes == 64 * G);
        promised = need.mem_bytes;
    }
    assert_int_equal(promised, 64 * G);
    assert_in_range(raises, 40, 51); /* log(65536) / log(1.25) */
}

static void impossible_says_both_figures(void **state) {
    (void)state;
    struct buf text = BUF_INIT;
    need_add_impossible(&text, 12 * G + G / 2, 8 * G);
    assert_string_equal(text.data, "needs at least 12.5 GiB; the largest worker has 8.0 GiB");
    buf_free(&text);
}

static void unknown_is_a_share(void **state) {
    (void)state;
    assert_int_equal(need_unknown(64 * G, 32000), 2 * G);
    assert_int_equal(need_unknown(64 * G, 32500), 2 * G); /* 33 cores; 1.94 GiB, rounded up */
    assert_int_equal(need_unknown(8 * G, 500), 8 * G);
    assert_int_equal(need_unknown(8 * G, 0), 8 * G);
    assert_int_equal(need_unknown(G, 64000), 16 * M);
}

static void a_raise_is_found_in_a_reason(void **state) {
    (void)state;
    static const struct {
        const char *reason, *note;
    } cases[] = {
        {"", NULL},
        {"min_dram raised from 1.0 GiB to 2.0 GiB", NULL},
        {"; min_dram raised from 1.0 GiB to 2.0 GiB", "min_dram raised from 1.0 GiB to 2.0 GiB"},
        {"memory was short; min_dram raised from auto (1.0 GiB) to 2.0 GiB",
         "min_dram raised from auto (1.0 GiB) to 2.0 GiB"},
        {"said; min_dram raised from 1 to 2; min_dram raised from 3 to 4",
         "min_dram raised from 3 to 4"},
        {"; min_dram raised from", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len;
        const char *note = need_raised_note(cases[i].reason, strlen(cases[i].reason), &len);
        assert_int_equal(note != NULL, cases[i].note != NULL);
        assert_int_equal(len, cases[i].note ? strlen(cases[i].note) : 0);
        if (note)
            assert_string_equal(note, cases[i].note);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_return_by_table),        cmocka_unit_test(raises_end),
        cmocka_unit_test(impossible_says_both_figures), cmocka_unit_test(unknown_is_a_share),
        cmocka_unit_test(a_raise_is_found_in_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
