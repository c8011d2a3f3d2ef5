/*
 * need.h - how much memory the next try of a task asks for. Pure; docs/memory.md.
 */
#ifndef DISTCOMP_NEED_H
#define DISTCOMP_NEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

enum need_verdict {
    NEED_KEEP,      /* a bystander: it was within what it was promised */
    NEED_RAISED,    /* a culprit: the next try asks for mem_bytes */
    NEED_IMPOSSIBLE /* a culprit that no known worker can hold: the task has failed */
};
struct need {
    enum need_verdict verdict;
    uint64_t mem_bytes; /* RAISED: the new min_dram; IMPOSSIBLE: what it had when it was ended */
};

/*
 * What a try that was returned for memory means for the next one. promised_bytes is what it was
 * promised (for min_dram=auto what the claim counted), peak_bytes the most that was measured.
 * largest_bytes is what the largest known worker offers one task when it is empty; UINT64_MAX: no
 * worker is known.
 *
 * A culprit gets its peak and a quarter, rounded up on the memory ladder (task.h), but not more
 * than the largest worker: there it has the machine to itself. Only a peak above that is
 * impossible.
 */
struct need need_after_return(uint64_t promised_bytes, uint64_t peak_bytes, uint64_t largest_bytes);

/* Appends "needs at least 12.3 GiB; the largest worker has 8.0 GiB". */
void need_add_impossible(struct buf *out, uint64_t needed_bytes, uint64_t largest_bytes);

/*
 * What report.lua notes behind the reason of a returned try whose task asks for more from then on:
 * "...; min_dram raised from 2.0 GiB to 4.0 GiB". Finds "min_dram raised from ..." at the end of a
 * reason; NULL when it is not there.
 */
const char *need_raised_note(const char *reason, size_t len, size_t *note_len);

/* What min_dram=auto counts for on a worker as long as its family is not known: a core's share
 * of the worker's memory, on the ladder. mcpu in thousandths of a core. */
uint64_t need_unknown(uint64_t capacity_bytes, uint32_t mcpu);

#endif
