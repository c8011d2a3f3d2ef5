#include "common/need.h"

#include <string.h>

#include "common/task.h"
#include "common/units.h"

struct need need_after_return(uint64_t promised_bytes, uint64_t peak_bytes,
                              uint64_t largest_bytes) {
    if (peak_bytes <= promised_bytes)
        return (struct need){NEED_KEEP, promised_bytes};
    if (peak_bytes > largest_bytes || peak_bytes > TASK_MEM_MAX)
        return (struct need){NEED_IMPOSSIBLE, peak_bytes};
    uint64_t raised = task_step_bytes(task_mem_step(peak_bytes + peak_bytes / 4));
    return (struct need){NEED_RAISED, raised < largest_bytes ? raised : largest_bytes};
}

void need_add_impossible(struct buf *out, uint64_t needed_bytes, uint64_t largest_bytes) {
    buf_adds(out, "needs at least ");
    units_add_bytes(out, needed_bytes);
    buf_adds(out, "; the largest worker has ");
    units_add_bytes(out, largest_bytes);
}

const char *need_raised_note(const char *reason, size_t len, size_t *note_len) {
    static const char mark[] = "; min_dram raised from ";
    const char *note = NULL;
    for (const char *at = reason, *end = reason + len; at < end;) {
        const char *found = memmem(at, (size_t)(end - at), mark, sizeof mark - 1);
        if (!found)
            break;
        note = found + 2;
        at = note;
    }
    *note_len = note ? (size_t)(reason + len - note) : 0;
    return note;
}

uint64_t need_unknown(uint64_t capacity_bytes, uint32_t mcpu) {
    uint64_t cores = (mcpu + UINT64_C(999)) / 1000;
    return task_step_bytes(task_mem_step(capacity_bytes / (cores ? cores : 1)));
}
