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
    assert_true(set.places * sizeof *set.table <= (size_t)N * 21);
    nameset_free(&set);
    assert_false(nameset_has(&set, "task-1", 6));
    assert_true(nameset_add(&set, "task-1", 6));
    nameset_free(&set);
}

/* The most memory that this process had at once. */
static size_t peak_bytes(void) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long kib = 0;
    assert_non_null(file);
    while (!kib && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %lu", &kib) != 1)
            kib = 0;
    fclose(file);
    assert_true(kib > 0);
    return kib * 1024;
}

/* Old and new table are never there together. */
static void grows_in_place(void **state) {
    (void)state;
    enum { N = 1000000 };
    struct nameset set = NAMESET_INIT;
    char name[32];
    size_t before = peak_bytes();
    for (int i = 0; i < N; i++) {
        int len = snprintf(name, sizeof name, "task-%d", i);
        assert_true(nameset_add(&set, name, (size_t)len));
    }
    assert_true(peak_bytes() - before <= (size_t)N * 24);
    for (int i = 0; i < N; i++) {
        int len = snprintf(name, sizeof name, "task-%d", i);
        assert_true(nameset_has(&set, name, (size_t)len));
    }
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
        cmocka_unit_test(grows_in_place),
        cmocka_unit_test(path_adds_its_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
