#include "worker/redispoll.h"

#include <stdlib.h>

#include "common/buf.h"

struct redispoll {
    uv_poll_t handle;
    uv_idle_t write;            /* active: something is to be written */
    redisAsyncContext *context; /* NULL: hiredis has freed it */
    int events;                 /* what is waited for: UV_READABLE, UV_WRITABLE */
    bool full;                  /* the socket did not take all */
    int open_handles;
};

static void on_poll(uv_poll_t *handle, int status, int events);

static void watch(struct redispoll *poll, int events) {
    /* hiredis asks again with each command; to start again would be two system calls. */
    if (events == poll->events && uv_is_active((uv_handle_t *)&poll->handle))
        return;
    poll->events = events;
    if (events)
        uv_poll_start(&poll->handle, events, on_poll);
    else
        uv_poll_stop(&poll->handle);
}

static void on_poll(uv_poll_t *handle, int status, int events) {
    struct redispoll *poll = handle->data;
    int ready = status < 0 ? poll->events : events;
    if (poll->context && (ready & UV_READABLE))
        redisAsyncHandleRead(poll->context);
    if (poll->context && (ready & UV_WRITABLE))
        redisAsyncHandleWrite(poll->context);
    if (poll->context && status < 0)
        watch(poll, poll->events); /* libuv has stopped, but there was nothing wrong after all */
}

static void add_read(void *data) {
    struct redispoll *poll = data;
    watch(poll, poll->events | UV_READABLE);
}

static void del_read(void *data) {
    struct redispoll *poll = data;
    watch(poll, poll->events & ~UV_READABLE);
}

/* The next turn of the loop comes at once, and tries to write. To be told when the socket can be
   written to, which it nearly always can, would take five more system calls a command. */
static void on_write(uv_idle_t *idle) {
    struct redispoll *poll = idle->data;
    uv_idle_stop(idle);
    poll->full = true; /* unless del_write is called now: all was written */
    redisAsyncHandleWrite(poll->context);
}

static void add_write(void *data) {
    struct redispoll *poll = data;
    if (poll->full || !(poll->context->c.flags & REDIS_CONNECTED))
        watch(poll, poll->events | UV_WRITABLE);
    else
        uv_idle_start(&poll->write, on_write);
}

static void del_write(void *data) {
    struct redispoll *poll = data;
    poll->full = false;
    uv_idle_stop(&poll->write);
    watch(poll, poll->events & ~UV_WRITABLE);
}

static void on_closed(uv_handle_t *handle) {
    struct redispoll *poll = handle->data;
    if (--poll->open_handles == 0)
        free(poll);
}

static void clean_up(void *data) {
    struct redispoll *poll = data;
    poll->context = NULL;
    uv_close((uv_handle_t *)&poll->handle, on_closed);
    uv_close((uv_handle_t *)&poll->write, on_closed);
}

bool redispoll_attach(redisAsyncContext *context, uv_loop_t *loop) {
    struct redispoll *poll = xcalloc(1, sizeof *poll);
    if (uv_poll_init(loop, &poll->handle, context->c.fd) != 0) {
        free(poll);
        return false;
    }
    uv_idle_init(loop, &poll->write);
    poll->open_handles = 2;
    poll->handle.data = poll->write.data = poll;
    poll->context = context;
    context->ev.data = poll;
    context->ev.addRead = add_read;
    context->ev.delRead = del_read;
    context->ev.addWrite = add_write;
    context->ev.delWrite = del_write;
    context->ev.cleanup = clean_up;
    return true;
}
