/*
 * redisPlan: prints the task file of a large computation. plan.h says what a planner is; to add
 * one, write it, declare it there and put it into the table below.
 */
#include <locale.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/answer.h"
#include "common/nearest.h"
#include "kernels/plan/plan.h"
#include "version.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const struct planner *const planners[] = {&plan_matmul, &plan_letters, &plan_mlp};
#define PLANNERS (sizeof planners / sizeof *planners)

static void print_help(void) {
    fputs("usage: redisPlan PLANNER [ARGUMENT...]\n"
          "       redisPlan PLANNER --help | --help | --version\n\n"
          "Prints the task file of a large computation, for `redisManager loadTask --taskfile "
          "-`.\n\n",
          stdout);
    for (size_t i = 0; i < PLANNERS; i++)
        printf("  %-10s %s\n", planners[i]->name, planners[i]->summary);
}

static void print_planner(const struct planner *planner) {
    printf("usage: redisPlan %s %s\n\n%s.\n", planner->name, planner->usage, planner->summary);
}

static const struct planner *find(const char *name, const char **near) {
    struct nearest nearest = nearest_make(name, strlen(name));
    for (size_t i = 0; i < PLANNERS; i++) {
        if (strcmp(planners[i]->name, name) == 0)
            return planners[i];
        nearest_try(&nearest, planners[i]->name);
    }
    *near = nearest.best;
    return NULL;
}

static bool is_word(const char *word, const char *name, const char *letter) {
    return strcmp(word, name) == 0 || strcmp(word, letter) == 0;
}

/* Before "--", which ends the options. */
static bool asks_for_help(int argc, char **argv) {
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (is_word(argv[i], "--help", "-h"))
            return true;
    return false;
}

static int run(const struct planner *planner, int argc, char **argv) {
    struct buf out = BUF_INIT, error = BUF_INIT;
    int code = planner->run(argc, argv, &out, &error);
    if (code == EXIT_DONE) {
        fwrite(out.data, 1, out.len, stdout);
        code = answer_finish("redisPlan", code);
    } else {
        fprintf(stderr, "redisPlan %s: %s", planner->name, error.data);
        if (code == EXIT_USAGE)
            fprintf(stderr, "; see redisPlan %s --help", planner->name);
        fputc('\n', stderr);
    }
    buf_free(&out);
    buf_free(&error);
    return code;
}

int main(int argc, char **argv) {
    const char *near = NULL;
    setlocale(LC_CTYPE, "");
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        fprintf(stderr, "redisPlan: which planner? see redisPlan --help\n");
        return EXIT_USAGE;
    }
    if (is_word(argv[1], "--help", "-h") || strcmp(argv[1], "help") == 0) {
        const struct planner *planner = argc > 2 ? find(argv[2], &near) : NULL;
        if (planner)
            print_planner(planner);
        else
            print_help();
        return answer_finish("redisPlan", EXIT_DONE);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("redisPlan %s\n", DISTCOMP_VERSION);
        return answer_finish("redisPlan", EXIT_DONE);
    }
    const struct planner *planner = find(argv[1], &near);
    if (!planner) {
        fprintf(stderr, "redisPlan: unknown planner \"%s\"%s%s%s see redisPlan --help\n", argv[1],
                near ? ", did you mean " : ";", near ? near : "", near ? "?" : "");
        return EXIT_USAGE;
    }
    if (asks_for_help(argc - 2, argv + 2)) {
        print_planner(planner);
        return answer_finish("redisPlan", EXIT_DONE);
    }
    return run(planner, argc - 1, argv + 1);
}
