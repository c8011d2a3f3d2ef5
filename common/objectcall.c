#include "common/objectcall.h"

#include <poll.h>
#include <string.h>

#include "common/clock.h"

enum { TRIES = 5, BACKOFF_MS = 200, LOOK_MS = 50 };

void object_words(struct object_words *words, const char *verb) {
    words->count = 0;
    object_words_add(words, verb);
}

void object_words_add(struct object_words *words, const char *word) {
    object_word(words, word, strlen(word));
}

void object_word(struct object_words *words, const void *bytes, size_t len) {
    words->argv[words->count] = bytes;
    words->lens[words->count++] = len;
}

static bool is_cancelled(const struct objects *objects) {
    return objects->cancelled && objects->cancelled(objects->arg);
}

bool object_again(struct objects *objects, enum link_fault fault, unsigned *tried) {
    if (++*tried >= TRIES || !link_fault_passes(fault))
        return false;
    mono_ms_t end = mono_after(mono_now(), (int64_t)BACKOFF_MS << (*tried - 1));
    while (mono_diff(end, mono_now()) > 0 && !is_cancelled(objects))
        poll(NULL, 0, LOOK_MS);
    return !is_cancelled(objects);
}

/* Answers of `count` commands; the last one, or NULL with the first error. */
static redisReply *take_last(struct link *link, size_t count, enum link_fault *fault,
                             struct buf *error) {
    redisReply *reply = NULL;
    struct buf why = BUF_INIT;
    bool failed = false;
    for (size_t i = 0; i < count && !link_broken(link); i++) {
        if (reply)
            freeReplyObject(reply);
        buf_clear(&why);
        reply = link_reply(link, &why);
        if (!reply && !failed) {
            failed = true;
            *fault = link_fault(link);
            buf_add(error, why.data, why.len);
        }
    }
    if (reply && failed) {
        freeReplyObject(reply);
        reply = NULL;
    }
    buf_free(&why);
    return reply;
}

redisReply *object_exec(struct objects *objects, const struct object_words *words, size_t count,
                        enum link_fault *fault, struct buf *error) {
    struct link *link = objects->link;
    struct object_words multi, exec;
    object_words(&multi, "MULTI");
    object_words(&exec, "EXEC");
    bool sent = true;
    for (size_t i = 0; i < count + 2 && sent; i++) {
        const struct object_words *w = i == 0 ? &multi : i <= count ? &words[i - 1] : &exec;
        sent = link_append(link, w->count, w->argv, w->lens, error);
    }
    if (sent)
        return take_last(link, count + 2, fault, error);
    *fault = link_fault(link);
    return NULL;
}

redisReply *object_ask_all(struct objects *objects, const struct object_words *words, size_t count,
                           struct buf *error) {
    struct link *link = objects->link;
    struct buf why = BUF_INIT;
    redisReply *reply = NULL;
    enum link_fault fault;
    unsigned tried = 0;
    do {
        buf_clear(&why);
        if (link_broken(link) && !link_reopen(link, &why))
            fault = link_fault(link);
        else if (count == 1) {
            reply = link_run(link, words->count, words->argv, words->lens, &why);
            fault = link_fault(link);
        } else
            reply = object_exec(objects, words, count, &fault, &why);
    } while (!reply && object_again(objects, fault, &tried));
    if (!reply)
        buf_add(error, why.data, why.len);
    buf_free(&why);
    return reply;
}

redisReply *object_ask(struct objects *objects, const struct object_words *words,
                       struct buf *error) {
    return object_ask_all(objects, words, 1, error);
}
