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
 */
#ifndef DISTCOMP_HOSTWIRE_H
#define DISTCOMP_HOSTWIRE_H

#include <stdint.h>

#define HOST_VERSION     1u
#define HOST_MESSAGE_MAX (128u * 1024u) /* bytes of a request, its strings included */

#define HOST_NEW_FILES 1u /* flags */

/* Followed by cwd (if any), argc arguments and envc strings NAME=VALUE, each with its NUL: what
 * WIRE_START has. Arguments: the program's name, then "serve", then the try's parameters. */
struct host_request {
    uint32_t version; /* HOST_VERSION */
    uint32_t flags;
    uint32_t
        cwd_len; /* 0: the directory it was started in; else a string follows, NUL not counted */
    uint32_t argc;
    uint32_t envc;
    uint32_t padding;
};

struct host_done {
    uint32_t version; /* HOST_VERSION */
    int32_t code;     /* as exit would give it: 0 to 125 */
    uint64_t user_us; /* of the host's threads and the children it waited for, in this try */
    uint64_t system_us;
    uint64_t maxrss_kib; /* its highest resident memory during this try */
};

#endif
