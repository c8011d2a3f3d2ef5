/*
 * whynot.h - why a task is not running: what it waits for, and who could run it.
 */
#ifndef DISTCOMP_MANAGER_WHYNOT_H
#define DISTCOMP_MANAGER_WHYNOT_H

#include <jansson.h>

#include "common/store.h"

/*
 * Appends to `why` (an array) a sentence for each reason; none for a task that runs or has
 * ended by itself.
 * What a worker keeps free and has is as it says itself. False: an error of Redis.
 */
bool whynot_find(struct store *store, const struct store_detail *detail, json_t *why,
                 struct buf *error);
/* What each reference of the task is and how far: objects with name or id, kind, state, counts. */
bool whynot_after(struct store *store, const struct store_detail *detail, json_t *after,
                  struct buf *error);

#endif
