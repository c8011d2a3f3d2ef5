/*
 * clock.h - two clocks that cannot be mixed up.
 *
 * mono_ms_t never jumps and is only good for differences on one machine; it goes on while the
 * machine sleeps (CLOCK_BOOTTIME), because leases in Redis do. wall_ms_t is Unix time in
 * milliseconds, for people and for records. Both may be replaced in a test. Any thread.
 */
#ifndef DISTCOMP_CLOCK_H
#define DISTCOMP_CLOCK_H

#include <stdint.h>

typedef struct {
    int64_t ms;
} mono_ms_t;

typedef struct {
    int64_t ms;
} wall_ms_t;

mono_ms_t mono_now(void);
wall_ms_t wall_now(void);

static inline mono_ms_t mono_after(mono_ms_t start, int64_t ms) {
    return (mono_ms_t){start.ms + ms};
}
/* Milliseconds from `earlier` to `later`; negative when they are the other way round. */
static inline int64_t mono_diff(mono_ms_t later, mono_ms_t earlier) {
    return later.ms - earlier.ms;
}
static inline int64_t wall_diff(wall_ms_t later, wall_ms_t earlier) {
    return later.ms - earlier.ms;
}

/* RFC 3339, UTC, milliseconds: 2026-01-31T12:00:00.000Z. Times outside the years 0 to 9999 are
 * clamped. */
#define WALL_TEXT_SIZE 25
void wall_text(wall_ms_t time, char text[WALL_TEXT_SIZE]);

/* What the clocks read; NULL members, or a NULL source, are the system's. For tests, before threads
 * start. */
struct clock_source {
    mono_ms_t (*mono)(void);
    wall_ms_t (*wall)(void);
};
void clock_replace(const struct clock_source *source);

#endif
