#include "worker/agent_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

/*
 * taskOutput -f: a reader subscribes to a channel of its own and publishes `follow ID CHANNEL OUT
 * ERR` on the worker's wake channel, again every FOLLOW_MS / 3. The worker publishes on that
 * channel 'o' or 'e', the place of the first byte (u64, big-endian) and bytes, from OUT of stdout
 * and ERR of stderr on; and 'x' when the try has ended: then the rest is in the result. A reader
 * that has missed something asks again on another channel, from where it stands.
 */
enum {
    FOLLOW_MS = 15000,
    TAIL_MS = 100,
    CHUNK = 65536,
    PLACE = 8,
    CHUNKS_A_TURN = 16,
    MESSAGE = 512
};

struct follow {
    struct follow *next;
    char id[TASK_ID_LEN + 1];
    char *channel;
    uint64_t at[2]; /* of stdout, stderr: where what is to be sent begins */
    mono_ms_t until;
};

static void on_tail(uv_timer_t *timer);

static void drop(struct agent *a, struct follow **place) {
    struct follow *f = *place;
    *place = f->next;
    free(f->channel);
    free(f);
    if (!a->follows)
        uv_timer_stop(&a->follow_timer);
}

/* Publishes what has been added to one stream; returns whether there may be more at once. */
static bool send_stream(struct agent *a, struct follow *f, const struct run *run, int which) {
    static const char kinds[2] = {'o', 'e'};
    char chunk[1 + PLACE + CHUNK];
    if (!redisio_up(a->redis) || (run->native && run->files < WIRE_FILES_HOST))
        return false; /* not told yet where it is, or there is none: its slot's files are others' */
    struct buf path = BUF_INIT;
    result_stream_path(&path, a->config->state_dir, run->files, which == 1);
    int fd = open(path.data, O_RDONLY | O_CLOEXEC);
    buf_free(&path);
    if (fd < 0)
        return false;
    ssize_t n = 0;
    for (int i = 0; i < CHUNKS_A_TURN; i++) {
        n = pread(fd, chunk + 1 + PLACE, CHUNK, (off_t)f->at[which]);
        if (n <= 0)
            break;
        chunk[0] = kinds[which];
        for (int byte = 0; byte < PLACE; byte++)
            chunk[1 + byte] = (char)(unsigned char)(f->at[which] >> (56 - 8 * byte));
        redisio_publish(a->redis, f->channel, chunk, 1 + PLACE + (size_t)n);
        f->at[which] += (uint64_t)n;
    }
    close(fd);
    return n > 0;
}

static void on_tail(uv_timer_t *timer) {
    struct agent *a = timer->data;
    mono_ms_t now = mono_now();
    for (struct follow **place = &a->follows; *place;) {
        struct follow *f = *place;
        const struct run *run = runs_find(&a->runs, f->id);
        if (mono_diff(now, f->until) > 0 || !run) {
            if (!run) /* reported, or given back, before anybody followed it */
                redisio_publish(a->redis, f->channel, "x", 1);
            drop(a, place);
            continue;
        }
        if (run->state == RUN_STARTED) {
            send_stream(a, f, run, 0);
            send_stream(a, f, run, 1);
        }
        place = &f->next;
    }
}

void follow_ended(struct agent *a, const struct run *run) {
    for (struct follow **place = &a->follows; *place;) {
        struct follow *f = *place;
        if (strcmp(f->id, run->id) != 0) {
            place = &f->next;
            continue;
        }
        bool more = true;
        for (int turn = 0; more && turn < CHUNKS_A_TURN; turn++) {
            more = send_stream(a, f, run, 0);
            more = send_stream(a, f, run, 1) || more;
        }
        redisio_publish(a->redis, f->channel, "x", 1);
        drop(a, place);
    }
}

static struct follow *find(struct agent *a, const char *channel) {
    for (struct follow *f = a->follows; f; f = f->next)
        if (strcmp(f->channel, channel) == 0)
            return f;
    return NULL;
}

void follow_message(struct agent *a, const char *text, size_t len) {
    char id[TASK_ID_LEN + 1], channel[MESSAGE];
    unsigned long long from[2];
    if (len >= sizeof channel ||
        sscanf(text, "follow %14s %511s %llu %llu", id, channel, &from[0], &from[1]) != 4)
        return;
    struct follow *f = find(a, channel);
    if (!f) {
        if (!runs_find(&a->runs, id)) {
            redisio_publish(a->redis, channel, "x", 1);
            return;
        }
        f = xcalloc(1, sizeof *f);
        memcpy(f->id, id, sizeof f->id);
        f->channel = xstrdup(channel);
        f->at[0] = from[0];
        f->at[1] = from[1];
        f->next = a->follows;
        a->follows = f;
        log_event(LOG_DEBUG, "follow", kv_text("task", id));
    }
    f->until = mono_after(mono_now(), FOLLOW_MS);
    if (!uv_is_active((uv_handle_t *)&a->follow_timer))
        uv_timer_start(&a->follow_timer, on_tail, 0, TAIL_MS);
}

void follow_free(struct agent *a) {
    while (a->follows)
        drop(a, &a->follows);
}
