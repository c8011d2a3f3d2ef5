/* store_change.c - what people ask to be done with tasks. */
#include <stdlib.h>
#include <string.h>

#include "common/storecmd.h"

/* In the order of enum store_change. */
static const struct {
    const char *script;
    bool takes_arg;
} changes[] = {{"cancel", false}, {"hold", false},    {"release", false}, {"prioritize", true},
               {"retry", false},  {"requeue", false}, {"forget", true}};

#define CHANGE_BATCH 200 /* ids a call: a millisecond of Redis' time */

static bool change_batch(struct store *store, enum store_change change, const char *arg,
                         task_id_t *ids, size_t count, struct change_counts *counts,
                         struct buf *error) {
    store_cmd_script(store, changes[change].script);
    if (changes[change].takes_arg)
        cmd_adds(&store->cmd, arg);
    for (size_t i = 0; i < count; i++)
        cmd_add(&store->cmd, ids[i], TASK_ID_LEN);
    redisReply *reply = store_run(store, error);
    if (!reply)
        return false;
    size_t last = change == CHANGE_CANCEL ? 2 : 1;
    bool ok = reply_at(reply, last) != NULL;
    counts->changed += reply_number(reply_at(reply, 0));
    if (change == CHANGE_CANCEL)
        counts->requested += reply_number(reply_at(reply, 1));
    counts->skipped += reply_number(reply_at(reply, last));
    freeReplyObject(reply);
    if (!ok)
        store_malformed(store, changes[change].script, error);
    return ok;
}

static bool change_all(struct store *store, enum store_change change, const char *arg,
                       task_id_t *ids, size_t count, struct change_counts *counts,
                       struct buf *error) {
    for (size_t at = 0; at < count; at += CHANGE_BATCH) {
        size_t part = count - at < CHANGE_BATCH ? count - at : CHANGE_BATCH;
        if (!change_batch(store, change, arg, ids + at, part, counts, error))
            return false;
    }
    return true;
}

/*
 * A failed task whose dependency has failed too is not queued before that one is, and the ids come
 * in any order: go over them until nothing changes.
 */
static bool retry_all(struct store *store, task_id_t *ids, size_t count,
                      struct change_counts *counts, struct buf *error) {
    struct change_counts pass;
    uint64_t changed = 0;
    do {
        pass = (struct change_counts){0};
        if (!change_all(store, CHANGE_RETRY, NULL, ids, count, &pass, error))
            return false;
        changed += pass.changed;
    } while (pass.changed > 0 && changed < count);
    counts->changed += changed;
    counts->skipped += count > changed ? count - changed : 0;
    return true;
}

bool store_change(struct store *store, enum store_change change, const char *arg, task_id_t *ids,
                  size_t count, struct change_counts *counts, struct buf *error) {
    if (change == CHANGE_RETRY)
        return retry_all(store, ids, count, counts, error);
    return change_all(store, change, arg, ids, count, counts, error);
}
