/* store_worker.c - the workers of a queue, and repairing what lost ones and killed loads left. */
#include <stdlib.h>
#include <string.h>

#include "common/storecmd.h"

#define WORKERS_PAGE   100
#define LOAD_SILENT_MS 60000
#define MAINTAIN_CALLS 100000 /* of 500 tasks each */

/* --- looking ------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b) {
    return strcmp((*(redisReply *const *)a)->str, (*(redisReply *const *)b)->str);
}

/* SMEMBERS of the workers, sorted. */
static redisReply *worker_names(struct store *store, struct buf *error) {
    store_cmd(store, "SMEMBERS");
    store_cmd_key(store, KEY_WORKERS, NULL);
    redisReply *names = store_run(store, error);
    if (names && names->type == REDIS_REPLY_ARRAY && names->elements > 1)
        qsort(names->element, names->elements, sizeof *names->element, compare_names);
    return names;
}

enum { WORKER_HASH, WORKER_LEASE, WORKER_IDLE, WORKER_HELD, WORKER_REPLIES };

static bool send_score(struct store *store, enum queue_key key, const char *name,
                       struct buf *error) {
    store_cmd(store, "ZSCORE");
    store_cmd_key(store, key, NULL);
    cmd_adds(&store->cmd, name);
    return store_send(store, error);
}

static bool send_worker(struct store *store, const char *name, struct buf *error) {
    static const char *const fields[] = {"want",   "state",    "info",  "stats",
                                         "report", "finished", "failed"};
    store_cmd(store, "HMGET");
    store_cmd_key(store, KEY_WORKER, name);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        cmd_adds(&store->cmd, fields[i]);
    if (!store_send(store, error) || !send_score(store, KEY_LEASE, name, error) ||
        !send_score(store, KEY_IDLE, name, error))
        return false;
    store_cmd(store, "HLEN");
    store_cmd_key(store, KEY_HELD, name);
    return store_send(store, error);
}

static void read_worker(const redisReply *name, redisReply *const *replies,
                        struct store_worker *worker) {
    const redisReply *hash = replies[WORKER_HASH];
    worker->name = reply_slice(name);
    worker->want = reply_slice(reply_at(hash, 0));
    worker->state = reply_slice(reply_at(hash, 1));
    worker->info = reply_slice(reply_at(hash, 2));
    worker->stats = reply_slice(reply_at(hash, 3));
    worker->report_ms = reply_number(reply_at(hash, 4));
    worker->finished = reply_number(reply_at(hash, 5));
    worker->failed = reply_number(reply_at(hash, 6));
    worker->lease_end_ms = reply_number(replies[WORKER_LEASE]);
    struct slice idle = reply_slice(replies[WORKER_IDLE]); /* negative: it was told of work */
    worker->idle = idle.len > 0 && idle.data[0] != '-';
    worker->held = reply_number(replies[WORKER_HELD]);
}

static bool walk_page(struct store *store, redisReply *const *names, size_t count, uint64_t now_ms,
                      store_each_worker *each, void *arg, bool *go_on, struct buf *error) {
    redisReply *replies[WORKERS_PAGE * WORKER_REPLIES];
    for (size_t i = 0; i < count; i++)
        if (!send_worker(store, names[i]->str, error))
            return false;
    if (!store_replies(store, replies, count * WORKER_REPLIES, error))
        return false;
    for (size_t i = 0; i < count && *go_on; i++) {
        struct store_worker worker = {.now_ms = now_ms};
        read_worker(names[i], replies + i * WORKER_REPLIES, &worker);
        *go_on = each(&worker, arg);
    }
    for (size_t i = 0; i < count * WORKER_REPLIES; i++)
        freeReplyObject(replies[i]);
    return true;
}

bool store_walk_workers(struct store *store, store_each_worker *each, void *arg,
                        struct buf *error) {
    uint64_t now_ms;
    if (!store_time(store, &now_ms, error))
        return false;
    redisReply *names = worker_names(store, error);
    if (!names)
        return false;
    bool ok = true, go_on = true;
    for (size_t at = 0; at < names->elements && ok && go_on; at += WORKERS_PAGE) {
        size_t left = names->elements - at;
        ok = walk_page(store, names->element + at, left < WORKERS_PAGE ? left : WORKERS_PAGE,
                       now_ms, each, arg, &go_on, error);
    }
    freeReplyObject(names);
    return ok;
}

bool store_want(struct store *store, const char *want, const char *const *names, size_t count,
                const char **answers, struct buf *error) {
    static const char *const words[] = {"ok", "lost", "unknown"};
    for (size_t at = 0; at < count; at += STORE_BATCH) {
        size_t part = count - at < STORE_BATCH ? count - at : STORE_BATCH;
        store_cmd_script(store, "want");
        cmd_adds(&store->cmd, want);
        for (size_t i = 0; i < part; i++)
            cmd_adds(&store->cmd, names[at + i]);
        redisReply *reply = store_run(store, error);
        if (!reply)
            return false;
        for (size_t i = 0; i < part; i++) {
            answers[at + i] = words[2];
            for (size_t word = 0; word < 3; word++)
                if (strcmp(reply_slice(reply_at(reply, i)).data, words[word]) == 0)
                    answers[at + i] = words[word];
        }
        freeReplyObject(reply);
    }
    return true;
}

/* --- repair -------------------------------------------------------------------------------- */

static bool forget_lost(struct store *store, uint64_t *forgotten, struct buf *error) {
    redisReply *names = worker_names(store, error);
    if (!names)
        return false;
    bool ok = true;
    for (size_t at = 0; at < names->elements && ok; at += STORE_BATCH) {
        store_cmd_script(store, "expel");
        for (size_t i = at; i < names->elements && i < at + STORE_BATCH; i++)
            cmd_adds(&store->cmd, reply_slice(names->element[i]).data);
        redisReply *reply = store_run(store, error);
        ok = reply != NULL;
        *forgotten += reply_number(reply);
        if (reply)
            freeReplyObject(reply);
    }
    freeReplyObject(names);
    return ok;
}

static bool close_load(struct store *store, const char *load, struct buf *error) {
    for (uint64_t left = 1; left > 0;) {
        store_cmd_script(store, "close");
        cmd_adds(&store->cmd, load);
        redisReply *reply = store_run(store, error);
        if (!reply)
            return false;
        left = reply_number(reply);
        freeReplyObject(reply);
    }
    return true;
}

static bool close_silent_loads(struct store *store, uint64_t *closed, struct buf *error) {
    uint64_t now_ms;
    if (!store_time(store, &now_ms, error))
        return false;
    store_cmd(store, "ZRANGEBYSCORE");
    store_cmd_key(store, KEY_LOAD, NULL);
    cmd_adds(&store->cmd, "-inf");
    cmd_addu(&store->cmd, now_ms - LOAD_SILENT_MS);
    redisReply *loads = store_run(store, error);
    if (!loads)
        return false;
    bool ok = true;
    for (size_t i = 0; i < loads->elements && ok; i++) {
        ok = close_load(store, reply_slice(loads->element[i]).data, error);
        *closed += ok;
    }
    freeReplyObject(loads);
    return ok;
}

bool store_cleanup(struct store *store, struct cleanup_counts *counts, struct buf *error) {
    *counts = (struct cleanup_counts){0};
    if (!close_silent_loads(store, &counts->loads_closed, error))
        return false;
    int64_t due_ms = 0;
    for (int i = 0; i < MAINTAIN_CALLS && due_ms == 0; i++)
        if (!store_maintain_step(store, &due_ms, &counts->leases_ended, error))
            return false;
    return forget_lost(store, &counts->workers_forgotten, error);
}
