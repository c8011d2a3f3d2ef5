/*
 * training.h - what the planners of trainings share: their command line, and the lines of a task
 * file.
 */
#ifndef DISTCOMP_KERNEL_PLAN_TRAINING_H
#define DISTCOMP_KERNEL_PLAN_TRAINING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

/* Memory of a kernelHost with its libraries beside what a kernel needs, as measured. */
#define TRAINING_HOST_BYTES (UINT64_C(12) << 20)

/* --- the command line ---------------------------------------------------------------------------
 */

/* A row; the table ends with one without a name. One of text, count, real is set, and says where
 * the value goes. count and real are checked against min and max. */
struct training_option {
    const char *name; /* "--epochs" */
    const char **text;
    uint64_t *count;
    double *real;
    double min, max;
};

/* argv[1] and on: options anywhere, "--name value" or "--name=value", and exactly `operands` other
 * words, which go to operand. `expected` names those. */
bool training_parse(int argc, char **argv, const struct training_option *options,
                    const char **operand, size_t operands, const char *expected, struct buf *error);
bool training_count(const char *what, const char *text, double min, double max, uint64_t *count,
                    struct buf *error);
bool training_real(const char *what, const char *text, double min, double max, double *real,
                   struct buf *error);

/* --- names --------------------------------------------------------------------------------------
 */

bool training_is_local(const char *name); /* a path: neither redis: nor a URL */
/* Appends DIR, absolute where it is local (so that the plan means the same wherever it is loaded
 * and run), and not ending in '/'. False: it is no directory. */
bool training_add_dir(struct buf *out, const char *what, const char *dir, struct buf *error);
/* The same for the beginning of files' names: its directory must be there. */
bool training_add_prefix(struct buf *out, const char *what, const char *prefix, struct buf *error);
/* Adds a local file's name, size and time of change to a digest's text: a plan for a file that has
 * changed is another plan. */
void training_add_stamp(struct buf *text, const char *name);
/* The shortest decimal that reads back as the same number. */
void training_add_real(struct buf *out, double value);

/* --- lines --------------------------------------------------------------------------------------
 */

/* A directive for the tasks below: "#@ name=GROUP/part after=GROUP/AFTER"; after NULL: none. */
void training_add_group(struct buf *out, const char *group, const char *part, const char *after);
/* "native:priority:memMiB:1:KERNEL", to which parameters are appended; end with a newline. */
void training_add_task(struct buf *out, uint64_t priority, uint64_t bytes, const char *kernel);
/* " key=VALUE", quoted where it must be. */
void training_add_param(struct buf *out, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
