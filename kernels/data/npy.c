#include "kernels/data/npy.h"

#include <byteswap.h>
#include <limits.h>
#include <string.h>

#define MAGIC     "\x93NUMPY"
#define MAGIC_LEN 6

static const struct {
    const char *name;
    char kind; /* of a descr: 'f4' */
    uint8_t bytes;
} dtypes[] = {
    [KERNEL_F32] = {"f32", 'f', 4},
    [KERNEL_F64] = {"f64", 'f', 8},
    [KERNEL_I32] = {"i32", 'i', 4},
    [KERNEL_I64] = {"i64", 'i', 8},
};
#define DTYPES (sizeof dtypes / sizeof *dtypes)

static bool is_dtype(enum kernel_dtype dtype) {
    return dtype > 0 && dtype < DTYPES;
}

size_t npy_dtype_bytes(enum kernel_dtype dtype) {
    return is_dtype(dtype) ? dtypes[dtype].bytes : 0;
}

const char *npy_dtype_name(enum kernel_dtype dtype) {
    return is_dtype(dtype) ? dtypes[dtype].name : "?";
}

size_t npy_elements(const struct kernel_array *array) {
    size_t elements = 1;
    for (unsigned i = 0; i < array->dims; i++)
        elements *= array->shape[i];
    return elements;
}

/*
 * Sets npy->bytes. Without its zeros the shape has to fit too, since kernels multiply parts of it
 * (rows times width).
 */
static bool measure(struct npy *npy, struct buf *error) {
    size_t bytes = npy_dtype_bytes(npy->array.dtype);
    bool empty = false;
    for (unsigned i = 0; i < npy->array.dims; i++) {
        size_t n = npy->array.shape[i];
        empty = empty || n == 0;
        if (n && __builtin_mul_overflow(bytes, n, &bytes))
            bytes = SIZE_MAX;
        if (bytes > PTRDIFF_MAX - NPY_PREFIX_MAX - NPY_ALIGN) {
            buf_adds(error, "has a shape whose product is too large for any memory");
            return false;
        }
    }
    npy->bytes = empty ? 0 : bytes;
    return true;
}

/* --- reading: the literals of Python that a header may have ---------------------------------- */

struct text {
    const char *at, *end;
    struct buf *error;
};

static bool malformed(struct text *t, const char *what) {
    buf_addf(t->error, "has a malformed .npy header: %s", what);
    return false;
}

static void skip_blanks(struct text *t) {
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\n' || *t->at == '\t' || *t->at == '\r'))
        t->at++;
}

/* The next character that is not blank, or 0 at the end. */
static char peek(struct text *t) {
    skip_blanks(t);
    return t->at < t->end ? *t->at : '\0';
}

static bool take(struct text *t, char c) {
    if (peek(t) != c)
        return false;
    t->at++;
    return true;
}

/* A string without escapes; nothing that a header needs has one. */
static bool read_string(struct text *t, const char **text, size_t *len) {
    char quote = peek(t);
    if (quote != '\'' && quote != '"')
        return malformed(t, "a string is expected");
    const char *from = ++t->at;
    while (t->at < t->end && *t->at != quote && *t->at != '\\' && *t->at != '\n')
        t->at++;
    if (t->at == t->end || *t->at != quote)
        return malformed(t, "a string does not end");
    *text = from;
    *len = (size_t)(t->at++ - from);
    return true;
}

static bool is_word_char(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '.';
}

static bool take_word(struct text *t, const char *word) {
    size_t len = strlen(word);
    skip_blanks(t);
    if ((size_t)(t->end - t->at) < len || memcmp(t->at, word, len) != 0)
        return false;
    if ((size_t)(t->end - t->at) > len && is_word_char(t->at[len]))
        return false;
    t->at += len;
    return true;
}

static bool read_bool(struct text *t, bool *value) {
    if (take_word(t, "True"))
        *value = true;
    else if (take_word(t, "False"))
        *value = false;
    else
        return malformed(t, "fortran_order is neither True nor False");
    return true;
}

/* Decimal; Python 2 has put an L behind. */
static bool read_size(struct text *t, size_t *size) {
    skip_blanks(t);
    const char *from = t->at;
    *size = 0;
    for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++)
        if (__builtin_mul_overflow(*size, 10, size) ||
            __builtin_add_overflow(*size, (size_t)(*t->at - '0'), size) || *size > PTRDIFF_MAX)
            return malformed(t, "a dimension is too large");
    if (t->at == from || (*from == '0' && t->at > from + 1))
        return malformed(t, "a dimension is no decimal number");
    if (t->at < t->end && *t->at == 'L')
        t->at++;
    if (t->at < t->end && is_word_char(*t->at))
        return malformed(t, "a dimension is no decimal number");
    return true;
}

/* (), (3,), (3, 4), (3, 4,): with one dimension the comma must be there. */
static bool read_shape(struct text *t, struct kernel_array *array) {
    if (!take(t, '('))
        return malformed(t, "shape is no tuple");
    bool comma = true;
    array->dims = 0;
    while (!take(t, ')')) {
        size_t size;
        if (!comma)
            return malformed(t, "shape is no tuple");
        if (!read_size(t, &size))
            return false;
        if (array->dims == KERNEL_DIMS_MAX) {
            buf_addf(t->error, "has more than %d dimensions", KERNEL_DIMS_MAX);
            return false;
        }
        array->shape[array->dims++] = size;
        comma = take(t, ',');
    }
    return array->dims != 1 || comma || malformed(t, "shape is no tuple");
}

static const char *type_word(char kind) {
    static const struct {
        char kind;
        const char *word;
    } words[] = {{'b', " (booleans)"}, {'c', " (complex)"}, {'u', " (unsigned)"},
                 {'S', " (text)"},     {'U', " (text)"},    {'O', " (Python objects)"},
                 {'M', " (dates)"},    {'m', " (times)"},   {'V', " (raw bytes)"},
                 {'a', " (text)"},     {'f', ""},           {'i', ""},
                 {'?', " (booleans)"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i].kind == kind)
            return words[i].word;
    return "";
}

/* '<f8': order, kind, size. The machine's own order is little-endian: kernels are built for it. */
static bool read_descr(struct text *t, struct npy *npy) {
    const char *descr;
    size_t len;
    if (peek(t) == '[') {
        buf_adds(t->error, "has records (a structured dtype); only f32, f64, i32 and i64 are read");
        return false;
    }
    if (!read_string(t, &descr, &len))
        return false;
    for (size_t i = 1; i < DTYPES && len == 3; i++)
        if (descr[1] == dtypes[i].kind && descr[2] == '0' + dtypes[i].bytes &&
            (descr[0] == '<' || descr[0] == '>' || descr[0] == '=')) {
            npy->array.dtype = (enum kernel_dtype)i;
            npy->big_endian = descr[0] == '>';
            return true;
        }
    buf_adds(t->error, "has the dtype '");
    for (size_t i = 0; i < len && i < 32; i++)
        buf_addc(t->error, descr[i] > ' ' && descr[i] < 127 ? descr[i] : '?');
    buf_addf(t->error, "'%s; only f32, f64, i32 and i64 are read: convert it with astype()",
             len > 1 ? type_word(descr[1]) : "");
    return false;
}

enum field { FIELD_DESCR, FIELD_FORTRAN, FIELD_SHAPE, FIELDS };
static const char *const field_names[FIELDS] = {"descr", "fortran_order", "shape"};

static bool read_field(struct text *t, enum field field, struct npy *npy) {
    switch (field) {
    case FIELD_DESCR:
        return read_descr(t, npy);
    case FIELD_FORTRAN:
        return read_bool(t, &npy->array.fortran);
    default:
        return read_shape(t, &npy->array);
    }
}

static enum field find_field(const char *name, size_t len) {
    enum field field = FIELD_DESCR;
    while (field < FIELDS &&
           (strlen(field_names[field]) != len || memcmp(field_names[field], name, len) != 0))
        field++;
    return field;
}

static bool read_dict(struct text *t, struct npy *npy) {
    unsigned seen = 0;
    bool comma = true;
    if (!take(t, '{'))
        return malformed(t, "it is no dictionary");
    while (!take(t, '}')) {
        const char *name;
        size_t len;
        if (!comma)
            return malformed(t, "a ',' is missing");
        if (!read_string(t, &name, &len))
            return false;
        enum field field = find_field(name, len);
        if (field == FIELDS)
            return malformed(t, "it has a key besides descr, fortran_order and shape");
        if (seen & 1u << field)
            return malformed(t, "it has a key twice");
        seen |= 1u << field;
        if (!take(t, ':'))
            return malformed(t, "a ':' is missing");
        if (!read_field(t, field, npy))
            return false;
        comma = take(t, ',');
    }
    if (peek(t) != '\0' || t->at != t->end)
        return malformed(t, "something follows the dictionary");
    return seen == (1u << FIELDS) - 1 || malformed(t, "descr, fortran_order or shape is missing");
}

/* Magic, version and length; *from and *header_len are the dictionary's. */
static bool read_preamble(const unsigned char *bytes, size_t len, size_t *from, size_t *header_len,
                          struct buf *error) {
    if (len < MAGIC_LEN + 2 || memcmp(bytes, MAGIC, MAGIC_LEN) != 0) {
        buf_adds(error, "is no .npy file");
        return false;
    }
    unsigned major = bytes[6], minor = bytes[7];
    if (major < 1 || major > 3 || minor != 0) {
        buf_addf(error, "is a .npy file of version %u.%u; versions 1.0 to 3.0 are read", major,
                 minor);
        return false;
    }
    size_t width = major == 1 ? 2 : 4;
    *from = MAGIC_LEN + 2 + width;
    *header_len = 0;
    for (size_t i = 0; i < width && len >= *from; i++)
        *header_len |= (size_t)bytes[MAGIC_LEN + 2 + i] << (8 * i);
    if (*header_len > NPY_HEADER_MAX) {
        buf_addf(error, "has a .npy header of %zu bytes; at most %u are read", *header_len,
                 NPY_HEADER_MAX);
        return false;
    }
    if (len < *from || len - *from < *header_len) {
        buf_adds(error, "ends within its .npy header");
        return false;
    }
    return true;
}

bool npy_parse(const void *bytes, size_t len, struct npy *npy, struct buf *error) {
    size_t from, header_len;
    *npy = (struct npy){.array = {.dtype = KERNEL_F64}};
    if (!read_preamble(bytes, len, &from, &header_len, error))
        return false;
    const char *dict = (const char *)bytes + from;
    struct text text = {dict, dict + header_len, error};
    npy->at = from + header_len;
    return read_dict(&text, npy) && measure(npy, error);
}

/* --- making ------------------------------------------------------------------------------------
 */

bool npy_make(const struct kernel_array *array, struct buf *header, struct npy *npy,
              struct buf *error) {
    *npy = (struct npy){.array = *array};
    npy->array.data = NULL;
    if (!is_dtype(array->dtype)) {
        buf_addf(error, "cannot be made: %d is no dtype", (int)array->dtype);
        return false;
    }
    if (array->dims > KERNEL_DIMS_MAX) {
        buf_addf(error, "cannot be made: %u dimensions are more than %d", array->dims,
                 KERNEL_DIMS_MAX);
        return false;
    }
    if (!measure(npy, error))
        return false;
    struct buf dict = BUF_INIT;
    buf_addf(&dict, "{'descr': '<%c%u', 'fortran_order': %s, 'shape': (", dtypes[array->dtype].kind,
             dtypes[array->dtype].bytes, array->fortran ? "True" : "False");
    for (unsigned i = 0; i < array->dims; i++)
        buf_addf(&dict, "%s%zu", i ? ", " : "", array->shape[i]);
    buf_addf(&dict, "%s), }", array->dims == 1 ? "," : "");
    while ((MAGIC_LEN + 4 + dict.len + 1) % NPY_ALIGN)
        buf_addc(&dict, ' ');
    buf_addc(&dict, '\n');
    size_t start = header->len;
    buf_add(header, MAGIC "\1\0", MAGIC_LEN + 2);
    buf_addc(header, (char)(dict.len & 255));
    buf_addc(header, (char)(dict.len >> 8));
    buf_add(header, dict.data, dict.len);
    npy->at = header->len - start;
    buf_free(&dict);
    return true;
}

void npy_swap(void *elements, size_t count, size_t size) {
    if (size == 4) {
        uint32_t *words = elements;
        for (size_t i = 0; i < count; i++)
            words[i] = bswap_32(words[i]);
    } else {
        uint64_t *words = elements;
        for (size_t i = 0; i < count; i++)
            words[i] = bswap_64(words[i]);
    }
}
