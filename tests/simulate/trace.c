#include "tests/simulate/trace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const shape_names[SIM_SHAPES] = {"linear", "at_once", "late"};

bool sim_shape_parse(const char *name, enum sim_shape *shape) {
    for (int i = 0; i < SIM_SHAPES; i++)
        if (strcmp(name, shape_names[i]) == 0) {
            *shape = (enum sim_shape)i;
            return true;
        }
    return false;
}

/* --- curves ---------------------------------------------------------------------------------- */

static void point(struct sim_curve *curve, int64_t at_us, double bytes) {
    curve->at_us[curve->count] = at_us;
    curve->bytes[curve->count++] = bytes;
}

struct sim_curve sim_curve_make(enum sim_shape shape, double peak, int64_t duration_us) {
    struct sim_curve curve = {.count = 0};
    int64_t fill_us = (int64_t)(peak / SIM_GIB / SIM_FILL_S * 1e6);
    if (fill_us > duration_us / 5)
        fill_us = duration_us / 5;
    int64_t late_us = duration_us / 4 * 3;
    point(&curve, 0, 0);
    switch (shape) {
    case SIM_SHAPES:
    case SHAPE_LINEAR:
        break;
    case SHAPE_AT_ONCE:
        point(&curve, fill_us, peak);
        break;
    case SHAPE_LATE:
        point(&curve, fill_us / 10, peak / 10);
        point(&curve, late_us, peak / 10);
        point(&curve, late_us + fill_us, peak);
        break;
    }
    point(&curve, duration_us, peak);
    return curve;
}

double sim_curve_at(const struct sim_curve *curve, int64_t at_us) {
    for (int i = 1; i < curve->count; i++) {
        if (at_us > curve->at_us[i])
            continue;
        int64_t span = curve->at_us[i] - curve->at_us[i - 1];
        double part = span > 0 ? (double)(at_us - curve->at_us[i - 1]) / (double)span : 1;
        return curve->bytes[i - 1] + (curve->bytes[i] - curve->bytes[i - 1]) * part;
    }
    return curve->bytes[curve->count - 1];
}

double sim_curve_area(const struct sim_curve *curve) {
    double area = 0;
    for (int i = 1; i < curve->count; i++)
        area += (double)(curve->at_us[i] - curve->at_us[i - 1]) / 1e6 *
                (curve->bytes[i] + curve->bytes[i - 1]) / 2;
    return area;
}

/* --- drawing --------------------------------------------------------------------------------- */

/* SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). */
static uint64_t draw(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static double draw_uniform(uint64_t *state, double least, double most) {
    return least + (most - least) * (double)(draw(state) >> 11) * 0x1p-53;
}

static double draw_log_uniform(uint64_t *state, double least, double most) {
    return exp(draw_uniform(state, log(least), log(most)));
}

/* Box and Muller, one of the two. */
static double draw_normal(uint64_t *state) {
    double u = draw_uniform(state, 0x1p-53, 1), v = draw_uniform(state, 0, 1);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static double draw_log_normal(uint64_t *state, double median, double sigma) {
    return median * exp(sigma * draw_normal(state));
}

void sim_trace_add(struct sim_trace *trace, const struct sim_task *task) {
    if (trace->count == trace->cap) {
        trace->cap = trace->cap ? 2 * trace->cap : 1024;
        trace->tasks = xrealloc(trace->tasks, trace->cap * sizeof *trace->tasks);
    }
    struct sim_task *added = &trace->tasks[trace->count++];
    *added = *task;
    added->curve = sim_curve_make(task->shape, task->peak_bytes, task->duration_us);
}

static void shuffle(struct sim_trace *trace, uint64_t *state) {
    for (size_t i = trace->count; i > 1; i--) {
        size_t other = (size_t)(draw(state) % i);
        struct sim_task task = trace->tasks[i - 1];
        trace->tasks[i - 1] = trace->tasks[other];
        trace->tasks[other] = task;
    }
}

void sim_trace_draw(struct sim_trace *trace, uint64_t seed, size_t count, enum sim_shape shape,
                    double most_bytes) {
    static const double PERCENTILE_95 = 1.6448536269514722;
    *trace = (struct sim_trace){.families = SIM_FAMILIES};
    uint64_t state = seed;
    for (unsigned family = 0; family < SIM_FAMILIES; family++) {
        double median = draw_log_uniform(&state, 0.2, 8) * SIM_GIB;
        double sigma = draw_uniform(&state, 0.1, 0.8);
        double request = median * exp(PERCENTILE_95 * sigma) * draw_uniform(&state, 1.5, 6);
        double seconds = draw_log_uniform(&state, 10, 600);
        enum sim_shape drawn = (enum sim_shape)(draw(&state) % SIM_SHAPES);
        struct sim_task task = {.family = family, .shape = shape == SIM_SHAPES ? drawn : shape};
        task.request_bytes = floor(fmin(request, most_bytes));
        for (size_t i = family; i < count; i += SIM_FAMILIES) {
            do
                task.peak_bytes = floor(draw_log_normal(&state, median, sigma));
            while (task.peak_bytes > most_bytes);
            task.duration_us = (int64_t)(draw_log_normal(&state, seconds, 0.5) * 1e3) * 1000;
            sim_trace_add(trace, &task);
        }
    }
    shuffle(trace, &state);
}

void sim_trace_write(const struct sim_trace *trace, FILE *file) {
    for (size_t i = 0; i < trace->count; i++) {
        const struct sim_task *task = &trace->tasks[i];
        fprintf(file, "{\"family\": \"%u\", \"min_dram\": %.9f, \"max_rss_bytes\": %.0f, ",
                task->family, task->request_bytes / SIM_GIB, task->peak_bytes);
        fprintf(file, "\"wall_s\": %.3f, \"shape\": \"%s\"}\n", (double)task->duration_us / 1e6,
                shape_names[task->shape]);
    }
}

void sim_trace_free(struct sim_trace *trace) {
    for (unsigned i = 0; trace->family_names && i < trace->families; i++)
        free(trace->family_names[i]);
    free(trace->family_names);
    free(trace->tasks);
    *trace = (struct sim_trace){0};
}
