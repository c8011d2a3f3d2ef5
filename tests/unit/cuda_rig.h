/* The fake libcuda.so.1 and libcublas.so.13 (tests/lib/fake_cuda.c) for tests of kernels/cuda. */
#ifndef CUDA_RIG_H
#define CUDA_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cuda/cudadev.h"

static char rig_dir[64], rig_told[96], rig_log[96];
static size_t (*rig_used)(void);
static int (*rig_left)(void);
static void (*rig_reset)(void);

/* A library beside this program, opened before anybody looks for one of its name. */
static inline void *rig_open(const char *name) {
    char path[4200];
    ssize_t len = readlink("/proc/self/exe", path, 4096);
    assert_true(len > 0);
    path[len] = '\0';
    char *slash = strrchr(path, '/');
    snprintf(slash, (size_t)(path + sizeof path - slash), "/lib/cuda/%s", name);
    void *handle = dlopen(path, RTLD_NOW);
    if (!handle)
        fail_msg("%s", dlerror());
    return handle;
}

static inline int rig_up(void **state) {
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(rig_dir, sizeof rig_dir, "%.40s/cudaXXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(rig_dir))
        return -1;
    snprintf(rig_told, sizeof rig_told, "%s/told", rig_dir);
    snprintf(rig_log, sizeof rig_log, "%s/log", rig_dir);
    setenv("FAKE_CUDA", rig_told, 1);
    setenv("FAKE_CUDA_LOG", rig_log, 1);
    void *driver = rig_open("libcuda.so.1");
    rig_open("libcublas.so.13");
    *(void **)&rig_used = dlsym(driver, "fake_cuda_used");
    *(void **)&rig_left = dlsym(driver, "fake_cuda_left");
    *(void **)&rig_reset = dlsym(driver, "fake_cuda_reset");
    return rig_used && rig_left && rig_reset ? 0 : -1;
}

static inline int rig_down(void **state) {
    (void)state;
    remove(rig_told);
    remove(rig_log);
    return rmdir(rig_dir);
}

/* Before each test: a new card that behaves well. */
static inline int rig_fresh(void **state) {
    (void)state;
    remove(rig_told);
    remove(rig_log);
    unsetenv("FAKE_CUBLAS");
    rig_reset();
    return 0;
}

static inline void rig_tell(const char *text) {
    FILE *file = fopen(rig_told, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* How many lines of the log begin with this. */
static inline int rig_calls(const char *start) {
    FILE *file = fopen(rig_log, "r");
    char line[512] = "";
    int count = 0;
    while (file && fgets(line, sizeof line, file))
        count += strncmp(line, start, strlen(start)) == 0;
    if (file)
        fclose(file);
    return count;
}

static inline bool rig_never(const void *arg) {
    (void)arg;
    return false;
}

/* Cancels when it was asked *arg times. */
static inline bool rig_after(const void *arg) {
    int *left = (int *)(uintptr_t)arg;
    return (*left)-- <= 0;
}

#define assert_says(why, part)                                                                     \
    do {                                                                                           \
        if (!strstr((why).text, part))                                                             \
            fail_msg("'%s' does not say '%s'", (why).text, part);                                  \
    } while (0)

#define rig_test(function) cmocka_unit_test_setup(function, rig_fresh)

#endif
