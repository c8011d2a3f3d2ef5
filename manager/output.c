#include "manager/output.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

#define GROW 65536u

static bool inflate_all(struct slice packed, struct buf *out) {
    z_stream z = {0};
    int rc = inflateInit(&z);
    if (rc != Z_OK)
        return false;
    z.next_in = (Bytef *)(uintptr_t)packed.data;
    z.avail_in = (uInt)packed.len;
    while (rc == Z_OK) {
        buf_reserve(out, GROW + out->len);
        size_t room = out->cap - out->len - 1;
        z.next_out = (Bytef *)out->data + out->len;
        z.avail_out = (uInt)(room < UINT32_MAX ? room : UINT32_MAX);
        uInt before = z.avail_out;
        rc = inflate(&z, Z_NO_FLUSH);
        out->len += before - z.avail_out;
    }
    out->data[out->len] = '\0';
    inflateEnd(&z);
    return rc == Z_STREAM_END;
}

static bool read_stream(struct output_stream *stream, struct slice bytes, bool compressed) {
    stream->bytes = bytes;
    if (!compressed || !bytes.len)
        return true;
    bool ok = inflate_all(bytes, &stream->unpacked);
    stream->bytes = (struct slice){stream->unpacked.data, stream->unpacked.len};
    return ok;
}

bool output_read(struct output *output, struct slice packed) {
    struct task_output raw;
    *output = (struct output){0};
    for (int i = 0; i < 2; i++) {
        output->stream[i].unpacked = (struct buf)BUF_INIT;
        output->stream[i].bytes = (struct slice){"", 0};
    }
    if (!task_output_unpack(packed, &raw))
        return false;
    output->try_number = raw.try_number;
    output->stream[OUTPUT_STDOUT].whole_bytes = raw.out_bytes;
    output->stream[OUTPUT_STDERR].whole_bytes = raw.err_bytes;
    output->stream[OUTPUT_STDOUT].cut = raw.flags & OUTPUT_CUT_OUT;
    output->stream[OUTPUT_STDERR].cut = raw.flags & OUTPUT_CUT_ERR;
    bool compressed = raw.flags & OUTPUT_COMPRESSED;
    return read_stream(&output->stream[OUTPUT_STDOUT], raw.out, compressed) &&
           read_stream(&output->stream[OUTPUT_STDERR], raw.err, compressed);
}

void output_free(struct output *output) {
    for (int i = 0; i < 2; i++)
        buf_free(&output->stream[i].unpacked);
}

/* How long the first part of a cut stream is; the last part is as long. The mark between them has
 * the number of bytes left out in it, so its length depends on that. */
static size_t cut_half(const struct output_stream *stream) {
    const char *at = stream->bytes.data;
    for (size_t mark = 30; mark < 64 && mark < stream->bytes.len; mark++) {
        size_t half = (stream->bytes.len - mark) / 2;
        char text[80];
        int len = snprintf(text, sizeof text, "\n[distcomp: %llu bytes left out]\n",
                           (unsigned long long)(stream->whole_bytes - 2 * half));
        if ((size_t)len == mark && memcmp(at + half, text, mark) == 0)
            return half;
    }
    return 0;
}

uint64_t output_rest(const struct output_stream *stream, uint64_t seen, struct slice *rest) {
    struct slice all = stream->bytes;
    *rest = (struct slice){"", 0};
    if (!stream->cut || seen == 0) {
        if (seen < all.len)
            *rest = (struct slice){all.data + seen, all.len - (size_t)seen};
        return 0;
    }
    if (seen >= stream->whole_bytes)
        return 0;
    uint64_t left = stream->whole_bytes - seen;
    size_t half = cut_half(stream);
    if (left > half && seen <= half) {
        *rest = (struct slice){all.data + seen, all.len - (size_t)seen}; /* with its mark */
        return 0;
    }
    size_t last = left < half ? (size_t)left : half;
    *rest = (struct slice){all.data + all.len - last, last};
    return left - last;
}
