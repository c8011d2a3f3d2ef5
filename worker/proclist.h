/*
 * proclist.h - all processes, and which slot's try each belongs to; kept from one look to the next.
 *
 * A look lists /proc (0.4 us a process) and reads only what is new: 9 us for each new process, 6 us
 * more for an orphan's environment. For usage.c.
 */
#ifndef DISTCOMP_PROCLIST_H
#define DISTCOMP_PROCLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    OWNER_UNKNOWN = -1, /* hangs below the supervisor, and is not (yet) a try's: looked at again */
    OWNER_FOREIGN = -2  /* never will be */
};

struct proc_entry {
    int32_t pid, ppid, session;
    int32_t slot;    /* or OWNER_ */
    uint8_t looks;   /* at its environment */
    bool seen;       /* scratch */
    uint32_t serial; /* of the try, since slots are used again */
    uint64_t inode;
    uint64_t start_ticks;
};

/* A try to look for; in an array by slot. pid 0: none. */
struct proc_owner {
    int32_t pid; /* the main process, whose session is its own */
    uint32_t serial;
    char *cookie; /* "DISTCOMP_COOKIE=...", or NULL */
};

struct proclist {
    const char *root; /* borrowed */
    int32_t supervisor_pid;
    struct proc_entry *entries; /* by pid; those of a try have slot >= 0 and the owner's serial */
    size_t count, cap;
    bool truncated; /* more than PROCTREE_MAX: the highest pids are missing */
    uint32_t unowned;
    struct proc_entry *old; /* scratch */
    size_t old_count, old_cap;
};

/* owners: by slot, `slots` of them. False when /proc cannot be listed; the list is then empty. */
bool proclist_look(struct proclist *list, const struct proc_owner *owners, uint32_t slots);
void proclist_free(struct proclist *list);

#endif
