#include "manager/use.h"

#include <stdlib.h>
#include <string.h>

#include "common/keys.h"
#include "common/units.h"
#include "manager/view.h"

static uint64_t number_at(const json_t *row, size_t i) {
    json_int_t number = json_integer_value(json_array_get(row, i));
    return number > 0 ? (uint64_t)number : 0;
}

bool use_read(const json_t *stats, const char *id, struct use *use) {
    const json_t *rows = json_object_get(stats, "use");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *row_id = json_string_value(json_array_get(row, 0));
        if (!row_id || strcmp(row_id, id) != 0)
            continue;
        *use = (struct use){number_at(row, 1), number_at(row, 2), number_at(row, 3),
                            number_at(row, 4), number_at(row, 5)};
        return true;
    }
    return false;
}

/* The first place where this worker is named. */
static size_t first_of(const char *const *workers, size_t i) {
    size_t first = 0;
    while (strcmp(workers[first], workers[i]) != 0)
        first++;
    return first;
}

static bool send_stats(struct store *store, const char *worker, struct buf *error) {
    struct buf key = BUF_INIT;
    key_add(&key, store->queue_key, KEY_WORKER, worker);
    cmd_clear(&store->cmd);
    cmd_adds(&store->cmd, "HGET");
    cmd_add(&store->cmd, key.data, key.len);
    cmd_adds(&store->cmd, "stats");
    buf_free(&key);
    return store_send(store, error);
}

bool use_find(struct store *store, const char *const *ids, const char *const *workers, size_t count,
              struct use *uses, bool *known, struct buf *error) {
    size_t *first = xcalloc(count + 1, sizeof *first);
    json_t **stats = xcalloc(count + 1, sizeof *stats);
    bool ok = true;
    for (size_t i = 0; i < count; i++) {
        first[i] = first_of(workers, i);
        if (ok && first[i] == i)
            ok = send_stats(store, workers[i], error);
    }
    for (size_t i = 0; ok && i < count; i++) {
        if (first[i] != i)
            continue;
        redisReply *reply = store_reply(store, error);
        ok = reply != NULL;
        if (ok && reply->type == REDIS_REPLY_STRING)
            stats[i] = json_loadb(reply->str, (size_t)reply->len, 0, NULL);
        if (reply)
            freeReplyObject(reply);
    }
    for (size_t i = 0; i < count; i++)
        known[i] = ok && use_read(stats[first[i]], ids[i], &uses[i]);
    for (size_t i = 0; i < count; i++)
        json_decref(stats[i]);
    free(stats);
    free(first);
    return ok;
}

json_t *use_json(const struct use *use) {
    return json_pack("{s:I, s:I, s:f, s:I, s:I}", "memory_bytes", (json_int_t)use->mem_bytes,
                     "peak_bytes", (json_int_t)use->peak_bytes, "cpu_s", (double)use->cpu_us / 1e6,
                     "read_bytes", (json_int_t)use->read_bytes, "write_bytes",
                     (json_int_t)use->write_bytes);
}

void use_add(struct buf *out, const struct use *use) {
    units_add_bytes(out, use->mem_bytes);
    buf_adds(out, " of memory, ");
    units_add_bytes(out, use->peak_bytes);
    buf_adds(out, " at most; ");
    view_add_wall(out, use->cpu_us);
    buf_adds(out, " of CPU; read ");
    units_add_bytes(out, use->read_bytes);
    buf_adds(out, ", wrote ");
    units_add_bytes(out, use->write_bytes);
}
