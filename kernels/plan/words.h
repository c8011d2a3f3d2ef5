/*
 * words.h - names and values in a task file that a planner prints.
 */
#ifndef DISTCOMP_KERNEL_PLAN_WORDS_H
#define DISTCOMP_KERNEL_PLAN_WORDS_H

#include <stdbool.h>

#include "common/buf.h"

/* Appends text so that a shell, and kernelHost, read it back as one word, or as a part of one. */
void plan_add_word(struct buf *out, const char *text);

/*
 * Whether a file, object or URL can be named in a task: not empty, no control character (a line
 * would end), and no ',' (lists are joined by it). If not, error gets why.
 */
bool plan_check_name(const char *what, const char *name, struct buf *error);

/* Appends the last part of a name with what is no letter, digit, '.', '-' or '_' as '_': a piece of
 * a task's name. */
void plan_add_slug(struct buf *out, const char *name);

/* Appends the directive that sets the working directory to this process's. False: error. */
bool plan_add_cwd(struct buf *out, struct buf *error);

#endif
