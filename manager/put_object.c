#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/units.h"
#include "manager/command.h"
#include "manager/print.h"

static bool check(const struct args *args, struct buf *error) {
    if (object_name_valid(args->operands[0]))
        return true;
    buf_adds(error, "NAME is " OBJECT_NAME_FORM);
    return false;
}

/* Descriptor of a file, or of standard input for '-'; -1 after saying why not. */
static int open_file(const struct session *session, const char *path) {
    struct stat status;
    int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
        close(fd);
        fd = -1;
        errno = EISDIR;
    }
    if (fd < 0)
        session_error(session, "%s: %s", path, strerror(errno));
    return fd;
}

/* The limit is found out before a large file is sent. */
static bool fits(const struct objects *objects, int fd, const char *path, struct buf *error) {
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        (uint64_t)status.st_size <= objects->max_bytes)
        return true;
    buf_addf(error, "%s has ", path);
    units_add_bytes(error, (uint64_t)status.st_size);
    buf_adds(error, ", an object at most ");
    units_add_bytes(error, objects->max_bytes);
    buf_adds(error, " (object_max)");
    return false;
}

static bool send_file(struct objects *objects, int fd, const char *path, struct object_part *part,
                      struct buf *error) {
    static char piece[OBJECT_CHUNK_BYTES];
    for (;;) {
        ssize_t got = read(fd, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            buf_addf(error, "%s: %s", path, strerror(errno));
        if (got <= 0)
            return got == 0 && object_complete(objects, part, error);
        if (!object_add(objects, part, piece, (size_t)got, error))
            return false;
    }
}

static bool put(struct objects *objects, int fd, const struct args *args, struct object_part *part,
                struct buf *error) {
    const char *path = args->operands[1];
    return fits(objects, fd, path, error) &&
           object_begin(objects, args->operands[0], part, error) &&
           send_file(objects, fd, path, part, error) && objects_publish(objects, part, 1, error);
}

static void answer(const struct session *session, const struct objects *objects,
                   const struct object_part *part) {
    if (session->json) {
        print_json(session->out,
                   json_pack("{s:s, s:I}", "name", part->name, "bytes", (json_int_t)part->bytes));
        return;
    }
    struct buf text = BUF_INIT;
    units_add_bytes(&text, part->bytes);
    buf_adds(&text, ", kept for ");
    units_add_ms(&text, (uint64_t)objects->ttl_ms);
    fprintf(session->out, "redis:%s: %s\n", part->name, text.data);
    buf_free(&text);
}

static int put_object(struct session *session, const struct args *args) {
    struct objects objects;
    struct object_part part = {.rest = BUF_INIT};
    struct buf error = BUF_INIT;
    int fd = open_file(session, args->operands[1]);
    if (fd < 0 || !session_objects(session, &objects)) {
        if (fd >= 0)
            close(fd);
        return EXIT_FAILED;
    }
    bool ok = put(&objects, fd, args, &part, &error);
    if (ok)
        answer(session, &objects, &part);
    else
        session_error(session, "%s", error.data);
    object_end(&objects, &part);
    close(fd);
    buf_free(&error);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

const struct verb verb_put_object = {
    .name = "putObject",
    .operands = "NAME FILE",
    .min_operands = 2,
    .max_operands = 2,
    .summary = "puts a file into Redis for native tasks",
    .about =
        "A native task, on any machine, reads it as redis:NAME, and writes others in the same "
        "way: for data of up to object_max where there is no shared file system. An object of "
        "that name is replaced, at once and whole: who reads it meanwhile begins anew. FILE "
        "may be - for standard input.\n\n"
        "It goes when it was not written for object_ttl, by removeObject, and by initRedis.\n\n"
        "  redisManager putObject weights/0.npy w0.npy",
    .group = GROUP_OBJECTS,
    .flags = VERB_ANSWERS,
    .check = check,
    .run = put_object,
};
