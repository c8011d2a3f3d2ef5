/*
 * peaks.h - how much memory the tasks of one family have taken: a histogram of their peaks on the
 * memory ladder (task.h), eight rungs an octave, so a quantile is at most 12.5 % too high and never
 * too low. In Redis it is a hash, `family:DIGEST`, that report.lua counts up; docs/memory.md has
 * its fields.
 *
 *     struct peaks peaks = PEAKS_INIT;
 *     peaks_add(&peaks, 900 << 20, 4096 << 20);
 *     if (peaks_known(&peaks))
 *         promised = peaks_need(&peaks), held = peaks_hold(&peaks);
 *     else
 *         promised = held = need_unknown(memory, mcpu);
 */
#ifndef DISTCOMP_PEAKS_H
#define DISTCOMP_PEAKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEAKS_STEPS 255 /* indexed by task_mem_step */
#define PEAKS_FIRST 5   /* peaks from which a family counts as known */
#define PEAKS_NEED  95  /* percentile that must fit for a task to start */
#define PEAKS_HOLD  50  /* percentile that is held for it once it runs */
#define PEAKS_MOST  512 /* at so many peaks all counts are halved, so that the newest weigh most */

struct peaks {
    uint64_t count; /* sum of steps */
    uint32_t steps[PEAKS_STEPS];
    uint64_t max_bytes; /* the highest peak, exactly; after ageing at most the highest rung */
    uint64_t used_kib;  /* sum of peaks, of tasks that asked for something */
    uint64_t asked_kib; /* sum of what those were promised */
};
#define PEAKS_INIT                                                                                 \
    { 0, {0}, 0, 0, 0 }

/* Counts a finished task's peak; promised_bytes is what it was promised, 0: nothing. Ages. */
void peaks_add(struct peaks *peaks, uint64_t peak_bytes, uint64_t promised_bytes);
/* Halves everything, rounding down; counts of one vanish. peaks_add does it at PEAKS_MOST. */
void peaks_age(struct peaks *peaks);

/* The upper end of the least rung with at least percent of all peaks on it or below; 0 without
 * peaks. percent is 1 to 100. */
uint64_t peaks_quantile(const struct peaks *peaks, unsigned percent);

bool peaks_known(const struct peaks *peaks);
/* What min_dram=auto is promised, and what of that is held while it runs (worker/memroom.h). */
uint64_t peaks_need(const struct peaks *peaks);
uint64_t peaks_hold(const struct peaks *peaks);
/* Whether to compute both anew, `fresh` peaks after it was last computed: each time while there
 * are few, later after every sixteenth part. */
bool peaks_need_due(uint64_t count, uint64_t fresh);

/* Thousandths of promised memory that were never used; 0 also when more was used than promised. */
uint32_t peaks_wasted_milli(const struct peaks *peaks);

/* Takes a field of the hash and its value; false when it is none of the sketch's (the hash has
 * others) or no number. Afterwards `count` is the sum of the steps taken so far. */
bool peaks_read_field(struct peaks *peaks, const char *name, size_t name_len, const char *value,
                      size_t value_len);

#endif
