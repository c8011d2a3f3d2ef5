/*
 * args.h - what a command line says, in the terms of its option tables (opt.h).
 *
 * --limit 5 and --limit=5; '-' and '_' are the same in a name; a BOOL's value may be left out, and
 * the next word is its value only when it is one of true t yes y on 1 false f no n off 0; letters:
 * -f is a BOOL, -n5 or -n 5 has a value, -fq is -f -q; after `--` every word is an operand. Given
 * twice, the last one counts, unless its row says `many`.
 */
#ifndef DISTCOMP_MANAGER_ARGS_H
#define DISTCOMP_MANAGER_ARGS_H

#include "manager/opt.h"

#define ARGS_REGEX_MAX 64

/* A parsed command line. Borrows argv and the tables. */
struct args {
    struct opt_tables tables; /* those the getters look names up in */
    struct opt_value *values; /* owned; in the order given */
    size_t value_count;
    const char **operands; /* owned; the words are argv's */
    size_t operand_count;
    regex_t *regexes[ARGS_REGEX_MAX]; /* owned */
    size_t regex_count;
    const char *unknown; /* the option that args_parse did not find, without dashes, or NULL */
    size_t unknown_len;
};

/* Where options end (args_parse's `ending`). */
enum args_ending {
    ARGS_ANYWHERE, /* options may follow operands, until `--` */
    /* The first operand and all after it is a command. A BOOL has a value only by '=': `true`
     * behind it is the command. */
    ARGS_COMMAND
};

/*
 * Parses words[0..count-1] by `tables`. false with a one-line message in error: an unknown option,
 * a value missing, malformed or out of range. args_free in either case.
 */
bool args_parse(struct args *args, const struct opt_tables *tables, enum args_ending ending,
                const char *const *words, size_t count, struct buf *error);
void args_free(struct args *args);

/*
 * Getters. The name must be in args->tables with a kind that fits; an assertion fails otherwise, so
 * that a mistyped name is found by the first test that runs the verb. Each gives the last value on
 * the command line, else the preset, else false, 0 or NULL.
 */
bool args_bool(const struct args *args, const char *name);
uint64_t args_number(const struct args *args, const char *name);
const char *args_text(const struct args *args, const char *name); /* any kind: as written */
uint32_t args_mask(const struct args *args, const char *name);
/* Whether it was on the command line. */
bool args_given(const struct args *args, const char *name);
/* Whether the tables have it at all; for code shared by verbs. */
bool args_has(const struct args *args, const char *name);
/* The values of an option that may be given many times: the one after `previous` (NULL: the first).
 */
const struct opt_value *args_next(const struct args *args, const char *name,
                                  const struct opt_value *previous);
/* Whether the text matches one of the regular expressions given as --`name`. */
bool args_match(const struct args *args, const char *name, const char *text, size_t len);

#endif
