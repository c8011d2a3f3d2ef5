#include "common/serverinfo.h"

#include <string.h>

#define OUTPUT_SHARE_PERCENT 5
#define OUTPUT_SHARE_LEAST   (UINT64_C(1) << 20)

bool serverinfo_number(const char *text, size_t len, const char *field, uint64_t *value) {
    size_t field_len = strlen(field);
    for (const char *line = text, *end = text + len; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        if (!stop)
            stop = end;
        const char *digit = line + field_len + 1;
        if (digit < stop && memcmp(line, field, field_len) == 0 && digit[-1] == ':' &&
            *digit >= '0' && *digit <= '9') {
            uint64_t number = 0;
            for (; digit < stop && *digit >= '0' && *digit <= '9'; digit++)
                number = number * 10 + (uint64_t)(*digit - '0');
            *value = number;
            return true;
        }
        line = stop + 1;
    }
    return false;
}

uint64_t serverinfo_output_share(const char *text, size_t len) {
    uint64_t machine = 0, limit = 0;
    serverinfo_number(text, len, "total_system_memory", &machine);
    if (serverinfo_number(text, len, "maxmemory", &limit) && limit && (!machine || limit < machine))
        machine = limit;
    uint64_t share = machine / 100 * OUTPUT_SHARE_PERCENT;
    return share > OUTPUT_SHARE_LEAST ? share : OUTPUT_SHARE_LEAST;
}
