#include "tests/simulate/summary.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/buf.h"

struct figure {
    const char *head;
    const char *format;
    bool more_is_better;
    double (*get)(const struct sim_result *result, const struct sim_result *fixed, double bound_s);
};

static double get_ratio(const struct sim_result *r, const struct sim_result *fixed, double bound) {
    (void)bound;
    return fixed->makespan_s / r->makespan_s;
}
static double get_makespan(const struct sim_result *r, const struct sim_result *fixed, double b) {
    (void)fixed, (void)b;
    return r->makespan_s;
}
static double get_bound(const struct sim_result *r, const struct sim_result *fixed, double bound) {
    (void)fixed;
    return 100 * bound / r->makespan_s;
}
static double get_used(const struct sim_result *r, const struct sim_result *fixed, double bound) {
    (void)fixed, (void)bound;
    return 100 * r->used_share;
}
static double get_running(const struct sim_result *r, const struct sim_result *fixed, double b) {
    (void)fixed, (void)b;
    return r->running_mean;
}
static double get_wasted(const struct sim_result *r, const struct sim_result *fixed, double bound) {
    (void)fixed, (void)bound;
    return 100 * sim_wasted_share(r);
}
static double get_returns(const struct sim_result *r, const struct sim_result *fixed, double b) {
    (void)fixed, (void)b;
    return r->returns;
}
static double get_kills(const struct sim_result *r, const struct sim_result *fixed, double bound) {
    (void)fixed, (void)bound;
    return r->kernel_kills;
}
static double get_failed(const struct sim_result *r, const struct sim_result *fixed, double bound) {
    (void)fixed, (void)bound;
    return r->failed;
}

static const struct figure figures[] = {
    {"makespan s", "%.0f", false, get_makespan}, {"x fixed", "%.2f", true, get_ratio},
    {"% of bound", "%.0f", true, get_bound},     {"running", "%.1f", true, get_running},
    {"% memory", "%.0f", true, get_used},        {"% wasted", "%.2f", false, get_wasted},
    {"returns", "%.0f", false, get_returns},     {"kernel kills", "%.0f", false, get_kills},
    {"failed", "%.0f", false, get_failed}};
#define FIGURES (sizeof figures / sizeof *figures)

void summary_head(const char *label) {
    printf("%-10s", label);
    for (size_t i = 0; i < FIGURES; i++)
        printf(" %14s", figures[i].head);
    putchar('\n');
}

void summary_each(const char *label, const struct sim_result *r, const struct sim_result *fixed,
                  double bound) {
    printf("%-10s", label);
    for (size_t i = 0; i < FIGURES; i++) {
        char text[32];
        snprintf(text, sizeof text, figures[i].format, figures[i].get(r, fixed, bound));
        printf(" %14s", text);
    }
    printf("\n           ");
    for (int i = 0; i < r->bin_count; i++)
        putchar("0123456789#"[(int)(r->bins[i] * 10)]); /* # is full */
    puts("  tenths of the memory, over time");
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* results[trace][policy] */
void summary_all(struct sim_result (*results)[SIM_POLICY_COUNT], const double *bounds_s,
                 size_t traces) {
    double *values = xcalloc(traces, sizeof *values);
    printf("median, worst of %zu\n", traces);
    summary_head("");
    for (int policy = 0; policy < SIM_POLICY_COUNT; policy++) {
        printf("%-10s", sim_policy_name((enum sim_policy)policy));
        for (size_t i = 0; i < FIGURES; i++) {
            char text[32];
            for (size_t s = 0; s < traces; s++)
                values[s] =
                    figures[i].get(&results[s][policy], &results[s][SIM_FIXED], bounds_s[s]);
            qsort(values, traces, sizeof *values, compare);
            double median = (values[(traces - 1) / 2] + values[traces / 2]) / 2;
            int len = snprintf(text, sizeof text, figures[i].format, median);
            text[len++] = ' ';
            snprintf(text + len, sizeof text - (size_t)len, figures[i].format,
                     values[figures[i].more_is_better ? 0 : traces - 1]);
            printf(" %14s", text);
        }
        putchar('\n');
    }
    free(values);
}
