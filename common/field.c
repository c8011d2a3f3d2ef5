#include "common/field.h"

#include <string.h>

#include "common/native.h"
#include "common/units.h"
#include "common/words.h"

static bool field_bad(const char *what, const char *s, size_t len, const char *expected,
                      struct buf *error) {
    buf_addf(error, "%s ", what);
    words_add_shown(error, s, len);
    buf_addf(error, ", expected %s", expected);
    return false;
}

bool field_type(const char *s, size_t len, enum task_type *type, struct buf *error) {
    return task_type_parse(s, len, type) ||
           field_bad("unknown type", s, len, "shell, python or native", error);
}

bool field_priority(const char *s, size_t len, uint32_t *priority, struct buf *error) {
    const char *expected;
    uint64_t value;
    if (!units_parse_uint(s, len, 0, TASK_PRIORITY_MAX, &value, &expected))
        return field_bad("priority", s, len, "a whole number from 0 to 1000000", error);
    *priority = (uint32_t)value;
    return true;
}

bool field_min_dram(const char *s, size_t len, uint64_t *mem_bytes, struct buf *error) {
    const char *expected;
    if (len == 1 && *s >= '0' && *s <= '9') { /* the usual case */
        *mem_bytes = (uint64_t)(*s - '0') * UNITS_GIB;
        return true;
    }
    if (len == 4 && memcmp(s, "auto", 4) == 0) {
        *mem_bytes = TASK_MEM_AUTO;
        return true;
    }
    uint64_t value;
    if (!units_parse_bytes(s, len, UNITS_GIB, &value, &expected))
        return field_bad("min_dram", s, len,
                         "auto, or a size in GiB, or with a unit, as 2, 1.5GiB or 512M", error);
    if (value > TASK_MEM_MAX)
        return field_bad("min_dram", s, len, "at most 128 TiB", error);
    *mem_bytes = value;
    return true;
}

bool field_min_cpu(const char *s, size_t len, uint32_t *mcpu, struct buf *error) {
    const char *expected;
    uint32_t value;
    if (!units_parse_milli(s, len, &value, &expected))
        return field_bad("min_cpu", s, len,
                         "a number of cores with at most 3 decimals, as 2 or 0.5", error);
    if (value > TASK_MCPU_MAX)
        return field_bad("min_cpu", s, len, "at most 1000000 cores", error);
    *mcpu = value;
    return true;
}

bool field_name(const char *what, const char *s, size_t len, struct buf *error) {
    if (len == 0) {
        buf_addf(error, "empty %s, expected 1 to 255 bytes", what);
        return false;
    }
    if (len > TASK_NAME_MAX) {
        buf_addf(error, "%s of %zu bytes, expected at most 255", what, len);
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c <= ' ' || c == 0x7f || c == ',')
            return field_bad(what, s, len, "no blanks, commas or control characters", error);
        if (c == '/' && (i == 0 || i + 1 == len || s[i - 1] == '/'))
            return field_bad(what, s, len, "'/' only between the parts, as in sweep/lru", error);
    }
    return true;
}

static bool has_quoting(const char *s, size_t len) {
    return memchr(s, '\'', len) || memchr(s, '"', len) || memchr(s, '\\', len);
}

static bool params_split(const char *s, size_t len, size_t *offset, struct buf *error) {
    struct words words = WORDS_INIT;
    bool good = words_split(s, len, &words, offset, error);
    words_free(&words);
    return good;
}

bool field_params(enum task_type type, const char *s, size_t len, size_t *offset,
                  struct buf *error) {
    *offset = 0;
    size_t blanks = 0;
    while (blanks < len && (s[blanks] == ' ' || s[blanks] == '\t'))
        blanks++;
    if (blanks == len) {
        buf_adds(error, "empty params, expected a command");
        return false;
    }
    if (len > TASK_PARAMS_MAX) {
        *offset = TASK_PARAMS_MAX;
        buf_addf(error, "params of %zu bytes, expected at most %u", len, TASK_PARAMS_MAX);
        return false;
    }
    const char *bad = memchr(s, '\0', len);
    if (bad) {
        *offset = (size_t)(bad - s);
        buf_adds(error, "a NUL byte in params, expected text");
        return false;
    }
    bad = memchr(s, '\n', len);
    if (bad) {
        *offset = (size_t)(bad - s);
        buf_adds(error, "a newline in params, expected one line (use ';', or a script file)");
        return false;
    }
    const char *name;
    size_t name_len;
    if (type == TASK_NATIVE && !native_name(s, len, &name, &name_len)) {
        *offset = blanks;
        return field_bad("kernel", name, name_len,
                         "its name: letters, digits, '_' and '-', a letter first, at most 32 bytes",
                         error);
    }
    return type == TASK_SHELL || !has_quoting(s, len) || params_split(s, len, offset, error);
}
