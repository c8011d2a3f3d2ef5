/* data.h on local files: what is visible when, what is refused, what is left behind. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/data/data.h"
#include "kernels/data/file.h"
#include "kernels/data/npy.h"

static char box[] = "/tmp/dcdataXXXXXX";
static const struct data_settings no_redis = {.queue = "default"};

/* Each test starts in an empty directory. */
static int enter(void **state) {
    (void)state;
    outfile_always_named = false;
    return chdir(box);
}

/* And as on a file system without O_TMPFILE. */
static int enter_named(void **state) {
    int result = enter(state);
    outfile_always_named = true;
    return result;
}

/* The names in the directory, sorted, joined by ' '; removes them all. */
static const char *take_names(void) {
    static struct buf names = BUF_INIT;
    struct dirent **list;
    buf_clear(&names);
    int count = scandir(".", &list, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (strcmp(list[i]->d_name, ".") != 0 && strcmp(list[i]->d_name, "..") != 0) {
            buf_addf(&names, "%s%s", names.len ? " " : "", list[i]->d_name);
            if (unlink(list[i]->d_name) != 0)
                rmdir(list[i]->d_name);
        }
        free(list[i]);
    }
    free(list);
    return names.data;
}

static int leave(void **state) {
    (void)state;
    take_names();
    return 0;
}

static bool exists(const char *name) {
    return access(name, F_OK) == 0;
}

static void put(const char *name, const void *bytes, size_t len) {
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static struct kernel_array vector(size_t n) {
    return (struct kernel_array){.dtype = KERNEL_F64, .dims = 1, .shape = {n}};
}

/* An output of n numbers 0, 1, ... */
static void write_vector(struct data *data, const char *name, size_t n) {
    struct buf error = BUF_INIT;
    struct kernel_array array = vector(n);
    if (!data_write(data, name, &array, &error))
        fail_msg("%s", error.data);
    assert_int_equal((uintptr_t)array.data % NPY_ALIGN, 0);
    for (size_t i = 0; i < n; i++) {
        assert_true(((double *)array.data)[i] == 0);
        ((double *)array.data)[i] = (double)i;
    }
    buf_free(&error);
}

static void check_vector(const char *name, size_t n) {
    struct buf error = BUF_INIT;
    struct kernel_array array;
    struct data *data = data_new(&no_redis);
    if (!data_read(data, name, &array, &error))
        fail_msg("%s", error.data);
    assert_int_equal(array.shape[0], n);
    for (size_t i = 0; i < n; i++)
        assert_true(((double *)array.data)[i] == (double)i);
    data_free(data);
    buf_free(&error);
}

static void commit(struct data *data) {
    struct buf error = BUF_INIT;
    if (!data_commit(data, &error))
        fail_msg("%s", error.data);
    data_free(data);
    buf_free(&error);
}

static void outputs_appear_at_the_commit(void **state) {
    (void)state;
    struct data *data = data_new(&no_redis);
    put("b", "old", 3);
    write_vector(data, "a", 100);
    write_vector(data, "./b", 3);
    assert_false(exists("a"));
    commit(data);
    check_vector("a", 100);
    check_vector("b", 3);
    assert_string_equal(take_names(), "a b");
}

/* In a small output and in one that is mapped (both begin in the middle of a page). */
static void numbers_are_stored(void **state) {
    (void)state;
    static const size_t sizes[] = {3000, 1000000};
    for (size_t s = 0; s < 2; s++) {
        struct data *data = data_new(&no_redis);
        struct buf error = BUF_INIT;
        struct kernel_array array = vector(sizes[s]);
        double *from = malloc(sizes[s] * sizeof *from);
        assert_non_null(from);
        for (size_t i = 0; i < sizes[s]; i++)
            from[i] = (double)i;
        assert_true(data_write(data, "first", &(struct kernel_array){.dtype = KERNEL_F32}, &error));
        assert_true(data_write(data, "a", &array, &error));
        double *to = array.data;
        for (size_t at = 0; at < sizes[s]; at += 777) {
            size_t some = sizes[s] - at < 777 ? sizes[s] - at : 777;
            if (at / 777 % 3 == 0)
                memcpy(to + at, from + at, some * sizeof *to);
            else
                assert_true(data_store(data, to + at, from + at, some * sizeof *to, &error));
            assert_memory_equal(to + at, from + at, some * sizeof *to);
        }
        data_release(data, to, sizes[s] * sizeof *to);
        assert_true(data_store(data, to + 5, from + 5, 16, &error));
        assert_true(data_store(data, from, to, 0, &error));
        assert_false(data_store(data, to + sizes[s] - 1, from, 9, &error));
        assert_string_equal(error.data,
                            "9 bytes were to be stored where no output has room for them");
        buf_clear(&error);
        assert_false(data_store(data, from, to, 8, &error));
        assert_true(data_store(data, to + 1, from + 1, 8, &error)); /* whatever the text says */
        struct statfs system;
        bool disk = statfs(".", &system) == 0 && system.f_type != TMPFS_MAGIC;
        assert_int_equal(data_store_pays(data, to + 7), s == 1 && disk);
        assert_false(data_store_pays(data, from));
        buf_clear(&error);
        assert_false(data_store(data, (char *)to - 4096, from, 8, &error));
        commit(data);
        check_vector("a", sizes[s]);
        assert_string_equal(take_names(), "a first");
        buf_free(&error);
        free(from);
    }
}

/* Four of 4 MiB are made in memory at a time; the fifth is mapped. */
static void small_outputs_are_counted(void **state) {
    (void)state;
    struct data *data = data_new(&no_redis);
    struct buf error = BUF_INIT;
    struct statfs system;
    bool disk = statfs(".", &system) == 0 && system.f_type != TMPFS_MAGIC;
    for (int i = 0; i < 5; i++) {
        struct kernel_array array = vector(500000);
        char name[] = {(char)('a' + i), '\0'};
        assert_true(data_write(data, name, &array, &error));
        assert_int_equal(data_store_pays(data, array.data), i == 4 && disk);
    }
    data_free(data);
    buf_free(&error);
    assert_string_equal(take_names(), "");
}

/* What is stored lies in an input that somebody shortens: SIGBUS, as for whoever reads it. */
static void an_input_that_becomes_shorter(void **state) {
    (void)state;
    static const char bytes[100000];
    put("in", bytes, sizeof bytes);
    pid_t child = fork();
    if (child == 0) {
        struct data *data = data_new(&no_redis);
        struct buf error = BUF_INIT;
        struct kernel_array array = vector(1000000);
        const char *input;
        size_t len;
        signal(SIGBUS, SIG_DFL);
        bool ready = data_read_bytes(data, "in", &input, &len, &error) && len == sizeof bytes &&
                     data_write(data, "out", &array, &error) && truncate("in", 10) == 0;
        _exit(ready && data_store(data, array.data, input, len, &error) ? 1 : 2);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    assert_string_equal(take_names(), "in");
}

static void without_a_commit_there_is_nothing(void **state) {
    (void)state;
    struct data *data = data_new(&no_redis);
    put("b", "old", 3);
    write_vector(data, "a", 100);
    write_vector(data, "b", 100);
    assert_int_equal(exists(".a.part-1"), outfile_always_named);
    data_free(data);
    struct stat status;
    assert_int_equal(stat("b", &status), 0);
    assert_int_equal(status.st_size, 3);
    assert_string_equal(take_names(), "b");
}

static void what_a_dead_writer_left_is_removed(void **state) {
    (void)state;
    put(".a.part-1", "dead", 4);
    put(".a.part-2", "lives", 5);
    put(".a.part-3", "dead", 4);
    put(".ab.part-1", "another's", 9);
    int fd = open(".a.part-2", O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    struct data *data = data_new(&no_redis);
    write_vector(data, "a", 7);
    commit(data);
    check_vector("a", 7);
    assert_false(exists(".a.part-1") || exists(".a.part-3"));
    assert_true(exists(".a.part-2") && exists(".ab.part-1"));
    close(fd);
}

static void two_writers_of_one_name(void **state) {
    (void)state;
    struct data *first = data_new(&no_redis), *second = data_new(&no_redis);
    write_vector(first, "a", 1);
    write_vector(second, "a", 2);
    commit(second);
    check_vector("a", 2);
    commit(first);
    check_vector("a", 1);
    assert_string_equal(take_names(), "a");
}

static void the_longest_name(void **state) {
    (void)state;
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    for (int again = 0; again < 2; again++) {
        struct data *data = data_new(&no_redis);
        write_vector(data, name, 5);
        commit(data);
    }
    check_vector(name, 5);
    assert_string_equal(take_names(), name);
}

static void links_are_followed(void **state) {
    (void)state;
    assert_int_equal(mkdir("far", 0700), 0);
    put("far/real", "old", 3);
    assert_int_equal(symlink("far/real", "link"), 0);
    struct data *data = data_new(&no_redis);
    write_vector(data, "link", 4);
    commit(data);
    struct stat status;
    assert_int_equal(lstat("link", &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    check_vector("far/real", 4);
    unlink("far/real");
}

static void modes_follow_the_umask(void **state) {
    (void)state;
    mode_t old = umask(027);
    struct data *data = data_new(&no_redis);
    write_vector(data, "a", 1);
    commit(data);
    umask(old);
    struct stat status;
    assert_int_equal(stat("a", &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
}

static void refuse_write(const char *name, struct kernel_array array, const char *says) {
    struct buf error = BUF_INIT;
    struct data *data = data_new(&no_redis);
    assert_false(data_write(data, name, &array, &error));
    if (!strstr(error.data, says) || strchr(error.data, '\n'))
        fail_msg("%s: %s", name, error.data);
    data_free(data);
    buf_free(&error);
}

static void refused_outputs(void **state) {
    (void)state;
    assert_int_equal(mkdir("dir", 0700), 0);
    assert_int_equal(mkfifo("pipe", 0600), 0);
    put("file", "x", 1);
    refuse_write("dir", vector(1), "dir cannot be written: a directory is there");
    refuse_write("pipe", vector(1), "and no file");
    refuse_write("none/a", vector(1), "its directory: No such file");
    refuse_write("file/a", vector(1), "its directory: Not a directory");
    refuse_write("dir/", vector(1), "a directory is there");
    refuse_write("none/", vector(1), "names no file");
    refuse_write("", vector(1), "an empty name");
    refuse_write("ftp://host/a", vector(1), "is no kind of URL that is known");
    refuse_write("s3://bucket/a", vector(1), "is no kind of URL that is known");
    refuse_write("redis:a", vector(1), "redis:a needs the Redis of a queue");
    refuse_write("a", vector(SIZE_MAX / 8), "too large for any memory");
    refuse_write("a\nb", vector(SIZE_MAX / 8), "a?b has a shape");
    refuse_write("a", (struct kernel_array){.dtype = 0}, "no dtype");
    assert_string_equal(take_names(), "dir file pipe");
}

static void a_disk_that_is_too_small(void **state) {
    (void)state;
    struct statvfs space;
    assert_int_equal(statvfs(".", &space), 0);
    uint64_t more = (uint64_t)space.f_bavail * space.f_frsize + (UINT64_C(1) << 34);
    refuse_write("a", vector((size_t)more / 8), "free");
    assert_string_equal(take_names(), "");
}

static void the_limit_of_file_sizes(void **state) {
    (void)state;
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 1000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    refuse_write("a", vector(1000), "limit of file sizes, 1000 B");
    struct buf error = BUF_INIT;
    struct data *data = data_new(&no_redis);
    char bytes[1001] = "";
    assert_false(data_write_bytes(data, "b", bytes, sizeof bytes, &error));
    assert_true(data_write_bytes(data, "c", bytes, 1000, &error));
    data_free(data);
    buf_free(&error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
}

static void one_name_written_twice(void **state) {
    (void)state;
    struct buf error = BUF_INIT;
    struct data *data = data_new(&no_redis);
    struct kernel_array array = vector(3);
    assert_int_equal(mkdir("d", 0700), 0);
    write_vector(data, "a", 3);
    write_vector(data, "d/a", 3);
    assert_false(data_write(data, "d/../a", &array, &error));
    assert_string_equal(error.data, "d/../a is written twice by one task");
    data_free(data);
    buf_free(&error);
}

/* The second has lost its directory: the first is not taken back, and the error says so. */
static void a_commit_that_fails_halfway(void **state) {
    (void)state;
    struct buf error = BUF_INIT;
    struct data *data = data_new(&no_redis);
    assert_int_equal(mkdir("d", 0700), 0);
    write_vector(data, "a", 3);
    write_vector(data, "d/b", 3);
    assert_int_equal(rmdir("d"), 0);
    assert_false(data_commit(data, &error));
    assert_non_null(strstr(error.data, "d/b cannot get its name: No such file"));
    assert_non_null(strstr(error.data, "(already written: a)"));
    data_free(data);
    buf_free(&error);
}

static void bytes_end_with_a_nul(void **state) {
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), sizes[] = {0, 1, 0, 0, 0};
    sizes[2] = page - 1, sizes[3] = page, sizes[4] = 3 * page;
    char *content = xmalloc(3 * page);
    memset(content, 'x', 3 * page);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct buf error = BUF_INIT;
        struct data *data = data_new(&no_redis);
        const char *bytes;
        size_t len;
        assert_true(data_write_bytes(data, "a", content, sizes[i], &error));
        commit(data);
        data = data_new(&no_redis);
        assert_true(data_read_bytes(data, "a", &bytes, &len, &error));
        assert_int_equal(len, sizes[i]);
        assert_int_equal(strlen(bytes), sizes[i]);
        data_free(data);
    }
    free(content);
}

/* The header of old writers: elements that begin at a multiple of 16 only; another byte order. */
static void elements_are_aligned_and_native(void **state) {
    (void)state;
    static const char dict[] = "{'descr': '>i4', 'fortran_order': False, 'shape': (3,)}   \n";
    struct buf file = BUF_INIT, error = BUF_INIT;
    struct kernel_array array, again;
    const char *bytes;
    size_t len;
    buf_add(&file, "\x93NUMPY\1\0", 8);
    buf_addc(&file, (char)(sizeof dict - 1));
    buf_addc(&file, '\0');
    buf_adds(&file, dict);
    assert_int_not_equal(file.len % NPY_ALIGN, 0);
    for (uint64_t i = 1; i <= 3; i++)
        buf_add_be(&file, i, 4);
    put("a", file.data, file.len);
    struct data *data = data_new(&no_redis);
    assert_true(data_read(data, "a", &array, &error));
    assert_int_equal((uintptr_t)array.data % NPY_ALIGN, 0);
    for (int32_t i = 0; i < 3; i++)
        assert_int_equal(((int32_t *)array.data)[i], i + 1);
    /* Asked for again, in any way, it is what it was: also when the file has changed. */
    put("a", "other", 5);
    assert_true(data_read(data, "a", &again, &error));
    assert_ptr_equal(again.data, array.data);
    assert_true(data_stat(data, "a", &again, &error));
    assert_null(again.data);
    assert_int_equal(again.shape[0], 3);
    assert_true(data_read_bytes(data, "a", &bytes, &len, &error));
    assert_int_equal(len, file.len);
    data_free(data);
    buf_free(&file);
    buf_free(&error);
}

static void refuse_read(const char *name, const char *says) {
    for (int stat = 0; stat < 2; stat++) {
        struct buf error = BUF_INIT;
        struct kernel_array array;
        struct data *data = data_new(&no_redis);
        assert_false(stat ? data_stat(data, name, &array, &error)
                          : data_read(data, name, &array, &error));
        if (!strstr(error.data, says) || strchr(error.data, '\n'))
            fail_msg("%s: %s", name, error.data);
        data_free(data);
        buf_free(&error);
    }
}

static void refused_inputs(void **state) {
    (void)state;
    struct buf header = BUF_INIT, error = BUF_INIT;
    struct kernel_array array = vector(3);
    struct npy npy;
    assert_true(npy_make(&array, &header, &npy, &error));
    buf_add(&header, "12345678123456781234567x", 24);
    put("short", header.data, header.len - 1);
    buf_addc(&header, '!');
    put("long", header.data, header.len);
    put("cut", header.data, 20);
    put("empty", "", 0);
    put("text", "1,2,3\n", 6);
    assert_int_equal(mkdir("dir", 0700), 0);
    refuse_read("short", "short ends too early: header and shape make 152 bytes, it has 151");
    refuse_read("long", "long goes on behind its last element");
    refuse_read("cut", "cut ends within its .npy header");
    refuse_read("empty", "empty is no .npy file");
    refuse_read("text", "text is no .npy file");
    refuse_read("dir", "dir is a directory");
    refuse_read("none", "none cannot be read: No such file");
    refuse_read("redis:x", "redis:x needs the Redis of a queue");
    refuse_read("file:///a", "is no kind of URL that is known");
    refuse_read("", "an empty name");
    buf_free(&header);
    buf_free(&error);
}

static int make_box(void **state) {
    (void)state;
    return mkdtemp(box) ? 0 : -1;
}

static int remove_box(void **state) {
    (void)state;
    return rmdir(box);
}

int main(void) {
#define TEST(name)  cmocka_unit_test_setup_teardown(name, enter, leave)
#define NAMED(name) ((struct CMUnitTest){#name ".named", name, enter_named, leave, NULL})
#define TWICE(name) TEST(name), NAMED(name)
    const struct CMUnitTest tests[] = {
        TWICE(outputs_appear_at_the_commit),
        TEST(numbers_are_stored),
        TEST(small_outputs_are_counted),
        TEST(an_input_that_becomes_shorter),
        TWICE(without_a_commit_there_is_nothing),
        TWICE(what_a_dead_writer_left_is_removed),
        TWICE(two_writers_of_one_name),
        TWICE(the_longest_name),
        TEST(links_are_followed),
        TWICE(modes_follow_the_umask),
        TEST(refused_outputs),
        TEST(a_disk_that_is_too_small),
        TEST(the_limit_of_file_sizes),
        TEST(one_name_written_twice),
        TEST(a_commit_that_fails_halfway),
        TEST(bytes_end_with_a_nul),
        TEST(elements_are_aligned_and_native),
        TEST(refused_inputs),
    };
    return cmocka_run_group_tests(tests, make_box, remove_box);
}
