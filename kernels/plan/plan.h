/*
 * plan.h - a planner turns a large computation into a task file. main.c has the table of them.
 */
#ifndef DISTCOMP_KERNEL_PLAN_H
#define DISTCOMP_KERNEL_PLAN_H

#include "common/buf.h"

struct planner {
    const char *name;
    const char *usage;   /* the arguments after the name: "A.npy B.npy -o C.npy [--block N]" */
    const char *summary; /* a line */
    /*
     * argv[0] is the planner's name. Appends a task file to out and returns 0. On failure returns
     * 2 (bad usage) or 1 (the rest), with one line, without an end of line, in error; what is in
     * out is then not to be used. Writes nothing itself and changes nothing.
     */
    int (*run)(int argc, char **argv, struct buf *out, struct buf *error);
};

extern const struct planner plan_matmul, plan_letters, plan_mlp;

#endif
