#include "worker/masterfind.h"

#include <arpa/inet.h>
#include <hiredis/async.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/sentinel.h"
#include "worker/redispoll.h"

/* A look-up outlives a search that was stopped: a thread has it. */
struct lookup {
    uv_getaddrinfo_t request;
    struct masterfind *find; /* NULL: nobody waits for it any more */
};

struct masterfind {
    uv_loop_t *loop;
    masterfind_done *done;
    void *arg;
    bool searching;
    size_t first;
    struct sentinel_round round;
    struct link_greeting question;
    uv_timer_t timer; /* ends the present Sentinel's time, or begins with the next one */
    struct lookup *lookup;
    redisAsyncContext *context;
};

static void on_timer(uv_timer_t *timer);
static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *list);

static void drop_sentinel(struct masterfind *find) {
    redisAsyncContext *context = find->context;
    find->context = NULL;
    if (context)
        redisAsyncFree(context);
    if (find->lookup) {
        find->lookup->find = NULL;
        uv_cancel((uv_req_t *)&find->lookup->request);
        find->lookup = NULL;
    }
}

void masterfind_stop(struct masterfind *find) {
    if (!find->searching)
        return;
    find->searching = false;
    uv_timer_stop(&find->timer);
    drop_sentinel(find);
    sentinel_round_free(&find->round);
}

/* The next one is begun with by the timer: not from inside a callback of this one's connection. */
static void go_on(struct masterfind *find) {
    drop_sentinel(find);
    uv_timer_start(&find->timer, on_timer, 0, 0);
}

static void failed(struct masterfind *find, const char *why) {
    sentinel_round_failed(&find->round, why);
    go_on(find);
}

static void named(struct masterfind *find, const char *host, int port) {
    struct buf copy = BUF_INIT; /* the reply goes with the connection */
    buf_adds(&copy, host);
    find->first = sentinel_round_index(&find->round);
    masterfind_stop(find);
    find->done(find->arg, copy.data, port, LINK_NONE, NULL);
    buf_free(&copy);
}

static void in_vain(struct masterfind *find) {
    struct sentinel_round round = find->round;
    find->round.whys = (struct buf)BUF_INIT;
    masterfind_stop(find);
    find->done(find->arg, NULL, 0, sentinel_round_fault(&round), round.whys.data);
    sentinel_round_free(&round);
}

/* --- one Sentinel ---------------------------------------------------------------------------- */

/* The index of the command is kept in the pointer itself. */
static void on_answer(redisAsyncContext *context, void *raw, void *step) {
    struct masterfind *find = context->data;
    const char *host = NULL;
    int port = 0;
    if (!raw || context != find->context)
        return;
    switch (sentinel_answer_read(&find->round, &find->question, (size_t)(uintptr_t)step, raw, &host,
                                 &port)) {
    case SENTINEL_GO_ON:
        break;
    case SENTINEL_NAMED:
        named(find, host, port);
        break;
    case SENTINEL_FAILED:
        go_on(find);
        break;
    }
}

static void on_lost(const redisAsyncContext *context) {
    struct masterfind *find = context->data;
    if (context != find->context)
        return;           /* dropped by us */
    find->context = NULL; /* hiredis frees it after this */
    failed(find, *context->errstr ? context->errstr : "the connection was closed");
}

static void on_disconnect(const redisAsyncContext *context, int status) {
    (void)status;
    on_lost(context);
}

static void on_connect(const redisAsyncContext *context, int status) {
    if (status != REDIS_OK)
        on_lost(context);
}

static void ask(struct masterfind *find, const char *address, int port) {
    redisAsyncContext *context = redisAsyncConnect(address, port);
    if (!context || context->err || !redispoll_attach(context, find->loop)) {
        failed(find, context && context->err ? context->errstr : "no connection");
        if (context)
            redisAsyncFree(context);
        return;
    }
    find->context = context;
    context->data = find;
    redisAsyncSetConnectCallback(context, on_connect);
    redisAsyncSetDisconnectCallback(context, on_disconnect);
    sentinel_question_make(&find->question, find->round.endpoint);
    for (size_t i = 0; i < find->question.count; i++) {
        struct link_greeting_command *command = &find->question.commands[i];
        redisAsyncCommandArgv(context, on_answer, (void *)(uintptr_t)i, command->argc,
                              command->argv, command->lens);
    }
}

/* IPv4 when there is one, as hiredis does. */
static const struct addrinfo *choose(const struct addrinfo *list) {
    for (const struct addrinfo *at = list; at; at = at->ai_next)
        if (at->ai_family == AF_INET)
            return at;
    return list;
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *list) {
    struct lookup *lookup = (struct lookup *)request;
    struct masterfind *find = lookup->find;
    char address[INET6_ADDRSTRLEN + 20]; /* with an interface's name */
    free(lookup);
    if (find) {
        find->lookup = NULL;
        const struct addrinfo *chosen = status == 0 ? choose(list) : NULL;
        if (chosen && getnameinfo(chosen->ai_addr, chosen->ai_addrlen, address, sizeof address,
                                  NULL, 0, NI_NUMERICHOST) == 0)
            ask(find, address, sentinel_round_now(&find->round)->port);
        else
            failed(find, "its name is not known");
    }
    uv_freeaddrinfo(list);
}

static bool is_address(const char *host) {
    unsigned char bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static void begin(struct masterfind *find, const struct endpoint_sentinel *sentinel) {
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    uv_timer_start(&find->timer, on_timer, SENTINEL_MS, 0);
    if (is_address(sentinel->host)) {
        ask(find, sentinel->host, sentinel->port);
        return;
    }
    find->lookup = xcalloc(1, sizeof *find->lookup);
    find->lookup->find = find;
    if (uv_getaddrinfo(find->loop, &find->lookup->request, on_looked_up, sentinel->host, NULL,
                       &hints) != 0) {
        free(find->lookup);
        find->lookup = NULL;
        failed(find, "its name cannot be looked up");
    }
}

static void on_timer(uv_timer_t *timer) {
    struct masterfind *find = timer->data;
    if (find->context || find->lookup)
        sentinel_round_failed(&find->round, "no answer in time");
    drop_sentinel(find);
    const struct endpoint_sentinel *next = sentinel_round_now(&find->round);
    if (next)
        begin(find, next);
    else
        in_vain(find);
}

/* --- life ------------------------------------------------------------------------------------ */

struct masterfind *masterfind_new(uv_loop_t *loop, masterfind_done *done, void *arg) {
    struct masterfind *find = xcalloc(1, sizeof *find);
    find->loop = loop;
    find->done = done;
    find->arg = arg;
    uv_timer_init(loop, &find->timer);
    find->timer.data = find;
    return find;
}

void masterfind_start(struct masterfind *find, const struct endpoint *endpoint) {
    find->searching = true;
    sentinel_round_start(&find->round, endpoint, find->first);
    uv_timer_start(&find->timer, on_timer, 0, 0);
}

static void on_timer_closed(uv_handle_t *handle) {
    free(handle->data);
}

void masterfind_close(struct masterfind *find) {
    masterfind_stop(find);
    uv_close((uv_handle_t *)&find->timer, on_timer_closed);
}
