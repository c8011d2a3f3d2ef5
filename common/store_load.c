/*
 * store_load.c - loading tasks.
 *
 * DESIGN
 * Tasks are gathered into batches. A load that fits into one is a single call of load.lua, atomic
 * by itself. With the second batch the load begins: begin.lua gives its id, which becomes loaded_ms
 * of every record, so that the first batch, built with 0, is patched before it goes. Batches are
 * then pipelined, WINDOW of them in flight, and answers taken as they come. The script is loaded
 * before, so that no EVALSHA of the pipeline can meet a server that does not know it.
 */
#include <stdlib.h>
#include <string.h>

#include "common/refs.h"
#include "common/storecmd.h"

#define BATCH_BYTES      (256u * 1024u)
#define WINDOW           8u
#define ID_DIGITS        15 /* width of the load's id among the arguments */
#define LOADED_MS_OFFSET 27 /* of head.loaded_ms in a record */
#define WAIT_MS          5000

struct store_load {
    struct store *store;
    struct refs own_refs;
    struct refs *refs; /* own_refs, or those of a check */
    bool retry_failed;
    bool failed;
    uint64_t id; /* 0: not begun */
    struct cmd batch;
    size_t tasks; /* in batch */
    size_t in_flight;
    struct load_counts counts;
    struct buf record, lines;
};

/* The batch's argument `index` as it lies in memory. */
static char *argument(struct store_load *load, size_t index, size_t *len) {
    size_t start = index ? load->batch.ends[index - 1] : 0;
    *len = load->batch.ends[index] - start;
    return load->batch.bytes.data + start;
}

#define ARG_ID    4 /* EVALSHA sha 1 key ID retry, then id record refs */
#define ARG_FIRST 6

static void write_id(uint64_t id, char digits[ID_DIGITS]) {
    for (size_t i = ID_DIGITS; i > 0; id /= 10)
        digits[--i] = (char)('0' + id % 10);
}

static void batch_start(struct store_load *load) {
    char id[ID_DIGITS];
    write_id(load->id, id);
    cmd_script(&load->batch, "load", load->store->queue_key);
    cmd_add(&load->batch, id, sizeof id);
    cmd_adds(&load->batch, load->retry_failed ? "1" : "0");
    load->tasks = 0;
}

/* Gives the batch, built while the load had no id, the one it has now. */
static void batch_patch(struct store_load *load) {
    size_t len;
    write_id(load->id, argument(load, ARG_ID, &len));
    for (size_t i = 0; i < load->tasks; i++) {
        char *loaded = argument(load, ARG_FIRST + 3 * i + 1, &len) + LOADED_MS_OFFSET;
        for (int byte = 0; byte < 6; byte++)
            loaded[byte] = (char)(unsigned char)(load->id >> (40 - 8 * byte));
    }
}

static bool take_answer(struct store_load *load, const redisReply *reply, struct buf *error) {
    uint64_t *const fields[] = {&load->counts.new_tasks, &load->counts.known,
                                &load->counts.updated,   &load->counts.duplicate,
                                &load->counts.failed,    &load->counts.retried};
    if (!reply_at(reply, 5)) {
        store_malformed(load->store, "load", error);
        return false;
    }
    for (size_t i = 0; i < 6; i++)
        *fields[i] += reply_number(reply_at(reply, i));
    return true;
}

static bool take_reply(struct store_load *load, struct buf *error) {
    redisReply *reply = store_reply(load->store, error);
    load->in_flight--;
    bool ok = reply && take_answer(load, reply, error);
    if (reply)
        freeReplyObject(reply);
    return ok;
}

/* Sends what is queued, and takes the answers that are there already. */
static bool take_ready(struct store_load *load, struct buf *error) {
    while (load->in_flight > 0) {
        redisReply *reply;
        if (!link_poll(load->store->link, 0, &reply, error))
            return false;
        if (!reply)
            return true;
        load->in_flight--;
        bool ok = reply->type != REDIS_REPLY_ERROR;
        if (ok)
            ok = take_answer(load, reply, error);
        else
            link_explain(link_endpoint(load->store->link), link_fault_reply(reply->str), reply->str,
                         error);
        freeReplyObject(reply);
        if (!ok)
            return false;
    }
    return true;
}

static bool take_all(void *arg, struct buf *error) {
    struct store_load *load = arg;
    while (load->in_flight > 0)
        if (!take_reply(load, error))
            return false;
    return true;
}

static bool begin(struct store_load *load, struct buf *error) {
    struct store *store = load->store;
    if (!link_load(store->link, load->batch.script, error))
        return false;
    store_cmd_script(store, "begin");
    redisReply *reply = store_run(store, error);
    if (!reply)
        return false;
    load->id = reply_number(reply);
    freeReplyObject(reply);
    if (!load->id) {
        store_malformed(store, "begin", error);
        return false;
    }
    batch_patch(load);
    return true;
}

static bool batch_send(struct store_load *load, struct buf *error) {
    while (load->in_flight >= WINDOW)
        if (!take_reply(load, error))
            return false;
    struct cmd *c = &load->batch;
    cmd_argv(c);
    if (!link_append(load->store->link, c->count, c->argv, c->lens, error))
        return false;
    load->in_flight++;
    return take_ready(load, error);
}

struct store_load *store_load_begin(struct store *store, bool retry_failed, struct buf *error) {
    (void)error; /* nothing is sent before it has to be */
    struct store_load *load = xcalloc(1, sizeof *load);
    load->store = store;
    load->retry_failed = retry_failed;
    load->batch = (struct cmd)CMD_INIT;
    load->record = load->lines = (struct buf)BUF_INIT;
    refs_init(&load->own_refs, store);
    load->own_refs.before_ask = take_all;
    load->own_refs.before_ask_arg = load;
    load->refs = &load->own_refs;
    batch_start(load);
    return load;
}

void store_load_use_refs(struct store_load *load, struct refs *refs) {
    load->refs = refs;
}

static bool batch_add(struct store_load *load, const struct task *task, struct buf *error) {
    task_id_t id;
    buf_clear(&load->lines);
    if (refs_resolve(load->refs, task, &load->lines, error) != REFS_OK)
        return false;
    refs_define(load->refs, task);
    task_id(task, id);
    buf_clear(&load->record);
    task_record(task, TASK_TODO, load->id, &load->record);
    size_t added = load->record.len + load->lines.len;
    if (load->tasks > 0 &&
        (load->tasks == STORE_BATCH || load->batch.bytes.len + added > BATCH_BYTES)) {
        bool begun = load->id != 0;
        if (!begun && !begin(load, error))
            return false;
        if (!batch_send(load, error))
            return false;
        batch_start(load);
        if (!begun) { /* this record was made without the id */
            buf_clear(&load->record);
            task_record(task, TASK_TODO, load->id, &load->record);
        }
    }
    cmd_add(&load->batch, id, TASK_ID_LEN);
    cmd_add(&load->batch, load->record.data, load->record.len);
    cmd_add(&load->batch, load->lines.data, load->lines.len);
    load->tasks++;
    return true;
}

bool store_load_add(struct store_load *load, const struct task *task, struct buf *error) {
    if (load->failed) {
        buf_adds(error, "the load has failed before");
        return false;
    }
    load->failed = !batch_add(load, task, error);
    return !load->failed;
}

struct load_counts store_load_counts(const struct store_load *load) {
    return load->counts;
}

void store_load_abandon(struct store_load *load) {
    store_skip_replies(load->store, load->in_flight);
    refs_free(&load->own_refs);
    cmd_free(&load->batch);
    buf_free(&load->record);
    buf_free(&load->lines);
    free(load);
}

/* A load of one batch: one call, that needs no id and leaves no name open. */
static bool send_single(struct store_load *load, struct buf *error) {
    struct store *store = load->store;
    struct cmd scratch = store->cmd;
    store->cmd = load->batch;
    redisReply *reply = store_run(store, error);
    load->batch = store->cmd;
    store->cmd = scratch;
    bool ok = reply && take_answer(load, reply, error);
    if (reply)
        freeReplyObject(reply);
    return ok;
}

static bool close_names(struct store_load *load, struct buf *error) {
    for (;;) {
        store_cmd_script(load->store, "close");
        cmd_addu(&load->store->cmd, load->id);
        redisReply *reply = store_run(load->store, error);
        if (!reply)
            return false;
        uint64_t left = reply_number(reply);
        freeReplyObject(reply);
        if (!left)
            return true;
    }
}

/* WAIT speaks of what this connection has written. A load that found all of it there wrote nothing,
 * and Redis since 7.2 then answers at once, whatever the replicas have; so something is written: a
 * message to nobody, which replicas get as well, and with it all that came before. */
static bool write_something(struct store *store, struct buf *error) {
    struct buf channel = BUF_INIT;
    buf_addf(&channel, "%s:" CHANNEL_WAKE, store->queue_key);
    store_cmd(store, "PUBLISH");
    cmd_add(&store->cmd, channel.data, channel.len);
    cmd_adds(&store->cmd, "");
    buf_free(&channel);
    redisReply *reply = store_run(store, error);
    bool ok = reply != NULL;
    if (reply)
        freeReplyObject(reply);
    return ok;
}

static bool wait_replicas(struct store *store, struct buf *error) {
    if (!store->wait_replicas)
        return true;
    if (!write_something(store, error))
        return false;
    store_cmd(store, "WAIT");
    cmd_addu(&store->cmd, store->wait_replicas);
    cmd_addu(&store->cmd, WAIT_MS);
    redisReply *reply = store_run(store, error);
    if (!reply)
        return false;
    uint64_t have = reply_number(reply);
    freeReplyObject(reply);
    if (have >= store->wait_replicas)
        return true;
    buf_addf(error,
             "the load is in Redis, but only %llu of %u replicas have it after %d s: look at them, "
             "or lower wait_replicas",
             (unsigned long long)have, store->wait_replicas, WAIT_MS / 1000);
    return false;
}

static bool finish(struct store_load *load, struct buf *error) {
    if (load->failed) {
        buf_adds(error, "the load has failed before");
        return false;
    }
    if (!load->id) {
        if (load->tasks > 0 && !send_single(load, error))
            return false;
    } else if ((load->tasks > 0 && !batch_send(load, error)) || !take_all(load, error) ||
               !close_names(load, error)) {
        return false;
    }
    return wait_replicas(load->store, error);
}

bool store_load_end(struct store_load *load, struct load_counts *counts, struct buf *error) {
    bool ok = finish(load, error);
    *counts = load->counts;
    store_load_abandon(load);
    return ok;
}
