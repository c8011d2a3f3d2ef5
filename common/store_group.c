/* store_group.c - names of tasks, and whether what after= refers to is there. */
#include <string.h>

#include "common/storecmd.h"

/* 5 x u32 total, pending, finished, failed, cancelled | u8 dependants | u48 load; see
 * lua/lib/30_states.lua */
static bool group_unpack(struct slice packed, struct store_group *group, uint64_t *load) {
    struct cursor c = cursor_make(packed.data, packed.len);
    uint32_t *const fields[] = {&group->total, &group->pending, &group->finished, &group->failed,
                                &group->cancelled};
    for (size_t i = 0; i < 5; i++)
        *fields[i] = (uint32_t)cursor_be(&c, 4);
    cursor_be(&c, 1);
    *load = cursor_be(&c, 6);
    return !c.failed;
}

static bool load_is_open(struct store *store, uint64_t load, bool *open, struct buf *error) {
    store_cmd(store, "ZSCORE");
    store_cmd_key(store, KEY_LOAD, NULL);
    cmd_addu(&store->cmd, load);
    redisReply *reply = store_run(store, error);
    if (!reply)
        return false;
    *open = reply->type == REDIS_REPLY_STRING;
    freeReplyObject(reply);
    return true;
}

bool store_group(struct store *store, const char *name, struct store_group *group,
                 struct buf *error) {
    *group = (struct store_group){0};
    store_cmd(store, "HGET");
    store_cmd_key(store, KEY_NAME, NULL);
    cmd_adds(&store->cmd, name);
    redisReply *reply = store_run(store, error);
    if (!reply)
        return false;
    uint64_t load = 0;
    group->known = reply->type == REDIS_REPLY_STRING;
    bool ok = !group->known || group_unpack(reply_slice(reply), group, &load);
    freeReplyObject(reply);
    if (!ok) {
        store_malformed(store, "HGET of a name", error);
        return false;
    }
    return load == 0 || load_is_open(store, load, &group->open, error);
}

static bool send_exists(struct store *store, const char *ref, size_t len, struct buf *error) {
    store_cmd(store, "HEXISTS");
    store_cmd_key(store, ref[0] == 'n' ? KEY_NAME : KEY_TASK, NULL);
    cmd_add(&store->cmd, ref + 2, len - 2);
    return store_send(store, error);
}

static bool some_refs_exist(struct store *store, const char *const *refs, const size_t *lens,
                            size_t count, bool *exists, struct buf *error) {
    redisReply *replies[STORE_BATCH];
    for (size_t i = 0; i < count; i++)
        if (!send_exists(store, refs[i], lens[i], error))
            return false;
    if (!store_replies(store, replies, count, error))
        return false;
    for (size_t i = 0; i < count; i++) {
        exists[i] = reply_number(replies[i]) > 0;
        freeReplyObject(replies[i]);
    }
    return true;
}

bool store_refs_exist(struct store *store, const char *const *refs, const size_t *lens,
                      size_t count, bool *exists, struct buf *error) {
    for (size_t at = 0; at < count; at += STORE_BATCH) {
        size_t part = count - at < STORE_BATCH ? count - at : STORE_BATCH;
        if (!some_refs_exist(store, refs + at, lens + at, part, exists + at, error))
            return false;
    }
    return true;
}
