#include "kernels/data/httphead.h"

#include <string.h>
#include <strings.h>

#include "common/units.h"

struct value {
    const char *text;
    size_t len;
};

void httphead_clear(struct httphead *head) {
    *head = (struct httphead){.length = HTTPHEAD_UNKNOWN,
                              .range_from = HTTPHEAD_UNKNOWN,
                              .range_total = HTTPHEAD_UNKNOWN};
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct value trim(const char *text, size_t len) {
    while (len && is_blank(*text))
        text++, len--;
    while (len && is_blank(text[len - 1]))
        len--;
    return (struct value){text, len};
}

static uint64_t number(struct value value) {
    uint64_t n;
    const char *expected;
    return units_parse_uint(value.text, value.len, 0, UINT64_MAX - 1, &n, &expected)
               ? n
               : HTTPHEAD_UNKNOWN;
}

/* HTTP/1.1 404 Not Found */
static void read_status(struct httphead *head, struct value line) {
    httphead_clear(head);
    const char *blank = memchr(line.text, ' ', line.len);
    if (!blank)
        return;
    struct value rest = trim(blank, line.len - (size_t)(blank - line.text));
    uint64_t status = rest.len >= 3 ? number((struct value){rest.text, 3}) : HTTPHEAD_UNKNOWN;
    if (status < 100 || status > 999)
        return;
    head->status = (unsigned)status;
    rest = trim(rest.text + 3, rest.len - 3);
    size_t put = 0;
    for (; put < rest.len && put < sizeof head->reason - 1; put++)
        head->reason[put] = rest.text[put] >= ' ' && rest.text[put] < 127 ? rest.text[put] : '?';
    head->reason[put] = '\0';
}

/* bytes 100-199/1000, or 1000 as a star */
static void read_range(struct httphead *head, struct value value) {
    const char *dash = memchr(value.text, '-', value.len);
    const char *slash = memchr(value.text, '/', value.len);
    if (value.len < 6 || strncasecmp(value.text, "bytes", 5) != 0 || !slash)
        return;
    const char *from = value.text + 5;
    if (dash && dash > from && dash < slash)
        head->range_from = number(trim(from, (size_t)(dash - from)));
    head->range_total = number(trim(slash + 1, (size_t)(value.text + value.len - slash - 1)));
}

static void keep(struct httphead *head, struct value value) {
    if (value.len >= sizeof head->validator)
        return;
    memcpy(head->validator, value.text, value.len);
    head->validator[value.len] = '\0';
}

static void read_field(struct httphead *head, struct value name, struct value value) {
    struct {
        const char *name;
        size_t len;
    } known[] = {{"content-length", 14},
                 {"content-range", 13},
                 {"etag", 4},
                 {"last-modified", 13},
                 {"retry-after", 11}};
    size_t i = 0;
    while (i < sizeof known / sizeof *known &&
           (known[i].len != name.len || strncasecmp(known[i].name, name.text, name.len) != 0))
        i++;
    uint64_t n;
    switch (i) {
    case 0:
        head->length = number(value);
        break;
    case 1:
        read_range(head, value);
        break;
    case 2: /* W/"..." is the same only in sense */
        if (value.len && *value.text == '"')
            keep(head, value);
        break;
    case 3:
        if (head->validator[0] != '"')
            keep(head, value);
        break;
    case 4:
        n = number(value);
        head->retry_after_ms = n < UINT64_MAX / 1000 ? n * 1000 : 0;
        break;
    default:
        break;
    }
}

void httphead_line(struct httphead *head, const char *line, size_t len) {
    struct value all = trim(line, len);
    if (all.len >= 5 && memcmp(all.text, "HTTP/", 5) == 0) {
        read_status(head, all);
        return;
    }
    const char *colon = memchr(all.text, ':', all.len);
    if (!colon)
        return;
    size_t name = (size_t)(colon - all.text);
    read_field(head, trim(all.text, name), trim(colon + 1, all.len - name - 1));
}
