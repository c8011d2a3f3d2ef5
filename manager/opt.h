/*
 * opt.h - option tables: what options there are, what a value of each has to look like.
 *
 * An option table is a static array that ends with OPT_END:
 *
 *     static const struct opt options[] = {
 *         {.name = "limit", .kind = KIND_COUNT, .metavar = "N", .preset = "50",
 *          .help = "at most this many lines a list; 0 for all"},
 *         OPT_END};
 *
 * From it come the parsing (args.h), the typed values, --help, the manual and the completion. One
 * option set is given to all verbs of a chain, so options of one name in several tables agree in
 * whether a value must follow them (a test sees to that); the value has to be good for each.
 */
#ifndef DISTCOMP_MANAGER_OPT_H
#define DISTCOMP_MANAGER_OPT_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/config.h"
#include "common/task.h"

/* What a value is. */
enum opt_kind {
    KIND_BOOL,
    KIND_COUNT,    /* a whole number, min..max */
    KIND_TEXT,     /* anything but nothing */
    KIND_DURATION, /* ms */
    KIND_BYTES,
    KIND_MEMORY,   /* min_dram of a task: bytes, or TASK_MEM_AUTO */
    KIND_CORES,    /* min_cpu of a task: thousandths */
    KIND_PRIORITY, /* 0..TASK_PRIORITY_MAX */
    KIND_FILE,     /* not opened, only completed */
    KIND_REGEX,    /* POSIX extended */
    KIND_STATES,   /* states joined by ',' */
    KIND_TYPES,    /* task types joined by ',' */
    KIND_CHOICE,   /* one of a few words */
    KIND_OPTION,   /* a task option's value (common/option.h) */
    KIND_SETTING   /* a setting's (common/config.h) */
};

struct opt {
    const char *name;    /* lower case, words joined by '_' */
    const char *metavar; /* what --help calls the value; NULL for BOOL */
    const char *preset;  /* the value when it is not given, as one would write it; NULL for none */
    const char *choices; /* CHOICE: the words, joined by '|' */
    const char *help;    /* a phrase without a full stop */
    const struct setting *setting; /* SETTING */
    uint64_t min, max;             /* COUNT: inclusive; max 0 for no limit */
    enum task_option_tag tag;      /* OPTION */
    enum opt_kind kind;
    char letter; /* -f, or 0 */
    bool many;   /* may be given more than once; all count */
};
#define OPT_END                                                                                    \
    { .name = NULL }

#define OPT_TABLES_MAX 64
/* The tables that hold for a verb, or for a chain of verbs; the rest NULL. */
struct opt_tables {
    const struct opt *table[OPT_TABLES_MAX];
};
void opt_tables_add(struct opt_tables *tables, const struct opt *table);
/* The row of that name ('-' is '_'), or NULL. `letter` finds rows by their letter. */
const struct opt *opt_find(const struct opt_tables *tables, const char *name, size_t len);
const struct opt *opt_find_letter(const struct opt_tables *tables, char letter);
/* Calls visit for every row, table by table. */
typedef void opt_visit_fn(const struct opt *opt, void *context);
void opt_each(const struct opt_tables *tables, opt_visit_fn *visit, void *context);
/* Whether a value must follow it: for all but BOOL, and settings that are one. */
bool opt_takes_value(const struct opt *opt);
/*
 * The words a value may consist of: of BOOL (true, false), STATES, TYPES and CHOICE. NULL beyond
 * the last one and for other kinds. Not NUL-terminated after *len.
 */
const char *opt_word(const struct opt *opt, size_t index, size_t *len);

/* A value, as given or as preset. */
struct opt_value {
    const struct opt *opt;
    const char *text; /* borrowed from argv or the table */
    union {
        bool on;
        uint64_t number; /* COUNT, DURATION, BYTES, MEMORY, CORES, PRIORITY, index of a CHOICE */
        uint32_t mask;   /* STATES, TYPES: bit (1 << its number) */
        const regex_t *regex;
    } as;
};

/*
 * Reads a value. `regex` is compiled into by KIND_REGEX, and then belongs to the caller (regfree).
 * On failure, false with "expected …" in error and nothing to free.
 */
bool opt_parse(const struct opt *opt, const char *text, struct opt_value *value, regex_t *regex,
               struct buf *error);

#endif
