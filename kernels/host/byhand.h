/*
 * byhand.h - the sub-commands for people: list, help, estimate, run. Each takes the words after its
 * name, prints, and returns the exit code.
 */
#ifndef DISTCOMP_KERNEL_BYHAND_H
#define DISTCOMP_KERNEL_BYHAND_H

int byhand_list(int argc, char **argv);
int byhand_help(int argc, char **argv);
int byhand_estimate(int argc, char **argv);
int byhand_run(int argc, char **argv);

#endif
