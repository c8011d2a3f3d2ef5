/*
 * simulate - compares rules of admission and return on traces, with a virtual clock. See --help.
 */
#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"
#include "tests/simulate/sim.h"
#include "tests/simulate/summary.h"

static const char usage[] =
    "usage: simulate [options]\n"
    "  --seeds FIRST-LAST    traces drawn from these seeds (default: 1-20)\n"
    "  --tasks N             tasks of a drawn trace, 20 families (default: 2000)\n"
    "  --trace FILE          one trace instead, JSON lines as of exportTask --format jsonl\n"
    "  --write               print the first trace instead of running it\n"
    "  --memory GIB  --cores N       of the worker (default: 64 and 32)\n"
    "  --accept GIB  --trigger GIB   min_dram_gb_accept_new_task, min_dram_gb_trigger_return\n"
    "  --over_request        return_policy=over_request\n"
    "  --shape NAME          all tasks of drawn traces are linear, at_once or late\n"
    "  --need N  --hold N    percentiles of learning; --first N  peaks that make a family known\n"
    "  --share N             before that, percent of a core's share of the memory\n"
    "  --each                one line for each seed and policy, and memory used over time\n"
    "policies:\n"
#define X(symbol, name, help) "  " name ":\t" help "\n"
    SIM_POLICIES(X)
#undef X
    ;

struct options {
    uint64_t first_seed, last_seed;
    unsigned tasks;
    const char *trace;
    bool write, each;
    enum sim_shape shape;
    struct sim_setup setup;
};

static void fail(const char *what, const char *detail) {
    fprintf(stderr, "simulate: %s: %s\n", what, detail);
    exit(2);
}

static uint64_t number(const char *what, const char *text, uint64_t least, uint64_t most) {
    const char *expected;
    uint64_t value;
    if (!units_parse_uint(text, strlen(text), least, most, &value, &expected))
        fail(what, "not a number in its range");
    return value;
}

static double gib(const char *what, const char *text) {
    const char *expected;
    uint64_t bytes;
    if (!units_parse_bytes(text, strlen(text), UNITS_GIB, &bytes, &expected))
        fail(what, "not a size");
    return (double)bytes;
}

static void read_seeds(struct options *options, char *text) {
    char *dash = strchr(text, '-');
    if (dash)
        *dash = '\0';
    options->first_seed = number("--seeds", text, 0, UINT32_MAX);
    options->last_seed =
        dash ? number("--seeds", dash + 1, options->first_seed, UINT32_MAX) : options->first_seed;
}

static const struct number_option {
    const char *name;
    size_t offset; /* of an unsigned in struct options */
    uint64_t least, most;
} numbers[] = {{"tasks", offsetof(struct options, tasks), 1, 10000000},
               {"cores", offsetof(struct options, setup.cores), 1, 4096},
               {"need", offsetof(struct options, setup.need), 1, 100},
               {"hold", offsetof(struct options, setup.hold), 1, 100},
               {"first", offsetof(struct options, setup.first), 1, 1000},
               {"share", offsetof(struct options, setup.share), 1, 100000}};

static const struct size_option {
    const char *name;
    size_t offset; /* of a double in struct options */
} sizes[] = {{"memory", offsetof(struct options, setup.memory_bytes)},
             {"accept", offsetof(struct options, setup.accept_bytes)},
             {"trigger", offsetof(struct options, setup.trigger_bytes)}};

static void read_value(struct options *o, const char *name, char *value) {
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(name, numbers[i].name) == 0)
            *(unsigned *)(void *)((char *)o + numbers[i].offset) =
                (unsigned)number(name, value, numbers[i].least, numbers[i].most);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (strcmp(name, sizes[i].name) == 0)
            *(double *)(void *)((char *)o + sizes[i].offset) = gib(name, value);
    if (strcmp(name, "seeds") == 0)
        read_seeds(o, value);
    else if (strcmp(name, "shape") == 0 && !sim_shape_parse(value, &o->shape))
        fail("--shape", "expected linear, at_once or late");
    else if (strcmp(name, "trace") == 0)
        o->trace = value;
}

static void read_options(struct options *o, int argc, char **argv) {
    static const struct option list[] = {{"seeds", 1, NULL, 0},   {"tasks", 1, NULL, 0},
                                         {"trace", 1, NULL, 0},   {"shape", 1, NULL, 0},
                                         {"memory", 1, NULL, 0},  {"cores", 1, NULL, 0},
                                         {"accept", 1, NULL, 0},  {"trigger", 1, NULL, 0},
                                         {"need", 1, NULL, 0},    {"hold", 1, NULL, 0},
                                         {"first", 1, NULL, 0},   {"share", 1, NULL, 0},
                                         {"write", 0, NULL, 'w'}, {"over_request", 0, NULL, 'o'},
                                         {"each", 0, NULL, 'e'},  {"help", 0, NULL, 'h'},
                                         {NULL, 0, NULL, 0}};
    o->setup.accept_bytes = o->setup.trigger_bytes = -1;
    for (int c, which; (c = getopt_long(argc, argv, "", list, &which)) != -1;) {
        if (c == 0)
            read_value(o, list[which].name, optarg);
        else if (c == 'w')
            o->write = true;
        else if (c == 'e')
            o->each = true;
        else if (c == 'o')
            o->setup.evict = EVICT_OVER_REQUEST;
        else {
            fputs(usage, c == 'h' ? stdout : stderr);
            exit(c == 'h' ? 0 : 2);
        }
    }
    if (optind < argc)
        fail(argv[optind], "unexpected; see --help");
    if (o->setup.accept_bytes < 0)
        o->setup.accept_bytes = sim_accept_default(o->setup.memory_bytes);
    if (o->setup.trigger_bytes < 0)
        o->setup.trigger_bytes = o->setup.accept_bytes / 2;
    if (sim_setup_most(&o->setup) <= 0)
        fail("--accept or --trigger", "not less than --memory");
}

/* --- running --------------------------------------------------------------------------------- */

static void get_trace(const struct options *o, uint64_t seed, struct sim_trace *trace) {
    double most = sim_setup_most(&o->setup);
    if (!o->trace) {
        sim_trace_draw(trace, seed, o->tasks, o->shape, most);
        return;
    }
    struct buf error = BUF_INIT;
    FILE *file = fopen(o->trace, "r");
    if (!file)
        fail(o->trace, strerror(errno));
    if (!sim_trace_read(trace, file, most, &error))
        fail(o->trace, error.data);
    fclose(file);
}

int main(int argc, char **argv) {
    struct options o = {.first_seed = 1, .last_seed = 20, .tasks = 2000, .shape = SIM_SHAPES};
    o.setup = sim_setup_default(SIM_FIXED);
    read_options(&o, argc, argv);
    size_t seeds = o.trace ? 1 : (size_t)(o.last_seed - o.first_seed + 1);
    struct sim_result(*results)[SIM_POLICY_COUNT] = xcalloc(seeds, sizeof *results);
    double *bounds = xcalloc(seeds, sizeof *bounds);
    for (size_t s = 0; s < seeds; s++) {
        struct sim_trace trace;
        uint64_t seed = o.first_seed + s;
        get_trace(&o, seed, &trace);
        if (o.write) {
            sim_trace_write(&trace, stdout);
            sim_trace_free(&trace);
            break;
        }
        bounds[s] = sim_bound_s(&trace, &o.setup);
        if (o.each) {
            printf("seed %llu: %zu tasks, bound %.0f s\n", (unsigned long long)seed, trace.count,
                   bounds[s]);
            summary_head("");
        }
        for (int policy = 0; policy < SIM_POLICY_COUNT; policy++) {
            o.setup.policy = (enum sim_policy)policy;
            results[s][policy] = sim_run(&trace, &o.setup);
            if (o.each)
                summary_each(sim_policy_name(o.setup.policy), &results[s][policy],
                             &results[s][SIM_FIXED], bounds[s]);
        }
        sim_trace_free(&trace);
    }
    if (!o.write)
        summary_all(results, bounds, seeds);
    free(results);
    free(bounds);
    return 0;
}
