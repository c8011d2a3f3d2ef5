/*
 * serve.h - a host under a supervisor: one try after the other, as worker/hostwire.h says.
 *
 * Between tries it waits for the next request and costs nothing. A try that was asked to end
 * (SIGTERM) is the host's last: when the kernel was done all the same the process exits with 0,
 * else it dies of SIGTERM, as another program would.
 */
#ifndef DISTCOMP_KERNEL_SERVE_H
#define DISTCOMP_KERNEL_SERVE_H

enum { SERVE_MALFORMED = 100 }; /* exit code: a request of another version, or damaged */

/* Serves until the end of file (0) or a bad request (SERVE_MALFORMED). Takes over fd. */
int serve_run(int fd);
/* `kernelHost serve`. */
int serve_main(int argc, char **argv);

#endif
