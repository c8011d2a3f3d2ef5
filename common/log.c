#include "common/log.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

static struct {
    int fd;
    enum log_level least;
    bool json;
    bool chosen; /* log_setup was called */
    char base_key[32];
    char base_text[256];
} logger = {.fd = STDERR_FILENO, .least = LOG_INFO};

/* A line under way. LINE_TAIL bytes are kept back for what must close it. */
struct line {
    char bytes[LOG_LINE_MAX];
    size_t len;
    bool full; /* something was cut: nothing is added any more but the end */
};
#define LINE_TAIL 16

const char *log_level_name(enum log_level level) {
    static const char *const names[] = {
#define X(symbol, name) name,
        LOG_LEVELS(X)
#undef X
    };
    return (unsigned)level < LOG_LEVEL_COUNT ? names[level] : "unknown";
}

struct log_field kv_text(const char *key, const char *text) {
    return kv_bytes(key, text, text != NULL ? strlen(text) : 0);
}
struct log_field kv_bytes(const char *key, const char *bytes, size_t len) {
    return (struct log_field){LOG_KIND_TEXT, key, {.text = {bytes, len}}};
}
struct log_field kv_int(const char *key, int64_t value) {
    return (struct log_field){LOG_KIND_INT, key, {.integer = value}};
}
struct log_field kv_uint(const char *key, uint64_t value) {
    return (struct log_field){LOG_KIND_UINT, key, {.natural = value}};
}
struct log_field kv_real(const char *key, double value) {
    return (struct log_field){LOG_KIND_REAL, key, {.real = value}};
}
struct log_field kv_bool(const char *key, bool value) {
    return (struct log_field){LOG_KIND_BOOL, key, {.truth = value}};
}

void log_setup(int fd, enum log_level least, enum log_format format) {
    logger.fd = fd;
    logger.least = least;
    logger.json = format == LOG_JSON || (format == LOG_AUTO && isatty(fd) != 1);
    logger.chosen = true;
}

bool log_on(enum log_level level) {
    return level >= logger.least;
}

void log_base(const char *key, const char *text) {
    snprintf(logger.base_key, sizeof logger.base_key, "%s", key != NULL && text != NULL ? key : "");
    snprintf(logger.base_text, sizeof logger.base_text, "%s", text != NULL ? text : "");
}

/* line_close may have used some of the tail already. */
static size_t line_room(const struct line *line) {
    size_t most = sizeof line->bytes - LINE_TAIL;
    return line->len < most ? most - line->len : 0;
}

/* Adds all of it or, when it does not fit, nothing and marks the line full. */
static bool line_add(struct line *line, const char *bytes, size_t len) {
    if (line->full || len > line_room(line)) {
        line->full = true;
        return false;
    }
    memcpy(line->bytes + line->len, bytes, len);
    line->len += len;
    return true;
}

static bool line_adds(struct line *line, const char *text) {
    return line_add(line, text, strlen(text));
}

/* For what closes a line: LINE_TAIL bytes were kept for it. */
static void line_close(struct line *line, const char *text) {
    size_t len = strlen(text);
    memcpy(line->bytes + line->len, text, len);
    line->len += len;
}

/* Length of the valid UTF-8 sequence at `at`, or 0: no overlong forms, surrogates or numbers past
 * U+10FFFF. */
static size_t utf8_len(const unsigned char *at, size_t left) {
    if (at[0] < 0x80) {
        return 1;
    }
    size_t len = at[0] >= 0xc2 && at[0] <= 0xdf   ? 2
                 : at[0] >= 0xe0 && at[0] <= 0xef ? 3
                 : at[0] >= 0xf0 && at[0] <= 0xf4 ? 4
                                                  : 0;
    if (len == 0 || len > left) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f)) {
        return 0;
    }
    return len;
}

/* One character, escaped as JSON wants it inside quotes; also what a terminal should not be sent.
 */
static bool line_add_escaped(struct line *line, const char *at, size_t len) {
    if (len == 0) {
        return line_adds(line, "\xef\xbf\xbd");
    }
    unsigned char c = (unsigned char)*at;
    char text[8];
    if (len == 1 && (c == '"' || c == '\\')) {
        snprintf(text, sizeof text, "\\%c", c);
    } else if (c == '\n') {
        snprintf(text, sizeof text, "\\n");
    } else if (c == '\t') {
        snprintf(text, sizeof text, "\\t");
    } else if (c < 0x20 || c == 0x7f) {
        snprintf(text, sizeof text, "\\u%04x", c);
    } else {
        return line_add(line, at, len);
    }
    return line_adds(line, text);
}

static void line_add_quoted(struct line *line, const char *bytes, size_t len) {
    if (!line_adds(line, "\"")) {
        return;
    }
    const unsigned char *at = (const unsigned char *)bytes;
    for (size_t i = 0; i < len && !line->full;) {
        size_t step = utf8_len(at + i, len - i);
        line_add_escaped(line, bytes + i, step);
        i += step > 0 ? step : 1;
    }
    line_close(line, line->full ? "...\"" : "\"");
}

/* Text format only: a word needs no quotes. */
static bool is_word(const char *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=') {
            return false;
        }
    }
    return len > 0;
}

static void line_add_value(struct line *line, const struct log_field *field) {
    char number[40];
    switch (field->kind) {
    case LOG_KIND_TEXT:
        if (field->value.text.bytes == NULL) {
            line_adds(line, "null");
        } else if (!logger.json && is_word(field->value.text.bytes, field->value.text.len) &&
                   field->value.text.len < 256) {
            line_add(line, field->value.text.bytes, field->value.text.len);
        } else {
            line_add_quoted(line, field->value.text.bytes, field->value.text.len);
        }
        return;
    case LOG_KIND_INT:
        snprintf(number, sizeof number, "%lld", (long long)field->value.integer);
        break;
    case LOG_KIND_UINT:
        snprintf(number, sizeof number, "%llu", (unsigned long long)field->value.natural);
        break;
    case LOG_KIND_REAL:
        if (!isfinite(field->value.real)) {
            line_adds(line, "null");
            return;
        }
        snprintf(number, sizeof number, "%.6g", field->value.real);
        break;
    case LOG_KIND_BOOL:
        snprintf(number, sizeof number, "%s", field->value.truth ? "true" : "false");
        break;
    case LOG_KIND_END:
        return;
    }
    line_adds(line, number);
}

/* A field is added with its key or, when not even the key and a little of the value fit, not at
 * all. */
static void line_add_field(struct line *line, const struct log_field *field) {
    size_t key_len = strlen(field->key);
    if (line->full || key_len + 64 > line_room(line)) {
        line->full = true;
        return;
    }
    line_adds(line, logger.json ? ",\"" : " ");
    line_add(line, field->key, key_len);
    line_adds(line, logger.json ? "\":" : "=");
    line_add_value(line, field);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields) {
    if (!logger.chosen) {
        log_setup(STDERR_FILENO, LOG_INFO, LOG_AUTO);
    }
    if (!log_on(level)) {
        return;
    }
    int saved_errno = errno;
    struct line line;
    line.len = 0;
    line.full = false;
    char time[WALL_TEXT_SIZE];
    wall_text(wall_now(), time);
    char start[256];
    snprintf(start, sizeof start,
             logger.json ? "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"" : "%s %-5s %s",
             time, log_level_name(level), event);
    line_adds(&line, start);
    if (logger.base_key[0] != '\0') {
        struct log_field base = kv_text(logger.base_key, logger.base_text);
        line_add_field(&line, &base);
    }
    for (; fields->kind != LOG_KIND_END; fields++) {
        line_add_field(&line, fields);
    }
    line_close(&line, logger.json ? "}\n" : "\n");
    while (write(logger.fd, line.bytes, line.len) < 0 && errno == EINTR) {
    }
    errno = saved_errno;
}
