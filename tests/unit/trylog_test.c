/* trylog.h: what became of tries, and what they printed, there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>

#include "common/trylog.h"

static struct slice text(const char *s) {
    return (struct slice){s, strlen(s)};
}

static struct try_entry sample(void) {
    return (struct try_entry){
        .try_number = 0xfffe,
        .outcome = TRY_TIMEOUT,
        .exit_code = 255,
        .signal = 64,
        .start_ms = 0x123456789abc,
        .end_ms = 0xffffffffffff,
        .wall_us = 0x0102030405,
        .user_us = 7,
        .system_us = 0xfedcba987654,
        .maxrss_kib = 0xffffffffff,
        .out_bytes = 0x1000000000,
        .err_bytes = 3,
        .read_bytes = 0x1234567890,
        .write_bytes = 5,
        .nonce = "0123456789abcdef00ff",
        .worker = text("worker-1"),
        .node = text("node"),
        .path = text("/results/a.1.out\n/results/a.1.err"),
        .reason = {"line 1\nnul \0 inside \xff", 21},
    };
}

static void assert_slice(struct slice a, struct slice b) {
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, b.len);
}

static void assert_same_entry(const struct try_entry *a, const struct try_entry *b) {
    assert_int_equal(a->try_number, b->try_number);
    assert_int_equal(a->outcome, b->outcome);
    assert_int_equal(a->exit_code, b->exit_code);
    assert_int_equal(a->signal, b->signal);
    assert_int_equal(a->start_ms, b->start_ms);
    assert_int_equal(a->end_ms, b->end_ms);
    assert_int_equal(a->wall_us, b->wall_us);
    assert_int_equal(a->user_us, b->user_us);
    assert_int_equal(a->system_us, b->system_us);
    assert_int_equal(a->maxrss_kib, b->maxrss_kib);
    assert_int_equal(a->out_bytes, b->out_bytes);
    assert_int_equal(a->err_bytes, b->err_bytes);
    assert_int_equal(a->read_bytes, b->read_bytes);
    assert_int_equal(a->write_bytes, b->write_bytes);
    assert_string_equal(a->nonce, b->nonce);
    assert_slice(a->worker, b->worker);
    assert_slice(a->node, b->node);
    assert_slice(a->path, b->path);
    assert_slice(a->reason, b->reason);
}

static void entries_round_trip_in_order(void **state) {
    (void)state;
    struct try_entry a = sample(), b = {.try_number = 1, .outcome = TRY_FINISHED}, out;
    struct buf log = BUF_INIT;
    try_entry_pack(&a, &log);
    try_entry_pack(&b, &log);
    struct slice left = {log.data, log.len};
    assert_true(try_log_next(&left, &out));
    assert_same_entry(&out, &a);
    assert_true(try_log_next(&left, &out));
    /* A nonce that is not whole is packed as zeros. */
    memset(b.nonce, '0', NONCE_LEN);
    b.worker = b.node = b.path = b.reason = text("");
    assert_same_entry(&out, &b);
    assert_int_equal(left.len, 0);
    assert_false(try_log_next(&left, &out));
    assert_true(try_log_last((struct slice){log.data, log.len}, &out));
    assert_int_equal(out.try_number, 1);
    assert_false(try_log_last((struct slice){"", 0}, &out));
    assert_false(try_log_last((struct slice){NULL, 0}, &out));
    buf_free(&log);
}

/* lua/lib/60_tries.lua writes such entries and report.lua looks at these very places. */
static void bytes_stand_where_the_scripts_look(void **state) {
    (void)state;
    struct try_entry a = sample();
    struct buf log = BUF_INIT;
    try_entry_pack(&a, &log);
    const unsigned char *b = (const unsigned char *)log.data;
    assert_int_equal(b[0] << 8 | b[1], log.len - 2);
    assert_int_equal(b[2] << 8 | b[3], 0xfffe); /* Lua: sub(log, at + 2, at + 3) */
    assert_int_equal(b[4], TRY_TIMEOUT);
    assert_memory_equal(b + 55, "\x01\x23\x45\x67\x89\xab\xcd\xef\x00\xff", 10);
    assert_int_equal(b[65], 8);
    assert_memory_equal(b + 66, "worker-1", 8);
    assert_int_equal(log.len, 66 + 8 + 1 + 4 + 2 + a.path.len + 2 + a.reason.len + 12);
    buf_free(&log);
}

static void truncated_at_every_length(void **state) {
    (void)state;
    struct try_entry a = sample(), out;
    struct buf log = BUF_INIT;
    try_entry_pack(&a, &log);
    for (size_t len = 0; len < log.len; len++) {
        char *exact = xstrndup(log.data, len); /* so that a sanitizer sees a read past the end */
        exact = xrealloc(exact, len);
        struct slice left = {exact, len};
        assert_false(try_log_next(&left, &out));
        /* The same, when the length in front agrees. */
        if (len >= 2) {
            exact[0] = (char)((len - 2) >> 8);
            exact[1] = (char)((len - 2) & 0xff);
            left = (struct slice){exact, len};
            /* What was read and written may be missing, as one. */
            assert_int_equal(try_log_next(&left, &out), len == log.len - 12);
        }
        free(exact);
    }
    buf_free(&log);
}

static void bytes_of_a_newer_version_are_passed_over(void **state) {
    (void)state;
    struct try_entry a = sample(), out;
    struct buf log = BUF_INIT;
    try_entry_pack(&a, &log);
    size_t first = log.len;
    buf_adds(&log, "more");
    log.data[0] = (char)((first + 2) >> 8);
    log.data[1] = (char)((first + 2) & 0xff);
    a.try_number = 9;
    try_entry_pack(&a, &log);
    struct slice left = {log.data, log.len};
    assert_true(try_log_next(&left, &out));
    assert_int_equal(out.try_number, 0xfffe);
    assert_true(try_log_next(&left, &out));
    assert_int_equal(out.try_number, 9);
    buf_free(&log);
}

static void long_strings_are_cut(void **state) {
    (void)state;
    static char many[70000];
    memset(many, 'x', sizeof many);
    struct slice all = {many, sizeof many};
    struct try_entry a = sample(), out;
    a.worker = a.node = a.path = a.reason = all;
    struct buf log = BUF_INIT;
    try_entry_pack(&a, &log);
    struct slice left = {log.data, log.len};
    assert_true(try_log_next(&left, &out));
    assert_int_equal(left.len, 0);
    assert_int_equal(out.worker.len, 255);
    assert_int_equal(out.node.len, 255);
    assert_int_equal(out.path.len, 4095);
    assert_int_equal(out.reason.len, 4000);
    buf_free(&log);
}

static void describes_every_outcome(void **state) {
    (void)state;
    static const struct {
        struct try_entry entry;
        const char *text;
    } rows[] = {
        {{.outcome = TRY_FINISHED}, "exit 0"},
        {{.outcome = TRY_FAILED, .exit_code = 3}, "exit 3"},
        {{.outcome = TRY_FAILED, .signal = SIGKILL}, "killed by SIGKILL"},
        {{.outcome = TRY_FAILED, .signal = 64, .exit_code = 1}, "killed by signal 64"},
        {{.outcome = TRY_TIMEOUT, .signal = SIGTERM}, "timeout"},
        {{.outcome = TRY_CANCELLED, .signal = SIGTERM}, "cancelled"},
        {{.outcome = TRY_RETURNED}, "returned (memory)"},
        {{.outcome = TRY_RELEASED}, "released"},
        {{.outcome = TRY_TEMPFAIL, .exit_code = 75}, "exit 75 (try again)"},
        {{.outcome = TRY_LOST}, "lost"},
        {{.outcome = TRY_DEPENDENCY}, "dependency"},
        {{.outcome = (enum try_outcome)77}, "unknown"},
    };
    bool seen[256] = {false};
    struct buf out = BUF_INIT;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_clear(&out);
        try_entry_describe(&rows[i].entry, &out);
        assert_string_equal(out.data, rows[i].text);
        seen[rows[i].entry.outcome] = true;
    }
#define X(symbol, number, name)                                                                    \
    assert_true(seen[number]);                                                                     \
    assert_string_equal(try_outcome_name(TRY_##symbol), name);
    TRY_OUTCOMES(X)
#undef X
    buf_free(&out);
}

static void output_round_trips_and_truncation_is_seen(void **state) {
    (void)state;
    struct task_output a = {.try_number = 513,
                            .flags = OUTPUT_COMPRESSED | OUTPUT_CUT_ERR,
                            .out_bytes = 0xffffffffffff,
                            .err_bytes = 0x010203040506,
                            .out = {"a\0b", 3},
                            .err = {"\xff\xfe", 2}},
                       b;
    struct buf packed = BUF_INIT;
    task_output_pack(&a, &packed);
    assert_int_equal(packed.len, 2 + 1 + 6 + 6 + 4 + 3 + 4 + 2);
    assert_true(task_output_unpack((struct slice){packed.data, packed.len}, &b));
    assert_int_equal(b.try_number, 513);
    assert_int_equal(b.flags, OUTPUT_COMPRESSED | OUTPUT_CUT_ERR);
    assert_int_equal(b.out_bytes, a.out_bytes);
    assert_int_equal(b.err_bytes, a.err_bytes);
    assert_slice(b.out, a.out);
    assert_slice(b.err, a.err);
    for (size_t len = 0; len < packed.len; len++) {
        char *exact = xrealloc(xstrndup(packed.data, len), len);
        assert_false(task_output_unpack((struct slice){exact, len}, &b));
        free(exact);
    }
    buf_free(&packed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_round_trip_in_order),
        cmocka_unit_test(bytes_stand_where_the_scripts_look),
        cmocka_unit_test(truncated_at_every_length),
        cmocka_unit_test(bytes_of_a_newer_version_are_passed_over),
        cmocka_unit_test(long_strings_are_cut),
        cmocka_unit_test(describes_every_outcome),
        cmocka_unit_test(output_round_trips_and_truncation_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
