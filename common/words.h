/*
 * words.h - splits a string into words as a POSIX shell does, without any expansion.
 *
 * Blanks and newlines separate. '...' keeps everything; "..." keeps all but backslash before one of
 * $ ` " \ and newline; outside quotes a backslash keeps the next byte, and backslash newline
 * vanishes.
 * `$`, `*`, `~`, `#`, `|`, `;` and so on are ordinary bytes. An empty pair of quotes is an empty
 * word.
 *
 *     struct words w = WORDS_INIT;
 *     if (words_split(s, len, &w, &offset, &error))
 *         execvp(w.argv[0], w.argv);
 *     words_free(&w);
 */
#ifndef DISTCOMP_WORDS_H
#define DISTCOMP_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

struct word {
    size_t start, end; /* where it stood in the string, quotes included */
    size_t at, len;    /* its bytes within text */
};

struct words {
    char *
        *argv; /* NULL-terminated, into text; valid until the next split or free; never NULL after a
                  split that succeeded. A NUL in the string ends a word here, but not its len. */
    struct word *list;
    size_t count;
    struct buf text; /* the words, a NUL after each */
    size_t cap;
};
#define WORDS_INIT                                                                                 \
    { NULL, NULL, 0, BUF_INIT, 0 }

/*
 * Splits s, reusing w's memory. On an error (a quote that is not closed, a backslash at the end)
 * returns false, sets *offset to the 0-based place of the culprit and appends a text to error; w
 * then has no words.
 */
bool words_split(const char *s, size_t len, struct words *w, size_t *offset, struct buf *error);
void words_free(struct words *w);

/* Appends s for an error message: in double quotes, control bytes as \xNN, cut when long. */
#define WORDS_SHOWN_MAX 40
void words_add_shown(struct buf *out, const char *s, size_t len);

#endif
