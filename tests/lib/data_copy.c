/*
 * Reads and writes by name, as a kernel does (kernels/data/data.h). The queue's Redis is taken from
 * DISTCOMP_REDIS, DISTCOMP_QUEUE, OBJECT_MAX (bytes) and OBJECT_TTL (seconds).
 *
 *   data_copy [--bytes|--stat] [--named] [--pause FILE] [--fail] IN [OUT ...]
 *
 * Prints dtype, order and shape of IN, and writes it as each OUT. --bytes: as bytes, whatever they
 * are; prints how many. --stat: reads the header alone. --named: as on a file system without
 * O_TMPFILE. --pause: makes FILE when all is ready for the commit, and waits until it is gone.
 * --fail: ends without a commit. SIGTERM cancels.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/data/data.h"
#include "kernels/data/file.h"
#include "kernels/data/npy.h"

static struct {
    bool bytes, stat, fail;
    const char *pause;
} options;

static volatile sig_atomic_t terminated;

static void on_term(int number) {
    (void)number;
    terminated = 1;
}

static bool is_cancelled(void *arg) {
    (void)arg;
    return terminated;
}

static uint64_t number(const char *variable) {
    const char *text = getenv(variable);
    return text ? strtoull(text, NULL, 10) : 0;
}

static int fail(struct data *data, struct buf *error) {
    fprintf(stderr, "data_copy: %s\n", error->data);
    buf_free(error);
    data_free(data);
    return 1;
}

static void show(const struct kernel_array *array) {
    printf("%s %s", npy_dtype_name(array->dtype), array->fortran ? "F" : "C");
    for (unsigned i = 0; i < array->dims; i++)
        printf(" %zu", array->shape[i]);
    putchar('\n');
}

static bool copy_array(struct data *data, char **outs, struct buf *error, const char *in) {
    struct kernel_array from, to;
    if (!(options.stat ? data_stat(data, in, &from, error) : data_read(data, in, &from, error)))
        return false;
    show(&from);
    for (; *outs && !options.stat; outs++) {
        to = from;
        if (!data_write(data, *outs, &to, error))
            return false;
        memcpy(to.data, from.data, npy_elements(&from) * npy_dtype_bytes(from.dtype));
    }
    return true;
}

static bool copy_bytes(struct data *data, char **outs, struct buf *error, const char *in) {
    const char *bytes;
    size_t len;
    if (!data_read_bytes(data, in, &bytes, &len, error))
        return false;
    printf("%zu %s\n", len, bytes[len] ? "not ended" : "ended");
    for (; *outs; outs++)
        if (!data_write_bytes(data, *outs, bytes, len, error))
            return false;
    return true;
}

static void wait_for_go(void) {
    FILE *file = fopen(options.pause, "w");
    if (file)
        fclose(file);
    while (access(options.pause, F_OK) == 0)
        poll(NULL, 0, 5);
}

static char **read_options(char **argv) {
    for (; *argv && strncmp(*argv, "--", 2) == 0; argv++) {
        const char *word = *argv + 2;
        if (strcmp(word, "bytes") == 0)
            options.bytes = true;
        else if (strcmp(word, "stat") == 0)
            options.stat = true;
        else if (strcmp(word, "named") == 0)
            outfile_always_named = true;
        else if (strcmp(word, "fail") == 0)
            options.fail = true;
        else if (strcmp(word, "pause") == 0)
            options.pause = *++argv;
    }
    return argv;
}

int main(int argc, char **argv) {
    struct buf error = BUF_INIT;
    (void)argc;
    argv = read_options(argv + 1);
    if (!*argv)
        return 2;
    const char *queue = getenv("DISTCOMP_QUEUE");
    struct data_settings settings = {.redis = getenv("DISTCOMP_REDIS"),
                                     .queue = queue ? queue : "default",
                                     .object_max = number("OBJECT_MAX"),
                                     .object_ttl_s = number("OBJECT_TTL"),
                                     .cancelled = is_cancelled};
    signal(SIGTERM, on_term);
    struct data *data = data_new(&settings);
    if (!(options.bytes ? copy_bytes : copy_array)(data, argv + 1, &error, *argv))
        return fail(data, &error);
    if (options.pause)
        wait_for_go();
    if (!options.fail && !data_commit(data, &error))
        return fail(data, &error);
    data_free(data);
    buf_free(&error);
    return 0;
}
