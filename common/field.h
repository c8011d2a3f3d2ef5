/*
 * field.h - the fields that every task has, from text: one check for task files, JSON and flags.
 *
 * On failure a function returns false and appends `what, expected ...` to error, without a place.
 */
#ifndef DISTCOMP_FIELD_H
#define DISTCOMP_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/task.h"

bool field_type(const char *s, size_t len, enum task_type *type, struct buf *error);
bool field_priority(const char *s, size_t len, uint32_t *priority, struct buf *error);
/* "auto", GiB, or a size with a unit. */
bool field_min_dram(const char *s, size_t len, uint64_t *mem_bytes, struct buf *error);
bool field_min_cpu(const char *s, size_t len, uint32_t *mcpu, struct buf *error);

/*
 * A task's name or a label: 1..TASK_NAME_MAX bytes without blanks, control characters and ',';
 * parts between '/' are not empty. `what` begins the message ("name", "label").
 */
bool field_name(const char *what, const char *s, size_t len, struct buf *error);

/*
 * A command: 1..TASK_PARAMS_MAX bytes, not all blank, no NUL, no newline; those of python and
 * native tasks must split into words, of which a native task's first is a kernel's name. *offset is
 * the place of the error within s.
 */
bool field_params(enum task_type type, const char *s, size_t len, size_t *offset,
                  struct buf *error);

#endif
