/*
 * shares.h - a thread that asks processes for their shares of the memory they use together (PSS).
 *
 * The kernel walks the page tables for it: 50 us a small process, 3.4 ms a GiB of 4 KiB pages. So
 * it is not for a thread that has to answer in time. One question at a time.
 */
#ifndef DISTCOMP_SHARES_H
#define DISTCOMP_SHARES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shares;

struct shares *shares_new(const char *root); /* borrowed */
/* Waits for the process that is being asked. */
void shares_free(struct shares *shares);

/* True while a question has not been taken back by shares_answer. */
bool shares_busy(const struct shares *shares);
/* Asks `count` processes (copied). `tag` comes back with the answer. False: no thread. */
bool shares_ask(struct shares *shares, uint64_t tag, const int32_t *pids, size_t count);

struct shares_answer {
    uint64_t tag;
    bool known;       /* false: one could not be asked (another user's, or a kernel before 5.4) */
    uint64_t bytes;   /* of those that still lived, together */
    uint64_t cost_us; /* CPU time */
};
/* False: not busy, or not done yet. */
bool shares_answer(struct shares *shares, struct shares_answer *answer);

#endif
