#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/words.h"

static const struct {
    const char *text;
    const char *words; /* each ended by '|' */
} good[] = {
    {"", ""},
    {" \t\n ", ""},
    {"a", "a|"},
    {"a b  c ", "a|b|c|"},
    {"'a b' c", "a b|c|"},
    {"\"a b\" c", "a b|c|"},
    {"a'b'\"c\"d", "abcd|"},
    {"''", "|"},
    {"\"\" x ''", "|x||"},
    {"a\\ b", "a b|"},
    {"'a\\b'", "a\\b|"},
    {"\"a\\b\"", "a\\b|"},
    {"\"\\$\\`\\\"\\\\\"", "$`\"\\|"},
    {"\"'\" '\"'", "'|\"|"},
    {"a\\\nb", "ab|"},
    {"a \\\n b", "a|b|"},
    {"\"a\\\nb\"", "ab|"},
    {"$HOME *.c ~ #x `y` a;b", "$HOME|*.c|~|#x|`y`|a;b|"},
    {"-c 'print(\"x y\")' --n=1", "-c|print(\"x y\")|--n=1|"},
    {"\xff\xfe 'caf\xe9'", "\xff\xfe|caf\xe9|"},
};

static const struct {
    const char *text;
    size_t offset;
    const char *error;
} bad[] = {
    {"a 'b", 2, "a single quote that is not closed, expected ' later on"},
    {"'", 0, "a single quote that is not closed, expected ' later on"},
    {"x\"y 'z", 1, "a double quote that is not closed, expected \" later on"},
    {"ok \"a\\", 3, "a double quote that is not closed, expected \" later on"},
    {"ok a\\", 4, "a backslash at the end, expected a character after it"},
    {"it's", 2, "a single quote that is not closed, expected ' later on"},
};

static void splits(void **state) {
    (void)state;
    struct words w = WORDS_INIT;
    struct buf error = BUF_INIT, joined = BUF_INIT;
    size_t offset;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(words_split(good[i].text, strlen(good[i].text), &w, &offset, &error));
        buf_clear(&joined);
        for (size_t j = 0; j < w.count; j++) {
            assert_int_equal(w.list[j].len, strlen(w.argv[j]));
            assert_true(w.list[j].start < w.list[j].end);
            buf_addf(&joined, "%s|", w.argv[j]);
        }
        assert_string_equal(joined.data, good[i].words);
        assert_null(w.argv[w.count]);
    }
    assert_string_equal(error.data, "");
    buf_free(&joined);
    words_free(&w);
}

static void refuses(void **state) {
    (void)state;
    struct words w = WORDS_INIT;
    struct buf error = BUF_INIT;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t offset = SIZE_MAX;
        buf_clear(&error);
        assert_false(words_split(bad[i].text, strlen(bad[i].text), &w, &offset, &error));
        assert_string_equal(error.data, bad[i].error);
        assert_int_equal(offset, bad[i].offset);
        assert_int_equal(w.count, 0);
    }
    buf_free(&error);
    words_free(&w);
}

static void places_of_words(void **state) {
    (void)state;
    struct words w = WORDS_INIT;
    struct buf error = BUF_INIT;
    size_t offset;
    assert_true(words_split(" ab 'c d'e", 10, &w, &offset, &error));
    assert_int_equal(w.list[0].start, 1);
    assert_int_equal(w.list[0].end, 3);
    assert_int_equal(w.list[1].start, 4);
    assert_int_equal(w.list[1].end, 10);
    words_free(&w);
}

static void shown(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    words_add_shown(&b, "a\tb\x7f", 4);
    assert_string_equal(b.data, "\"a\\x09b\\x7f\"");
    buf_clear(&b);
    words_add_shown(&b, "0123456789012345678901234567890123456789X", 41);
    assert_string_equal(b.data, "\"0123456789012345678901234567890123456789\"...");
    buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits),
        cmocka_unit_test(refuses),
        cmocka_unit_test(places_of_words),
        cmocka_unit_test(shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
