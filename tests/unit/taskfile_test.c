/* Whole task files: lines.h and taskfile.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/lines.h"
#include "common/taskfile.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define T            "shell:1:1:1:"

static char dir[] = "/tmp/distcomp-taskfile-XXXXXX";

static int make_dir(void **state) {
    (void)state;
    return mkdtemp(dir) ? setenv("TMPDIR", dir, 1) : -1;
}

static int remove_dir(void **state) {
    (void)state;
    return rmdir(dir); /* fails when a spool file was left behind */
}

static void write_file(const char *name, const void *bytes, size_t len, struct buf *path) {
    buf_clear(path);
    buf_addf(path, "%s/%s", dir, name);
    FILE *file = fopen(path->data, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* Opens these bytes as a task file; the file is gone from the directory already. */
static struct taskfile *open_bytes(const char *name, const void *bytes, size_t len,
                                   enum taskfile_format format) {
    struct buf path = BUF_INIT, error = BUF_INIT;
    write_file(name, bytes, len, &path);
    struct taskfile *f = taskfile_open(path.data, format, &error);
    if (!f)
        fail_msg("%s", error.data);
    assert_int_equal(unlink(path.data), 0);
    buf_free(&path);
    return f;
}

static struct taskfile *open_text(const char *text) {
    return open_bytes("task", text, strlen(text), TASKFILE_AUTO);
}

/* All that the file yields, as text: PARAMS[TAG=VALUE,...]; or LINE:COLUMN:TEXT; */
static void drain(struct taskfile *f, struct buf *seen) {
    struct task task;
    enum taskfile_result result;
    buf_clear(seen);
    while ((result = taskfile_next(f, &task)) != TASKFILE_END) {
        if (result == TASKFILE_TASK) {
            buf_add(seen, task.params, task.params_len);
            for (size_t i = 0; i < task.option_count; i++) {
                buf_addf(seen, "%c%d=", i ? ',' : '[', (int)task.options[i].tag);
                buf_add(seen, task.options[i].value, task.options[i].len);
            }
            buf_adds(seen, task.option_count ? "];" : ";");
        } else {
            const struct taskfile_error *error = taskfile_error(f);
            buf_addf(seen, "%d:%zu:%s;", (int)error->line, error->column, error->text);
        }
        if (result == TASKFILE_FAILED)
            break;
    }
}

static const struct {
    const char *text;
    const char *seen;
} files[] = {
    {"", ""},
    {"\n\n", ""},
    {"# only a comment", ""},
    {T "a\n" T "b\n", "a;b;"},
    {T "a\n" T "b", "a;b;"},
    {T "a\r\n\r\n" T "b\r\n", "a;b;"},
    {T "a\r\n" T "b\r", "a;b;"},
    {T "a\rb\n", "a\rb;"},
    {"\xef\xbb\xbf" T "a\n", "a;"},
    {"\xef\xbb\xbf# c\n" T "a\n", "a;"},
    {T "a\n\xef\xbb\xbf" T "b\n",
     "a;2:1:unknown type \"\xef\xbb\xbfshell\", expected shell, python "
     "or native;"},
    {"\n# c\n \t\n" T "a\n#" T "x\n", "a;"},
    {T "caf\xe9 \xff\n", "caf\xe9 \xff;"},
    {"#@ name=n timeout=5\n" T "a\n#@ timeout=\n" T "b\n#@ name=\n" T "c\n",
     "a[1=n,2=5000];b[1=n];c;"},
    {"#@\r\n#@ name=n\r\n" T "a\r\n", "a[1=n];"},
    {"# @ name=n\n#\n#x\n" T "a\n", "a;"},
    {"#@ repeat=3 name=n\n" T "a\n#@ repeat=1\n" T "b\n#@ repeat=2 name=\n" T "c\n#@ repeat=\n" T
     "d\n",
     "a[1=n,9=1];a[1=n,9=2];a[1=n,9=3];b[1=n];c[9=1];c[9=2];d;"},
    {"#@ repeat=2 name=n gpu=1\n" T "a\n", "a[1=n,9=1,10=1000];a[1=n,9=2,10=1000];"},
    /* every bad line is told, and the good ones still come */
    {"oops\n" T "a\nshell:1:1\n#@ timout=3\n#@x\n" T "b\n",
     "1:5:only 0 of 4 colons, expected type:priority:min_dram:min_cpu:params;a;"
     "3:10:only 2 of 4 colons, expected type:priority:min_dram:min_cpu:params;"
     "4:4:unknown option \"timout\", expected timeout;"
     "5:3:#@ runs into the next word, expected a blank after it;b;"},
    {"\xef\xbb\xbf" T "\n", "1:13:empty params, expected a command;"},
    /* a set that is wrong as a whole is told where it is used */
    {"#@ name=a\n#@ after=a\n" T "x\n#@ after=b\n" T "y\n",
     "3:1:after \"a\" is or holds the task's own name \"a\", expected a name defined "
     "earlier;y[1=a,7=b];"},
    {"#@ limit=hard\nshell:1:0:1:a\nshell:1:2:0:b\nshell:17:auto:0:c\nshell:1:0:0:d\n",
     "a[16=hard];b[16=hard];4:10:limit=hard needs min_dram or min_cpu, but min_dram is auto and "
     "min_cpu is 0;5:9:limit=hard needs min_dram or min_cpu, but min_dram is 0 and min_cpu is 0;"},
    {"\n{\"params\":\"a\"}\r\n\n{\"params\":\"b\",\"name\":\"n\",\"repeat\":2}",
     "a;b[1=n,9=1];b[1=n,9=2];"},
    {"{\"params\":\"a\",\"repeat\":1}\n#@ name=x\n{\"params\":\"c\"}\n",
     "a;2:1:'[' or '{' expected near '#' (one JSON object a line);c;"},
};

static void whole_files_twice(void **state) {
    (void)state;
    struct buf seen = BUF_INIT;
    for (size_t i = 0; i < COUNT(files); i++) {
        struct taskfile *f = open_text(files[i].text);
        for (int pass = 0; pass < 2; pass++) {
            drain(f, &seen);
            assert_string_equal(seen.data, files[i].seen);
            assert_int_equal(taskfile_bytes(f), strlen(files[i].text));
            assert_int_equal(taskfile_size(f), strlen(files[i].text));
            taskfile_rewind(f);
        }
        taskfile_close(f);
    }
    buf_free(&seen);
}

static void format_by_name_and_choice(void **state) {
    (void)state;
    struct buf seen = BUF_INIT;
    struct taskfile *f = open_bytes("t.jsonl", T "a", 13, TASKFILE_AUTO);
    drain(f, &seen);
    assert_string_equal(seen.data,
                        "1:5:'[' or '{' expected near 'shell' (one JSON object a line);");
    taskfile_close(f);
    f = open_bytes("t.jsonl", T "a", 13, TASKFILE_LINE);
    drain(f, &seen);
    assert_string_equal(seen.data, "a;");
    taskfile_close(f);
    f = open_bytes("t", "{\"params\":\"x\"}", 14, TASKFILE_LINE);
    drain(f, &seen);
    assert_string_equal(seen.data,
                        "1:1:unknown type \"{\"params\"\", expected shell, python or native;");
    taskfile_close(f);
    enum taskfile_format format;
    assert_true(taskfile_format_parse("jsonl", 5, &format));
    assert_int_equal(format, TASKFILE_JSONL);
    assert_false(taskfile_format_parse("json", 4, &format));
    buf_free(&seen);
}

static void nul_bytes(void **state) {
    (void)state;
    static const char bytes[] = T "a\0b\n\0\n" T "c\n";
    struct buf seen = BUF_INIT;
    struct taskfile *f = open_bytes("task", bytes, sizeof bytes - 1, TASKFILE_AUTO);
    drain(f, &seen);
    assert_string_equal(seen.data,
                        "1:14:a NUL byte, expected text (UTF-16 and binary files are not);"
                        "2:1:a NUL byte, expected text (UTF-16 and binary files are not);c;");
    taskfile_close(f);
    buf_free(&seen);
}

static void batch_names(void **state) {
    (void)state;
    struct buf seen = BUF_INIT, error = BUF_INIT;
    struct taskfile *f =
        open_text(T "a\n#@ name=x after=y repeat=2\n" T "b\n#@ name= env.A=1\n" T "c\n");
    assert_true(taskfile_set_batch(f, "B", &error));
    drain(f, &seen);
    assert_string_equal(seen.data, "a[1=B];b[1=B/x,7=y,9=1];b[1=B/x,7=y,9=2];"
                                   "c[1=B,6=A=1,7=y,9=1];c[1=B,6=A=1,7=y,9=2];");
    taskfile_rewind(f);
    assert_true(taskfile_set_batch(f, "y", &error));
    drain(f, &seen);
    assert_string_equal(seen.data,
                        "a[1=y];"
                        "3:1:after \"y\" is or holds the task's own name \"y/x\", expected a name "
                        "defined earlier;"
                        "5:1:after \"y\" is or holds the task's own name \"y\", expected a name "
                        "defined earlier;");
    assert_false(taskfile_set_batch(f, "no such", &error));
    assert_string_equal(error.data,
                        "batch name \"no such\", expected no blanks, commas or control characters");
    assert_true(taskfile_set_batch(f, NULL, &error));
    taskfile_rewind(f);
    drain(f, &seen);
    assert_memory_equal(seen.data, "a;b[1=x,", 8);
    taskfile_close(f);

    char wide[260] = "#@ name=";
    memset(wide + 8, 'n', 251);
    buf_clear(&seen);
    buf_addf(&seen, "%s\n" T "a\n", wide);
    f = open_text(seen.data);
    assert_true(taskfile_set_batch(f, "abcd", &error));
    drain(f, &seen);
    assert_string_equal(seen.data, "2:1:batch and name of 256 bytes, expected at most 255;");
    assert_true(taskfile_set_batch(f, "abc", &error));
    taskfile_rewind(f);
    drain(f, &seen);
    assert_memory_equal(seen.data, "a[1=abc/nnn", 11);
    taskfile_close(f);
    buf_free(&seen);
    buf_free(&error);
}

static void long_lines(void **state) {
    (void)state;
    struct buf bytes = BUF_INIT;
    struct task task;
    const size_t lens[] = {1000, 256 * 1024 - 13, 256 * 1024 - 12, TASK_PARAMS_MAX};
    for (size_t i = 0; i < COUNT(lens); i++) {
        buf_adds(&bytes, T);
        buf_reserve(&bytes, lens[i]);
        memset(bytes.data + bytes.len, 'x', lens[i]);
        bytes.len += lens[i];
        buf_adds(&bytes, i % 2 ? "\r\n" : "\n");
    }
    struct taskfile *f = open_bytes("task", bytes.data, bytes.len, TASKFILE_AUTO);
    for (size_t i = 0; i < COUNT(lens); i++) {
        assert_int_equal(taskfile_next(f, &task), TASKFILE_TASK);
        assert_int_equal(task.params_len, lens[i]);
        assert_int_equal(task.params[lens[i] - 1], 'x');
    }
    assert_int_equal(taskfile_next(f, &task), TASKFILE_END);
    taskfile_close(f);
    buf_free(&bytes);
}

static void lines_too_long(void **state) {
    (void)state;
    struct buf bytes = BUF_INIT, seen = BUF_INIT;
    buf_adds(&bytes, T "a\n" T);
    buf_reserve(&bytes, 5u << 20);
    memset(bytes.data + bytes.len, 'x', 3u << 20);
    bytes.len += 3u << 20;
    buf_adds(&bytes, "\n" T "b\n" T);
    memset(bytes.data + bytes.len, 'x', TASK_PARAMS_MAX + 1);
    bytes.len += TASK_PARAMS_MAX + 1;
    struct taskfile *f = open_bytes("task", bytes.data, bytes.len, TASKFILE_AUTO);
    drain(f, &seen);
    assert_string_equal(seen.data, "a;2:1114113:line too long, expected at most 1114112 bytes;b;"
                                   "4:1048589:params of 1048577 bytes, expected at most 1048576;");
    taskfile_close(f);
    buf_free(&bytes);
    buf_free(&seen);
}

static void huge_repeat(void **state) {
    (void)state;
    struct taskfile *f = open_text("#@ repeat=1000000000\n" T "a\n");
    struct task task;
    char index[24];
    for (int i = 1; i <= 1000000; i++) {
        assert_int_equal(taskfile_next(f, &task), TASKFILE_TASK);
        int len = snprintf(index, sizeof index, "%d", i);
        const struct task_option *repeat = task_option(&task, OPT_REPEAT);
        if (!repeat || repeat->len != (size_t)len || memcmp(repeat->value, index, (size_t)len) != 0)
            fail_msg("wrong index at %d", i);
    }
    taskfile_rewind(f);
    assert_int_equal(taskfile_next(f, &task), TASKFILE_TASK);
    assert_int_equal(task_option_number(&task, OPT_REPEAT, 0), 1);
    taskfile_close(f);
}

static void many_lines(void **state) {
    (void)state;
    enum { N = 20000 };
    struct buf bytes = BUF_INIT;
    struct task task;
    for (int i = 0; i < N; i++)
        buf_addf(&bytes, T "command %d%*s\n", i, i % 97, "");
    struct taskfile *f = open_bytes("task", bytes.data, bytes.len, TASKFILE_AUTO);
    for (int i = 0; i < N; i++) {
        assert_int_equal(taskfile_next(f, &task), TASKFILE_TASK);
        assert_int_equal(strtol(task.params + 8, NULL, 10), i);
        assert_int_equal(taskfile_line(f), i + 1);
        assert_true(taskfile_bytes(f) <= taskfile_size(f));
    }
    taskfile_close(f);
    buf_free(&bytes);
}

/* Standard input as a pipe is spooled; as a file it is read from where it stands. */
static void standard_input(void **state) {
    (void)state;
    struct buf seen = BUF_INIT, error = BUF_INIT;
    int saved = dup(STDIN_FILENO), ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], T "a\n" T "b", 27), 27);
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    struct taskfile *f = taskfile_open("-", TASKFILE_AUTO, &error);
    assert_non_null(f);
    assert_string_equal(taskfile_name(f), "standard input");
    for (int pass = 0; pass < 2; pass++, taskfile_rewind(f)) {
        drain(f, &seen);
        assert_string_equal(seen.data, "a;b;");
        assert_int_equal(taskfile_size(f), 27);
    }
    taskfile_close(f);

    FILE *file = tmpfile();
    fputs("header\n" T "a\n", file);
    fflush(file);
    lseek(fileno(file), 7, SEEK_SET);
    dup2(fileno(file), STDIN_FILENO);
    fclose(file);
    f = taskfile_open("-", TASKFILE_AUTO, &error);
    assert_non_null(f);
    for (int pass = 0; pass < 2; pass++, taskfile_rewind(f)) {
        drain(f, &seen);
        assert_string_equal(seen.data, "a;");
        assert_int_equal(taskfile_size(f), 14);
    }
    taskfile_close(f);
    dup2(saved, STDIN_FILENO);
    close(saved);
    buf_free(&seen);
    buf_free(&error);
}

static void cannot_open(void **state) {
    (void)state;
    struct buf error = BUF_INIT;
    assert_null(taskfile_open("/no/such/file", TASKFILE_AUTO, &error));
    assert_string_equal(error.data, "/no/such/file: No such file or directory");
    buf_clear(&error);
    assert_null(taskfile_open("/", TASKFILE_AUTO, &error));
    assert_string_equal(error.data, "/: Is a directory");
    buf_clear(&error);
    setenv("TMPDIR", "/no/such/dir", 1);
    assert_null(taskfile_open("/dev/null", TASKFILE_AUTO, &error));
    assert_non_null(strstr(error.data, "/dev/null: cannot make a temporary file /no/such/dir/"));
    setenv("TMPDIR", dir, 1);
    buf_free(&error);
}

/* A read error is neither a task nor the end. */
static void read_error_is_not_the_end(void **state) {
    (void)state;
    struct buf path = BUF_INIT, error = BUF_INIT;
    write_file("task", T "a\n", 14, &path);
    struct lines lines;
    const char *line;
    size_t len;
    assert_true(lines_open(&lines, path.data, &error));
    unlink(path.data);
    close(lines.fd);
    lines.fd = -1;
    assert_int_equal(lines_next(&lines, &line, &len), LINES_FAILED);
    assert_int_equal(lines_next(&lines, &line, &len), LINES_FAILED);
    lines_close(&lines);
    buf_free(&path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_files_twice),
        cmocka_unit_test(format_by_name_and_choice),
        cmocka_unit_test(nul_bytes),
        cmocka_unit_test(batch_names),
        cmocka_unit_test(long_lines),
        cmocka_unit_test(lines_too_long),
        cmocka_unit_test(huge_repeat),
        cmocka_unit_test(many_lines),
        cmocka_unit_test(standard_input),
        cmocka_unit_test(cannot_open),
        cmocka_unit_test(read_error_is_not_the_end),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
