#include "manager/follow.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/keys.h"
#include "common/units.h"
#include "manager/output.h"
#include "manager/view.h"

enum {
    FOLLOW_ASK_MS = 5000,
    POLL_FIRST_MS = 100, /* a task that does not run is looked at this often, then less */
    POLL_MOST_MS = 1000,
    LOOK_MS = 1000, /* a silent one that does */
    TELL_MS = 1000, /* one that has not started by then is told of */
    AWAY_MS = 500   /* between two tries to reach Redis */
};

#define NO_GAP UINT64_MAX

struct follow {
    struct session *session;
    struct store *store;
    const char *id;
    unsigned streams;
    uint16_t try_number; /* that is being shown; 0: none yet */
    uint64_t printed[2]; /* bytes of this try that were shown (or are not asked for) */
    uint64_t gap_at[2];  /* where something was missing last; NO_GAP */
    bool gap;            /* it has to be asked for again */
    bool unread;         /* nobody reads what is shown any more */
    bool ended;          /* 'x' came: the rest is in the result */
    struct link *link;   /* subscribed to channel, or NULL */
    char *channel;       /* owned */
    char *worker;        /* that runs it; owned */
    long long agent;     /* process id of its agent */
    mono_ms_t start, asked;
    bool told_wait, told_away;
};

static void on_interrupt(int number) {
    (void)number;
    _exit(130); /* what came has been written */
}

/* --- showing ------------------------------------------------------------------------------------
 */

static void put(struct follow *f, int which, const char *bytes, size_t len) {
    FILE *file = which ? stderr : f->session->out;
    f->printed[which] += len;
    if (!(f->streams & 1u << which) || !len)
        return;
    fwrite(bytes, 1, len, file);
    if (fflush(file) != 0)
        f->unread = true;
}

static void tell_missing(struct follow *f, int which, uint64_t bytes) {
    if (bytes && f->streams & 1u << which)
        session_note(f->session, "%llu bytes of %s are missing here", (unsigned long long)bytes,
                     which ? "stderr" : "stdout");
}

/* Bytes that the worker sent, from place `from` on; those that were shown are passed over. */
static void take(struct follow *f, int which, uint64_t from, const char *bytes, size_t len) {
    if (from > f->printed[which]) {
        f->gap = f->gap_at[which] != f->printed[which];
        f->gap_at[which] = f->printed[which];
        if (f->gap)
            return;
        /* It was asked for again and did not come again: the worker has it no more. */
        tell_missing(f, which, from - f->printed[which]);
        f->printed[which] = from;
    }
    uint64_t skip = f->printed[which] - from;
    if (skip < len)
        put(f, which, bytes + skip, len - (size_t)skip);
}

static void take_message(struct follow *f, const char *bytes, size_t len) {
    struct cursor c = cursor_make(bytes, len);
    char kind = (char)cursor_be(&c, 1);
    if (kind == 'x') {
        f->ended = true;
        return;
    }
    uint64_t from = cursor_be(&c, 8);
    if (!c.failed && (kind == 'o' || kind == 'e'))
        take(f, kind == 'e', from, (const char *)c.at, cursor_left(&c));
}

static void begin_try(struct follow *f, uint16_t try_number) {
    f->try_number = try_number;
    f->printed[0] = f->printed[1] = 0;
    f->gap_at[0] = f->gap_at[1] = NO_GAP;
    f->ended = false;
}

/* --- the channel --------------------------------------------------------------------------------
 */

static void unsubscribe(struct follow *f) {
    link_close(f->link);
    f->link = NULL;
    free(f->channel);
    f->channel = NULL;
}

static bool subscribe(struct follow *f, struct buf *error) {
    uint64_t random[2] = {0, 0};
    unsubscribe(f);
    if (getrandom(random, sizeof random, 0) != sizeof random) {
        buf_addf(error, "no random bytes: %s", strerror(errno));
        return false;
    }
    f->link = link_open(link_endpoint(f->store->link), error);
    if (!f->link)
        return false;
    struct buf channel = BUF_INIT;
    buf_addf(&channel, "%s:%s%s.%016" PRIx64 "%016" PRIx64, f->store->queue_key, CHANNEL_FOLLOW,
             f->id, random[0], random[1]);
    f->channel = buf_detach(&channel);
    const char *argv[] = {"SUBSCRIBE", f->channel};
    const size_t lens[] = {9, strlen(f->channel)};
    redisReply *reply = link_run(f->link, 2, argv, lens, error);
    if (reply)
        freeReplyObject(reply);
    f->gap = false;
    f->asked = (mono_ms_t){0};
    return reply != NULL;
}

/* The process id of the agent that runs a worker, from what it registered; 0: not known. */
static bool find_agent(struct follow *f, long long *pid, struct buf *error) {
    struct buf key = BUF_INIT;
    key_add(&key, f->store->queue_key, KEY_WORKER, f->worker);
    cmd_clear(&f->store->cmd);
    cmd_adds(&f->store->cmd, "HGET");
    cmd_add(&f->store->cmd, key.data, key.len);
    cmd_adds(&f->store->cmd, "info");
    buf_free(&key);
    redisReply *reply = store_run(f->store, error);
    if (!reply)
        return false;
    json_t *info =
        reply->type == REDIS_REPLY_STRING ? json_loadb(reply->str, reply->len, 0, NULL) : NULL;
    *pid = json_integer_value(json_object_get(info, "agent_pid"));
    json_decref(info);
    freeReplyObject(reply);
    return true;
}

/* Asks the worker to send, and goes on asking it. */
static bool ask(struct follow *f, struct buf *error) {
    long long agent;
    if (f->link && f->asked.ms && mono_diff(mono_now(), f->asked) < FOLLOW_ASK_MS)
        return true;
    if (!find_agent(f, &agent, error))
        return false;
    if (!f->link || agent != f->agent) { /* a new agent does not know the channel */
        f->agent = agent;
        if (!subscribe(f, error))
            return false;
    }
    struct buf channel = BUF_INIT, text = BUF_INIT;
    buf_addf(&channel, "%s:%s%s", f->store->queue_key, CHANNEL_WAKE, f->worker);
    buf_addf(&text, "follow %s %s %llu %llu", f->id, f->channel, (unsigned long long)f->printed[0],
             (unsigned long long)f->printed[1]);
    cmd_clear(&f->store->cmd);
    cmd_adds(&f->store->cmd, "PUBLISH");
    cmd_add(&f->store->cmd, channel.data, channel.len);
    cmd_add(&f->store->cmd, text.data, text.len);
    buf_free(&channel);
    buf_free(&text);
    redisReply *reply = store_run(f->store, error);
    if (!reply)
        return false;
    bool heard = reply->integer > 0;
    freeReplyObject(reply);
    f->asked = mono_now();
    if (!heard) { /* its agent is away: soon again, on another channel */
        f->asked.ms -= FOLLOW_ASK_MS - LOOK_MS;
        f->agent = 0;
    }
    return true;
}

/* Takes what comes within LOOK_MS, up to 'x'. */
static bool hear(struct follow *f, struct buf *error) {
    mono_ms_t end = mono_after(mono_now(), LOOK_MS);
    while (!f->ended && !f->unread) {
        int64_t left = mono_diff(end, mono_now());
        redisReply *reply;
        if (left <= 0)
            return true;
        if (!link_poll(f->link, (int)left, &reply, error))
            return false;
        if (!reply)
            continue;
        const redisReply *message = reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
                                            !strcmp(reply->element[0]->str, "message")
                                        ? reply->element[2]
                                        : NULL;
        if (message && message->type == REDIS_REPLY_STRING)
            take_message(f, message->str, (size_t)message->len);
        freeReplyObject(reply);
        if (f->gap) {
            unsubscribe(f);
            return true;
        }
    }
    return true;
}

/* --- the result ---------------------------------------------------------------------------------
 */

/* Shows what has not come while it ran, of a try that has ended. */
static void finish_try(struct follow *f, const struct store_task *task,
                       const struct try_entry *entry) {
    const uint64_t whole[2] = {entry->out_bytes, entry->err_bytes};
    struct output output;
    if (entry->try_number != f->try_number)
        begin_try(f, entry->try_number);
    if (!task->output.len || !output_read(&output, task->output)) {
        for (int i = 0; i < 2; i++)
            tell_missing(f, i, whole[i] > f->printed[i] ? whole[i] - f->printed[i] : 0);
        return;
    }
    for (int i = 0; i < 2 && output.try_number == entry->try_number; i++) {
        struct slice rest;
        uint64_t missing = output_rest(&output.stream[i], f->printed[i], &rest);
        tell_missing(f, i, missing);
        put(f, i, rest.data, rest.len);
    }
    output_free(&output);
}

static void tell_try(struct follow *f, const struct store_detail *detail,
                     const struct try_entry *entry) {
    enum task_state state = (enum task_state)detail->task.head.state;
    struct buf text = BUF_INIT;
    try_entry_describe(entry, &text);
    if (state == TASK_DELAYED) {
        buf_adds(&text, "; the next in ");
        units_add_ms(&text, detail->due_ms > detail->now_ms ? detail->due_ms - detail->now_ms : 0);
    }
    if (entry->outcome != TRY_FINISHED)
        session_note(f->session, "try %u: %s", entry->try_number, text.data);
    buf_free(&text);
}

/* --- one look after the other -------------------------------------------------------------------
 */

enum step { STEP_WAIT, STEP_LISTEN, STEP_DONE, STEP_FAILED, STEP_GONE, STEP_ERROR };

static void tell_wait(struct follow *f, const struct store_detail *detail) {
    enum task_state state = (enum task_state)detail->task.head.state;
    if (f->told_wait || mono_diff(mono_now(), f->start) < TELL_MS)
        return;
    if (state != TASK_DELAYED)
        session_note(f->session, "%s has not started yet (%s); waiting for it", f->id,
                     task_state_name(state));
    f->told_wait = true;
}

static enum step on_running(struct follow *f, const struct store_detail *detail) {
    const struct store_task *task = &detail->task;
    bool same = f->worker && strlen(f->worker) == task->worker.len &&
                !memcmp(f->worker, task->worker.data, task->worker.len);
    if (!same || task->head.tries != f->try_number) {
        free(f->worker);
        f->worker = xstrndup(task->worker.data, task->worker.len);
        unsubscribe(f);
        begin_try(f, task->head.tries);
    }
    f->told_wait = false;
    /* 'x' and still running: it was too early for the worker, or its report is under way. */
    if (f->ended) {
        f->ended = false;
        unsubscribe(f);
        return STEP_WAIT;
    }
    return STEP_LISTEN;
}

static enum step look(struct follow *f, struct buf *error) {
    struct store_detail detail;
    struct try_entry entry;
    int64_t due_ms;
    if (!store_maintain(f->store, &due_ms, error))
        return STEP_ERROR;
    if (!store_detail(f->store, f->id, &detail, error)) {
        store_detail_free(&detail);
        return error->len ? STEP_ERROR : STEP_GONE;
    }
    enum task_state state = (enum task_state)detail.task.head.state;
    bool ended = state == TASK_FINISHED || state == TASK_FAILED || state == TASK_CANCELLED;
    bool logged = try_log_last(detail.task.log, &entry);
    enum step step = STEP_WAIT;
    /* A try that was being shown, or the last one of a task that has ended. */
    if (logged && (f->try_number ? entry.try_number >= f->try_number : ended) &&
        (state != TASK_IN_PROGRESS || entry.try_number == f->try_number)) {
        finish_try(f, &detail.task, &entry);
        tell_try(f, &detail, &entry);
        f->try_number = (uint16_t)(entry.try_number + 1); /* any later one is another */
        f->printed[0] = f->printed[1] = 0;
        free(f->worker);
        f->worker = NULL;
    }
    if (state == TASK_IN_PROGRESS)
        step = on_running(f, &detail);
    else if (ended)
        step = state == TASK_FINISHED ? STEP_DONE : STEP_FAILED;
    else
        tell_wait(f, &detail);
    store_detail_free(&detail);
    return step;
}

/* Redis may go away and come back; what was shown is not shown again. */
static bool recover(struct follow *f, struct buf *error) {
    bool broken = link_broken(f->store->link) || !f->link || link_broken(f->link);
    if (!broken && !link_fault_passes(link_fault(f->store->link)))
        return false;
    if (!f->told_away)
        session_note(f->session, "%s; waiting for it to come back", error->data);
    f->told_away = true;
    buf_clear(error);
    unsubscribe(f);
    poll(NULL, 0, AWAY_MS);
    if (link_broken(f->store->link))
        link_reopen(f->store->link, error);
    buf_clear(error);
    return true;
}

static enum step follow(struct follow *f, struct buf *error) {
    int64_t pause_ms = POLL_FIRST_MS;
    bool first = true;
    for (;;) {
        enum step step = look(f, error);
        first = first && step == STEP_ERROR;
        if (step == STEP_LISTEN && (!ask(f, error) || !hear(f, error)))
            step = STEP_ERROR;
        if (f->unread)
            return STEP_FAILED;
        if (step == STEP_ERROR) {
            if (first || !recover(f, error))
                return step;
            continue;
        }
        f->told_away = false;
        if (step == STEP_WAIT) {
            poll(NULL, 0, (int)pause_ms);
            pause_ms = pause_ms * 5 / 4 < POLL_MOST_MS ? pause_ms * 5 / 4 : POLL_MOST_MS;
        } else if (step == STEP_LISTEN) {
            pause_ms = POLL_FIRST_MS / 10;
        } else {
            return step;
        }
    }
}

int follow_task(struct session *session, struct store *store, const char *id, unsigned streams) {
    struct follow f = {
        .session = session, .store = store, .id = id, .streams = streams, .start = mono_now()};
    struct buf error = BUF_INIT;
    signal(SIGINT, on_interrupt);
    enum step step = follow(&f, &error);
    signal(SIGINT, SIG_DFL);
    if (step == STEP_ERROR)
        session_error(session, "%s", error.data);
    else if (step == STEP_GONE)
        session_error(session, "%s: the task was removed", id);
    unsubscribe(&f);
    free(f.worker);
    buf_free(&error);
    return step == STEP_DONE ? EXIT_DONE : EXIT_FAILED;
}
