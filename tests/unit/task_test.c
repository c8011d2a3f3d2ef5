/* States, options, the memory ladder, requirements, ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/family.h"
#include "common/task.h"

static struct task make_task(const char *params) {
    struct task task = {.type = TASK_SHELL, .priority = 4, .mem_bytes = 1u << 30, .mcpu = 1000};
    task.params = params;
    task.params_len = strlen(params);
    return task;
}

static void put(struct task *task, enum task_option_tag tag, const char *value) {
    task->options[task->option_count++] = (struct task_option){tag, value, strlen(value)};
}

static void states_by_name(void **state) {
    (void)state;
    enum task_state parsed;
#define X(symbol, number, name)                                                                    \
    assert_string_equal(task_state_name(TASK_##symbol), name);                                     \
    assert_true(task_state_parse(name, &parsed));                                                  \
    assert_int_equal(parsed, number);                                                              \
    assert_true(number < TASK_STATE_COUNT);
    TASK_STATES(X)
#undef X
    assert_false(task_state_parse("tod", &parsed));
    assert_string_equal(task_state_name((enum task_state)99), "unknown");
}

static void types_by_name(void **state) {
    (void)state;
    enum task_type type;
    for (int i = TASK_SHELL; i <= TASK_NATIVE; i++) {
        const char *name = task_type_name((enum task_type)i);
        assert_true(task_type_parse(name, strlen(name), &type));
        assert_int_equal(type, i);
        assert_false(task_type_parse(name, strlen(name) - 1, &type));
    }
    assert_string_equal(task_type_name((enum task_type)77), "unknown");
}

static void option_table_is_sound(void **state) {
    (void)state;
    for (size_t i = 0; i < task_options_count; i++) {
        assert_true(task_options[i].tag >= 1 && (int)task_options[i].tag <= 255);
        assert_true(strlen(task_options[i].help) > 0);
        size_t len = strlen(task_options[i].key);
        assert_int_equal(task_options[i].form == FORM_PAIR, task_options[i].key[len - 1] == '.');
        for (size_t j = 0; j < i; j++) {
            assert_true(task_options[i].tag != task_options[j].tag);
            assert_string_not_equal(task_options[i].key, task_options[j].key);
        }
    }
}

static void option_access(void **state) {
    (void)state;
    struct task task = make_task("x");
    assert_null(task_option(&task, OPT_NAME));
    put(&task, OPT_NAME, "n");
    put(&task, OPT_TIMEOUT, "5000");
    put(&task, OPT_ENV, "A=1");
    put(&task, OPT_ENV, "B=2");
    put(&task, OPT_GPU_MEM, "99999999999999999999");
    assert_memory_equal(task_option(&task, OPT_ENV)->value, "A=1", 3);
    assert_int_equal(task_option_number(&task, OPT_TIMEOUT, -1), 5000);
    assert_int_equal(task_option_number(&task, OPT_RETRIES, -1), -1);
    assert_int_equal(task_option_number(&task, OPT_NAME, -1), -1);
    assert_int_equal(task_option_number(&task, OPT_GPU_MEM, -1), -1);
}

static void ladder(void **state) {
    (void)state;
    assert_int_equal(task_mem_step(0), 0);
    assert_int_equal(task_step_bytes(0), 0);
    assert_int_equal(task_mem_step(1), 1);
    assert_int_equal(task_step_bytes(1), 1u << 20);
    assert_int_equal(task_mem_step(TASK_MEM_AUTO), TASK_STEP_AUTO);
    assert_true(task_step_bytes(TASK_STEP_AUTO) == UINT64_MAX);
    uint8_t last = task_mem_step(TASK_MEM_MAX);
    assert_true(last < TASK_STEP_AUTO);
    assert_true(task_step_bytes(last) == TASK_MEM_MAX);
    assert_int_equal(task_mem_step(TASK_MEM_MAX + 1), last);
    for (uint8_t step = 1; step <= last; step++) {
        uint64_t bytes = task_step_bytes(step);
        assert_int_equal(task_mem_step(bytes), step); /* a rung rounds to itself */
        if (step == 1)
            continue;
        uint64_t below = task_step_bytes((uint8_t)(step - 1));
        assert_true(below < bytes);
        assert_int_equal(task_mem_step(below + 1), step); /* the worst case of padding */
        assert_true((bytes - below - 1) * 8 <= below + 1);
        assert_int_equal(task_mem_step(bytes - 1), step);
    }
}

/* What a native task asks for by its parameters alone. */
static void requirements_of_native_tasks(void **state) {
    (void)state;
    static const struct {
        const char *params, *gpu, *expected;
    } rows[] = {
        {"noop", NULL, "kernel:noop"},
        {"  gemm n=4 device=gpu", NULL, "gpu:1000,kernel:gemm"},
        {"gemm 'device=gpu'", NULL, "gpu:1000,kernel:gemm"},
        {"gemm device=gpu", "250", "gpu:250,kernel:gemm"},
        {"gemm device=gpu", "0", "kernel:gemm"},
        {"gemm device=auto", NULL, "kernel:gemm"},
        {"gemm device=cpu", NULL, "kernel:gemm"},
        {"cuda source='x device=gpu y'", NULL, "kernel:cuda"},
        {"cuda mydevice=gpu", NULL, "kernel:cuda"},
        {"device=gpu", NULL, "kernel:"}, /* no loader lets it pass */
    };
    struct buf out = BUF_INIT;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct task task = make_task(rows[i].params);
        task.type = TASK_NATIVE;
        if (rows[i].gpu)
            put(&task, OPT_GPU, rows[i].gpu);
        buf_clear(&out);
        task_requires(&task, &out);
        assert_string_equal(out.data, rows[i].expected);
        task.type = TASK_SHELL;
        assert_int_equal(task_gpu_milli(&task), rows[i].gpu ? atoi(rows[i].gpu) : 0);
    }
    buf_free(&out);
}

static void requirements(void **state) {
    (void)state;
    struct buf out = BUF_INIT;
    struct task task = make_task("x");
    task_requires(&task, &out);
    assert_string_equal(out.data, "");
    put(&task, OPT_GPU, "500");
    put(&task, OPT_GPU_MEM, "1024");
    put(&task, OPT_LABELS, "ssd,big,ssd,ab");
    task.type = TASK_NATIVE;
    buf_adds(&out, "key:");
    task_requires(&task, &out);
    assert_string_equal(out.data, "key:gpu:500,gpu_mem:1024,kernel:x,label:ab,label:big,label:ssd");
    task.mem_bytes = TASK_MEM_AUTO;
    buf_clear(&out);
    task_requires(&task, &out);
    char digest[FAMILY_DIGEST_LEN + 1], expected[128];
    family_digest("native x", 8, digest);
    snprintf(expected, sizeof expected,
             "family:%s,gpu:500,gpu_mem:1024,kernel:x,label:ab,label:big,label:ssd", digest);
    assert_string_equal(out.data, expected);
    assert_int_equal(strlen("family:") + FAMILY_DIGEST_LEN + strlen(","), TASK_FAMILY_WORD);
    task.mem_bytes = 0;
    put(&task, OPT_LIMIT, "hard");
    put(&task, OPT_PIN, "numa");
    buf_clear(&out);
    task_requires(&task, &out);
    assert_string_equal(out.data,
                        "gpu:500,gpu_mem:1024,kernel:x,label:ab,label:big,label:ssd,limit,pin");
    struct task none = make_task("x");
    put(&none, OPT_GPU, "0");
    put(&none, OPT_GPU_MEM, "0");
    put(&none, OPT_LIMIT, "soft");
    put(&none, OPT_PIN, "none");
    buf_clear(&out);
    task_requires(&none, &out);
    assert_string_equal(out.data, "");
    buf_free(&out);
}

static void assert_id(const struct task *a, const struct task *b, bool same) {
    char id_a[TASK_ID_LEN + 1], id_b[TASK_ID_LEN + 1];
    task_id(a, id_a);
    task_id(b, id_b);
    assert_true(task_id_valid(id_a, strlen(id_a)));
    assert_int_equal(strcmp(id_a, id_b) == 0, same);
}

static void id_ignores_resources(void **state) {
    (void)state;
    struct task a = make_task("./sim 1"), b = make_task("./sim 1");
    b.priority = 9;
    b.mem_bytes = TASK_MEM_AUTO;
    b.mcpu = 1;
    put(&b, OPT_TIMEOUT, "1");
    put(&b, OPT_RETRIES, "3");
    put(&b, OPT_BACKOFF, "3");
    put(&b, OPT_AFTER, "x");
    put(&b, OPT_AFTER_ANY, "y");
    put(&b, OPT_GPU, "1000");
    put(&b, OPT_GPU_MEM, "1");
    put(&b, OPT_LABELS, "l");
    put(&b, OPT_OUTPUT, "keep");
    put(&b, OPT_LEFTOVERS, "wait");
    put(&b, OPT_ARG, "n=1");
    assert_id(&a, &b, true);
}

static void id_depends_on_content(void **state) {
    (void)state;
    struct task variants[9];
    size_t count = 0;
    variants[count++] = make_task("./sim 1");
    variants[count++] = make_task("./sim 2");
    variants[count] = make_task("./sim 1");
    variants[count++].type = TASK_PYTHON;
    static const enum task_option_tag tags[] = {OPT_NAME, OPT_CWD, OPT_ENV, OPT_REPEAT};
    for (size_t i = 0; i < 4; i++) {
        variants[count] = make_task("./sim 1");
        put(&variants[count++], tags[i], "A=1");
    }
    variants[count] = make_task("./sim 1");
    put(&variants[count++], OPT_ENV, "A=2");
    variants[count] = make_task("./sim 1");
    put(&variants[count], OPT_ENV, "A=1");
    put(&variants[count++], OPT_ENV, "B=1");
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++)
            assert_id(&variants[i], &variants[j], i == j);
}

static void id_does_not_mix_fields(void **state) {
    (void)state;
    struct task a = make_task("x"), b = make_task("x");
    put(&a, OPT_NAME, "ab");
    put(&b, OPT_NAME, "a");
    put(&b, OPT_CWD, "b");
    assert_id(&a, &b, false);
    struct task c = make_task("x"), d = make_task("x");
    put(&c, OPT_ENV, "A=1");
    put(&c, OPT_ENV, "B=2");
    put(&d, OPT_ENV, "B=2");
    put(&d, OPT_ENV, "A=1");
    assert_id(&c, &d, true); /* the environment has no order */
}

/* Ids are stored in queues: they must never change. */
static void id_is_stable(void **state) {
    (void)state;
    char id[TASK_ID_LEN + 1];
    struct task task = make_task("./cachesim PARAM1 PARAM2");
    task_id(&task, id);
    assert_string_equal(id, "jq4keahtnw87s5");
    put(&task, OPT_NAME, "sweep/lru");
    put(&task, OPT_CWD, "/data");
    put(&task, OPT_ENV, "SEED=7");
    put(&task, OPT_REPEAT, "3");
    task_id(&task, id);
    assert_string_equal(id, "0s8j521ztvkhph");
    static char params[5000];
    memset(params, 'p', sizeof params - 1);
    struct task large = make_task(params);
    task_id(&large, id);
    assert_string_equal(id, "mycdbea48qfn7m");
}

static void id_form(void **state) {
    (void)state;
    assert_true(task_id_valid("0123456789abcd", 14));
    assert_false(task_id_valid("0123456789abc", 13));
    assert_false(task_id_valid("0123456789abci", 14)); /* no i, l, o, u */
    assert_false(task_id_valid("0123456789abcD", 14));
    assert_false(task_id_valid("0123456789abc\0", 14));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_by_name),
        cmocka_unit_test(types_by_name),
        cmocka_unit_test(option_table_is_sound),
        cmocka_unit_test(option_access),
        cmocka_unit_test(ladder),
        cmocka_unit_test(requirements),
        cmocka_unit_test(requirements_of_native_tasks),
        cmocka_unit_test(id_ignores_resources),
        cmocka_unit_test(id_depends_on_content),
        cmocka_unit_test(id_does_not_mix_fields),
        cmocka_unit_test(id_is_stable),
        cmocka_unit_test(id_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
