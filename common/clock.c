#include "common/clock.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct clock_source replaced;

static int64_t read_ms(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

mono_ms_t mono_now(void) {
    return replaced.mono != NULL ? replaced.mono() : (mono_ms_t){read_ms(CLOCK_BOOTTIME)};
}

wall_ms_t wall_now(void) {
    return replaced.wall != NULL ? replaced.wall() : (wall_ms_t){read_ms(CLOCK_REALTIME)};
}

void clock_replace(const struct clock_source *source) {
    replaced = source != NULL ? *source : (struct clock_source){NULL, NULL};
}

#define YEAR_0_MS     INT64_C(-62167219200000)
#define YEAR_10000_MS INT64_C(253402300800000)

void wall_text(wall_ms_t time, char text[WALL_TEXT_SIZE]) {
    int64_t ms = time.ms < YEAR_0_MS        ? YEAR_0_MS
                 : time.ms >= YEAR_10000_MS ? YEAR_10000_MS - 1
                                            : time.ms;
    int64_t second = ms / 1000;
    int64_t rest = ms % 1000;
    if (rest < 0) {
        rest += 1000;
        second -= 1;
    }
    time_t seconds = (time_t)second;
    struct tm utc;
    gmtime_r(&seconds, &utc);
    /* Modulo what the clamp above already ensures, so that the compiler sees the width too. */
    snprintf(text, WALL_TEXT_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
             (unsigned)(utc.tm_year + 1900) % 10000, (unsigned)(utc.tm_mon + 1) % 100,
             (unsigned)utc.tm_mday % 100, (unsigned)utc.tm_hour % 100, (unsigned)utc.tm_min % 100,
             (unsigned)utc.tm_sec % 100, (unsigned)rest % 1000);
}
