#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/words.h"
#include "manager/shell_quote.h"
#include "manager/sweep.h"

#define WORDS_MAX 16

/* Each row: the words of the command line, and the commands that come of them, joined by '|'. */
static const struct {
    const char *words[WORDS_MAX];
    const char *commands;
} good[] = {
    {{"true"}, "true"},
    {{"ls -l | wc"}, "ls -l | wc"},
    {{"echo", "a b", "$HOME", "it's"}, "echo 'a b' '$HOME' 'it'\\''s'"},
    {{"find", ".", "-exec", "ls", "{}", ";"}, "find . -exec ls '{}' ';'"},
    {{"echo", ""}, "echo ''"},
    {{"A=1", "./x"}, "A=1 ./x"},
    /* every combination, the first list slowest */
    {{"sim", "{1}", "{2}", ":::", "lru", "fifo", ":::", "1", "2", "4"},
     "sim lru 1|sim lru 2|sim lru 4|sim fifo 1|sim fifo 2|sim fifo 4"},
    {{"sim", "{2}", "{1}", ":::", "a", "b", ":::", "1", "2"}, "sim 1 a|sim 2 a|sim 1 b|sim 2 b"},
    /* no placeholder: at the end */
    {{"gzip", "-k", ":::", "a b.txt", "c"}, "gzip -k 'a b.txt'|gzip -k c"},
    {{"echo x", ":::", "a b", "c"}, "echo x 'a b'|echo x c"},
    {{"echo", ":::", "a", ":::", "1", "2"}, "echo a 1|echo a 2"},
    /* {} is all of them */
    {{"echo", "{}", "end", ":::", "a b", ":::", "1"}, "echo 'a b' 1 end"},
    {{"echo", "x{}y", ":::", "a", ":::", "1"}, "echo 'xa 1y'"},
    {{"echo {} >{}.log", ":::", "a b"}, "echo 'a b' >'a b'.log"},
    /* in step */
    {{"cp", "{1}", "{2}", ":::", "a", "b", ":::+", "x", "y"}, "cp a x|cp b y"},
    {{"f", "{1}{2}{3}", ":::", "a", "b", ":::+", "x", "y", ":::", "1", "2"},
     "f ax1|f ax2|f by1|f by2"},
    {{"f", "{1}{2}{3}", ":::", "a", "b", ":::+", "x", "y", ":::+", "1", "2"}, "f ax1|f by2"},
    /* names */
    {{"sim --size={size} {1}", ":::", "lru", ":::size", "1", "2"},
     "sim --size=1 lru|sim --size=2 lru"},
    {{"sim", "--out={size}.{kind}", ":::size", "1", "2", ":::+kind", "a", "b c"},
     "sim --out=1.a|sim '--out=2.b c'"},
    {{"sim", "{2}{size}", ":::size", "1", ":::", "q"}, "sim q1"},
    /* what is no placeholder */
    {{"echo ${1} ${HOME} {a,b} {x} {{1}}", ":::", "v"}, "echo ${1} ${HOME} {a,b} {x} {v}"},
    {{"awk", "{print $2}", "{1}", ":::", "f"}, "awk '{print $2}' f"},
    {{"echo {", "{1}", "}", ":::", "v"}, "'echo {' v '}'"},
    {{"echo", ":::", ""}, "echo ''"},
};

static const struct {
    const char *words[WORDS_MAX];
    const char *error; /* a part of the message */
} bad[] = {
    {{NULL}, "no command"},
    {{":::", "a"}, "no command"},
    {{" "}, "empty"},
    {{"echo", ":::"}, "no values"},
    {{"echo", ":::", "a", ":::", ":::", "b"}, "no values"},
    {{"echo", ":::+", "a"}, "there is none"},
    {{"echo", ":::", "a", "b", ":::+", "x"}, "has 1 values, but"},
    {{"echo {3}", ":::", "a", ":::", "b"}, "only 2 lists"},
    {{"echo {0}", ":::", "a"}, "only 1 list"},
    {{"echo {1}", ":::", "a", ":::", "b"}, "does not use list 2"},
    {{"echo {1}", ":::", "a", ":::size", "b"}, "{size}"},
    {{"echo", ":::1st", "a"}, "name"},
    {{"echo", ":::a-b", "a"}, "name"},
    {{"echo", "::::", "file"}, "cat FILE"},
    {{"echo", ":::n", "a", ":::n", "b"}, "already"},
    {{"echo", "a\nb"}, "line break"},
    {{"echo", ":::", "a\nb"}, "line break"},
};

static size_t count_words(const char *const *words) {
    size_t count = 0;
    while (count < WORDS_MAX && words[count])
        count++;
    return count;
}

static void good_sweeps(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct buf error = BUF_INIT, command = BUF_INIT, all = BUF_INIT;
        struct sweep_arg args[SWEEP_LISTS_MAX];
        struct sweep *sweep = sweep_new(good[i].words, count_words(good[i].words), &error);
        assert_string_equal(error.data, "");
        assert_non_null(sweep);
        uint64_t count = 0;
        for (; sweep_next(sweep, &command, args); count++)
            buf_addf(&all, "%s%s", count ? "|" : "", command.data);
        assert_string_equal(all.data, good[i].commands);
        assert_int_equal(count, sweep_total(sweep));
        assert_false(sweep_next(sweep, &command, args));
        sweep_free(sweep);
        buf_free(&error);
        buf_free(&command);
        buf_free(&all);
    }
}

static void bad_sweeps(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf error = BUF_INIT;
        assert_null(sweep_new(bad[i].words, count_words(bad[i].words), &error));
        if (!strstr(error.data, bad[i].error))
            fail_msg("row %zu: %s", i, error.data);
        assert_null(strchr(error.data, '\n'));
        buf_free(&error);
    }
}

static void parameters(void **state) {
    (void)state;
    const char *words[] = {"f", "{}", ":::", "a", "b", ":::+", "x", "y", ":::size", "7"};
    struct buf error = BUF_INIT, command = BUF_INIT;
    struct sweep *sweep = sweep_new(words, sizeof words / sizeof *words, &error);
    struct sweep_arg args[3];
    assert_int_equal(sweep_lists(sweep), 3);
    assert_true(sweep_next(sweep, &command, args));
    assert_true(sweep_next(sweep, &command, args));
    assert_string_equal(args[0].key, "1");
    assert_string_equal(args[0].value, "b");
    assert_string_equal(args[1].key, "2");
    assert_string_equal(args[1].value, "y");
    assert_string_equal(args[2].key, "size");
    assert_string_equal(args[2].value, "7");
    sweep_free(sweep);
    buf_free(&command);
    buf_free(&error);
}

/* 30^5 combinations are counted at once and cost no memory; 2^64 are refused. */
static void large_sweeps(void **state) {
    (void)state;
    const char *words[1 + 64 * 3];
    size_t count = 0;
    words[count++] = "f";
    for (int list = 0; list < 5; list++) {
        words[count++] = ":::";
        for (int i = 0; i < 30; i++)
            words[count++] = "v";
    }
    struct buf error = BUF_INIT;
    struct sweep *sweep = sweep_new(words, count, &error);
    assert_int_equal(sweep_total(sweep), 24300000);
    sweep_free(sweep);
    count = 1;
    for (int list = 0; list < 64; list++) {
        words[count++] = ":::";
        words[count++] = "0";
        words[count++] = "1";
    }
    assert_null(sweep_new(words, count, &error));
    assert_non_null(strstr(error.data, "combinations"));
    buf_free(&error);
}

/* Quoted words come back as they were, whatever bytes they have. */
static void quoting(void **state) {
    (void)state;
    struct buf line = BUF_INIT, error = BUF_INIT;
    struct words words = WORDS_INIT;
    for (int c = 1; c < 256; c++) {
        char word[] = {'a', (char)c, 'b'};
        buf_clear(&line);
        shell_quote(&line, word, sizeof word);
        size_t offset;
        assert_true(words_split(line.data, line.len, &words, &offset, &error));
        assert_int_equal(words.count, 1);
        assert_int_equal(words.list[0].len, sizeof word);
        assert_memory_equal(words.text.data + words.list[0].at, word, sizeof word);
    }
    words_free(&words);
    buf_free(&line);
    buf_free(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_sweeps),  cmocka_unit_test(bad_sweeps), cmocka_unit_test(parameters),
        cmocka_unit_test(large_sweeps), cmocka_unit_test(quoting),
    };
    return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
