/* log.h and clock.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

static int pipe_fds[2];
static char line[2 * LOG_LINE_MAX];

static wall_ms_t fixed_wall(void) {
    return (wall_ms_t){INT64_C(1767225599007)};
}

static int open_log(void **state) {
    (void)state;
    static const struct clock_source source = {NULL, fixed_wall};
    clock_replace(&source);
    log_base(NULL, NULL);
    return pipe(pipe_fds);
}

static int close_log(void **state) {
    (void)state;
    clock_replace(NULL);
    log_setup(2, LOG_INFO, LOG_AUTO);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    return 0;
}

static const char *logged(void) {
    ssize_t len = read(pipe_fds[0], line, sizeof line - 1);
    assert_true(len > 0);
    line[len] = '\0';
    return line;
}

static void test_json(void **state) {
    (void)state;
    log_setup(pipe_fds[1], LOG_INFO, LOG_JSON);
    log_base("worker", "n\"1");
    log_event(LOG_INFO, "task_started", kv_text("task", "a\n\x01\xff\xc3\xa9"),
              kv_uint("try", UINT64_MAX), kv_int("left", -5), kv_real("load", 0.5),
              kv_real("bad", NAN), kv_bool("ok", true), kv_text("none", NULL));
    assert_string_equal(
        logged(),
        "{\"time\":\"2025-12-31T23:59:59.007Z\",\"level\":\"info\",\"event\":\"task_started\","
        "\"worker\":\"n\\\"1\",\"task\":\"a\\n\\u0001\xef\xbf\xbd\xc3\xa9\","
        "\"try\":18446744073709551615,\"left\":-5,\"load\":0.5,\"bad\":null,\"ok\":true,"
        "\"none\":null}\n");
}

static void test_text(void **state) {
    (void)state;
    log_setup(pipe_fds[1], LOG_INFO, LOG_PLAIN);
    log_event(LOG_WARN, "lost", kv_text("task", "a"), kv_text("why", "two words"),
              kv_text("esc", "\033[1m"));
    assert_string_equal(
        logged(),
        "2025-12-31T23:59:59.007Z warn  lost task=a why=\"two words\" esc=\"\\u001b[1m\"\n");
    log_event(LOG_ERROR, "bare");
    assert_string_equal(logged(), "2025-12-31T23:59:59.007Z error bare\n");
}

static void test_level(void **state) {
    (void)state;
    log_setup(pipe_fds[1], LOG_WARN, LOG_JSON);
    assert_false(log_on(LOG_INFO));
    log_event(LOG_INFO, "quiet");
    log_event(LOG_ERROR, "loud");
    assert_non_null(strstr(logged(), "loud"));
    assert_null(strstr(line, "quiet"));
}

/* However long the texts, a line is one piece of valid JSON within LOG_LINE_MAX. */
static void test_long_lines_are_cut_to_valid_json(void **state) {
    (void)state;
    log_setup(pipe_fds[1], LOG_INFO, LOG_JSON);
    char *text = malloc(20000);
    static const char *const fills[] = {"x", "\"", "\xc3\xa9", "\xff", "\x01"};
    for (size_t fill = 0; fill < sizeof fills / sizeof *fills; fill++) {
        for (size_t len = 7900; len < 8300; len++) {
            size_t unit = strlen(fills[fill]);
            for (size_t i = 0; i < len; i++) {
                text[i] = fills[fill][i % unit];
            }
            log_event(LOG_INFO, "long", kv_bytes("text", text, len), kv_uint("after", 1),
                      kv_text("more", "words"));
            logged();
            assert_true(strlen(line) <= LOG_LINE_MAX);
            json_error_t error;
            json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, &error);
            if (json == NULL) {
                fail_msg("length %zu: %s", len, error.text);
            }
            assert_non_null(json_object_get(json, "text"));
            json_decref(json);
        }
    }
    free(text);
}

static void test_a_log_that_cannot_be_written_is_no_matter(void **state) {
    (void)state;
    log_setup(-1, LOG_INFO, LOG_JSON);
    log_event(LOG_INFO, "nowhere");
}

static void test_wall_text(void **state) {
    (void)state;
    char text[WALL_TEXT_SIZE];
    wall_text((wall_ms_t){0}, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    wall_text((wall_ms_t){-1}, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
    wall_text((wall_ms_t){INT64_MAX}, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    wall_text((wall_ms_t){INT64_MIN}, text);
    assert_string_equal(text, "0000-01-01T00:00:00.000Z");
}

static void test_clocks_move(void **state) {
    (void)state;
    mono_ms_t before = mono_now();
    assert_true(mono_diff(mono_now(), before) >= 0);
    assert_int_equal(mono_diff(mono_after(before, 5), before), 5);
    assert_true(wall_now().ms > INT64_C(1700000000000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_json, open_log, close_log),
        cmocka_unit_test_setup_teardown(test_text, open_log, close_log),
        cmocka_unit_test_setup_teardown(test_level, open_log, close_log),
        cmocka_unit_test_setup_teardown(test_long_lines_are_cut_to_valid_json, open_log, close_log),
        cmocka_unit_test_setup_teardown(test_a_log_that_cannot_be_written_is_no_matter, open_log,
                                        close_log),
        cmocka_unit_test(test_wall_text),
        cmocka_unit_test(test_clocks_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
