/* masterfind.h against Sentinels that the test plays itself: sockets that answer with a fixed text.
 */
#include "tests/unit/redisio_rig.h"

#include "worker/masterfind.h"

#define PLAYED_MOST 3
#define NIL         "*-1\r\n"
#define MASTER      "*2\r\n$8\r\n10.0.0.7\r\n$4\r\n6380\r\n"

static struct played {
    int listener, connection; /* -1: none */
    int port, asked;
    const char *answer; /* NULL: silent; "": hangs up */
    char heard[256];
} played[PLAYED_MOST];

static struct masterfind *find;
static struct endpoint watched;
static int ended;
static char found[64], detail[512];
static enum link_fault fault;

static void on_done(void *arg, const char *host, int port, enum link_fault why, const char *text) {
    assert_ptr_equal(arg, &loop);
    ended++;
    fault = why;
    snprintf(found, sizeof found, "%s:%d", host ? host : "", port);
    snprintf(detail, sizeof detail, "%s", text ? text : "");
}

static void play(struct played *p, const char *answer) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(p->listener, 9), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&address, &len), 0);
    p->port = ntohs(address.sin_port);
    p->answer = answer;
}

static void turn_played(struct played *p) {
    if (p->listener < 0)
        return;
    int fd = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        p->asked++;
        if (p->connection >= 0)
            close(p->connection);
        p->connection = fd;
    }
    if (p->connection < 0 || !p->answer)
        return;
    char bytes[sizeof p->heard];
    ssize_t n = *p->answer ? recv(p->connection, bytes, sizeof bytes - 1, 0) : 0;
    if (n > 0) {
        bytes[n] = '\0';
        memcpy(p->heard, bytes, (size_t)n + 1);
        send(p->connection, p->answer, strlen(p->answer), MSG_NOSIGNAL);
    } else if (n == 0) {
        close(p->connection);
        p->connection = -1;
    }
}

static void search(void) {
    int before = ended;
    masterfind_start(find, &watched);
    assert_int_equal(ended, before);
    turn_until_late(WAIT_MS);
    while (!late && ended == before) {
        for (int i = 0; i < PLAYED_MOST; i++)
            turn_played(&played[i]);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_false(late);
    uv_timer_stop(&deadline);
    assert_int_equal(ended, before + 1);
}

/* The Sentinels of a URL, one for each answer. */
static void watch(const char *login, const char *const answers[], size_t count) {
    struct buf url = BUF_INIT, error = BUF_INIT;
    buf_addf(&url, "sentinel://%s", login);
    for (size_t i = 0; i < count; i++) {
        play(&played[i], answers[i]);
        buf_addf(&url, "%s127.0.0.1:%d", i ? "," : "", played[i].port);
    }
    buf_adds(&url, "/main");
    assert_true(endpoint_parse(&watched, url.data, &error));
    buf_free(&url);
    buf_free(&error);
}
#define watch_by(login, ...)                                                                       \
    watch(login, (const char *const[]){__VA_ARGS__},                                               \
          sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void hangs_up_is_silent_names_it(void **state) {
    (void)state;
    watch_by("", "", NULL, MASTER);
    search();
    assert_string_equal(found, "10.0.0.7:6380");
    assert_int_equal(fault, LINK_NONE);
    assert_int_equal(played[0].asked + played[1].asked + played[2].asked, 3);
    assert_non_null(strstr(played[2].heard, "get-master-addr-by-name"));
    assert_null(strstr(played[2].heard, "AUTH"));
    search(); /* begins with the one that knew */
    assert_int_equal(played[0].asked + played[1].asked, 2);
    assert_int_equal(played[2].asked, 2);
    played[2].answer = NIL;
    played[0].answer = MASTER;
    search(); /* and goes on round */
    assert_int_equal(played[0].asked, 2);
    assert_string_equal(found, "10.0.0.7:6380");
}

static void nobody_knows_the_name(void **state) {
    (void)state;
    watch_by("", NIL, NIL);
    search();
    assert_int_equal(fault, LINK_UNKNOWN_MASTER);
    assert_string_equal(found, ":0");
}

static void each_says_why_not(void **state) {
    (void)state;
    watch_by("u:hush@", "-WRONGPASS no\r\n", NULL, "");
    search();
    assert_int_equal(fault, LINK_NO_SENTINEL);
    assert_non_null(strstr(played[0].heard, "AUTH"));
    assert_non_null(strstr(played[0].heard, "hush"));
    assert_non_null(strstr(detail, "wrong user or password"));
    assert_non_null(strstr(detail, "no answer in time"));
    assert_null(strstr(detail, "hush"));
}

static void names_are_looked_up(void **state) {
    (void)state;
    struct buf url = BUF_INIT, error = BUF_INIT;
    play(&played[0], MASTER);
    buf_addf(&url, "sentinel://no-such-host.invalid,localhost:%d/main", played[0].port);
    assert_true(endpoint_parse(&watched, url.data, &error));
    search();
    assert_string_equal(found, "10.0.0.7:6380");
    buf_free(&url);
    buf_free(&error);
}

/* Wherever the search is, nothing is told after the stop, and another may begin. */
static void may_be_stopped(void **state) {
    (void)state;
    watch_by("", NULL, MASTER);
    masterfind_stop(find);
    masterfind_start(find, &watched);
    masterfind_stop(find);
    masterfind_start(find, &watched);
    turn_for(50); /* connected, and asked */
    masterfind_stop(find);
    turn_for(100);
    assert_int_equal(ended, 0);
    search();
    assert_string_equal(found, "10.0.0.7:6380");
}

static int begin(void **state) {
    int rc = up(state);
    for (int i = 0; i < PLAYED_MOST; i++)
        played[i] = (struct played){.listener = -1, .connection = -1};
    ended = 0;
    find = masterfind_new(&loop, on_done, &loop);
    return rc;
}

static int end(void **state) {
    masterfind_close(find);
    for (int i = 0; i < PLAYED_MOST; i++) {
        if (played[i].listener >= 0)
            close(played[i].listener);
        if (played[i].connection >= 0)
            close(played[i].connection);
    }
    int rc = down(state); /* 0 only when everything of the loop is closed */
    endpoint_free(&watched);
    return rc;
}

#define searching(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        searching(hangs_up_is_silent_names_it),
        searching(nobody_knows_the_name),
        searching(each_says_why_not),
        searching(names_are_looked_up),
        searching(may_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
