#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"

static void empty_buf_is_usable(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    assert_string_equal(b.data, "");
    buf_clear(&b);
    buf_add(&b, NULL, 0);
    assert_int_equal(b.len, 0);
    char *mine = buf_detach(&b);
    assert_string_equal(mine, "");
    free(mine);
    buf_free(&b);
    buf_free(&b);
}

static void grows_and_stays_terminated(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    for (int i = 0; i < 10000; i++) {
        buf_addc(&b, (char)('a' + i % 26));
        assert_int_equal(b.data[b.len], 0);
    }
    buf_clear(&b);
    buf_addf(&b, "%s-%d", "x", 7);
    buf_adds(&b, "!");
    assert_string_equal(b.data, "x-7!");
    buf_clear(&b);
    char *wide = xmalloc(5001);
    memset(wide, 'w', 5000);
    wide[5000] = '\0';
    buf_addf(&b, "<%s>", wide);
    assert_int_equal(b.len, 5002);
    assert_int_equal(b.data[5001], '>');
    free(wide);
    char *mine = buf_detach(&b);
    assert_int_equal(strlen(mine), 5002);
    assert_int_equal(b.len, 0);
    free(mine);
}

static void big_endian_round_trip(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    for (size_t size = 1; size <= 8; size++) {
        uint64_t value = UINT64_C(0x8182838485868788) >> (64 - 8 * size);
        buf_clear(&b);
        buf_add_be(&b, value, size);
        assert_int_equal(b.len, size);
        assert_int_equal((unsigned char)b.data[0], 0x81);
        struct cursor c = cursor_make(b.data, b.len);
        assert_true(cursor_be(&c, size) == value);
        assert_int_equal(c.failed, 0);
    }
    buf_free(&b);
}

static void cursor_remembers_failure(void **state) {
    (void)state;
    struct cursor c = cursor_make("abc", 3);
    assert_memory_equal(cursor_bytes(&c, 2), "ab", 2);
    assert_int_equal(cursor_left(&c), 1);
    assert_int_equal(cursor_be(&c, 2), 0);
    assert_int_equal(c.failed, 1);
    assert_null(cursor_bytes(&c, 0));
    assert_null(cursor_bytes(&c, SIZE_MAX));
    c = cursor_make(NULL, 0);
    assert_int_equal(cursor_left(&c), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_buf_is_usable),
        cmocka_unit_test(grows_and_stays_terminated),
        cmocka_unit_test(big_endian_round_trip),
        cmocka_unit_test(cursor_remembers_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
