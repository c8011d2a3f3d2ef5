/*
 * oomkill.h - did the kernel end this try because memory ran out?
 *
 * The agent takes oom_count once a second and keeps with each try the one from before its START
 * (taking it costs 60 to 100 us, too much for every start). At an EXIT by a signal or with a code
 * it takes it anew, puts together what else it knows, and asks oom_judge. A try that the kernel
 * killed for the machine's memory is given back (promise 9), one that met its own limit has failed
 * and is told so.
 *
 * The counters of the worker's cgroup and of the machine do not say whom. They decide only with
 * memory having been short, and only for a SIGKILL that was not ours: two tries of which one was
 * killed by the kernel and one by a user at the same time are then both given back, which costs a
 * try and no result.
 */
#ifndef DISTCOMP_OOMKILL_H
#define DISTCOMP_OOMKILL_H

#include <stdbool.h>
#include <stdint.h>

/* Kills since boot, or since the group was made. */
struct oom_count {
    uint64_t worker;  /* in the cgroup that tries without one of their own are in */
    uint64_t machine; /* /proc/vmstat; since Linux 4.13 */
};
/* `root` is "" but in tests. What cannot be read is 0. */
struct oom_count oom_count(const char *root);

struct oom_evidence {
    int32_t status;      /* of the main process, as from waitpid */
    bool ours;           /* the supervisor was asked to end it, or it was its leftovers */
    bool limit_met;      /* it met a memory limit of its own: cgroup_limit_met */
    uint64_t slot_kills; /* in its own cgroup: cgroup_oom_kills */
    struct oom_count at_start, at_end;
    bool was_short; /* less than twice the trigger was available, or PSI spoke, during its last
                       seconds */
};

enum oom_verdict {
    OOM_NO,
    OOM_MACHINE, /* memory of the machine, or of a limit above the worker, ran out */
    OOM_LIMIT    /* it met its own limit */
};

/*
 * A try whose main process ended well is never OOM, whatever of it was killed. A shell reports a
 * killed child as 128 + 9: with a kill in its own cgroup any failure counts, else only SIGKILL or
 * that code do. A kill in its own cgroup is its limit's only if it met that: the kernel counts
 * kills for the machine's memory there too.
 */
enum oom_verdict oom_judge(const struct oom_evidence *evidence);

#endif
