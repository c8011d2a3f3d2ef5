/*
 * result.h - from how a try ended to what is reported of it.
 */
#ifndef DISTCOMP_RESULT_H
#define DISTCOMP_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/config.h"
#include "common/trylog.h"
#include "worker/run.h"
#include "worker/usage.h"

#define EXIT_TEMPFAIL 75 /* sysexits.h EX_TEMPFAIL: queue it again, uncounted */

/* Pure. What the exit means, and the wait before the next try (-1: no more tries). */
enum try_outcome result_outcome(const struct run *run, const struct config *config,
                                int64_t *delay_ms);
/* Pure. retry_backoff doubling with each failure, up to retry_backoff_max. */
int64_t result_backoff(uint64_t first_ms, uint64_t most_ms, uint32_t failures);

/*
 * Pure. The most memory a try is known to have had, 0: nothing is known. Where it was measured by
 * its processes, and not often or never, the kernel's own figure of its largest process counts as
 * well: that includes mapped files, but sees what was there between two samples.
 */
uint64_t result_peak(const struct usage_reading *last, const struct wire_exit *how);

/* Where a run's output lies, and where long output goes. */
struct result_files {
    const char *state_dir;
    const char *result_dir;
    const char *node; /* host name, for whoever looks for the file */
};

/* What the queue learns of its memory. */
struct result_memory {
    char family[FAMILY_KEY_MAX + 1];
    uint64_t peak_bytes, promised_bytes; /* peak 0: not known */
    uint64_t need_bytes; /* returned as a culprit: what its next try needs; 0: the same */
};

struct result {
    enum try_outcome outcome;
    int64_t delay_ms;
    struct buf entry, output; /* packed, as report.lua takes them */
    struct result_memory memory;
    uint32_t ack_flags; /* WIRE_ACK_*_TAKEN */
    uint64_t wall_us;
};

/*
 * Reads a run's output files (at most output_limit of each stream, its first and last half, with a
 * mark in between when it is longer; output=redis: all of it up to output_redis_max, compressed),
 * moves what is longer, or output=keep, to result_dir, and packs the report. Files that cannot be
 * read or kept are told in the reason; the result is reported all the same. result_free afterwards.
 */
void result_make(struct result *result, const struct run *run, const struct config *config,
                 const struct result_files *files);
void result_free(struct result *result);

/* STATE_DIR/out/SLOT.out or .err; appends. */
void result_stream_path(struct buf *out, const char *state_dir, uint32_t files, bool err);

#endif
