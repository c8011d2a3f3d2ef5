/*
 * request.h - what a supervisor's message asks for (worker/hostwire.h). Pure.
 */
#ifndef DISTCOMP_KERNEL_REQUEST_H
#define DISTCOMP_KERNEL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "worker/hostwire.h"

/* Points into the message. */
struct request {
    struct host_request head;
    const char *cwd;  /* NULL: the directory that the host was started in */
    const char *text; /* KERNEL key=value ..., or @FILE */
    const char *env;  /* head.envc strings */
};

/* Checks and reads a message of len bytes. False: why. */
bool request_read(const char *message, size_t len, struct request *request, const char **why);

#endif
