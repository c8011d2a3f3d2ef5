/*
 * trace.h - what the simulator runs: tasks with a request and their true memory over time.
 *
 * A trace is drawn from a seed, or read from a file of JSON lines like those of `exportTask
 * --format jsonl`. Of a line these fields are used:
 *
 *   name, type, command   give the family (common/family.h)
 *   min_dram              the request in GiB; "auto" or 0 counts as the peak
 *   max_rss_bytes         the peak
 *   wall_s                the duration
 *   family                instead of the first three, text
 *   shape                 linear (default), at_once or late
 *
 * Lines without a peak or a duration (tasks that have not run) are left out.
 */
#ifndef DISTCOMP_SIMULATE_TRACE_H
#define DISTCOMP_SIMULATE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/buf.h"

#define SIM_GIB      ((double)(UINT64_C(1) << 30))
#define SIM_FILL_S   2.0 /* GiB a second at which a task can fill memory: measured 0.3 to 2 */
#define SIM_FAMILIES 20  /* of a drawn trace */

enum sim_shape { SHAPE_LINEAR, SHAPE_AT_ONCE, SHAPE_LATE, SIM_SHAPES };
bool sim_shape_parse(const char *name, enum sim_shape *shape);

/*
 * Memory over the run of a task, straight between points. Linear: from nothing to the peak at its
 * end. At once: as fast as memory can be filled, then level. Late: a tenth at once, the rest as
 * fast as it can be filled after three quarters of the run.
 */
#define CURVE_POINTS 5
struct sim_curve {
    int count;
    int64_t at_us[CURVE_POINTS]; /* first 0, last the duration; never falls */
    double bytes[CURVE_POINTS];
};
struct sim_curve sim_curve_make(enum sim_shape shape, double peak_bytes, int64_t duration_us);
/* At a time within 0 and the duration. */
double sim_curve_at(const struct sim_curve *curve, int64_t at_us);
/* Bytes times seconds below the curve. */
double sim_curve_area(const struct sim_curve *curve);

struct sim_task {
    unsigned family;
    enum sim_shape shape;
    double request_bytes, peak_bytes;
    int64_t duration_us;
    struct sim_curve curve;
};

struct sim_trace {
    struct sim_task *tasks; /* in the order of the queue; owned */
    size_t count, cap;
    unsigned families;
    char **family_names; /* of a file; NULL for a drawn one */
};

/*
 * The generator of issue "Memory and resources". 20 families; in each log-normal peaks, median 0.2
 * to 8 GiB (log-uniform), sigma 0.1 to 0.8; one request for all its tasks, 1.5 to 6 times the
 * family's 95th percentile; log-normal durations, median 10 to 600 s (log-uniform), sigma 0.5; one
 * of the three shapes. Families have `count` / 20 tasks each, in random order. A peak of more than
 * `most_bytes` is drawn again and a request capped at that: nobody could run such a task at all.
 * One core each. shape is that of all tasks, or SIM_SHAPES: as drawn. The same on every machine but
 * for the last bits of its libm.
 */
void sim_trace_draw(struct sim_trace *trace, uint64_t seed, size_t count, enum sim_shape shape,
                    double most_bytes);
/* Appends a task, its curve made from its shape, peak and duration. */
void sim_trace_add(struct sim_trace *trace, const struct sim_task *task);
/* Reads a file; false with a message that names the line. Peaks and requests as above. */
bool sim_trace_read(struct sim_trace *trace, FILE *file, double most_bytes, struct buf *error);
/* Writes what sim_trace_read reads. */
void sim_trace_write(const struct sim_trace *trace, FILE *file);
void sim_trace_free(struct sim_trace *trace);

#endif
