#include "worker/wireio.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE (64u * 1024u)

/* Copied whole between processes: no padding may hide in them. */
static_assert(sizeof(struct wire_frame) == 8, "wire_frame");
static_assert(sizeof(struct wire_hello) == 8, "wire_hello");
static_assert(sizeof(struct wire_welcome) == 48, "wire_welcome");
static_assert(sizeof(struct wire_start) == 48, "wire_start");
static_assert(sizeof(struct wire_confine) == 32, "wire_confine");
static_assert(sizeof(struct wire_kill) == 12, "wire_kill");
static_assert(sizeof(struct wire_ack) == 8, "wire_ack");
static_assert(sizeof(struct wire_lease) == 16, "wire_lease");
static_assert(sizeof(struct wire_alive) == 8, "wire_alive");
static_assert(sizeof(struct wire_bye) == 8, "wire_bye");
static_assert(sizeof(struct wire_started) == 16, "wire_started");
static_assert(sizeof(struct wire_exit) == 112, "wire_exit");
static_assert(offsetof(struct wire_exit, flags) == WIRE_EXIT_OLD_BYTES, "an older wire_exit");
static_assert(sizeof(struct wire_host) == 16, "wire_host");
static_assert(sizeof(struct wire_files) == 8, "wire_files");
static_assert(sizeof(struct wire_dismiss) == 8, "wire_dismiss");
static_assert(sizeof(struct wire_task) == 24, "wire_task");
static_assert(sizeof(struct wire_signal) == 8, "wire_signal");

void wireio_open(struct wireio *io, int fd) {
    io->fd = fd;
    io->in_at = io->in_len = io->out_at = io->out_len = 0;
}

/* Gives the pages of a large frame back to the kernel. */
static void release(struct wireio *io) {
    if (!io->released)
        madvise(io->in + READ_SIZE, sizeof io->in - READ_SIZE, MADV_DONTNEED);
    io->released = true;
}

int wireio_fill(struct wireio *io) {
    if (io->in_at == io->in_len) {
        io->in_at = io->in_len = 0;
        release(io);
    } else if (sizeof io->in - io->in_len < READ_SIZE) {
        memmove(io->in, io->in + io->in_at, io->in_len - io->in_at);
        io->in_len -= io->in_at;
        io->in_at = 0;
    }
    size_t room = sizeof io->in - io->in_len;
    ssize_t n = recv(io->fd, io->in + io->in_len, room < READ_SIZE ? room : READ_SIZE, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (n == 0)
        return -1;
    io->in_len += (size_t)n;
    if (io->in_len > READ_SIZE)
        io->released = false;
    return 1;
}

int wireio_next(struct wireio *io, struct wire_frame *frame, const uint8_t **payload) {
    size_t have = io->in_len - io->in_at;
    if (have < sizeof *frame)
        return 0;
    memcpy(frame, io->in + io->in_at, sizeof *frame);
    if (frame->length > WIRE_FRAME_MAX)
        return -1;
    if (have < sizeof *frame + frame->length)
        return 0;
    *payload = io->in + io->in_at + sizeof *frame;
    io->in_at += sizeof *frame + frame->length;
    return 1;
}

bool wireio_room(const struct wireio *io, size_t payload) {
    return sizeof io->out - io->out_len >= sizeof(struct wire_frame) + payload;
}

void wireio_put(struct wireio *io, uint32_t type, const void *head, size_t head_len,
                const void *tail, size_t tail_len) {
    assert(wireio_room(io, head_len + tail_len));
    struct wire_frame frame = {type, (uint32_t)(head_len + tail_len)};
    uint8_t *at = io->out + io->out_len;
    memcpy(at, &frame, sizeof frame);
    if (head_len)
        memcpy(at + sizeof frame, head, head_len);
    if (tail_len)
        memcpy(at + sizeof frame + head_len, tail, tail_len);
    io->out_len += sizeof frame + head_len + tail_len;
}

int wireio_flush(struct wireio *io) {
    while (io->out_at < io->out_len) {
        ssize_t n = send(io->fd, io->out + io->out_at, io->out_len - io->out_at,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            memmove(io->out, io->out + io->out_at, io->out_len - io->out_at);
            io->out_len -= io->out_at;
            io->out_at = 0;
            return errno == EAGAIN || errno == ENOBUFS ? 0 : -1;
        }
        io->out_at += (size_t)n;
    }
    io->out_at = io->out_len = 0;
    return 1;
}

static bool count_strings(const char *strings, size_t len, uint64_t *count) {
    *count = 0;
    if (len == 0)
        return true;
    if (strings[len - 1] != 0)
        return false;
    for (const char *p = strings, *end = strings + len; p < end; (*count)++)
        p = (const char *)memchr(p, 0, (size_t)(end - p)) + 1;
    return true;
}

/* Exactly `count` absolute names in `len` bytes. */
static bool names_good(const char *names, size_t len, uint64_t count) {
    uint64_t found;
    if (!count_strings(names, len, &found) || found != count)
        return false;
    for (; count > 0; count--, names += strlen(names) + 1)
        if (names[0] != '/' || strlen(names) >= WIRE_CGROUP_MAX)
            return false;
    return true;
}

/* What follows the head when it is flagged; *used is its bytes. */
static bool parse_confine(const uint8_t *at, size_t len, struct wire_start_view *view,
                          size_t *used) {
    struct wire_confine *c = &view->confine;
    if (len < sizeof *c)
        return false;
    memcpy(c, at, sizeof *c);
    if (c->cpus_len > WIRE_CPUS_MAX || c->cpus_len % 8 || c->cgroup_len > WIRE_CGROUP_MAX ||
        c->procs_count > WIRE_PROCS_MAX || c->procs_len > WIRE_PROCS_MAX * WIRE_CGROUP_MAX ||
        (c->flags & ~WIRE_CONFINE_STRICT))
        return false;
    *used = sizeof *c + c->cpus_len + c->cgroup_len + c->procs_len;
    if (*used > len)
        return false;
    view->cpus = at + sizeof *c;
    view->cgroup = c->cgroup_len ? (const char *)view->cpus + c->cpus_len : NULL;
    view->procs = (const char *)view->cpus + c->cpus_len + c->cgroup_len;
    return names_good(view->cgroup, c->cgroup_len, c->cgroup_len > 0) &&
           names_good(view->procs, c->procs_len, c->procs_count);
}

/* *at is moved behind it. */
static bool parse_host(const uint8_t *payload, size_t len, struct wire_start_view *view,
                       size_t *at) {
    const struct wire_start *h = &view->head;
    if (len - *at < sizeof view->host || h->argc < 2 || h->fallback_argc ||
        (h->flags & WIRE_START_DIRECT))
        return false;
    memcpy(&view->host, payload + *at, sizeof view->host);
    *at += sizeof view->host;
    return true;
}

bool wire_parse_start(const uint8_t *payload, size_t len, struct wire_start_view *view) {
    struct wire_start *h = &view->head;
    *view = (struct wire_start_view){.cpus = payload};
    if (len < sizeof *h)
        return false;
    memcpy(h, payload, sizeof *h);
    const uint32_t known =
        WIRE_START_DIRECT | WIRE_START_WAIT_LEFTOVER | WIRE_START_CONFINED | WIRE_START_HOST;
    size_t at = sizeof *h, confined = 0;
    if ((h->flags & ~known) ||
        ((h->flags & WIRE_START_HOST) && !parse_host(payload, len, view, &at)) ||
        ((h->flags & WIRE_START_CONFINED) &&
         !parse_confine(payload + at, len - at, view, &confined)))
        return false;
    at += confined;
    uint64_t whole = (uint64_t)at + h->note_len + h->cwd_len + h->strings_len;
    uint64_t wanted = (uint64_t)h->argc + h->fallback_argc + h->envc, count;
    if (whole != len || h->note_len > WIRE_NOTE_MAX || h->cwd_len >= PATH_MAX || h->argc < 1)
        return false;
    view->note = payload + at;
    view->cwd = (const char *)view->note + h->note_len;
    view->strings = view->cwd + h->cwd_len;
    return !memchr(view->cwd, 0, h->cwd_len) &&
           count_strings(view->strings, h->strings_len, &count) && count == wanted;
}

const char *wire_step_text(int32_t step) {
    static const char *const texts[] = {
#define X(symbol, words) words,
        WIRE_STEPS(X)
#undef X
    };
    return texts[step > 0 && step < WIRE_STEP_COUNT ? step : WIRE_STEP_NONE];
}
