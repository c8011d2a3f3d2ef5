/*
 * hostbook.h - what the agent remembers of hosts (worker/host.h), which the supervisor keeps: who
 * is idle, and what earlier tries of a process have used. Pure.
 *
 *     EXIT with HOST_STAYS ──► hostbook_stayed          STARTED ──► hostbook_started
 *     EXIT without         ──► hostbook_gone            DISMISS ──► hostbook_forget_idle
 *
 * A book may be wrong for a moment (an idle host has left), or know nothing (a new agent): what is
 * measured of a try is then too high, and idle memory not counted.
 */
#ifndef DISTCOMP_HOSTBOOK_H
#define DISTCOMP_HOSTBOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "worker/usage.h"

struct hostbook_entry {
    int32_t pid;
    bool idle;
    mono_ms_t since;        /* idle */
    struct usage_base used; /* by its tries that have ended */
};

struct hostbook {
    struct hostbook_entry *entries; /* owned */
    size_t count, cap;
};
#define HOSTBOOK_INIT                                                                              \
    { NULL, 0, 0 }

/* A try has begun in process pid: what it had used before, valid until the next call; NULL: it is
 * new. */
const struct usage_base *hostbook_started(struct hostbook *book, int32_t pid);
/* What is known of it, whatever it does; likewise. */
const struct usage_base *hostbook_used(const struct hostbook *book, int32_t pid);
/* The try has ended with this use, and the process stays. Those idle since before `left` have
 * left. */
void hostbook_stayed(struct hostbook *book, int32_t pid, const struct usage_base *use,
                     mono_ms_t now, mono_ms_t left);
void hostbook_gone(struct hostbook *book, int32_t pid);
/* How many are idle since `left` or later; the first `max` pids. */
size_t hostbook_idle(const struct hostbook *book, mono_ms_t left, int32_t *pids, size_t max);
void hostbook_forget_idle(struct hostbook *book);
void hostbook_free(struct hostbook *book);

#endif
