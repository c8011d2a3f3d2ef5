/*
 * view.h - what the verbs that look share: finding a task, one shape for tasks, tries and counts in
 * JSON, and their texts. For check*, show*, taskOutput, waitTask and exportTask.
 */
#ifndef DISTCOMP_MANAGER_VIEW_H
#define DISTCOMP_MANAGER_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/store.h"
#include "manager/command.h"

/*
 * The task whose id is, or alone begins with, text. False after saying that there is none, or that
 * there are several.
 */
bool view_find(const struct session *session, struct store *store, const char *text, task_id_t id);

/* Redis' clock, Unix milliseconds. */
bool view_now(struct store *store, uint64_t *now_ms, struct buf *error);

/* Tasks as the first line of checkTask counts them. */
uint64_t view_todo(const struct store_counts *counts);
uint64_t view_failed(const struct store_counts *counts);

void view_add_mem(struct buf *out, uint64_t mem_bytes);    /* "auto", "-" for 0, "1.5 GiB" */
void view_add_mcpu(struct buf *out, uint32_t mcpu);        /* "-" for 0, "0.5" */
void view_add_wall(struct buf *out, uint64_t us);          /* "3.4ms", "1.25s", "3m12s" */
void view_add_time(struct buf *out, uint64_t unix_ms);     /* RFC 3339; "-" for 0 */
struct slice view_last_line(const char *text, size_t len); /* the last that is not blank */

/*
 * New references. A task's: id, name, state, type, priority, min_dram_bytes (null for auto),
 * min_cpu, command, options as a task file has them, counts. A try's: number, outcome, worker,
 * times, memory, sizes, reason.
 */
json_t *view_task_json(const struct store_task *task);
json_t *view_try_json(const struct try_entry *entry);
json_t *view_tries_json(struct slice log);
json_t *view_counts_json(const struct store_counts *counts);
json_t *view_time_json(uint64_t unix_ms); /* null for 0 */
json_t *view_slice_json(struct slice text);

#endif
