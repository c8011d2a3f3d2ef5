#include "kernels/plan/words.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static bool is_letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_plain(char c) {
    return is_letter_or_digit(c) || (c && strchr("@%+=:,./_-", c));
}

void plan_add_word(struct buf *out, const char *text) {
    size_t len = strlen(text), plain = 0;
    while (plain < len && is_plain(text[plain]))
        plain++;
    if (len && plain == len) {
        buf_add(out, text, len);
        return;
    }
    buf_addc(out, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            buf_adds(out, "'\\''");
        else
            buf_addc(out, *text);
    }
    buf_addc(out, '\'');
}

bool plan_check_name(const char *what, const char *name, struct buf *error) {
    const char *why = !*name ? "is empty" : strchr(name, ',') ? "has a ','" : NULL;
    for (const char *at = name; *at && !why; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            why = "has a control character";
    if (why)
        buf_addf(error, "%s %s, which a task cannot name", what, why);
    return !why;
}

void plan_add_slug(struct buf *out, const char *name) {
    const char *end = name + strlen(name);
    while (end > name + 1 && end[-1] == '/')
        end--;
    const char *start = end;
    while (start > name && start[-1] != '/' && start[-1] != ':')
        start--;
    for (; start < end; start++)
        buf_addc(out, is_letter_or_digit(*start) || strchr("._-", *start) ? *start : '_');
}

bool plan_add_cwd(struct buf *out, struct buf *error) {
    char path[PATH_MAX];
    if (!getcwd(path, sizeof path)) {
        buf_addf(error, "the current directory: %s", strerror(errno));
        return false;
    }
    if (!plan_check_name("the current directory's name", path, error))
        return false;
    buf_adds(out, "#@ cwd=");
    plan_add_word(out, path);
    buf_addc(out, '\n');
    return true;
}
