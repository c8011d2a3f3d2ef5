/*
 * Bytes as one line of a JSON Lines task file; a task that comes out is packed and unpacked again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/taskjson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good) {
    if (!good)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct task task, back;
    struct taskjson *json = taskjson_new();
    struct buf error = BUF_INIT, record = BUF_INIT;
    size_t column = 0;
    if (taskjson_parse(json, (const char *)data, size, &task, &column, &error)) {
        task_record(&task, TASK_WAITING, 1, &record);
        check(task_decode(record.data, record.len, NULL, &back));
        check(back.params_len == task.params_len && back.option_count == task.option_count);
        for (size_t i = 0; i < task.option_count; i++)
            check(back.options[i].tag == task.options[i].tag &&
                  back.options[i].len == task.options[i].len);
    } else {
        check(error.len > 0 && column >= 1 && column <= size + 1);
    }
    taskjson_free(json);
    buf_free(&error);
    buf_free(&record);
    return 0;
}
