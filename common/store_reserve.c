/* store_reserve.c - workers that are kept free for large tasks (lua/claim.lua). */
#include <stdlib.h>
#include <string.h>

#include "common/storecmd.h"

/* SHAPE and ID SINCE DUE OWNED GONE OWNER; the shape begins with the priority. False: nobody is
 * kept free for it yet, or it has been claimed. */
static bool read_note(struct slice shape, struct slice note, struct store_reservation *r) {
    uint64_t times[4];
    if (note.len <= TASK_ID_LEN)
        return false;
    memcpy(r->id, note.data, TASK_ID_LEN);
    r->id[TASK_ID_LEN] = '\0';
    const char *at = note.data + TASK_ID_LEN, *end = note.data + note.len;
    for (size_t i = 0; i < 4; i++) {
        char *stop;
        times[i] = strtoull(at, &stop, 10);
        at = stop;
    }
    if (times[3] > 0 || end - at < 2)
        return false;
    r->priority = (uint32_t)strtoul(shape.data, NULL, 10);
    r->since_ms = times[0];
    r->owned_ms = times[2];
    r->worker = xstrndup(at + 1, (size_t)(end - at) - 1);
    return true;
}

/* Drops those whose task waits no more: a note is removed only when somebody next looks. */
static bool drop_ended(struct store *store, struct store_reservations *all, struct buf *error) {
    if (all->count == 0)
        return true;
    store_cmd(store, "HMGET");
    store_cmd_key(store, KEY_TASK, NULL);
    for (size_t i = 0; i < all->count; i++)
        cmd_adds(&store->cmd, all->list[i].id);
    redisReply *reply = store_run(store, error);
    if (!reply)
        return false;
    size_t kept = 0;
    for (size_t i = 0; i < all->count; i++) {
        struct store_task task;
        if (store_decode(reply_at(reply, i), &task) && task.head.state == TASK_TODO) {
            all->list[kept] = all->list[i];
            all->list[kept++].loaded_ms = task.head.loaded_ms;
        } else {
            free(all->list[i].worker);
        }
    }
    all->count = kept;
    freeReplyObject(reply);
    return true;
}

bool store_reservations(struct store *store, struct store_reservations *all, struct buf *error) {
    *all = (struct store_reservations){0};
    if (!store_time(store, &all->now_ms, error))
        return false;
    store_cmd(store, "HGETALL");
    store_cmd_key(store, KEY_RESERVE, NULL);
    redisReply *reply = store_run(store, error);
    if (!reply)
        return false;
    for (size_t i = 0; i + 1 < reply->elements && all->count < STORE_RESERVATIONS; i += 2)
        if (read_note(reply_slice(reply_at(reply, i)), reply_slice(reply_at(reply, i + 1)),
                      &all->list[all->count]))
            all->count++;
    freeReplyObject(reply);
    if (drop_ended(store, all, error))
        return true;
    store_reservations_free(all);
    return false;
}

void store_reservations_free(struct store_reservations *all) {
    for (size_t i = 0; i < all->count; i++)
        free(all->list[i].worker);
    all->count = 0;
}

const struct store_reservation *store_reservation_of(const struct store_reservations *all,
                                                     const char *worker) {
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->list[i].worker, worker) == 0)
            return &all->list[i];
    return NULL;
}
