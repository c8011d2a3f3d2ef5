/*
 * Bytes as a record from Redis. What decodes is used as a worker would, and packed again when it
 * could have come from a parser.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/task.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good) {
    if (!good)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct task task, back;
    struct task_head head;
    char id[TASK_ID_LEN + 1];
    if (!task_decode((const char *)data, size, &head, &task))
        return 0;
    check(task_decode((const char *)data, size, &head, NULL));
    task_id(&task, id);
    for (unsigned tag = 0; tag < 256; tag++)
        task_option_number(&task, (enum task_option_tag)tag, 0);
    struct buf requires = BUF_INIT, record = BUF_INIT;
    task_requires(&task, &requires);
    if (requires.len <= TASK_NAME_MAX) {
        task_record(&task, (enum task_state)head.state, head.loaded_ms, &record);
        check(task_decode(record.data, record.len, &head, &back));
        check(back.option_count == task.option_count && back.params_len == task.params_len);
    }
    buf_free(&requires);
    buf_free(&record);
    return 0;
}
