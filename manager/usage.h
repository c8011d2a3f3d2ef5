/*
 * usage.h - help for people, from the verbs' table.
 */
#ifndef DISTCOMP_MANAGER_USAGE_H
#define DISTCOMP_MANAGER_USAGE_H

#include "manager/command.h"

/* All verbs by group, one line each. */
void usage_all(struct buf *out);
/* Everything about one verb: what `VERB --help` prints. */
void usage_verb(const struct verb *verb, struct buf *out);
/* The options that every verb has, --json and --task. */
void usage_options(struct buf *out);
/* `checkTask [OPTION…] [ID…]`. */
void usage_synopsis(const struct verb *verb, struct buf *out);
/* Appends `--limit N`, with `-n N, ` before it when there is a letter. */
void usage_option_head(const struct opt *opt, struct buf *out);
/*
 * Appends the option's help: phrase, possible words, default.
 */
void usage_option_help(const struct opt *opt, struct buf *out);

/*
 * Appends text, broken at blanks into lines of at most `width` columns that begin with `indent`
 * blanks, the first one too when the buffer's last line is shorter (it is filled up to there). A
 * newline ends it.
 */
void usage_wrap(struct buf *out, const char *text, size_t len, size_t indent, size_t width);

/*
 * Calls `paragraph` for every paragraph of a verb's `about`; those whose lines begin with two
 * blanks are examples, to be shown as they are.
 */
typedef void usage_paragraph_fn(const char *text, size_t len, bool example, void *context);
void usage_paragraphs(const char *about, usage_paragraph_fn *paragraph, void *context);

#endif
