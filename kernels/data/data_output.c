/* data_output.c - outputs: made in private, and the commit. */
#include "kernels/data/data_state.h"

#include <stdlib.h>
#include <string.h>

#include "common/units.h"

void data_output_free(struct output *output) {
    outfile_free(&output->file);
    region_free(&output->memory);
    free(output->name);
}

static bool is_same(const struct output *a, const struct output *b) {
    if (a->kind != b->kind)
        return false;
    return a->kind == KIND_FILE ? outfile_same(&a->file, &b->file) : strcmp(a->name, b->name) == 0;
}

/* What would go wrong at the end is found out before the kernel has worked for hours. */
static bool prepare(struct data *data, struct output *output, size_t bytes, struct buf *error) {
    struct buf phrase = BUF_INIT;
    bool ok = true;
    switch (output->kind) {
    case KIND_FILE:
        ok = outfile_open(&output->file, output->name, &phrase);
        break;
    case KIND_URL:
        ok = http_ready(data->http, &phrase);
        break;
    case KIND_OBJECT:
        if (!data_open_objects(data, output->name, error))
            return false;
        if (!object_name_valid(data_object_name(output->name))) {
            buf_adds(&phrase, "is no name: that of an object is " OBJECT_NAME_FORM);
        } else if (bytes > data->objects.max_bytes) {
            buf_adds(&phrase, "would have ");
            units_add_bytes(&phrase, bytes);
            buf_adds(&phrase, "; an object has at most ");
            units_add_bytes(&phrase, data->objects.max_bytes);
            buf_adds(&phrase, " (object_max): write a file, or raise it");
        }
        ok = phrase.len == 0;
        break;
    }
    for (size_t i = 0; ok && i < data->output_count; i++)
        if (is_same(output, &data->outputs[i])) {
            buf_adds(&phrase, "is written twice by one task");
            ok = false;
        }
    if (!ok)
        data_name_error(output->name, &phrase, error);
    buf_free(&phrase);
    return ok;
}

/* A new output, which must be freed unless it is kept. */
static bool begin_output(struct data *data, const char *name, size_t bytes, struct output *output,
                         struct buf *error) {
    *output = (struct output){.name = xstrdup(name), .file = OUTFILE_NONE, .memory = REGION_NONE};
    return data_find_kind(name, &output->kind, error) && prepare(data, output, bytes, error);
}

static void keep_output(struct data *data, const struct output *output) {
    data->outputs = xrealloc(data->outputs, (data->output_count + 1) * sizeof *data->outputs);
    data->outputs[data->output_count++] = *output;
}

/*
 * The first write to each page of a mapped file is dear (the file system is asked each time), so
 * that small ones are made elsewhere and written at the commit, SMALL_ALL bytes of them at most.
 */
#define SMALL_BYTES (UINT64_C(4) << 20)
#define SMALL_ALL   (UINT64_C(16) << 20)

static bool is_small(const struct data *data, const struct output *output, size_t bytes) {
    uint64_t all = bytes;
    for (size_t i = 0; i < data->output_count; i++)
        if (data->outputs[i].kind == KIND_FILE)
            all += data->outputs[i].memory.len;
    return bytes <= SMALL_BYTES && all <= SMALL_ALL && !outfile_is_memory(&output->file);
}

static bool make_room(const struct data *data, struct output *output, size_t bytes,
                      struct buf *phrase) {
    if (output->kind != KIND_FILE)
        return region_make(&output->memory, bytes, phrase);
    if (!is_small(data, output, bytes))
        return outfile_map(&output->file, bytes, phrase);
    return outfile_reserve(&output->file, bytes, phrase) &&
           region_make(&output->memory, bytes, phrase);
}

/* Bytes to a place within what make_room made. */
static bool put(struct output *output, size_t at, const void *from, size_t len,
                struct buf *phrase) {
    if (output->memory.bytes)
        memcpy(output->memory.bytes + at, from, len);
    else if (outfile_is_memory(&output->file))
        memcpy(output->file.map.bytes + at, from, len);
    else
        return outfile_put(&output->file, at, from, len, phrase);
    return true;
}

bool data_write(struct data *data, const char *name, struct kernel_array *array,
                struct buf *error) {
    struct buf header = BUF_INIT, phrase = BUF_INIT;
    struct output output = {.file = OUTFILE_NONE, .memory = REGION_NONE};
    struct npy npy;
    char *bytes = NULL;
    bool ok = npy_make(array, &header, &npy, &phrase) || data_name_error(name, &phrase, error);
    size_t size = ok ? npy.at + npy.bytes : 0;
    ok = ok && begin_output(data, name, size, &output, error);
    if (ok) {
        ok = (make_room(data, &output, size, &phrase) &&
              put(&output, 0, header.data, header.len, &phrase)) ||
             data_name_error(name, &phrase, error);
        bytes = output.memory.bytes ? output.memory.bytes : output.file.map.bytes;
    }
    if (ok) {
        array->data = bytes + npy.at;
        keep_output(data, &output);
    } else {
        data_output_free(&output);
    }
    buf_free(&header);
    buf_free(&phrase);
    return ok;
}

bool data_write_bytes(struct data *data, const char *name, const void *bytes, size_t len,
                      struct buf *error) {
    struct buf phrase = BUF_INIT;
    struct output output;
    bool ok = begin_output(data, name, len, &output, error);
    if (ok && output.kind == KIND_FILE) {
        ok = outfile_write(&output.file, bytes, len, &phrase) ||
             data_name_error(name, &phrase, error);
    } else if (ok) {
        ok = region_make(&output.memory, len, &phrase) || data_name_error(name, &phrase, error);
        if (ok && len)
            memcpy(output.memory.bytes, bytes, len);
    }
    if (ok)
        keep_output(data, &output);
    else
        data_output_free(&output);
    buf_free(&phrase);
    return ok;
}

/* The output that has room for len bytes there; *at: their place in it. */
static struct output *find_output(struct data *data, const void *to, size_t len, size_t *at) {
    for (size_t i = 0; i < data->output_count; i++) {
        struct output *output = &data->outputs[i];
        const struct region *region = output->memory.bytes ? &output->memory : &output->file.map;
        *at = (size_t)((uintptr_t)to - (uintptr_t)region->bytes);
        if (region->bytes && *at < region->len && len <= region->len - *at)
            return output;
    }
    return NULL;
}

bool data_store(struct data *data, void *to, const void *from, size_t len, struct buf *error) {
    struct buf phrase = BUF_INIT;
    size_t at;
    if (len == 0)
        return true;
    struct output *output = find_output(data, to, len, &at);
    if (output == NULL) {
        buf_addf(error, "%zu bytes were to be stored where no output has room for them", len);
        return false;
    }
    bool ok = put(output, at, from, len, &phrase) || data_name_error(output->name, &phrase, error);
    buf_free(&phrase);
    return ok;
}

bool data_store_pays(struct data *data, const void *to) {
    size_t at;
    const struct output *output = find_output(data, to, 1, &at);
    return output && output->file.map.bytes && !outfile_is_memory(&output->file);
}

/* --- commit ------------------------------------------------------------------------------------
 */

/* Redis has all of each object, under names that nobody asks for. */
static bool store_objects(struct data *data, struct buf *error) {
    data->parts = xcalloc(data->output_count + 1, sizeof *data->parts);
    for (size_t i = 0; i < data->output_count; i++) {
        const struct output *output = &data->outputs[i];
        if (output->kind != KIND_OBJECT)
            continue;
        struct object_part *part = &data->parts[data->part_count++];
        if (!object_begin(&data->objects, data_object_name(output->name), part, error) ||
            !object_add(&data->objects, part, output->memory.bytes, output->memory.len, error) ||
            !object_complete(&data->objects, part, error))
            return false;
    }
    return true;
}

/* Does step for each output of a kind; marks those done as visible if it is the one that gives the
 * name. */
static bool each_output(struct data *data, enum kind kind, bool names,
                        bool (*step)(struct data *data, struct output *output, struct buf *phrase),
                        struct buf *error) {
    struct buf phrase = BUF_INIT;
    bool ok = true;
    for (size_t i = 0; i < data->output_count && ok; i++) {
        struct output *output = &data->outputs[i];
        if (output->kind != kind)
            continue;
        ok = step(data, output, &phrase) || data_name_error(output->name, &phrase, error);
        output->visible = ok && names;
    }
    buf_free(&phrase);
    return ok;
}

static bool write_file(struct data *data, struct output *output, struct buf *phrase) {
    (void)data;
    if (output->memory.bytes &&
        !outfile_put(&output->file, 0, output->memory.bytes, output->memory.len, phrase))
        return false;
    outfile_flush(&output->file);
    return true;
}

static bool store_file(struct data *data, struct output *output, struct buf *phrase) {
    (void)data;
    return outfile_store(&output->file, phrase);
}

static bool publish_file(struct data *data, struct output *output, struct buf *phrase) {
    (void)data;
    return outfile_publish(&output->file, phrase);
}

static bool put_url(struct data *data, struct output *output, struct buf *phrase) {
    return http_put(data->http, output->name, output->memory.bytes, output->memory.len, phrase);
}

static bool publish_objects(struct data *data, struct buf *error) {
    if (!objects_publish(&data->objects, data->parts, data->part_count, error))
        return false;
    for (size_t i = 0; i < data->output_count; i++)
        if (data->outputs[i].kind == KIND_OBJECT)
            data->outputs[i].visible = true;
    return true;
}

static void tell_visible(const struct data *data, struct buf *error) {
    const char *before = " (already written: ";
    for (size_t i = 0; i < data->output_count; i++)
        if (data->outputs[i].visible) {
            buf_adds(error, before);
            data_show_name(data->outputs[i].name, error);
            before = ", ";
        }
    if (*before == ',')
        buf_addc(error, ')');
}

/*
 * What can still fail comes first, and what cannot be taken back as late as that allows: bytes to
 * disk and Redis; then the names, of URLs (storing and naming are one there), of objects (all in
 * one transaction), of files.
 */
bool data_commit(struct data *data, struct buf *error) {
    bool ok = each_output(data, KIND_FILE, false, write_file, error) &&
              store_objects(data, error) &&
              each_output(data, KIND_FILE, false, store_file, error) &&
              each_output(data, KIND_URL, true, put_url, error) && publish_objects(data, error) &&
              each_output(data, KIND_FILE, true, publish_file, error);
    if (!ok)
        tell_visible(data, error);
    return ok;
}
