#include "worker/superlink.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

struct superlink {
    uv_poll_t poll;
    int fd;
    bool writing; /* the poll also waits for the socket to be writable */
    bool dead;
    struct superlink_events events;
    struct buf out; /* not yet written */
    size_t out_done;
    struct buf in; /* not yet handled */
};

static void on_poll(uv_poll_t *poll, int status, int what);

static void watch(struct superlink *link, bool writing) {
    if (link->writing == writing && uv_is_active((uv_handle_t *)&link->poll))
        return;
    link->writing = writing;
    uv_poll_start(&link->poll, writing ? UV_READABLE | UV_WRITABLE : UV_READABLE, on_poll);
}

static void die(struct superlink *link) {
    if (link->dead)
        return;
    link->dead = true;
    uv_poll_stop(&link->poll);
    link->events.closed(link->events.arg);
}

/* Handles every whole frame that has come in. */
static void handle_frames(struct superlink *link) {
    size_t at = 0;
    while (!link->dead && link->in.len - at >= sizeof(struct wire_frame)) {
        struct wire_frame frame;
        memcpy(&frame, link->in.data + at, sizeof frame);
        if (frame.length > WIRE_FRAME_MAX) {
            log_event(LOG_ERROR, "supervisor_frame_too_long", kv_uint("bytes", frame.length));
            die(link);
            return;
        }
        if (link->in.len - at - sizeof frame < frame.length)
            break;
        link->events.frame(link->events.arg, frame.type, link->in.data + at + sizeof frame,
                           frame.length);
        at += sizeof frame + frame.length;
    }
    memmove(link->in.data, link->in.data + at, link->in.len - at);
    link->in.len -= at;
}

static void on_readable(struct superlink *link) {
    buf_reserve(&link->in, 65536);
    ssize_t n = read(link->fd, link->in.data + link->in.len, 65536);
    if (n > 0) {
        link->in.len += (size_t)n;
        handle_frames(link);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        die(link);
    }
}

static void on_poll(uv_poll_t *poll, int status, int what) {
    struct superlink *link = poll->data;
    if (status < 0) {
        die(link);
        return;
    }
    if (what & UV_WRITABLE)
        superlink_flush(link);
    if (what & UV_READABLE)
        on_readable(link);
}

struct superlink *superlink_new(uv_loop_t *loop, int fd, const struct superlink_events *events) {
    struct superlink *link = xcalloc(1, sizeof *link);
    link->fd = fd;
    link->events = *events;
    link->out = (struct buf)BUF_INIT;
    link->in = (struct buf)BUF_INIT;
    uv_poll_init(loop, &link->poll, fd); /* makes the descriptor non-blocking */
    link->poll.data = link;
    watch(link, false);
    return link;
}

void superlink_send(struct superlink *link, uint32_t type, const void *payload, size_t len,
                    const void *more, size_t more_len) {
    struct wire_frame frame = {type, (uint32_t)(len + more_len)};
    buf_add(&link->out, &frame, sizeof frame);
    buf_add(&link->out, payload, len);
    if (more_len)
        buf_add(&link->out, more, more_len);
}

void superlink_flush(struct superlink *link) {
    while (!link->dead && link->out_done < link->out.len) {
        ssize_t n =
            write(link->fd, link->out.data + link->out_done, link->out.len - link->out_done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (errno == EAGAIN)
                watch(link, true);
            else
                die(link);
            return;
        }
        link->out_done += (size_t)n;
    }
    buf_clear(&link->out);
    link->out_done = 0;
    if (!link->dead)
        watch(link, false);
}

static void on_closed(uv_handle_t *handle) {
    struct superlink *link = handle->data;
    close(link->fd);
    buf_free(&link->out);
    buf_free(&link->in);
    free(link);
}

void superlink_close(struct superlink *link) {
    const int wait_ms = 2000;
    while (!link->dead && link->out_done < link->out.len) {
        superlink_flush(link);
        struct pollfd p = {link->fd, POLLOUT, 0};
        if (link->out.len && poll(&p, 1, wait_ms) <= 0)
            break;
    }
    link->dead = true;
    uv_poll_stop(&link->poll);
    uv_close((uv_handle_t *)&link->poll, on_closed);
}
