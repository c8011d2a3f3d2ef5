/* native.h: what is read of a native task's parameters; and how they are refused at load. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/native.h"
#include "common/taskline.h"

static void names(void **state) {
    (void)state;
    static const struct {
        const char *params, *name; /* NULL: none */
    } rows[] = {
        {"noop", "noop"},
        {" \t mlp_train-2 a=1", "mlp_train-2"},
        {"Z\tx", "Z"},
        {"a1234567890123456789012345678901", "a1234567890123456789012345678901"},
        {"a12345678901234567890123456789012", NULL},
        {"", NULL},
        {"  ", NULL},
        {"2gemm", NULL},
        {"_x", NULL},
        {"'gemm'", NULL},
        {"../gemm", NULL},
        {"ge,mm", NULL},
        {"g\xc3\xa9mm", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *name = NULL;
        size_t len = 0;
        bool valid = native_name(rows[i].params, strlen(rows[i].params), &name, &len);
        assert_int_equal(valid, rows[i].name != NULL);
        if (!rows[i].name)
            continue;
        assert_int_equal(len, strlen(rows[i].name));
        assert_memory_equal(name, rows[i].name, len);
    }
}

static void devices(void **state) {
    (void)state;
    static const struct {
        const char *params;
        enum native_device device;
    } rows[] = {
        {"gemm", NATIVE_DEVICE_OPEN},
        {"gemm device=gpu", NATIVE_DEVICE_GPU},
        {"gemm n=1 device=auto m=2", NATIVE_DEVICE_AUTO},
        {"gemm device=\"auto\"", NATIVE_DEVICE_AUTO},
        {"gemm device=cpu", NATIVE_DEVICE_OPEN},
        {"gemm device=gpus", NATIVE_DEVICE_OPEN},
        {"gemm xdevice=gpu", NATIVE_DEVICE_OPEN},
        {"gemm text='a device=gpu'", NATIVE_DEVICE_OPEN},
        {"gemm text='a device=auto' device=gpu", NATIVE_DEVICE_GPU},
        {"gemm device=gpu 'no end", NATIVE_DEVICE_OPEN}, /* which no loader lets pass */
        {"device=gpu", NATIVE_DEVICE_OPEN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(native_device(rows[i].params, strlen(rows[i].params)), rows[i].device);
}

static void what_is_no_kernel_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *line;
        size_t column;
        const char *error;
    } rows[] = {
        {"native:1:0:1:2gemm n=4", 14,
         "kernel \"2gemm\", expected its name: letters, digits, '_' and '-', a letter first, at "
         "most 32 bytes"},
        {"native:1:0:1:  n=4", 16,
         "kernel \"n=4\", expected its name: letters, digits, '_' and '-', a letter first, at "
         "most 32 bytes"},
        {"native:1:0:1:gemm 'n=4", 19, NULL},
        {"native:1:0:1:   ", 14, "empty params, expected a command"},
    };
    struct buf error = BUF_INIT;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct task task = {.type = TASK_SHELL};
        size_t column = 0;
        buf_clear(&error);
        assert_false(taskline_parse(rows[i].line, strlen(rows[i].line), &task, &column, &error));
        assert_int_equal(column, rows[i].column);
        if (rows[i].error)
            assert_string_equal(error.data, rows[i].error);
    }
    struct task task = {.type = TASK_SHELL};
    size_t column;
    assert_true(taskline_parse("native:1:0:1:gemm a='b c'", 25, &task, &column, &error));
    buf_free(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(devices),
        cmocka_unit_test(what_is_no_kernel_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
