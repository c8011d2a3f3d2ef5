#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/taskjson.h"

#define GIB          (UINT64_C(1) << 30)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *line;
    enum task_type type;
    uint32_t priority;
    uint64_t mem_bytes;
    uint32_t mcpu;
    const char *params;
    const char *options; /* each TAG=VALUE, ended by '|' */
} good[] = {
    {"{\"params\":\"x\"}", TASK_SHELL, 0, 0, 1000, "x", ""},
    {"  { \"params\" : \"a:b \\\"q\\\" \\u00e9\" } ", TASK_SHELL, 0, 0, 1000, "a:b \"q\" \xc3\xa9",
     ""},
    {"{\"type\":\"python\",\"priority\":4,\"min_dram\":2,\"min_cpu\":0.5,\"params\":\"-V\"}",
     TASK_PYTHON, 4, 2 * GIB, 500, "-V", ""},
    {"{\"min_dram\":1.5,\"min_cpu\":0.1,\"params\":\"x\"}", TASK_SHELL, 0, GIB * 3 / 2, 100, "x",
     ""},
    {"{\"min_dram\":\"512MiB\",\"min_cpu\":\"2\",\"params\":\"x\"}", TASK_SHELL, 0, 512u << 20,
     2000, "x", ""},
    {"{\"min_dram\":\"auto\",\"min_cpu\":3,\"params\":\"x\"}", TASK_SHELL, 0, TASK_MEM_AUTO, 3000,
     "x", ""},
    {"{\"priority\":null,\"timeout\":null,\"params\":\"x\"}", TASK_SHELL, 0, 0, 1000, "x", ""},
    {"{\"params\":\"x\",\"timeout\":\"5m\",\"backoff\":0.5,\"retries\":3,\"repeat\":7}", TASK_SHELL,
     0, 0, 1000, "x", "2=300000|3=3|4=500|9=7|"},
    {"{\"params\":\"x\",\"name\":\"a/b\",\"cwd\":\"/d\",\"after\":[\"p\",\"q\"],"
     "\"after_any\":\"r,s\",\"labels\":[]}",
     TASK_SHELL, 0, 0, 1000, "x", "1=a/b|5=/d|7=p,q|8=r,s|"},
    {"{\"params\":\"x\",\"env\":{\"B\":\"2 3\",\"A\":1,\"E\":\"\"},\"arg\":{\"size\":0.25}}",
     TASK_SHELL, 0, 0, 1000, "x", "6=B=2 3|6=A=1|6=E=|15=size=0.25|"},
    {"{\"params\":\"x\",\"gpu\":0.5,\"gpu_mem\":2,\"labels\":\"ssd\",\"output\":\"keep\"}",
     TASK_SHELL, 0, 0, 1000, "x", "10=500|11=2147483648|12=ssd|13=keep|"},
};

static const struct {
    const char *line;
    size_t column;
    const char *error;
} bad[] = {
    {"{\"params\":\"x\"", 13, "'}' expected near end of file (one JSON object a line)"},
    {"{\"params\":\"x\"} y", 16, "end of file expected near 'y' (one JSON object a line)"},
    {"{\"params\":x}", 11, "invalid token near 'x', expected one JSON object a line"},
    {"shell:1:1:1:x", 5, "'[' or '{' expected near 'shell' (one JSON object a line)"},
    {"[\"x\"]", 1, "a JSON array, expected an object"},
    {"{\"params\":\"x\",\"params\":\"y\"}", 22,
     "duplicate object key near '\"params\"', expected one JSON object a line"},
    {"{\"priority\":1}", 1, "no params, expected a command: {\"params\": \"...\"}"},
    {"{\"params\":null}", 1, "no params, expected a command: {\"params\": \"...\"}"},
    {"{\"params\":\"\"}", 2, "empty params, expected a command"},
    {"{\"params\":[\"x\"]}", 2, "params of the wrong kind, expected text"},
    {"{\"params\":\"a\\nb\"}", 2,
     "a newline in params, expected one line (use ';', or a script file)"},
    {"{\"type\":\"python\",\"params\":\"it's\"}", 18,
     "a single quote that is not closed, expected ' later on"},
    {"{\"params\":\"x\",\"type\":\"bash\"}", 15,
     "unknown type \"bash\", expected shell, python or native"},
    {"{\"params\":\"x\",\"type\":1}", 15, "type of the wrong kind, expected text"},
    {"{\"params\":\"x\",\"priority\":\"4\"}", 15,
     "priority of the wrong kind, expected a whole number"},
    {"{\"params\":\"x\",\"priority\":-1}", 15,
     "priority \"-1\", expected a whole number from 0 to 1000000"},
    {"{\"params\":\"x\",\"priority\":1.5}", 15,
     "priority of the wrong kind, expected a whole number"},
    {"{\"params\":\"x\",\"min_dram\":-0.5}", 15,
     "min_dram \"-0.5\", expected auto, or a size in GiB, or with a unit, as 2, 1.5GiB or 512M"},
    {"{\"params\":\"x\",\"min_dram\":1e300}", 15,
     "min_dram \"1e+300\", expected auto, or a size in GiB, or with a unit, as 2, 1.5GiB or 512M"},
    {"{\"params\":\"x\",\"min_dram\":true}", 15,
     "min_dram of the wrong kind, expected a number (GiB) or text"},
    {"{\"params\":\"x\",\"min_cpu\":0.0001}", 15,
     "min_cpu \"0.0001\", expected a number of cores with at most 3 decimals, as 2 or 0.5"},
    {"{\"params\":\"x\",\"min_cpu\":[]}", 15,
     "min_cpu of the wrong kind, expected a number (cores) or text"},
    {"{\"params\":\"x\",\"min_cpu\":0,\"limit\":\"hard\"}", 27,
     "limit=hard needs min_dram or min_cpu, but min_dram is 0 and min_cpu is 0"},
    {"{\"params\":\"x\",\"timout\":5}", 15, "unknown field \"timout\", expected timeout"},
    {"{\"parms\":\"x\"}", 2, "unknown field \"parms\", expected params"},
    {"{\"params\":\"x\",\"env.A\":\"1\"}", 15, "unknown field \"env.A\", expected env"},
    {"{\"\":1}", 2,
     "unknown field \"\", expected type, priority, min_dram, min_cpu, params, env, arg, name, "
     "timeout, retries, backoff, cwd, after, after_any, repeat, gpu, gpu_mem, labels, output, "
     "leftovers, limit, pin"},
    {"{\"params\":\"x\",\"env\":\"A=1\"}", 15, "env of the wrong kind, expected an object"},
    {"{\"params\":\"x\",\"env\":{\"A\":true}}", 15,
     "env.A of the wrong kind, expected text or a number"},
    {"{\"params\":\"x\",\"env\":{\"A=\":\"1\"}}", 15,
     "unusable key \"env.A=\", expected env.NAME, the name without blanks and '='"},
    {"{\"params\":\"x\",\"after\":[1]}", 15,
     "after of the wrong kind, expected a text or an array of texts"},
    {"{\"params\":\"x\",\"after\":[\"a,b\"]}", 15,
     "after \"a,b\", expected one name in each element"},
    {"{\"params\":\"x\",\"after\":[\"\"]}", 15, "empty after, expected 1 to 255 bytes"},
    {"{\"params\":\"x\",\"name\":1}", 15, "name of the wrong kind, expected text"},
    {"{\"params\":\"x\",\"timeout\":[1]}", 15,
     "timeout of the wrong kind, expected a number or text"},
    {"{\"params\":\"x\",\"retries\":1.5}", 15,
     "retries \"1.5\", expected a whole number from 1 to 1000"},
    {"{\"params\":\"x\",\"name\":\"a\",\"after\":\"a\"}", 1,
     "after \"a\" is or holds the task's own name \"a\", expected a name defined earlier"},
};

static void parses(void **state) {
    (void)state;
    struct taskjson *json = taskjson_new();
    struct buf error = BUF_INIT, seen = BUF_INIT;
    struct task task;
    size_t column;
    for (size_t i = 0; i < COUNT(good); i++) {
        if (!taskjson_parse(json, good[i].line, strlen(good[i].line), &task, &column, &error))
            fail_msg("%s: %s", good[i].line, error.data);
        assert_int_equal(task.type, good[i].type);
        assert_int_equal(task.priority, good[i].priority);
        assert_true(task.mem_bytes == good[i].mem_bytes);
        assert_int_equal(task.mcpu, good[i].mcpu);
        assert_int_equal(task.params_len, strlen(good[i].params));
        assert_memory_equal(task.params, good[i].params, task.params_len);
        buf_clear(&seen);
        for (size_t j = 0; j < task.option_count; j++) {
            buf_addf(&seen, "%d=", (int)task.options[j].tag);
            buf_add(&seen, task.options[j].value, task.options[j].len);
            buf_addc(&seen, '|');
        }
        assert_string_equal(seen.data, good[i].options);
    }
    buf_free(&seen);
    taskjson_free(json);
}

static void refuses(void **state) {
    (void)state;
    struct taskjson *json = taskjson_new();
    struct buf error = BUF_INIT;
    struct task task;
    for (size_t i = 0; i < COUNT(bad); i++) {
        size_t column = 0;
        buf_clear(&error);
        assert_false(
            taskjson_parse(json, bad[i].line, strlen(bad[i].line), &task, &column, &error));
        assert_string_equal(error.data, bad[i].error);
        if (column != bad[i].column)
            fail_msg("%s: column %zu, not %zu", bad[i].line, column, bad[i].column);
    }
    buf_free(&error);
    taskjson_free(json);
}

static void not_text(void **state) {
    (void)state;
    static const char *const lines[] = {"{\"params\":\"\xff\"}",
                                        "{\"params\":\"a\\u0000b\"}",
                                        "{\"a\\u0000b\":1}",
                                        "",
                                        "{",
                                        "\"",
                                        "{\"\\"};
    struct taskjson *json = taskjson_new();
    struct buf error = BUF_INIT;
    struct task task;
    for (size_t i = 0; i < COUNT(lines); i++) {
        size_t column = 0, len = strlen(lines[i]);
        buf_clear(&error);
        assert_false(taskjson_parse(json, lines[i], len, &task, &column, &error));
        assert_true(column >= 1 && column <= len + 1);
        assert_non_null(strstr(error.data, "one JSON object a line"));
    }
    buf_free(&error);
    taskjson_free(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses),
        cmocka_unit_test(refuses),
        cmocka_unit_test(not_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
