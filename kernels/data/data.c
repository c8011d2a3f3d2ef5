#include "kernels/data/data_state.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/keys.h"

#define OBJECT_PREFIX "redis:"

struct data *data_new(const struct data_settings *with) {
    struct data *data = xcalloc(1, sizeof *data);
    data->settings = *with;
    data->queue_key = (struct buf)BUF_INIT;
    data->http = http_new(with->cancelled, with->arg);
    return data;
}

/* --- names -------------------------------------------------------------------------------------
 */

const char *data_object_name(const char *name) {
    return name + strlen(OBJECT_PREFIX);
}

static bool has_scheme(const char *name) {
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");
    return len > 0 && strncmp(name + len, "://", 3) == 0;
}

bool data_find_kind(const char *name, enum kind *kind, struct buf *error) {
    if (strncmp(name, OBJECT_PREFIX, strlen(OBJECT_PREFIX)) == 0)
        *kind = KIND_OBJECT;
    else if (http_is(name))
        *kind = KIND_URL;
    else
        *kind = KIND_FILE;
    if (*name && (*kind == KIND_URL || !has_scheme(name)))
        return true;
    if (*name)
        buf_addf(error, "%.*s://... is no kind of URL that is known: ", (int)strcspn(name, ":"),
                 name);
    else
        buf_adds(error, "an empty name: ");
    buf_adds(error, "data is a path, " OBJECT_PREFIX "NAME, http://... or https://...");
    return false;
}

void data_show_name(const char *name, struct buf *out) {
    if (http_is(name)) {
        http_show(name, out);
        return;
    }
    for (const char *at = name; *at; at++)
        buf_addc(out, (unsigned char)*at < ' ' || *at == 127 ? '?' : *at);
}

bool data_name_error(const char *name, const struct buf *phrase, struct buf *error) {
    data_show_name(name, error);
    buf_addc(error, ' ');
    buf_add(error, phrase->data, phrase->len);
    return false;
}

/* --- objects -----------------------------------------------------------------------------------
 */

bool data_open_objects(struct data *data, const char *name, struct buf *error) {
    const struct data_settings *with = &data->settings;
    struct endpoint endpoint;
    if (data->link)
        return true;
    if (!with->redis || !*with->redis) {
        data_show_name(name, error);
        buf_adds(error, " needs the Redis of a queue, and DISTCOMP_REDIS names none");
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
    return data_open_objects(data, name, error) &&
           object_read(&data->objects, data_object_name(name), most, &sink, size, error);
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
        ok = http_get(data->http, name, intake, &phrase) || data_name_error(name, &phrase, error);
        *size = intake->most == SIZE_MAX ? intake->region.len : UINT64_MAX;
    }
    buf_free(&phrase);
    return ok;
}

static bool is_within(const struct region *region, const void *bytes) {
    return (uintptr_t)bytes - (uintptr_t)region->bytes < region->len;
}

void data_release(struct data *data, const void *bytes, size_t len) {
    for (size_t i = 0; i < data->input_count; i++)
        if (is_within(&data->inputs[i].raw, bytes))
            region_release(&data->inputs[i].raw, bytes, len);
    for (size_t i = 0; i < data->output_count; i++)
        if (is_within(&data->outputs[i].file.map, bytes))
            outfile_release(&data->outputs[i].file, bytes, len);
}

static bool load(struct data *data, const char *name, struct region *region, struct buf *error) {
    struct intake intake = {REGION_NONE, SIZE_MAX};
    struct buf phrase = BUF_INIT;
    uint64_t size;
    enum kind kind;
    bool ok = data_find_kind(name, &kind, error);
    if (ok && kind == KIND_FILE) {
        ok = infile_map(name, region, &phrase) || data_name_error(name, &phrase, error);
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
            data_name_error(name, &phrase, error);
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
              data_name_error(name, &phrase, error);
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
               data_name_error(name, &phrase, error));
    region_free(&intake.region);
    buf_free(&phrase);
    return ok;
}

/* A pipe can be read once only: what it had is kept. */
static bool is_stream(const char *name) {
    struct stat status;
    enum kind kind;
    struct buf ignored = BUF_INIT;
    bool file = data_find_kind(name, &kind, &ignored) && kind == KIND_FILE;
    buf_free(&ignored);
    return file && stat(name, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
}

bool data_stat(struct data *data, const char *name, struct kernel_array *array, struct buf *error) {
    struct npy npy;
    enum kind kind;
    bool ok;
    if (find_input(data, name) || is_stream(name)) {
        ok = data_read(data, name, &npy.array, error);
    } else {
        ok = data_find_kind(name, &kind, error) &&
             (kind == KIND_FILE ? stat_file(name, &npy, error)
                                : stat_remote(data, kind, name, &npy, error));
    }
    if (!ok)
        return false;
    *array = npy.array;
    array->data = NULL;
    return true;
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
        data_output_free(&data->outputs[i]);
    http_free(data->http);
    link_close(data->link);
    buf_free(&data->queue_key);
    free(data->inputs);
    free(data->outputs);
    free(data->parts);
    free(data);
}
