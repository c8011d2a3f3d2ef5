#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "manager/select.h"

#define WORDS_MAX 10
#define ID        "00000000000001"
#define OTHER     "00000000000002"

static const struct opt_tables tables = {{select_options, select_worker_options,
                                          select_state_options, select_priority_options,
                                          select_change_options, select_all_options}};

/* The task that all rows are about. */
static struct task_head head;
static struct task task;

static int make_task(void **state) {
    (void)state;
    head = (struct task_head){.state = TASK_TODO, .priority = 4};
    task = (struct task){.type = TASK_SHELL, .params = "./sim --size=64 lru", .params_len = 19};
    task.options[0] = (struct task_option){OPT_NAME, "sweep/lru", 9};
    task.option_count = 1;
    return 0;
}

static bool parse(struct args *args, const struct opt_tables *with, const char *const *words) {
    size_t count = 0;
    struct buf error = BUF_INIT;
    while (count < WORDS_MAX && words[count])
        count++;
    bool ok = args_parse(args, with, ARGS_ANYWHERE, words, count, &error);
    buf_free(&error);
    return ok;
}

static const struct {
    const char *words[WORDS_MAX];
    bool match;
} rows[] = {
    {{NULL}, true},
    {{"--all"}, true},
    {{ID}, true},
    {{OTHER}, false},
    {{OTHER, ID, OTHER}, true},
    {{"--state", "todo"}, true},
    {{"--state", "held,todo"}, true},
    {{"--state", "held,failed"}, false},
    {{"--type", "shell"}, true},
    {{"--type", "python,native"}, false},
    {{"--priority", "4"}, true},
    {{"--priority", "0"}, false},
    {{"--name", "sweep"}, true},
    {{"--name", "sweep/lru"}, true},
    {{"--name", "swee"}, false},
    {{"--name", "sweep/lru/x"}, false},
    {{"--name", "other", "--name", "sweep"}, true},
    {{"--include", "size=64"}, true},
    {{"--include", "^\\./sim .*lru$"}, true},
    {{"--include", "fifo|lru"}, true},
    {{"--include", "fifo"}, false},
    {{"--include", "fifo", "--include", "lru"}, true},
    {{"--exclude", "lru"}, false},
    {{"--exclude", "fifo"}, true},
    {{"--exclude", "fifo", "--exclude", "lru"}, false},
    {{"--include", "sim", "--exclude", "size=64"}, false},
    {{"--worker", "w1"}, true},
    {{"--worker", "w"}, false},
    {{"--worker", "w12"}, false},
    {{"--state", "todo", "--name", "sweep", "--include", "lru", "--priority", "4", ID}, true},
    {{"--state", "todo", "--name", "sweep", "--include", "lru", "--priority", "5", ID}, false},
};

static void matching(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct args args;
        struct select select;
        assert_true(parse(&args, &tables, rows[i].words));
        select_init(&select, &args);
        if (select_match(&select, ID, &head, &task, "w1x", 2) != rows[i].match)
            fail_msg("row %zu", i);
        select_free(&select);
        args_free(&args);
    }
}

/* The command ends where its length says, not at a NUL; a name may be missing, a worker unknown. */
static void edges(void **state) {
    (void)state;
    struct args args;
    struct select select;
    const char *words[WORDS_MAX] = {"--include", "sim --size=64$"};
    assert_true(parse(&args, &tables, words));
    select_init(&select, &args);
    assert_false(select_match(&select, ID, &head, &task, NULL, 0));
    task.params_len = 15;
    assert_true(select_match(&select, ID, &head, &task, NULL, 0));
    assert_false(select_needs_worker(&select));
    args_free(&args);
    const char *named[WORDS_MAX] = {"--name", "sweep"};
    assert_true(parse(&args, &tables, named));
    select_init(&select, &args);
    task.option_count = 0;
    assert_false(select_match(&select, ID, &head, &task, NULL, 0));
    args_free(&args);
    const char *worker[WORDS_MAX] = {"--worker", "w1"};
    assert_true(parse(&args, &tables, worker));
    select_init(&select, &args);
    assert_false(select_match(&select, ID, &head, &task, NULL, 0));
    assert_true(select_needs_worker(&select));
    args_free(&args);
}

static void filled(void **state) {
    (void)state;
    struct args args;
    struct select select;
    const char *words[WORDS_MAX] = {OTHER, ID, OTHER, "--state", "todo", "--limit", "7"};
    assert_true(parse(&args, &tables, words));
    select_init(&select, &args);
    assert_int_equal(select.id_count, 2);
    assert_string_equal(select.ids[0], ID);
    assert_string_equal(select.ids[1], OTHER);
    assert_int_equal(select.limit, 7);
    assert_true(select.filtered);
    assert_false(select.all);
    assert_true(select_wants_state(&select, TASK_TODO));
    assert_false(select_wants_state(&select, TASK_HELD));
    select_free(&select);
    args_free(&args);
}

static const struct {
    const char *words[WORDS_MAX];
    const char *error; /* a part of the message, NULL when it is fine */
} required[] = {
    {{NULL}, "--all"},
    {{"--limit", "5"}, "--all"},
    {{"--all"}, NULL},
    {{"--all", "false"}, "--all"},
    {{"--all", "--limit", "5"}, NULL},
    {{ID}, NULL},
    {{"--state", "todo"}, NULL},
    {{"--priority", "0"}, NULL},
    {{"--exclude", "x"}, NULL},
    {{"--worker", "w"}, NULL},
    {{"--all", ID}, "leave one of them out"},
    {{"--all", "--type", "shell"}, "leave one of them out"},
    {{"0000000000000"}, "task's id"},
    {{ID "0"}, "task's id"},
};

static void requiring(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof required / sizeof *required; i++) {
        struct args args;
        struct buf error = BUF_INIT;
        assert_true(parse(&args, &tables, required[i].words));
        bool ok = select_require(&args, &error);
        if (ok != !required[i].error || (!ok && !strstr(error.data, required[i].error)))
            fail_msg("row %zu: %s", i, error.data);
        args_free(&args);
        buf_free(&error);
    }
}

/* setTask's --priority is what it sets; only --old_priority selects. */
static void set_task(void **state) {
    (void)state;
    static const struct opt own[] = {
        {.name = "priority", .kind = KIND_PRIORITY, .metavar = "N", .help = "-"},
        {.name = "old_priority", .kind = KIND_PRIORITY, .metavar = "N", .help = "-"},
        OPT_END};
    const struct opt_tables with = {{own, select_options, select_all_options}};
    struct args args;
    struct select select;
    struct buf error = BUF_INIT;
    const char *words[WORDS_MAX] = {"--priority", "9"};
    assert_true(parse(&args, &with, words));
    assert_false(select_require(&args, &error));
    args_free(&args);
    const char *both[WORDS_MAX] = {"--priority", "9", "--old_priority", "4"};
    assert_true(parse(&args, &with, both));
    assert_true(select_require(&args, &error));
    select_init(&select, &args);
    assert_true(select_match(&select, ID, &head, &task, NULL, 0));
    select_free(&select);
    args_free(&args);
    buf_free(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(matching, make_task), cmocka_unit_test_setup(edges, make_task),
        cmocka_unit_test_setup(filled, make_task),   cmocka_unit_test_setup(requiring, make_task),
        cmocka_unit_test_setup(set_task, make_task),
    };
    return cmocka_run_group_tests_name("select", tests, NULL, NULL);
}
