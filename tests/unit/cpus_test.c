/* cpus.h: sets of CPUs and their written form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <string.h>

#include "worker/cpus.h"

static void read_and_written(void **state) {
    (void)state;
    static const struct {
        const char *text, *again; /* NULL: refused */
        uint32_t count;
    } rows[] = {
        {"", "", 0},
        {"\n", "", 0},
        {"0", "0", 1},
        {"0-3,8,10-11\n", "0-3,8,10-11", 7},
        {"3,2,1", "1-3", 3},
        {"63-64", "63-64", 2},
        {"0-4095", "0-4095", 4096},
        {"4094-9999", "4094-4095", 2},
        {"9999", "", 0},
        {"99999999999999999999", "", 0},
        {"-1", NULL, 0},
        {"1-", NULL, 0},
        {"3-1", NULL, 0},
        {"1,", NULL, 0},
        {",1", NULL, 0},
        {"1 2", NULL, 0},
        {"+1", NULL, 0},
        {" 1", NULL, 0},
        {"a", NULL, 0},
        {"1-2-3", NULL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cpus set;
        struct buf out = BUF_INIT;
        bool ok = cpus_parse(rows[i].text, &set);
        cpus_print(&set, &out);
        if (ok != (rows[i].again != NULL) || strcmp(out.data, ok ? rows[i].again : "") != 0 ||
            cpus_count(&set) != rows[i].count)
            fail_msg("'%s': %d, '%s'", rows[i].text, ok, out.data);
        buf_free(&out);
    }
}

static struct cpus set_of(const char *text) {
    struct cpus set;
    assert_true(cpus_parse(text, &set));
    return set;
}

static void joined_and_kept(void **state) {
    (void)state;
    struct cpus a = set_of("0-3,100"), b = set_of("2-5"), c = set_of("64");
    assert_true(cpus_meet(&a, &b));
    assert_false(cpus_meet(&a, &c));
    struct cpus both = a;
    cpus_keep(&both, &b);
    struct cpus expected = set_of("2-3");
    assert_true(cpus_same(&both, &expected));
    cpus_join(&both, &c);
    expected = set_of("2-3,64");
    assert_true(cpus_same(&both, &expected));
    assert_false(cpus_same(&both, &a));
}

static void walked_through(void **state) {
    (void)state;
    struct cpus set = set_of("0,63,64,4095");
    assert_int_equal(cpus_next(&set, 0), 0);
    assert_int_equal(cpus_next(&set, 1), 63);
    assert_int_equal(cpus_next(&set, 64), 64);
    assert_int_equal(cpus_next(&set, 65), 4095);
    assert_int_equal(cpus_next(&set, 4096), CPUS_MAX);
    assert_false(cpus_has(&set, 4096));
    struct cpus empty = {{0}};
    assert_int_equal(cpus_next(&empty, 0), CPUS_MAX);
    cpus_add(&empty, 4096);
    assert_int_equal(cpus_count(&empty), 0);
}

static void of_this_process(void **state) {
    (void)state;
    struct cpus set;
    cpu_set_t mask;
    assert_int_equal(sched_getaffinity(0, sizeof mask, &mask), 0);
    assert_true(cpus_of_process(&set));
    assert_int_equal(cpus_count(&set), CPU_COUNT(&mask));
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        assert_int_equal(cpus_has(&set, (uint32_t)cpu), CPU_ISSET(cpu, &mask) != 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_and_written),
        cmocka_unit_test(joined_and_kept),
        cmocka_unit_test(walked_through),
        cmocka_unit_test(of_this_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
