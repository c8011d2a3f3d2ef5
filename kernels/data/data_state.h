/*
 * data_state.h - what data.c (names, inputs) and data_output.c (outputs, commit) share. For nobody
 * else.
 */
#ifndef DISTCOMP_KERNEL_DATA_STATE_H
#define DISTCOMP_KERNEL_DATA_STATE_H

#include "common/link.h"
#include "common/objects.h"
#include "kernels/data/data.h"
#include "kernels/data/file.h"
#include "kernels/data/http.h"
#include "kernels/data/npy.h"
#include "kernels/data/region.h"

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
    struct region memory; /* the others, and a small file until the commit */
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

/* What a name is; an error for an empty one and for URLs of other kinds. */
bool data_find_kind(const char *name, enum kind *kind, struct buf *error);
/* The NAME of redis:NAME. */
const char *data_object_name(const char *name);
/* Appends the name as it may be shown: no password, no control characters. */
void data_show_name(const char *name, struct buf *out);
/* Appends "NAME phrase"; false. */
bool data_name_error(const char *name, const struct buf *phrase, struct buf *error);
/* Connects to Redis, once; `name` is for the error when none is known. */
bool data_open_objects(struct data *data, const char *name, struct buf *error);

/* Frees an output; what was not committed is gone. */
void data_output_free(struct output *output);

#endif
