/* cudaargs.h and ptx.h: what a task says of a kernel's arguments, and what the kernel takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "kernels/cuda/cudaargs.h"
#include "kernels/cuda/ptx.h"

#define assert_says(why, part)                                                                     \
    do {                                                                                           \
        if (!strstr((why).text, part))                                                             \
            fail_msg("'%s' does not say '%s'", (why).text, part);                                  \
    } while (0)

/* --- arguments ---------------------------------------------------------------------------------
 */

static void words_of_every_kind(void **state) {
    (void)state;
    struct cudaargs args;
    struct cuda_why why = {""};
    assert_true(cudaargs_parse(" in:redis:a out:http://h:80/c.npy:f32:1024x3 inout:b.npy->d:e.npy\t"
                               "inout:x tmp:u16:7 i32:-5 ",
                               &args, &why));
    assert_int_equal(args.count, 6);
    assert_int_equal(args.arg[0].kind, CUDAARG_IN);
    assert_string_equal(args.arg[0].read, "redis:a");
    assert_null(args.arg[0].write);
    assert_int_equal(args.arg[1].kind, CUDAARG_OUT);
    assert_string_equal(args.arg[1].write, "http://h:80/c.npy");
    assert_string_equal(args.arg[1].word, "out:http://h:80/c.npy:f32:1024x3");
    assert_int_equal(args.arg[1].array.dtype, KERNEL_F32);
    assert_int_equal(args.arg[1].array.dims, 2);
    assert_int_equal(args.arg[1].array.shape[1], 3);
    assert_int_equal(args.arg[1].bytes, 1024 * 3 * 4);
    assert_string_equal(args.arg[2].read, "b.npy");
    assert_string_equal(args.arg[2].write, "d:e.npy");
    assert_string_equal(args.arg[3].read, "x");
    assert_string_equal(args.arg[3].write, "x");
    assert_int_equal(args.arg[4].kind, CUDAARG_TMP);
    assert_int_equal(args.arg[4].bytes, 14);
    assert_int_equal(args.arg[5].kind, CUDAARG_VALUE);
    cudaargs_free(&args);
    assert_true(cudaargs_parse("", &args, &why));
    assert_int_equal(args.count, 0);
    cudaargs_free(&args);
}

#define VALUE(written, type, expected)                                                             \
    do {                                                                                           \
        struct cudaargs args_;                                                                     \
        type value_, expected_ = expected;                                                         \
        if (!cudaargs_parse(written, &args_, &why))                                                \
            fail_msg("%s", why.text);                                                              \
        assert_int_equal(args_.arg[0].value_bytes, sizeof value_);                                 \
        memcpy(&value_, args_.arg[0].value, sizeof value_);                                        \
        assert_memory_equal(&value_, &expected_, sizeof value_);                                   \
        cudaargs_free(&args_);                                                                     \
    } while (0)

static void numbers_of_every_type(void **state) {
    (void)state;
    struct cuda_why why = {""};
    VALUE("i8:-128", int8_t, INT8_MIN);
    VALUE("i8:127", int8_t, INT8_MAX);
    VALUE("u8:0xff", uint8_t, 255);
    VALUE("i16:-32768", int16_t, INT16_MIN);
    VALUE("u16:65535", uint16_t, 65535);
    VALUE("i32:-2147483648", int32_t, INT32_MIN);
    VALUE("u32:4294967295", uint32_t, UINT32_MAX);
    VALUE("i64:-9223372036854775808", int64_t, INT64_MIN);
    VALUE("i64:9223372036854775807", int64_t, INT64_MAX);
    VALUE("u64:18446744073709551615", uint64_t, UINT64_MAX);
    VALUE("u64:-0", uint64_t, 0);
    VALUE("f32:0.1", float, 0.1f);
    VALUE("f64:0.1", double, 0.1);
    VALUE("f64:1e300", double, 1e300);
    VALUE("f32:-1e-46", float, -0.0f);
    VALUE("f32:inf", float, (float)(1 / 0.0));
}

static void words_that_are_wrong(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"x", "'x': an argument is in:NAME"},
        {"i32:1 q32:2", "'q32:2'"},
        {"in:", "a name is missing"},
        {"inout:a->", "a name is missing"},
        {"inout:->b", "a name is missing"},
        {"out:c.npy", "out:NAME:TYPE:SHAPE"},
        {"out:f32:4", "out:NAME:TYPE:SHAPE"},
        {"out::f32:4", "out:NAME:TYPE:SHAPE"},
        {"out:c.npy:u8:4", "f32, f64, i32 or i64"},
        {"out:c.npy:f32:4x", "the shape is numbers"},
        {"out:c.npy:f32:-4", "the shape is numbers"},
        {"out:c.npy:f32:1x1x1x1x1x1x1x1x1", "more than 8"},
        {"out:c.npy:f64:4294967296x4294967296", "more bytes than"},
        {"tmp:4", "tmp:TYPE:SHAPE"},
        {"tmp:x:f32:4", "tmp:TYPE:SHAPE"},
        {"tmp:x32:4", "the type is one of"},
        {"i8:128", "outside of this type"},
        {"i8:-129", "outside of this type"},
        {"u32:-1", "outside of this type"},
        {"u64:18446744073709551616", "outside of this type"},
        {"i32:1.5", "no integer"},
        {"i32:", "no integer"},
        {"i32: 5", "no integer"},
        {"f32:1e39", "no number of this type"},
        {"f64:1e309", "no number of this type"},
        {"f32:x", "no number of this type"},
        {"f32:1x", "no number of this type"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cudaargs args;
        struct cuda_why why = {""};
        if (cudaargs_parse(cases[i].text, &args, &why))
            fail_msg("%s was taken", cases[i].text);
        assert_says(why, cases[i].says);
        cudaargs_free(&args);
    }
}

static void more_arguments_than_there_can_be(void **state) {
    (void)state;
    char text[CUDAARGS_MAX * 8 + 16] = "";
    struct cudaargs args;
    struct cuda_why why = {""};
    for (int i = 0; i < CUDAARGS_MAX; i++)
        strcat(text, "i32:1 ");
    assert_true(cudaargs_parse(text, &args, &why));
    cudaargs_free(&args);
    strcat(text, "i32:1");
    assert_false(cudaargs_parse(text, &args, &why));
    assert_says(why, "more than 64");
    cudaargs_free(&args);
}

static void grids_and_blocks(void **state) {
    (void)state;
    struct cudadims dims;
    struct cuda_why why = {""};
    assert_true(cudadims_parse("7", "256", &dims, &why));
    assert_int_equal(dims.grid[0] * dims.grid[1] * dims.grid[2], 7);
    assert_true(cudadims_parse("2147483647,65535,65535", "16,8,8", &dims, &why));
    assert_int_equal(dims.grid[0], 2147483647);
    assert_int_equal(dims.block[2], 8);
    static const struct {
        const char *grid, *block, *says;
    } cases[] = {{"0", "1", "grid=0"},
                 {"", "1", "grid="},
                 {"2147483648", "1", "grid=2147483648"},
                 {"1,65536", "1", "grid=1,65536"},
                 {"1,2,3,4", "1", "grid=1,2,3,4"},
                 {"1,", "1", "grid=1,"},
                 {"1x2", "1", "grid=1x2"},
                 {"-1", "1", "grid=-1"},
                 {"1", "1025", "block=1025"},
                 {"1", "1,1,65", "block=1,1,65"},
                 {"1", "32,33", "1056 threads"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_false(cudadims_parse(cases[i].grid, cases[i].block, &dims, &why));
        assert_says(why, cases[i].says);
    }
}

/* --- PTX ---------------------------------------------------------------------------------------
 */

#define PTX                                                                                        \
    ".version 9.0\n.target sm_80\n.visible .entry saxpy_more(\n\t.param .u64 saxpy_more_param_0\n" \
    ")\n{\nret;\n}\n.visible .entry saxpy(\n\t.param .f32 saxpy_param_0,\n"                        \
    "\t.param .u64 .ptr .global .align 1 saxpy_param_1,\n\t.param .align 4 .b8 saxpy_param_2[12]"  \
    ",\n\t.param .u8 saxpy_param_3,\n\t.param .f64 saxpy_param_4\n)\n.maxntid 256\n{\nret;\n}\n"   \
    ".entry none()\n{\n}\n.entry bare {\n}\n.entry odd(.param .texref t)\n{ }\n"

static void parameters_of_an_entry(void **state) {
    (void)state;
    struct ptx_param params[PTX_PARAMS_MAX];
    size_t count = 9;
    assert_true(ptx_params(PTX, "saxpy", params, &count));
    assert_int_equal(count, 5);
    static const struct ptx_param expected[] = {
        {PTX_FLOAT, 4}, {PTX_INTEGER, 8}, {PTX_BYTES, 12}, {PTX_INTEGER, 1}, {PTX_FLOAT, 8}};
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(params[i].kind, expected[i].kind);
        assert_int_equal(params[i].bytes, expected[i].bytes);
    }
    assert_true(ptx_params(PTX, "none", params, &count));
    assert_int_equal(count, 0);
    assert_true(ptx_params(PTX, "bare", params, &count));
    assert_int_equal(count, 0);
    assert_false(ptx_params(PTX, "sax", params, &count));
    assert_false(ptx_params(PTX, "odd", params, &count));
    assert_false(ptx_params(".entry broken(.param .u32 a", "broken", params, &count));
    assert_false(ptx_params("", "saxpy", params, &count));
}

static void arguments_that_do_not_fit(void **state) {
    (void)state;
    static const struct ptx_param params[] = {{PTX_INTEGER, 4}, {PTX_FLOAT, 4}, {PTX_INTEGER, 8}};
    static const struct {
        const char *text, *says; /* NULL: it fits */
    } cases[] = {{"u32:1 f32:1 in:x", NULL},
                 {"i32:1 f32:1 tmp:u8:9", NULL},
                 {"i32:1 f32:1 u64:0", NULL},
                 {"u32:1 f32:1", "args gives 2, and saxpy takes 3 (u32, f32, u64)"},
                 {"", "args gives 0"},
                 {"u64:1 f32:1 in:x", "'u64:1' is number 1 of saxpy, which is u32"},
                 {"u32:1 f64:1 in:x", "'f64:1' is number 2"},
                 {"f32:1 f32:1 in:x", "'f32:1' is number 1"},
                 {"u32:1 in:x in:x", "'in:x' is number 2 of saxpy, which is f32"},
                 {"u32:1 f32:1 f64:0", "'f64:0' is number 3"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cudaargs args;
        struct cuda_why why = {""};
        assert_true(cudaargs_parse(cases[i].text, &args, &why));
        assert_int_equal(cudaargs_fit(&args, "saxpy", params, 3, &why), !cases[i].says);
        if (cases[i].says)
            assert_says(why, cases[i].says);
        cudaargs_free(&args);
    }
    struct ptx_param bytes = {PTX_BYTES, 12};
    struct cudaargs args;
    struct cuda_why why = {""};
    assert_true(cudaargs_parse("u32:1", &args, &why));
    assert_false(cudaargs_fit(&args, "k", &bytes, 1, &why));
    assert_says(why, "a struct of 12 bytes");
    cudaargs_free(&args);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_every_kind),
        cmocka_unit_test(numbers_of_every_type),
        cmocka_unit_test(words_that_are_wrong),
        cmocka_unit_test(more_arguments_than_there_can_be),
        cmocka_unit_test(grids_and_blocks),
        cmocka_unit_test(parameters_of_an_entry),
        cmocka_unit_test(arguments_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
