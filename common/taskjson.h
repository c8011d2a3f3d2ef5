/*
 * taskjson.h - one line of a JSON Lines task file: an object with a task's fields by name.
 *
 *   {"params": "./sim lru 4", "priority": 4, "min_dram": 2, "min_cpu": 0.5, "timeout": "5m",
 *    "env": {"SEED": 7}, "after": ["prepare"], "labels": "ssd,big"}
 *
 * params (text) must be there. type is "shell" by default; priority 0; min_dram (GiB as a number,
 * or a text as in the line form) 0; min_cpu (number or text) 1. All other fields are options
 * (TASK_OPTIONS): text as after `#@ key=`, or a number (in the unit that a bare number has there);
 * after, after_any and labels may be arrays, env and arg are objects. null is the same as absent. A
 * key that comes twice, an unknown key, or text that is not UTF-8 is an error.
 */
#ifndef DISTCOMP_TASKJSON_H
#define DISTCOMP_TASKJSON_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/option.h"
#include "common/task.h"

struct taskjson; /* holds what the last parsed task borrows from */

struct taskjson *taskjson_new(void);
void taskjson_free(struct taskjson *json);

/*
 * Parses a line into all of *task, options included (OPT_REPEAT is the count as written). The task
 * borrows from `json` until the next call. On failure returns false, sets *column (in bytes, from
 * 1; for a bad value the place of its key) and appends `what, expected ...` to error.
 */
bool taskjson_parse(struct taskjson *json, const char *line, size_t len, struct task *task,
                    size_t *column, struct buf *error);

/* The column of a key in a line, 1 when it is spelled otherwise (escapes). */
size_t taskjson_column(const char *line, size_t len, const char *key);

#endif
