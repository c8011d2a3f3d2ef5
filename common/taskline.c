#include "common/taskline.h"

#include <string.h>

#include "common/field.h"

#define FIELDS 4 /* before params */

/* Where each field ends; false when there are fewer than four colons. */
static bool split(const char *line, size_t len, const char *ends[FIELDS], size_t *found) {
    const char *at = line, *end = line + len;
    for (*found = 0; *found < FIELDS; at = ends[(*found)++] + 1) {
        ends[*found] = memchr(at, ':', (size_t)(end - at));
        if (!ends[*found])
            return false;
    }
    return true;
}

static bool too_few(size_t found, size_t len, size_t *column, struct buf *error) {
    *column = len + 1;
    buf_addf(error, "only %zu of 4 colons, expected type:priority:min_dram:min_cpu:params", found);
    return false;
}

bool taskline_parse(const char *line, size_t len, struct task *task, size_t *column,
                    struct buf *error) {
    const char *ends[FIELDS], *at = line;
    size_t found, offset;
    bool whole = split(line, len, ends, &found);
    *column = 1;
    if (found > 0 && !field_type(at, (size_t)(ends[0] - at), &task->type, error))
        return false;
    if (!whole)
        return too_few(found, len, column, error);

    at = ends[0] + 1;
    *column = (size_t)(at - line) + 1;
    if (!field_priority(at, (size_t)(ends[1] - at), &task->priority, error))
        return false;
    at = ends[1] + 1;
    *column = (size_t)(at - line) + 1;
    if (!field_min_dram(at, (size_t)(ends[2] - at), &task->mem_bytes, error))
        return false;
    at = ends[2] + 1;
    *column = (size_t)(at - line) + 1;
    if (!field_min_cpu(at, (size_t)(ends[3] - at), &task->mcpu, error))
        return false;
    at = ends[3] + 1;
    task->params = at;
    task->params_len = len - (size_t)(at - line);
    if (field_params(task->type, at, task->params_len, &offset, error))
        return true;
    *column = (size_t)(at - line) + offset + 1;
    return false;
}

size_t taskline_column(const char *line, size_t len, unsigned field) {
    const char *ends[FIELDS];
    size_t found;
    split(line, len, ends, &found);
    return field && field <= found ? (size_t)(ends[field - 1] - line) + 2 : 1;
}
