/* One line of a task file: taskline.h and field.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/taskline.h"

#define GIB          (UINT64_C(1) << 30)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *line;
    enum task_type type;
    uint32_t priority;
    uint64_t mem_bytes;
    uint32_t mcpu;
    const char *params;
} good[] = {
    {"shell:4:2:2:./cachesim PARAM1 PARAM2", TASK_SHELL, 4, 2 * GIB, 2000,
     "./cachesim PARAM1 PARAM2"},
    {"python:0:0:0:-c 'print(1)'", TASK_PYTHON, 0, 0, 0, "-c 'print(1)'"},
    {"native:1000000:auto:0.5:gemm n=4096", TASK_NATIVE, 1000000, TASK_MEM_AUTO, 500,
     "gemm n=4096"},
    {"shell:1:512MiB:1.25:a:b::c", TASK_SHELL, 1, 512u << 20, 1250, "a:b::c"},
    {"shell:1:128T:1000000:x", TASK_SHELL, 1, TASK_MEM_MAX, TASK_MCPU_MAX, "x"},
    {"shell:1:1.5 GiB:1: x ", TASK_SHELL, 1, GIB * 3 / 2, 1000, " x "},
    {"shell:1:1:1:#\xff\xfe\x01", TASK_SHELL, 1, GIB, 1000, "#\xff\xfe\x01"},
    {"shell:1:1:1:it's", TASK_SHELL, 1, GIB, 1000, "it's"},
};

static const struct {
    const char *line;
    size_t column;
    const char *error;
} bad[] = {
    {"make all", 9, "only 0 of 4 colons, expected type:priority:min_dram:min_cpu:params"},
    {"shell:1:2:3", 12, "only 3 of 4 colons, expected type:priority:min_dram:min_cpu:params"},
    {"bash:1:1:1:x", 1, "unknown type \"bash\", expected shell, python or native"},
    {" shell:1:1:1:x", 1, "unknown type \" shell\", expected shell, python or native"},
    {"bash:", 1, "unknown type \"bash\", expected shell, python or native"},
    {":1:1:1:x", 1, "unknown type \"\", expected shell, python or native"},
    {"shell:-1:1:1:x", 7, "priority \"-1\", expected a whole number from 0 to 1000000"},
    {"shell::1:1:x", 7, "priority \"\", expected a whole number from 0 to 1000000"},
    {"shell:1000001:1:1:x", 7, "priority \"1000001\", expected a whole number from 0 to 1000000"},
    {"shell:1:lots:1:x", 9,
     "min_dram \"lots\", expected auto, or a size in GiB, or with a unit, as 2, 1.5GiB or 512M"},
    {"shell:1::1:x", 9,
     "min_dram \"\", expected auto, or a size in GiB, or with a unit, as 2, 1.5GiB or 512M"},
    {"shell:1:129T:1:x", 9, "min_dram \"129T\", expected at most 128 TiB"},
    {"shell:1:1:two:x", 11,
     "min_cpu \"two\", expected a number of cores with at most 3 decimals, as 2 or 0.5"},
    {"shell:1:1:0.0001:x", 11,
     "min_cpu \"0.0001\", expected a number of cores with at most 3 decimals, as 2 or 0.5"},
    {"shell:1:1:1000001:x", 11, "min_cpu \"1000001\", expected at most 1000000 cores"},
    {"shell:1:1:1:", 13, "empty params, expected a command"},
    {"shell:1:1:1: \t ", 13, "empty params, expected a command"},
    {"python:1:1:1:-c 'x", 17, "a single quote that is not closed, expected ' later on"},
    {"python:1:1:1:x\\", 15, "a backslash at the end, expected a character after it"},
};

static void parses(void **state) {
    (void)state;
    struct buf error = BUF_INIT;
    struct task task = {.option_count = 0};
    size_t column;
    for (size_t i = 0; i < COUNT(good); i++) {
        if (!taskline_parse(good[i].line, strlen(good[i].line), &task, &column, &error))
            fail_msg("%s: %s", good[i].line, error.data);
        assert_int_equal(task.type, good[i].type);
        assert_int_equal(task.priority, good[i].priority);
        assert_true(task.mem_bytes == good[i].mem_bytes);
        assert_int_equal(task.mcpu, good[i].mcpu);
        assert_int_equal(task.params_len, strlen(good[i].params));
        assert_memory_equal(task.params, good[i].params, task.params_len);
    }
    buf_free(&error);
}

static void refuses(void **state) {
    (void)state;
    struct buf error = BUF_INIT;
    struct task task;
    for (size_t i = 0; i < COUNT(bad); i++) {
        size_t column = 0;
        buf_clear(&error);
        assert_false(taskline_parse(bad[i].line, strlen(bad[i].line), &task, &column, &error));
        assert_string_equal(error.data, bad[i].error);
        assert_int_equal(column, bad[i].column);
    }
    buf_free(&error);
}

static void limits_of_params(void **state) {
    (void)state;
    struct buf error = BUF_INIT, line = BUF_INIT;
    struct task task;
    size_t column;
    buf_adds(&line, "shell:1:1:1:");
    buf_reserve(&line, TASK_PARAMS_MAX + 1);
    memset(line.data + line.len, 'x', TASK_PARAMS_MAX + 1);
    line.len += TASK_PARAMS_MAX;
    assert_true(taskline_parse(line.data, line.len, &task, &column, &error));
    line.len++;
    assert_false(taskline_parse(line.data, line.len, &task, &column, &error));
    assert_string_equal(error.data, "params of 1048577 bytes, expected at most 1048576");
    assert_int_equal(column, 12 + TASK_PARAMS_MAX + 1);
    line.data[12 + 4] = '\0';
    line.len--;
    buf_clear(&error);
    assert_false(taskline_parse(line.data, line.len, &task, &column, &error));
    assert_string_equal(error.data, "a NUL byte in params, expected text");
    assert_int_equal(column, 17);
    line.data[12 + 4] = '\n';
    buf_clear(&error);
    assert_false(taskline_parse(line.data, line.len, &task, &column, &error));
    assert_string_equal(error.data,
                        "a newline in params, expected one line (use ';', or a script file)");
    buf_free(&line);
    buf_free(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses),
        cmocka_unit_test(refuses),
        cmocka_unit_test(limits_of_params),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
