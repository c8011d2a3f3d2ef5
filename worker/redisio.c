#include "worker/redisio.h"

#include <hiredis/async.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/script.h"
#include "common/serverinfo.h"
#include "worker/masterfind.h"
#include "worker/redispoll.h"

enum { BACKOFF_FIRST_MS = 100, BACKOFF_MOST_MS = 10000, SETUP_MS = 10000, ANSWER_MS = 20000 };
enum { UNWELL_MS = 1000 }; /* no commands for this long after an error of the server */

enum io_state { IO_DOWN, IO_FIND, IO_SETUP, IO_UP, IO_CLOSED };

struct redisio {
    uv_loop_t *loop;
    const struct endpoint *given; /* as the events.connecting left it */
    struct endpoint endpoint;     /* a copy, with the master's address */
    struct masterfind *find;
    char *channel;
    struct redisio_events events;
    enum io_state state;
    bool failing;   /* inside go_down */
    bool was_up;    /* once at least */
    char doom[512]; /* why the connection is about to be dropped, or "" */
    redisAsyncContext *commands, *subscriber;
    bool subscribed, scripts_loaded;
    uv_timer_t timer; /* DOWN: the next try; SETUP and UP: answers overdue */
    int64_t backoff_ms, backoff_most_ms;
    size_t waiting;     /* commands without an answer */
    mono_ms_t progress; /* last answer, or the time `waiting` left 0 */
    mono_ms_t heard;    /* when the last command that was answered had been sent */
    mono_ms_t well;     /* no commands before this */
    struct redis_facts facts;
    char last_error[256]; /* so that a Redis that stays away is logged once */
};

struct request {
    struct redisio *io;
    redisio_reply *callback;
    void *arg;
    mono_ms_t sent;
};

static void go_down(struct redisio *io, const char *why);
static void on_timer(uv_timer_t *timer);

static void log_once(struct redisio *io, enum log_level level, const char *event, const char *why) {
    if (strncmp(io->last_error, why, sizeof io->last_error - 1) == 0)
        return;
    snprintf(io->last_error, sizeof io->last_error, "%s", why);
    log_event(level, event, kv_text("why", why));
}

/* --- setting up ------------------------------------------------------------------------------ */

static void maybe_up(struct redisio *io) {
    if (io->state != IO_SETUP || !io->subscribed || !io->scripts_loaded)
        return;
    io->state = IO_UP;
    io->was_up = true;
    io->backoff_ms = BACKOFF_FIRST_MS;
    io->last_error[0] = '\0';
    io->well = mono_now();
    struct buf at = BUF_INIT;
    endpoint_show(&io->endpoint, &at);
    log_event(LOG_INFO, "redis_up", kv_text("run_id", io->facts.run_id), kv_text("at", at.data));
    buf_free(&at);
    io->events.up(io->events.arg, &io->facts);
}

static void drop_contexts(struct redisio *io) {
    redisAsyncContext *commands = io->commands, *subscriber = io->subscriber;
    io->commands = io->subscriber = NULL;
    if (commands)
        redisAsyncFree(commands); /* runs the callbacks, with NULL */
    if (subscriber)
        redisAsyncFree(subscriber);
}

/* Down, for a reason that is explained to whoever reads the log. */
static void fail(struct redisio *io, enum link_fault fault, const char *detail) {
    struct buf why = BUF_INIT;
    link_explain(&io->endpoint, fault, detail, &why);
    go_down(io, why.data);
    buf_free(&why);
}

/* A set-up step failed. Wrong passwords and the like are not worth another try, unless they were
 * right before: then somebody is at work on the server, and running tasks are not to suffer. */
static void setup_failed(struct redisio *io, enum link_fault fault, const char *detail) {
    if (link_fault_passes(fault) || io->was_up) {
        fail(io, fault, detail);
        return;
    }
    if ((io->state != IO_SETUP && io->state != IO_FIND) || io->failing)
        return;
    struct buf why = BUF_INIT;
    link_explain(&io->endpoint, fault, detail, &why);
    io->state = IO_DOWN;
    uv_timer_stop(&io->timer);
    drop_contexts(io);
    io->events.hopeless(io->events.arg, why.data);
    buf_free(&why);
}

static redisCallbackFn on_setup_reply, on_message;

static void load_scripts(struct redisio *io) {
    for (size_t i = 0; i < scripts_count; i++)
        redisAsyncCommand(io->commands, on_setup_reply,
                          i + 1 == scripts_count ? "scripts" : "script", "SCRIPT LOAD %s",
                          scripts[i].text);
}

/* What follows the greeting. Not sent with it: a server that wants a password closes the connection
 * of a stranger that says so much, and what it answered may be lost with that. */
static void set_up(struct redisio *io, redisAsyncContext *context) {
    if (context == io->subscriber) {
        redisAsyncCommand(context, on_message, NULL, "SUBSCRIBE %s", io->channel);
    } else if (context == io->commands) {
        redisAsyncCommand(context, on_setup_reply, "info", "INFO");
        load_scripts(io);
    }
}

/* The answer to command `step` of the greeting; the index is kept in the pointer itself. */
static void on_greeting(redisAsyncContext *context, void *raw, void *step) {
    struct redisio *io = context->data;
    if (!raw || io->state != IO_SETUP)
        return;
    struct link_greeting greeting;
    struct buf detail = BUF_INIT;
    link_greeting_make(&greeting, &io->endpoint);
    enum link_fault fault = link_greeting_check(&greeting, (size_t)(uintptr_t)step, raw, &detail);
    if (fault != LINK_NONE)
        setup_failed(io, fault, detail.data);
    else if ((size_t)(uintptr_t)step + 1 == greeting.count)
        set_up(io, context);
    buf_free(&detail);
}

static void copy_field(const char *info, const char *name, char *out, size_t size) {
    const char *at = strstr(info, name);
    out[0] = '\0';
    if (!at)
        return;
    at += strlen(name);
    size_t len = strcspn(at, "\r\n");
    snprintf(out, size, "%.*s", (int)(len < size ? len : size - 1), at);
}

static void on_setup_reply(redisAsyncContext *context, void *raw, void *arg) {
    struct redisio *io = context->data;
    const redisReply *reply = raw;
    const char *step = arg;
    if (!reply || io->state != IO_SETUP)
        return;
    if (reply->type == REDIS_REPLY_ERROR) {
        setup_failed(io, link_fault_reply(reply->str), reply->str);
        return;
    }
    if (strcmp(step, "info") == 0 && reply->type == REDIS_REPLY_STRING) {
        size_t len = (size_t)reply->len;
        copy_field(reply->str, "run_id:", io->facts.run_id, sizeof io->facts.run_id);
        io->facts.output_share_bytes = serverinfo_output_share(reply->str, len);
    } else if (strcmp(step, "scripts") == 0) {
        io->scripts_loaded = true;
        maybe_up(io);
    }
}

static void on_message(redisAsyncContext *context, void *raw, void *arg) {
    (void)arg;
    struct redisio *io = context->data;
    const redisReply *reply = raw;
    if (!reply)
        return;
    if (reply->type == REDIS_REPLY_ERROR) {
        setup_failed(io, link_fault_reply(reply->str), reply->str);
        return;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3 || !reply->element[0]->str)
        return;
    if (strcmp(reply->element[0]->str, "subscribe") == 0) {
        io->subscribed = true;
        maybe_up(io);
    } else if (strcmp(reply->element[0]->str, "message") == 0 && io->state == IO_UP &&
               reply->element[2]->type == REDIS_REPLY_STRING) {
        io->events.message(io->events.arg, reply->element[2]->str, (size_t)reply->element[2]->len);
    }
}

static void on_disconnect(const redisAsyncContext *context, int status) {
    (void)status;
    struct redisio *io = context->data;
    if (context == io->commands)
        io->commands = NULL;
    if (context == io->subscriber)
        io->subscriber = NULL;
    setup_failed(io, context->err ? link_fault_io(context->err, context->errstr) : LINK_LOST,
                 context->errstr);
}

static void on_connect(const redisAsyncContext *context, int status) {
    struct redisio *io = context->data;
    if (status == REDIS_OK)
        return;
    /* hiredis frees the context after this. */
    if (context == io->commands)
        io->commands = NULL;
    if (context == io->subscriber)
        io->subscriber = NULL;
    setup_failed(io, link_fault_io(context->err, context->errstr), context->errstr);
}

static void greet(redisAsyncContext *context, const struct endpoint *endpoint) {
    struct link_greeting greeting;
    link_greeting_make(&greeting, endpoint);
    for (size_t i = 0; i < greeting.count; i++)
        redisAsyncCommandArgv(context, on_greeting, (void *)(uintptr_t)i, greeting.commands[i].argc,
                              greeting.commands[i].argv, greeting.commands[i].lens);
}

static redisAsyncContext *open_context(struct redisio *io) {
    redisAsyncContext *context = *io->endpoint.path
                                     ? redisAsyncConnectUnix(io->endpoint.path)
                                     : redisAsyncConnect(io->endpoint.host, io->endpoint.port);
    if (!context) {
        go_down(io, "out of memory");
        return NULL;
    }
    if (context->err || !redispoll_attach(context, io->loop)) {
        setup_failed(io, context->err ? link_fault_io(context->err, context->errstr) : LINK_LOST,
                     context->errstr);
        redisAsyncFree(context);
        return NULL;
    }
    context->data = io;
    redisAsyncSetConnectCallback(context, on_connect);
    redisAsyncSetDisconnectCallback(context, on_disconnect);
    greet(context, &io->endpoint);
    return context;
}

static void open_contexts(struct redisio *io) {
    io->state = IO_SETUP;
    io->subscribed = io->scripts_loaded = false;
    io->waiting = 0;
    io->commands = open_context(io);
    io->subscriber = io->commands ? open_context(io) : NULL;
    if (!io->subscriber)
        return;
    uv_timer_start(&io->timer, on_timer, SETUP_MS, 0);
}

static void on_found(void *arg, const char *host, int port, enum link_fault fault,
                     const char *detail) {
    struct redisio *io = arg;
    if (!host) {
        setup_failed(io, fault, detail);
        return;
    }
    endpoint_locate(&io->endpoint, host, port);
    open_contexts(io);
}

static void connect_now(struct redisio *io) {
    io->events.connecting(io->events.arg);
    endpoint_free(&io->endpoint);
    endpoint_copy(&io->endpoint, io->given);
    if (endpoint_is_unknown(&io->endpoint)) {
        io->state = IO_FIND;
        masterfind_start(io->find, &io->endpoint);
    } else {
        open_contexts(io);
    }
}

/* --- going down ------------------------------------------------------------------------------ */

static void go_down(struct redisio *io, const char *why) {
    if (io->failing || io->state == IO_CLOSED || io->state == IO_DOWN)
        return;
    io->failing = true;
    io->doom[0] = '\0';
    bool was_up = io->state == IO_UP;
    log_once(io, LOG_WARN, "redis_down", why);
    io->state = IO_DOWN;
    drop_contexts(io);
    io->failing = false;
    if (was_up)
        io->events.down(io->events.arg);
    /* Half of the delay is drawn, so that a hundred workers do not come back in step. */
    int64_t delay = io->backoff_ms / 2 + random() % (io->backoff_ms / 2 + 1);
    int64_t most = io->backoff_most_ms;
    io->backoff_ms = io->backoff_ms * 2 < most ? io->backoff_ms * 2 : most;
    uv_timer_start(&io->timer, on_timer, (uint64_t)delay, 0);
}

static void on_timer(uv_timer_t *timer) {
    struct redisio *io = timer->data;
    if (io->state == IO_DOWN) {
        connect_now(io);
    } else if (io->state == IO_SETUP) {
        fail(io, LINK_TIMEOUT, NULL);
    } else if (io->state == IO_UP && io->doom[0]) {
        char why[sizeof io->doom];
        memcpy(why, io->doom, sizeof why);
        go_down(io, why);
    } else if (io->state == IO_UP && io->waiting) {
        int64_t left = ANSWER_MS - mono_diff(mono_now(), io->progress);
        if (left <= 0)
            fail(io, LINK_TIMEOUT, NULL);
        else
            uv_timer_start(&io->timer, on_timer, (uint64_t)left, 0);
    }
}

/* --- commands -------------------------------------------------------------------------------- */

/* Errors after which this connection is of no use: another may have the scripts, or be a master. */
static bool wants_new_connection(enum link_fault fault) {
    return fault == LINK_NO_SCRIPT || fault == LINK_READONLY || fault == LINK_NEEDS_PASSWORD ||
           fault == LINK_LOADING;
}

static void on_reply(redisAsyncContext *context, void *raw, void *arg) {
    struct request *request = arg;
    struct redisio *io = context->data;
    const redisReply *reply = raw;
    if (io->waiting)
        io->waiting--;
    io->progress = mono_now();
    if (reply)
        io->heard = request->sent;
    bool error = reply && reply->type == REDIS_REPLY_ERROR;
    char why[256] = "";
    if (error)
        snprintf(why, sizeof why, "%s", reply->str);
    if (request->callback)
        request->callback(request->arg, error ? NULL : reply);
    free(request);
    if (!error)
        return;
    io->well = mono_after(mono_now(), UNWELL_MS);
    struct buf text = BUF_INIT;
    enum link_fault fault = link_fault_reply(why);
    link_explain(&io->endpoint, fault, why, &text);
    log_once(io, LOG_ERROR, "redis_error", text.data);
    if (wants_new_connection(fault) && io->state == IO_UP && !io->failing) {
        /* Not from inside a callback, where hiredis would leave the others for later. */
        snprintf(io->doom, sizeof io->doom, "%s", text.data);
        uv_timer_start(&io->timer, on_timer, 0, 0);
    }
    buf_free(&text);
}

void redisio_backoff(struct redisio *io, int64_t most_ms) {
    io->backoff_most_ms = most_ms < BACKOFF_FIRST_MS  ? BACKOFF_FIRST_MS
                          : most_ms < BACKOFF_MOST_MS ? most_ms
                                                      : BACKOFF_MOST_MS;
}

const struct endpoint *redisio_endpoint(const struct redisio *io) {
    return &io->endpoint;
}

bool redisio_up(const struct redisio *io) {
    return io->state == IO_UP && !io->failing && !io->doom[0] &&
           mono_diff(mono_now(), io->well) >= 0;
}

bool redisio_send(struct redisio *io, struct cmd *cmd, redisio_reply *callback, void *arg) {
    if (!redisio_up(io))
        return false;
    struct request *request = xmalloc(sizeof *request);
    *request = (struct request){io, callback, arg, mono_now()};
    cmd_argv(cmd);
    if (redisAsyncCommandArgv(io->commands, on_reply, request, (int)cmd->count, cmd->argv,
                              cmd->lens) != REDIS_OK) {
        free(request);
        return false;
    }
    if (io->waiting++ == 0) {
        io->progress = mono_now();
        if (!uv_is_active((uv_handle_t *)&io->timer))
            uv_timer_start(&io->timer, on_timer, ANSWER_MS, 0);
    }
    return true;
}

mono_ms_t redisio_heard(const struct redisio *io) {
    return io->heard;
}

void redisio_publish(struct redisio *io, const char *channel, const void *bytes, size_t len) {
    if (redisio_up(io))
        redisAsyncCommand(io->commands, NULL, NULL, "PUBLISH %s %b", channel, bytes, len);
}

struct redisio *redisio_new(uv_loop_t *loop, const struct endpoint *endpoint, const char *channel,
                            const struct redisio_events *events) {
    struct redisio *io = xcalloc(1, sizeof *io);
    io->loop = loop;
    io->given = endpoint;
    endpoint_copy(&io->endpoint, endpoint);
    io->find = masterfind_new(loop, on_found, io);
    io->channel = xstrdup(channel);
    io->events = *events;
    io->backoff_ms = BACKOFF_FIRST_MS;
    io->backoff_most_ms = BACKOFF_MOST_MS;
    io->state = IO_DOWN;
    uv_timer_init(loop, &io->timer);
    io->timer.data = io;
    uv_timer_start(&io->timer, on_timer, 0, 0);
    return io;
}

static void on_timer_closed(uv_handle_t *handle) {
    struct redisio *io = handle->data;
    endpoint_free(&io->endpoint);
    free(io->channel);
    free(io);
}

void redisio_close(struct redisio *io) {
    io->state = IO_CLOSED;
    masterfind_close(io->find);
    drop_contexts(io);
    uv_close((uv_handle_t *)&io->timer, on_timer_closed);
}
