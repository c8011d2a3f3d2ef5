#include "common/objects.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/keys.h"
#include "common/objectcall.h"
#include "common/units.h"

#define PIECE_CHUNKS  4u /* that are read at a time */
#define REPLACED_MOST 10 /* times that a reader starts again */

bool object_name_valid(const char *name) {
    size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                              "_.-/:@+=%");
    return len > 0 && len <= OBJECT_NAME_MAX && !name[len];
}

bool object_check_name(const char *name, struct buf *error) {
    if (object_name_valid(name))
        return true;
    buf_adds(error, "an object's name is " OBJECT_NAME_FORM);
    return false;
}

/* --- reading ------------------------------------------------------------------------------------
 */

struct reading {
    struct objects *objects;
    const char *name;
    struct buf key;
    char version[17];
    uint64_t bytes; /* of the whole */
    uint64_t most;
    const struct object_sink *sink;
};

enum piece { PIECE_OK, PIECE_REPLACED, PIECE_FAILED };

static uint64_t chunk_bytes(uint64_t bytes, uint64_t chunk) {
    uint64_t left = bytes - chunk * OBJECT_CHUNK_BYTES;
    return left < OBJECT_CHUNK_BYTES ? left : OBJECT_CHUNK_BYTES;
}

static uint64_t chunks_of(uint64_t bytes) {
    return bytes / OBJECT_CHUNK_BYTES + (bytes % OBJECT_CHUNK_BYTES != 0);
}

/* HMGET KEY version size FROM ... : the chunks that are wanted next. */
static redisReply *ask_piece(const struct reading *r, uint64_t from, uint64_t end,
                             struct buf *error) {
    struct object_words words;
    char numbers[PIECE_CHUNKS][24];
    object_words(&words, "HMGET");
    object_word(&words, r->key.data, r->key.len);
    object_words_add(&words, "version");
    object_words_add(&words, "size");
    for (uint64_t i = from; i < end; i++) {
        snprintf(numbers[i - from], sizeof numbers[0], "%" PRIu64, i);
        object_words_add(&words, numbers[i - from]);
    }
    redisReply *reply = object_ask(r->objects, &words, error);
    if (reply && (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 + end - from)) {
        buf_addf(error, "object %s: an unexpected answer of Redis", r->name);
        freeReplyObject(reply);
        return NULL;
    }
    return reply;
}

static bool is_text(const redisReply *reply) {
    return reply->type == REDIS_REPLY_STRING;
}

static bool damaged(const struct reading *r, struct buf *error) {
    buf_addf(error, "object %s is damaged in Redis; write it again", r->name);
    return false;
}

static bool read_head(struct reading *r, const redisReply *reply, struct buf *error) {
    const redisReply *version = reply->element[0], *size = reply->element[1];
    const char *expected;
    if (!is_text(version)) {
        buf_addf(error,
                 "there is no object %s in this queue (redisManager listObjects shows those "
                 "there are)",
                 r->name);
        return false;
    }
    if (!is_text(size) || version->len >= sizeof r->version ||
        !units_parse_uint(size->str, size->len, 0, INT64_MAX, &r->bytes, &expected))
        return damaged(r, error);
    memcpy(r->version, version->str, version->len + 1);
    return r->sink->start(r->sink->arg, r->bytes, error);
}

static enum piece take_piece(const struct reading *r, const redisReply *reply, uint64_t from,
                             struct buf *error) {
    const redisReply *version = reply->element[0];
    if (!is_text(version)) {
        buf_addf(error, "object %s was removed while it was read", r->name);
        return PIECE_FAILED;
    }
    if (strcmp(version->str, r->version) != 0)
        return PIECE_REPLACED;
    for (size_t i = 2; i < reply->elements && from + i - 2 < chunks_of(r->bytes); i++) {
        const redisReply *chunk = reply->element[i];
        if (!is_text(chunk) || chunk->len != chunk_bytes(r->bytes, from + i - 2)) {
            damaged(r, error);
            return PIECE_FAILED;
        }
        if (!r->sink->add(r->sink->arg, chunk->str, chunk->len, error))
            return PIECE_FAILED;
    }
    return PIECE_OK;
}

static enum piece read_once(struct reading *r, struct buf *error) {
    uint64_t want = chunks_of(r->most);
    for (uint64_t from = 0; from == 0 || from < want; from += PIECE_CHUNKS) {
        uint64_t end = want - from < PIECE_CHUNKS ? want : from + PIECE_CHUNKS;
        redisReply *reply = ask_piece(r, from, end, error);
        if (!reply)
            return PIECE_FAILED;
        enum piece piece = PIECE_FAILED;
        if (from > 0 || read_head(r, reply, error))
            piece = take_piece(r, reply, from, error);
        freeReplyObject(reply);
        if (piece != PIECE_OK)
            return piece;
        if (from == 0 && chunks_of(r->bytes) < want)
            want = chunks_of(r->bytes);
    }
    return PIECE_OK;
}

bool object_read(struct objects *objects, const char *name, uint64_t most,
                 const struct object_sink *sink, uint64_t *bytes, struct buf *error) {
    struct reading r = {
        .objects = objects, .name = name, .key = BUF_INIT, .most = most, .sink = sink};
    if (!object_check_name(name, error))
        return false;
    key_add(&r.key, objects->queue_key, KEY_OBJECT, name);
    enum piece piece = PIECE_REPLACED;
    for (int i = 0; i < REPLACED_MOST && piece == PIECE_REPLACED; i++)
        piece = read_once(&r, error);
    if (piece == PIECE_REPLACED)
        buf_addf(error, "object %s was replaced %d times while it was read", name, REPLACED_MOST);
    *bytes = r.bytes;
    buf_free(&r.key);
    return piece == PIECE_OK;
}

/* --- all of them --------------------------------------------------------------------------------
 */

void object_list_free(struct object_list *list) {
    for (size_t i = 0; i < list->count; i++)
        free(list->list[i].name);
    free(list->list);
    *list = (struct object_list){NULL, 0, 0};
}

static void list_add(struct object_list *list, struct object_info info) {
    if (list->count == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 64;
        list->list = xrealloc(list->list, list->cap * sizeof *list->list);
    }
    list->list[list->count++] = info;
}

static uint64_t to_number(const redisReply *reply) {
    uint64_t number = 0;
    const char *expected;
    if (is_text(reply))
        units_parse_uint(reply->str, reply->len, 0, INT64_MAX, &number, &expected);
    return number;
}

/* Two questions for each key of a page go out together. */
static bool ask_about(struct objects *objects, const redisReply *keys, struct buf *error) {
    for (size_t i = 0; i < keys->elements; i++) {
        struct object_words words;
        object_words(&words, "HMGET");
        object_word(&words, keys->element[i]->str, keys->element[i]->len);
        object_words_add(&words, "size");
        object_words_add(&words, "written");
        if (!link_append(objects->link, words.count, words.argv, words.lens, error))
            return false;
        object_words(&words, "PTTL");
        object_word(&words, keys->element[i]->str, keys->element[i]->len);
        if (!link_append(objects->link, words.count, words.argv, words.lens, error))
            return false;
    }
    return true;
}

static bool take_answers(struct objects *objects, const redisReply *keys, size_t prefix,
                         struct object_list *list, struct buf *error) {
    for (size_t i = 0; i < keys->elements; i++) {
        const redisReply *key = keys->element[i];
        redisReply *fields = link_reply(objects->link, error);
        redisReply *ttl = fields ? link_reply(objects->link, error) : NULL;
        if (ttl && fields->type == REDIS_REPLY_ARRAY && fields->elements == 2 &&
            is_text(fields->element[0]) && key->len > prefix)
            list_add(list, (struct object_info){.name = xstrdup(key->str + prefix),
                                                .bytes = to_number(fields->element[0]),
                                                .written_ms = to_number(fields->element[1]),
                                                .ttl_ms = ttl->integer});
        bool ok = ttl != NULL;
        if (fields)
            freeReplyObject(fields);
        if (ttl)
            freeReplyObject(ttl);
        if (!ok)
            return false;
    }
    return true;
}

static int by_name(const void *left, const void *right) {
    const struct object_info *a = left, *b = right;
    return strcmp(a->name, b->name);
}

/* SCAN may name a key twice. */
static void sort_list(struct object_list *list) {
    size_t kept = 0;
    if (list->count)
        qsort(list->list, list->count, sizeof *list->list, by_name);
    for (size_t i = 0; i < list->count; i++) {
        if (kept && strcmp(list->list[kept - 1].name, list->list[i].name) == 0)
            free(list->list[i].name);
        else
            list->list[kept++] = list->list[i];
    }
    list->count = kept;
}

bool object_list_read(struct objects *objects, struct object_list *list, struct buf *error) {
    struct buf pattern = BUF_INIT, prefix = BUF_INIT;
    char cursor[24] = "0";
    bool ok;
    *list = (struct object_list){NULL, 0, 0};
    key_pattern(&pattern, objects->queue_key, queue_keys[KEY_OBJECT].suffix);
    key_add(&prefix, objects->queue_key, KEY_OBJECT, NULL);
    do {
        struct object_words words;
        object_words(&words, "SCAN");
        object_words_add(&words, cursor);
        object_words_add(&words, "MATCH");
        object_word(&words, pattern.data, pattern.len);
        object_words_add(&words, "COUNT");
        object_words_add(&words, "1000");
        redisReply *reply = object_ask(objects, &words, error);
        ok = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2;
        ok = ok && ask_about(objects, reply->element[1], error) &&
             take_answers(objects, reply->element[1], prefix.len, list, error);
        if (ok)
            snprintf(cursor, sizeof cursor, "%s", reply->element[0]->str);
        if (reply)
            freeReplyObject(reply);
    } while (ok && strcmp(cursor, "0") != 0);
    sort_list(list);
    buf_free(&pattern);
    buf_free(&prefix);
    return ok;
}

bool object_remove(struct objects *objects, const char *name, bool *there, struct buf *error) {
    struct object_words words;
    struct buf key = BUF_INIT;
    if (!object_check_name(name, error))
        return false;
    key_add(&key, objects->queue_key, KEY_OBJECT, name);
    object_words(&words, "UNLINK");
    object_word(&words, key.data, key.len);
    redisReply *reply = object_ask(objects, &words, error);
    *there = reply && reply->integer > 0;
    if (reply)
        freeReplyObject(reply);
    buf_free(&key);
    return reply != NULL;
}
