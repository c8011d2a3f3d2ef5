/* npy.h: headers read and made, and every way in which one can be malformed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/data/npy.h"

/* A file of that version: magic, the length that is said (SIZE_MAX: the true one), the dictionary.
 */
static void make_file(struct buf *file, unsigned major, unsigned minor, size_t said,
                      const char *dict) {
    size_t len = said == SIZE_MAX ? strlen(dict) : said;
    buf_clear(file);
    buf_add(file, "\x93NUMPY", 6);
    buf_addc(file, (char)major);
    buf_addc(file, (char)minor);
    for (unsigned i = 0; i < (major == 1 ? 2u : 4u); i++)
        buf_addc(file, (char)(len >> (8 * i) & 255));
    buf_adds(file, dict);
}

static void dtypes_and_orders(void **state) {
    (void)state;
    static const struct {
        const char *dict;
        enum kernel_dtype dtype;
        bool fortran, big;
        size_t bytes;
    } rows[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }", KERNEL_F32, false, false,
         48},
        {"{'descr': '<f8', 'fortran_order': True, 'shape': (3, 4)}", KERNEL_F64, true, false, 96},
        {"{'descr':'>i4','fortran_order':False,'shape':(3,4)}\n", KERNEL_I32, false, true, 48},
        {"  {  \"shape\" : ( 3L , 4L , ) , 'descr' : '=i8' , 'fortran_order' : False , }   \n",
         KERNEL_I64, false, false, 96},
    };
    struct buf file = BUF_INIT, error = BUF_INIT;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (unsigned version = 1; version <= 3; version++) {
            struct npy npy;
            make_file(&file, version, 0, SIZE_MAX, rows[i].dict);
            size_t at = file.len;
            buf_adds(&file, "elements");
            if (!npy_parse(file.data, file.len, &npy, &error))
                fail_msg("%s: %s", rows[i].dict, error.data);
            assert_int_equal(npy.array.dtype, rows[i].dtype);
            assert_int_equal(npy.array.fortran, rows[i].fortran);
            assert_int_equal(npy.big_endian, rows[i].big);
            assert_int_equal(npy.array.dims, 2);
            assert_int_equal(npy.array.shape[0], 3);
            assert_int_equal(npy.array.shape[1], 4);
            assert_int_equal(npy.bytes, rows[i].bytes);
            assert_int_equal(npy.at, at);
            assert_null(npy.array.data);
        }
    buf_free(&file);
    buf_free(&error);
}

#define DICT(descr, order, shape)                                                                  \
    "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }"
#define SHAPED(shape) DICT("'<f8'", "False", shape)

static void shapes(void **state) {
    (void)state;
    static const struct {
        const char *dict;
        unsigned dims;
        size_t bytes;
    } rows[] = {
        {SHAPED("()"), 0, 8},
        {SHAPED("(7,)"), 1, 56},
        {SHAPED("(0,)"), 1, 0},
        {SHAPED("(0, 1152921504606846)"), 2, 0},
        {SHAPED("(1, 2, 3, 4, 5, 6, 7, 8)"), 8, 40320 * 8},
        {SHAPED("(1152921504606846,)"), 1, 1152921504606846u * 8},
    };
    struct buf file = BUF_INIT, error = BUF_INIT;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct npy npy;
        make_file(&file, 1, 0, SIZE_MAX, rows[i].dict);
        if (!npy_parse(file.data, file.len, &npy, &error))
            fail_msg("%s: %s", rows[i].dict, error.data);
        assert_int_equal(npy.array.dims, rows[i].dims);
        assert_int_equal(npy.bytes, rows[i].bytes);
    }
    buf_free(&file);
    buf_free(&error);
}

static void malformed_dictionaries(void **state) {
    (void)state;
    static const struct {
        const char *dict, *says;
    } rows[] = {
        {"", "no dictionary"},
        {"[]", "no dictionary"},
        {"{}", "missing"},
        {"{'descr': '<f8', 'fortran_order': False}", "shape is missing"},
        {"{'descr': '<f8', 'shape': (3,)}", "is missing"},
        {"{'fortran_order': False, 'shape': (3,)}", "is missing"},
        {SHAPED("(3,)") "x", "follows"},
        {SHAPED("(3,)") " {}", "follows"},
        {"{'descr': '<f8' 'fortran_order': False, 'shape': (3,)}", "',' is missing"},
        {"{'descr' '<f8', 'fortran_order': False, 'shape': (3,)}", "':' is missing"},
        {"{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (3,)}", "twice"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (3,), 'more': 1}", "key besides"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (3,),", "string is expected"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (3,", "no decimal"},
        {"{'descr': '<f8", "does not end"},
        {"{'de\\x73cr': '<f8'}", "does not end"},
        {"{'descr", "does not end"},
        {"{,}", "string is expected"},
        {DICT("'<f8'", "0", "(3,)"), "neither True nor False"},
        {DICT("'<f8'", "Falsely", "(3,)"), "neither True nor False"},
        {SHAPED("3"), "no tuple"},
        {SHAPED("(3)"), "no tuple"},
        {SHAPED("[3]"), "no tuple"},
        {SHAPED("(3 4)"), "no tuple"},
        {SHAPED("(,)"), "no decimal"},
        {SHAPED("(3,,)"), "no decimal"},
        {SHAPED("(-3,)"), "no decimal"},
        {SHAPED("(+3,)"), "no decimal"},
        {SHAPED("(3.0,)"), "no decimal"},
        {SHAPED("(3e2,)"), "no decimal"},
        {SHAPED("(0x3,)"), "no decimal"},
        {SHAPED("(03,)"), "no decimal"},
        {SHAPED("(3LL,)"), "no decimal"},
        {SHAPED("(18446744073709551616,)"), "too large"},
        {SHAPED("(9223372036854775808,)"), "too large"},
        {SHAPED("(9223372036854775807,)"), "too large for any memory"},
        {SHAPED("(4611686018427387904, 4)"), "too large for any memory"},
        {SHAPED("(0, 4611686018427387904, 4)"), "too large for any memory"},
        {SHAPED("(1152921504606846976, 2)"), "too large for any memory"},
        {SHAPED("(1, 1, 1, 1, 1, 1, 1, 1, 1)"), "more than 8 dimensions"},
        {DICT("'<f2'", "False", "(3,)"), "dtype '<f2'"},
        {DICT("'<f16'", "False", "(3,)"), "dtype '<f16'"},
        {DICT("'<i2'", "False", "(3,)"), "dtype '<i2'"},
        {DICT("'<u4'", "False", "(3,)"), "dtype '<u4' (unsigned)"},
        {DICT("'<c16'", "False", "(3,)"), "dtype '<c16' (complex)"},
        {DICT("'|b1'", "False", "(3,)"), "dtype '|b1' (booleans)"},
        {DICT("'|O'", "False", "(3,)"), "dtype '|O' (Python objects)"},
        {DICT("'<U7'", "False", "(3,)"), "dtype '<U7' (text)"},
        {DICT("'|f8'", "False", "(3,)"), "dtype '|f8'"},
        {DICT("''", "False", "(3,)"), "dtype ''"},
        {DICT("'<\t8'", "False", "(3,)"), "dtype '<?8'"},
        {DICT("[('a', '<f4')]", "False", "(3,)"), "structured"},
        {DICT("3", "False", "(3,)"), "string is expected"},
    };
    struct buf file = BUF_INIT, error = BUF_INIT;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct npy npy;
        buf_clear(&error);
        make_file(&file, 1 + (unsigned)(i % 3), 0, SIZE_MAX, rows[i].dict);
        if (npy_parse(file.data, file.len, &npy, &error))
            fail_msg("accepted: %s", rows[i].dict);
        if (!strstr(error.data, rows[i].says))
            fail_msg("%s: %s", rows[i].dict, error.data);
    }
    buf_free(&file);
    buf_free(&error);
}

static void preambles(void **state) {
    (void)state;
    static const struct {
        unsigned major, minor;
        size_t said;
        const char *says;
    } rows[] = {
        {0, 0, SIZE_MAX, "version 0.0"},
        {4, 0, SIZE_MAX, "version 4.0"},
        {1, 1, SIZE_MAX, "version 1.1"},
        {1, 0, 500, "ends within"},
        {2, 0, 500, "ends within"},
        {2, 0, 65536, "65536 bytes; at most"},
        {3, 0, 0xffffffff, "4294967295 bytes"},
        {2, 0, 60, "ends within"},
        {1, 0, 10, "string is expected"},
    };
    struct buf file = BUF_INIT, error = BUF_INIT;
    struct npy npy;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_clear(&error);
        make_file(&file, rows[i].major, rows[i].minor, rows[i].said, SHAPED("(3,)"));
        assert_false(npy_parse(file.data, file.len, &npy, &error));
        if (!strstr(error.data, rows[i].says))
            fail_msg("row %zu: %s", i, error.data);
    }
    /* Cut anywhere; what lies behind is not read (the sanitizers see to that). */
    make_file(&file, 2, 0, SIZE_MAX, SHAPED("(3,)"));
    for (size_t len = 0; len < file.len; len++) {
        char *cut = xmalloc(len ? len : 1);
        memcpy(cut, file.data, len);
        buf_clear(&error);
        assert_false(npy_parse(cut, len, &npy, &error));
        assert_non_null(strstr(error.data, len < 8 ? "no .npy file" : "ends within"));
        free(cut);
    }
    buf_clear(&error);
    assert_false(npy_parse("PK\3\4 a zip file", 16, &npy, &error));
    assert_non_null(strstr(error.data, "no .npy file"));
    buf_free(&file);
    buf_free(&error);
}

static void made_headers_are_read(void **state) {
    (void)state;
    static const struct kernel_array arrays[] = {
        {.dtype = KERNEL_F32, .dims = 0},
        {.dtype = KERNEL_F64, .dims = 1, .shape = {0}},
        {.dtype = KERNEL_I32, .dims = 2, .shape = {3, 4}, .fortran = true},
        {.dtype = KERNEL_I64, .dims = 1, .shape = {1152921504606000000}},
        {.dtype = KERNEL_F64, .dims = 8, .shape = {100, 100, 100, 100, 100, 100, 100, 100}},
    };
    struct buf file = BUF_INIT, error = BUF_INIT;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        struct npy made, back;
        buf_clear(&file);
        buf_adds(&file, "what was there");
        size_t before = file.len;
        assert_true(npy_make(&arrays[i], &file, &made, &error));
        assert_int_equal((file.len - before) % NPY_ALIGN, 0);
        assert_int_equal(file.data[file.len - 1], '\n');
        assert_true(npy_parse(file.data + before, file.len - before, &back, &error));
        assert_int_equal(back.at, file.len - before);
        assert_int_equal(made.at, back.at);
        assert_int_equal(made.bytes, back.bytes);
        assert_int_equal(back.array.dtype, arrays[i].dtype);
        assert_int_equal(back.array.dims, arrays[i].dims);
        assert_int_equal(back.array.fortran, arrays[i].fortran);
        assert_memory_equal(back.array.shape, arrays[i].shape, arrays[i].dims * sizeof(size_t));
        assert_int_equal(npy_elements(&back.array) * npy_dtype_bytes(back.array.dtype), made.bytes);
    }
    buf_free(&file);
    buf_free(&error);
}

static void what_cannot_be_made(void **state) {
    (void)state;
    static const struct {
        struct kernel_array array;
        const char *says;
    } rows[] = {
        {{.dtype = 0}, "0 is no dtype"},
        {{.dtype = (enum kernel_dtype)5}, "5 is no dtype"},
        {{.dtype = KERNEL_F32, .dims = 9}, "9 dimensions"},
        {{.dtype = KERNEL_F32, .dims = 2, .shape = {SIZE_MAX, 2}}, "too large"},
        {{.dtype = KERNEL_F64, .dims = 1, .shape = {SIZE_MAX / 8}}, "too large"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf file = BUF_INIT, error = BUF_INIT;
        struct npy npy;
        assert_false(npy_make(&rows[i].array, &file, &npy, &error));
        assert_non_null(strstr(error.data, rows[i].says));
        assert_int_equal(file.len, 0);
        buf_free(&file);
        buf_free(&error);
    }
}

static void swapping(void **state) {
    (void)state;
    uint32_t words[] = {0x01020304, 0xa0b0c0d0};
    uint64_t longs[] = {UINT64_C(0x0102030405060708)};
    npy_swap(words, 2, 4);
    npy_swap(longs, 1, 8);
    assert_int_equal(words[0], 0x04030201);
    assert_int_equal(words[1], 0xd0c0b0a0);
    assert_int_equal(longs[0], UINT64_C(0x0807060504030201));
}

static void names(void **state) {
    (void)state;
    assert_string_equal(npy_dtype_name(KERNEL_F32), "f32");
    assert_string_equal(npy_dtype_name(KERNEL_I64), "i64");
    assert_string_equal(npy_dtype_name((enum kernel_dtype)9), "?");
    assert_int_equal(npy_dtype_bytes(KERNEL_I32), 4);
    assert_int_equal(npy_dtype_bytes((enum kernel_dtype)0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dtypes_and_orders),
        cmocka_unit_test(shapes),
        cmocka_unit_test(malformed_dictionaries),
        cmocka_unit_test(preambles),
        cmocka_unit_test(made_headers_are_read),
        cmocka_unit_test(what_cannot_be_made),
        cmocka_unit_test(swapping),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
