/* store_detail.c - one task: everything about it, and finding it by the start of its id. */
#include <stdlib.h>
#include <string.h>

#include "common/storecmd.h"

enum {
    DETAIL_RECORD,
    DETAIL_LOG,
    DETAIL_OUTPUT,
    DETAIL_AFTER,
    DETAIL_AWAIT,
    DETAIL_WORKER,
    DETAIL_TIME,
    DETAIL_STATE,
    DETAIL_STATS
}; /* of store_detail.replies */

static bool send_hget(struct store *store, enum queue_key key, const char *name, const char *field,
                      struct buf *error) {
    store_cmd(store, "HGET");
    store_cmd_key(store, key, name);
    cmd_adds(&store->cmd, field);
    return store_send(store, error);
}

static bool fetch_detail(struct store *store, const char *id, struct store_detail *detail,
                         struct buf *error) {
    static const enum queue_key asked[] = {KEY_TASK,  KEY_TRY,   KEY_OUTPUT,
                                           KEY_AFTER, KEY_AWAIT, KEY_RUNNING};
    for (size_t i = 0; i < DETAIL_TIME; i++)
        if (!send_hget(store, asked[i], NULL, id, error))
            return false;
    store_cmd(store, "TIME");
    return store_send(store, error) &&
           store_replies(store, detail->replies, DETAIL_TIME + 1, error);
}

/* What depends on the state: when a delayed task is due, when a running one was claimed. */
static bool fetch_state(struct store *store, struct store_detail *detail, struct buf *error) {
    const struct store_task *task = &detail->task;
    if (task->head.state == TASK_DELAYED) {
        char hint[TASK_ID_LEN + 8];
        snprintf(hint, sizeof hint, "%s.%x", task->id, task->head.generation);
        store_cmd(store, "ZSCORE");
        store_cmd_key(store, KEY_DELAYED, NULL);
        cmd_adds(&store->cmd, hint);
    } else if (task->head.state == TASK_IN_PROGRESS && task->worker.len) {
        store_cmd(store, "HGET");
        store_cmd_key(store, KEY_HELD, task->worker.data);
        cmd_adds(&store->cmd, task->id);
    } else {
        return true;
    }
    redisReply *reply = detail->replies[DETAIL_STATE] = store_run(store, error);
    if (!reply)
        return false;
    if (task->head.state == TASK_DELAYED) {
        detail->due_ms = reply_number(reply);
    } else { /* TRY.NONCE.START */
        const char *start = reply->type == REDIS_REPLY_STRING ? strrchr(reply->str, '.') : NULL;
        detail->started_ms = start ? strtoull(start + 1, NULL, 10) : 0;
    }
    return true;
}

/* What its worker said of it last. */
static bool fetch_stats(struct store *store, struct store_detail *detail, struct buf *error) {
    const struct store_task *task = &detail->task;
    if (task->head.state != TASK_IN_PROGRESS || !task->worker.len)
        return true;
    if (!send_hget(store, KEY_WORKER, task->worker.data, "stats", error))
        return false;
    detail->replies[DETAIL_STATS] = store_reply(store, error);
    if (!detail->replies[DETAIL_STATS])
        return false;
    detail->stats = reply_slice(detail->replies[DETAIL_STATS]);
    return true;
}

bool store_detail(struct store *store, const char *id, struct store_detail *detail,
                  struct buf *error) {
    memset(detail, 0, sizeof *detail);
    detail->unresolved = -1;
    if (!task_id_valid(id, strlen(id)) || !fetch_detail(store, id, detail, error))
        return false;
    redisReply *const *replies = detail->replies;
    struct store_task *task = &detail->task;
    if (replies[DETAIL_RECORD]->type != REDIS_REPLY_STRING)
        return false;
    memcpy(task->id, id, sizeof task->id);
    if (!store_decode(replies[DETAIL_RECORD], task)) {
        buf_addf(error, "the record of task %s is damaged", id);
        return false;
    }
    task->log = reply_slice(replies[DETAIL_LOG]);
    task->has_output = replies[DETAIL_OUTPUT]->type == REDIS_REPLY_STRING;
    task->output = reply_slice(replies[DETAIL_OUTPUT]);
    task->worker = reply_slice(replies[DETAIL_WORKER]);
    detail->after = reply_slice(replies[DETAIL_AFTER]);
    if (replies[DETAIL_AWAIT]->type == REDIS_REPLY_STRING)
        detail->unresolved = (int64_t)reply_number(replies[DETAIL_AWAIT]);
    detail->now_ms = reply_time_ms(replies[DETAIL_TIME]);
    return fetch_state(store, detail, error) && fetch_stats(store, detail, error);
}

void store_detail_free(struct store_detail *detail) {
    for (size_t i = 0; i < sizeof detail->replies / sizeof *detail->replies; i++)
        if (detail->replies[i])
            freeReplyObject(detail->replies[i]);
    memset(detail, 0, sizeof *detail);
}

static bool find_whole(struct store *store, const char *id, task_id_t *ids, size_t *found,
                       struct buf *error) {
    bool exists = false;
    store_cmd(store, "HEXISTS");
    store_cmd_key(store, KEY_TASK, NULL);
    cmd_adds(&store->cmd, id);
    redisReply *reply = store_run(store, error);
    if (!reply)
        return false;
    exists = reply_number(reply) > 0;
    freeReplyObject(reply);
    if (exists)
        memcpy(ids[(*found)++], id, TASK_ID_LEN + 1);
    return true;
}

static void add_found(const redisReply *id, task_id_t *ids, size_t most, size_t *found) {
    task_id_t text;
    if (*found == most || !reply_id(id, text))
        return;
    for (size_t i = 0; i < *found; i++) /* a scan may show one twice */
        if (strcmp(ids[i], text) == 0)
            return;
    memcpy(ids[(*found)++], text, sizeof text);
}

bool store_find_prefix(struct store *store, const char *prefix, task_id_t *ids, size_t most,
                       size_t *found, struct buf *error) {
    size_t len = strlen(prefix);
    char cursor[24] = "0", pattern[TASK_ID_LEN + 2];
    task_id_t filled = "00000000000000"; /* the prefix made a whole id: are its characters legal? */
    *found = 0;
    if (len > TASK_ID_LEN || most == 0)
        return true;
    memcpy(filled, prefix, len);
    if (!task_id_valid(filled, TASK_ID_LEN))
        return true;
    if (len == TASK_ID_LEN)
        return find_whole(store, prefix, ids, found, error);
    snprintf(pattern, sizeof pattern, "%s*", prefix);
    do {
        store_cmd(store, "HSCAN");
        store_cmd_key(store, KEY_TASK, NULL);
        cmd_adds(&store->cmd, cursor);
        cmd_adds(&store->cmd, "MATCH");
        cmd_adds(&store->cmd, pattern);
        cmd_adds(&store->cmd, "COUNT");
        cmd_adds(&store->cmd, "5000");
        redisReply *reply = store_run(store, error);
        if (!reply)
            return false;
        snprintf(cursor, sizeof cursor, "%s", reply_slice(reply_at(reply, 0)).data);
        const redisReply *page = reply_at(reply, 1);
        for (size_t i = 0; page && i < page->elements; i += 2)
            add_found(page->element[i], ids, most, found);
        freeReplyObject(reply);
    } while (strcmp(cursor, "0") != 0 && *found < most);
    return true;
}
