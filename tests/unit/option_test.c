#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/option.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool set(struct options *options, const char *key, const char *value, struct buf *error) {
    const struct task_option_info *info = option_find(key, strlen(key));
    assert_non_null(info);
    return options_set(options, info, key, strlen(key), value, strlen(value), error);
}

static const struct {
    const char *key, *value;
    const char *kept; /* NULL: refused with `error` */
    const char *error;
} rows[] = {
    {"name", "sweep/lru", "sweep/lru", NULL},
    {"name", "caf\xe9", "caf\xe9", NULL},
    {"name", "", NULL, "empty name, expected 1 to 255 bytes"},
    {"name", "a b", NULL, "name \"a b\", expected no blanks, commas or control characters"},
    {"name", "a,b", NULL, "name \"a,b\", expected no blanks, commas or control characters"},
    {"name", "a\x01", NULL, "name \"a\\x01\", expected no blanks, commas or control characters"},
    {"name", "/a", NULL, "name \"/a\", expected '/' only between the parts, as in sweep/lru"},
    {"name", "a/", NULL, "name \"a/\", expected '/' only between the parts, as in sweep/lru"},
    {"name", "a//b", NULL, "name \"a//b\", expected '/' only between the parts, as in sweep/lru"},
    {"timeout", "30", "30000", NULL},
    {"timeout", "1h30m", "5400000", NULL},
    {"timeout", "0", "0", NULL},
    {"timeout", "soon", NULL,
     "timeout \"soon\", expected a duration, as 30 (seconds), 500ms, 5m or 1h30m"},
    {"retries", "4", "4", NULL},
    {"retries", "0", NULL, "retries \"0\", expected a whole number from 1 to 1000"},
    {"retries", "1001", NULL, "retries \"1001\", expected a whole number from 1 to 1000"},
    {"backoff", "500ms", "500", NULL},
    {"cwd", "/data/run 1", "/data/run 1", NULL},
    {"cwd", "", NULL, "cwd \"\", expected a path"},
    {"env.A", "x y", "A=x y", NULL},
    {"env.A", "", "A=", NULL},
    {"env.", "x", NULL,
     "unusable key \"env.\", expected env.NAME, the name without blanks and '='"},
    {"arg.a b", "x", NULL,
     "unusable key \"arg.a b\", expected arg.NAME, the name without blanks and '='"},
    {"arg.size", "4", "size=4", NULL},
    {"after", "a", "a", NULL},
    {"after", "a, b/c ,d", "a,b/c,d", NULL},
    {"after", "a,,b", NULL, "empty after, expected 1 to 255 bytes"},
    {"after", "a,", NULL, "empty after, expected 1 to 255 bytes"},
    {"after_any", "x", "x", NULL},
    {"after_any", "x y", NULL,
     "after_any \"x y\", expected no blanks, commas or control characters"},
    {"repeat", "1000000000", "1000000000", NULL},
    {"repeat", "1000000001", NULL,
     "repeat \"1000000001\", expected a whole number from 1 to 1000000000"},
    {"repeat", "0", NULL, "repeat \"0\", expected a whole number from 1 to 1000000000"},
    {"gpu", "0.5", "500", NULL},
    {"gpu", "1", "1000", NULL},
    {"gpu", "3", "3000", NULL},
    {"gpu", "1.5", NULL,
     "gpu \"1.5\", expected a share of one GPU (0.25) or a whole number of them"},
    {"gpu", "1025", NULL, "gpu \"1025\", expected at most 1024"},
    {"gpu", "one", NULL, "gpu \"one\", expected a number with at most 3 decimals, as 2 or 0.5"},
    {"gpu_mem", "2", "2147483648", NULL},
    {"gpu_mem", "512M", "536870912", NULL},
    {"gpu_mem", "129T", NULL, "gpu_mem \"129T\", expected at most 128 TiB"},
    {"gpu_mem", "x", NULL,
     "gpu_mem \"x\", expected a size in GiB, or with a unit, as 2, 1.5GiB or 512M"},
    {"labels", "ssd, big", "ssd,big", NULL},
    {"output", "keep", "keep", NULL},
    {"output", "all", NULL, "output \"all\", expected auto, keep or redis"},
    {"leftovers", "wait", "wait", NULL},
    {"leftovers", "", NULL, "leftovers \"\", expected kill or wait"},
    {"limit", "hard", "hard", NULL},
    {"limit", "Hard", NULL, "limit \"Hard\", expected soft or hard"},
    {"pin", "numa", "numa", NULL},
    {"pin", "cores", NULL, "pin \"cores\", expected none, core or numa"},
};

static void values(void **state) {
    (void)state;
    struct options options = OPTIONS_INIT;
    struct buf error = BUF_INIT;
    struct task task;
    for (size_t i = 0; i < COUNT(rows); i++) {
        options_clear(&options);
        buf_clear(&error);
        bool good = set(&options, rows[i].key, rows[i].value, &error);
        assert_string_equal(error.data, rows[i].kept ? "" : rows[i].error);
        assert_int_equal(good, rows[i].kept != NULL);
        options_fill(&options, &task);
        assert_int_equal(task.option_count, good);
        if (good) {
            assert_int_equal(task.options[0].len, strlen(rows[i].kept));
            assert_memory_equal(task.options[0].value, rows[i].kept, task.options[0].len);
        }
    }
    options_free(&options);
    buf_free(&error);
}

static void every_option_has_a_row(void **state) {
    (void)state;
    for (size_t i = 0; i < task_options_count; i++) {
        bool found = false;
        for (size_t j = 0; j < COUNT(rows) && !found; j++)
            found = option_find(rows[j].key, strlen(rows[j].key)) == &task_options[i];
        if (!found)
            fail_msg("no test for %s", task_options[i].key);
        assert_int_equal(option_choices(task_options[i].tag) != NULL,
                         task_options[i].form == FORM_CHOICE);
    }
}

static void unknown_keys(void **state) {
    (void)state;
    static const struct {
        const char *key, *error;
    } unknown[] = {
        {"timout", "unknown option \"timout\", expected timeout"},
        {"labls", "unknown option \"labls\", expected labels"},
        {"env", "unknown option \"env\", expected env.NAME"},
        {"enf.X", "unknown option \"enf.X\", expected env.NAME"},
        {"afterany", "unknown option \"afterany\", expected after_any"},
        {"gpumem", "unknown option \"gpumem\", expected gpu_mem"},
        {"zebra",
         "unknown option \"zebra\", expected name, timeout, retries, backoff, cwd, env.NAME, "
         "after, after_any, repeat, gpu, gpu_mem, labels, output, leftovers, arg.NAME, limit, "
         "pin"},
    };
    struct buf error = BUF_INIT;
    for (size_t i = 0; i < COUNT(unknown); i++) {
        assert_null(option_find(unknown[i].key, strlen(unknown[i].key)));
        buf_clear(&error);
        option_unknown("option", unknown[i].key, strlen(unknown[i].key), NULL, &error);
        assert_string_equal(error.data, unknown[i].error);
    }
    char *wide = xmalloc(1000);
    memset(wide, 'x', 1000);
    buf_clear(&error);
    option_unknown("option", wide, 1000, NULL, &error);
    assert_non_null(strstr(error.data, "expected name, "));
    free(wide);
    buf_free(&error);
}

static void sorted_and_replaced(void **state) {
    (void)state;
    struct options options = OPTIONS_INIT;
    struct buf error = BUF_INIT;
    struct task task;
    set(&options, "arg.b", "1", &error);
    set(&options, "env.Z", "1", &error);
    set(&options, "env.A", "1", &error);
    set(&options, "name", "n", &error);
    set(&options, "env.Z", "2", &error); /* keeps its place */
    set(&options, "env.ZZ", "3", &error);
    set(&options, "name", "m", &error);
    options_fill(&options, &task);
    static const char *const expected[] = {"m", "Z=2", "A=1", "ZZ=3", "b=1"};
    assert_int_equal(task.option_count, COUNT(expected));
    for (size_t i = 0; i < COUNT(expected); i++)
        assert_memory_equal(task.options[i].value, expected[i], strlen(expected[i]));
    options_unset(&options, option_find("env.A", 5), "env.A", 5);
    options_unset(&options, option_find("env.B", 5), "env.B", 5);
    options_unset(&options, option_find("name", 4), "name", 4);
    options_fill(&options, &task);
    assert_int_equal(task.option_count, 3);
    assert_memory_equal(task.options[0].value, "Z=2", 3);
    options_free(&options);
}

static void replacing_for_ever_needs_no_memory(void **state) {
    (void)state;
    struct options options = OPTIONS_INIT;
    struct buf error = BUF_INIT;
    struct task task;
    char value[32];
    for (int i = 0; i < 100000; i++) {
        snprintf(value, sizeof value, "v%d", i);
        assert_true(set(&options, "env.A", value, &error));
        assert_true(set(&options, "name", value, &error));
    }
    assert_true(options.text.cap < 65536);
    options_fill(&options, &task);
    assert_memory_equal(task.options[0].value, "v99999", 6);
    assert_memory_equal(task.options[1].value, "A=v99999", 8);
    options_free(&options);
}

static void too_many(void **state) {
    (void)state;
    struct options options = OPTIONS_INIT;
    struct buf error = BUF_INIT;
    char key[32];
    for (int i = 0; i < OPTIONS_MAX; i++) {
        snprintf(key, sizeof key, "env.V%d", i);
        assert_true(set(&options, key, "x", &error));
    }
    assert_true(set(&options, "env.V0", "replaced", &error));
    assert_false(set(&options, "env.ONE_MORE", "x", &error));
    assert_string_equal(error.data, "too many options, expected at most 126");
    options_free(&options);
    buf_free(&error);
}

static void too_long(void **state) {
    (void)state;
    struct options options = OPTIONS_INIT;
    struct buf error = BUF_INIT;
    char *value = xcalloc(OPTIONS_VALUE_MAX + 2, 1);
    memset(value, 'v', OPTIONS_VALUE_MAX + 1);
    assert_false(set(&options, "cwd", value, &error));
    assert_string_equal(error.data, "cwd of 131072 bytes, expected at most 131071");
    value[OPTIONS_VALUE_MAX] = '\0';
    buf_clear(&error);
    for (int i = 0; i < 8; i++) {
        char key[8] = {'e', 'n', 'v', '.', (char)('A' + i), '\0'};
        assert_true(set(&options, key, value, &error));
    }
    assert_false(options_check(&options, &error));
    assert_string_equal(error.data, "options of 1048584 bytes together, expected at most 1048576");
    buf_clear(&error);
    value[256] = '\0';
    options_clear(&options);
    assert_false(set(&options, "name", value, &error));
    assert_string_equal(error.data, "name of 256 bytes, expected at most 255");
    buf_clear(&error);
    value[226] = '\0'; /* label: + 226 = 232, with the family of auto 256 */
    assert_true(set(&options, "labels", value, &error));
    assert_false(options_check(&options, &error));
    assert_string_equal(error.data,
                        "labels and GPU requests of 232 bytes together, expected at most 231");
    value[225] = '\0';
    assert_true(set(&options, "labels", value, &error));
    assert_true(options_check(&options, &error));
    buf_clear(&error);
    /* A native task has its kernel besides, and with device=gpu a card. */
    struct task native = {.type = TASK_NATIVE, .params = "gemm", .params_len = 4};
    options_fill(&options, &native);
    assert_true(option_check_task(&native, &error));
    native.params = "a_kernel_with_a_long_name device=gpu";
    native.params_len = strlen(native.params);
    assert_false(option_check_task(&native, &error));
    assert_string_equal(error.data + strlen("labels and GPU requests of "),
                        "273 bytes together, expected at most 255");
    buf_clear(&error);
    assert_false(options_set(&options, option_find("cwd", 3), "cwd", 3, "a\0b", 3, &error));
    free(value);
    options_free(&options);
    buf_free(&error);
}

static void own_name(void **state) {
    (void)state;
    static const struct {
        const char *name, *key, *after, *error;
    } cases[] = {
        {"a/b", "after", "x,ab,a/bc,a/b/c,b", NULL},
        {"a/b", "after", "x,a/b",
         "after \"a/b\" is or holds the task's own name \"a/b\", expected a name defined earlier"},
        {"a/b", "after_any", "a",
         "after_any \"a\" is or holds the task's own name \"a/b\", expected a name defined "
         "earlier"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct options options = OPTIONS_INIT;
        struct buf error = BUF_INIT;
        assert_true(set(&options, "name", cases[i].name, &error));
        assert_true(set(&options, cases[i].key, cases[i].after, &error));
        assert_int_equal(options_check(&options, &error), cases[i].error == NULL);
        assert_string_equal(error.data, cases[i].error ? cases[i].error : "");
        options_free(&options);
        buf_free(&error);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(every_option_has_a_row),
        cmocka_unit_test(unknown_keys),
        cmocka_unit_test(sorted_and_replaced),
        cmocka_unit_test(replacing_for_ever_needs_no_memory),
        cmocka_unit_test(too_many),
        cmocka_unit_test(too_long),
        cmocka_unit_test(own_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
