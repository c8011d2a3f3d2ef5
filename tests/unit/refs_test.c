/* Unit tests of refs.h without a queue: names that the same input defines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/refs.h"

static struct task named(const char *name, const char *after, const char *after_any) {
    struct task task = {.params = "x", .params_len = 1};
    const struct {
        enum task_option_tag tag;
        const char *value;
    } options[] = {{OPT_NAME, name}, {OPT_AFTER, after}, {OPT_AFTER_ANY, after_any}};
    for (size_t i = 0; i < 3; i++)
        if (options[i].value)
            task.options[task.option_count++] =
                (struct task_option){options[i].tag, options[i].value, strlen(options[i].value)};
    return task;
}

static void define(struct refs *refs, const char *name) {
    struct task task = named(name, NULL, NULL);
    refs_define(refs, &task);
}

/* Resolves and compares the lines, or expects REFS_UNKNOWN when lines is NULL. */
static void expect(struct refs *refs, const char *name, const char *after, const char *after_any,
                   const char *lines) {
    struct buf out = BUF_INIT, error = BUF_INIT;
    struct task task = named(name, after, after_any);
    enum refs_result result = refs_resolve(refs, &task, &out, &error);
    assert_int_equal(result, lines ? REFS_OK : REFS_UNKNOWN);
    if (lines)
        assert_string_equal(out.data, lines);
    else
        assert_non_null(strstr(error.data, "which is neither a name defined above"));
    buf_free(&out);
    buf_free(&error);
}

static void test_defined_names(void **state) {
    (void)state;
    struct refs refs;
    refs_init(&refs, NULL);
    expect(&refs, NULL, NULL, NULL, "");
    expect(&refs, NULL, "a", NULL, NULL);
    define(&refs, "a/b");
    expect(&refs, NULL, "a", NULL, "an:a\n");
    expect(&refs, NULL, "a/b", NULL, "an:a/b\n");
    expect(&refs, NULL, "b", NULL, NULL);
    expect(&refs, NULL, "a/b/c", NULL, NULL);
    define(&refs, "z");
    expect(&refs, NULL, "z,a", "a/b", "an:z\nan:a\nen:a/b\n");
    expect(&refs, NULL, "z,nowhere", NULL, NULL);
    expect(&refs, NULL, "00000000000000", NULL, NULL);
    refs_free(&refs);
}

static void test_beside_first_then_above(void **state) {
    (void)state;
    struct refs refs;
    refs_init(&refs, NULL);
    define(&refs, "prep");
    expect(&refs, "night/clean", "prep", NULL, "an:prep\n");
    define(&refs, "night/prep");
    expect(&refs, "night/clean", "prep", NULL, "an:night/prep\n");
    expect(&refs, "night", "prep", NULL, "an:night/prep\n");
    expect(&refs, "day/clean", "prep", NULL, "an:prep\n");
    expect(&refs, "night/deep/er", "prep", NULL, "an:night/prep\n");
    refs_free(&refs);
}

/* What a task belongs to cannot be what it waits for. */
static void test_own_groups_are_passed_over(void **state) {
    (void)state;
    struct refs refs;
    refs_init(&refs, NULL);
    define(&refs, "a/a");
    define(&refs, "a/x");
    expect(&refs, "a/a", "a", NULL, NULL);
    expect(&refs, "a/a/y", "a", NULL, NULL);
    expect(&refs, "a/a", "x", NULL, "an:a/x\n");
    refs_free(&refs);
}

static void test_settle(void **state) {
    (void)state;
    struct refs refs;
    refs_init(&refs, NULL);
    define(&refs, "a");
    refs_settle(&refs);
    expect(&refs, NULL, "a", NULL, NULL);
    refs_free(&refs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defined_names),
        cmocka_unit_test(test_beside_first_then_above),
        cmocka_unit_test(test_own_groups_are_passed_over),
        cmocka_unit_test(test_settle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
