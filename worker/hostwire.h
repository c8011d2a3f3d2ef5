/*
 * hostwire.h - what the supervisor and a kernelHost say to each other (docs/kernels.md), over one
 * AF_UNIX SOCK_SEQPACKET socket pair. The host has its end at the descriptor named by the
 * environment variable DISTCOMP_HOST_FD. One message is one frame. Both are built together: a host
 * that gets another version exits with code 100 before it does anything.
 *
 *   supervisor                     host
 *     struct host_request, strings -->      then it runs the try; with HOST_NEW_FILES the message
 *                                           carries two descriptors: standard output and error
 *     <-- struct host_done                  it is idle again
 *     end of file ----------------->        it exits
 *
 * A try is ended (cancelled, timed out) as any is: SIGTERM, then SIGKILL. After a SIGTERM the host
 * may still answer; it gets no further request then, but the end of file.
 *
 * ENVIRONMENT: the strings of a request are set; those of the request before it that are not named
 * again are taken away. DISTCOMP_STATE_DIR and DISTCOMP_INCARNATION are never among them and stay.
 */
#ifndef DISTCOMP_HOSTWIRE_H
#define DISTCOMP_HOSTWIRE_H

#include <stdint.h>

#define HOST_VERSION     1u
#define HOST_MESSAGE_MAX (128u * 1024u) /* bytes of a request, its strings included */

#define HOST_NEW_FILES 1u /* flags of a request */

/*
 * Followed by cwd (if any), argc arguments and envc strings NAME=VALUE, each with its NUL: what
 * WIRE_START has. Arguments: the program's name, then "serve", then the try's parameters; when
 * these are too long for a message, "@FILE", an absolute name of a file that holds them (a kernel's
 * name never begins so).
 */
struct host_request {
    uint32_t version; /* HOST_VERSION */
    uint32_t flags;
    uint32_t
        cwd_len; /* 0: the directory it was started in; else a string follows, NUL not counted */
    uint32_t argc;
    uint32_t envc;
    uint32_t number; /* of this request; its answer has it, too */
};

/* The code of a try whose arguments or input no other try can mend (kernel_refuse): the task has
 * failed at once. */
#define HOST_REFUSED 2

#define HOST_SILENT 1u /* flags of an answer: both output files are empty, as fstat says */

/* What a try has used: the host's threads and the children it waited for. */
struct host_use {
    uint64_t user_us, system_us;
    uint64_t maxrss_kib;              /* its highest resident memory during this try */
    uint64_t read_bytes, write_bytes; /* from and to storage */
};

struct host_done {
    uint32_t version; /* HOST_VERSION */
    int32_t code;     /* as exit would give it: 0 to 255 */
    struct host_use use;
    uint32_t flags;  /* HOST_SILENT */
    uint32_t number; /* of the request that is answered */
};

#endif
