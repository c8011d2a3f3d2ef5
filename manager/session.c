#include <stdarg.h>
#include <stdlib.h>

#include "manager/command.h"

struct store *session_store(struct session *session) {
    if (session->store)
        return session->store;
    struct buf error = BUF_INIT;
    struct store *store = xcalloc(1, sizeof *store);
    if (store_open(store, session->config, &error)) {
        session->store = store;
    } else {
        session_error(session, "%s", error.data);
        free(store);
    }
    buf_free(&error);
    return session->store;
}

bool session_objects(struct session *session, struct objects *objects) {
    const struct store *store = session_store(session);
    if (!store)
        return false;
    *objects = (struct objects){.link = store->link,
                                .queue_key = store->queue_key,
                                .max_bytes = session->config->object_max_bytes,
                                .ttl_ms = session->config->object_ttl_ms};
    return true;
}

void session_close(struct session *session) {
    if (session->store)
        store_close(session->store);
    free(session->store);
    session->store = NULL;
}

static void print_line(const struct session *session, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));

static void print_line(const struct session *session, const char *fmt, va_list args) {
    struct buf line = BUF_INIT;
    buf_addf(&line, "redisManager %s: ", session->verb->name);
    buf_addvf(&line, fmt, args);
    buf_addc(&line, '\n');
    fflush(session->out);
    fwrite(line.data, 1, line.len, stderr);
    buf_free(&line);
}

void session_error(const struct session *session, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    print_line(session, fmt, args);
    va_end(args);
}

void session_note(const struct session *session, const char *fmt, ...) {
    if (session->quiet)
        return;
    va_list args;
    va_start(args, fmt);
    print_line(session, fmt, args);
    va_end(args);
}

bool session_redis_away(struct session *session, bool *told, struct buf *error) {
    struct link *link = session->store->link;
    if (!link_broken(link) && !link_fault_passes(link_fault(link)))
        return false;
    if (!*told)
        session_note(session, "%s; waiting for it to come back", error->data);
    *told = true;
    buf_clear(error);
    if (link_broken(link))
        link_reopen(link, error);
    buf_clear(error);
    return true;
}
