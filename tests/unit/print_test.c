#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "manager/print.h"
#include "manager/utf8.h"

static void widths(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t width;
    } rows[] = {
        {"", 0},          {"abc", 3},      {"é", 1},
        {"e\xcc\x81", 1}, {"日本", 4},     {"\xf0\x9f\x98\x80", 2},
        {"…", 1},         {"\xff\xfe", 2}, {"한", 2},
        {"\xc3", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(print_width(rows[i].text, strlen(rows[i].text)), rows[i].width);
}

static void utf8(void **state) {
    (void)state;
    static const char *const bad[] = {
        "\x80", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80",
        "\xf8", "\xc3(",    "\xe2\x82"};
    uint32_t character;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(utf8_read(bad[i], strlen(bad[i]), &character), 0);
    assert_int_equal(utf8_read("\xf4\x8f\xbf\xbf", 4, &character), 4);
    assert_int_equal(character, 0x10ffff);
    assert_int_equal(utf8_read("€", 2, &character), 0);
    assert_int_equal(utf8_read("€x", 4, &character), 3);
    assert_int_equal(character, 0x20ac);
}

static void safe_texts(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t width;
        const char *shown;
    } rows[] = {
        {"plain", 0, "plain"},
        {"a\tb\nc\r", 0, "a\\tb\\nc\\r"},
        {"\033[31mred\007", 0, "\\x1b[31mred\\x07"},
        {"\xc2\x9b"
         "1m",
         0, "\\xc2\\x9b1m"},
        {"\xe2\x80\xae"
         "x",
         0, "\\xe2\\x80\\xaex"},
        {"caf\xe9", 0, "caf\\xe9"},
        {"abcdef", 6, "abcdef"},
        {"abcdef", 5, "abcd…"},
        {"日本語", 5, "日本…"},
        {"日本語", 4, "日…"},
        {"abc", 1, "…"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out = BUF_INIT;
        print_safe(&out, rows[i].text, strlen(rows[i].text), rows[i].width);
        assert_string_equal(out.data, rows[i].shown);
        assert_int_equal(out.len, strlen(out.data));
        buf_free(&out);
    }
}

static void numbers(void **state) {
    (void)state;
    struct buf out = BUF_INIT;
    static const uint64_t counts[] = {0, 7, 999, 1000, 12345, 1234567, UINT64_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        print_count(&out, counts[i]);
        buf_addc(&out, ' ');
    }
    assert_string_equal(out.data, "0 7 999 1,000 12,345 1,234,567 18,446,744,073,709,551,615 ");
    buf_clear(&out);
    print_age(&out, 10000, 0);
    buf_addc(&out, ' ');
    print_age(&out, 10000, 8000);
    buf_addc(&out, ' ');
    print_age(&out, 10000, 12000); /* a report from the future is from now */
    assert_string_equal(out.data, "- 2.0s 0s");
    buf_free(&out);
}

/* What `print` writes to a stream that is no terminal. */
static char *written(void (*print)(FILE *file)) {
    char *text;
    size_t len;
    FILE *file = tmpfile();
    assert_non_null(file);
    print(file);
    len = (size_t)ftell(file);
    text = xmalloc(len + 1);
    rewind(file);
    assert_int_equal(fread(text, 1, len, file), len);
    text[len] = '\0';
    fclose(file);
    return text;
}

static const struct table_column columns[] = {
    {"id", ALIGN_LEFT}, {"tries", ALIGN_RIGHT}, {"command", ALIGN_LEFT}};

static void print_small(FILE *file) {
    struct table *table = table_new(file, columns, 3);
    table_colour(table, COLOUR_RED);
    table_cells(table, "é1");
    table_cellf(table, "%d", 12345678);
    table_cells(table, "./a b");
    table_cells(table, "longer");
    table_cellf(table, "%d", 1);
    table_cells(table, "x\ny");
    assert_int_equal(table_rows(table), 2);
    table_free(table);
}

static void print_empty(FILE *file) {
    table_free(table_new(file, columns, 3));
}

static void print_many(FILE *file) {
    struct table *table = table_new(file, columns, 3);
    for (int i = 0; i < 3 * TABLE_HELD; i++) {
        table_cells(table, i < TABLE_HELD ? "a" : "wide");
        table_cells(table, "1");
        table_cells(table, "c");
    }
    assert_int_equal(table_rows(table), 3 * TABLE_HELD);
    table_free(table);
}

static void tables(void **state) {
    (void)state;
    char *text = written(print_small);
    assert_string_equal(text, "id         tries  command\n"
                              "é1      12345678  ./a b\n"
                              "longer         1  x\\ny\n");
    free(text);
    text = written(print_empty);
    assert_string_equal(text, "");
    free(text);
    text = written(print_many);
    assert_non_null(strstr(text, "id  tries  command\na       1  c\n"));
    assert_non_null(strstr(text, "wide      1  c\n"));
    int lines = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 1 + 3 * TABLE_HELD);
    free(text);
}

static void print_documents(FILE *file) {
    print_json(file, json_pack("{s:i, s:o}", "n", 1, "text", print_json_text("a\0b\xff\n", 5)));
    print_json(file, print_json_text("é", 2));
}

static void json(void **state) {
    (void)state;
    char *text = written(print_documents);
    assert_string_equal(text, "{\"n\":1,\"text\":\"a\\u0000b\xef\xbf\xbd\\n\"}\n\"é\"\n");
    free(text);
}

static void colours(void **state) {
    (void)state;
    FILE *file = tmpfile();
    assert_false(print_colours(file));
    assert_int_equal(print_terminal_width(file), 0);
    fclose(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widths),  cmocka_unit_test(utf8),   cmocka_unit_test(safe_texts),
        cmocka_unit_test(numbers), cmocka_unit_test(tables), cmocka_unit_test(json),
        cmocka_unit_test(colours),
    };
    return cmocka_run_group_tests_name("print", tests, NULL, NULL);
}
