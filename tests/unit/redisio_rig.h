/*
 * redisio_rig.h - for tests of worker/redisio.h: a Redis of the test's own on a unix socket, a loop
 * with a deadline on everything, and a list of what was told.
 */
#ifndef DISTCOMP_REDISIO_RIG_H
#define DISTCOMP_REDISIO_RIG_H

#include "tests/unit/dir_rig.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "common/log.h"
#include "common/script.h"
#include "worker/redisio.h"

#define WAIT_MS 20000
#define CHANNEL "distcomp:{q}:wake:w"

static char sock[96], log_path[96];
static pid_t server;
static uv_loop_t loop;
static uv_timer_t deadline;
static struct endpoint endpoint;
static struct redisio *io;
static struct cmd cmd = CMD_INIT;
static struct buf events = BUF_INIT; /* what was told, in order: "up ", "down ", "reply:OK ", ... */
static struct redis_facts facts;
static int hopeless, ups, replies;
static bool late;

/* --- a server -------------------------------------------------------------------------------- */

RIG_UNUSED static void start_server(const char *password) {
    server = fork();
    assert_true(server >= 0);
    if (server == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        dup2(null, 2);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", sock, "--save", "",
               "--dir", root, "--requirepass", password, (char *)NULL);
        _exit(127);
    }
}

RIG_UNUSED static void stop_server(void) {
    if (server <= 0)
        return;
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    server = 0;
    unlink(sock);
}

/* A command on a connection of its own; fails the test when it is answered by an error. */
RIG_UNUSED static long long ask(const char *first, const char *command) {
    redisContext *context = NULL;
    for (int i = 0; i < WAIT_MS / 10; i++) {
        context = redisConnectUnix(sock);
        if (context && !context->err)
            break;
        redisFree(context);
        context = NULL;
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    assert_non_null(context);
    if (first)
        freeReplyObject(redisCommand(context, first));
    redisReply *reply = redisCommand(context, command);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", command, reply->str);
    long long number = reply->integer;
    freeReplyObject(reply);
    redisFree(context);
    return number;
}

/* --- what is told ---------------------------------------------------------------------------- */

RIG_UNUSED static int connects; /* tries to connect */

static void on_connecting(void *arg) {
    (void)arg;
    connects++;
}

static void on_up(void *arg, const struct redis_facts *f) {
    assert_ptr_equal(arg, &loop);
    facts = *f;
    ups++;
    buf_adds(&events, "up ");
    assert_true(redisio_up(io));
}

RIG_UNUSED static void on_down(void *arg) {
    (void)arg;
    assert_false(redisio_up(io));
    buf_adds(&events, "down ");
}

RIG_UNUSED static void on_message(void *arg, const char *text, size_t len) {
    (void)arg;
    buf_adds(&events, "message:");
    buf_add(&events, text, len);
    buf_addc(&events, ' ');
}

RIG_UNUSED static void on_hopeless(void *arg, const char *why) {
    (void)arg;
    hopeless++;
    buf_addf(&events, "hopeless:%s ", why);
}

RIG_UNUSED static void on_reply(void *arg, const redisReply *reply) {
    replies++;
    buf_addf(&events, "%s:", (const char *)arg);
    if (!reply)
        buf_adds(&events, "NULL ");
    else if (reply->type == REDIS_REPLY_INTEGER)
        buf_addf(&events, "%lld ", reply->integer);
    else
        buf_addf(&events, "%s ", reply->str ? reply->str : "?");
}

RIG_UNUSED static void on_deadline(uv_timer_t *timer) {
    (void)timer;
    late = true;
    uv_stop(&loop);
}

/* Turns the loop until the condition holds. */
#define until(condition)                                                                           \
    do {                                                                                           \
        turn_until_late(WAIT_MS);                                                                  \
        while (!(condition)) {                                                                     \
            uv_run(&loop, UV_RUN_ONCE);                                                            \
            if (late)                                                                              \
                fail_msg("waited %d ms for: %s; told: %s", WAIT_MS, #condition, events.data);      \
        }                                                                                          \
        uv_timer_stop(&deadline);                                                                  \
    } while (0)

RIG_UNUSED static void turn_until_late(uint64_t ms) {
    late = false;
    uv_update_time(&loop);
    uv_timer_start(&deadline, on_deadline, ms, 0);
}

/* Turns the loop for so long, to see that something does not come. */
RIG_UNUSED static void turn_for(uint64_t ms) {
    turn_until_late(ms);
    while (!late)
        uv_run(&loop, UV_RUN_ONCE);
}

/* How many log lines have this event, and the last of them in `line`. */
RIG_UNUSED static int logged(const char *event, char *line, size_t size) {
    char text[1024], wanted[64];
    int count = 0;
    FILE *f = fopen(log_path, "r");
    assert_non_null(f);
    snprintf(wanted, sizeof wanted, "\"%s\"", event);
    while (fgets(text, sizeof text, f))
        if (strstr(text, wanted)) {
            count++;
            snprintf(line, size, "%s", text);
        }
    fclose(f);
    return count;
}

/* --- each test ------------------------------------------------------------------------------- */

RIG_UNUSED static int up(void **state) {
    (void)state;
    if (dir_make() != 0)
        return -1;
    snprintf(sock, sizeof sock, "%s/r.sock", root);
    snprintf(log_path, sizeof log_path, "%s/log", root);
    int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    log_setup(fd, LOG_INFO, LOG_JSON);
    signal(SIGPIPE, SIG_IGN); /* as the agent does */
    uv_loop_init(&loop);
    uv_timer_init(&loop, &deadline);
    endpoint = (struct endpoint){.path = sock,
                                 .host = "",
                                 .user = "",
                                 .pass = "",
                                 .master = "",
                                 .sentinel_user = "",
                                 .sentinel_pass = "",
                                 .origin = "test"};
    buf_clear(&events);
    hopeless = ups = replies = 0;
    return 0;
}

RIG_UNUSED static void open_io(void) {
    struct redisio_events e = {on_connecting, on_up, on_down, on_message, on_hopeless, &loop};
    io = redisio_new(&loop, &endpoint, CHANNEL, &e);
    assert_false(redisio_up(io));
}

RIG_UNUSED static void serve(void) {
    start_server("");
    ask(NULL, "PING");
    open_io();
    until(ups == 1);
    buf_clear(&events);
}

RIG_UNUSED static int down(void **state) {
    (void)state;
    if (io)
        redisio_close(io);
    io = NULL;
    uv_close((uv_handle_t *)&deadline, NULL);
    uv_run(&loop, UV_RUN_DEFAULT); /* ends only when everything is closed */
    int rc = uv_loop_close(&loop);
    stop_server();
    log_setup(2, LOG_ERROR, LOG_PLAIN);
    cmd_free(&cmd);
    buf_free(&events);
    dir_remove();
    return rc;
}

/* Sends words; the callback's text begins with the first of them. */
RIG_UNUSED static bool send_words(const char *const *words) {
    cmd_clear(&cmd);
    for (size_t i = 0; words[i]; i++)
        cmd_adds(&cmd, words[i]);
    return redisio_send(io, &cmd, on_reply, (void *)(uintptr_t)words[0]);
}
#define send_command(...) send_words((const char *const[]){__VA_ARGS__, NULL})

RIG_UNUSED static bool have_server(void) {
    return system("command -v redis-server >/dev/null") == 0;
}

#endif
