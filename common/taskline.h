/*
 * taskline.h - one line of a task file: type:priority:min_dram:min_cpu:params
 *
 * The first four colons split; everything after the fourth is the command, unchanged.
 */
#ifndef DISTCOMP_TASKLINE_H
#define DISTCOMP_TASKLINE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/task.h"

/*
 * Parses a line, without its end of line, into type, priority, mem_bytes, mcpu and params, which
 * borrows from the line; leaves the options alone. On failure returns false, sets *column (in
 * bytes, from 1) and appends `what, expected ...` to error.
 */
bool taskline_parse(const char *line, size_t len, struct task *task, size_t *column,
                    struct buf *error);
/* Where a field begins, in bytes from 1: 0 is the type, 4 the command. For a line that was parsed.
 */
size_t taskline_column(const char *line, size_t len, unsigned field);

#endif
