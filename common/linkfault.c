#include "common/linkfault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define OLDEST_MAJOR 6

static const struct {
    bool passes;
    const char *what, *advice;
} faults[] = {
#define X(symbol, passes, what, advice) {passes, what, advice},
    LINK_FAULTS(X)
#undef X
};

/* hiredis 0.14 keeps strerror's text, not errno; it may stand behind a prefix of its own. */
static const struct {
    int error;
    enum link_fault fault;
} system_errors[] = {
    {ECONNREFUSED, LINK_REFUSED},
    {ENOENT, LINK_NO_SOCKET},
    {ENOTSOCK, LINK_NO_SOCKET},
    {EACCES, LINK_DENIED},
    {EPERM, LINK_DENIED},
    {EHOSTUNREACH, LINK_UNREACHABLE},
    {ENETUNREACH, LINK_UNREACHABLE},
    {EHOSTDOWN, LINK_UNREACHABLE},
    {ENETDOWN, LINK_UNREACHABLE},
    {EADDRNOTAVAIL, LINK_UNREACHABLE},
    {ETIMEDOUT, LINK_TIMEOUT},
    {EAGAIN, LINK_TIMEOUT},
    {EINPROGRESS, LINK_TIMEOUT},
    {ECONNRESET, LINK_LOST},
    {EPIPE, LINK_LOST},
};

/* How error replies begin. */
static const struct {
    const char *start;
    enum link_fault fault;
} replies[] = {
    {"NOAUTH", LINK_NEEDS_PASSWORD},
    {"WRONGPASS", LINK_WRONG_PASSWORD},
    {"ERR invalid password", LINK_WRONG_PASSWORD},
    {"ERR AUTH <password> called without any password", LINK_NO_PASSWORD_SET},
    {"ERR Client sent AUTH, but no password", LINK_NO_PASSWORD_SET},
    {"DENIED", LINK_PROTECTED},
    {"NOPROTO", LINK_TOO_OLD},
    {"ERR DB index", LINK_BAD_DB},
    {"ERR invalid DB index", LINK_BAD_DB},
    {"ERR SELECT is not allowed in cluster", LINK_BAD_DB},
    {"NOPERM", LINK_NO_PERMISSION},
    {"ERR max number of clients", LINK_TOO_MANY_CLIENTS},
    {"LOADING", LINK_LOADING},
    {"OOM", LINK_FULL},
    {"READONLY", LINK_READONLY},
    {"MASTERDOWN", LINK_READONLY},
    {"UNBLOCKED", LINK_READONLY}, /* WAIT, when the master becomes a replica; and after that: */
    {"ERR WAIT cannot be used with replica", LINK_READONLY},
    {"MISCONF", LINK_MISCONF},
    {"BUSY ", LINK_BUSY},
    {"NOREPLICAS", LINK_NO_REPLICAS},
    {"CROSSSLOT", LINK_CLUSTER},
    {"MOVED", LINK_CLUSTER},
    {"ASK ", LINK_CLUSTER},
    {"CLUSTERDOWN", LINK_CLUSTER_DOWN},
    {"TRYAGAIN", LINK_CLUSTER_DOWN},
    {"NOSCRIPT", LINK_NO_SCRIPT},
};

enum link_fault link_fault_io(int err, const char *errstr) {
    switch (err) {
    case REDIS_ERR_PROTOCOL:
        return LINK_NOT_REDIS;
    case REDIS_ERR_EOF:
        return LINK_LOST;
    default:
        break;
    }
    for (size_t i = 0; i < sizeof system_errors / sizeof *system_errors; i++) {
        if (strstr(errstr, strerror(system_errors[i].error)) != NULL) {
            return system_errors[i].fault;
        }
    }
    /* What remains of REDIS_ERR_OTHER while connecting is getaddrinfo's. */
    return err == REDIS_ERR_OTHER ? LINK_UNKNOWN_HOST : LINK_LOST;
}

static enum link_fault reply_start(const char *text) {
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        if (strncmp(text, replies[i].start, strlen(replies[i].start)) == 0) {
            return replies[i].fault;
        }
    }
    return LINK_REPLY;
}

enum link_fault link_fault_reply(const char *text) {
    text += *text == '-';
    enum link_fault fault = reply_start(text);
    if (fault != LINK_REPLY || strncmp(text, "ERR Error running script", 24) != 0) {
        return fault;
    }
    /* Redis before 7 wraps the error of a call inside a script: "...: @user_script: 12: -OOM ..."
     */
    for (const char *at = strstr(text, ": -"); at != NULL; at = strstr(at + 1, ": -")) {
        fault = reply_start(at + 3);
        if (fault != LINK_REPLY) {
            return fault;
        }
    }
    return LINK_REPLY;
}

bool link_fault_passes(enum link_fault fault) {
    return faults[fault].passes;
}

/* Where the system's or the server's words say more than ours. */
static bool wants_detail(enum link_fault fault) {
    switch (fault) {
    case LINK_UNREACHABLE:
    case LINK_UNKNOWN_HOST:
    case LINK_LOST:
    case LINK_NOT_REDIS:
    case LINK_NO_SENTINEL:
    case LINK_TOO_OLD:
    case LINK_BAD_DB:
    case LINK_NO_PERMISSION:
    case LINK_MISCONF:
    case LINK_CLUSTER:
    case LINK_REPLY:
        return true;
    default:
        return false;
    }
}

/* The address, and who told it. */
static void show_place(const struct endpoint *endpoint, struct buf *out) {
    endpoint_show(endpoint, out);
    if (endpoint->master[0] != '\0' && !endpoint_is_unknown(endpoint)) {
        buf_adds(out, " (named by ");
        endpoint_show_sentinels(endpoint, out);
        buf_addf(out, ", from %s)", endpoint->origin);
    } else if (strcmp(endpoint->origin, "default") != 0) {
        buf_addf(out, " (from %s)", endpoint->origin);
    }
}

/* A master that does not answer, and that its Sentinels have not replaced yet. */
static bool awaits_failover(const struct endpoint *endpoint, enum link_fault fault) {
    return endpoint->master[0] != '\0' && !endpoint_is_unknown(endpoint) &&
           (fault == LINK_REFUSED || fault == LINK_UNREACHABLE || fault == LINK_TIMEOUT ||
            fault == LINK_LOST);
}

void link_explain(const struct endpoint *endpoint, enum link_fault fault, const char *detail,
                  struct buf *out) {
    buf_adds(out, "Redis at ");
    show_place(endpoint, out);
    buf_addf(out, ": %s", faults[fault].what);
    if (detail != NULL && *detail != '\0' && wants_detail(fault)) {
        buf_adds(out, " (");
        for (size_t i = 0; i < 300 && detail[i] != '\0'; i++) {
            buf_addc(out, (unsigned char)detail[i] < ' ' ? ' ' : detail[i]);
        }
        buf_addc(out, ')');
    }
    buf_addf(out, "; %s",
             awaits_failover(endpoint, fault)
                 ? "start it, or wait until its Sentinels have made another one the master"
                 : faults[fault].advice);
}

void link_greeting_add(struct link_greeting *greeting, int argc, const char *a, const char *b,
                       const char *c) {
    struct link_greeting_command *command = &greeting->commands[greeting->count++];
    const char *words[3] = {a, b, c};
    command->argc = argc;
    for (int i = 0; i < argc; i++) {
        command->argv[i] = words[i];
        command->lens[i] = strlen(words[i]);
    }
}

void link_greeting_make(struct link_greeting *greeting, const struct endpoint *endpoint) {
    greeting->count = 0;
    greeting->by_sentinel = endpoint->master[0] != '\0';
    snprintf(greeting->db, sizeof greeting->db, "%d", endpoint->db);
    if (endpoint->user[0] != '\0') {
        link_greeting_add(greeting, 3, "AUTH", endpoint->user, endpoint->pass);
    } else if (endpoint->pass[0] != '\0') {
        link_greeting_add(greeting, 2, "AUTH", endpoint->pass, NULL);
    }
    link_greeting_add(greeting, 2, "HELLO", "2", NULL);
    if (endpoint->db != 0) {
        link_greeting_add(greeting, 2, "SELECT", greeting->db, NULL);
    }
    link_greeting_add(greeting, 1, "PING", NULL, NULL);
}

/* The text at a key of HELLO's answer, a flat array of keys and values; NULL when there is none. */
static const char *hello_text(const redisReply *reply, const char *key) {
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const redisReply *name = reply->element[i];
        const redisReply *value = reply->element[i + 1];
        if (name->type == REDIS_REPLY_STRING && strcmp(name->str, key) == 0 &&
            value->type == REDIS_REPLY_STRING) {
            return value->str;
        }
    }
    return NULL;
}

/* Its `role` is what ROLE says first, so that nobody needs the right to that command as well. */
static enum link_fault check_hello(const redisReply *reply, bool by_sentinel, struct buf *detail) {
    if (reply->type != REDIS_REPLY_ARRAY) {
        buf_adds(detail, "HELLO was answered with something else");
        return LINK_NOT_REDIS;
    }
    const char *version = hello_text(reply, "version");
    if (version == NULL) {
        buf_adds(detail, "HELLO's answer names no version");
        return LINK_NOT_REDIS;
    }
    if (strtol(version, NULL, 10) < OLDEST_MAJOR) {
        buf_addf(detail, "version %.40s", version);
        return LINK_TOO_OLD;
    }
    const char *mode = hello_text(reply, "mode");
    if (mode != NULL && strcmp(mode, "sentinel") == 0) {
        return LINK_SENTINEL;
    }
    const char *role = hello_text(reply, "role");
    if (role != NULL && (strcmp(role, "replica") == 0 || strcmp(role, "slave") == 0)) {
        return by_sentinel ? LINK_NOT_MASTER : LINK_READONLY;
    }
    return LINK_NONE;
}

enum link_fault link_greeting_check(const struct link_greeting *greeting, size_t index,
                                    const redisReply *reply, struct buf *detail) {
    const char *name = greeting->commands[index].argv[0];
    bool hello = strcmp(name, "HELLO") == 0;
    if (reply->type == REDIS_REPLY_ERROR) {
        buf_adds(detail, reply->str);
        /* HELLO came with Redis 6.0. */
        if (hello && strncasecmp(reply->str, "ERR unknown command", 19) == 0) {
            buf_clear(detail);
            return LINK_TOO_OLD;
        }
        /* Before 6.0 AUTH takes one argument. */
        if (strcmp(name, "AUTH") == 0 && strstr(reply->str, "wrong number of arguments") != NULL) {
            buf_clear(detail);
            return LINK_TOO_OLD;
        }
        return link_fault_reply(reply->str);
    }
    return hello ? check_hello(reply, greeting->by_sentinel, detail) : LINK_NONE;
}
