/* redisio.h against a Redis of the test's own, which is killed, refused, misled and restarted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/script.h"
#include "worker/redisio.h"

#define WAIT_MS 20000
#define CHANNEL "distcomp:{q}:wake:w"

static char dir[64], sock[96], log_path[96];
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

static void start_server(const char *password) {
    server = fork();
    assert_true(server >= 0);
    if (server == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        dup2(null, 2);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", sock, "--save", "",
               "--dir", dir, "--requirepass", password, (char *)NULL);
        _exit(127);
    }
}

static void stop_server(void) {
    if (server <= 0)
        return;
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    server = 0;
    unlink(sock);
}

/* A command on a connection of its own; fails the test when it is answered by an error. */
static long long ask(const char *first, const char *command) {
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

static void on_up(void *arg, const struct redis_facts *f) {
    assert_ptr_equal(arg, &loop);
    facts = *f;
    ups++;
    buf_adds(&events, "up ");
    assert_true(redisio_up(io));
}

static void on_down(void *arg) {
    (void)arg;
    assert_false(redisio_up(io));
    buf_adds(&events, "down ");
}

static void on_message(void *arg, const char *text, size_t len) {
    (void)arg;
    buf_adds(&events, "message:");
    buf_add(&events, text, len);
    buf_addc(&events, ' ');
}

static void on_hopeless(void *arg, const char *why) {
    (void)arg;
    hopeless++;
    buf_addf(&events, "hopeless:%s ", why);
}

static void on_reply(void *arg, const redisReply *reply) {
    replies++;
    buf_addf(&events, "%s:", (const char *)arg);
    if (!reply)
        buf_adds(&events, "NULL ");
    else if (reply->type == REDIS_REPLY_INTEGER)
        buf_addf(&events, "%lld ", reply->integer);
    else
        buf_addf(&events, "%s ", reply->str ? reply->str : "?");
}

static void on_deadline(uv_timer_t *timer) {
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

static void turn_until_late(uint64_t ms) {
    late = false;
    uv_update_time(&loop);
    uv_timer_start(&deadline, on_deadline, ms, 0);
}

/* Turns the loop for so long, to see that something does not come. */
static void turn_for(uint64_t ms) {
    turn_until_late(ms);
    while (!late)
        uv_run(&loop, UV_RUN_ONCE);
}

/* How many log lines have this event, and the last of them in `line`. */
static int logged(const char *event, char *line, size_t size) {
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

static int up(void **state) {
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%.40s/redisioXXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return -1;
    snprintf(sock, sizeof sock, "%s/r.sock", dir);
    snprintf(log_path, sizeof log_path, "%s/log", dir);
    int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    log_setup(fd, LOG_INFO, LOG_JSON);
    uv_loop_init(&loop);
    uv_timer_init(&loop, &deadline);
    endpoint =
        (struct endpoint){.path = sock, .host = "", .user = "", .pass = "", .origin = "test"};
    buf_clear(&events);
    hopeless = ups = replies = 0;
    return 0;
}

static void open_io(void) {
    struct redisio_events e = {on_up, on_down, on_message, on_hopeless, &loop};
    io = redisio_new(&loop, &endpoint, CHANNEL, &e);
    assert_false(redisio_up(io));
}

static void serve(void) {
    start_server("");
    ask(NULL, "PING");
    open_io();
    until(ups == 1);
    buf_clear(&events);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static int down(void **state) {
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
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return rc;
}

/* Sends words; the callback's text begins with the first of them. */
static bool send_words(const char *const *words) {
    cmd_clear(&cmd);
    for (size_t i = 0; words[i]; i++)
        cmd_adds(&cmd, words[i]);
    return redisio_send(io, &cmd, on_reply, (void *)(uintptr_t)words[0]);
}
#define send_command(...) send_words((const char *const[]){__VA_ARGS__, NULL})

static void comes_up_with_facts_and_scripts(void **state) {
    (void)state;
    serve();
    assert_int_equal(strspn(facts.run_id, "0123456789abcdef"), 40);
    assert_true(facts.memory_bytes > 1 << 20);
    assert_true(redisio_up(io));
    assert_true(send_command("SET", "k", "v"));
    assert_true(send_command("GET", "k"));
    cmd_clear(&cmd);
    cmd_adds(&cmd, "PING");
    assert_true(redisio_send(io, &cmd, NULL, NULL)); /* without a callback */
    until(replies == 2);
    assert_string_equal(events.data, "SET:OK GET:v ");
    for (size_t i = 0; i < scripts_count; i++) {
        redisContext *context = redisConnectUnix(sock);
        redisReply *reply = redisCommand(context, "SCRIPT EXISTS %s", scripts[i].sha1);
        assert_int_equal(reply->element[0]->integer, 1);
        freeReplyObject(reply);
        redisFree(context);
    }
}

static void maxmemory_counts_where_it_is_less(void **state) {
    (void)state;
    start_server("");
    ask(NULL, "CONFIG SET maxmemory 52428800");
    open_io();
    until(ups == 1);
    assert_int_equal(facts.memory_bytes, 52428800);
}

static void killed_and_back(void **state) {
    (void)state;
    serve();
    assert_true(send_command("BLPOP", "nothing", "0"));
    assert_true(send_command("GET", "k"));
    turn_for(50); /* BLPOP is under way */
    stop_server();
    until(strstr(events.data, "down"));
    assert_string_equal(events.data, "BLPOP:NULL GET:NULL down ");
    assert_false(redisio_up(io));
    assert_false(send_command("GET", "k"));
    assert_int_equal(replies, 2); /* nothing is called for what was not sent */
    char id[41], line[1024];
    memcpy(id, facts.run_id, sizeof id);
    start_server("");
    until(ups == 2);
    assert_string_not_equal(facts.run_id, id);
    assert_true(send_command("PING"));
    until(replies == 3);
    assert_non_null(strstr(events.data, "PING:PONG"));
    assert_int_equal(logged("redis_up", line, sizeof line), 2);
}

static void nobody_there_is_logged_once(void **state) {
    (void)state;
    char line[1024] = "";
    open_io();
    turn_for(900); /* tries at 0, after 50 to 100, 100 to 200, 200 to 400 ms */
    assert_int_equal(logged("redis_down", line, sizeof line), 1);
    assert_non_null(strstr(line, "there is no such socket"));
    assert_non_null(strstr(line, sock));
    assert_int_equal(ups + hopeless, 0);
    start_server("");
    until(ups == 1);
    assert_string_equal(events.data, "up ");
}

static void a_wrong_password_is_hopeless_once(void **state) {
    (void)state;
    static const struct {
        const char *pass, *says;
    } rows[] = {{"", "wants a password"}, {"hush", "wrong user or password"}};
    char line[1024];
    start_server("right");
    ask("AUTH right", "PING");
    for (int i = 0; i < 2; i++) {
        endpoint.pass = (char *)(uintptr_t)rows[i].pass;
        hopeless = 0;
        buf_clear(&events);
        open_io();
        until(hopeless > 0);
        turn_for(400);
        assert_int_equal(hopeless, 1);
        assert_non_null(strstr(events.data, rows[i].says));
        assert_null(strstr(events.data, "hush"));
        assert_null(strstr(events.data, "down"));
        assert_int_equal(logged("redis_down", line, sizeof line), 0);
        redisio_close(io);
    }
    endpoint.pass = (char *)(uintptr_t) "right";
    open_io();
    until(ups == 1);
}

/* A password that is changed while the worker runs does not end it. */
static void never_hopeless_once_it_was_up(void **state) {
    (void)state;
    serve();
    ask("CONFIG SET requirepass new", "CLIENT KILL TYPE pubsub");
    until(strstr(events.data, "down"));
    char line[1024];
    until(logged("redis_down", line, sizeof line) == 2);
    assert_non_null(strstr(line, "wants a password"));
    turn_for(300);
    assert_int_equal(hopeless, 0);
    ask("AUTH new", "ACL SETUSER default nopass");
    until(ups == 2);
}

static void error_replies_give_null_and_a_pause(void **state) {
    (void)state;
    serve();
    assert_true(send_command("SET", "k", "v"));
    assert_true(send_command("LPUSH", "k", "v")); /* WRONGTYPE */
    assert_true(send_command("GET", "k"));
    until(replies == 3);
    assert_string_equal(events.data, "SET:OK LPUSH:NULL GET:v ");
    char line[1024];
    assert_int_equal(logged("redis_error", line, sizeof line), 1);
    assert_non_null(strstr(line, "WRONGTYPE"));
    assert_false(redisio_up(io));
    assert_false(send_command("GET", "k"));
    turn_until_late(WAIT_MS);
    while (!late && !redisio_up(io))
        uv_run(&loop, UV_RUN_NOWAIT);
    assert_true(send_command("GET", "k")); /* on the same connection */
    until(replies == 4);
    assert_int_equal(ups, 1);
    assert_null(strstr(events.data, "down"));
}

static void unknown_scripts_are_loaded_again(void **state) {
    (void)state;
    serve();
    ask(NULL, "SCRIPT FLUSH");
    cmd_script(&cmd, "want", "distcomp:{q}");
    cmd_adds(&cmd, "run");
    assert_true(redisio_send(io, &cmd, on_reply, (void *)(uintptr_t) "want"));
    assert_true(send_command("BLPOP", "nothing", "0"));
    until(ups == 2);
    /* Every callback has run before it is told down. */
    assert_string_equal(events.data, "want:NULL BLPOP:NULL down up ");
    cmd_script(&cmd, "want", "distcomp:{q}");
    cmd_adds(&cmd, "run");
    assert_true(redisio_send(io, &cmd, on_reply, (void *)(uintptr_t) "want"));
    until(replies == 3);
    assert_non_null(strstr(events.data, "want:? ")); /* an empty array */
}

static void a_replica_is_left_for_a_master(void **state) {
    (void)state;
    serve();
    ask(NULL, "REPLICAOF 127.0.0.1 1");
    assert_true(send_command("SET", "k", "v"));
    until(strstr(events.data, "down"));
    assert_string_equal(events.data, "SET:NULL down ");
    turn_for(300);
    assert_int_equal(ups, 1);
    ask(NULL, "REPLICAOF NO ONE");
    until(ups == 2);
    assert_int_equal(hopeless, 0);
}

static void messages_are_delivered_whole(void **state) {
    (void)state;
    serve();
    assert_int_equal(ask(NULL, "PUBLISH " CHANNEL " work"), 1);
    until(strstr(events.data, "message:work "));
    redisio_publish(io, CHANNEL, "a\0b", 3);
    size_t before = events.len;
    until(events.len >= before + 12);
    assert_memory_equal(events.data + before, "message:a\0b ", 12);
    assert_int_equal(ask(NULL, "PUBLISH distcomp:{q}:wake:other work"), 0);
}

/* Both connections live and die together. */
static void a_lost_subscription_is_a_lost_connection(void **state) {
    (void)state;
    serve();
    assert_true(send_command("BLPOP", "nothing", "0"));
    turn_for(50);
    assert_int_equal(ask(NULL, "CLIENT KILL TYPE pubsub"), 1);
    until(ups == 2);
    assert_string_equal(events.data, "BLPOP:NULL down up ");
    assert_int_equal(ask(NULL, "PUBLISH " CHANNEL " work"), 1);
    until(strstr(events.data, "message:work "));
}

static void closing_answers_what_waits(void **state) {
    (void)state;
    serve();
    assert_true(send_command("BLPOP", "nothing", "0"));
    redisio_close(io);
    io = NULL;
    turn_for(100);
    assert_string_equal(events.data, "BLPOP:NULL ");
}

/* Plays a server that says `text` to whoever connects and hangs up, until the condition holds. */
static void play(const char *text, int connections) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), seen = 0;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", sock);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 9), 0);
    open_io();
    turn_until_late(WAIT_MS);
    while (!late && seen < connections && !hopeless) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0) {
            seen++;
            assert_int_equal(write(fd, text, strlen(text)), strlen(text));
            close(fd);
        }
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_false(late);
    uv_timer_stop(&deadline);
    close(listener);
}

static void a_server_that_hangs_up_is_tried_again(void **state) {
    (void)state;
    char line[1024] = "";
    play("", 6);
    assert_string_equal(events.data, "");
    assert_true(logged("redis_down", line, sizeof line) >= 1);
    unlink(sock);
    start_server("");
    until(ups == 1);
}

static void what_is_no_redis_is_hopeless(void **state) {
    (void)state;
    play("220 mail.example ESMTP\r\n", 100);
    turn_for(300);
    assert_int_equal(hopeless, 1);
    assert_non_null(strstr(events.data, "not a Redis"));
}

static bool have_server(void) {
    return system("command -v redis-server >/dev/null") == 0;
}

#define fresh(test) cmocka_unit_test_setup_teardown(test, up, down)

int main(void) {
    const struct CMUnitTest tests[] = {
        fresh(comes_up_with_facts_and_scripts),
        fresh(maxmemory_counts_where_it_is_less),
        fresh(killed_and_back),
        fresh(nobody_there_is_logged_once),
        fresh(a_wrong_password_is_hopeless_once),
        fresh(never_hopeless_once_it_was_up),
        fresh(error_replies_give_null_and_a_pause),
        fresh(unknown_scripts_are_loaded_again),
        fresh(a_replica_is_left_for_a_master),
        fresh(messages_are_delivered_whole),
        fresh(a_lost_subscription_is_a_lost_connection),
        fresh(closing_answers_what_waits),
        fresh(a_server_that_hangs_up_is_tried_again),
        fresh(what_is_no_redis_is_hopeless),
    };
    if (!have_server()) {
        fprintf(stderr, "no redis-server here: make deps-test installs it\n");
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
