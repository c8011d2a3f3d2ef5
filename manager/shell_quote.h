/*
 * shell_quote.h - words as /bin/sh reads them back.
 */
#ifndef DISTCOMP_MANAGER_SHELL_QUOTE_H
#define DISTCOMP_MANAGER_SHELL_QUOTE_H

#include <stddef.h>

#include "common/buf.h"

/*
 * Appends the word in such a way that a POSIX shell reads exactly these bytes as one word. Words of
 * letters, digits and @%+=:,./_- stay as they are, others go between single quotes.
 */
void shell_quote(struct buf *out, const char *word, size_t len);

#endif
