#include "manager/print.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/units.h"
#include "manager/utf8.h"

size_t print_width(const char *text, size_t len) {
    size_t width = 0;
    for (size_t at = 0; at < len;) {
        uint32_t character;
        size_t size = utf8_read(text + at, len - at, &character);
        width += size ? utf8_width(character) : 1;
        at += size ? size : 1;
    }
    return width;
}

/* C0 and C1 controls and DEL move the cursor or start escape sequences; U+202A.. reorder the line.
 */
static bool is_control(uint32_t character) {
    return character < 0x20 || (character >= 0x7f && character < 0xa0) ||
           (character >= 0x202a && character <= 0x202e) ||
           (character >= 0x2066 && character <= 0x2069);
}

/* The character at text as it is shown; returns how many bytes it has. */
static size_t show_character(struct buf *out, const char *text, size_t len) {
    static const char escapes[] = "\tt\nn\rr";
    uint32_t character;
    size_t size = utf8_read(text, len, &character);
    if (size && !is_control(character)) {
        buf_add(out, text, size);
        return size;
    }
    for (size_t i = 0; i < sizeof escapes - 1; i += 2)
        if (text[0] == escapes[i]) {
            buf_addf(out, "\\%c", escapes[i + 1]);
            return 1;
        }
    for (size_t i = 0; i < (size ? size : 1); i++)
        buf_addf(out, "\\x%02x", (unsigned char)text[i]);
    return size ? size : 1;
}

void print_safe(struct buf *out, const char *text, size_t len, size_t max_width) {
    size_t width = 0, fits = out->len; /* where to cut so that '…' still fits */
    for (size_t at = 0; at < len;) {
        size_t before = out->len;
        at += show_character(out, text + at, len - at);
        width += print_width(out->data + before, out->len - before);
        if (max_width && width > max_width) {
            out->len = fits;
            buf_adds(out, "…");
            return;
        }
        if (max_width && width < max_width)
            fits = out->len;
    }
}

bool print_colours(FILE *file) {
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fileno(file)) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

size_t print_terminal_width(FILE *file) {
    struct winsize size;
    if (!isatty(fileno(file)))
        return 0;
    if (ioctl(fileno(file), TIOCGWINSZ, &size) != 0 || !size.ws_col)
        return 80;
    return size.ws_col;
}

void print_age(struct buf *out, uint64_t now_ms, uint64_t then_ms) {
    if (!then_ms)
        buf_addc(out, '-');
    else
        units_add_ms(out, now_ms > then_ms ? now_ms - then_ms : 0);
}

void print_count(struct buf *out, uint64_t number) {
    char digits[24];
    size_t len = (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    for (size_t i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            buf_addc(out, ',');
        buf_addc(out, digits[i]);
    }
}

/* --- JSON ------------------------------------------------------------------------------------ */

void print_json(FILE *file, json_t *value) {
    if (json_dumpf(value, file, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) == 0)
        fputc('\n', file);
    json_decref(value);
}

json_t *print_json_text(const char *text, size_t len) {
    json_t *string = json_stringn(text, len);
    if (string)
        return string;
    struct buf clean = BUF_INIT;
    for (size_t at = 0; at < len;) {
        uint32_t character;
        size_t size = utf8_read(text + at, len - at, &character);
        if (size)
            buf_add(&clean, text + at, size);
        else
            buf_adds(&clean, "\xef\xbf\xbd");
        at += size ? size : 1;
    }
    string = json_stringn(clean.data, clean.len);
    buf_free(&clean);
    return string;
}
