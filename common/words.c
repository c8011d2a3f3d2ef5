#include "common/words.h"

#include <stdlib.h>
#include <string.h>

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n';
}

static void words_begin(struct words *w, size_t start) {
    if (w->count == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 8;
        w->list = xrealloc(w->list, w->cap * sizeof *w->list);
        w->argv = xrealloc(w->argv, (w->cap + 1) * sizeof *w->argv);
    }
    w->list[w->count++] = (struct word){start, start, w->text.len, 0};
}

static void words_end(struct words *w, size_t end) {
    struct word *word = &w->list[w->count - 1];
    word->end = end;
    word->len = w->text.len - word->at;
    buf_addc(&w->text, '\0');
}

static size_t words_fail(struct words *w, const char *text, size_t culprit, size_t *offset,
                         struct buf *error) {
    w->count = 0;
    *offset = culprit;
    buf_adds(error, text);
    return 0;
}

/* Reads one word that starts at `at`; returns where it ends, or 0 after an error. */
static size_t words_one(const char *s, size_t len, size_t at, struct words *w, size_t *offset,
                        struct buf *error) {
    char quote = '\0';
    size_t opened = 0;
    for (; at < len && (quote || !is_space(s[at])); at++) {
        char c = s[at];
        if (quote && c == quote) {
            quote = '\0';
        } else if (!quote && (c == '\'' || c == '"')) {
            quote = c;
            opened = at;
        } else if (c == '\\' && quote != '\'') {
            if (at + 1 == len) {
                if (quote)
                    break; /* the quote is the culprit */
                return words_fail(w, "a backslash at the end, expected a character after it", at,
                                  offset, error);
            }
            char next = s[++at];
            if (quote && (!next || !strchr("$`\"\\\n", next)))
                buf_addc(&w->text, '\\');
            if (next != '\n')
                buf_addc(&w->text, next);
        } else {
            buf_addc(&w->text, c);
        }
    }
    if (quote)
        return words_fail(w,
                          quote == '"' ? "a double quote that is not closed, expected \" later on"
                                       : "a single quote that is not closed, expected ' later on",
                          opened, offset, error);
    return at;
}

bool words_split(const char *s, size_t len, struct words *w, size_t *offset, struct buf *error) {
    buf_clear(&w->text);
    w->count = 0;
    for (size_t at = 0; at < len;) {
        if (is_space(s[at])) {
            at++;
        } else if (s[at] == '\\' && at + 1 < len && s[at + 1] == '\n') {
            at += 2; /* a continued line between words makes no word */
        } else {
            words_begin(w, at);
            at = words_one(s, len, at, w, offset, error);
            if (!at)
                return false;
            words_end(w, at);
        }
    }
    if (!w->argv)
        w->argv = xmalloc(sizeof *w->argv);
    for (size_t i = 0; i < w->count; i++)
        w->argv[i] = w->text.data + w->list[i].at;
    w->argv[w->count] = NULL;
    return true;
}

void words_add_shown(struct buf *out, const char *s, size_t len) {
    size_t shown = len > WORDS_SHOWN_MAX ? WORDS_SHOWN_MAX : len;
    buf_addc(out, '"');
    for (size_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c < ' ' || c == 0x7f)
            buf_addf(out, "\\x%02x", c);
        else
            buf_addc(out, s[i]);
    }
    buf_adds(out, shown < len ? "\"..." : "\"");
}

void words_free(struct words *w) {
    free(w->argv);
    free(w->list);
    buf_free(&w->text);
    *w = (struct words)WORDS_INIT;
}
