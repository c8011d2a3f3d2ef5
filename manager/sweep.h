/*
 * sweep.h - addTask's command and its lists of values: one command line for every combination.
 *
 *     ./sim {1} --size={size} ::: lru fifo :::size 1 2 4
 *
 * gives 2 x 3 commands: `./sim lru --size=1`, `./sim lru --size=2` … The first list varies slowest,
 * as in GNU parallel. Nothing is held but the words themselves, so a sweep may have any number of
 * combinations below 2^63.
 *
 *   ::: V …        a list of values                      :::NAME V …    a list with a name
 *   :::+ V …       goes in step with the list before it (as many values)      :::+NAME V …
 *   {}             all values, in order        {2}  of the second list        {NAME}  of that list
 *
 * Placeholders are known only when there are lists; `${1}` is never one. A command without any gets
 * all values at its end. A list that no placeholder uses is an error, because its combinations
 * would be identical commands, and identical commands are one task.
 *
 * Quoting: a command of one word is a shell line and stays as it is; values are put into it quoted
 * where the shell needs it. A command of several words is an argument vector: every word, with its
 * values in it, is quoted where needed, so that the task gets exactly these arguments.
 */
#ifndef DISTCOMP_MANAGER_SWEEP_H
#define DISTCOMP_MANAGER_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define SWEEP_LISTS_MAX 64

struct sweep;

/* The parameters of one combination, for OPT_ARG: key is "1", "2", … or the list's name. */
struct sweep_arg {
    const char *key;
    const char *value;
};

/*
 * Reads the words (borrowed until sweep_free). Returns NULL with a message in error when there is
 * no command, a list is empty, :::+ lists differ in length, a placeholder names no list, …
 */
struct sweep *sweep_new(const char *const *words, size_t count, struct buf *error);
void sweep_free(struct sweep *sweep);

/* How many commands there are; 1 without lists. */
uint64_t sweep_total(const struct sweep *sweep);
size_t sweep_lists(const struct sweep *sweep);

/*
 * Puts the next command into `command` (cleared first) and its parameters into args, which has room
 * for sweep_lists(sweep). Returns false when all have been given.
 */
bool sweep_next(struct sweep *sweep, struct buf *command, struct sweep_arg *args);

#endif
