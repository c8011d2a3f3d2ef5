/*
 * dir_rig.h - for tests: a directory of its own for each, and files in it.
 *
 *     static int up(void **state) { (void)state; return dir_make(); }
 *     static int down(void **state) { (void)state; return dir_remove(); }
 *     fresh(a_test)                              // one row of the table of tests
 *     put("/proc/meminfo", "MemTotal: 1 kB\n");  // root has its path
 */
#ifndef DISTCOMP_DIR_RIG_H
#define DISTCOMP_DIR_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RIG_UNUSED __attribute__((unused))

static char root[64];

/* 0, or -1 when it cannot be made, as a setup returns it. */
static int dir_make(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(root, sizeof root, "%.40s/rigXXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

/* With all that is in it. */
static int dir_remove(void) {
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Writes a file below root, with the directories above it. */
RIG_UNUSED static void put(const char *name, const char *text) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

RIG_UNUSED static void expect_file(const char *name, const char *text) {
    char path[PATH_MAX], got[256] = "";
    snprintf(path, sizeof path, "%s%s", root, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, got, sizeof got - 1) >= 0);
    close(fd);
    assert_string_equal(got, text);
}

#define fresh(test) cmocka_unit_test_setup_teardown(test, up, down)

#endif
