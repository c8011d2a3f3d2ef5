/*
 * memrate.h - how fast memory is being used up, and when to look next. Pure: the caller reads the
 * clock and the memory.
 *
 *     next look = headroom / growth / 4, from 5 to 250 ms;  headroom = available - trigger
 *
 * so that there are three more looks before the trigger is met, if growth is what it was. Growth is
 * that between two looks, and after a burst half of it for each half second that has passed since:
 * a task that grows in steps, or one that ends and hides another's growth, does not put the watch
 * to sleep. Readings that are near each other in time and in value say nothing but noise (the
 * kernel's own counts lag by up to a megabyte a core) and are taken together with the next.
 *
 * While tasks run, growth counts as at least what one core can fill, and as that much for each task
 * that has just begun: a burst begins unannounced, often at the start of a task, and the nearer the
 * trigger, the less time there is to notice.
 */
#ifndef DISTCOMP_MEMRATE_H
#define DISTCOMP_MEMRATE_H

#include <stdbool.h>
#include <stdint.h>

#define MEMRATE_NEXT_MOST_MS  250
#define MEMRATE_NEXT_LEAST_MS 5
#define MEMRATE_LEAST         (UINT64_C(2) << 30) /* bytes a second, of one core */
#define MEMRATE_YOUNG_MS      1000                /* so long a task has just begun */

struct memrate {
    bool begun;
    int64_t base_us; /* the reading that growth is measured from */
    uint64_t base_bytes;
    double growth_bytes_s; /* at base_us */
};
#define MEMRATE_INIT                                                                               \
    { false, 0, 0, 0 }

/* A reading of available memory; now_us is monotonic. One that is not later than the last is
 * ignored. */
void memrate_add(struct memrate *rate, int64_t now_us, uint64_t available_bytes);

/* Bytes a second that available memory falls by; 0 while it rises or rests. */
uint64_t memrate_growth(const struct memrate *rate, int64_t now_us);

/* Milliseconds until the next look. available_bytes is the last reading, `young` how many tasks
 * have run for less than MEMRATE_YOUNG_MS (at most one a core counts: the caller's business). */
uint64_t memrate_next_ms(const struct memrate *rate, int64_t now_us, uint64_t available_bytes,
                         uint64_t trigger_bytes, unsigned young);

#endif
