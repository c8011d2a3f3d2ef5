/* kernels/host/params.h and paramtext.h: what a kernel's table takes, refuses, and says of itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <locale.h>
#include <math.h>

#include "kernels/host/params.h"
#include "kernels/host/paramtext.h"
#include "kernels/host/plugindir.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { N, RATE, CHECK, NOTE, DTYPE, A, PARTS, OUT, MORE, FREE };

static const struct kernel_param table[] = {
    [N] = {"n", KERNEL_INT, NULL, 1, 1e6, NULL, "rows", "how many"},
    [RATE] = {"rate", KERNEL_REAL, "0.5", 0, 1, NULL, NULL, "a share"},
    [CHECK] = {"check", KERNEL_FLAG, "yes", 0, 0, NULL, NULL, "whether"},
    [NOTE] = {"note", KERNEL_TEXT, "", 0, 0, NULL, NULL, "any text"},
    [DTYPE] = {"dtype", KERNEL_CHOICE, "f64", 0, 0, "f32|f64|bf16", NULL, "type"},
    [A] = {"a", KERNEL_INPUT, "", 0, 0, NULL, NULL, "left"},
    [PARTS] = {"parts", KERNEL_INPUTS, "x.npy,y.npy", 0, 0, NULL, NULL, "parts"},
    [OUT] = {"out", KERNEL_OUTPUT, "", 0, 0, NULL, NULL, "result"},
    [MORE] = {"more", KERNEL_OUTPUTS, "", 0, 0, NULL, NULL, "results"},
    [FREE] = {"free", KERNEL_INT, "-7", 0, 0, NULL, NULL, NULL},
    {0}};

static const struct kernel kernel = {
    .abi = KERNEL_ABI, .name = "demo", .summary = "shows all types", .params = table};

/* Reads the words into params; the errors, or NULL when there are none. */
static const char *read_words(struct params *params, const char *const *words, size_t count) {
    static struct buf errors = BUF_INIT;
    static char copies[8][4096];
    char *pointers[8];
    assert_true(count <= COUNT(copies));
    for (size_t i = 0; i < count; i++) {
        pointers[i] = copies[i];
        assert_true(strlen(words[i]) < sizeof copies[i]);
        memcpy(copies[i], words[i], strlen(words[i]) + 1);
    }
    buf_clear(&errors);
    bool good = params_read(params, pointers, count, &errors);
    assert_int_equal(good, errors.len == 0);
    return good ? NULL : errors.data;
}

static void begin(struct params *params) {
    struct buf error = BUF_INIT;
    if (!params_init(params, table, &error))
        fail_msg("%s", error.data);
}

static void defaults(void **state) {
    (void)state;
    struct params params;
    begin(&params);
    const char *words[] = {"n=12"};
    assert_null(read_words(&params, words, 1));
    assert_int_equal(params.values[N].of.integer, 12);
    assert_true(params.values[RATE].of.real == 0.5);
    assert_true(params.values[CHECK].of.flag);
    assert_int_equal(params.values[DTYPE].of.choice, 1);
    assert_string_equal(params.values[DTYPE].text, "f64");
    assert_int_equal(params.values[FREE].of.integer, -7);
    assert_int_equal(params.values[PARTS].count, 2);
    assert_string_equal(params_item(&params, PARTS, 1), "y.npy");
    for (size_t i = 0; i < params.rows; i++) {
        bool absent = i == NOTE || i == A || i == OUT || i == MORE;
        assert_int_equal(params.values[i].given, !absent);
        if (absent)
            assert_string_equal(params.values[i].text, "");
    }
    params_free(&params);
}

/* A try's values are gone at the next. */
static void again(void **state) {
    (void)state;
    struct params params;
    begin(&params);
    const char *first[] = {"n=1", "note=a b", "parts=1,2,3", "more=p,q", "rate=1"},
               *second[] = {"n=2", "more=r"};
    for (int i = 0; i < 100; i++) {
        assert_null(read_words(&params, first, COUNT(first)));
        assert_string_equal(params.values[NOTE].text, "a b");
        assert_int_equal(params.values[PARTS].count, 3);
        assert_string_equal(params_item(&params, PARTS, 0), "1");
        assert_string_equal(params_item(&params, MORE, 1), "q");
        assert_null(read_words(&params, second, COUNT(second)));
        assert_false(params.values[NOTE].given);
        assert_true(params.values[RATE].of.real == 0.5);
        assert_int_equal(params.values[MORE].count, 1);
        assert_string_equal(params_item(&params, MORE, 0), "r");
        assert_string_equal(params_item(&params, PARTS, 0), "x.npy");
    }
    assert_true(params.item_cap < 64);
    params_free(&params);
}

static void integers(void **state) {
    (void)state;
    static const struct {
        const char *word;
        int64_t value;
    } rows[] = {
        {"free=0", 0},
        {"free=-5", -5},
        {"free=+5", 5},
        {"free=10k", 10000},
        {"free=4Ki", 4096},
        {"free=3M", 3000000},
        {"free=1Mi", 1048576},
        {"free=2G", 2000000000},
        {"free=1Gi", 1073741824},
        {"free=007", 7},
        {"free=-1k", -1000},
        {"free=9223372036854775807", INT64_MAX},
        {"free=-9223372036854775808", INT64_MIN},
    };
    static const char *const bad[] = {
        "free=",
        "free=k",
        "free=1.5",
        "free=1e6",
        "free=0x10",
        "free=1 ",
        "free= 1",
        "free=1K",
        "free=1m",
        "free=1KiB",
        "free=--1",
        "free=9223372036854775808",
        "free=9e",
        "free=1_000",
        "free=abc",
        "free=-",
        "free=-9223372036854775809",
        "free=9223372036854775807k",
    };
    struct params params;
    begin(&params);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *words[] = {"n=1", rows[i].word};
        const char *error = read_words(&params, words, 2);
        if (error || params.values[FREE].of.integer != rows[i].value)
            fail_msg("%s: %s", rows[i].word, error ? error : "another value");
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        const char *words[] = {"n=1", bad[i]};
        if (!read_words(&params, words, 2))
            fail_msg("%s is taken", bad[i]);
    }
    params_free(&params);
}

static void reals(void **state) {
    (void)state;
    static const struct {
        const char *word;
        double value;
    } rows[] = {
        {"rate=0", 0},       {"rate=1", 1},      {"rate=.25", 0.25},    {"rate=1.", 1},
        {"rate=1e-3", 1e-3}, {"rate=+0.5", 0.5}, {"rate=2.5E-1", 0.25}, {"rate=0e0", 0},
    };
    static const char *const bad[] = {
        "rate=",    "rate=nan",  "rate=inf",  "rate=1e999", "rate=0x1p-1", "rate=1,5", "rate=.",
        "rate=1.1", "rate=-0.1", "rate=0.5 ", "rate=e3",    "rate=1e",     "rate=1e+", "rate=0.5f",
    };
    struct params params;
    begin(&params);
    /* A plug-in may have set a locale with a decimal comma; not every machine has one. */
    setlocale(LC_ALL, "de_DE.UTF-8");
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *words[] = {"n=1", rows[i].word};
        const char *error = read_words(&params, words, 2);
        if (error || params.values[RATE].of.real != rows[i].value)
            fail_msg("%s: %s", rows[i].word, error ? error : "another value");
    }
    setlocale(LC_ALL, "C");
    for (size_t i = 0; i < COUNT(bad); i++) {
        const char *words[] = {"n=1", bad[i]};
        if (!read_words(&params, words, 2))
            fail_msg("%s is taken", bad[i]);
    }
    params_free(&params);
}

static void others(void **state) {
    (void)state;
    struct params params;
    begin(&params);
    const char *words[] = {"n=1",         "check=Off",  "dtype=bf16", "note=k=v, 'x'",
                           "a=redis:A=1", "parts=only", "out=o.npy",  "more=p.npy"};
    assert_null(read_words(&params, words, COUNT(words)));
    assert_true(params.values[CHECK].given && !params.values[CHECK].of.flag);
    assert_int_equal(params.values[DTYPE].of.choice, 2);
    assert_string_equal(params.values[NOTE].text, "k=v, 'x'");
    assert_string_equal(params.values[A].text, "redis:A=1");
    assert_int_equal(params.values[PARTS].count, 1);
    const char *empty[] = {"n=1", "note="}; /* written, and empty: given */
    assert_null(read_words(&params, empty, COUNT(empty)));
    assert_true(params.values[NOTE].given);
    params_free(&params);
}

static void errors(void **state) {
    (void)state;
    static const struct {
        const char *words[3], *error;
    } rows[] = {
        {{"rate=1"},
         "n is missing: expected an integer from 1 to 1000000 (10k is 10000, 4Ki is 4096; M, G, "
         "Mi, "
         "Gi)"},
        {{"n=0"},
         "n=\"0\": expected an integer from 1 to 1000000 (10k is 10000, 4Ki is 4096; M, G, Mi, "
         "Gi)"},
        {{"n=1", "rate=2"}, "rate=\"2\": expected a number from 0 to 1"},
        {{"n=1", "rte=1"}, "unknown parameter \"rte\", did you mean rate?"},
        {{"n=1", "zzzzz=1"}, "unknown parameter \"zzzzz\""},
        {{"n=1", "N=1"}, "unknown parameter \"N\", did you mean n?"},
        {{"n=1", "check=maybe"}, "check=\"maybe\": expected yes or no"},
        {{"n=1", "dtype=f16"}, "dtype=\"f16\": expected one of f32, f64, bf16"},
        {{"n=1", "dtype="}, "dtype=\"\": expected one of f32, f64, bf16"},
        {{"n=1", "dtype=f32|f64"}, "dtype=\"f32|f64\": expected one of f32, f64, bf16"},
        {{"n=1", "a="}, "a=\"\": expected a file, redis:OBJECT or http(s)://..."},
        {{"n=1", "parts=a,,b"},
         "parts=\"a,,b\": expected files, redis:OBJECT or http(s)://..., joined by ','"},
        {{"n=1", "parts=a,"},
         "parts=\"a,\": expected files, redis:OBJECT or http(s)://..., joined by ','"},
        {{"n=1", "n=2"}, "n is given twice"},
        {{"n=1", "verbose"}, "\"verbose\": expected key=value"},
        {{"n=1", "=3"}, "unknown parameter \"\""},
        {{"n=1", "out=c.npy", "more=d.npy,c.npy"}, "more: \"c.npy\" would be written twice"},
        {{"n=1", "more=d.npy,d.npy"}, "more: \"d.npy\" would be written twice"},
        {{"dtype=x", "chek=1"},
         "dtype=\"x\": expected one of f32, f64, bf16\n"
         "unknown parameter \"chek\", did you mean check?\n"
         "n is missing: expected an integer from 1 to 1000000 (10k is 10000, 4Ki is 4096; M, G, "
         "Mi, "
         "Gi)"},
    };
    struct params params;
    begin(&params);
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t count = 0;
        while (count < COUNT(rows[i].words) && rows[i].words[count])
            count++;
        const char *error = read_words(&params, rows[i].words, count);
        assert_string_equal(error ? error : "no error", rows[i].error);
    }
    params_free(&params);
}

static void no_table(void **state) {
    (void)state;
    struct params params;
    struct buf error = BUF_INIT;
    const char *words[] = {"x=1"};
    assert_true(params_init(&params, NULL, &error));
    assert_null(read_words(&params, NULL, 0));
    assert_string_equal(read_words(&params, words, 1), "unknown parameter \"x\": it has none");
    params_free(&params);
}

static void broken_tables(void **state) {
    (void)state;
    static const struct {
        struct kernel_param rows[3];
        const char *error;
    } tables[] = {
        {{{"a b", KERNEL_INT, .fallback = "1"}},
         "parameter 0 of its table, \"a b\": its name has other characters than letters, digits "
         "and "
         "'_'"},
        {{{"a", KERNEL_INT, .fallback = "1"}, {"a", KERNEL_INT, .fallback = "1"}},
         "parameter 1 of its table, \"a\": two have this name"},
        {{{"a", (enum kernel_type)0, .fallback = "1"}},
         "parameter 0 of its table, \"a\": its type is unknown"},
        {{{"a", (enum kernel_type)99, .fallback = "1"}},
         "parameter 0 of its table, \"a\": its type is unknown"},
        {{{"a", KERNEL_CHOICE, .fallback = "x"}},
         "parameter 0 of its table, \"a\": it is a CHOICE without choices"},
        {{{"a", KERNEL_CHOICE, .fallback = "x", .choices = "y|z"}},
         "parameter 0 of its table, \"a\": its default is not a value that it takes"},
        {{{"a", KERNEL_INT, .fallback = "0", .min = 1, .max = 9}},
         "parameter 0 of its table, \"a\": its default is not a value that it takes"},
        {{{"a", KERNEL_REAL, .fallback = "1", .min = 0, .max = (double)NAN}},
         "parameter 0 of its table, \"a\": its range is not a number"},
    };
    for (size_t i = 0; i < COUNT(tables); i++) {
        struct params params;
        struct buf error = BUF_INIT;
        assert_false(params_init(&params, tables[i].rows, &error));
        assert_string_equal(error.data, tables[i].error);
        params_free(&params);
        buf_free(&error);
    }
}

static void texts(void **state) {
    (void)state;
    struct buf out = BUF_INIT;
    paramtext_usage(&kernel, &out);
    assert_string_equal(
        out.data, "demo n=INTEGER [rate=NUMBER] [check=yes|no] [note=TEXT] [dtype=f32|f64|bf16] "
                  "[a=INPUT] [parts=INPUT,...] [out=OUTPUT] [more=OUTPUT,...] [free=INTEGER]");
    buf_clear(&out);
    paramtext_help(&kernel, "/k/demo.so", &out);
    assert_non_null(strstr(out.data, "demo - shows all types\nfrom /k/demo.so\n"));
    assert_non_null(
        strstr(out.data, "\n  n=INTEGER                   how many; 1 to 1000000 rows\n"));
    assert_non_null(
        strstr(out.data, "\n  rate=NUMBER                 a share; 0 to 1 (default: 0.5)\n"));
    assert_non_null(strstr(out.data, "\n  note=TEXT                   any text\n"));
    buf_free(&out);

    json_t *json = paramtext_json(&kernel, "/k/demo.so");
    json_t *rows = json_object_get(json, "params");
    assert_int_equal(json_array_size(rows), COUNT(table) - 1);
    for (size_t i = 0; i < COUNT(table) - 1; i++)
        assert_string_equal(json_string_value(json_object_get(json_array_get(rows, i), "name")),
                            table[i].name);
    assert_true(json_is_true(json_object_get(json_array_get(rows, N), "required")));
    assert_true(json_is_false(json_object_get(json_array_get(rows, NOTE), "required")));
    assert_int_equal(json_array_size(json_object_get(json_array_get(rows, DTYPE), "choices")), 3);
    json_decref(json);
}

static void names(void **state) {
    (void)state;
    static const char *const good[] = {"a",   "gemm", "mlp_train",
                                       "x-1", "Z9",   "abcdefghijklmnopqrstuvwxyzabcdef"};
    static const char *const bad[] = {
        "",     "1a",  "_a",  "-a",    "a/b",
        "../a", "a.b", "a b", "a\xc3", "abcdefghijklmnopqrstuvwxyzabcdefg"};
    for (size_t i = 0; i < COUNT(good); i++)
        if (!plugin_name_ok(good[i], strlen(good[i])))
            fail_msg("\"%s\" is refused", good[i]);
    for (size_t i = 0; i < COUNT(bad); i++)
        if (plugin_name_ok(bad[i], strlen(bad[i])))
            fail_msg("\"%s\" is taken", bad[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults), cmocka_unit_test(again),         cmocka_unit_test(integers),
        cmocka_unit_test(reals),    cmocka_unit_test(others),        cmocka_unit_test(errors),
        cmocka_unit_test(no_table), cmocka_unit_test(broken_tables), cmocka_unit_test(texts),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
