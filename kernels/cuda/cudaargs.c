#include "kernels/cuda/cudaargs.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- numbers -----------------------------------------------------------------------------------
 */

static const struct number {
    const char *name;
    size_t bytes;
    bool is_float, is_signed;
    enum kernel_dtype dtype; /* 0: no array of a file has it */
} numbers[] = {{"i8", 1, false, true, 0},           {"u8", 1, false, false, 0},
               {"i16", 2, false, true, 0},          {"u16", 2, false, false, 0},
               {"i32", 4, false, true, KERNEL_I32}, {"u32", 4, false, false, 0},
               {"i64", 8, false, true, KERNEL_I64}, {"u64", 8, false, false, 0},
               {"f32", 4, true, true, KERNEL_F32},  {"f64", 8, true, true, KERNEL_F64}};

static const struct number *find_number(const char *name, size_t len) {
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strlen(numbers[i].name) == len && memcmp(numbers[i].name, name, len) == 0)
            return &numbers[i];
    return NULL;
}

/* Too large is wrong, too small is zero; "inf" and "nan" are what they are. */
static bool read_float(const char *text, struct cudaarg *arg) {
    char *end;
    errno = 0;
    double wide = strtod(text, &end);
    if (end == text || *end || (errno == ERANGE && (wide > 1 || wide < -1)))
        return false;
    if (arg->value_bytes == sizeof wide) {
        memcpy(arg->value, &wide, sizeof wide);
        return true;
    }
    errno = 0;
    float narrow = strtof(text, NULL);
    if (errno == ERANGE && (narrow > 1 || narrow < -1))
        return false;
    memcpy(arg->value, &narrow, sizeof narrow);
    return true;
}

static bool read_integer(const char *text, const struct number *number, struct cudaarg *arg) {
    bool minus = *text == '-';
    const char *digits = text + minus;
    char *end;
    if (!isdigit((unsigned char)*digits))
        return false;
    bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    errno = 0;
    unsigned long long magnitude = strtoull(digits, &end, hex ? 16 : 10);
    unsigned bits = 8 * (unsigned)number->bytes;
    unsigned long long top = UINT64_C(1) << (bits - 1); /* the sign's place */
    unsigned long long most = !number->is_signed ? top - 1 + top : minus ? top : top - 1;
    if (*end || errno || magnitude > most || (minus && !number->is_signed && magnitude))
        return false;
    uint64_t value = minus ? 0 - magnitude : magnitude;
    uint8_t u8 = (uint8_t)value;
    uint16_t u16 = (uint16_t)value;
    uint32_t u32 = (uint32_t)value;
    const void *as = number->bytes == 1   ? (const void *)&u8
                     : number->bytes == 2 ? (const void *)&u16
                     : number->bytes == 4 ? (const void *)&u32
                                          : (const void *)&value;
    memcpy(arg->value, as, number->bytes);
    return true;
}

/* --- words -------------------------------------------------------------------------------------
 */

#define FORMS                                                                                      \
    "in:NAME, out:NAME:TYPE:SHAPE, inout:NAME, inout:NAME->NAME, tmp:TYPE:SHAPE or TYPE:VALUE"

static bool wrong(const struct cudaarg *arg, const char *text, struct cuda_why *why) {
    return cuda_fail(why, "args: '%.200s': %s", arg->word, text);
}

/* "1024x768"; sets dims, shape and bytes. */
static bool read_shape(const char *text, size_t element, struct cudaarg *arg,
                       struct cuda_why *why) {
    uint64_t bytes = element;
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        unsigned long long size = strtoull(at, &end, 10);
        if (!isdigit((unsigned char)*at) || errno || (*end && *end != 'x'))
            return wrong(arg, "the shape is numbers with an x between them: 1024 or 1024x768", why);
        if (arg->array.dims == KERNEL_DIMS_MAX)
            return wrong(arg, "more than 8 dimensions", why);
        if (__builtin_mul_overflow(bytes, (uint64_t)size, &bytes) || bytes > INT64_MAX)
            return wrong(arg, "more bytes than can be counted", why);
        arg->array.shape[arg->array.dims++] = size;
        at = end;
        if (!*end)
            break;
    }
    arg->bytes = bytes;
    return true;
}

/* ":TYPE:SHAPE" at the end of a text that may have more colons before; cuts it off. */
static bool read_type_and_shape(char *text, struct cudaarg *arg, struct cuda_why *why) {
    bool file = arg->kind == CUDAARG_OUT;
    const char *form = file ? "it has to be out:NAME:TYPE:SHAPE, as out:c.npy:f32:1024x1024"
                            : "it has to be tmp:TYPE:SHAPE, as tmp:f32:1024x1024";
    char *shape = strrchr(text, ':');
    if (!shape)
        return wrong(arg, form, why);
    *shape++ = '\0';
    char *type = strrchr(text, ':');
    if (file ? !type || type == text : type != NULL)
        return wrong(arg, form, why);
    if (file)
        *type++ = '\0';
    else
        type = text;
    const struct number *number = find_number(type, strlen(type));
    if (!number || (file && !number->dtype))
        return wrong(arg,
                     file ? "the type of an array is f32, f64, i32 or i64"
                          : "the type is one of i8 u8 i16 u16 i32 u32 i64 u64 f32 f64",
                     why);
    arg->array.dtype = number->dtype;
    arg->type = number->name;
    return read_shape(shape, number->bytes, arg, why);
}

static bool read_inout(char *text, struct cudaarg *arg, struct cuda_why *why) {
    char *arrow = strstr(text, "->");
    arg->read = arg->write = text;
    if (arrow) {
        *arrow = '\0';
        arg->write = arrow + 2;
    }
    return (*arg->read && *arg->write) || wrong(arg, "a name is missing", why);
}

static bool read_word(char *word, struct cudaarg *arg, struct cuda_why *why) {
    static const char *const kinds[] = {[CUDAARG_IN] = "in",
                                        [CUDAARG_OUT] = "out",
                                        [CUDAARG_INOUT] = "inout",
                                        [CUDAARG_TMP] = "tmp"};
    char *rest = strchr(word, ':');
    size_t len = rest ? (size_t)(rest - word) : 0;
    if (!rest)
        return wrong(arg, "an argument is " FORMS, why);
    rest++;
    for (int kind = CUDAARG_IN; kind <= CUDAARG_TMP; kind++) {
        if (strlen(kinds[kind]) != len || memcmp(kinds[kind], word, len) != 0)
            continue;
        arg->kind = (enum cudaarg_kind)kind;
        if (kind == CUDAARG_INOUT)
            return read_inout(rest, arg, why);
        if (kind == CUDAARG_IN)
            return *(arg->read = rest) || wrong(arg, "a name is missing", why);
        arg->write = kind == CUDAARG_OUT ? rest : NULL;
        return read_type_and_shape(rest, arg, why);
    }
    const struct number *number = find_number(word, len);
    if (!number)
        return wrong(arg, "an argument is " FORMS, why);
    arg->kind = CUDAARG_VALUE;
    arg->type = number->name;
    arg->value_bytes = number->bytes;
    arg->is_float = number->is_float;
    if (number->is_float ? read_float(rest, arg) : read_integer(rest, number, arg))
        return true;
    return wrong(arg,
                 number->is_float ? "the value is no number of this type"
                                  : "the value is no integer, or outside of this type",
                 why);
}

static size_t next_word(const char **at, const char **word) {
    *at += strspn(*at, " \t\n");
    size_t len = strcspn(*at, " \t\n");
    *word = *at;
    *at += len;
    return len;
}

/* Two copies of the text: the words as they were, and one that is cut to pieces. */
bool cudaargs_parse(const char *text, struct cudaargs *args, struct cuda_why *why) {
    size_t len = strlen(text), bytes;
    const char *at = text, *word;
    memset(args, 0, sizeof *args);
    char *words = args->text = calloc(2, len + 2);
    if (!words)
        return cuda_fail(why, "out of memory");
    char *pieces = words + len + 2;
    while ((bytes = next_word(&at, &word)) > 0) {
        if (args->count == CUDAARGS_MAX)
            return cuda_fail(why, "args: more than %d", CUDAARGS_MAX);
        struct cudaarg *arg = &args->arg[args->count++];
        memcpy(words, word, bytes);
        memcpy(pieces, word, bytes);
        arg->word = words;
        if (!read_word(pieces, arg, why))
            return false;
        words += bytes + 1;
        pieces += bytes + 1;
    }
    return true;
}

void cudaargs_free(struct cudaargs *args) {
    free(args->text);
    args->text = NULL;
    args->count = 0;
}

/* --- do they fit -------------------------------------------------------------------------------
 */

static bool fits(const struct cudaarg *arg, const struct ptx_param *param) {
    if (arg->kind != CUDAARG_VALUE)
        return param->kind == PTX_INTEGER && param->bytes == sizeof(cu_ptr);
    bool is_float = param->kind == PTX_FLOAT;
    return param->kind != PTX_BYTES && param->bytes == arg->value_bytes &&
           is_float == arg->is_float;
}

static void signature(const struct ptx_param *params, size_t count, char *text, size_t size) {
    size_t used = 0;
    *text = '\0';
    for (size_t i = 0; i < count && used + 16 < size; i++) {
        char one[32];
        ptx_param_text(&params[i], one, sizeof one);
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", one);
    }
}

bool cudaargs_fit(const struct cudaargs *args, const char *kernel, const struct ptx_param *params,
                  size_t count, struct cuda_why *why) {
    char takes[512], one[32];
    signature(params, count, takes, sizeof takes);
    if (args->count != count)
        return cuda_fail(why, "args gives %zu, and %s takes %zu (%s)", args->count, kernel, count,
                         takes);
    for (size_t i = 0; i < count; i++) {
        if (fits(&args->arg[i], &params[i]))
            continue;
        ptx_param_text(&params[i], one, sizeof one);
        return cuda_fail(why, "args: '%.200s' is number %zu of %s, which is %s%s (it takes %s)",
                         args->arg[i].word, i + 1, kernel,
                         params[i].kind == PTX_BYTES ? "a struct of " : "", one, takes);
    }
    return true;
}

/* --- grid and block ----------------------------------------------------------------------------
 */

static bool read_three(const char *text, const unsigned *most, unsigned *out) {
    for (int i = 0; i < 3; i++)
        out[i] = 1;
    for (int i = 0; i < 3; i++) {
        char *end;
        errno = 0;
        unsigned long long value = strtoull(text, &end, 10);
        if (!isdigit((unsigned char)*text) || errno || value < 1 || value > most[i])
            return false;
        out[i] = (unsigned)value;
        if (!*end)
            return true;
        if (*end != ',')
            return false;
        text = end + 1;
    }
    return false;
}

bool cudadims_parse(const char *grid, const char *block, struct cudadims *dims,
                    struct cuda_why *why) {
    static const unsigned grid_most[3] = {2147483647, 65535, 65535},
                          block_most[3] = {1024, 1024, 64};
    if (!read_three(grid, grid_most, dims->grid))
        return cuda_fail(
            why, "grid=%.100s: blocks are X, X,Y or X,Y,Z, of 1 to 2147483647, 65535, 65535", grid);
    if (!read_three(block, block_most, dims->block))
        return cuda_fail(why, "block=%.100s: threads are X, X,Y or X,Y,Z, of 1 to 1024, 1024, 64",
                         block);
    unsigned threads = dims->block[0] * dims->block[1] * dims->block[2];
    if (threads > 1024)
        return cuda_fail(why, "block=%.100s: %u threads, and a block has at most 1024", block,
                         threads);
    return true;
}
