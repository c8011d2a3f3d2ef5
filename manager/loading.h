/*
 * loading.h - what loadTask and addTask share: the load's answer, and tasks printed by --dry_run.
 */
#ifndef DISTCOMP_MANAGER_LOADING_H
#define DISTCOMP_MANAGER_LOADING_H

#include <jansson.h>

#include "common/store.h"
#include "manager/command.h"

/* Appends "3 new, 0 known, 0 updated, 0 duplicate, 0 failed"; ", 2 retried" when it was asked for.
 */
void loading_counts(const struct load_counts *counts, bool retry_failed, struct buf *out);
/* {"new": 3, …}, a new reference. */
json_t *loading_json(const struct load_counts *counts);
/* A remark on tasks that stay failed because --retry_failed was not given. */
void loading_note(const struct session *session, const struct load_counts *counts,
                  bool retry_failed);

/*
 * Ends a load that did not come to its end: frees it, and says why (error, or a signal) and how far
 * it came. Returns the exit code.
 */
int loading_abandon(struct session *session, struct store_load *load, const struct buf *error);
/* store_load_end; false when it failed and was told so. */
bool loading_end(struct session *session, struct store_load *load, struct load_counts *counts);

#endif
