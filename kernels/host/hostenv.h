/*
 * hostenv.h - the environment of a process that runs one try after the other.
 *
 * Each try has the environment that the process was started with, and its own variables over it.
 * setenv would keep every value it ever saw (getenv's result has to stay valid), so that a host
 * would grow with each try; here a variable has a place of its own, whose text changes. Not for use
 * while other threads read the environment.
 */
#ifndef DISTCOMP_KERNEL_HOSTENV_H
#define DISTCOMP_KERNEL_HOSTENV_H

#include <stddef.h>

/* Takes the environment as it is now for what every try has. */
void hostenv_start(void);
/*
 * The variables NAME=VALUE of a try, count strings one after the other, each with its NUL, and one
 * more if it is not NULL; of equal names the last counts. Those of the try before are gone. The
 * strings are copied.
 */
void hostenv_set(const char *strings, size_t count, const char *one_more);

/* Sets what numeric libraries read when they are opened, unless it is set already. */
void hostenv_for_libraries(void);

#endif
