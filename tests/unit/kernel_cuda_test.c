/* cudadev.h, cudarun.h on the fake card of tests/lib/fake_cuda.c. */
#include "tests/unit/cuda_rig.h"

#include "kernels/cuda/cudaargs.h"
#include "kernels/cuda/cudarun.h"

/* --- the card ----------------------------------------------------------------------------------
 */

static void a_card_opens_once(void **state) {
    (void)state;
    struct cudadev dev = {.ordinal = 0};
    struct cuda_why why = {""};
    rig_tell("capability 90\nversion 12040\n");
    if (!cudadev_open(&dev, 0, &why))
        fail_msg("%s", why.text);
    assert_int_equal(dev.capability, 90);
    assert_int_equal(dev.lib.driver_version, 12040);
    assert_string_equal(dev.name, "Fake Card 0");
    assert_int_equal(dev.generation, 1);
    assert_true(cudadev_open(&dev, 0, &why));
    assert_int_equal(dev.generation, 1);
    assert_int_equal(rig_calls("cuInit"), 1);
    assert_int_equal(rig_calls("cuDevicePrimaryCtxRetain"), 1);
    cudadev_close(&dev);
    assert_int_equal(rig_calls("cuDevicePrimaryCtxRelease_v2"), 1);
    cudadev_close(&dev);
    assert_int_equal(rig_calls("cuDevicePrimaryCtxRelease_v2"), 1);
}

static void cards_that_are_not_there(void **state) {
    (void)state;
    struct cudadev dev = {.ordinal = 0};
    struct cuda_why why = {""};
    rig_tell("cards 0\n");
    assert_false(cudadev_open(&dev, 0, &why));
    assert_says(why, "cuInit: CUDA_ERROR_NO_DEVICE");
    assert_says(why, "CUDA_VISIBLE_DEVICES");
    rig_tell("cards 1\n"); /* it may be asked again */
    assert_false(cudadev_open(&dev, 1, &why));
    assert_says(why, "there is no card 1: CUDA shows 1");
    assert_true(cudadev_open(&dev, 0, &why));
    cudadev_close(&dev);
}

static void a_context_that_no_longer_answers_is_made_anew(void **state) {
    (void)state;
    struct cudadev dev = {.ordinal = 0};
    struct cuda_why why = {""};
    assert_true(cudadev_open(&dev, 0, &why));
    rig_tell("fail cuMemGetInfo_v2 709 1\n");
    assert_true(cudadev_open(&dev, 0, &why));
    assert_int_equal(dev.generation, 2);
    assert_false(dev.lost);
    rig_tell("fail cuMemGetInfo_v2 709 0\n"); /* and does not come back */
    assert_false(cudadev_open(&dev, 0, &why));
    assert_true(dev.lost);
    int released = rig_calls("cuDevicePrimaryCtxRelease_v2");
    cudadev_close(&dev); /* a lost one is not touched */
    assert_int_equal(rig_calls("cuDevicePrimaryCtxRelease_v2"), released);
}

static void which_errors_end_the_process(void **state) {
    (void)state;
    static const int fatal[] = {214, 226, 700, 702, 710, 714, 715, 716, 717, 718, 719, 721, 999};
    static const int harmless[] = {1, 2, 100, 201, 209, 218, 222, 500, 701, 709, 720, 801};
    struct cudadev dev = {.ordinal = 0};
    struct cuda_why why = {""};
    assert_true(cudadev_open(&dev, 0, &why));
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        assert_false(cudadev_ok(&dev, harmless[i], &why, "x"));
    assert_false(dev.lost);
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) {
        dev.lost = false;
        assert_false(cudadev_ok(&dev, fatal[i], &why, "the work"));
        assert_true(dev.lost);
    }
    assert_false(cudadev_ok(&dev, 123456, &why, "the work"));
    assert_string_equal(why.text, "the work: CUDA error 123456");
    dev.lost = false;
    cudadev_close(&dev);
}

/* --- launches ----------------------------------------------------------------------------------
 */

static float x[1000], y[1000], z[1000];

struct launch {
    struct cudadev dev;
    struct nvrtc_program program;
    struct cudaargs args;
    struct cudadims dims;
    struct cudarun_times times;
    struct cuda_why why;
    bool refused;
};

/* saxpy of 1000 elements into z; the program is what the fake takes for one. */
static void prepare(struct launch *l, char *name) {
    static char image[] = ".version 9.0";
    memset(l, 0, sizeof *l);
    l->program.image = image;
    l->program.lowered = name;
    for (int i = 0; i < 1000; i++) {
        x[i] = (float)i;
        y[i] = 1;
        z[i] = -1;
    }
    if (!cudadev_open(&l->dev, 0, &l->why) || !cudadims_parse("4", "256", &l->dims, &l->why) ||
        !cudaargs_parse("u32:1000 f32:2 in:x inout:y->z", &l->args, &l->why))
        fail_msg("%s", l->why.text);
    l->args.arg[2].from = x;
    l->args.arg[3].from = y;
    l->args.arg[3].to = z;
    l->args.arg[2].bytes = l->args.arg[3].bytes = sizeof x;
}

static bool run(struct launch *l) {
    return cudarun(&l->dev, &l->program, &l->dims, &l->args, rig_never, NULL, &l->times,
                   &l->refused, &l->why);
}

static void finish(struct launch *l) {
    assert_int_equal(rig_used(), 0);
    assert_int_equal(l->dev.allocated, 0);
    cudarun_unload(&l->dev, &l->program);
    assert_int_equal(rig_left(), 0);
    cudadev_close(&l->dev);
    cudaargs_free(&l->args);
}

static void a_launch(void **state) {
    (void)state;
    struct launch l;
    char name[] = "saxpy";
    prepare(&l, name);
    l.dims.shared_bytes = 2048;
    for (int time = 0; time < 2; time++) {
        memset(z, 0, sizeof z);
        if (!run(&l))
            fail_msg("%s", l.why.text);
        for (int i = 0; i < 1000; i++)
            assert_true(z[i] >= (float)(2 * i + 1) && z[i] <= (float)(2 * i + 1));
    }
    assert_true(y[5] <= 1); /* the input stays */
    assert_int_equal(l.times.card_bytes, 2 * sizeof x);
    assert_true(l.times.kernel_s > 0.0019 && l.times.kernel_s < 0.0021);
    assert_int_equal(rig_calls("cuModuleLoadData"), 1); /* kept */
    assert_int_equal(rig_calls("cuLaunchKernel saxpy 4,1,1 256,1,1 shared 2048"), 2);
    assert_int_equal(rig_calls("cuFuncSetAttribute 8 2048"), 2);
    finish(&l);
}

static void values_arrive_as_they_are(void **state) {
    (void)state;
    struct launch l;
    char name[] = "tell";
    prepare(&l, name);
    cudaargs_free(&l.args);
    assert_true(cudaargs_parse("i8:-3 u8:200 i16:-300 i32:-70000 i64:-5000000000 f32:0.5 "
                               "f64:-0.25 tmp:f32:3",
                               &l.args, &l.why));
    if (!run(&l))
        fail_msg("%s", l.why.text);
    assert_int_equal(rig_calls("tell 1024: -3 200 -300 -70000 -5000000000 0.5 -0.25 1"), 1);
    assert_int_equal(rig_calls("cuMemsetD8_v2 0 12"), 1);
    finish(&l);
}

static void an_empty_array_has_no_address(void **state) {
    (void)state;
    struct launch l;
    char name[] = "tell";
    prepare(&l, name);
    cudaargs_free(&l.args);
    assert_true(
        cudaargs_parse("i8:1 u8:1 i16:1 i32:1 i64:1 f32:1 f64:1 out:x:f32:0x5", &l.args, &l.why));
    l.args.arg[7].to = z;
    if (!run(&l))
        fail_msg("%s", l.why.text);
    assert_int_equal(rig_calls("tell 1024: 1 1 1 1 1 1 1 0"), 1);
    assert_int_equal(rig_calls("cuMemAlloc_v2"), 0);
    finish(&l);
}

static void more_than_the_card_has(void **state) {
    (void)state;
    struct launch l;
    char name[] = "saxpy";
    rig_tell("memory 6000\n");
    prepare(&l, name);
    assert_false(run(&l));
    assert_says(l.why, "MiB of card memory are needed, and Fake Card 0 has");
    assert_int_equal(rig_calls("cuMemAlloc_v2"), 0);
    finish(&l);
}

/* Each call of a launch fails in turn: all memory comes back, nothing is written, and the card is
 * good for the next. */
static void every_call_may_fail(void **state) {
    (void)state;
    static const struct {
        const char *told, *says;
    } cases[] = {
        {"fail cuMemAlloc_v2 2 1", "card memory for in:x: CUDA_ERROR_OUT_OF_MEMORY"},
        {"fail cuMemAlloc_v2 2 2", "card memory for inout:y->z"},
        {"fail cuMemcpyHtoD_v2 1 2", "inout:y->z: "},
        {"fail cuMemcpyDtoH_v2 1 1", "inout:y->z: "},
        {"fail cuMemGetInfo_v2 1 1", "cuMemGetInfo"},
        {"fail cuModuleLoadData 218 1", "loading the program"},
        {"fail cuModuleGetFunction 500 1", "saxpy: CUDA_ERROR"},
        {"fail cuFuncGetAttribute 1 2", "cuFuncGetAttribute"},
        {"fail cuEventCreate 2 2", "cuEventCreate"},
        {"fail cuEventRecord 1 2", "cuEventRecord"},
        {"fail cuEventElapsedTime 1 1", "cuEventElapsedTime"},
        {"fail cuLaunchKernel 701 1", "the launch failed: CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct launch l;
        char name[] = "saxpy";
        prepare(&l, name);
        rig_tell(cases[i].told);
        l.dev.lib.cuCtxSetCurrent(l.dev.context); /* reads what it is told */
        if (run(&l))
            fail_msg("%s: it went well", cases[i].told);
        assert_says(l.why, cases[i].says);
        assert_false(l.dev.lost);
        assert_true(z[7] <= -1);
        if (!run(&l))
            fail_msg("%s: and then: %s", cases[i].told, l.why.text);
        finish(&l);
        rig_fresh(NULL);
    }
}

static void an_error_of_the_kernel_is_final(void **state) {
    (void)state;
    struct launch l;
    char name[] = "crash";
    prepare(&l, name);
    assert_false(run(&l));
    assert_string_equal(l.why.text, "the work on the card failed: CUDA_ERROR_ILLEGAL_ADDRESS: an "
                                    "illegal memory access was encountered");
    assert_true(l.dev.lost);
    assert_int_equal(rig_calls("cuMemFree_v2"), 0); /* no call more that would fail or wait */
    assert_int_equal(rig_calls("cuMemcpyDtoH_v2"), 0);
    cudaargs_free(&l.args);
}

static void blocks_that_a_kernel_cannot_have(void **state) {
    (void)state;
    struct launch l;
    char name[] = "saxpy";
    rig_tell("threads 128\n");
    prepare(&l, name);
    assert_false(run(&l));
    assert_true(l.refused);
    assert_says(l.why, "a block of 256 threads: this kernel can have 128");
    l.dims.block[0] = 128;
    l.dims.shared_bytes = 100000 - 1024 + 1;
    assert_false(run(&l));
    assert_true(l.refused);
    assert_says(l.why, "shared=98977, and 1024 bytes of the kernel's own: Fake Card 0 has 100000");
    l.dims.shared_bytes--;
    assert_true(run(&l));
    finish(&l);
}

static void cancelled_before_and_while_it_works(void **state) {
    (void)state;
    struct launch l;
    char name[] = "saxpy";
    int left = 0;
    prepare(&l, name);
    assert_false(
        cudarun(&l.dev, &l.program, &l.dims, &l.args, rig_after, &left, &l.times, NULL, &l.why));
    assert_string_equal(l.why.text, "cancelled");
    assert_false(l.dev.lost);
    finish(&l);
    rig_fresh(NULL);
    rig_tell("busy -1\n"); /* it never ends by itself */
    prepare(&l, name);
    left = 500;
    assert_false(
        cudarun(&l.dev, &l.program, &l.dims, &l.args, rig_after, &left, &l.times, NULL, &l.why));
    assert_string_equal(l.why.text, "cancelled while the card worked");
    assert_true(l.dev.lost);
    cudaargs_free(&l.args);
}

static void a_new_context_loads_the_program_again(void **state) {
    (void)state;
    struct launch l;
    char name[] = "saxpy";
    prepare(&l, name);
    assert_true(run(&l));
    rig_tell("fail cuMemGetInfo_v2 709 1\n");
    assert_true(cudadev_open(&l.dev, 0, &l.why));
    assert_int_equal(l.dev.generation, 2);
    assert_true(run(&l));
    assert_int_equal(rig_calls("cuModuleLoadData"), 2);
    assert_int_equal(rig_calls("cuModuleUnload"), 0); /* it went with its context */
    cudadev_close(&l.dev);
    cudaargs_free(&l.args);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        rig_test(a_card_opens_once),
        rig_test(cards_that_are_not_there),
        rig_test(a_context_that_no_longer_answers_is_made_anew),
        rig_test(which_errors_end_the_process),
        rig_test(a_launch),
        rig_test(values_arrive_as_they_are),
        rig_test(an_empty_array_has_no_address),
        rig_test(more_than_the_card_has),
        rig_test(every_call_may_fail),
        rig_test(an_error_of_the_kernel_is_final),
        rig_test(blocks_that_a_kernel_cannot_have),
        rig_test(cancelled_before_and_while_it_works),
        rig_test(a_new_context_loads_the_program_again),
    };
    return cmocka_run_group_tests(tests, rig_up, rig_down);
}
