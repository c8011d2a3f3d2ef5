/*
 * log.h - one line an event, as JSON or as text for a terminal.
 *
 *     log_event(LOG_INFO, "task_started", kv_text("task", id), kv_uint("try", token.number));
 *
 * prints, by one write(2):
 *     {"time":"2026-01-31T12:00:00.000Z","level":"info","event":"task_started","worker":"n1","task":"…","try":1}
 *     2026-01-31T12:00:00.000Z info  task_started worker=n1 task=… try=1
 *
 * A line is at most LOG_LINE_MAX bytes: a text that does not fit is cut and ends in "...", fields
 * after that are dropped. Bytes that are not UTF-8 become U+FFFD. No heap is used, so the
 * supervisor may log. A line that cannot be written is lost; logging never fails and never blocks
 * on anything but the descriptor. Lines of several threads do not mix; log_setup and log_base are
 * for the main thread, before others start.
 */
#ifndef DISTCOMP_LOG_H
#define DISTCOMP_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LINE_MAX 8192

/* X(symbol, name), least urgent first. */
#define LOG_LEVELS(X)                                                                              \
    X(DEBUG, "debug")                                                                              \
    X(INFO, "info")                                                                                \
    X(WARN, "warn")                                                                                \
    X(ERROR, "error")

enum log_level {
#define X(symbol, name) LOG_##symbol,
    LOG_LEVELS(X)
#undef X
        LOG_LEVEL_COUNT
};
const char *log_level_name(enum log_level level);

/* LOG_AUTO is text when the descriptor is a terminal, else JSON. */
enum log_format { LOG_AUTO, LOG_JSON, LOG_PLAIN };

enum log_kind {
    LOG_KIND_END,
    LOG_KIND_TEXT,
    LOG_KIND_INT,
    LOG_KIND_UINT,
    LOG_KIND_REAL,
    LOG_KIND_BOOL
};

struct log_field {
    enum log_kind kind;
    const char *key; /* a plain word: it is not escaped */
    union {
        struct {
            const char *bytes; /* borrowed for the call; NULL is printed as null */
            size_t len;
        } text;
        int64_t integer;
        uint64_t natural;
        double real;
        bool truth;
    } value;
};

struct log_field kv_text(const char *key, const char *text);
struct log_field kv_bytes(const char *key, const char *bytes, size_t len);
struct log_field kv_int(const char *key, int64_t value);
struct log_field kv_uint(const char *key, uint64_t value);
struct log_field kv_real(const char *key, double value);
struct log_field kv_bool(const char *key, bool value);

/* Where lines go (default: 2, info, auto). */
void log_setup(int fd, enum log_level least, enum log_format format);
/* Whether events of this level are written: for work that only a log line needs. */
bool log_on(enum log_level level);
/* A text field put after "event" in every line (the worker's name); copied, cut at 255 bytes. NULL:
 * none. */
void log_base(const char *key, const char *text);

/* log_event(level, event, field...): fields are made by the kv_ functions; there may be none. */
#define log_event(level, ...) log_write((level), LOG_ARGUMENTS(__VA_ARGS__, LOG_NO_FIELD))
#define LOG_NO_FIELD          ((struct log_field){.kind = LOG_KIND_END})
#define LOG_ARGUMENTS(event, ...)                                                                  \
    (event), (const struct log_field[]) {                                                          \
        __VA_ARGS__                                                                                \
    }
void log_write(enum log_level level, const char *event, const struct log_field *fields);

#endif
