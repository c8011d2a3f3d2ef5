/*
 * serve.h - a host under a supervisor: one try after the other, as worker/hostwire.h says.
 *
 * Between tries it waits for the next request and costs nothing. A try that was asked to end
 * (SIGTERM) is the host's last: when the kernel was done all the same the process exits with 0,
 * else it dies of SIGTERM, as another program would.
 */
#ifndef DISTCOMP_KERNEL_SERVE_H
#define DISTCOMP_KERNEL_SERVE_H

#include <stdbool.h>
#include <stddef.h>

#include "worker/hostwire.h"

enum { SERVE_MALFORMED = 100 }; /* exit code: a request of another version, or damaged */

/* A request, into the bytes it came in. */
struct serve_request {
    struct host_request head;
    const char *cwd;  /* NULL: the directory that the host was started in */
    const char *text; /* KERNEL key=value ..., or @FILE */
    const char *env;  /* head.envc strings */
};
/* Checks and reads a message of len bytes, of which one more can be read. Pure. False: why. */
bool serve_read(const char *message, size_t len, struct serve_request *request, const char **why);

/* Serves until the end of file (0) or a bad request (SERVE_MALFORMED). Takes over fd. */
int serve_run(int fd);
/* `kernelHost serve`. */
int serve_main(int argc, char **argv);

#endif
