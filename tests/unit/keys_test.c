/* keys.h: the names of keys, and that the scripts derive the same ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/keys.h"
#include "common/script.h"

static const char *const types[] = {"hash", "list", "set", "zset"};

static bool takes_name(enum queue_key key) {
    const char *suffix = queue_keys[key].suffix;
    return suffix[strlen(suffix) - 1] == ':';
}

static void every_row(void **state) {
    (void)state;
    struct buf queue = BUF_INIT, out = BUF_INIT;
    char expected[256];
    key_queue(&queue, "my.q");
    assert_string_equal(queue.data, "distcomp:{my.q}");
    for (size_t i = 0; i < QUEUE_KEY_COUNT; i++) {
        const struct queue_key_info *row = &queue_keys[i];
        bool type_known = false;
        for (size_t t = 0; t < sizeof types / sizeof *types; t++)
            type_known = type_known || strcmp(types[t], row->type) == 0;
        assert_true(type_known);
        assert_true(row->help[0]);
        buf_clear(&out);
        bool named = takes_name((enum queue_key)i);
        key_add(&out, queue.data, (enum queue_key)i, named ? "x:y" : NULL);
        snprintf(expected, sizeof expected, "distcomp:{my.q}:%s%s", row->suffix,
                 named ? "x:y" : "");
        assert_string_equal(out.data, expected);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(queue_keys[j].suffix, row->suffix);
    }
    buf_free(&queue);
    buf_free(&out);
}

static void names_are_as_documented(void **state) {
    (void)state;
    static const struct {
        enum queue_key key;
        const char *name, *text;
    } rows[] = {
        {KEY_TASK, NULL, "Q:task"},
        {KEY_OUTPUT_ORDER, NULL, "Q:output_order"},
        {KEY_HELD, "w", "Q:held:w"},
        {KEY_WORKER, "w", "Q:worker:w"},
        {KEY_WORKERS, NULL, "Q:workers"},
        {KEY_TODO, "0:0:1000:", "Q:todo:0:0:1000:"},
        {KEY_DEPENDANTS, "n:a", "Q:dependants:n:a"},
        {KEY_OBJECT, "a/b", "Q:object:a/b"},
    };
    struct buf out = BUF_INIT;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_clear(&out);
        key_add(&out, "Q", rows[i].key, rows[i].name);
        assert_string_equal(out.data, rows[i].text);
    }
    buf_free(&out);
}

static void patterns_match_nothing_else(void **state) {
    (void)state;
    struct buf out = BUF_INIT;
    key_pattern(&out, "distcomp:{a*[b]?}", "object:");
    assert_string_equal(out.data, "distcomp:{a\\*\\[b\\]\\?}:object:*");
    buf_clear(&out);
    key_pattern(&out, "Q", "");
    assert_string_equal(out.data, "Q:*");
    buf_free(&out);
}

/* The row whose suffix is these bytes, or QUEUE_KEY_COUNT. */
static size_t find_suffix(const char *bytes, size_t len) {
    size_t i = 0;
    while (i < QUEUE_KEY_COUNT &&
           (strlen(queue_keys[i].suffix) != len || memcmp(queue_keys[i].suffix, bytes, len) != 0))
        i++;
    return i;
}

/* Marks the rows that a text names as key('SUFFIX'...); fails for one that is not in the table. */
static size_t mark_keys(const struct script *script, bool seen[QUEUE_KEY_COUNT]) {
    size_t found = 0;
    for (const char *at = script->text; (at = strstr(at, "key('"));) {
        const char *before = at;
        at += 5;
        /* worker_key('...') takes a name, not a suffix. */
        if (before > script->text &&
            (before[-1] == '_' || (before[-1] >= 'a' && before[-1] <= 'z')))
            continue;
        const char *end = strchr(at, '\'');
        assert_non_null(end);
        size_t len = (size_t)(end - at);
        bool joined = strncmp(end, "' ..", 4) == 0;
        found++;
        if (len == strlen(CHANNEL_WAKE) && memcmp(at, CHANNEL_WAKE, len) == 0)
            continue;
        size_t row = find_suffix(at, len);
        if (row == QUEUE_KEY_COUNT)
            fail_msg("%s: key('%.*s') is not in keys.h", script->name, (int)len, at);
        assert_int_equal(joined, takes_name((enum queue_key)row));
        seen[row] = true;
    }
    return found;
}

static void lua_derives_the_same_names(void **state) {
    (void)state;
    bool seen[QUEUE_KEY_COUNT] = {false};
    assert_true(scripts_count > 10);
    for (size_t i = 0; i < scripts_count; i++) {
        /* No key but those of key(): nothing else may be spelled after the queue's name. */
        assert_non_null(
            strstr(scripts[i].text, "local function key(name) return Q .. ':' .. name"));
        const char *spelled = strstr(scripts[i].text, "Q .. ':'");
        assert_null(strstr(spelled + 1, "Q .. ':"));
        assert_null(strstr(scripts[i].text, "KEYS[2]"));
        assert_true(mark_keys(&scripts[i], seen) >= QUEUE_KEY_COUNT / 2);
    }
    for (size_t i = 0; i < QUEUE_KEY_COUNT; i++)
        if (seen[i] != (i < QUEUE_KEY_NO_SCRIPTS))
            fail_msg("%s: QUEUE_KEY_NO_SCRIPTS is wrong", queue_keys[i].suffix);
    assert_non_null(strstr(scripts[0].text, "key('" CHANNEL_WAKE "' .. "));
}

static void script_table_is_whole(void **state) {
    (void)state;
    for (size_t i = 0; i < scripts_count; i++) {
        assert_ptr_equal(script_find(scripts[i].name), &scripts[i]);
        assert_int_equal(strspn(scripts[i].sha1, "0123456789abcdef"), 40);
        assert_int_equal(strlen(scripts[i].sha1), 40);
    }
    assert_null(scripts[scripts_count].name);
    assert_null(script_find("lib"));
    assert_null(script_find(""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(names_are_as_documented),
        cmocka_unit_test(patterns_match_nothing_else),
        cmocka_unit_test(lua_derives_the_same_names),
        cmocka_unit_test(script_table_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
