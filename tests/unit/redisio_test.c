/* redisio.h against a Redis of the test's own, which is killed, refused, misled and restarted. */
#include "tests/unit/redisio_rig.h"

static void comes_up_with_facts_and_scripts(void **state) {
    (void)state;
    serve();
    assert_int_equal(strspn(facts.run_id, "0123456789abcdef"), 40);
    assert_true(facts.output_share_bytes >= 1 << 20);
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
    assert_int_equal(facts.output_share_bytes, 52428800 / 20);
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
    int before = connects;
    start_server("");
    until(ups == 2);
    assert_true(connects > before); /* it asks where Redis is each time */
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

/* Plays a server that says `text` to whoever connects, or with none hangs up at once. */
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
            send(fd, text, strlen(text), MSG_NOSIGNAL); /* it may have gone already */
            if (!*text)
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

/* At once, not when the time to answer is over. */
static void a_refused_connection_is_seen_at_once(void **state) {
    (void)state;
    char line[1024] = "";
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, but it does not listen */
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    endpoint.path = "";
    endpoint.host = "127.0.0.1";
    endpoint.port = ntohs(address.sin_port);
    open_io();
    turn_until_late(5000);
    while (!late && logged("redis_down", line, sizeof line) == 0)
        uv_run(&loop, UV_RUN_ONCE);
    assert_non_null(strstr(line, "connection refused"));
    close(fd);
}

static void what_is_no_redis_is_hopeless(void **state) {
    (void)state;
    play("220 mail.example ESMTP\r\n", 100);
    turn_for(300);
    assert_int_equal(hopeless, 1);
    assert_non_null(strstr(events.data, "not a Redis"));
}

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
        fresh(a_refused_connection_is_seen_at_once),
        fresh(what_is_no_redis_is_hopeless),
    };
    if (!have_server()) {
        fprintf(stderr, "no redis-server here: make deps-test installs it\n");
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
