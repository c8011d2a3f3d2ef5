/*
 * taskfile.h - reads a task file, task by task, in memory that does not grow with the file.
 *
 * Both forms (taskline.h with directive.h, taskjson.h), `repeat`, a batch's name. Lines end with LF
 * or CRLF, the last one may lack it; a UTF-8 byte order mark is skipped; bytes that are not UTF-8
 * are fine in the line form; NUL is an error. Blank lines and lines that begin with '#' are skipped
 * in the line form, blank lines in JSON Lines.
 *
 *     while ((what = taskfile_next(f, &task)) != TASKFILE_END) {
 *         if (what == TASKFILE_TASK) ...
 *         else { report taskfile_error(f); if (what == TASKFILE_FAILED) break; }
 *     }
 *
 * Standard input, a pipe or a device is first copied to an unlinked file in $TMPDIR (/tmp), so that
 * every task file can be read twice: once to check it all, once to load it.
 */
#ifndef DISTCOMP_TASKFILE_H
#define DISTCOMP_TASKFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/task.h"

/* AUTO: JSON Lines when the name ends in .jsonl or the first byte that is no blank is '{'. */
enum taskfile_format { TASKFILE_AUTO, TASKFILE_LINE, TASKFILE_JSONL };
/* "auto", "line" or "jsonl". */
bool taskfile_format_parse(const char *name, size_t len, enum taskfile_format *format);

/* The longest line: a command of 1 MiB and its fields; escapes make JSON longer. */
#define TASKFILE_LINE_MAX  (TASK_PARAMS_MAX + 65536u)
#define TASKFILE_JSONL_MAX 8388608u /* 8 MiB */

enum taskfile_result {
    TASKFILE_TASK,
    TASKFILE_END,
    TASKFILE_ERROR, /* a bad line: taskfile_error tells; the next call goes on behind it */
    TASKFILE_FAILED /* the file cannot be read (any further); rewinding may help */
};
struct taskfile_error {
    uint64_t line; /* from 1; 0 when the error is in no line */
    size_t column; /* in bytes, from 1 (a byte order mark not counted); 0 like line */
    const char *text;
};

struct taskfile;

/*
 * Opens a path, or "-" for standard input. On failure returns NULL and appends `PATH: why` to
 * error.
 */
struct taskfile *taskfile_open(const char *path, enum taskfile_format format, struct buf *error);
void taskfile_close(struct taskfile *f); /* NULL is fine */

/*
 * The name of the batch, or NULL for none: a task without a name gets it, one named X gets
 * "BATCH/X". after= stays as written. Returns false and appends to error when it is no name. Set it
 * before the first taskfile_next, or rewind.
 */
bool taskfile_set_batch(struct taskfile *f, const char *name, struct buf *error);

/*
 * The next task. It borrows from f until the next call. A line with repeat=N (N > 1) comes N times,
 * with OPT_REPEAT from "1" to "N"; otherwise a task has no OPT_REPEAT.
 */
enum taskfile_result taskfile_next(struct taskfile *f, struct task *task);
/* Of the last TASKFILE_ERROR or TASKFILE_FAILED; valid until the next call. */
const struct taskfile_error *taskfile_error(const struct taskfile *f);

/*
 * Where the last task has OPT_AFTER or OPT_AFTER_ANY from: the value in a directive, the key in a
 * JSON line. To be asked before the next call.
 */
struct taskfile_place {
    uint64_t line;
    size_t column;
};
struct taskfile_place taskfile_place(const struct taskfile *f, enum task_option_tag tag);

/* Back to the beginning; directives are forgotten. */
void taskfile_rewind(struct taskfile *f);

/* What messages call it from now on. */
void taskfile_rename(struct taskfile *f, const char *name);
const char *taskfile_name(const struct taskfile *f); /* the path; "standard input" for "-" */
uint64_t taskfile_line(const struct taskfile *f);    /* number of the line read last */
uint64_t taskfile_bytes(const struct taskfile *f);   /* read so far, for a progress bar */
uint64_t taskfile_size(const struct taskfile *f);    /* of the file when it was opened */

#endif
