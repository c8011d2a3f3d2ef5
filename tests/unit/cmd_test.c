/* cmd.h: commands under construction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cmd.h"

static void assert_argument(struct cmd *c, size_t i, const char *bytes, size_t len) {
    cmd_argv(c);
    assert_true(i < c->count);
    assert_int_equal(c->lens[i], len);
    assert_memory_equal(c->argv[i], bytes, len);
}

#define assert_text(c, i, s) assert_argument(c, i, s, strlen(s))

static void arguments_of_every_kind(void **state) {
    (void)state;
    struct cmd c = CMD_INIT;
    cmd_argv(&c); /* nothing yet: nothing to fill */
    cmd_adds(&c, "SET");
    cmd_add(&c, "a\0b", 3);
    cmd_adds(&c, "");
    cmd_addi(&c, INT64_MIN);
    cmd_addi(&c, -1);
    cmd_addu(&c, UINT64_MAX);
    assert_int_equal(c.count, 6);
    assert_text(&c, 0, "SET");
    assert_argument(&c, 1, "a\0b", 3);
    assert_text(&c, 2, "");
    assert_text(&c, 3, "-9223372036854775808");
    assert_text(&c, 4, "-1");
    assert_text(&c, 5, "18446744073709551615");
    assert_null(c.script);
    cmd_free(&c);
    cmd_free(&c);
}

static void argv_survives_growth_and_clear(void **state) {
    (void)state;
    struct cmd c = CMD_INIT;
    for (int round = 0; round < 2; round++) {
        cmd_clear(&c);
        assert_int_equal(c.count, 0);
        for (int i = 0; i < 5000; i++)
            cmd_addi(&c, i + round);
        cmd_argv(&c);
        for (int i = 0; i < 5000; i++) {
            char text[16];
            int len = snprintf(text, sizeof text, "%d", i + round);
            assert_int_equal(c.lens[i], len);
            assert_memory_equal(c.argv[i], text, (size_t)len);
        }
    }
    cmd_free(&c);
}

static void script_begins_evalsha(void **state) {
    (void)state;
    struct cmd c = CMD_INIT;
    cmd_adds(&c, "left over");
    cmd_script(&c, "claim", "distcomp:{q}");
    cmd_adds(&c, "w");
    assert_int_equal(c.count, 5);
    assert_text(&c, 0, "EVALSHA");
    assert_text(&c, 1, script_find("claim")->sha1);
    assert_text(&c, 2, "1");
    assert_text(&c, 3, "distcomp:{q}");
    assert_text(&c, 4, "w");
    assert_ptr_equal(c.script, script_find("claim"));
    cmd_clear(&c);
    assert_null(c.script);
    cmd_free(&c);
}

static void eval_has_the_text_and_the_same_arguments(void **state) {
    (void)state;
    struct cmd c = CMD_INIT;
    cmd_script(&c, "report", "distcomp:{q}");
    cmd_add(&c, "\0\xff", 2);
    cmd_adds(&c, "");
    cmd_addi(&c, -5);
    cmd_use_eval(&c);
    assert_int_equal(c.count, 7);
    assert_text(&c, 0, "EVAL");
    assert_text(&c, 1, script_find("report")->text);
    assert_text(&c, 2, "1");
    assert_text(&c, 3, "distcomp:{q}");
    assert_argument(&c, 4, "\0\xff", 2);
    assert_text(&c, 5, "");
    assert_text(&c, 6, "-5");
    assert_ptr_equal(c.script, script_find("report"));
    cmd_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_of_every_kind),
        cmocka_unit_test(argv_survives_growth_and_clear),
        cmocka_unit_test(script_begins_evalsha),
        cmocka_unit_test(eval_has_the_text_and_the_same_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
