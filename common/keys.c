#include "common/keys.h"

#include <string.h>

const struct queue_key_info queue_keys[QUEUE_KEY_COUNT] = {
#define X(symbol, suffix, type, help) {suffix, type, help},
    QUEUE_KEYS(X)
#undef X
};

void key_queue(struct buf *out, const char *queue) {
    buf_addf(out, "distcomp:{%s}", queue);
}

void key_add(struct buf *out, const char *queue_key, enum queue_key key, const char *name) {
    buf_addf(out, "%s:%s%s", queue_key, queue_keys[key].suffix, name ? name : "");
}

void key_pattern(struct buf *out, const char *queue_key, const char *suffix) {
    for (const char *at = queue_key; *at; at++) {
        if (strchr("*?[]\\^-", *at))
            buf_addc(out, '\\');
        buf_addc(out, *at);
    }
    buf_addf(out, ":%s*", suffix);
}
