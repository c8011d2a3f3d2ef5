#include "common/link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/sentinel.h"

enum { AGAIN_MS = 200 }; /* between two questions to the Sentinels */

struct link {
    redisContext *context; /* NULL when it could not be made */
    struct endpoint endpoint;
    enum link_fault fault;
    bool broken;
    int answer_ms;
    size_t sentinel; /* that answered last */
};

static struct timeval to_timeval(int ms) {
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000L};
}

static void fail(struct link *link, enum link_fault fault, const char *detail, struct buf *error) {
    link->fault = fault;
    link_explain(&link->endpoint, fault, detail, error);
}

/* After a failure of the connection itself. */
static void fail_io(struct link *link, struct buf *error) {
    link->broken = true;
    if (link->context == NULL) {
        fail(link, LINK_LOST, "hiredis gave no connection", error);
    } else {
        fail(link, link_fault_io(link->context->err, link->context->errstr), link->context->errstr,
             error);
    }
}

static bool send_command(struct link *link, size_t argc, const char *const *argv,
                         const size_t *lens) {
    /* hiredis wants no const on the vector, but only reads it. */
    return redisAppendCommandArgv(link->context, (int)argc, (const char **)(uintptr_t)argv, lens) ==
           REDIS_OK;
}

static redisReply *next_reply(struct link *link) {
    void *reply = NULL;
    return redisGetReply(link->context, &reply) == REDIS_OK ? reply : NULL;
}

static bool greet(struct link *link, struct buf *error) {
    struct link_greeting greeting;
    link_greeting_make(&greeting, &link->endpoint);
    for (size_t i = 0; i < greeting.count; i++) {
        const struct link_greeting_command *command = &greeting.commands[i];
        if (!send_command(link, (size_t)command->argc, command->argv, command->lens)) {
            fail_io(link, error);
            return false;
        }
    }
    for (size_t i = 0; i < greeting.count; i++) {
        redisReply *reply = next_reply(link);
        if (reply == NULL) {
            fail_io(link, error);
            return false;
        }
        struct buf detail = BUF_INIT;
        enum link_fault fault = link_greeting_check(&greeting, i, reply, &detail);
        freeReplyObject(reply);
        if (fault != LINK_NONE) {
            link->broken = true;
            fail(link, fault, detail.data, error);
        }
        buf_free(&detail);
        if (fault != LINK_NONE) {
            return false;
        }
    }
    return true;
}

/* Once. The address is known. */
static bool connect_once(struct link *link, int ms, struct buf *error) {
    struct timeval wait = to_timeval(ms);
    const struct endpoint *endpoint = &link->endpoint;
    link->broken = false;
    link->fault = LINK_NONE;
    link->context = endpoint->path[0] != '\0'
                        ? redisConnectUnixWithTimeout(endpoint->path, wait)
                        : redisConnectWithTimeout(endpoint->host, endpoint->port, wait);
    if (link->context == NULL || link->context->err != 0 ||
        redisSetTimeout(link->context, wait) != REDIS_OK) {
        fail_io(link, error);
        return false;
    }
    if (endpoint->path[0] == '\0') {
        redisEnableKeepAlive(link->context);
    }
    return greet(link, error) && link_timeout(link, link->answer_ms);
}

static void drop_context(struct link *link) {
    if (link->context != NULL) {
        redisFree(link->context);
        link->context = NULL;
    }
}

static bool locate(struct link *link, struct buf *error) {
    struct buf detail = BUF_INIT;
    enum link_fault fault = LINK_NONE;
    endpoint_locate(&link->endpoint, "", 0);
    bool found = sentinel_find(&link->endpoint, &link->sentinel, &fault, &detail);
    if (!found) {
        link->broken = true;
        fail(link, fault, detail.data, error);
    }
    buf_free(&detail);
    return found;
}

/* While a failover is under way the Sentinels name a master that is gone, or one that is none yet.
 */
static bool connect_by_sentinel(struct link *link, struct buf *error) {
    mono_ms_t end = mono_after(mono_now(), LINK_CONNECT_MS);
    struct buf why = BUF_INIT;
    for (;;) {
        buf_clear(&why);
        int64_t left = mono_diff(end, mono_now());
        bool located = locate(link, &why);
        if (located && connect_once(link, left > SENTINEL_MS ? (int)left : SENTINEL_MS, &why)) {
            buf_free(&why);
            return true;
        }
        left = mono_diff(end, mono_now());
        if (!located || !link_fault_passes(link->fault) || left <= AGAIN_MS) {
            break;
        }
        drop_context(link);
        poll(NULL, 0, AGAIN_MS);
    }
    buf_adds(error, why.data);
    buf_free(&why);
    return false;
}

static bool connect_link(struct link *link, struct buf *error) {
    return link->endpoint.master[0] != '\0' ? connect_by_sentinel(link, error)
                                            : connect_once(link, LINK_CONNECT_MS, error);
}

struct link *link_open(const struct endpoint *endpoint, struct buf *error) {
    struct link *link = xcalloc(1, sizeof *link);
    endpoint_copy(&link->endpoint, endpoint);
    link->answer_ms = LINK_ANSWER_MS;
    if (!connect_link(link, error)) {
        link_close(link);
        return NULL;
    }
    return link;
}

bool link_reopen(struct link *link, struct buf *error) {
    drop_context(link);
    return connect_link(link, error);
}

void link_close(struct link *link) {
    if (link == NULL) {
        return;
    }
    drop_context(link);
    endpoint_free(&link->endpoint);
    free(link);
}

bool link_timeout(struct link *link, int ms) {
    link->answer_ms = ms;
    return redisSetTimeout(link->context, to_timeval(ms)) == REDIS_OK;
}

bool link_append(struct link *link, size_t argc, const char *const *argv, const size_t *lens,
                 struct buf *error) {
    if (link->broken || !send_command(link, argc, argv, lens)) {
        fail_io(link, error);
        return false;
    }
    return true;
}

redisReply *link_reply(struct link *link, struct buf *error) {
    redisReply *reply = link->broken ? NULL : next_reply(link);
    if (reply == NULL) {
        fail_io(link, error);
        return NULL;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        fail(link, link_fault_reply(reply->str), reply->str, error);
        freeReplyObject(reply);
        return NULL;
    }
    return reply;
}

redisReply *link_run(struct link *link, size_t argc, const char *const *argv, const size_t *lens,
                     struct buf *error) {
    return link_append(link, argc, argv, lens, error) ? link_reply(link, error) : NULL;
}

redisReply *link_script(struct link *link, const struct script *script, size_t keys, size_t argc,
                        const char *const *argv, const size_t *lens, struct buf *error) {
    struct buf count = BUF_INIT;
    buf_addf(&count, "%zu", keys);
    const char **words = xmalloc((argc + 3) * sizeof *words);
    size_t *sizes = xmalloc((argc + 3) * sizeof *sizes);
    words[0] = "EVALSHA";
    words[1] = script->sha1;
    words[2] = count.data;
    for (size_t i = 0; i < 3; i++) {
        sizes[i] = strlen(words[i]);
    }
    if (argc > 0) {
        memcpy(words + 3, argv, argc * sizeof *words);
        memcpy(sizes + 3, lens, argc * sizeof *sizes);
    }
    struct buf first = BUF_INIT;
    redisReply *reply = link_run(link, argc + 3, words, sizes, &first);
    if (reply == NULL && !link->broken && link->fault == LINK_NO_SCRIPT) {
        words[0] = "EVAL";
        words[1] = script->text;
        sizes[0] = strlen(words[0]);
        sizes[1] = strlen(words[1]);
        reply = link_run(link, argc + 3, words, sizes, error);
    } else if (reply == NULL) {
        buf_adds(error, first.data);
    }
    buf_free(&first);
    buf_free(&count);
    free(words);
    free(sizes);
    return reply;
}

bool link_load(struct link *link, const struct script *script, struct buf *error) {
    const char *words[] = {"SCRIPT", "LOAD", script->text};
    const size_t sizes[] = {6, 4, strlen(script->text)};
    redisReply *reply = link_run(link, 3, words, sizes, error);
    if (reply == NULL) {
        return false;
    }
    freeReplyObject(reply);
    return true;
}

/* Sends what was queued; redisGetReply does this by itself, but also waits. */
static bool flush(struct link *link) {
    int done = 0;
    while (!done) {
        if (redisBufferWrite(link->context, &done) != REDIS_OK) {
            return false;
        }
    }
    return true;
}

bool link_poll(struct link *link, int ms, redisReply **reply, struct buf *error) {
    *reply = NULL;
    if (link->broken || !flush(link)) {
        fail_io(link, error);
        return false;
    }
    mono_ms_t end = mono_after(mono_now(), ms);
    for (;;) {
        void *got = NULL;
        if (redisGetReplyFromReader(link->context, &got) != REDIS_OK) {
            fail_io(link, error);
            return false;
        }
        if (got != NULL) {
            *reply = got;
            return true;
        }
        int64_t left = mono_diff(end, mono_now());
        struct pollfd wait = {.fd = link->context->fd, .events = POLLIN};
        int ready = poll(&wait, 1, left > 0 ? (int)left : 0);
        if (ready == 0 || (ready < 0 && errno == EINTR)) {
            return true; /* a signal: let the caller look why */
        }
        if (redisBufferRead(link->context) != REDIS_OK) {
            fail_io(link, error);
            return false;
        }
    }
}

enum link_fault link_fault(const struct link *link) {
    return link->fault;
}

bool link_broken(const struct link *link) {
    return link->broken;
}

const struct endpoint *link_endpoint(const struct link *link) {
    return &link->endpoint;
}

uint64_t link_reply_time(const redisReply *reply) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING)
        return 0;
    return strtoull(reply->element[0]->str, NULL, 10) * 1000 +
           strtoull(reply->element[1]->str, NULL, 10) / 1000;
}
