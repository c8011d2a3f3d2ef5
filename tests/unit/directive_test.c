#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/directive.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Applied one after the other; the options then, each as TAG=VALUE and ended by '|'. */
static const struct {
    const char *line;
    const char *options;
} good[] = {
    {"#@", ""},
    {"#@ \t", ""},
    {"#@ timeout=5m", "2=300000|"},
    {"#@\tname=a retries=3", "1=a|2=300000|3=3|"},
    {"#@ timeout=", "1=a|3=3|"},
    {"#@ cwd=\"/data/run 1\" env.A='x=y z'", "1=a|3=3|5=/data/run 1|6=A=x=y z|"},
    {"#@ env.B=2 env.A=1", "1=a|3=3|5=/data/run 1|6=A=1|6=B=2|"},
    {"#@ env.A= env.B=\"\"", "1=a|3=3|5=/data/run 1|6=B=|"},
    {"#@ cwd='' 'name=b'", "1=b|3=3|6=B=|"},
    {"#@ env.B= name= retries= env.NONE=", ""},
    {"#@ labels='a, b' repeat=3 output=keep", "9=3|12=a,b|13=keep|"},
};

static const struct {
    const char *line;
    size_t column;
    const char *error;
} bad[] = {
    {"#@timeout=5m", 3, "#@ runs into the next word, expected a blank after it"},
    {"#@ timeout", 4, "\"timeout\" without '=', expected key=value"},
    {"#@ name=a timeout = 5", 11, "\"timeout\" without '=', expected key=value"},
    {"#@ timout=5m", 4, "unknown option \"timout\", expected timeout"},
    {"#@ Name=a", 4, "unknown option \"Name\", expected name"},
    {"#@ name=a timeout=soon", 19,
     "timeout \"soon\", expected a duration, as 30 (seconds), 500ms, 5m or 1h30m"},
    {"#@ env.=1", 9, "unusable key \"env.\", expected env.NAME, the name without blanks and '='"},
    {"#@ cwd='/a b", 8, "a single quote that is not closed, expected ' later on"},
    {"#@ name=\"a b\"", 9, "name \"a b\", expected no blanks, commas or control characters"},
};

static void applies(void **state) {
    (void)state;
    struct options options = OPTIONS_INIT;
    struct words words = WORDS_INIT;
    struct buf error = BUF_INIT, seen = BUF_INIT;
    struct task task;
    size_t column;
    for (size_t i = 0; i < COUNT(good); i++) {
        size_t len = strlen(good[i].line);
        if (!directive_apply(good[i].line, len, &options, &words, &column, &error))
            fail_msg("%s: %s", good[i].line, error.data);
        options_fill(&options, &task);
        buf_clear(&seen);
        for (size_t j = 0; j < task.option_count; j++) {
            buf_addf(&seen, "%d=", (int)task.options[j].tag);
            buf_add(&seen, task.options[j].value, task.options[j].len);
            buf_addc(&seen, '|');
        }
        assert_string_equal(seen.data, good[i].options);
    }
    buf_free(&seen);
    words_free(&words);
    options_free(&options);
}

static void refuses(void **state) {
    (void)state;
    struct options options = OPTIONS_INIT;
    struct words words = WORDS_INIT;
    struct buf error = BUF_INIT;
    for (size_t i = 0; i < COUNT(bad); i++) {
        size_t column = 0;
        buf_clear(&error);
        assert_false(
            directive_apply(bad[i].line, strlen(bad[i].line), &options, &words, &column, &error));
        assert_string_equal(error.data, bad[i].error);
        assert_int_equal(column, bad[i].column);
    }
    buf_free(&error);
    words_free(&words);
    options_free(&options);
}

static void is_told_from_a_comment(void **state) {
    (void)state;
    assert_true(directive_is("#@", 2));
    assert_true(directive_is("#@x", 3));
    assert_false(directive_is("#", 1));
    assert_false(directive_is("# @", 3));
    assert_false(directive_is("", 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(applies),
        cmocka_unit_test(refuses),
        cmocka_unit_test(is_told_from_a_comment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
