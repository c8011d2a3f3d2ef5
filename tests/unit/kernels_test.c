/* kernels.h: which kernels a worker finds, and that it notices when there are others. */
#include "tests/unit/dir_rig.h"

#include "worker/kernels.h"

static struct kernels kernels;
static char program[128];

static int up(void **state) {
    (void)state;
    if (dir_make() != 0)
        return -1;
    snprintf(program, sizeof program, "%s/bin/redisWorker", root);
    put("/bin/kernelHost", "");
    char path[128];
    snprintf(path, sizeof path, "%s/bin/kernelHost", root);
    return chmod(path, 0700);
}

static int down(void **state) {
    (void)state;
    kernels_free(&kernels);
    return dir_remove();
}

static void remove_it(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s%s", root, name);
    assert_int_equal(remove(path), 0);
}

static void expect_dirs(const char *format) {
    char dirs[512];
    snprintf(dirs, sizeof dirs, format, root, root);
    assert_string_equal(kernels.dirs, dirs);
}

static void names_are_sorted_and_valid(void **state) {
    (void)state;
    static const char *const files[] = {"noop.so",    "gemm.so", "b-2.so",   "README",
                                        ".hidden.so", "2two.so", "a b.so",   "x.so.old",
                                        "libx.SO",    "so",      "comma,.so"};
    char name[64];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(name, sizeof name, "/bin/kernels/%s", files[i]);
        put(name, "");
    }
    assert_true(kernels_find(&kernels, "", program));
    assert_string_equal(kernels.names, "b-2,gemm,noop");
    expect_dirs("%s/bin/kernels");
    assert_int_equal(strcmp(kernels.host + strlen(root), "/bin/kernelHost"), 0);
}

static void changes_are_noticed(void **state) {
    (void)state;
    put("/bin/kernels/one.so", "");
    assert_true(kernels_find(&kernels, "", program));
    assert_false(kernels_find(&kernels, "", program));
    put("/bin/kernels/two.so", "");
    assert_true(kernels_find(&kernels, "", program));
    assert_string_equal(kernels.names, "one,two");
    remove_it("/bin/kernels/one.so");
    assert_true(kernels_find(&kernels, "", program));
    assert_string_equal(kernels.names, "two");
    /* Without the program that runs them there are none. */
    remove_it("/bin/kernelHost");
    assert_true(kernels_find(&kernels, "", program));
    assert_string_equal(kernels.names, "");
    assert_string_equal(kernels.host, "");
}

static void directories(void **state) {
    (void)state;
    char setting[300];
    put("/one/both.so", "");
    put("/one/first.so", "");
    put("/two/both.so", "");
    put("/two/second.so", "");
    snprintf(setting, sizeof setting, "%s/one:%s/two::/nonexistent", root, root);
    assert_true(kernels_find(&kernels, setting, program));
    assert_string_equal(kernels.names, "both,first,second");
    expect_dirs("%s/one:%s/two:/nonexistent");
    assert_int_equal(chdir(root), 0); /* as the worker sees it, not the task */
    assert_false(kernels_find(&kernels, "one:two", program));
    expect_dirs("%s/one:%s/two");
    assert_int_equal(chdir("/"), 0);
    /* Where `make install` puts them. */
    put("/lib/distcomp/kernels/installed.so", "");
    assert_true(kernels_find(&kernels, "", program));
    assert_string_equal(kernels.names, "installed");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_are_sorted_and_valid, up, down),
        cmocka_unit_test_setup_teardown(changes_are_noticed, up, down),
        cmocka_unit_test_setup_teardown(directories, up, down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
