/* gpu.h: cards by a libnvidia-ml.so.1 of the tests (tests/lib/fake_nvml.c). */
#include "tests/unit/dir_rig.h"

#include <dlfcn.h>

#include "common/clock.h"
#include "worker/gpu.h"

#define G (UINT64_C(1) << 30)

static int64_t clock_ms = 1;

static mono_ms_t fake_mono(void) {
    return (mono_ms_t){clock_ms};
}

static void write_list(const char *text) {
    put("/list", text);
}

static int up(void **state) {
    (void)state;
    char list[128];
    if (dir_make() != 0)
        return -1;
    snprintf(list, sizeof list, "%s/list", root);
    setenv("FAKE_NVML", list, 1);
    put("/dev/nvidiactl", "");
    return 0;
}

static int down(void **state) {
    (void)state;
    return dir_remove();
}

/* The library beside this program, opened before gpu.c looks for one of its name. */
static void *fake_library(void) {
    char path[4200];
    ssize_t len = readlink("/proc/self/exe", path, 4096);
    assert_true(len > 0);
    path[len] = '\0';
    char *slash = strrchr(path, '/');
    snprintf(slash, (size_t)(path + sizeof path - slash), "/lib/nvml/libnvidia-ml.so.1");
    void *handle = dlopen(path, RTLD_NOW);
    if (!handle)
        fail_msg("%s", dlerror());
    return handle;
}

#define TWO "GPU-aa11 H200 150754820096 1073741824 7\nGPU-aa22 T4 16106127360 0 -\n"

static void what_a_card_says(void **state) {
    (void)state;
    size_t count;
    write_list(TWO);
    struct gpus *gpus = gpus_open(root, GPUS_WHERE_SEEN, NULL);
    const struct gpu *cards = gpus_list(gpus, &count);
    assert_int_equal(count, 2);
    assert_string_equal(gpus_trouble(gpus), "");
    assert_string_equal(cards[0].uuid, "GPU-aa11");
    assert_string_equal(cards[0].name, "H200");
    assert_int_equal(cards[0].mem_total_bytes, 150754820096);
    assert_int_equal(cards[0].mem_used_bytes, G);
    assert_int_equal(cards[0].utilization_percent, 7);
    assert_int_equal(cards[1].utilization_percent, -1);
    assert_false(cards[0].lost || cards[1].lost);
    gpus_close(gpus);
}

static void read_again_once_a_second(void **state) {
    (void)state;
    void *library = fake_library();
    int *reads = dlsym(library, "fake_nvml_reads");
    assert_non_null(reads);
    size_t count;
    write_list(TWO);
    struct gpus *gpus = gpus_open(root, GPUS_WHERE_SEEN, NULL);
    const struct gpu *cards = gpus_list(gpus, &count);
    int first = *reads;
    write_list("GPU-aa11 H200 150754820096 5 9\nlost GPU-aa22 T4\n");
    clock_ms += GPUS_REREAD_MS - 1;
    assert_false(gpus_read(gpus));
    assert_int_equal(*reads, first);
    assert_int_equal(cards[0].mem_used_bytes, G);
    clock_ms += 1;
    assert_true(gpus_read(gpus));
    assert_int_equal(*reads, first + 2);
    assert_int_equal(cards[0].mem_used_bytes, 5);
    assert_int_equal(cards[0].utilization_percent, 9);
    assert_true(cards[1].lost);
    assert_int_equal(cards[1].mem_total_bytes, 16106127360); /* as it was */
    assert_false(gpus_read(gpus));
    write_list(TWO); /* and it comes back */
    clock_ms += GPUS_REREAD_MS;
    assert_true(gpus_read(gpus));
    assert_false(cards[1].lost);
    gpus_close(gpus);
    dlclose(library);
}

static void not_asked_without_a_device(void **state) {
    (void)state;
    static const struct {
        const char *root;
        enum gpus_probe probe;
        const char *visible;
        size_t count;
    } rows[] = {{root, GPUS_WHERE_SEEN, NULL, 2},   {"/nowhere", GPUS_WHERE_SEEN, NULL, 0},
                {"/nowhere", GPUS_ALWAYS, NULL, 2}, {root, GPUS_NEVER, NULL, 0},
                {root, GPUS_ALWAYS, "", 0},         {root, GPUS_ALWAYS, "-1", 0},
                {root, GPUS_ALWAYS, "GPU-aa2", 1},  {root, GPUS_ALWAYS, "1,0", 2}};
    write_list(TWO);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t count;
        struct gpus *gpus = gpus_open(rows[i].root, rows[i].probe, rows[i].visible);
        const struct gpu *cards = gpus_list(gpus, &count);
        if (count != rows[i].count || *gpus_trouble(gpus))
            fail_msg("row %zu: %zu, %s", i, count, gpus_trouble(gpus));
        if (rows[i].visible && *rows[i].visible && count)
            assert_string_equal(cards[0].uuid, "GPU-aa22");
        clock_ms += GPUS_REREAD_MS;
        assert_int_equal(gpus_read(gpus), count > 0);
        gpus_close(gpus);
    }
}

static void troubles_are_told(void **state) {
    (void)state;
    static const struct {
        const char *list, *visible, *trouble;
        size_t count;
    } rows[] = {
        {"init 9\n", NULL, "nvmlInit_v2: some error", 0},
        {"! 15\n" TWO, NULL, "card 0 is left out: nvmlDeviceGetHandleByIndex_v2: GPU is lost", 2},
        /* a card that is left out keeps its number */
        {"! 15\n" TWO, "2", "card 0 is left out: nvmlDeviceGetHandleByIndex_v2: GPU is lost", 1},
        {TWO, "1,MIG-55,0",
         "CUDA_VISIBLE_DEVICES=1,MIG-55,0: MIG-55 is no card, and the list ends there", 1},
        {"", NULL, "", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t count;
        write_list(rows[i].list);
        struct gpus *gpus = gpus_open(root, GPUS_WHERE_SEEN, rows[i].visible);
        const struct gpu *cards = gpus_list(gpus, &count);
        if (count != rows[i].count || strcmp(gpus_trouble(gpus), rows[i].trouble) != 0)
            fail_msg("row %zu: %zu, '%s'", i, count, gpus_trouble(gpus));
        if (rows[i].visible)
            assert_string_equal(cards[0].uuid, "GPU-aa22");
        gpus_close(gpus);
    }
}

static void cuda_visible_devices(void **state) {
    (void)state;
    static const struct {
        const char *visible, *chosen, *refused;
    } rows[] = {
        {"0", "0", ""},         {"2,0", "2 0", ""},
        {" 1 , 2 ", "1 2", ""}, {"", "", ""},
        {"-1", "", "-1"},       {"0,-1,1", "0", "-1"},
        {"3", "", "3"},         {"99999999999999999999", "", "99999999999999999999"},
        {"0,x,1", "0", "x"},    {"GPU-abc1", "0", ""},
        {"GPU-abd", "2", ""},   {"GPU-ab", "", "GPU-ab"}, /* two begin so */
        {"GPU-", "", "GPU-"},   {"GPU-abd,GPU-abc2", "2 1", ""},
        {"abc1", "", "abc1"},   {"MIG-abc1", "", "MIG-abc1"},
        {"1,1", "1", "1"}, /* CUDA gives none then; the worker keeps what came before */
        {"0,,1", "0", ""},
    };
    struct gpu all[3] = {{.uuid = "GPU-abc1"}, {.uuid = "GPU-abc2"}, {.uuid = "GPU-abd"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t chosen[GPUS_MAX];
        struct buf refused = BUF_INIT, text = BUF_INIT;
        size_t n = gpus_choose_visible(all, 3, rows[i].visible, chosen, &refused);
        for (size_t k = 0; k < n; k++)
            buf_addf(&text, "%s%zu", k ? " " : "", chosen[k]);
        if (strcmp(text.data, rows[i].chosen) != 0 || strcmp(refused.data, rows[i].refused) != 0)
            fail_msg("'%s': '%s', refused '%s'", rows[i].visible, text.data, refused.data);
        buf_free(&refused);
        buf_free(&text);
    }
}

int main(void) {
    const struct clock_source clocks = {.mono = fake_mono};
    const struct CMUnitTest tests[] = {
        fresh(what_a_card_says),
        fresh(read_again_once_a_second),
        fresh(not_asked_without_a_device),
        fresh(troubles_are_told),
        cmocka_unit_test(cuda_visible_devices),
    };
    clock_replace(&clocks);
    void *library = fake_library();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    dlclose(library);
    return failed;
}
