/* A task into a record and back; every way in which a record may be cut or broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/task.h"

static void put(struct task *task, enum task_option_tag tag, const char *value) {
    task->options[task->option_count++] = (struct task_option){tag, value, strlen(value)};
}

static struct task full_task(void) {
    struct task task = {
        .type = TASK_NATIVE, .priority = 70000, .mem_bytes = 3u << 30, .mcpu = 1500};
    task.params = "./sim \xff 'a:b'";
    task.params_len = strlen(task.params);
    put(&task, OPT_NAME, "sweep/lru");
    put(&task, OPT_TIMEOUT, "300000");
    put(&task, OPT_ENV, "A=1");
    put(&task, OPT_ENV, "B=");
    put(&task, OPT_LABELS, "ssd,big");
    put(&task, OPT_ARG, "size=4");
    return task;
}

static void assert_same(const struct task *a, const struct task *b) {
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->priority, b->priority);
    assert_true(a->mem_bytes == b->mem_bytes);
    assert_int_equal(a->mcpu, b->mcpu);
    assert_int_equal(a->params_len, b->params_len);
    assert_memory_equal(a->params, b->params, a->params_len);
    assert_int_equal(a->option_count, b->option_count);
    for (size_t i = 0; i < a->option_count; i++) {
        assert_int_equal(a->options[i].tag, b->options[i].tag);
        assert_int_equal(a->options[i].len, b->options[i].len);
        assert_memory_equal(a->options[i].value, b->options[i].value, a->options[i].len);
    }
}

static void round_trip(void **state) {
    (void)state;
    struct task tasks[3] = {full_task(), full_task(), full_task()}, back;
    tasks[1].option_count = 0;
    tasks[1].type = TASK_SHELL;
    tasks[1].mem_bytes = TASK_MEM_AUTO;
    tasks[2].mem_bytes = TASK_MEM_MAX;
    tasks[2].priority = TASK_PRIORITY_MAX;
    tasks[2].mcpu = TASK_MCPU_MAX;
    for (size_t i = 0; i < 3; i++) {
        struct buf record = BUF_INIT;
        struct task_head head;
        task_record(&tasks[i], TASK_WAITING, UINT64_C(0x123456789abc), &record);
        assert_true(task_decode(record.data, record.len, &head, &back));
        assert_same(&tasks[i], &back);
        assert_int_equal(head.state, TASK_WAITING);
        assert_int_equal(head.flags, 0);
        assert_int_equal(head.generation, 0);
        assert_int_equal(head.priority, tasks[i].priority);
        assert_true(head.mem_bytes == tasks[i].mem_bytes);
        assert_int_equal(head.step, task_mem_step(tasks[i].mem_bytes));
        assert_int_equal(head.mcpu, tasks[i].mcpu);
        assert_int_equal(head.tries + head.failures + head.losses + head.returns, 0);
        assert_true(head.loaded_ms == UINT64_C(0x123456789abc));
        assert_true(task_decode(record.data, record.len, NULL, &back));
        assert_true(task_decode(record.data, record.len, &head, NULL));
        buf_free(&record);
    }
}

/* The bytes that docs/protocol.md draws. */
static void layout(void **state) {
    (void)state;
    struct task task = {.type = TASK_PYTHON, .priority = 4, .mem_bytes = 1u << 20, .mcpu = 2000};
    task.params = "x.py";
    task.params_len = 4;
    put(&task, OPT_NAME, "n");
    put(&task, OPT_RETRIES, "7");
    static const char expected[] = "\x02\x00\x00\x00"                 /* todo, flags, generation */
                                   "\x00\x00\x00\x04"                 /* priority */
                                   "\x00\x00\x00\x10\x00\x00\x01"     /* memory, step */
                                   "\x00\x00\x07\xd0"                 /* cores */
                                   "\x00\x00\x00\x00\x00\x00\x00\x00" /* counts */
                                   "\x00\x00\x00\x00\x00\x09"         /* loaded */
                                   "\x00\x01n\x01\x01" /* requires, name, type, options */
                                   "\x03\x00\x00\x00\x01"
                                   "7x.py";
    struct buf record = BUF_INIT;
    buf_adds(&record, "!"); /* task_record appends */
    task_record(&task, TASK_TODO, 9, &record);
    assert_int_equal(record.len, sizeof expected);
    assert_memory_equal(record.data + 1, expected, sizeof expected - 1);
    buf_free(&record);
}

static void every_truncation(void **state) {
    (void)state;
    struct task task = full_task(), back;
    struct task_head head;
    struct buf record = BUF_INIT;
    task_record(&task, TASK_TODO, 1, &record);
    size_t before_params = record.len - task.params_len;
    for (size_t len = 0; len < record.len; len++) {
        char *exact = xmalloc(len ? len : 1); /* so that a sanitizer sees reads beyond */
        memcpy(exact, record.data, len);
        bool good = task_decode(exact, len, &head, &back);
        assert_int_equal(good, len > before_params); /* then only the command is shorter */
        if (good)
            assert_int_equal(back.params_len, len - before_params);
        assert_int_equal(task_decode(exact, len, &head, NULL), len >= TASK_HEAD_BYTES);
        free(exact);
    }
    buf_free(&record);
}

static void broken_bytes(void **state) {
    (void)state;
    struct task task = full_task(), back;
    struct buf record = BUF_INIT;
    task_record(&task, TASK_TODO, 1, &record);
    size_t requires_len = (unsigned char)record.data[TASK_HEAD_BYTES];
    size_t name_at = TASK_HEAD_BYTES + 1 + requires_len;
    size_t type_at = name_at + 1 + strlen("sweep/lru");
    size_t first_tag = type_at + 2;
    const struct {
        size_t at;
        unsigned char byte;
    } rows[] = {
        {0, 0},                 /* no such state */
        {0, TASK_STATE_COUNT},  /* nor this one */
        {TASK_HEAD_BYTES, 255}, /* requires runs past the end */
        {name_at, 255},         /* the name does */
        {name_at + 1, 0},       /* NUL in the name */
        {type_at, 3},           /* no such type */
        {type_at + 1, 255},     /* more options than there are */
        {first_tag, 0},         /* no such option */
        {first_tag, OPT_NAME},  /* the name has its own place */
        {first_tag, 255},       /* not sorted */
        {first_tag + 1, 255},   /* a value of 4 GiB */
        {first_tag + 5, 0},     /* NUL in a value */
        {record.len - 1, 0},    /* NUL in the command */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char saved = record.data[rows[i].at];
        record.data[rows[i].at] = (char)rows[i].byte;
        if (task_decode(record.data, record.len, NULL, &back))
            fail_msg("row %zu was accepted", i);
        record.data[rows[i].at] = saved;
    }
    assert_true(task_decode(record.data, record.len, NULL, &back));
    buf_free(&record);
}

static void unknown_option_is_kept(void **state) {
    (void)state;
    struct task task = full_task(), back;
    put(&task, (enum task_option_tag)200, "new");
    struct buf record = BUF_INIT;
    task_record(&task, TASK_TODO, 1, &record);
    assert_true(task_decode(record.data, record.len, NULL, &back));
    assert_same(&task, &back);
    buf_free(&record);
}

static void most_options(void **state) {
    (void)state;
    static struct task task, back;
    task = full_task();
    task.option_count = 0;
    while (task.option_count < TASK_OPTIONS_MAX)
        put(&task, OPT_ENV, "A=1");
    struct buf record = BUF_INIT;
    task_record(&task, TASK_TODO, 1, &record);
    assert_true(task_decode(record.data, record.len, NULL, &back));
    assert_int_equal(back.option_count, TASK_OPTIONS_MAX);
    size_t count_at = TASK_HEAD_BYTES + 1 + strlen("kernel:") + 1 + 1;
    assert_int_equal((unsigned char)record.data[count_at], TASK_OPTIONS_MAX);
    record.data[count_at] = (char)(TASK_OPTIONS_MAX + 1);
    assert_false(task_decode(record.data, record.len, NULL, &back));
    buf_free(&record);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(layout),
        cmocka_unit_test(every_truncation),
        cmocka_unit_test(broken_bytes),
        cmocka_unit_test(unknown_option_is_kept),
        cmocka_unit_test(most_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
