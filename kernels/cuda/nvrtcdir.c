#include "kernels/cuda/nvrtcdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC     "cudakeep"
#define BYTES_MAX (UINT64_C(256) << 20)

struct header { /* followed by key, lowered, image */
    char magic[8];
    uint32_t version, header_bytes;
    uint64_t key_bytes, lowered_bytes, image_bytes, count, sum;
    struct {
        uint32_t kind, bytes;
    } params[PTX_PARAMS_MAX];
};

/* FNV-1a, 64 bits. */
static uint64_t hash(uint64_t seed, const void *bytes, size_t len) {
    const unsigned char *at = bytes;
    uint64_t h = seed;
    for (size_t i = 0; i < len; i++)
        h = (h ^ at[i]) * UINT64_C(0x100000001b3);
    return h;
}

#define BASIS UINT64_C(0xcbf29ce484222325)

static uint64_t sum_of(const struct header *header, const char *key, const char *lowered,
                       const char *image) {
    struct header plain = *header; /* it has no gaps between its members */
    plain.sum = 0;
    uint64_t sum = hash(BASIS, &plain, sizeof plain);
    sum = hash(sum, key, header->key_bytes);
    sum = hash(sum, lowered, header->lowered_bytes);
    return hash(sum, image, header->image_bytes);
}

static bool path_of(const char *dir, const struct nvrtc_program *program, char *path, size_t size) {
    int len = snprintf(path, size, "%s/%016llx.cudakeep", dir,
                       (unsigned long long)hash(BASIS, program->key, program->key_bytes));
    return len > 0 && (size_t)len < size;
}

static bool sound(const struct header *header, const struct nvrtc_program *program,
                  uint64_t file_bytes) {
    return memcmp(header->magic, MAGIC, sizeof header->magic) == 0 && header->version == 1 &&
           header->header_bytes == sizeof *header && header->key_bytes == program->key_bytes &&
           header->count <= PTX_PARAMS_MAX && header->lowered_bytes <= file_bytes &&
           header->image_bytes <= file_bytes && header->key_bytes <= file_bytes &&
           sizeof *header + header->key_bytes + header->lowered_bytes + header->image_bytes ==
               file_bytes;
}

/* Bytes and a NUL. */
static char *copy(const char *from, size_t bytes) {
    char *to = malloc(bytes + 1);
    if (!to)
        return NULL;
    memcpy(to, from, bytes);
    to[bytes] = '\0';
    return to;
}

static bool take(struct nvrtc_program *program, const char *file, uint64_t file_bytes) {
    struct header header;
    if (file_bytes < sizeof header)
        return false;
    memcpy(&header, file, sizeof header);
    if (!sound(&header, program, file_bytes))
        return false;
    const char *key = file + sizeof header, *lowered = key + header.key_bytes;
    const char *image = lowered + header.lowered_bytes;
    if (memcmp(key, program->key, program->key_bytes) != 0 ||
        sum_of(&header, key, lowered, image) != header.sum)
        return false;
    char *own_lowered = copy(lowered, header.lowered_bytes);
    char *own_image = copy(image, header.image_bytes);
    if (!own_lowered || !own_image) {
        free(own_lowered);
        free(own_image);
        return false;
    }
    program->lowered = own_lowered;
    program->image = own_image;
    program->image_bytes = header.image_bytes;
    program->count = header.count;
    for (size_t i = 0; i < header.count; i++)
        program->params[i] = (struct ptx_param){header.params[i].kind, header.params[i].bytes};
    return true;
}

bool nvrtcdir_read(const char *dir, struct nvrtc_program *program) {
    char path[4096];
    struct stat st;
    if (!path_of(dir, program, path, sizeof path))
        return false;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    char *bytes = NULL;
    bool ok = fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
              (uint64_t)st.st_size <= BYTES_MAX;
    if (ok)
        bytes = malloc((size_t)st.st_size);
    ok = bytes && fread(bytes, 1, (size_t)st.st_size, file) == (size_t)st.st_size &&
         take(program, bytes, (uint64_t)st.st_size);
    free(bytes);
    fclose(file);
    return ok;
}

static bool put(FILE *file, const void *bytes, size_t len) {
    return fwrite(bytes, 1, len, file) == len;
}

static bool write_file(FILE *file, const struct nvrtc_program *program) {
    struct header header = {.version = 1};
    memcpy(header.magic, MAGIC, sizeof header.magic);
    header.header_bytes = sizeof header;
    header.key_bytes = program->key_bytes;
    header.lowered_bytes = strlen(program->lowered);
    header.image_bytes = program->image_bytes;
    header.count = program->count;
    for (size_t i = 0; i < program->count; i++) {
        header.params[i].kind = (uint32_t)program->params[i].kind;
        header.params[i].bytes = (uint32_t)program->params[i].bytes;
    }
    header.sum = sum_of(&header, program->key, program->lowered, program->image);
    return put(file, &header, sizeof header) && put(file, program->key, header.key_bytes) &&
           put(file, program->lowered, header.lowered_bytes) &&
           put(file, program->image, header.image_bytes);
}

bool nvrtcdir_write(const char *dir, const struct nvrtc_program *program) {
    char path[4096], part[4096 + 64];
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return false;
    if (!path_of(dir, program, path, sizeof path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    snprintf(part, sizeof part, "%s.XXXXXX", path);
    int fd = mkostemp(part, O_CLOEXEC);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!file) {
        int error = errno;
        if (fd >= 0) {
            close(fd);
            unlink(part);
        }
        errno = error;
        return false;
    }
    bool ok = write_file(file, program);
    ok = fclose(file) == 0 && ok && rename(part, path) == 0;
    int error = errno;
    if (!ok)
        unlink(part);
    errno = error;
    return ok;
}
