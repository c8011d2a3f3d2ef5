#include "manager/shell_quote.h"

#include <stdbool.h>
#include <string.h>

static bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("@%+=:,./_-", c));
}

void shell_quote(struct buf *out, const char *word, size_t len) {
    size_t plain = 0;
    while (plain < len && is_plain(word[plain]))
        plain++;
    if (len && plain == len) {
        buf_add(out, word, len);
        return;
    }
    buf_addc(out, '\'');
    for (size_t i = 0; i < len; i++) {
        if (word[i] == '\'')
            buf_adds(out, "'\\''");
        else
            buf_addc(out, word[i]);
    }
    buf_addc(out, '\'');
}
