/*
 * spawn.h - starting one process at vfork speed.
 *
 * clone(CLONE_VM | CLONE_VFORK) on a stack of its own: no page table is copied, and the supervisor
 * goes on when the child has executed its program. Until then the child shares our memory and makes
 * only system calls; it reports a failed step and its errno through that memory.
 *
 * What the child has: a session and process group of its own; SIGKILL when the supervisor dies;
 * default signal dispositions and an empty mask; /dev/null as standard input; its output files
 * (opened by name, append-only) as standard output and error; no other descriptor, since all of
 * ours are close-on-exec; the supervisor's resource limits, which the supervisor does not change,
 * but for what its START confines it to (struct wire_confine).
 *
 * Limit: a cwd or program on a file system that hangs (a dead NFS server) holds the supervisor up
 * until it answers; that is the price of vfork.
 */
#ifndef DISTCOMP_SPAWN_H
#define DISTCOMP_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/statedir.h"
#include "worker/wireio.h"

struct spawn_result {
    int32_t pid; /* > 0 when the program runs */
    int error;   /* else the errno of the step that failed */
    enum wire_step step;
};

/*
 * Once, at boot, before any other function here: takes the environment as it is now as the base of
 * every task's, opens /dev/null, makes inherited descriptors close-on-exec and sets all signals to
 * their default (the caller blocks those that it wants to read). False with errno.
 */
bool spawn_init(const struct statedir *sd);

/* Starts a try in its slot's files. The strings are used in place, so view's buffer must stay as it
   is during the call; nothing of it is kept. */
struct spawn_result spawn_task(uint32_t slot, const struct wire_start_view *view);
/*
 * Starts a host (host.h): the first two arguments of the view, in the supervisor's own directory,
 * with these output files (capture.h), and `cookie` (the whole string) in place of the try's.
 * socket_fd stays open in it, named by DISTCOMP_HOST_FD.
 */
struct spawn_result spawn_host(uint32_t files, const struct wire_start_view *view, int socket_fd,
                               const char *cookie);
/* The string of env that begins with "DISTCOMP_COOKIE="; NULL for none. */
const char *spawn_cookie(const struct wire_start_view *view);

/* Starts the agent: argv[0] is a path; socket_fd stays open in it, named by DISTCOMP_AGENT_FD. */
struct spawn_result spawn_agent(char *const *argv, int socket_fd);

#endif
