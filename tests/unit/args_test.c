#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "manager/args.h"

static const struct opt table[] = {
    {.name = "on", .kind = KIND_BOOL, .letter = 'o', .preset = "false", .help = "-"},
    {.name = "shown_too", .kind = KIND_BOOL, .letter = 's', .preset = "true", .help = "-"},
    {.name = "limit",
     .kind = KIND_COUNT,
     .letter = 'n',
     .metavar = "N",
     .preset = "50",
     .help = "-"},
    {.name = "ten", .kind = KIND_COUNT, .metavar = "N", .min = 1, .max = 10, .help = "-"},
    {.name = "text", .kind = KIND_TEXT, .metavar = "T", .help = "-"},
    {.name = "time", .kind = KIND_DURATION, .metavar = "T", .preset = "2m", .help = "-"},
    {.name = "size", .kind = KIND_BYTES, .metavar = "S", .help = "-"},
    {.name = "memory", .kind = KIND_MEMORY, .metavar = "M", .help = "-"},
    {.name = "cores", .kind = KIND_CORES, .metavar = "N", .help = "-"},
    {.name = "priority", .kind = KIND_PRIORITY, .metavar = "N", .help = "-"},
    {.name = "file", .kind = KIND_FILE, .metavar = "F", .preset = "-", .help = "-"},
    {.name = "match", .kind = KIND_REGEX, .metavar = "RE", .many = true, .help = "-"},
    {.name = "state", .kind = KIND_STATES, .metavar = "S", .help = "-"},
    {.name = "type", .kind = KIND_TYPES, .metavar = "T", .help = "-"},
    {.name = "form", .kind = KIND_CHOICE, .metavar = "F", .choices = "csv|jsonl", .help = "-"},
    {.name = "env", .kind = KIND_OPTION, .tag = OPT_ENV, .metavar = "E", .many = true, .help = "-"},
    {.name = "timeout", .kind = KIND_OPTION, .tag = OPT_TIMEOUT, .metavar = "T", .help = "-"},
    {.name = "output", .kind = KIND_OPTION, .tag = OPT_OUTPUT, .metavar = "W", .help = "-"},
    OPT_END};
static const struct opt_tables tables = {{table}};

#define WORDS_MAX 8

static bool parse(struct args *args, enum args_ending ending, const char *const *words,
                  struct buf *error) {
    size_t count = 0;
    while (count < WORDS_MAX && words[count])
        count++;
    return args_parse(args, &tables, ending, words, count, error);
}

/* What one option becomes: as written, its number, mask or truth. */
static const struct {
    const char *words[WORDS_MAX];
    const char *name;
    uint64_t number;
} values[] = {
    {{"--on"}, "on", 1},
    {{"--on", "false"}, "on", 0},
    {{"--on=no"}, "on", 0},
    {{"--on", "Y"}, "on", 1},
    {{"--on", "no", "--on"}, "on", 1},
    {{"-o"}, "on", 1},
    {{NULL}, "on", 0},
    {{NULL}, "shown_too", 1},
    {{"--shown-too", "off"}, "shown_too", 0},
    {{"--shown_too", "0"}, "shown_too", 0},
    {{NULL}, "limit", 50},
    {{"--limit", "7"}, "limit", 7},
    {{"--limit=7"}, "limit", 7},
    {{"--limit", "7", "--limit", "8"}, "limit", 8},
    {{"-n9"}, "limit", 9},
    {{"-n", "9"}, "limit", 9},
    {{"-on9"}, "limit", 9},
    {{NULL}, "ten", 0},
    {{"--ten", "10"}, "ten", 10},
    {{NULL}, "time", 120000},
    {{"--time", "1.5s"}, "time", 1500},
    {{"--size", "2K"}, "size", 2048},
    {{"--memory", "2"}, "memory", UINT64_C(2) << 30},
    {{"--memory", "auto"}, "memory", TASK_MEM_AUTO},
    {{"--cores", "0.5"}, "cores", 500},
    {{"--priority", "4"}, "priority", 4},
    {{"--state", "todo"}, "state", 1u << TASK_TODO},
    {{"--state=held,failed"}, "state", 1u << TASK_HELD | 1u << TASK_FAILED},
    {{"--type", "python,shell"}, "type", 1u << TASK_PYTHON | 1u << TASK_SHELL},
    {{"--form", "jsonl"}, "form", 1},
};

static void good_values(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct args args;
        struct buf error = BUF_INIT;
        assert_true(parse(&args, ARGS_ANYWHERE, values[i].words, &error));
        const struct opt *opt = opt_find(&tables, values[i].name, strlen(values[i].name));
        uint64_t got;
        if (opt->kind == KIND_BOOL)
            got = args_bool(&args, values[i].name);
        else if (opt->kind == KIND_STATES || opt->kind == KIND_TYPES)
            got = args_mask(&args, values[i].name);
        else
            got = args_number(&args, values[i].name);
        if (got != values[i].number)
            fail_msg("row %zu: %llu", i, (unsigned long long)got);
        assert_true(args_given(&args, values[i].name) == (values[i].words[0] != NULL));
        assert_int_equal(args.operand_count, 0);
        args_free(&args);
        buf_free(&error);
    }
}

static const struct {
    const char *words[WORDS_MAX];
    const char *error; /* a part of the message */
} wrong[] = {
    {{"--nope"}, "no option --nope"},
    {{"-x"}, "no option -x"},
    {{"-ox"}, "no option -x"},
    {{"--limit"}, "--limit N"},
    {{"-n"}, "--limit N"},
    {{"--limit", "many"}, "--limit many: expected a whole number"},
    {{"--limit=-1"}, "--limit -1: expected"},
    {{"--limit="}, "--limit '': expected"},
    {{"--ten", "11"}, "from 1 to 10"},
    {{"--ten", "0"}, "from 1 to 10"},
    {{"--on=maybe"}, "--on maybe: expected"},
    {{"--text="}, "--text '': expected"},
    {{"--time", "1 week"}, "--time 1 week: expected"},
    {{"--size", "big"}, "--size big: expected"},
    {{"--memory", "-2"}, "--memory -2: expected auto"},
    {{"--cores", "1/2"}, "--cores 1/2: expected a number of cores"},
    {{"--priority", "1000001"}, "from 0 to 1000000"},
    {{"--match", "a("}, "--match a(: expected a POSIX extended regular expression"},
    {{"--state", "doing"}, "waiting, todo, in_progress"},
    {{"--state", "todo,"}, "waiting, todo, in_progress"},
    {{"--type", "perl"}, "shell, python, native"},
    {{"--form", "xml"}, "one of csv, jsonl"},
    {{"--form", "cs"}, "one of csv, jsonl"},
    {{"--env", "HOME"}, "expected NAME=VALUE"},
    {{"--env", "=x"}, "expected NAME=VALUE"},
    {{"--timeout", "soon"}, "--timeout soon: expected"},
    {{"--output", "mail"}, "--output mail: expected"},
};

static void wrong_values(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct args args;
        struct buf error = BUF_INIT;
        if (parse(&args, ARGS_ANYWHERE, wrong[i].words, &error))
            fail_msg("row %zu was accepted", i);
        if (!strstr(error.data, wrong[i].error))
            fail_msg("row %zu: %s", i, error.data);
        assert_null(strchr(error.data, '\n'));
        args_free(&args);
        buf_free(&error);
    }
}

static const struct {
    const char *words[WORDS_MAX];
    enum args_ending ending;
    const char *operands; /* joined by '|' */
} operands[] = {
    {{"a", "--on", "b"}, ARGS_ANYWHERE, "a|b"},
    {{"a", "--on", "true", "b"}, ARGS_ANYWHERE, "a|b"},
    {{"a", "--", "--on", "-o"}, ARGS_ANYWHERE, "a|--on|-o"},
    {{"-"}, ARGS_ANYWHERE, "-"},
    {{"--on", "--", "--", "x"}, ARGS_ANYWHERE, "--|x"},
    {{"--on", "ls", "--limit", "x"}, ARGS_COMMAND, "ls|--limit|x"},
    {{"--on", "--", "ls", "--", "x"}, ARGS_COMMAND, "ls|--|x"},
    {{"--limit", "3", "ls", "-l"}, ARGS_COMMAND, "ls|-l"},
    {{"--on", "true"}, ARGS_COMMAND, "true"},
    {{"--on=true", "--on", "false", "x"}, ARGS_COMMAND, "false|x"},
};

static void good_operands(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++) {
        struct args args;
        struct buf error = BUF_INIT, joined = BUF_INIT;
        assert_true(parse(&args, operands[i].ending, operands[i].words, &error));
        for (size_t k = 0; k < args.operand_count; k++)
            buf_addf(&joined, "%s%s", k ? "|" : "", args.operands[k]);
        assert_string_equal(joined.data, operands[i].operands);
        args_free(&args);
        buf_free(&error);
        buf_free(&joined);
    }
}

static void repeated(void **state) {
    (void)state;
    const char *words[WORDS_MAX] = {"--match", "^a", "--text=x", "--match", "b$", "--env", "A=1=2"};
    struct args args;
    struct buf error = BUF_INIT;
    assert_true(parse(&args, ARGS_ANYWHERE, words, &error));
    const struct opt_value *value = args_next(&args, "match", NULL);
    assert_string_equal(value->text, "^a");
    assert_int_equal(regexec(value->as.regex, "ab", 0, NULL, 0), 0);
    value = args_next(&args, "match", value);
    assert_string_equal(value->text, "b$");
    assert_int_equal(regexec(value->as.regex, "ba", 0, NULL, 0), REG_NOMATCH);
    assert_null(args_next(&args, "match", value));
    assert_string_equal(args_text(&args, "env"), "A=1=2");
    assert_string_equal(args_text(&args, "text"), "x");
    assert_string_equal(args_text(&args, "file"), "-");
    assert_null(args_text(&args, "form"));
    assert_true(args_has(&args, "form"));
    assert_false(args_has(&args, "forms"));
    args_free(&args);
    buf_free(&error);
}

/* One name in two tables: the value must be good for both, and each table reads it as its own. */
static void shared_names(void **state) {
    (void)state;
    static const struct opt other[] = {
        {.name = "time", .kind = KIND_OPTION, .tag = OPT_TIMEOUT, .metavar = "T", .help = "-"},
        {.name = "ten", .kind = KIND_TEXT, .metavar = "T", .help = "-"},
        OPT_END};
    const struct opt_tables both = {{other, table}};
    const char *words[] = {"--ten", "7", "--time", "90"};
    struct args args;
    struct buf error = BUF_INIT;
    assert_true(args_parse(&args, &both, ARGS_ANYWHERE, words, 4, &error));
    assert_string_equal(args_text(&args, "ten"), "7");
    args.tables = tables;
    assert_int_equal(args_number(&args, "ten"), 7);
    assert_int_equal(args_number(&args, "time"), 90000);
    args_free(&args);
    const char *unfit[] = {"--ten", "eleven"};
    assert_false(args_parse(&args, &both, ARGS_ANYWHERE, unfit, 2, &error));
    assert_non_null(strstr(error.data, "from 1 to 10"));
    args_free(&args);
    buf_free(&error);
}

/* A password is not repeated on the screen. */
static void secrets(void **state) {
    (void)state;
    static struct opt secret[2] = {{.name = "redis_pass", .kind = KIND_SETTING, .metavar = "T"}};
    secret[0].setting = setting_find("redis_pass", 10);
    const struct opt_tables own = {{secret}};
    char word[1100] = "--redis_pass=";
    memset(word + strlen(word), 'x', 1000);
    const char *words[] = {word};
    struct args args;
    struct buf error = BUF_INIT;
    assert_false(args_parse(&args, &own, ARGS_ANYWHERE, words, 1, &error));
    assert_null(strstr(error.data, "xx"));
    args_free(&args);
    buf_free(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_values),   cmocka_unit_test(wrong_values),
        cmocka_unit_test(good_operands), cmocka_unit_test(repeated),
        cmocka_unit_test(shared_names),  cmocka_unit_test(secrets),
    };
    return cmocka_run_group_tests_name("args", tests, NULL, NULL);
}
