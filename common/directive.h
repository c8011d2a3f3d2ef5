/*
 * directive.h - `#@ key=value ...` lines of a task file: options for the tasks below them.
 *
 * Words are split as words.h says, so a value with blanks is quoted: #@ cwd="/data/run 1". A value
 * stays until the key is set again; `key=` takes it away (for an empty env variable write
 * env.NAME="").
 */
#ifndef DISTCOMP_DIRECTIVE_H
#define DISTCOMP_DIRECTIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/option.h"
#include "common/words.h"

/* Whether a line is meant as a directive (begins with `#@`). Other lines with '#' are comments. */
bool directive_is(const char *line, size_t len);
/*
 * Applies a directive to the options. words is memory to work in. On failure returns false, sets
 * *column (in bytes, from 1) and appends `what, expected ...`; the keys before the bad one have
 * been applied.
 */
bool directive_apply(const char *line, size_t len, struct options *options, struct words *words,
                     size_t *column, struct buf *error);
/* The column of a word of the directive, by its place among the words. */
size_t directive_column(size_t start);

#endif
