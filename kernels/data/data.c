#include "kernels/data/data.h"

#include <stdlib.h>
#include <string.h>

#include "common/keys.h"
#include "common/link.h"
#include "common/objects.h"
#include "common/units.h"
#include "kernels/data/file.h"
#include "kernels/data/http.h"
#include "kernels/data/npy.h"
#include "kernels/data/region.h"

#define OBJECT_PREFIX "redis:"

enum kind { KIND_FILE, KIND_OBJECT, KIND_URL };

struct input {
    char *name;           /* owned */
    struct region raw;    /* as it is stored */
    struct region turned; /* a copy of its elements, where those of raw cannot be used */
    struct kernel_array array;
    bool parsed; /* array is filled */
};

struct output {
    char *name; /* owned */
    enum kind kind;
    struct outfile file;  /* KIND_FILE */
    struct region memory; /* the others */
    bool visible;
};

struct data {
    struct data_settings settings;
    struct http *http;
    struct link *link; /* NULL until the first object */
    struct buf queue_key;
    struct objects objects;
    struct input *inputs;
    size_t input_count;
    struct output *outputs;
    size_t output_count;
    struct object_part *parts; /* of data_commit */
    size_t part_count;
};

struct data *data_new(const struct data_settings *with) {
    struct data *data = xcalloc(1, sizeof *data);
    data->settings = *with;
    data->queue_key = (struct buf)BUF_INIT;
    data->http = http_new(with->cancelled, with->arg);
    return data;
}

/* --- names -------------------------------------------------------------------------------------
 */

static const char *object_name(const char *name) {
    return name + strlen(OBJECT_PREFIX);
}

static bool has_scheme(const char *name) {
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");
    return len > 0 && strncmp(name + len, "://", 3) == 0;
}

static bool find_kind(const char *name, enum kind *kind, struct buf *error) {
    if (strncmp(name, OBJECT_PREFIX, strlen(OBJECT_PREFIX)) == 0)
        *kind = KIND_OBJECT;
    else if (http_is(name))
        *kind = KIND_URL;
    else
        *kind = KIND_FILE;
    if (*name && (*kind == KIND_URL || !has_scheme(name)))
        return true;
    buf_adds(error, *name ? "no such kind of URL: " : "an empty name: ");
    buf_adds(error, "data is a path, " OBJECT_PREFIX "NAME, http://... or https://...");
    return false;
}

static void show_name(const char *name, struct buf *out) {
    if (http_is(name)) {
        http_show(name, out);
        return;
    }
    for (const char *at = name; *at; at++)
        buf_addc(out, (unsigned char)*at < ' ' || *at == 127 ? '?' : *at);
}

/* "NAME phrase"; false. */
static bool name_error(const char *name, const struct buf *phrase, struct buf *error) {
    show_name(name, error);
    buf_addc(error, ' ');
    buf_add(error, phrase->data, phrase->len);
    return false;
}

/* --- objects -----------------------------------------------------------------------------------
 */

static bool open_objects(struct data *data, const char *name, struct buf *error) {
    const struct data_settings *with = &data->settings;
    struct endpoint endpoint;
    if (data->link)
        return true;
    if (!with->redis || !*with->redis) {
        show_name(name, error);
        buf_adds(error, " needs the Redis of a queue, and none is named: give --redis");
        return false;
    }
    if (endpoint_parse(&endpoint, with->redis, error))
        data->link = link_open(&endpoint, error);
    endpoint_free(&endpoint);
    if (!data->link)
        return false;
    key_queue(&data->queue_key, with->queue);
    data->objects = (struct objects){
        .link = data->link,
        .queue_key = data->queue_key.data,
        .max_bytes = with->object_max ? with->object_max : OBJECT_MAX_BYTES,
        .ttl_ms = with->object_ttl_s ? (int64_t)with->object_ttl_s * 1000 : OBJECT_TTL_MS,
        .cancelled = with->cancelled,
        .arg = with->arg};
    return true;
}

static bool start_intake(void *arg, uint64_t bytes, struct buf *error) {
    return intake_start(arg, bytes, error);
}

static bool add_to_intake(void *arg, const void *bytes, size_t len, struct buf *error) {
    return intake_add(arg, bytes, len, error);
}

static bool fetch_object(struct data *data, const char *name, struct intake *intake, uint64_t *size,
                         struct buf *error) {
    const struct object_sink sink = {start_intake, add_to_intake, intake};
    uint64_t most = intake->most == SIZE_MAX ? UINT64_MAX : intake->most;
    return open_objects(data, name, error) &&
           object_read(&data->objects, object_name(name), most, &sink, size, error);
}

/* --- reading -----------------------------------------------------------------------------------
 */

/* The first intake->most bytes of what is not a file. *size: of the whole, UINT64_MAX: not known.
 */
static bool fetch(struct data *data, enum kind kind, const char *name, struct intake *intake,
                  uint64_t *size, struct buf *error) {
    struct buf phrase = BUF_INIT;
    bool ok;
    if (kind == KIND_OBJECT) {
        ok = fetch_object(data, name, intake, size, error);
    } else {
        ok = http_get(data->http, name, intake, &phrase) || name_error(name, &phrase, error);
        *size = intake->most == SIZE_MAX ? intake->region.len : UINT64_MAX;
    }
    buf_free(&phrase);
    return ok;
}

static bool load(struct data *data, const char *name, struct region *region, struct buf *error) {
    struct intake intake = {REGION_NONE, SIZE_MAX};
    struct buf phrase = BUF_INIT;
    uint64_t size;
    enum kind kind;
    bool ok = find_kind(name, &kind, error);
    if (ok && kind == KIND_FILE) {
        ok = infile_map(name, region, &phrase) || name_error(name, &phrase, error);
    } else if (ok) {
        ok = fetch(data, kind, name, &intake, &size, error);
        *region = intake.region;
        if (ok)
            region_seal(region);
        else
            region_free(region);
    }
    buf_free(&phrase);
    return ok;
}

static struct input *find_input(struct data *data, const char *name) {
    for (size_t i = 0; i < data->input_count; i++)
        if (strcmp(data->inputs[i].name, name) == 0)
            return &data->inputs[i];
    return NULL;
}

/* Each name is read once a try: what is asked for again is the same. */
static struct input *get_input(struct data *data, const char *name, struct buf *error) {
    struct input *input = find_input(data, name);
    struct region region = REGION_NONE;
    if (input || !load(data, name, &region, error))
        return input;
    data->inputs = xrealloc(data->inputs, (data->input_count + 1) * sizeof *data->inputs);
    input = &data->inputs[data->input_count++];
    *input = (struct input){.name = xstrdup(name), .raw = region, .turned = REGION_NONE};
    return input;
}

/* The header, and that the elements are all there and nothing else. */
static bool parse(const void *bytes, size_t len, uint64_t size, struct npy *npy,
                  struct buf *phrase) {
    if (!npy_parse(bytes, len, npy, phrase))
        return false;
    uint64_t wanted = (uint64_t)npy->at + npy->bytes;
    if (size == UINT64_MAX || size == wanted)
        return true;
    buf_addf(phrase, "%s: header and shape make %llu bytes, it has %llu",
             size < wanted ? "ends too early" : "goes on behind its last element",
             (unsigned long long)wanted, (unsigned long long)size);
    return false;
}

/* Elements that begin anywhere, or are big-endian, are copied. */
static bool set_elements(struct input *input, const struct npy *npy, struct buf *phrase) {
    char *elements = input->raw.bytes + npy->at;
    input->array = npy->array;
    input->array.data = elements;
    if (!npy->big_endian && npy->at % NPY_ALIGN == 0)
        return true;
    if (!region_make(&input->turned, npy->bytes, phrase))
        return false;
    size_t size = npy_dtype_bytes(npy->array.dtype);
    memcpy(input->turned.bytes, elements, npy->bytes);
    if (npy->big_endian)
        npy_swap(input->turned.bytes, npy->bytes / size, size);
    region_seal(&input->turned);
    input->array.data = input->turned.bytes;
    return true;
}

bool data_read(struct data *data, const char *name, struct kernel_array *array, struct buf *error) {
    struct buf phrase = BUF_INIT;
    struct npy npy;
    struct input *input = get_input(data, name, error);
    if (input && !input->parsed) {
        input->parsed = parse(input->raw.bytes, input->raw.len, input->raw.len, &npy, &phrase) &&
                        set_elements(input, &npy, &phrase);
        if (!input->parsed)
            name_error(name, &phrase, error);
    }
    buf_free(&phrase);
    if (!input || !input->parsed)
        return false;
    *array = input->array;
    return true;
}

bool data_read_bytes(struct data *data, const char *name, const char **bytes, size_t *len,
                     struct buf *error) {
    const struct input *input = get_input(data, name, error);
    if (!input)
        return false;
    *bytes = input->raw.bytes;
    *len = input->raw.len;
    return true;
}

static bool stat_file(const char *name, struct npy *npy, struct buf *error) {
    struct buf prefix = BUF_INIT, phrase = BUF_INIT;
    uint64_t size;
    bool ok = (infile_prefix(name, NPY_PREFIX_MAX, &prefix, &size, &phrase) &&
               parse(prefix.data, prefix.len, size, npy, &phrase)) ||
              name_error(name, &phrase, error);
    buf_free(&prefix);
    buf_free(&phrase);
    return ok;
}

static bool stat_remote(struct data *data, enum kind kind, const char *name, struct npy *npy,
                        struct buf *error) {
    struct intake intake = {REGION_NONE, NPY_PREFIX_MAX};
    struct buf phrase = BUF_INIT;
    uint64_t size;
    bool ok = fetch(data, kind, name, &intake, &size, error) &&
              (parse(intake.region.bytes, intake.region.len, size, npy, &phrase) ||
               name_error(name, &phrase, error));
    region_free(&intake.region);
    buf_free(&phrase);
    return ok;
}

bool data_stat(struct data *data, const char *name, struct kernel_array *array, struct buf *error) {
    struct npy npy;
    enum kind kind;
    bool ok;
    if (find_input(data, name)) {
        ok = data_read(data, name, &npy.array, error);
    } else {
        ok = find_kind(name, &kind, error) &&
             (kind == KIND_FILE ? stat_file(name, &npy, error)
                                : stat_remote(data, kind, name, &npy, error));
    }
    if (!ok)
        return false;
    *array = npy.array;
    array->data = NULL;
    return true;
}

/* --- writing -----------------------------------------------------------------------------------
 */

static void output_free(struct output *output) {
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
        if (!open_objects(data, output->name, error))
            return false;
        if (!object_name_valid(object_name(output->name))) {
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
        name_error(output->name, &phrase, error);
    buf_free(&phrase);
    return ok;
}

/* A new output, which must be freed unless it is kept. */
static bool begin_output(struct data *data, const char *name, size_t bytes, struct output *output,
                         struct buf *error) {
    *output = (struct output){.name = xstrdup(name), .file = OUTFILE_NONE, .memory = REGION_NONE};
    return find_kind(name, &output->kind, error) && prepare(data, output, bytes, error);
}

static void keep_output(struct data *data, const struct output *output) {
    data->outputs = xrealloc(data->outputs, (data->output_count + 1) * sizeof *data->outputs);
    data->outputs[data->output_count++] = *output;
}

bool data_write(struct data *data, const char *name, struct kernel_array *array,
                struct buf *error) {
    struct buf header = BUF_INIT, phrase = BUF_INIT;
    struct output output = {.file = OUTFILE_NONE, .memory = REGION_NONE};
    struct npy npy;
    char *bytes = NULL;
    bool ok = npy_make(array, &header, &npy, &phrase) || name_error(name, &phrase, error);
    size_t size = ok ? npy.at + npy.bytes : 0;
    ok = ok && begin_output(data, name, size, &output, error);
    if (ok) {
        bool file = output.kind == KIND_FILE;
        ok = (file ? outfile_map(&output.file, size, &phrase)
                   : region_make(&output.memory, size, &phrase)) ||
             name_error(name, &phrase, error);
        bytes = file ? output.file.map.bytes : output.memory.bytes;
    }
    if (ok) {
        memcpy(bytes, header.data, header.len);
        array->data = bytes + npy.at;
        keep_output(data, &output);
    } else {
        output_free(&output);
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
        ok = outfile_write(&output.file, bytes, len, &phrase) || name_error(name, &phrase, error);
    } else if (ok) {
        ok = region_make(&output.memory, len, &phrase) || name_error(name, &phrase, error);
        if (ok && len)
            memcpy(output.memory.bytes, bytes, len);
    }
    if (ok)
        keep_output(data, &output);
    else
        output_free(&output);
    buf_free(&phrase);
    return ok;
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
        if (!object_begin(&data->objects, object_name(output->name), part, error) ||
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
        ok = step(data, output, &phrase) || name_error(output->name, &phrase, error);
        output->visible = ok && names;
    }
    buf_free(&phrase);
    return ok;
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
            show_name(data->outputs[i].name, error);
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
    for (size_t i = 0; i < data->output_count; i++)
        if (data->outputs[i].kind == KIND_FILE)
            outfile_flush(&data->outputs[i].file);
    bool ok = store_objects(data, error) &&
              each_output(data, KIND_FILE, false, store_file, error) &&
              each_output(data, KIND_URL, true, put_url, error) && publish_objects(data, error) &&
              each_output(data, KIND_FILE, true, publish_file, error);
    if (!ok)
        tell_visible(data, error);
    return ok;
}

void data_free(struct data *data) {
    if (!data)
        return;
    for (size_t i = 0; i < data->part_count; i++)
        object_end(&data->objects, &data->parts[i]);
    for (size_t i = 0; i < data->input_count; i++) {
        region_free(&data->inputs[i].raw);
        region_free(&data->inputs[i].turned);
        free(data->inputs[i].name);
    }
    for (size_t i = 0; i < data->output_count; i++)
        output_free(&data->outputs[i]);
    http_free(data->http);
    link_close(data->link);
    buf_free(&data->queue_key);
    free(data->inputs);
    free(data->outputs);
    free(data->parts);
    free(data);
}
