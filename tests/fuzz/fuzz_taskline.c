/*
 * Bytes as a task file in the line form: directives, lines, repeats. Every task that comes out is
 * packed and unpacked again, and must be the same. Build: clang -fsanitize=fuzzer,address,undefined
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/directive.h"
#include "common/taskline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good) {
    if (!good)
        abort();
}

static void check_round_trip(const struct task *task) {
    static struct task back;
    struct buf record = BUF_INIT;
    char id[TASK_ID_LEN + 1], again[TASK_ID_LEN + 1];
    task_record(task, TASK_TODO, 1, &record);
    check(task_decode(record.data, record.len, NULL, &back));
    check(back.params_len == task->params_len && back.option_count == task->option_count);
    check(memcmp(back.params, task->params, task->params_len) == 0);
    check(task_step_bytes(task_mem_step(task->mem_bytes)) >= task->mem_bytes);
    task_id(task, id);
    task_id(&back, again);
    check(strcmp(id, again) == 0 && task_id_valid(id, strlen(id)));
    buf_free(&record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *at = (const char *)data, *end = at + size;
    struct options options = OPTIONS_INIT;
    struct words words = WORDS_INIT;
    struct buf error = BUF_INIT;
    static struct task task;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((newline ? newline : end) - at), column = 0;
        buf_clear(&error);
        bool good = true;
        if (directive_is(at, len)) {
            good = directive_apply(at, len, &options, &words, &column, &error);
        } else {
            good = taskline_parse(at, len, &task, &column, &error);
            if (good && options_check(&options, &error)) {
                options_fill(&options, &task);
                check_round_trip(&task);
            }
        }
        check(good || (error.len > 0 && column >= 1 && column <= len + 1));
        at += len + 1;
    }
    options_free(&options);
    words_free(&words);
    buf_free(&error);
    return 0;
}
