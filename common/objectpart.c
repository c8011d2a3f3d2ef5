/* objectpart.c - writing objects: pieces under a key of their own, then the name. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/keys.h"
#include "common/objectcall.h"
#include "common/units.h"

#define HEAD_FIELDS 3u /* version, size, written */

bool object_begin(struct objects *objects, const char *name, struct object_part *part,
                  struct buf *error) {
    uint64_t nonce;
    struct buf key = BUF_INIT, full = BUF_INIT;
    *part = (struct object_part){.rest = BUF_INIT};
    if (!object_check_name(name, error))
        return false;
    if (getrandom(&nonce, sizeof nonce, 0) != (ssize_t)sizeof nonce) {
        buf_adds(error, "the system gives no random numbers");
        return false;
    }
    snprintf(part->version, sizeof part->version, "%016" PRIx64, nonce);
    buf_addf(&full, "%s.%s", name, part->version);
    key_add(&key, objects->queue_key, KEY_OBJECT_PART, full.data);
    buf_free(&full);
    part->name = xstrdup(name);
    part->key = buf_detach(&key);
    return true;
}

static bool check(redisReply *reply) {
    if (reply)
        freeReplyObject(reply);
    return reply != NULL;
}

#define PART_MS              OBJECT_TEXT(OBJECT_PART_MS)
#define OBJECT_TEXT(number)  OBJECT_TEXT_(number)
#define OBJECT_TEXT_(number) #number

/* Sets fields, and how long the key lives when its writer does not: together, so that no death
 * leaves a key that stays. */
static bool put(struct objects *objects, const struct object_part *part,
                struct object_words words[2], struct buf *error) {
    object_words(&words[1], "PEXPIRE");
    object_words_add(&words[1], part->key);
    object_words_add(&words[1], PART_MS);
    return check(object_ask_all(objects, words, 2, error));
}

static bool put_chunk(struct objects *objects, struct object_part *part, const void *bytes,
                      size_t len, struct buf *error) {
    struct object_words words[2];
    char number[24];
    snprintf(number, sizeof number, "%" PRIu64, part->chunks);
    object_words(&words[0], "HSET");
    object_words_add(&words[0], part->key);
    object_words_add(&words[0], number);
    object_word(&words[0], bytes, len);
    if (!put(objects, part, words, error))
        return false;
    part->chunks++;
    return true;
}

static bool too_large(const struct objects *objects, const struct object_part *part,
                      struct buf *error) {
    buf_addf(error, "object %s would be larger than ", part->name);
    units_add_bytes(error, objects->max_bytes);
    buf_adds(error, " (object_max); write a file, or raise it");
    return false;
}

bool object_add(struct objects *objects, struct object_part *part, const void *bytes, size_t len,
                struct buf *error) {
    const char *at = bytes;
    if (len > objects->max_bytes || part->bytes > objects->max_bytes - len)
        return too_large(objects, part, error);
    part->bytes += len;
    while (len) {
        size_t room = OBJECT_CHUNK_BYTES - part->rest.len;
        size_t take = len < room ? len : room;
        bool whole = take == OBJECT_CHUNK_BYTES; /* need not be copied */
        if (!whole)
            buf_add(&part->rest, at, take);
        if (whole || part->rest.len == OBJECT_CHUNK_BYTES) {
            if (!put_chunk(objects, part, whole ? at : part->rest.data, OBJECT_CHUNK_BYTES, error))
                return false;
            buf_clear(&part->rest);
        }
        at += take;
        len -= take;
    }
    return true;
}

static bool redis_time(struct objects *objects, uint64_t *ms, struct buf *error) {
    struct object_words words;
    object_words(&words, "TIME");
    redisReply *reply = object_ask(objects, &words, error);
    if (!reply)
        return false;
    *ms = link_reply_time(reply);
    freeReplyObject(reply);
    return true;
}

bool object_complete(struct objects *objects, struct object_part *part, struct buf *error) {
    struct object_words words[2];
    char size[24], written[24];
    uint64_t now_ms;
    if (part->rest.len && !put_chunk(objects, part, part->rest.data, part->rest.len, error))
        return false;
    buf_clear(&part->rest);
    if (!redis_time(objects, &now_ms, error))
        return false;
    snprintf(size, sizeof size, "%" PRIu64, part->bytes);
    snprintf(written, sizeof written, "%" PRIu64, now_ms);
    object_words(&words[0], "HSET");
    object_words_add(&words[0], part->key);
    object_words_add(&words[0], "version");
    object_words_add(&words[0], part->version);
    object_words_add(&words[0], "size");
    object_words_add(&words[0], size);
    object_words_add(&words[0], "written");
    object_words_add(&words[0], written);
    part->complete = put(objects, part, words, error);
    return part->complete;
}

/* --- names --------------------------------------------------------------------------------------
 */

enum outcome {
    DONE,
    LOST,  /* pieces are missing; nothing was done */
    FAILED /* what object_exec says */
};

/* Watches the pieces, and looks whether all of them are in Redis: a restart, a failover, initRedis
 * or OBJECT_PART_MS may have taken some. */
static enum outcome watch(struct objects *objects, const struct object_part *part,
                          enum link_fault *fault, struct buf *error) {
    struct object_words words;
    struct link *link = objects->link;
    object_words(&words, "WATCH");
    object_words_add(&words, part->key);
    bool ok = check(link_run(link, words.count, words.argv, words.lens, error));
    object_words(&words, "HLEN");
    object_words_add(&words, part->key);
    redisReply *reply = ok ? link_run(link, words.count, words.argv, words.lens, error) : NULL;
    if (!reply) {
        *fault = link_fault(link);
        return FAILED;
    }
    bool whole = (uint64_t)reply->integer == part->chunks + HEAD_FIELDS;
    freeReplyObject(reply);
    return whole ? DONE : LOST;
}

/* RENAME alone would free the old object, perhaps a large one, while everybody waits. */
static void name_commands(struct object_words words[3], const struct object_part *part,
                          const char *key, const char *ttl) {
    object_words(&words[0], "UNLINK");
    object_words_add(&words[0], key);
    object_words(&words[1], "RENAME");
    object_words_add(&words[1], part->key);
    object_words_add(&words[1], key);
    object_words(&words[2], "PEXPIRE");
    object_words_add(&words[2], key);
    object_words_add(&words[2], ttl);
}

static enum outcome exec_names(struct objects *objects, const struct object_part *parts,
                               size_t count, enum link_fault *fault, struct buf *error) {
    struct object_words *words = xcalloc(3 * count, sizeof *words);
    struct buf *keys = xcalloc(count, sizeof *keys);
    char ttl[24];
    snprintf(ttl, sizeof ttl, "%" PRId64, objects->ttl_ms);
    for (size_t i = 0; i < count; i++) {
        keys[i] = (struct buf)BUF_INIT;
        key_add(&keys[i], objects->queue_key, KEY_OBJECT, parts[i].name);
        name_commands(words + 3 * i, &parts[i], keys[i].data, ttl);
    }
    redisReply *reply = object_exec(objects, words, 3 * count, fault, error);
    enum outcome outcome = !reply ? FAILED : reply->type == REDIS_REPLY_ARRAY ? DONE : LOST;
    check(reply);
    for (size_t i = 0; i < count; i++)
        buf_free(&keys[i]);
    free(keys);
    free(words);
    return outcome;
}

static enum outcome transact(struct objects *objects, const struct object_part *parts, size_t count,
                             enum link_fault *fault, struct buf *error) {
    enum outcome outcome = DONE;
    if (link_broken(objects->link) && !link_reopen(objects->link, error)) {
        *fault = link_fault(objects->link);
        return FAILED;
    }
    for (size_t i = 0; i < count && outcome == DONE; i++)
        outcome = watch(objects, &parts[i], fault, error);
    if (outcome == DONE)
        return exec_names(objects, parts, count, fault, error);
    struct object_words words;
    struct buf ignored = BUF_INIT;
    object_words(&words, "UNWATCH");
    if (!link_broken(objects->link))
        check(link_run(objects->link, words.count, words.argv, words.lens, &ignored));
    buf_free(&ignored);
    return outcome;
}

/* After EXEC's answer was lost: a name that leads to this version tells that all was done. */
static bool is_published(struct objects *objects, const struct object_part *part, bool *published,
                         struct buf *error) {
    struct object_words words;
    struct buf key = BUF_INIT;
    key_add(&key, objects->queue_key, KEY_OBJECT, part->name);
    object_words(&words, "HGET");
    object_words_add(&words, key.data);
    object_words_add(&words, "version");
    redisReply *reply = object_ask(objects, &words, error);
    *published =
        reply && reply->type == REDIS_REPLY_STRING && strcmp(reply->str, part->version) == 0;
    buf_free(&key);
    return check(reply);
}

/* Any of them will do: others may have replaced one since. */
static bool any_published(struct objects *objects, const struct object_part *parts, size_t count,
                          bool *published, struct buf *error) {
    for (size_t i = 0; i < count && !*published; i++)
        if (!is_published(objects, &parts[i], published, error))
            return false;
    return true;
}

static void explain_lost(const struct object_part *part, bool unsure, struct buf *error) {
    if (unsure)
        buf_addf(error,
                 "object %s: Redis was lost at the moment it was to get its name, and whether it "
                 "did is not known; write it again",
                 part->name);
    else
        buf_addf(error,
                 "object %s: pieces of it were lost in Redis before it was complete (a restart, "
                 "initRedis or too long a pause); write it again",
                 part->name);
}

bool objects_publish(struct objects *objects, struct object_part *parts, size_t count,
                     struct buf *error) {
    struct buf why = BUF_INIT;
    enum outcome outcome = FAILED;
    enum link_fault fault = LINK_NONE;
    unsigned tried = 0;
    bool published = count == 0, ok = true;
    while (ok && !published) {
        buf_clear(&why);
        outcome = transact(objects, parts, count, &fault, &why);
        published = outcome == DONE;
        if (outcome != FAILED || !object_again(objects, fault, &tried))
            break;
        ok = any_published(objects, parts, count, &published, error);
    }
    if (ok && !published && outcome == FAILED)
        buf_add(error, why.data, why.len);
    if (ok && !published && outcome == LOST)
        explain_lost(&parts[0], tried > 0, error);
    for (size_t i = 0; i < count && published; i++)
        parts[i].published = true;
    buf_free(&why);
    return published;
}

void object_end(struct objects *objects, struct object_part *part) {
    bool there = part->key && !part->published && (part->chunks || part->complete);
    if (there && !link_broken(objects->link)) {
        struct object_words words;
        struct buf ignored = BUF_INIT;
        object_words(&words, "UNLINK");
        object_words_add(&words, part->key);
        check(link_run(objects->link, words.count, words.argv, words.lens, &ignored));
        buf_free(&ignored);
    }
    free(part->name);
    free(part->key);
    buf_free(&part->rest);
    *part = (struct object_part){.rest = BUF_INIT};
}
