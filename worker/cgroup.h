/*
 * cgroup.h - a cgroup for each slot of the worker, where the machine lets us make them.
 *
 * Used by the agent alone; the supervisor only passes on the names it is given with START. All
 * calls are blocking file operations of 1 to 100 us; none sleeps.
 *
 * WHERE
 *   version 2:  PARENT/distcomp-KEY.PID.START/slot-N      PARENT/worker holds supervisor and agent
 *   version 1:  OWN/distcomp-KEY.PID.START/slot-N         in the memory and the cpu hierarchy
 * OWN is the group we are in, PARENT is OWN, or the one above if OWN is called `worker` (systemd's
 * DelegateSubgroup=worker, or an earlier agent moved us). PID and START are the supervisor's pid
 * and its start time, which name it for ever: a new agent of the same supervisor finds its groups
 * again, and groups of a dead one are known as such.
 *
 * PARENT must be ours: a service manager that did not delegate it would move us about. It is when
 * systemd says so (its delegate attribute), or no systemd runs and we may write there. Controllers
 * can only be handed down by a group that holds no process itself, so supervisor and agent move to
 * PARENT/worker first; not in a .service without DelegateSubgroup, which systemd could then not
 * start a second time. Where controllers cannot be had, a version 2 group still tells which
 * processes are a task's, how much CPU time they took, and ends them all in one write.
 *
 * HOW TASKS GET IN
 * Version 2: born there (clone3 with CLONE_INTO_CGROUP and the directory), +25 to 40 us a start.
 * Version 1: only by a write to cgroup.procs. Each such move waits for an RCU grace period of all
 * cores: measured on Linux 6.18 with 2 cores, a lone one takes 5.4 to 30 ms (median 14), 200
 * processes that move themselves at once 18 ms each and 31 ms in all, and moves right after
 * another 6 us. And memory that was charged before stays where it was:
 * memory.move_charge_at_immigrate is refused (EINVAL) since the code was removed from the kernel.
 * So in version 1 only tries with a limit enter a group, before they execute their program (a
 * vfork, so the supervisor waits as long); the others are measured by their processes (usage.h),
 * which costs less than it would to move them.
 *
 * A SLOT'S LIFE
 *   cgroup_begin    makes the group (26 us in version 2, 85 in version 1) or takes the slot's old
 *                   one, sets or lifts limits, notes the counters: they are cumulative
 *   START           entry.dir, entry.procs to the supervisor
 *   cgroup_confirm  the main process runs: is it really inside? An older supervisor ignores names
 *   cgroup_read     counters since cgroup_begin
 *   cgroup_end      the try has ended, all its processes are gone. `killed` when anybody may have
 *                   used cgroup.kill: such a group cannot be used again (cgdir.h)
 * Page cache that an earlier try left is not counted and needs no cleaning. Shared memory or tmpfs
 * files that it left stay charged to the group: over 16 MiB of that, or a limit that does not go
 * down, and the group is made anew (the kernel hands the charge to the group above).
 *
 * DEATHS
 *   agent       a new one opens the same groups; cgroup_adopt for what runs
 *   supervisor  the agent calls cgroups_kill, or the next start cgroups_end_recorded
 *   both        cgroups_record has written the names to STATE_DIR; the next start reads them
 */
#ifndef DISTCOMP_CGROUP_H
#define DISTCOMP_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "worker/cgroupfind.h"

struct cgroups;

struct cgroup_options {
    const char *root;       /* "" but in tests */
    const char *key;        /* of this worker on this machine (queue and name); any text */
    int32_t supervisor_pid; /* moved to PARENT/worker where that is needed, with ourselves */
    uint32_t slots;         /* capacity */
};

struct cgroup_abilities {
    bool v2;        /* each slot has a version 2 group: members, CPU time, one-write kill */
    bool v2_memory; /* ... which counts and limits memory */
    bool v2_cpu;    /* ... and limits CPU */
    bool v2_io;     /* ... and counts storage bytes */
    bool v1_memory; /* limited tries get a version 1 memory group */
    bool v1_cpu;
    char why[256]; /* what is missing and what to do about it; "" when v2_memory and v2_cpu */
};

/* Never fails: what cannot be made is missing from the abilities. Ends and removes the groups of
 * dead supervisors with the same key. Strings are copied. */
struct cgroups *cgroups_open(const struct cgroup_options *options);
const struct cgroup_abilities *cgroups_abilities(const struct cgroups *groups);
/* `remove`: the worker ends, nothing runs: remove the groups. Else they stay for the next agent. */
void cgroups_close(struct cgroups *groups, bool remove);

/* What all slots use together, page cache aside: fresh, for 20 us. False without v2_memory. */
bool cgroups_used(const struct cgroups *groups, uint64_t *bytes);

/* SIGKILL to all processes of all slots (the supervisor is dead). True when none is left; call
 * again until then. */
bool cgroups_kill(struct cgroups *groups);

/*
 * Writes the names of our groups to a file of the private state directory; where we have none, what
 * is there stays (an agent that attached from elsewhere may see none of its supervisor's).
 * cgroups_end_recorded, before anything else of a start: ends and removes the
 * groups named there if their supervisor is dead. Returns how many are still not gone (processes
 * that take time to die): call again. Lines that do not name a group of a worker are ignored.
 */
bool cgroups_record(const struct cgroups *groups, const char *file);
size_t cgroups_end_recorded(const char *root, const char *file);

struct cgroup_limits { /* 0: no limit */
    uint64_t memory_bytes;
    uint32_t mcpu;
};

enum { CGROUP_ENTRIES = 2 };
struct cgroup_entry {
    char dir[CGROUP_PATH_MAX]; /* version 2: clone into this directory; "": no */
    /* version 1: the child opens each and writes "0" before it executes; "": none. A failure of
       that write is a failure of the start: the limit was asked for. */
    char procs[CGROUP_ENTRIES][CGROUP_PATH_MAX + 16];
};

/* False, with a message: a limit was asked for that cannot be set; nothing was begun, the caller
 * takes rlimits or refuses. Without limits it is always true, and entry may be empty. */
bool cgroup_begin(struct cgroups *groups, uint32_t slot, const struct cgroup_limits *limits,
                  struct cgroup_entry *entry, struct buf *error);
/* The main process of the slot's try runs (STARTED). */
void cgroup_confirm(struct cgroups *groups, uint32_t slot, int32_t pid);
/* The same for a try that an earlier agent began: its counters before are not known, so kills and
 * CPU time count from now. */
void cgroup_adopt(struct cgroups *groups, uint32_t slot, int32_t pid);
void cgroup_end(struct cgroups *groups, uint32_t slot, bool killed);

/* SIGKILL to all of a slot's processes at once. False: it has no group that holds them, or some
 * are not dead yet. Tell the supervisor first (WIRE_KILL), so that the reason is known. */
bool cgroup_kill(struct cgroups *groups, uint32_t slot);

/* What a slot's group can tell of the try in it. */
enum cgroup_part {
    CGROUP_MEMBERS = 1, /* cgroup_pids is complete */
    CGROUP_MEMORY = 2,
    CGROUP_CPU = 4,
    CGROUP_IO = 8,
    CGROUP_OOM = 16
};
unsigned cgroup_parts(const struct cgroups *groups, uint32_t slot);

struct cgroup_reading { /* since cgroup_begin */
    uint64_t
        mem_bytes; /* charged, without page cache; up to 16 MiB of it may be an earlier try's */
    uint64_t cache_bytes;
    uint64_t cpu_us, read_bytes, write_bytes;
};
/* Reads the parts of `want` that there are; returns which. */
unsigned cgroup_read(const struct cgroups *groups, uint32_t slot, unsigned want,
                     struct cgroup_reading *reading);
size_t cgroup_pids(const struct cgroups *groups, uint32_t slot, int32_t *pids, size_t max);
/* The most that was charged at once during this try, page cache included; 0: not known. */
uint64_t cgroup_peak(const struct cgroups *groups, uint32_t slot);
/* How often the kernel killed for memory in this slot's group; 0 also when it is not known. */
uint64_t cgroup_oom_kills(const struct cgroups *groups, uint32_t slot);
/* Did this try meet a memory limit of its own? */
bool cgroup_limit_met(const struct cgroups *groups, uint32_t slot);

#endif
