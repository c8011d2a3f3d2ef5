#include "common/sentinel.h"

#include <string.h>

#include "common/units.h"

/* --- a round --------------------------------------------------------------------------------- */

void sentinel_round_start(struct sentinel_round *round, const struct endpoint *endpoint,
                          size_t first) {
    *round =
        (struct sentinel_round){.endpoint = endpoint, .first = first, .whys = (struct buf)BUF_INIT};
}

void sentinel_round_free(struct sentinel_round *round) {
    buf_free(&round->whys);
}

size_t sentinel_round_index(const struct sentinel_round *round) {
    return (round->first + round->asked) % round->endpoint->sentinel_count;
}

const struct endpoint_sentinel *sentinel_round_now(const struct sentinel_round *round) {
    if (round->asked >= round->endpoint->sentinel_count) {
        return NULL;
    }
    return &round->endpoint->sentinels[sentinel_round_index(round)];
}

void sentinel_round_failed(struct sentinel_round *round, const char *why) {
    const struct endpoint_sentinel *sentinel = sentinel_round_now(round);
    buf_addf(&round->whys, "%s%s:%d: %.100s", round->asked > 0 ? ", " : "", sentinel->host,
             sentinel->port, why);
    round->asked++;
}

enum link_fault sentinel_round_fault(const struct sentinel_round *round) {
    return round->unknown == round->endpoint->sentinel_count ? LINK_UNKNOWN_MASTER
                                                             : LINK_NO_SENTINEL;
}

/* --- question and answer --------------------------------------------------------------------- */

void sentinel_question_make(struct link_greeting *question, const struct endpoint *endpoint) {
    *question = (struct link_greeting){.by_sentinel = false};
    if (endpoint->sentinel_user[0] != '\0') {
        link_greeting_add(question, 3, "AUTH", endpoint->sentinel_user, endpoint->sentinel_pass);
    } else if (endpoint->sentinel_pass[0] != '\0') {
        link_greeting_add(question, 2, "AUTH", endpoint->sentinel_pass, NULL);
    }
    link_greeting_add(question, 3, "SENTINEL", "get-master-addr-by-name", endpoint->master);
}

static const char *refusal(const char *text) {
    switch (link_fault_reply(text)) {
    case LINK_NEEDS_PASSWORD:
        return "it wants a password (sentinel_pass)";
    case LINK_WRONG_PASSWORD:
        return "wrong user or password (sentinel_pass)";
    case LINK_NO_PASSWORD_SET:
        return "a password was given (sentinel_pass), but it has none";
    default:
        return strncmp(text, "ERR unknown command", 19) == 0 ? "it is no Sentinel" : text;
    }
}

enum sentinel_answer sentinel_answer_read(struct sentinel_round *round,
                                          const struct link_greeting *question, size_t index,
                                          const redisReply *reply, const char **host, int *port) {
    if (reply->type == REDIS_REPLY_ERROR) {
        sentinel_round_failed(round, refusal(reply->str));
        return SENTINEL_FAILED;
    }
    if (index + 1 < question->count) {
        return SENTINEL_GO_ON;
    }
    if (reply->type == REDIS_REPLY_NIL) {
        round->unknown++;
        sentinel_round_failed(round, "it knows no master of this name");
        return SENTINEL_FAILED;
    }
    uint64_t number = 0;
    const char *expected;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING || reply->element[0]->len == 0 ||
        reply->element[1]->type != REDIS_REPLY_STRING ||
        !units_parse_uint(reply->element[1]->str, (size_t)reply->element[1]->len, 1, 65535, &number,
                          &expected)) {
        sentinel_round_failed(round, "its answer is no address");
        return SENTINEL_FAILED;
    }
    *host = reply->element[0]->str;
    *port = (int)number;
    return SENTINEL_NAMED;
}

/* --- asking and waiting ---------------------------------------------------------------------- */

static void failed_io(struct sentinel_round *round, const redisContext *context) {
    sentinel_round_failed(round, context != NULL ? context->errstr : "no connection");
}

/* One Sentinel. False: the round has been told why. */
static bool ask(struct sentinel_round *round, struct endpoint *endpoint, redisContext *context) {
    const struct timeval wait = {.tv_usec = SENTINEL_MS * 1000L};
    struct link_greeting question;
    sentinel_question_make(&question, endpoint);
    if (context == NULL || context->err != 0 || redisSetTimeout(context, wait) != REDIS_OK) {
        failed_io(round, context);
        return false;
    }
    for (size_t i = 0; i < question.count; i++) {
        struct link_greeting_command *command = &question.commands[i];
        redisAppendCommandArgv(context, command->argc, command->argv, command->lens);
    }
    enum sentinel_answer answer = SENTINEL_GO_ON;
    for (size_t i = 0; answer == SENTINEL_GO_ON; i++) {
        void *reply = NULL;
        const char *host = NULL;
        int port = 0;
        if (redisGetReply(context, &reply) != REDIS_OK) {
            failed_io(round, context);
            return false;
        }
        answer = sentinel_answer_read(round, &question, i, reply, &host, &port);
        if (answer == SENTINEL_NAMED) {
            endpoint_locate(endpoint, host, port);
        }
        freeReplyObject(reply);
    }
    return answer == SENTINEL_NAMED;
}

bool sentinel_find(struct endpoint *endpoint, size_t *first, enum link_fault *fault,
                   struct buf *detail) {
    const struct timeval wait = {.tv_usec = SENTINEL_MS * 1000L};
    struct sentinel_round round;
    bool found = false;
    const struct endpoint_sentinel *sentinel;
    sentinel_round_start(&round, endpoint, *first);
    while (!found && (sentinel = sentinel_round_now(&round)) != NULL) {
        redisContext *context = redisConnectWithTimeout(sentinel->host, sentinel->port, wait);
        found = ask(&round, endpoint, context);
        redisFree(context);
    }
    if (found) {
        *first = sentinel_round_index(&round);
    } else {
        *fault = sentinel_round_fault(&round);
        buf_adds(detail, round.whys.data);
    }
    sentinel_round_free(&round);
    return found;
}
