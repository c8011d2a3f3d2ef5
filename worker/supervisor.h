/*
 * supervisor.h - the half of redisWorker that must not crash.
 *
 * DESIGN
 * One thread, one epoll loop, no Redis, no JSON. All memory is static: tables are as large as they
 * can get, and pages that were never touched cost nothing (under 2 MiB resident when idle). After
 * boot it never exits for an error: it writes a line to standard error and tries again.
 *
 *     agentlink   what is said to the agent and heard from it (wire.h)
 *     agentcare   keeps one agent alive
 *     spawn       starts a try; capture: its output files
 *     slot        the table of tries
 *     host        processes that run one try after the other
 *     ending      how tries end; stray, proctree: with all their processes
 *     statedir    lock, incarnation, socket
 *
 * It is a child subreaper, so no process of a try gets out from under it, and it learns of every
 * end by SIGCHLD and wait4, which brings the resource usage along. The pid of a child is not given
 * to another process before it was waited for, and only we wait; so the table of tries holds plain
 * pids and needs no pidfd, which would cost three system calls and a descriptor a try.
 *
 * A task like /bin/true costs the supervisor 11 system calls (strace -c of
 * build/tests/supervisor_rate_test 1000 2 /bin/true: 2 each of newfstatat, wait4, epoll_wait; 1
 * each of recvfrom, clone, read, pread64, sendto), and the child 9 before its execve.
 *
 * Signals: SIGTERM, SIGINT, SIGHUP, SIGUSR1 are told to the agent (WIRE_SIGNAL). When no agent is
 * alive, or it has said nothing 5 s after its start, SIGTERM and SIGINT end all tasks and the
 * supervisor.
 */
#ifndef DISTCOMP_SUPERVISOR_H
#define DISTCOMP_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#define SUPERVISOR_OUTPUT_MAX (1ull << 30)
#define SUPERVISOR_HELD       75 /* exit code: another supervisor lives on this state_dir */

enum supervisor_orphans {
    SUPERVISOR_ORPHANS_STOP, /* no agent and the lease nearly over: end the tasks */
    SUPERVISOR_ORPHANS_KEEP  /* let them run; a second copy may be started elsewhere */
};

struct supervisor_options {
    const char *state_dir;
    uint32_t capacity;       /* slots, 1 to 4096 */
    uint64_t output_max;     /* bytes of each stream kept on disk; 0: SUPERVISOR_OUTPUT_MAX */
    char *const *agent_argv; /* [0] is a path; NULL: wait for an agent to connect */
    enum supervisor_orphans orphan_policy;
    bool leave_when_idle;      /* exit 0 once an agent has gone and no try is held */
    uint32_t orphan_margin_ms; /* before the lease's end; 0: a quarter of the lease, at most 5 s */
    uint32_t host_idle_ms;     /* how long a host stays without a try; 0: 10 s */
};

/*
 * Runs until the agent says so, or until SIGTERM without an agent. Returns the exit code of the
 * process, which has to exit then: 0; the code of WIRE_BYE_REFUSED; SUPERVISOR_HELD; 1 when it
 * could not boot (a line on standard error says why). The strings must live as long. Once a
 * process.
 */
int supervisor_run(const struct supervisor_options *given);

#endif
