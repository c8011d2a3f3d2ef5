/*
 * progress.h - a progress bar on stderr: count, rate, time left.
 *
 *     struct progress *progress = progress_new(stderr, "loading", total, session->quiet);
 *     for (…) progress_set(progress, done);
 *     progress_free(progress);
 *
 * Nothing is written when the stream is no terminal, and nothing until half a second has passed, so
 * that short work leaves no trace. At most ten redraws a second; progress_set is cheap enough for
 * every task.
 */
#ifndef DISTCOMP_MANAGER_PROGRESS_H
#define DISTCOMP_MANAGER_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/buf.h"

struct progress;

/* total 0: not known yet. The label is borrowed. */
struct progress *progress_new(FILE *file, const char *label, uint64_t total, bool quiet);
void progress_set(struct progress *progress, uint64_t done);
void progress_set_total(struct progress *progress, uint64_t total);
/* Something to show behind the figures, such as "3 failed"; NULL for nothing. Borrowed. */
void progress_set_remark(struct progress *progress, const char *remark);
/* Takes the bar off the screen, so that something else may be printed; the next set draws it again.
 */
void progress_hide(struct progress *progress);
/* Hides it for good. */
void progress_free(struct progress *progress);

/* What a bar shows, as a pure function. */
struct progress_view {
    const char *label;
    const char *remark;   /* or NULL */
    uint64_t done, total; /* total 0: not known */
    uint64_t elapsed_ms;
    double per_second; /* the current rate */
    size_t width;      /* columns; the line has at most width - 1 */
};
void progress_line(const struct progress_view *view, struct buf *out);

#endif
