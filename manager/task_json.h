/*
 * task_json.h - a task's description as a JSON object, the same in every verb's answer.
 *
 * Names and units are those of a JSON Lines task file (common/taskjson.h): min_dram in GiB or
 * "auto", min_cpu in cores, times in seconds, after, after_any and labels as arrays, env and arg as
 * objects. Two fields are not: `id`, and `repeat_index`, which of a line's repetitions it is.
 */
#ifndef DISTCOMP_MANAGER_TASK_JSON_H
#define DISTCOMP_MANAGER_TASK_JSON_H

#include <jansson.h>

#include "common/task.h"

/* A new reference. `id` NULL: computed from the task. */
json_t *task_json(const struct task *task, const char *id);

#endif
