/*
 * What common/peaks.c and common/need.c decide, for tests that compare the Lua scripts with them.
 *   peaks_probe peaks   reads lines `PEAK PROMISED` in bytes, counts each, and prints after each
 *                       `COUNT MAX USED ASKED NEED HOLD`
 *   peaks_probe need    reads lines `PROMISED PEAK LARGEST` and prints `VERDICT BYTES WHATEVER
 * TEXT`; WHATEVER: what is asked for when no worker is known, 0 for nothing
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/need.h"
#include "common/peaks.h"
#include "common/units.h"

static void count(void) {
    struct peaks peaks = PEAKS_INIT;
    uint64_t peak, promised;
    while (scanf("%" SCNu64 " %" SCNu64, &peak, &promised) == 2) {
        peaks_add(&peaks, peak, promised);
        printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
               peaks.count, peaks.max_bytes, peaks.used_kib, peaks.asked_kib, peaks_need(&peaks),
               peaks_hold(&peaks));
    }
}

static void raise_each(void) {
    static const char *const names[] = {"keep", "raised", "impossible"};
    uint64_t promised, peak, largest;
    while (scanf("%" SCNu64 " %" SCNu64 " %" SCNu64, &promised, &peak, &largest) == 3) {
        struct need need = need_after_return(promised, peak, largest);
        struct need whatever = need_after_return(promised, peak, UINT64_MAX);
        struct buf text = BUF_INIT;
        if (need.verdict == NEED_IMPOSSIBLE)
            need_add_impossible(&text, need.mem_bytes, largest);
        else
            units_add_bytes(&text, need.mem_bytes);
        printf("%s %" PRIu64 " %" PRIu64 " %s\n", names[need.verdict], need.mem_bytes,
               whatever.verdict == NEED_RAISED ? whatever.mem_bytes : 0, text.data);
        buf_free(&text);
    }
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "peaks") == 0)
        count();
    else if (argc == 2 && strcmp(argv[1], "need") == 0)
        raise_each();
    else
        return 2;
    return 0;
}
