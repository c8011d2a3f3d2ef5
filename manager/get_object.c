#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/command.h"

/* Where it goes until it is whole: a hidden file beside FILE, or an unnamed one for stdout. */
struct sink {
    FILE *file;
    const char *path; /* FILE; NULL: stdout */
    char *hidden;     /* owned */
};

static bool check(const struct args *args, struct buf *error) {
    if (object_name_valid(args->operands[0]))
        return true;
    buf_adds(error, "NAME is " OBJECT_NAME_FORM);
    return false;
}

static bool failed(const struct sink *sink, struct buf *error) {
    buf_addf(error, "%s: %s", sink->path ? sink->path : "a temporary file", strerror(errno));
    return false;
}

static bool sink_open(struct sink *sink, struct buf *error) {
    if (!sink->path) {
        sink->file = tmpfile();
        return sink->file || failed(sink, error);
    }
    struct stat status;
    if (stat(sink->path, &status) == 0 && !S_ISREG(status.st_mode)) {
        buf_addf(error, "%s: %s is there, and no file; `-` writes to standard output", sink->path,
                 S_ISDIR(status.st_mode) ? "a directory" : "something");
        return false;
    }
    const char *slash = strrchr(sink->path, '/');
    int dir = slash ? (int)(slash - sink->path) + 1 : 0;
    struct buf name = BUF_INIT;
    buf_addf(&name, "%.*s.%s.XXXXXX", dir, sink->path, sink->path + dir);
    sink->hidden = buf_detach(&name);
    int fd = mkstemp(sink->hidden);
    if (fd < 0) {
        free(sink->hidden);
        sink->hidden = NULL;
        return failed(sink, error);
    }
    mode_t mask = umask(0);
    umask(mask);
    fchmod(fd, 0666 & ~mask);
    sink->file = fdopen(fd, "w+b");
    return sink->file || failed(sink, error);
}

/* Also when it begins anew. */
static bool sink_start(void *arg, uint64_t bytes, struct buf *error) {
    struct sink *sink = arg;
    (void)bytes;
    if (fflush(sink->file) != 0 || ftruncate(fileno(sink->file), 0) != 0)
        return failed(sink, error);
    rewind(sink->file);
    return true;
}

static bool sink_add(void *arg, const void *bytes, size_t len, struct buf *error) {
    struct sink *sink = arg;
    return fwrite(bytes, 1, len, sink->file) == len || failed(sink, error);
}

static bool copy(FILE *from, FILE *to, struct buf *error) {
    static char piece[1 << 16];
    size_t got;
    rewind(from);
    while ((got = fread(piece, 1, sizeof piece, from)) > 0)
        if (fwrite(piece, 1, got, to) != got)
            break;
    if (!ferror(from) && !ferror(to) && fflush(to) == 0)
        return true;
    buf_addf(error, "standard output: %s", strerror(errno));
    return false;
}

static bool sink_finish(struct sink *sink, FILE *out, struct buf *error) {
    if (fflush(sink->file) != 0)
        return failed(sink, error);
    if (!sink->path)
        return copy(sink->file, out, error);
    if (rename(sink->hidden, sink->path) != 0)
        return failed(sink, error);
    free(sink->hidden);
    sink->hidden = NULL;
    return true;
}

static void sink_close(struct sink *sink) {
    if (sink->hidden)
        unlink(sink->hidden);
    free(sink->hidden);
    if (sink->file)
        fclose(sink->file);
}

static int get_object(struct session *session, const struct args *args) {
    struct objects objects;
    bool to_file = args->operand_count > 1 && strcmp(args->operands[1], "-") != 0;
    struct sink sink = {.path = to_file ? args->operands[1] : NULL};
    const struct object_sink calls = {sink_start, sink_add, &sink};
    struct buf error = BUF_INIT;
    uint64_t bytes;
    if (!session_objects(session, &objects))
        return EXIT_FAILED;
    bool ok = sink_open(&sink, &error) &&
              object_read(&objects, args->operands[0], UINT64_MAX, &calls, &bytes, &error) &&
              sink_finish(&sink, session->out, &error);
    if (!ok)
        session_error(session, "%s", error.data);
    sink_close(&sink);
    buf_free(&error);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

const struct verb verb_get_object = {
    .name = "getObject",
    .operands = "NAME [FILE|-]",
    .min_operands = 1,
    .max_operands = 2,
    .summary = "writes an object to a file or to stdout",
    .about = "What a native task wrote as redis:NAME, or putObject brought. FILE appears whole or "
             "not at all, and so does what goes to standard output.\n\n"
             "  redisManager getObject weights/5.npy w5.npy",
    .group = GROUP_OBJECTS,
    .check = check,
    .run = get_object,
};
