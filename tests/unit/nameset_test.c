#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/nameset.h"

static void remembers(void **state) {
    (void)state;
    enum { N = 100000 };
    struct nameset set = NAMESET_INIT;
    char name[32];
    assert_false(nameset_has(&set, "x", 1));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            int len = snprintf(name, sizeof name, "task-%d", i);
            assert_int_equal(nameset_add(&set, name, (size_t)len), round == 0);
        }
    }
    assert_int_equal(set.count, N);
    for (int i = 0; i < 2 * N; i++) {
        int len = snprintf(name, sizeof name, "task-%d", i);
        assert_int_equal(nameset_has(&set, name, (size_t)len), i < N);
    }
    assert_true(set.size * sizeof *set.table <= (size_t)N * 28);
    nameset_free(&set);
    assert_false(nameset_has(&set, "task-1", 6));
    assert_true(nameset_add(&set, "task-1", 6));
    nameset_free(&set);
}

static void path_adds_its_groups(void **state) {
    (void)state;
    struct nameset set = NAMESET_INIT;
    nameset_add_path(&set, "a/b/c", 5);
    assert_true(nameset_has(&set, "a", 1));
    assert_true(nameset_has(&set, "a/b", 3));
    assert_true(nameset_has(&set, "a/b/c", 5));
    assert_false(nameset_has(&set, "b", 1));
    assert_false(nameset_has(&set, "a/", 2));
    assert_int_equal(set.count, 3);
    nameset_free(&set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(remembers),
        cmocka_unit_test(path_adds_its_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
