/*
 * ustime.h - the supervisor's clocks, in microseconds and milliseconds.
 *
 * Plain integers: `_us` is CLOCK_MONOTONIC microseconds, `_boot_us` CLOCK_BOOTTIME ones (they go on
 * while the machine is suspended), `_wall_ms` Unix milliseconds.
 */
#ifndef DISTCOMP_USTIME_H
#define DISTCOMP_USTIME_H

#include <stdint.h>
#include <time.h>

#define US_PER_MS 1000
#define US_PER_S  1000000

static inline int64_t ustime_mono(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * US_PER_S + t.tv_nsec / 1000;
}

static inline int64_t ustime_boot(void) {
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * US_PER_S + t.tv_nsec / 1000;
}

static inline uint64_t ustime_wall_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

#endif
