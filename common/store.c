#include "common/store.h"

#include <stdlib.h>
#include <string.h>

#include "common/claimops.h"
#include "common/endpoint.h"
#include "common/serverinfo.h"
#include "common/storecmd.h"

#define DAY_MS UINT64_C(86400000)

bool store_open(struct store *store, const struct config *config, struct buf *error) {
    *store = (struct store){.cmd = CMD_INIT};
    struct endpoint endpoint;
    if (endpoint_from_config(&endpoint, config, error))
        store->link = link_open(&endpoint, error);
    endpoint_free(&endpoint);
    if (!store->link)
        return false;
    struct buf key = BUF_INIT;
    key_queue(&key, config->queue);
    store->queue = xstrdup(config->queue);
    store->queue_key = buf_detach(&key);
    store->max_losses = (uint32_t)config->max_losses;
    store->keep_finished = (uint64_t)config->keep_finished;
    store->keep_finished_ms = (uint64_t)config->keep_finished_days * DAY_MS;
    store->keep_output_bytes = config->keep_output_bytes;
    store->wait_replicas = (uint32_t)config->wait_replicas;
    return true;
}

void store_close(struct store *store) {
    link_close(store->link);
    free(store->queue);
    free(store->queue_key);
    cmd_free(&store->cmd);
    *store = (struct store){.cmd = CMD_INIT};
}

/* --- sending and reading --------------------------------------------------------------------- */

redisReply *store_run(struct store *store, struct buf *error) {
    const struct cmd *c = &store->cmd;
    cmd_argv(&store->cmd);
    if (c->script) /* EVALSHA SHA1 1 KEY ...: link_script writes the first three itself */
        return link_script(store->link, c->script, 1, c->count - 3, c->argv + 3, c->lens + 3,
                           error);
    return link_run(store->link, c->count, c->argv, c->lens, error);
}

bool store_send(struct store *store, struct buf *error) {
    cmd_argv(&store->cmd);
    return link_append(store->link, store->cmd.count, store->cmd.argv, store->cmd.lens, error);
}

redisReply *store_reply(struct store *store, struct buf *error) {
    return link_reply(store->link, error);
}

void store_cmd(struct store *store, const char *verb) {
    cmd_clear(&store->cmd);
    cmd_adds(&store->cmd, verb);
}

void store_cmd_key(struct store *store, enum queue_key key, const char *name) {
    struct buf text = BUF_INIT;
    key_add(&text, store->queue_key, key, name);
    cmd_add(&store->cmd, text.data, text.len);
    buf_free(&text);
}

void store_cmd_script(struct store *store, const char *script) {
    cmd_script(&store->cmd, script, store->queue_key);
}

void store_skip_replies(struct store *store, size_t count) {
    struct buf ignored = BUF_INIT;
    for (size_t i = 0; i < count && !link_broken(store->link); i++) {
        redisReply *reply = store_reply(store, &ignored);
        if (reply)
            freeReplyObject(reply);
    }
    buf_free(&ignored);
}

bool store_replies(struct store *store, redisReply **replies, size_t count, struct buf *error) {
    for (size_t i = 0; i < count; i++) {
        replies[i] = store_reply(store, error);
        if (replies[i])
            continue;
        store_skip_replies(store, count - i - 1);
        while (i > 0) {
            freeReplyObject(replies[--i]);
            replies[i] = NULL;
        }
        return false;
    }
    return true;
}

void store_malformed(struct store *store, const char *what, struct buf *error) {
    struct buf detail = BUF_INIT;
    buf_addf(&detail, "an unexpected answer to %s", what);
    link_explain(link_endpoint(store->link), LINK_REPLY, detail.data, error);
    buf_free(&detail);
}

const redisReply *reply_at(const redisReply *reply, size_t i) {
    if (!reply || reply->type != REDIS_REPLY_ARRAY || i >= reply->elements)
        return NULL;
    return reply->element[i];
}

struct slice reply_slice(const redisReply *reply) {
    if (!reply || (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_STATUS))
        return (struct slice){"", 0};
    return (struct slice){reply->str, (size_t)reply->len};
}

uint64_t reply_number(const redisReply *reply) {
    if (reply && reply->type == REDIS_REPLY_INTEGER)
        return reply->integer > 0 ? (uint64_t)reply->integer : 0;
    struct slice text = reply_slice(reply);
    uint64_t number = 0;
    for (size_t i = 0; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++)
        number = number * 10 + (uint64_t)(text.data[i] - '0');
    return number;
}

bool reply_id(const redisReply *reply, task_id_t id) {
    struct slice text = reply_slice(reply);
    if (text.len < TASK_ID_LEN || !task_id_valid(text.data, TASK_ID_LEN))
        return false;
    memcpy(id, text.data, TASK_ID_LEN);
    id[TASK_ID_LEN] = '\0';
    return true;
}

uint64_t reply_time_ms(const redisReply *reply) {
    return reply_number(reply_at(reply, 0)) * 1000 + reply_number(reply_at(reply, 1)) / 1000;
}

bool store_time(struct store *store, uint64_t *now_ms, struct buf *error) {
    store_cmd(store, "TIME");
    redisReply *reply = store_run(store, error);
    if (!reply)
        return false;
    *now_ms = reply_time_ms(reply);
    freeReplyObject(reply);
    return true;
}

/* --- the queue as a whole ----------------------------------------------------------------- */

static uint64_t *counter_find(struct store_counts *counts, struct slice field) {
    const struct {
        const char *name;
        uint64_t *value;
    } others[] = {{"stale", &counts->stale},
                  {"losses", &counts->losses},
                  {"discarded", &counts->discarded},
                  {"output_bytes", &counts->output_bytes}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strlen(others[i].name) == field.len && !memcmp(others[i].name, field.data, field.len))
            return others[i].value;
    enum task_state state;
    return task_state_parse(field.data, &state) ? &counts->state[state] : NULL;
}

bool store_counts(struct store *store, struct store_counts *counts, struct buf *error) {
    static const struct {
        const char *verb;
        enum queue_key key;
    } asked[] = {{"HGETALL", KEY_COUNT}, {"ZCARD", KEY_LEASE}, {"ZCARD", KEY_LOAD}};
    *counts = (struct store_counts){0};
    for (size_t i = 0; i < 3; i++) {
        store_cmd(store, asked[i].verb);
        store_cmd_key(store, asked[i].key, NULL);
        if (!store_send(store, error))
            return false;
    }
    redisReply *replies[3];
    if (!store_replies(store, replies, 3, error))
        return false;
    for (size_t i = 0; i + 1 < replies[0]->elements; i += 2) {
        uint64_t *value = counter_find(counts, reply_slice(reply_at(replies[0], i)));
        if (value)
            *value = reply_number(reply_at(replies[0], i + 1));
    }
    counts->live_workers = reply_number(replies[1]);
    counts->loads_open = reply_number(replies[2]);
    for (size_t i = 0; i < 3; i++)
        freeReplyObject(replies[i]);
    return true;
}

/* Keys named after references, loads and objects: no script can list them without a scan. */
static bool is_leftover(const struct store *store, struct slice key) {
    size_t prefix = strlen(store->queue_key);
    if (key.len <= prefix || memcmp(key.data, store->queue_key, prefix) != 0 ||
        key.data[prefix] != ':')
        return false;
    const char *rest = key.data + prefix + 1;
    static const enum queue_key kinds[] = {KEY_DEPENDANTS, KEY_OPEN, KEY_OBJECT, KEY_OBJECT_PART};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const char *suffix = queue_keys[kinds[i]].suffix;
        if (strncmp(rest, suffix, strlen(suffix)) == 0)
            return true;
    }
    return false;
}

static bool unlink_leftovers(struct store *store, const redisReply *keys, struct buf *error) {
    size_t count = 0;
    store_cmd(store, "UNLINK");
    for (size_t i = 0; keys && i < keys->elements; i++) {
        struct slice key = reply_slice(reply_at(keys, i));
        if (!is_leftover(store, key))
            continue;
        cmd_add(&store->cmd, key.data, key.len);
        count++;
    }
    if (!count)
        return true;
    redisReply *reply = store_run(store, error);
    if (reply)
        freeReplyObject(reply);
    return reply != NULL;
}

static bool scan_leftovers(struct store *store, struct buf *error) {
    struct buf pattern = BUF_INIT;
    key_pattern(&pattern, store->queue_key, "");
    char cursor[24] = "0";
    bool ok = true;
    do {
        store_cmd(store, "SCAN");
        cmd_adds(&store->cmd, cursor);
        cmd_adds(&store->cmd, "MATCH");
        cmd_add(&store->cmd, pattern.data, pattern.len);
        cmd_adds(&store->cmd, "COUNT");
        cmd_adds(&store->cmd, "1000");
        redisReply *reply = store_run(store, error);
        ok = reply && unlink_leftovers(store, reply_at(reply, 1), error);
        if (ok)
            snprintf(cursor, sizeof cursor, "%s", reply_slice(reply_at(reply, 0)).data);
        if (reply)
            freeReplyObject(reply);
    } while (ok && strcmp(cursor, "0") != 0);
    buf_free(&pattern);
    return ok;
}

bool store_init(struct store *store, bool force, uint64_t *removed, uint64_t *running,
                struct buf *error) {
    *removed = *running = 0;
    store_cmd_script(store, "init");
    cmd_adds(&store->cmd, force ? "1" : "0");
    redisReply *reply = store_run(store, error);
    if (!reply)
        return false;
    bool refused = strcmp(reply_slice(reply_at(reply, 0)).data, "running") == 0;
    *(refused ? running : removed) = reply_number(reply_at(reply, 1));
    freeReplyObject(reply);
    return refused || scan_leftovers(store, error);
}

/* keep_output_bytes = 0 is a share of a memory that only Redis knows; asked once. */
static bool find_output_share(struct store *store, struct buf *error) {
    store_cmd(store, "INFO");
    cmd_adds(&store->cmd, "memory");
    redisReply *reply = store_run(store, error);
    if (!reply)
        return false;
    struct slice text = reply_slice(reply);
    store->keep_output_bytes = serverinfo_output_share(text.data, text.len);
    freeReplyObject(reply);
    return true;
}

bool store_maintain_step(struct store *store, int64_t *due_ms, uint64_t *lost, struct buf *error) {
    if (!store->keep_output_bytes && !find_output_share(store, error))
        return false;
    maintain_build(&store->cmd, store->queue_key, store->max_losses, store->keep_finished,
                   store->keep_finished_ms, store->keep_output_bytes);
    redisReply *reply = store_run(store, error);
    if (!reply)
        return false;
    int64_t now_lost = 0;
    bool ok = maintain_read(reply, due_ms, &now_lost);
    freeReplyObject(reply);
    if (!ok)
        store_malformed(store, "maintain", error);
    *lost += (uint64_t)now_lost;
    return ok;
}

bool store_maintain(struct store *store, int64_t *due_ms, struct buf *error) {
    uint64_t lost = 0;
    return store_maintain_step(store, due_ms, &lost, error);
}
