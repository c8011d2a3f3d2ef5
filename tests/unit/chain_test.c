#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/nearest.h"
#include "manager/chain.h"

#define WORDS_MAX 10

static bool parse(struct chain *chain, const char *const *words, struct buf *error) {
    char *argv[WORDS_MAX + 2] = {(char *)"redisManager"};
    int argc = 1;
    for (; argc <= WORDS_MAX && words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    return chain_parse(chain, argc, argv, error);
}

static const struct {
    const char *words[WORDS_MAX];
    const char *verbs; /* joined by ' ' */
} good[] = {
    {{"checkTask"}, "checkTask"},
    {{"checkTask", "--failed", "false"}, "checkTask"},
    {{"--failed", "false", "checkTask"}, "checkTask"},
    {{"--redis_port", "7000", "checkTask"}, "checkTask"},
    {{"--redis-port=7000", "checkTask", "-q"}, "checkTask"},
    {{"--task", "checkTask"}, "checkTask"},
    {{"--task", "initRedis&loadTask", "--taskfile", "task"}, "initRedis loadTask"},
    {{"--taskfile", "task", "--task=initRedis&loadTask"}, "initRedis loadTask"},
    {{"--task", " initRedis && loadTask ", "task"}, "initRedis loadTask"},
    {{"--task", "checkTask", "--finished", "false", "--todo", "false", "--in_progress", "false",
      "--failed", "false"},
     "checkTask"},
    {{"--task", "checkTask&checkWorker", "--finished", "false", "--print_result", "false",
      "--in_progress", "false"},
     "checkTask checkWorker"},
    {{"addTask", "--min_dram", "2", "--", "./sim", "--task", "x"}, "addTask"},
    {{"addTask", "./sim", "--min_dram", "x"}, "addTask"},
    {{"--task", "initRedis&addTask", "--force", "ls", "--force"}, "initRedis addTask"},
    {{"cancelTask", "--all"}, "cancelTask"},
    {{"cancelTask", "--state", "todo"}, "cancelTask"},
    {{"setTask", "--priority", "3", "--name", "a"}, "setTask"},
    {{"checkTask", "--help"}, "checkTask"},
    {{"showTask", "-h"}, "showTask"},
    {{"-V"}, ""},
    {{"--help"}, ""},
};

static void good_lines(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct chain chain;
        struct buf error = BUF_INIT, names = BUF_INIT;
        if (!parse(&chain, good[i].words, &error))
            fail_msg("row %zu: %s", i, error.data);
        for (size_t k = 0; k < chain.count; k++)
            buf_addf(&names, "%s%s", k ? " " : "", chain.verbs[k]->name);
        assert_string_equal(names.data, good[i].verbs);
        chain_free(&chain);
        buf_free(&error);
        buf_free(&names);
    }
}

static const struct {
    const char *words[WORDS_MAX];
    const char *error; /* a part of the message */
    const char *blame; /* whose --help is recommended, or "" */
} bad[] = {
    {{NULL}, "expected a verb", ""},
    {{"--quiet"}, "expected a verb", ""},
    {{"chekTask"}, "there is no verb chekTask; did you mean checkTask?", ""},
    {{"CHECKTASK"}, "did you mean checkTask?", ""},
    {{"check_task"}, "did you mean checkTask?", ""},
    {{"xyzzy"}, "there is no verb xyzzy", ""},
    {{"--task"}, "--task: expected a value", ""},
    {{"--task", "initRedis&"}, "joined by '&'", ""},
    {{"--task", "initRedis&&&loadTask"}, "joined by '&'", ""},
    {{"--task", ""}, "--task '': expected", ""},
    {{"--task", "initRedis loadTask"}, "'&' between", ""},
    {{"--task", "initRedis&loadTsk"}, "did you mean loadTask?", ""},
    {{"checkTask", "--fialed"}, "there is no option --fialed; did you mean --failed?", "checkTask"},
    {{"checkTask", "--taskfile", "x"}, "--taskfile here; loadTask has one", "checkTask"},
    {{"checkTask", "--task", "x"}, "there is no option --task", "checkTask"},
    {{"checkTask", "-f"}, "there is no option -f", "checkTask"},
    {{"--task", "checkTask&checkWorker", "--taskfile", "x"}, "loadTask has one", ""},
    {{"checkTask", "--limit", "x"}, "--limit x: expected", "checkTask"},
    {{"checkTask", "word"}, "word: expected only options", "checkTask"},
    {{"showTask"}, "expected ID", "showTask"},
    {{"loadTask"}, "--taskfile FILE", "loadTask"},
    {{"loadTask", "a", "b"}, "b: expected nothing more", "loadTask"},
    {{"loadTask", "a", "--taskfile", "b"}, "not both", "loadTask"},
    {{"--task", "initRedis&loadTask"}, "--taskfile FILE", "loadTask"},
    {{"cancelTask"}, "--all", "cancelTask"},
    {{"holdTask"}, "--all", "holdTask"},
    {{"releaseTask"}, "--all", "releaseTask"},
    {{"setTask", "--priority", "1"}, "--all", "setTask"},
    {{"setTask", "--all"}, "--priority N", "setTask"},
    {{"cancelTask", "--all", "--name", "x"}, "leave one of them out", "cancelTask"},
    {{"cancelTask", "nonsense"}, "task's id", "cancelTask"},
    {{"waitTask", "nonsense"}, "task's id", "waitTask"},
    {{"moveFailedTaskToTodo", "nonsense"}, "task's id", "moveFailedTaskToTodo"},
    {{"stopWorker"}, "--all", "stopWorker"},
    {{"drainWorker", "a", "--all"}, "not both", "drainWorker"},
    {{"addTask"}, "COMMAND", "addTask"},
    {{"addTask", "echo", ":::"}, "no values", "addTask"},
    {{"addTask", "--type", "shell,python", "x"}, "one type", "addTask"},
    {{"addTask", "--retries", "0", "x"}, "--retries 0: expected", "addTask"},
    {{"help", "chekTask"}, "did you mean checkTask?", "help"},
    {{"completion", "tcsh"}, "expected bash", "completion"},
    {{"--redis_port", "0", "checkTask"}, "from 1 to 65535", "checkTask"},
    {{"--log_level", "loud", "checkTask"}, "debug, info, warn or error", "checkTask"},
};

static void bad_lines(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct chain chain;
        struct buf error = BUF_INIT;
        if (parse(&chain, bad[i].words, &error))
            fail_msg("row %zu was accepted", i);
        if (!strstr(error.data, bad[i].error))
            fail_msg("row %zu: %s", i, error.data);
        assert_null(strchr(error.data, '\n'));
        assert_string_equal(chain.blame ? chain.blame->name : "", bad[i].blame);
        chain_free(&chain);
        buf_free(&error);
    }
}

/* Each verb of a chain sees the options that it knows, with its own presets. */
static void one_option_set(void **state) {
    (void)state;
    const char *words[WORDS_MAX] = {"--task", "checkTask&exportTask", "--finished", "no"};
    struct chain chain;
    struct buf error = BUF_INIT;
    assert_true(parse(&chain, words, &error));
    assert_true(chain_select(&chain, 0));
    assert_false(args_bool(&chain.args, "finished"));
    assert_true(args_bool(&chain.args, "failed"));
    assert_int_equal(args_number(&chain.args, "limit"), 50);
    assert_false(args_has(&chain.args, "format"));
    assert_true(chain_select(&chain, 1));
    assert_false(args_has(&chain.args, "finished"));
    assert_int_equal(args_number(&chain.args, "limit"), 0);
    assert_false(chain_select(&chain, 2));
    chain_free(&chain);
    buf_free(&error);
}

static void long_chain(void **state) {
    (void)state;
    struct buf text = BUF_INIT, error = BUF_INIT;
    for (int i = 0; i < CHAIN_MAX + 1; i++)
        buf_addf(&text, "%scheckTask", i ? "&" : "");
    const char *words[WORDS_MAX] = {"--task", text.data};
    struct chain chain;
    assert_false(parse(&chain, words, &error));
    assert_non_null(strstr(error.data, "at most 16 verbs"));
    chain_free(&chain);
    buf_free(&error);
    buf_free(&text);
}

/* A chain of verbs that have most tables still fits, and names are looked up in all of them. */
static void wide_chain(void **state) {
    (void)state;
    struct buf text = BUF_INIT, error = BUF_INIT;
    for (size_t i = 0; i < CHAIN_MAX && i < verb_count; i++)
        buf_addf(&text, "%s%s", i ? "&" : "", verbs[i]->name);
    const char *words[WORDS_MAX] = {"--task", text.data, "--help"};
    struct chain chain;
    assert_true(parse(&chain, words, &error));
    assert_true(chain.help);
    chain_free(&chain);
    buf_free(&error);
    buf_free(&text);
}

static void near_words(void **state) {
    (void)state;
    static const struct {
        const char *word, *name;
        bool near;
    } rows[] = {
        {"failed", "failed", true},
        {"faild", "failed", true},
        {"fialed", "failed", true},
        {"FAILED", "failed", true},
        {"in-progress", "in_progress", true},
        {"prog", "progress", true},
        {"task", "taskfile", true},
        {"xyz", "failed", false},
        {"", "failed", false},
        {"no", "on", true},
        {"limits", "limit", true},
        {"checktasks", "checkTask", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct nearest near = nearest_make(rows[i].word, strlen(rows[i].word));
        nearest_try(&near, rows[i].name);
        if ((near.best != NULL) != rows[i].near)
            fail_msg("%s, %s", rows[i].word, rows[i].name);
    }
    struct nearest near = nearest_make("checkTsak", 9);
    nearest_try(&near, "cancelTask");
    nearest_try(&near, "checkTask");
    assert_string_equal(near.best, "checkTask");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_lines),     cmocka_unit_test(bad_lines),
        cmocka_unit_test(one_option_set), cmocka_unit_test(long_chain),
        cmocka_unit_test(wide_chain),     cmocka_unit_test(near_words),
    };
    return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
