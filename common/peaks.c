#include "common/peaks.h"

#include <string.h>

#include "common/task.h"
#include "common/units.h"

void peaks_add(struct peaks *peaks, uint64_t peak_bytes, uint64_t promised_bytes) {
    uint8_t step = task_mem_step(peak_bytes ? peak_bytes : 1);
    peaks->steps[step]++;
    peaks->count++;
    if (peak_bytes > peaks->max_bytes)
        peaks->max_bytes = peak_bytes;
    if (promised_bytes) {
        peaks->used_kib += peak_bytes >> 10;
        peaks->asked_kib += promised_bytes >> 10;
    }
    if (peaks->count >= PEAKS_MOST)
        peaks_age(peaks);
}

void peaks_age(struct peaks *peaks) {
    uint64_t top = 0;
    peaks->count = 0;
    for (unsigned step = 0; step < PEAKS_STEPS; step++) {
        peaks->steps[step] /= 2;
        peaks->count += peaks->steps[step];
        if (peaks->steps[step])
            top = task_step_bytes((uint8_t)step);
    }
    if (peaks->max_bytes > top)
        peaks->max_bytes = top;
    peaks->used_kib /= 2;
    peaks->asked_kib /= 2;
}

uint64_t peaks_quantile(const struct peaks *peaks, unsigned percent) {
    uint64_t wanted = (peaks->count * percent + 99) / 100, seen = 0;
    for (unsigned step = 0; step < PEAKS_STEPS; step++) {
        seen += peaks->steps[step];
        if (seen && seen >= wanted)
            return task_step_bytes((uint8_t)step);
    }
    return 0;
}

bool peaks_known(const struct peaks *peaks) {
    return peaks->count >= PEAKS_FIRST;
}

uint64_t peaks_need(const struct peaks *peaks) {
    return peaks_quantile(peaks, PEAKS_NEED);
}

uint64_t peaks_hold(const struct peaks *peaks) {
    return peaks_quantile(peaks, PEAKS_HOLD);
}

bool peaks_need_due(uint64_t count, uint64_t fresh) {
    return count >= PEAKS_FIRST && fresh >= 1 + count / 16;
}

uint32_t peaks_wasted_milli(const struct peaks *peaks) {
    if (peaks->asked_kib == 0 || peaks->used_kib >= peaks->asked_kib)
        return 0;
    return (uint32_t)((double)(peaks->asked_kib - peaks->used_kib) * 1000 /
                      (double)peaks->asked_kib);
}

static bool is_field(const char *name, size_t len, const char *wanted) {
    return len == strlen(wanted) && memcmp(name, wanted, len) == 0;
}

bool peaks_read_field(struct peaks *peaks, const char *name, size_t name_len, const char *value,
                      size_t value_len) {
    const char *expected;
    uint64_t step, number;
    if (!units_parse_uint(value, value_len, 0, UINT64_MAX, &number, &expected))
        return false;
    if (units_parse_uint(name, name_len, 1, PEAKS_STEPS - 1, &step, &expected)) {
        if (number > UINT32_MAX)
            return false;
        peaks->count += number - peaks->steps[step];
        peaks->steps[step] = (uint32_t)number;
        return true;
    }
    uint64_t *field = is_field(name, name_len, "max")     ? &peaks->max_bytes
                      : is_field(name, name_len, "used")  ? &peaks->used_kib
                      : is_field(name, name_len, "asked") ? &peaks->asked_kib
                                                          : NULL;
    if (field)
        *field = number;
    return field != NULL;
}
