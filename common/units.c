#include "common/units.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#define NANO     UINT64_C(1000000000)
#define MS_LIMIT (UINT64_C(1) << 53)

/* A non-negative decimal number: whole + nano / 10^9, the fraction rounded up. */
struct decimal {
    uint64_t whole;
    uint64_t nano;
};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Reads digits[.digits] or .digits at *s, moves *s behind it. False: no number, or too large. */
static bool decimal_read(const char **s, const char *end, struct decimal *d) {
    const char *at = *s;
    *d = (struct decimal){0, 0};
    bool any = false;
    for (; at < end && is_digit(*at); at++, any = true)
        if (__builtin_mul_overflow(d->whole, 10, &d->whole) ||
            __builtin_add_overflow(d->whole, (uint64_t)(*at - '0'), &d->whole))
            return false;
    if (at < end && *at == '.') {
        if (++at == end || !is_digit(*at))
            return false;
        uint64_t place = NANO / 10;
        bool lost = false;
        for (; at < end && is_digit(*at); at++, place /= 10, any = true) {
            d->nano += place * (uint64_t)(*at - '0');
            lost = lost || (!place && *at != '0');
        }
        if (lost && ++d->nano == NANO) {
            d->nano = 0;
            if (++d->whole == 0)
                return false;
        }
    }
    *s = at;
    return any;
}

/* d * unit, rounded up; false when it exceeds 64 bits. unit is at most 2^53. */
static bool decimal_scale(struct decimal d, uint64_t unit, uint64_t *result) {
    /* nano * unit / NANO in two steps that fit 64 bits: unit = high * NANO + low */
    uint64_t part = d.nano * (unit / NANO) + (d.nano * (unit % NANO) + NANO - 1) / NANO;
    uint64_t whole;
    return !__builtin_mul_overflow(d.whole, unit, &whole) &&
           !__builtin_add_overflow(whole, part, result);
}

struct unit {
    const char *name;
    uint64_t value;
};

static const struct unit size_units[] = {
    {"b", 1},
    {"k", UINT64_C(1) << 10},
    {"m", UINT64_C(1) << 20},
    {"g", UINT64_C(1) << 30},
    {"t", UINT64_C(1) << 40},
    {"p", UINT64_C(1) << 50},
};

/* K, KB, KiB and so on; 0 when it is none of them. */
static uint64_t size_unit(const char *s, size_t len) {
    for (size_t i = 0; i < sizeof size_units / sizeof size_units[0]; i++) {
        if (strncasecmp(s, size_units[i].name, 1) != 0)
            continue;
        bool plain = len == 1;
        bool with_b = i > 0 && len == 2 && strncasecmp(s + 1, "b", 1) == 0;
        bool with_ib = i > 0 && len == 3 && strncasecmp(s + 1, "ib", 2) == 0;
        return plain || with_b || with_ib ? size_units[i].value : 0;
    }
    return 0;
}

bool units_parse_bytes(const char *s, size_t len, uint64_t bare_unit, uint64_t *bytes,
                       const char **expected) {
    const char *end = s + len;
    struct decimal d;
    uint64_t unit = bare_unit;
    *expected = bare_unit == UNITS_GIB ? "a size in GiB, or with a unit, as 2, 1.5GiB or 512M"
                                       : "a size, as 512M or 1.5GiB";
    if (!decimal_read(&s, end, &d))
        return false;
    if (s < end) {
        if (*s == ' ')
            s++;
        unit = s < end ? size_unit(s, (size_t)(end - s)) : 0;
    }
    return unit && decimal_scale(d, unit, bytes);
}

bool units_parse_milli(const char *s, size_t len, uint32_t *milli, const char **expected) {
    const char *end = s + len;
    struct decimal d;
    uint64_t value;
    *expected = "a number with at most 3 decimals, as 2 or 0.5";
    if (!decimal_read(&s, end, &d) || s < end || d.nano % (NANO / 1000) ||
        !decimal_scale(d, 1000, &value) || value > UINT32_MAX)
        return false;
    *milli = (uint32_t)value;
    return true;
}

static const struct unit time_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};
#define TIME_UNIT_COUNT (sizeof time_units / sizeof time_units[0])

/* The index of the time unit that is s[0..len), from `first` on; TIME_UNIT_COUNT when none. */
static size_t time_unit(const char *s, size_t len, size_t first) {
    size_t i = first;
    while (i < TIME_UNIT_COUNT &&
           !(strlen(time_units[i].name) == len && strncasecmp(s, time_units[i].name, len) == 0))
        i++;
    return i;
}

bool units_parse_ms(const char *s, size_t len, uint64_t *ms, const char **expected) {
    const char *end = s + len;
    uint64_t total = 0, part;
    struct decimal d;
    *expected = "a duration, as 30 (seconds), 500ms, 5m or 1h30m";
    for (size_t next = 0, first = 1; first || s < end; first = 0) {
        if (!decimal_read(&s, end, &d))
            return false;
        const char *name = s;
        while (s < end && !is_digit(*s) && *s != '.')
            s++;
        uint64_t value = 1000;
        if (s > name || !first) {
            size_t unit = time_unit(name, (size_t)(s - name), next);
            if (unit == TIME_UNIT_COUNT)
                return false;
            value = time_units[unit].value;
            next = unit + 1;
        }
        if (!decimal_scale(d, value, &part) || __builtin_add_overflow(total, part, &total))
            return false;
    }
    if (total > MS_LIMIT)
        return false;
    *ms = total;
    return true;
}

bool units_parse_bool(const char *s, size_t len, bool *value, const char **expected) {
    static const struct {
        const char *word;
        bool value;
    } words[] = {
        {"y", true},  {"yes", true}, {"t", true},  {"true", true},   {"on", true},   {"1", true},
        {"n", false}, {"no", false}, {"f", false}, {"false", false}, {"off", false}, {"0", false},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strlen(words[i].word) == len && strncasecmp(s, words[i].word, len) == 0) {
            *value = words[i].value;
            return true;
        }
    }
    *expected = "true or false (also yes/no, on/off, 1/0)";
    return false;
}

bool units_parse_uint(const char *s, size_t len, uint64_t min, uint64_t max, uint64_t *value,
                      const char **expected) {
    uint64_t number = 0;
    *expected = "a whole number, digits only";
    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_digit(s[i]) || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(s[i] - '0'), &number))
            return false;
    if (number < min || number > max)
        return false;
    *value = number;
    return true;
}

void units_add_bytes(struct buf *out, uint64_t bytes) {
    static const char prefixes[] = "KMGTPE";
    if (bytes < 1024) {
        buf_addf(out, "%" PRIu64 " B", bytes);
        return;
    }
    unsigned power = 0; /* bytes is shown in units of 1024^(power+1) */
    while (power < 5 && bytes >> (10 * (power + 2)))
        power++;
    unsigned shift = 10 * (power + 1);
    uint64_t whole = bytes >> shift;
    uint64_t rest = (bytes & ((UINT64_C(1) << shift) - 1)) >> (shift - 10); /* of 1024 */
    uint64_t tenths = whole * 10 + (rest * 10 + 512) / 1024;
    if (tenths == 10240 && power < 5) {
        tenths = 10;
        power++;
    }
    buf_addf(out, "%" PRIu64 ".%" PRIu64 " %ciB", tenths / 10, tenths % 10, prefixes[power]);
}

void units_add_ms(struct buf *out, uint64_t ms) {
    uint64_t s = ms / 1000;
    if (ms > 0 && ms < 1000)
        buf_addf(out, "%" PRIu64 "ms", ms);
    else if (ms == 0)
        buf_adds(out, "0s");
    else if (s < 10)
        buf_addf(out, "%" PRIu64 ".%" PRIu64 "s", s, ms % 1000 / 100);
    else if (s < 60)
        buf_addf(out, "%" PRIu64 "s", s);
    else if (s < 3600)
        buf_addf(out, "%" PRIu64 "m%" PRIu64 "s", s / 60, s % 60);
    else if (s < 86400)
        buf_addf(out, "%" PRIu64 "h%" PRIu64 "m", s / 3600, s % 3600 / 60);
    else
        buf_addf(out, "%" PRIu64 "d%" PRIu64 "h", s / 86400, s % 86400 / 3600);
}

void units_add_milli(struct buf *out, uint64_t milli) {
    buf_addf(out, "%" PRIu64, milli / 1000);
    if (milli % 1000) {
        buf_addf(out, ".%03" PRIu64, milli % 1000);
        while (out->data[out->len - 1] == '0')
            out->data[--out->len] = '\0';
    }
}
