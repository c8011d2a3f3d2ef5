/* superlink.h: frames in pieces and in heaps, a slow reader, and the end of the other side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/superlink.h"

#define WAIT_MS 20000

static uv_loop_t loop;
static uv_timer_t deadline;
static struct superlink *superlink;
static int peer;                   /* the supervisor's end, non-blocking; -1: closed */
static struct buf seen = BUF_INIT; /* TYPE:LENGTH of each frame that came */
static uint64_t sum;               /* of the payloads' bytes, each times its place */
static size_t payload_bytes;
static int closed;
static bool late;

static void on_frame(void *arg, uint32_t type, const char *payload, size_t len) {
    assert_ptr_equal(arg, &loop);
    buf_addf(&seen, "%u:%zu ", type, len);
    for (size_t i = 0; i < len; i++)
        sum += (i + 1) * (unsigned char)payload[i];
    payload_bytes += len;
}

static void on_closed(void *arg) {
    assert_ptr_equal(arg, &loop);
    closed++;
}

static void on_deadline(uv_timer_t *timer) {
    (void)timer;
    late = true;
    uv_stop(&loop);
}

/* Turns the loop until the condition holds. */
#define until(condition)                                                                           \
    do {                                                                                           \
        late = false;                                                                              \
        uv_timer_start(&deadline, on_deadline, WAIT_MS, 0);                                        \
        while (!(condition)) {                                                                     \
            uv_run(&loop, UV_RUN_ONCE);                                                            \
            if (late)                                                                              \
                fail_msg("waited %d ms for: %s", WAIT_MS, #condition);                             \
        }                                                                                          \
        uv_timer_stop(&deadline);                                                                  \
    } while (0)

/* One turn more, to see that nothing else comes. */
static void settle(void) {
    for (int i = 0; i < 3; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
}

static int up(void **state) {
    (void)state;
    int ends[2], small = 4096;
    signal(SIGPIPE, SIG_IGN); /* as the agent does */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    peer = ends[1];
    fcntl(peer, F_SETFL, O_NONBLOCK);
    uv_loop_init(&loop);
    uv_timer_init(&loop, &deadline);
    struct superlink_events events = {on_frame, on_closed, &loop};
    superlink = superlink_new(&loop, ends[0], &events);
    buf_clear(&seen);
    sum = payload_bytes = 0;
    closed = 0;
    return 0;
}

static int down(void **state) {
    (void)state;
    if (superlink)
        superlink_close(superlink);
    superlink = NULL;
    uv_close((uv_handle_t *)&deadline, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    if (peer >= 0)
        close(peer);
    buf_free(&seen);
    return uv_loop_close(&loop);
}

static void add_frame(struct buf *out, uint32_t type, const void *payload, size_t len) {
    struct wire_frame frame = {type, (uint32_t)len};
    buf_add(out, &frame, sizeof frame);
    buf_add(out, payload, len);
}

static void say(const void *bytes, size_t len) {
    assert_int_equal(send(peer, bytes, len, 0), (ssize_t)len);
}

static void frames_byte_by_byte(void **state) {
    (void)state;
    struct buf bytes = BUF_INIT;
    add_frame(&bytes, WIRE_EXIT, "abc", 3);
    add_frame(&bytes, WIRE_READY, "", 0);
    for (size_t i = 0; i < bytes.len; i++) {
        say(bytes.data + i, 1);
        settle();
        assert_string_equal(seen.data, i + 1 < 11 ? "" : i + 1 < 19 ? "68:3 " : "68:3 66:0 ");
    }
    assert_int_equal(sum, 'a' + 2 * 'b' + 3 * 'c');
    assert_int_equal(closed, 0);
    buf_free(&bytes);
}

static void many_frames_in_one_read_and_a_part(void **state) {
    (void)state;
    struct buf bytes = BUF_INIT, expected = BUF_INIT;
    for (uint32_t i = 0; i < 500; i++) {
        add_frame(&bytes, i, "xxxxxxxxxx", i % 10);
        buf_addf(&expected, "%u:%u ", i, i % 10);
    }
    size_t whole = bytes.len;
    add_frame(&bytes, 1000, "12345", 5);
    say(bytes.data, whole + 10);
    until(seen.len >= expected.len);
    settle();
    assert_string_equal(seen.data, expected.data);
    say(bytes.data + whole + 10, 3);
    buf_adds(&expected, "1000:5 ");
    until(seen.len >= expected.len);
    assert_string_equal(seen.data, expected.data);
    buf_free(&bytes);
    buf_free(&expected);
}

static void the_largest_frame(void **state) {
    (void)state;
    char *payload = xmalloc(WIRE_FRAME_MAX);
    uint64_t expected = 0;
    for (size_t i = 0; i < WIRE_FRAME_MAX; i++) {
        payload[i] = (char)(i * 7 % 251);
        expected += (i + 1) * (unsigned char)payload[i];
    }
    struct buf bytes = BUF_INIT;
    add_frame(&bytes, 5, payload, WIRE_FRAME_MAX);
    size_t sent = 0;
    while (sent < bytes.len) {
        ssize_t n = send(peer, bytes.data + sent, bytes.len - sent, 0);
        if (n > 0)
            sent += (size_t)n;
        else
            uv_run(&loop, UV_RUN_NOWAIT);
    }
    until(payload_bytes == WIRE_FRAME_MAX);
    assert_int_equal(sum, expected);
    assert_int_equal(closed, 0);
    free(payload);
    buf_free(&bytes);
}

static void an_oversize_frame_ends_it_once(void **state) {
    (void)state;
    struct buf bytes = BUF_INIT;
    struct wire_frame frame = {7, WIRE_FRAME_MAX + 1};
    add_frame(&bytes, 5, "ok", 2);
    buf_add(&bytes, &frame, sizeof frame);
    add_frame(&bytes, 5, "no", 2);
    say(bytes.data, bytes.len);
    until(closed > 0);
    settle();
    assert_string_equal(seen.data, "5:2 ");
    superlink_send(superlink, 1, "x", 1, NULL, 0);
    superlink_flush(superlink);
    settle();
    assert_int_equal(closed, 1);
    buf_free(&bytes);
}

static void closing_is_told_once_after_what_came(void **state) {
    (void)state;
    struct buf bytes = BUF_INIT;
    add_frame(&bytes, WIRE_EXIT, "abc", 3);
    buf_adds(&bytes, "half");
    say(bytes.data, bytes.len);
    close(peer);
    peer = -1;
    until(closed > 0);
    settle();
    superlink_send(superlink, 1, "x", 1, NULL, 0);
    superlink_flush(superlink); /* EPIPE */
    settle();
    assert_string_equal(seen.data, "68:3 ");
    assert_int_equal(closed, 1);
    buf_free(&bytes);
}

static void a_write_that_fails_is_told_once(void **state) {
    (void)state;
    close(peer);
    peer = -1;
    superlink_send(superlink, 1, "x", 1, NULL, 0);
    superlink_flush(superlink);
    assert_int_equal(closed, 1);
    settle();
    assert_int_equal(closed, 1);
}

static void nothing_goes_out_before_flush(void **state) {
    (void)state;
    char bytes[64];
    superlink_send(superlink, WIRE_ACK, "abcd", 4, "ef", 2);
    superlink_send(superlink, WIRE_BYE, "g", 1, NULL, 0);
    settle();
    assert_true(recv(peer, bytes, sizeof bytes, 0) < 0 && errno == EAGAIN);
    superlink_flush(superlink);
    struct buf expected = BUF_INIT;
    add_frame(&expected, WIRE_ACK, "abcdef", 6);
    add_frame(&expected, WIRE_BYE, "g", 1);
    assert_int_equal(recv(peer, bytes, sizeof bytes, 0), expected.len); /* in one write */
    assert_memory_equal(bytes, expected.data, expected.len);
    buf_free(&expected);
}

/* Queues frames of 1000 bytes, the n-th filled with n. */
static void queue_frames(uint32_t count) {
    char payload[1000];
    for (uint32_t i = 0; i < count; i++) {
        memset(payload, (int)(i & 0xff), sizeof payload);
        superlink_send(superlink, i, payload, sizeof payload, NULL, 0);
    }
}

static void expect_frames(const struct buf *got, uint32_t count) {
    const size_t size = sizeof(struct wire_frame) + 1000;
    assert_int_equal(got->len, count * size);
    for (uint32_t i = 0; i < count; i++) {
        struct wire_frame frame;
        memcpy(&frame, got->data + i * size, sizeof frame);
        assert_int_equal(frame.type, i);
        assert_int_equal((unsigned char)got->data[(i + 1) * size - 1], i & 0xff);
    }
}

static void read_peer(struct buf *got) {
    char chunk[5000];
    ssize_t n = recv(peer, chunk, sizeof chunk, 0);
    if (n > 0)
        buf_add(got, chunk, (size_t)n);
}

static unsigned turns;

static void count_turn(uv_prepare_t *prepare) {
    (void)prepare;
    turns++;
}

static void a_full_socket_waits_and_goes_on(void **state) {
    (void)state;
    const uint32_t count = 2000;
    struct buf got = BUF_INIT;
    queue_frames(count);
    superlink_flush(superlink);
    read_peer(&got);
    superlink_flush(superlink); /* asked again while it waits: in order all the same */
    /* The peer is read between turns, so that only the poll can have written the rest. */
    late = false;
    uv_timer_start(&deadline, on_deadline, WAIT_MS, 0);
    while (!late && got.len < count * 1008) {
        uv_run(&loop, UV_RUN_NOWAIT);
        read_peer(&got);
    }
    uv_timer_stop(&deadline);
    expect_frames(&got, count);
    /* It no longer waits to be writable: the loop sleeps. */
    uv_prepare_t prepare;
    uv_prepare_init(&loop, &prepare);
    uv_prepare_start(&prepare, count_turn);
    turns = 0;
    uv_timer_start(&deadline, on_deadline, 50, 0);
    late = false;
    while (!late)
        uv_run(&loop, UV_RUN_ONCE);
    assert_true(turns < 10);
    uv_close((uv_handle_t *)&prepare, NULL);
    uv_run(&loop, UV_RUN_NOWAIT);
    buf_free(&got);
}

/* The socket is writable and at its end in one event: told once all the same. */
static void the_end_while_it_waits_to_write(void **state) {
    (void)state;
    struct buf got = BUF_INIT;
    size_t before;
    queue_frames(2000);
    superlink_flush(superlink);
    do { /* all that the socket held, so that nothing unread makes the end an error */
        before = got.len;
        read_peer(&got);
    } while (got.len > before);
    close(peer);
    peer = -1;
    until(closed > 0);
    settle();
    assert_int_equal(closed, 1);
    buf_free(&got);
}

static void *read_all(void *arg) {
    struct buf *got = arg;
    char chunk[5000];
    ssize_t n;
    while ((n = recv(peer, chunk, sizeof chunk, 0)) > 0)
        buf_add(got, chunk, (size_t)n);
    return NULL;
}

static void closing_writes_what_is_queued(void **state) {
    (void)state;
    const uint32_t count = 2000;
    struct buf got = BUF_INIT;
    pthread_t reader;
    fcntl(peer, F_SETFL, 0);
    queue_frames(count);
    assert_int_equal(pthread_create(&reader, NULL, read_all, &got), 0);
    superlink_close(superlink);
    superlink = NULL;
    settle();
    pthread_join(reader, NULL); /* which ends at the end of file */
    expect_frames(&got, count);
    assert_int_equal(closed, 0);
    buf_free(&got);
}

#define fresh(test) cmocka_unit_test_setup_teardown(test, up, down)

int main(void) {
    const struct CMUnitTest tests[] = {
        fresh(frames_byte_by_byte),
        fresh(many_frames_in_one_read_and_a_part),
        fresh(the_largest_frame),
        fresh(an_oversize_frame_ends_it_once),
        fresh(closing_is_told_once_after_what_came),
        fresh(a_write_that_fails_is_told_once),
        fresh(nothing_goes_out_before_flush),
        fresh(a_full_socket_waits_and_goes_on),
        fresh(the_end_while_it_waits_to_write),
        fresh(closing_writes_what_is_queued),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
