/* nvrtc.h: text functions and the cache directory anywhere, and compiling with NVIDIA's own NVRTC
 * where it is installed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/cuda/nvrtc.h"
#include "kernels/cuda/nvrtcdir.h"

#define assert_says(why, part)                                                                     \
    do {                                                                                           \
        if (!strstr((why).text, part))                                                             \
            fail_msg("'%s' does not say '%s'", (why).text, part);                                  \
    } while (0)

static char root[64], cache[128];
static struct cudalib lib;
static struct nvrtc_kept kept;

static int up(void **state) {
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(root, sizeof root, "%.40s/nvrtcXXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(root))
        return -1;
    snprintf(cache, sizeof cache, "%s/cache", root);
    return 0;
}

/* Calls each(path) for the files of the cache. */
static int files(void (*each)(const char *path)) {
    DIR *dir = opendir(cache);
    char path[512];
    int count = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        snprintf(path, sizeof path, "%s/%s", cache, entry->d_name);
        if (each)
            each(path);
    }
    if (dir)
        closedir(dir);
    return count;
}

static void take_away(const char *path) {
    remove(path);
}

static int clean(void **state) {
    (void)state;
    nvrtc_forget_all(&kept);
    files(take_away);
    rmdir(cache);
    return 0;
}

static int down(void **state) {
    clean(state);
    return rmdir(root);
}

/* --- text --------------------------------------------------------------------------------------
 */

static void kernels_of_a_source(void **state) {
    (void)state;
    char names[64];
    nvrtc_kernels_of("extern \"C\" __global__ void saxpy(int n) {}\ntemplate <class T>\n__global__ "
                     "__launch_bounds__(256, 2) void\nadd (T *x);\n__device__ void no(int);\n"
                     "static __global__ void tail(",
                     names, sizeof names);
    assert_string_equal(names, "saxpy, add, tail");
    nvrtc_kernels_of("int main;", names, sizeof names);
    assert_string_equal(names, "");
    nvrtc_kernels_of("__global__", names, sizeof names);
    assert_string_equal(names, "");
    nvrtc_kernels_of("__global__ void abcdefgh(); __global__ void ij();", names, 8);
    assert_string_equal(names, "ij");
}

static void the_line_that_says_it(void **state) {
    (void)state;
    char line[64];
    nvrtc_first_error("a.cu(2): warning: x\n\na.cu(3): error: y\na.cu(4): error: z\n", line,
                      sizeof line);
    assert_string_equal(line, "a.cu(3): error: y");
    nvrtc_first_error("\nsomething\nelse", line, sizeof line);
    assert_string_equal(line, "something");
    nvrtc_first_error("ptxas fatal   : no", line, sizeof line);
    assert_string_equal(line, "ptxas fatal   : no");
    nvrtc_first_error("", line, sizeof line);
    assert_string_equal(line, "");
}

static void what_may_be_kept(void **state) {
    (void)state;
    assert_true(nvrtc_keepable("int x;", ""));
    assert_true(nvrtc_keepable("#include <cuda_fp16.h>\n# include\t<x>", "-lineinfo --std=c++17"));
    assert_false(nvrtc_keepable("#include \"mine.h\"", ""));
    assert_false(nvrtc_keepable("#include <a>\n#include MACRO", ""));
    assert_false(nvrtc_keepable("#embed <a>", ""));
    assert_false(nvrtc_keepable("int x;", "-I/tmp"));
    assert_false(nvrtc_keepable("int x;", "-O3 --include-path=/tmp"));
    assert_false(nvrtc_keepable("int x;", "--pre-include=a.h"));
}

/* --- the cache directory -----------------------------------------------------------------------
 */

static void spoil(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    fseek(file, st.st_size - 3, SEEK_SET);
    fputc(fgetc(file) ^ 1, file);
    assert_int_equal(fclose(file), 0);
}

static void shorten(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size - 1), 0);
}

static void empty(const char *path) {
    assert_int_equal(truncate(path, 0), 0);
}

static void a_program_in_a_directory(void **state) {
    (void)state;
    char key[] = "key", image[] = "im\0age", lowered[] = "_Z1a";
    struct nvrtc_program made = {.key = key,
                                 .key_bytes = 3,
                                 .image = image,
                                 .image_bytes = 6,
                                 .lowered = lowered,
                                 .count = 2,
                                 .params = {{PTX_FLOAT, 8}, {PTX_BYTES, 12}}};
    struct nvrtc_program found = {.key = key, .key_bytes = 3}, none = found;
    assert_false(nvrtcdir_read(cache, &found));
    assert_true(nvrtcdir_write(cache, &made));
    assert_int_equal(files(NULL), 1);
    assert_true(nvrtcdir_read(cache, &found));
    assert_int_equal(found.image_bytes, 6);
    assert_memory_equal(found.image, image, 7);
    assert_string_equal(found.lowered, "_Z1a");
    assert_int_equal(found.count, 2);
    assert_int_equal(found.params[0].kind, PTX_FLOAT);
    assert_int_equal(found.params[1].bytes, 12);
    free(found.image);
    free(found.lowered);
    static void (*const harm[])(const char *path) = {spoil, shorten, empty};
    for (size_t i = 0; i < 3; i++) {
        files(harm[i]);
        assert_false(nvrtcdir_read(cache, &none));
        assert_null(none.image);
        assert_true(nvrtcdir_write(cache, &made)); /* over it */
        assert_int_equal(files(NULL), 1);
    }
    assert_false(nvrtcdir_write("/proc/nothing", &made));
}

static char paths[2][512];
static int found_paths;

static void remember(const char *path) {
    if (found_paths < 2)
        snprintf(paths[found_paths++], sizeof paths[0], "%s", path);
}

/* Two keys of one hash: a file of the other program lies where ours would be. */
static void a_file_of_another_program(void **state) {
    (void)state;
    char key[] = "key", other_key[] = "kez", image[] = "image", other_image[] = "other";
    struct nvrtc_program made = {
        .key = key, .key_bytes = 3, .image = image, .image_bytes = 5, .lowered = key};
    struct nvrtc_program other = made, found = {.key = key, .key_bytes = 3};
    other.key = other_key;
    other.image = other_image;
    found_paths = 0;
    assert_true(nvrtcdir_write(cache, &made));
    files(remember);
    remove(paths[0]);
    assert_true(nvrtcdir_write(cache, &other));
    files(remember);
    assert_int_equal(found_paths, 2);
    assert_string_not_equal(paths[0], paths[1]);
    assert_int_equal(rename(paths[1], paths[0]), 0);
    assert_false(nvrtcdir_read(cache, &found));
    assert_null(found.image);
}

/* --- compiling ---------------------------------------------------------------------------------
 */

/* Whether there is an NVRTC; else the test is skipped, and says why. */
static void needs_nvrtc(void) {
    struct cuda_why why = {""};
    if (getenv("UNDER_VALGRIND"))
        cuda_fail(&why, "NVRTC is NVIDIA's code, and slow under valgrind");
    else if (cudalib_open(&lib, CUDALIB_NVRTC, &why))
        return;
    printf("expected: %s\n", why.text);
    skip();
}

#define SAXPY                                                                                      \
    "extern \"C\" __global__ void saxpy(unsigned n, float a, const float *x, float *y) {\n"        \
    "    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;\n"                                    \
    "    if (i < n)\n        y[i] = a * x[i] + y[i];\n}\n"
#define MORE                                                                                       \
    "#include <cuda_fp16.h>\n"                                                                     \
    "struct three { float f[3]; };\n"                                                              \
    "namespace ns { template <typename T> __global__ void add(T *x, T y, three z, __half h) {\n"   \
    "    *x = y + T(z.f[0]) + T(__half2float(h)); } }\n"

static struct nvrtc_program *program;
static enum nvrtc_origin origin;
static char *error_log;
static struct cuda_why why;

static enum nvrtc_result get(const struct nvrtc_request *request, const char *dir) {
    free(error_log);
    error_log = NULL;
    why.text[0] = '\0';
    return nvrtc_get(&lib, &kept, request, dir, &program, &origin, &error_log, &why);
}

static struct nvrtc_request request_of(const char *source, const char *kernel) {
    return (struct nvrtc_request){
        .name = "test.cu", .source = source, .arch = "sm_80", .options = "", .kernel = kernel};
}

static void compiles_and_keeps(void **state) {
    (void)state;
    needs_nvrtc();
    struct nvrtc_request request = request_of(SAXPY, "saxpy");
    if (get(&request, NULL) != NVRTC_OK)
        fail_msg("%s\n%s", why.text, error_log ? error_log : "");
    assert_int_equal(origin, NVRTC_COMPILED);
    assert_memory_equal(program->image, "\177ELF", 4);
    assert_string_equal(program->lowered, "saxpy");
    assert_int_equal(program->count, 4);
    static const struct ptx_param expected[] = {
        {PTX_INTEGER, 4}, {PTX_FLOAT, 4}, {PTX_INTEGER, 8}, {PTX_INTEGER, 8}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(program->params[i].kind, expected[i].kind);
        assert_int_equal(program->params[i].bytes, expected[i].bytes);
    }
    struct nvrtc_program *first = program;
    assert_int_equal(get(&request, NULL), NVRTC_OK);
    assert_int_equal(origin, NVRTC_KEPT);
    assert_ptr_equal(program, first);
    request.arch = "compute_80"; /* another key */
    assert_int_equal(get(&request, NULL), NVRTC_OK);
    assert_int_equal(origin, NVRTC_COMPILED);
    assert_non_null(strstr(program->image, ".target sm_80"));
    assert_int_equal(program->count, 4);
    request.options = "-lineinfo";
    assert_int_equal(get(&request, NULL), NVRTC_OK);
    assert_int_equal(origin, NVRTC_COMPILED);
    free(error_log);
    error_log = NULL;
}

static void templates_and_namespaces(void **state) {
    (void)state;
    needs_nvrtc();
    char dir[4096];
    if (!cudalib_include_dir(&lib, dir, sizeof dir)) {
        printf("expected: NVRTC is here without the toolkit's headers\n");
        skip();
    }
    struct nvrtc_request request = request_of(MORE, "ns::add<double>");
    if (get(&request, NULL) != NVRTC_OK)
        fail_msg("%s\n%s", why.text, error_log ? error_log : "");
    assert_non_null(strstr(program->lowered, "add"));
    assert_int_equal(program->count, 4);
    assert_int_equal(program->params[1].kind, PTX_FLOAT);
    assert_int_equal(program->params[1].bytes, 8);
    assert_int_equal(program->params[2].kind, PTX_BYTES);
    assert_int_equal(program->params[2].bytes, 12);
}

static void source_that_is_wrong(void **state) {
    (void)state;
    needs_nvrtc();
    static const struct {
        const char *source, *kernel, *options, *says;
    } cases[] = {
        {"__global__ void a(int *x) {\n    *x = 1;\n    *x = yy;\n    foo();\n}\n", "a", "",
         "test.cu(3): error: identifier \"yy\" is undefined"},
        {SAXPY, "saxpi", "", "test.cu: there is no kernel saxpi; it has: saxpy"},
        {"__device__ void a(int *x) {}", "a", "", "there is no kernel a; it has no __global__"},
        {SAXPY, "saxpy", "--no-such-option", "unrecognized option --no-such-option"},
        {"#include \"not_there.h\"\n" SAXPY, "saxpy", "", "test.cu(1): catastrophic error"},
        {"__global__ void a(int *x) { asm(\"bogus;\"); *x = 1; }", "a", "", "bogus"},
        {"#error not today\n", NULL, "", "not today"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nvrtc_request request = request_of(cases[i].source, cases[i].kernel);
        request.options = cases[i].options;
        assert_int_equal(get(&request, NULL), NVRTC_WRONG);
        assert_says(why, cases[i].says);
        assert_non_null(error_log);
    }
    assert_null(kept.first); /* nothing of it is kept */
    free(error_log);
    error_log = NULL;
}

static void warnings_are_in_the_log(void **state) {
    (void)state;
    needs_nvrtc();
    struct nvrtc_request request =
        request_of("__global__ void a(int *x) {\n    int unused;\n    *x = 1;\n}\n", "a");
    assert_int_equal(get(&request, NULL), NVRTC_OK);
    assert_non_null(strstr(program->log, "test.cu(2): warning"));
}

static void architectures(void **state) {
    (void)state;
    needs_nvrtc();
    char arch[64];
    int count = 0, archs[256];
    assert_int_equal(lib.nvrtcGetNumSupportedArchs(&count), 0);
    assert_int_equal(lib.nvrtcGetSupportedArchs(archs), 0);
    int lowest = archs[0], highest = archs[0];
    for (int i = 0; i < count; i++) {
        lowest = archs[i] < lowest ? archs[i] : lowest;
        highest = archs[i] > highest ? archs[i] : highest;
    }
    char expected[64];
    assert_true(nvrtc_arch(&lib, "", lowest, arch, sizeof arch, &why));
    snprintf(expected, sizeof expected, "sm_%d", lowest);
    assert_string_equal(arch, expected);
    assert_true(nvrtc_arch(&lib, "", highest + 30, arch, sizeof arch, &why));
    snprintf(expected, sizeof expected, "compute_%d", highest);
    assert_string_equal(arch, expected);
    assert_false(nvrtc_arch(&lib, "", 30, arch, sizeof arch, &why));
    assert_says(why, "the card has compute capability 3.0: NVRTC");
    snprintf(expected, sizeof expected, "compute_%d", highest);
    assert_true(nvrtc_arch(&lib, expected, 0, arch, sizeof arch, &why));
    static const char *const wrong[] = {"80", "sm_", "sm_8", "sm_80x1", "sm_30", "sm_80 -O3", "x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (nvrtc_arch(&lib, wrong[i], 0, arch, sizeof arch, &why))
            fail_msg("%s was taken", wrong[i]);
        assert_says(why, wrong[i]);
        assert_says(why, " sm_");
    }
}

static void kept_in_a_directory(void **state) {
    (void)state;
    needs_nvrtc();
    struct nvrtc_request request = request_of(SAXPY, "saxpy");
    assert_int_equal(get(&request, cache), NVRTC_OK);
    assert_int_equal(origin, NVRTC_COMPILED);
    assert_int_equal(files(NULL), 1);
    size_t bytes = program->image_bytes;
    nvrtc_forget_all(&kept); /* another process */
    assert_int_equal(get(&request, cache), NVRTC_OK);
    assert_int_equal(origin, NVRTC_FROM_DIR);
    assert_int_equal(program->image_bytes, bytes);
    assert_string_equal(program->lowered, "saxpy");
    assert_int_equal(program->count, 4);
    nvrtc_forget_all(&kept);
    files(spoil);
    assert_int_equal(get(&request, cache), NVRTC_OK);
    assert_int_equal(origin, NVRTC_COMPILED);
    nvrtc_forget_all(&kept);
    assert_int_equal(get(&request, "/proc/nothing"), NVRTC_OK); /* it only costs the keeping */
    assert_int_equal(origin, NVRTC_COMPILED);
}

static void source_with_files_of_its_own_is_not_kept(void **state) {
    (void)state;
    needs_nvrtc();
    char path[160];
    snprintf(path, sizeof path, "%s/mine.h", root);
    struct nvrtc_request request =
        request_of("#include \"mine.h\"\n__global__ void a(NUMBER *x) { *x = 1; }\n", "a");
    request.dir = root;
    static const char *const types[] = {"#define NUMBER int\n", "#define NUMBER double\n"};
    static const char *const lowered[] = {"_Z1aPi", "_Z1aPd"};
    for (int i = 0; i < 2; i++) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(types[i], file);
        assert_int_equal(fclose(file), 0);
        if (get(&request, cache) != NVRTC_OK)
            fail_msg("%s", why.text);
        assert_int_equal(origin, NVRTC_COMPILED);
        assert_string_equal(program->lowered, lowered[i]);
    }
    assert_int_equal(files(NULL), 0);
    remove(path);
}

static int forgotten;
static void count_forgotten(void *arg, struct nvrtc_program *gone) {
    (void)arg, (void)gone;
    forgotten++;
}

static void the_oldest_go(void **state) {
    (void)state;
    needs_nvrtc();
    char source[64];
    struct nvrtc_request request = request_of(source, NULL);
    request.arch = "compute_80"; /* quicker */
    kept.forget = count_forgotten;
    forgotten = 0;
    for (int i = 0; i < NVRTC_KEPT_MAX + 2; i++) {
        snprintf(source, sizeof source, "__device__ int x%d;", i ? i : 1);
        assert_int_equal(get(&request, NULL), NVRTC_OK);
    }
    assert_int_equal(forgotten, 1);
    snprintf(source, sizeof source, "__device__ int x2;");
    assert_int_equal(get(&request, NULL), NVRTC_OK);
    assert_int_equal(origin, NVRTC_KEPT);
    snprintf(source, sizeof source, "__device__ int x1;");
    assert_int_equal(get(&request, NULL), NVRTC_OK);
    assert_int_equal(origin, NVRTC_COMPILED);
    nvrtc_forget_all(&kept);
    kept.forget = NULL;
    assert_int_equal(forgotten, 2 + NVRTC_KEPT_MAX);
}

#define kept_test(function) cmocka_unit_test_setup(function, clean)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_of_a_source),
        cmocka_unit_test(the_line_that_says_it),
        cmocka_unit_test(what_may_be_kept),
        kept_test(a_program_in_a_directory),
        kept_test(a_file_of_another_program),
        kept_test(compiles_and_keeps),
        kept_test(templates_and_namespaces),
        kept_test(source_that_is_wrong),
        kept_test(warnings_are_in_the_log),
        kept_test(architectures),
        kept_test(kept_in_a_directory),
        kept_test(source_with_files_of_its_own_is_not_kept),
        kept_test(the_oldest_go),
    };
    return cmocka_run_group_tests(tests, up, down);
}
