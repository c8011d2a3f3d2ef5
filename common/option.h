/*
 * option.h - a set of task options: the sticky ones of `#@` lines, a JSON line's, a command line's.
 *
 * Values are checked and kept in the normalised form of TASK_OPTIONS (task.h):
 *   timeout, backoff  durations (units.h); timeout 0 is none       retries   1 to 1000
 *   repeat            1 to 10^9                                    gpu       0 to 1; whole to 1024
 *   gpu_mem           a size, GiB without a unit, to 128 TiB       cwd       not empty
 *   name, labels, after, after_any   see field_name; the latter three joined by ','
 *   output            auto keep redis                              leftovers kill wait
 *   limit             soft hard                                    pin       none core numa
 *   env.NAME, arg.NAME   any value; NAME has no blank, no control character and no '='
 * Values are at most OPTIONS_VALUE_MAX bytes each (what Linux takes as one argument) and
 * OPTIONS_BYTES_MAX together.
 */
#ifndef DISTCOMP_OPTION_H
#define DISTCOMP_OPTION_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/task.h"

#define OPTIONS_MAX        (TASK_OPTIONS_MAX - 2) /* leaves room for a batch's name */
#define OPTIONS_VALUE_MAX  131071u
#define OPTIONS_BYTES_MAX  1048576u
#define OPTIONS_REPEAT_MAX 1000000000u

struct options {
    struct options_entry {
        enum task_option_tag tag;
        size_t at, len;     /* within text */
    } entries[OPTIONS_MAX]; /* sorted by tag, then as first set */
    size_t count;
    size_t live; /* bytes of text that entries use */
    struct buf text;
};
#define OPTIONS_INIT                                                                               \
    { .count = 0, .live = 0, .text = BUF_INIT }

/* The option of that key, or NULL; `env.HOME` finds `env.`. */
const struct task_option_info *option_find(const char *key, size_t len);
/*
 * Appends `unknown KIND "key", expected ...` with the known keys that are close, or else all of
 * them. more: further keys that would have been right, ended by NULL; or NULL.
 */
void option_unknown(const char *kind, const char *key, size_t len, const char *const *more,
                    struct buf *error);
/* The words of a CHOICE option, ended by NULL; NULL for the others. */
const char *const *option_choices(enum task_option_tag tag);

/*
 * Sets an option that option_find found for this key, in place of an earlier one of the same key.
 * On failure returns false, appends `what, expected ...` and leaves the set as it was. An empty
 * value is good for PAIR only; options_unset takes an option away.
 */
bool options_set(struct options *options, const struct task_option_info *info, const char *key,
                 size_t key_len, const char *value, size_t len, struct buf *error);
void options_unset(struct options *options, const struct task_option_info *info, const char *key,
                   size_t key_len);
/*
 * What only the whole set tells: a task that waits for itself or for a group that it belongs to,
 * requirements or values that are too long together.
 */
bool options_check(const struct options *options, struct buf *error);
/* Gives a task these options, in place of its own; they borrow from the set until it changes. */
void options_fill(const struct options *options, struct task *task);
void options_clear(struct options *options); /* empty, keeps the memory */
void options_free(struct options *options);

/* Whether `name` (of a task) is, or lies within, `group`: a/b is within a. */
bool option_name_within(const char *name, size_t len, const char *group, size_t group_len);
/* Refuses a task whose after= or after_any= names its own name or a group it belongs to. */
bool option_check_own_name(const struct task *task, struct buf *error);
/* Refuses limit=hard of a task that asks for nothing that could be a limit: min_dram is 0 or auto
 * and min_cpu is 0; and requirements that are too long together with a native task's own. */
bool option_check_task(const struct task *task, struct buf *error);

#endif
