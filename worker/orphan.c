#include "worker/orphan.h"

#include "worker/ustime.h"

#define MARGIN_MAX_US (5 * (int64_t)US_PER_S)

static bool keeps, acted;
static int64_t given_margin_us;
static int64_t end_boot_us, length_us; /* 0: no lease */
static int64_t alone_boot_us; /* since when nobody attends, in this lease; 0: somebody did */

void orphan_init(bool keep, uint32_t margin_ms) {
    keeps = keep;
    given_margin_us = (int64_t)margin_ms * US_PER_MS;
}

void orphan_lease(const struct wire_lease *lease) {
    const uint64_t for_ever_ms = INT64_MAX / US_PER_MS / 4;
    bool none =
        lease->length_ms == 0 || lease->length_ms > for_ever_ms || lease->end_boot_ms > for_ever_ms;
    length_us = none ? 0 : (int64_t)lease->length_ms * US_PER_MS;
    end_boot_us = none ? 0 : (int64_t)lease->end_boot_ms * US_PER_MS;
    alone_boot_us = 0;
    acted = false;
}

int64_t orphan_length_us(void) {
    return length_us;
}

int64_t orphan_margin_us(void) {
    int64_t quarter_us = length_us / 4;
    if (given_margin_us)
        return given_margin_us;
    return quarter_us < MARGIN_MAX_US ? quarter_us : MARGIN_MAX_US;
}

int64_t orphan_lease_end_us(void) {
    return length_us ? ustime_mono() + (end_boot_us - ustime_boot()) : INT64_MAX;
}

int64_t orphan_deadline(bool attended, bool running) {
    int64_t margin_us = orphan_margin_us(), act_us = end_boot_us - margin_us;
    if (attended && alone_boot_us <= act_us)
        alone_boot_us = 0; /* replaced in time */
    if (attended || !length_us || keeps || acted || !running)
        return INT64_MAX;
    if (!alone_boot_us)
        alone_boot_us = ustime_boot();
    if (alone_boot_us > act_us)
        act_us = alone_boot_us + margin_us;
    return ustime_mono() + (act_us - ustime_boot());
}

void orphan_acted(void) {
    acted = true;
}
