/* See dataset.h. */
#include "kernels/kit/dataset.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "kernels/kit/pages.h"

void dataset_free(struct dataset *d) {
    free(d->memory[0]);
    free(d->memory[1]);
    *d = (struct dataset){0};
}

unsigned dataset_highest_label(const struct dataset *d) {
    unsigned highest = 0;
    for (size_t i = 0; d->labels != NULL && i < d->rows; i++)
        if (dataset_label(d, i) > highest)
            highest = dataset_label(d, i);
    return highest;
}

/* --- letters ------------------------------------------------------------------------------------
 */

static const char *line_end(const char *at, const char *end) {
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    return newline != NULL ? newline : end;
}

static size_t count_lines(const char *text, size_t len) {
    size_t lines = 0;
    for (const char *at = text, *end = text + len; at < end; lines++) {
        const char *stop = line_end(at, end);
        at = stop < end ? stop + 1 : end;
    }
    return lines;
}

size_t dataset_letters_columns(const char *text, size_t len) {
    if (len == 0)
        return 0;
    size_t columns = 1;
    for (const char *at = text, *stop = line_end(text, text + len); at < stop; at++)
        columns += *at == ',';
    return columns;
}

/* One integer of 0 to 255 with blanks around it; NULL when there is none at this place. */
static const char *one_value(const char *at, const char *stop, uint8_t *value) {
    while (at < stop && *at == ' ')
        at++;
    unsigned number = 0;
    const char *digits = at;
    for (; at < stop && *at >= '0' && *at <= '9' && number <= UINT8_MAX; at++)
        number = 10 * number + (unsigned)(*at - '0');
    if (at == digits || number > UINT8_MAX)
        return NULL;
    while (at < stop && (*at == ' ' || *at == '\r'))
        at++;
    *value = (uint8_t)number;
    return at;
}

static bool one_line(const char *at, const char *stop, size_t line, size_t columns, uint8_t *values,
                     char *error, size_t room) {
    const char *begin = at;
    for (size_t i = 0; i < columns; i++) {
        const char *next = one_value(at, stop, &values[i]);
        bool last = i + 1 == columns;
        if (next == NULL || (next < stop && *next != ',')) {
            snprintf(error, room, "line %zu, column %zu: expected an integer of 0 to 255", line,
                     (size_t)(at - begin) + 1);
            return false;
        }
        if (last != (next == stop)) {
            snprintf(error, room, "line %zu has %s than the %zu values of line 1", line,
                     last ? "more" : "fewer", columns);
            return false;
        }
        at = next + 1;
    }
    return true;
}

bool dataset_letters(const char *text, size_t len, bool labelled, struct dataset *out, char *error,
                     size_t room) {
    *out = (struct dataset){.scale = 1};
    size_t rows = count_lines(text, len), columns = dataset_letters_columns(text, len);
    if (rows > 0 && columns < (labelled ? 2u : 1u)) {
        snprintf(error, room, "line 1 has one value, expected values and a label joined by ','");
        return false;
    }
    /* Rows that all have their values take twice that in text. */
    size_t bytes = len + columns + 1;
    uint8_t *values = malloc(bytes);
    if (values == NULL) {
        snprintf(error, room, "no memory for %zu bytes", bytes);
        return false;
    }
    const char *at = text, *end = text + len;
    for (size_t i = 0; i < rows; i++) {
        const char *stop = line_end(at, end);
        bool fits = (i + 1) * columns <= bytes;
        if (!fits)
            snprintf(error, room, "line %zu has fewer than the %zu values of line 1", i + 1,
                     columns);
        if (!fits || !one_line(at, stop, i + 1, columns, values + i * columns, error, room)) {
            free(values);
            return false;
        }
        at = stop < end ? stop + 1 : end;
    }
    out->rows = rows;
    out->columns = rows == 0 ? 0 : columns - labelled;
    out->memory[0] = values;
    out->values = values;
    out->stride = out->label_stride = columns;
    if (labelled)
        out->labels = values + out->columns;
    return true;
}

/* --- idx ----------------------------------------------------------------------------------------
 */

#define IDX_UBYTE    8
#define IDX_DIMS_MAX 4
#define IDX_HEAD_MAX (4 + 4 * IDX_DIMS_MAX)

static bool is_gzip(const uint8_t *bytes, size_t len) {
    return len >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

bool dataset_is_idx(const void *bytes, size_t len) {
    const uint8_t *b = bytes;
    return is_gzip(b, len) || (len >= 4 && b[0] == 0 && b[1] == 0);
}

/* A file's bytes, from the first on, unpacked where they are packed. */
struct source {
    const uint8_t *bytes;
    size_t left;
    bool gzip, ended;
    z_stream z;
};

static bool source_open(struct source *s, const void *bytes, size_t len) {
    *s = (struct source){.bytes = bytes, .left = len, .gzip = is_gzip(bytes, len)};
    return !s->gzip || inflateInit2(&s->z, 16 + MAX_WBITS) == Z_OK;
}

static void source_close(struct source *s) {
    if (s->gzip)
        inflateEnd(&s->z);
}

/* Fills `to` with up to len bytes; less only at the end. -1: damaged. */
static ptrdiff_t source_take(struct source *s, uint8_t *to, size_t len) {
    if (!s->gzip) {
        size_t take = len < s->left ? len : s->left;
        memcpy(to, s->bytes, take);
        s->bytes += take;
        s->left -= take;
        return (ptrdiff_t)take;
    }
    size_t got = 0;
    while (got < len && !s->ended) {
        /* zlib counts in unsigned int. */
        uInt in = s->left > 1u << 30 ? 1u << 30 : (uInt)s->left;
        uInt want = len - got > 1u << 30 ? 1u << 30 : (uInt)(len - got);
        s->z.next_in = (Bytef *)(uintptr_t)s->bytes;
        s->z.avail_in = in;
        s->z.next_out = to + got;
        s->z.avail_out = want;
        int rc = inflate(&s->z, Z_NO_FLUSH);
        s->bytes += in - s->z.avail_in;
        s->left -= in - s->z.avail_in;
        got += want - s->z.avail_out;
        s->ended = rc == Z_STREAM_END;
        if (rc != Z_OK && rc != Z_STREAM_END)
            return -1;
    }
    return (ptrdiff_t)got;
}

/* rows and the product of the other dimensions. */
static bool idx_head(struct source *s, size_t *rows, size_t *columns, unsigned *dims, char *error,
                     size_t room) {
    uint8_t head[IDX_HEAD_MAX];
    if (source_take(s, head, 4) != 4 || head[0] != 0 || head[1] != 0) {
        snprintf(error, room, "not an idx file: expected two zero bytes, a type and dimensions");
        return false;
    }
    if (head[2] != IDX_UBYTE || head[3] < 1 || head[3] > IDX_DIMS_MAX) {
        snprintf(error, room,
                 "an idx file of type 0x%02x with %u dimensions; expected unsigned bytes (0x08) "
                 "with 1 to %d",
                 head[2], head[3], IDX_DIMS_MAX);
        return false;
    }
    *dims = head[3];
    if (source_take(s, head, 4 * (size_t)*dims) != 4 * (ptrdiff_t)*dims) {
        snprintf(error, room, "an idx file that ends within its head");
        return false;
    }
    *columns = 1;
    for (unsigned i = 0; i < *dims; i++) {
        const uint8_t *at = head + 4 * (size_t)i;
        size_t size = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
        size_t *part = i == 0 ? rows : columns;
        if (i > 0 && __builtin_mul_overflow(size, *columns, &size))
            size = SIZE_MAX;
        *part = size;
    }
    return true;
}

static bool idx_body(struct source *s, size_t bytes, const uint8_t **values, void **memory,
                     char *error, size_t room) {
    uint8_t beyond;
    if (!s->gzip) {
        *values = s->bytes;
        if (s->left == bytes)
            return true;
    } else {
        uint8_t *made = pages_new(bytes);
        if (made == NULL) {
            snprintf(error, room, "no memory for %zu bytes", bytes);
            return false;
        }
        ptrdiff_t got = source_take(s, made, bytes);
        if (got == (ptrdiff_t)bytes && source_take(s, &beyond, 1) == 0) {
            *values = *memory = made;
            return true;
        }
        free(made);
        if (got < 0) {
            snprintf(error, room, "damaged: it cannot be unpacked");
            return false;
        }
    }
    snprintf(error, room, "its head promises %zu bytes, but the file has %s", bytes,
             s->gzip           ? "more or fewer"
             : s->left < bytes ? "fewer"
                               : "more");
    return false;
}

bool dataset_idx(const void *bytes, size_t len, struct dataset *out, char *error, size_t room) {
    *out = (struct dataset){.scale = 1.0 / 255};
    struct source source;
    if (!source_open(&source, bytes, len)) {
        snprintf(error, room, "no memory to unpack");
        return false;
    }
    unsigned dims;
    size_t size;
    bool ok = idx_head(&source, &out->rows, &out->columns, &dims, error, room);
    if (ok && (__builtin_mul_overflow(out->rows, out->columns, &size) || size > PTRDIFF_MAX - 1)) {
        snprintf(error, room, "%zu rows of %zu values are too many", out->rows, out->columns);
        ok = false;
    }
    out->stride = out->columns;
    ok = ok && idx_body(&source, size, &out->values, &out->memory[0], error, room);
    source_close(&source);
    return ok;
}

bool dataset_idx_labels(const void *bytes, size_t len, struct dataset *out, char *error,
                        size_t room) {
    struct source source;
    if (!source_open(&source, bytes, len)) {
        snprintf(error, room, "no memory to unpack");
        return false;
    }
    unsigned dims;
    size_t count, columns;
    bool ok = idx_head(&source, &count, &columns, &dims, error, room);
    if (ok && (dims != 1 || count != out->rows)) {
        snprintf(error, room, "%zu labels in %u dimensions; the images need %zu, in one", count,
                 dims, out->rows);
        ok = false;
    }
    out->label_stride = 1;
    ok = ok && idx_body(&source, count, &out->labels, &out->memory[1], error, room);
    source_close(&source);
    return ok;
}

/* --- sizes --------------------------------------------------------------------------------------
 */

/* A gzip'ed file ends with its size unpacked, in four bytes, low ones first. */
static uint64_t unpacked_bytes(int fd, off_t size) {
    uint8_t magic[2], last[4];
    if (size < 18 || pread(fd, magic, 2, 0) != 2 || magic[0] != 0x1f || magic[1] != 0x8b ||
        pread(fd, last, 4, size - 4) != 4)
        return 0;
    return (uint64_t)last[3] << 24 | (uint64_t)last[2] << 16 | (uint64_t)last[1] << 8 | last[0];
}

uint64_t dataset_file_bytes(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return 0;
    struct stat st;
    uint64_t bytes = 0;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        bytes = (uint64_t)st.st_size + unpacked_bytes(fd, st.st_size);
    close(fd);
    return bytes;
}
