/*
 * result_rig.h - for tests of worker/result.h: a try that has ended, its directories, and what is
 * reported of it. `make` makes the result and unpacks it into `entry` and `output`.
 */
#ifndef DISTCOMP_RESULT_RIG_H
#define DISTCOMP_RESULT_RIG_H

#include "tests/unit/dir_rig.h"

#include <errno.h>

#include "worker/result.h"

#define ID          "0123456789abcd"
#define NONCE       "00112233445566778899"
#define EXITED(n)   ((n) << 8)
#define KILLED(sig) (sig)

static struct config config;
static struct run run;
static char *state_dir, *result_dir;
static struct result result;
static struct try_entry entry;
static struct task_output output;

RIG_UNUSED static int up(void **state) {
    (void)state;
    struct buf path = BUF_INIT;
    if (dir_make() != 0)
        return -1;
    buf_addf(&path, "%s/state", root);
    state_dir = buf_detach(&path);
    mkdir(state_dir, 0700);
    buf_addf(&path, "%s/out", state_dir);
    mkdir(path.data, 0700);
    buf_clear(&path);
    buf_addf(&path, "%s/results", root); /* made when it is needed */
    result_dir = buf_detach(&path);
    config_defaults(&config);
    free(config.name);
    config.name = xstrdup("w1");
    config.output_limit_bytes = 1000;
    run = (struct run){
        .try_number = 2, .slot = 7, .backoff_ms = UINT64_MAX, .exit = {.slot = 7, .pid = 1}};
    memcpy(run.id, ID, sizeof run.id);
    memcpy(run.nonce, NONCE, sizeof run.nonce);
    result = (struct result){.entry = BUF_INIT, .output = BUF_INIT};
    return 0;
}

RIG_UNUSED static int down(void **state) {
    (void)state;
    result_free(&result);
    config_free(&config);
    free(state_dir);
    free(result_dir);
    return dir_remove();
}

RIG_UNUSED static void write_file(const char *path, const void *bytes, size_t len) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

/* Writes a stream's file, as the supervisor tells of it. */
RIG_UNUSED static void print(bool err, const void *bytes, size_t len) {
    struct buf path = BUF_INIT;
    result_stream_path(&path, state_dir, run.files, err);
    write_file(path.data, bytes, len);
    buf_free(&path);
    *(err ? &run.exit.err_bytes : &run.exit.out_bytes) = len;
}

RIG_UNUSED static bool stream_is_there(bool err) {
    struct buf path = BUF_INIT;
    result_stream_path(&path, state_dir, run.files, err);
    bool there = access(path.data, F_OK) == 0;
    buf_free(&path);
    return there;
}

/* Makes a result and unpacks it. False: no output was packed. */
RIG_UNUSED static bool make(void) {
    struct result_files files = {state_dir, result_dir, "node1"};
    result_free(&result);
    result_make(&result, &run, &config, &files);
    struct slice log = {result.entry.data, result.entry.len};
    assert_true(try_log_next(&log, &entry));
    assert_int_equal(log.len, 0);
    struct slice packed = {result.output.data, result.output.len};
    if (packed.len == 0)
        return false;
    assert_true(task_output_unpack(packed, &output));
    assert_int_equal(output.try_number, 2);
    return true;
}

RIG_UNUSED static void expect_text(struct slice s, const char *text) {
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.data, text, s.len);
}

RIG_UNUSED static bool contains(struct slice s, const char *text) {
    return memmem(s.data, s.len, text, strlen(text)) != NULL;
}

/* A file of result_dir has these bytes. */
RIG_UNUSED static void expect_kept(const char *name, const char *bytes, size_t len) {
    char path[256], *text = xmalloc(len + 1);
    snprintf(path, sizeof path, "%s/%s", result_dir, name);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, text, len + 1), len);
    assert_memory_equal(text, bytes, len);
    close(fd);
    free(text);
}

RIG_UNUSED static char *many(size_t len) {
    char *bytes = xmalloc(len + 1);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)('a' + i % 23);
    bytes[len] = '\0';
    return bytes;
}

#endif
