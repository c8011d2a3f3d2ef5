#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/units.h"

#define BAD UINT64_MAX
struct row {
    const char *text;
    uint64_t value; /* BAD: refused */
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void check(const char *kind, const struct row *row, bool good, uint64_t value,
                  const char *expected) {
    if (good != (row->value != BAD) || (good && value != row->value))
        fail_msg("%s \"%s\": %s %llu", kind, row->text, good ? "gives" : "refused",
                 (unsigned long long)value);
    if (!good)
        assert_non_null(expected);
}

static void sizes(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"4", 4 * UNITS_GIB},
        {"0", 0},
        {"0.5", UNITS_GIB / 2},
        {".5", UNITS_GIB / 2},
        {"512MiB", 512u << 20},
        {"2G", 2 * UNITS_GIB},
        {"1.5GiB", UNITS_GIB * 3 / 2},
        {"1.5 GiB", UNITS_GIB * 3 / 2},
        {"800M", 800u << 20},
        {"1kB", 1024},
        {"1k", 1024},
        {"1KiB", 1024},
        {"17B", 17},
        {"0.1B", 1},
        {"1T", UINT64_C(1) << 40},
        {"1pib", UINT64_C(1) << 50},
        {"0.3333333333333333", 357913943},
        {"0.99999999999G", UNITS_GIB},
        {"", BAD},
        {"G", BAD},
        {"-1", BAD},
        {"+1", BAD},
        {"1e3", BAD},
        {"nan", BAD},
        {"inf", BAD},
        {"0x10", BAD},
        {"1,5", BAD},
        {"1.", BAD},
        {".", BAD},
        {"1.5.5", BAD},
        {"1 ", BAD},
        {" 1", BAD},
        {"1  G", BAD},
        {"1GG", BAD},
        {"1GiBs", BAD},
        {"1ib", BAD},
        {"1Bi", BAD},
        {"1bb", BAD},
        {"99999999999999999999", BAD},
        {"18446744073709551615", BAD},
        {"99999999P", BAD},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t value = 0;
        const char *expected = NULL;
        bool good =
            units_parse_bytes(rows[i].text, strlen(rows[i].text), UNITS_GIB, &value, &expected);
        check("size", &rows[i], good, value, expected);
    }
    uint64_t value;
    const char *expected;
    assert_true(units_parse_bytes("7garbage", 1, 1, &value, &expected));
    assert_int_equal(value, 7);
}

static void milli(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"2", 2000},          {"0", 0},         {"0.5", 500},
        {"1.25", 1250},       {"0.125", 125},   {"0.001", 1},
        {".5", 500},          {"1.5000", 1500}, {"4294967.295", UINT32_MAX},
        {"4294967.296", BAD}, {"0.0001", BAD},  {"", BAD},
        {"-1", BAD},          {"1c", BAD},      {"nan", BAD},
        {"1e1", BAD},         {"1.", BAD},      {"0.1230000000000001", BAD},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint32_t value = 0;
        const char *expected = NULL;
        bool good = units_parse_milli(rows[i].text, strlen(rows[i].text), &value, &expected);
        check("milli", &rows[i], good, value, expected);
    }
}

static void durations(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"30", 30000},
        {"0", 0},
        {"500ms", 500},
        {"30s", 30000},
        {"5m", 300000},
        {"2h", 7200000},
        {"1d", 86400000},
        {"1.5h", 5400000},
        {"0.5", 500},
        {"1h30m", 5400000},
        {"3m12s", 192000},
        {"1d4h", 100800000},
        {"2S", 2000},
        {"0.0001", 1},
        {"1s500ms", 1500},
        {"", BAD},
        {"5", 5000},
        {"m", BAD},
        {"5x", BAD},
        {"5 m", BAD},
        {"-5", BAD},
        {"1m1h", BAD},
        {"1m1m", BAD},
        {"1h30", BAD},
        {"1e3", BAD},
        {"inf", BAD},
        {"1.", BAD},
        {"9007199254740993ms", BAD},
        {"18446744073709551615d", BAD},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t value = 0;
        const char *expected = NULL;
        bool good = units_parse_ms(rows[i].text, strlen(rows[i].text), &value, &expected);
        check("duration", &rows[i], good, value, expected);
    }
}

static void booleans(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"y", 1},     {"yes", 1}, {"t", 1},   {"true", 1},   {"on", 1},    {"1", 1},    {"TRUE", 1},
        {"Yes", 1},   {"n", 0},   {"no", 0},  {"f", 0},      {"false", 0}, {"off", 0},  {"0", 0},
        {"False", 0}, {"", BAD},  {"2", BAD}, {"yess", BAD}, {"tru", BAD}, {" y", BAD},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool value = false;
        const char *expected = NULL;
        bool good = units_parse_bool(rows[i].text, strlen(rows[i].text), &value, &expected);
        check("bool", &rows[i], good, value, expected);
    }
}

static void integers(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"5", 5},  {"10", 10},  {"007", 7},   {"4", BAD},  {"11", BAD},
        {"", BAD}, {"-5", BAD}, {"5.0", BAD}, {"5 ", BAD}, {"18446744073709551621", BAD},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t value = 0;
        const char *expected = NULL;
        bool good = units_parse_uint(rows[i].text, strlen(rows[i].text), 5, 10, &value, &expected);
        check("uint", &rows[i], good, value, expected);
    }
}

static void formats(void **state) {
    (void)state;
    static const struct {
        void (*add)(struct buf *, uint64_t);
        uint64_t value;
        const char *text;
    } rows[] = {
        {units_add_bytes, 0, "0 B"},
        {units_add_bytes, 1023, "1023 B"},
        {units_add_bytes, 1024, "1.0 KiB"},
        {units_add_bytes, UNITS_GIB * 3 / 2, "1.5 GiB"},
        {units_add_bytes, UNITS_GIB - 1, "1.0 GiB"},
        {units_add_bytes, UINT64_C(1) << 47, "128.0 TiB"},
        {units_add_bytes, UINT64_MAX, "16.0 EiB"},
        {units_add_ms, 0, "0s"},
        {units_add_ms, 250, "250ms"},
        {units_add_ms, 4250, "4.2s"},
        {units_add_ms, 59999, "59s"},
        {units_add_ms, 192000, "3m12s"},
        {units_add_ms, 5400000, "1h30m"},
        {units_add_ms, 100800000, "1d4h"},
        {units_add_milli, 2000, "2"},
        {units_add_milli, 500, "0.5"},
        {units_add_milli, 1, "0.001"},
        {units_add_milli, 0, "0"},
    };
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_clear(&b);
        rows[i].add(&b, rows[i].value);
        assert_string_equal(b.data, rows[i].text);
    }
    buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),    cmocka_unit_test(milli),    cmocka_unit_test(durations),
        cmocka_unit_test(booleans), cmocka_unit_test(integers), cmocka_unit_test(formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
