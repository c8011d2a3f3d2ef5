#include "common/trylog.h"

#include <signal.h>
#include <string.h>

static const struct {
    enum try_outcome outcome;
    const char *name;
} outcomes[] = {
#define X(symbol, number, name) {TRY_##symbol, name},
    TRY_OUTCOMES(X)
#undef X
};

const char *try_outcome_name(enum try_outcome outcome) {
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++)
        if (outcomes[i].outcome == outcome)
            return outcomes[i].name;
    return "unknown";
}

static void add_slice(struct buf *out, struct slice s, size_t length_bytes, size_t most) {
    size_t len = s.len < most ? s.len : most;
    buf_add_be(out, len, length_bytes);
    buf_add(out, s.data, len);
}

static struct slice take_slice(struct cursor *c, size_t length_bytes) {
    struct slice s = {"", 0};
    size_t len = (size_t)cursor_be(c, length_bytes);
    const char *bytes = cursor_bytes(c, len);
    if (bytes)
        s = (struct slice){bytes, len};
    return s;
}

static unsigned char hex_value(char c) {
    if (c >= '0' && c <= '9')
        return (unsigned char)(c - '0');
    return c >= 'a' && c <= 'f' ? (unsigned char)(c - 'a' + 10) : 0;
}

static void add_nonce(struct buf *out, const char *nonce) {
    unsigned char bytes[NONCE_LEN / 2] = {0};
    if (strlen(nonce) == NONCE_LEN)
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (unsigned char)(hex_value(nonce[2 * i]) << 4 | hex_value(nonce[2 * i + 1]));
    buf_add(out, bytes, sizeof bytes);
}

static void take_nonce(struct cursor *c, char nonce[NONCE_LEN + 1]) {
    static const char digits[] = "0123456789abcdef";
    const char *bytes = cursor_bytes(c, NONCE_LEN / 2);
    for (size_t i = 0; bytes && i < NONCE_LEN / 2; i++) {
        nonce[2 * i] = digits[(unsigned char)bytes[i] >> 4];
        nonce[2 * i + 1] = digits[(unsigned char)bytes[i] & 15];
    }
    nonce[bytes ? NONCE_LEN : 0] = '\0';
}

void try_entry_pack(const struct try_entry *entry, struct buf *out) {
    struct buf body = BUF_INIT;
    buf_add_be(&body, entry->try_number, 2);
    buf_add_be(&body, (uint64_t)entry->outcome, 1);
    buf_add_be(&body, (uint64_t)entry->signal & 0xff, 1);
    buf_add_be(&body, (uint64_t)entry->exit_code & 0xffff, 2);
    buf_add_be(&body, entry->start_ms, 6);
    buf_add_be(&body, entry->end_ms, 6);
    buf_add_be(&body, entry->wall_us, 6);
    buf_add_be(&body, entry->user_us, 6);
    buf_add_be(&body, entry->system_us, 6);
    buf_add_be(&body, entry->maxrss_kib, 5);
    buf_add_be(&body, entry->out_bytes, 6);
    buf_add_be(&body, entry->err_bytes, 6);
    add_nonce(&body, entry->nonce);
    add_slice(&body, entry->worker, 1, 255);
    add_slice(&body, entry->node, 1, 255);
    add_slice(&body, entry->path, 2, 4095);
    add_slice(&body, entry->reason, 2, 4000);
    if (entry->read_bytes || entry->write_bytes) {
        buf_add_be(&body, entry->read_bytes, 6);
        buf_add_be(&body, entry->write_bytes, 6);
    }
    buf_add_be(out, body.len, 2);
    buf_add(out, body.data, body.len);
    buf_free(&body);
}

bool try_log_next(struct slice *log, struct try_entry *entry) {
    struct cursor c = cursor_make(log->data, log->len);
    size_t len = (size_t)cursor_be(&c, 2);
    const char *body = cursor_bytes(&c, len);
    if (!body)
        return false;
    log->data += 2 + len;
    log->len -= 2 + len;
    c = cursor_make(body, len);
    memset(entry, 0, sizeof *entry);
    entry->try_number = (uint16_t)cursor_be(&c, 2);
    entry->outcome = (enum try_outcome)cursor_be(&c, 1);
    entry->signal = (int)cursor_be(&c, 1);
    entry->exit_code = (int)cursor_be(&c, 2);
    entry->start_ms = cursor_be(&c, 6);
    entry->end_ms = cursor_be(&c, 6);
    entry->wall_us = cursor_be(&c, 6);
    entry->user_us = cursor_be(&c, 6);
    entry->system_us = cursor_be(&c, 6);
    entry->maxrss_kib = cursor_be(&c, 5);
    entry->out_bytes = cursor_be(&c, 6);
    entry->err_bytes = cursor_be(&c, 6);
    take_nonce(&c, entry->nonce);
    entry->worker = take_slice(&c, 1);
    entry->node = take_slice(&c, 1);
    entry->path = take_slice(&c, 2);
    entry->reason = take_slice(&c, 2);
    if (!c.failed && cursor_left(&c)) {
        entry->read_bytes = cursor_be(&c, 6);
        entry->write_bytes = cursor_be(&c, 6);
    }
    return !c.failed;
}

bool try_log_last(struct slice log, struct try_entry *entry) {
    bool found = false;
    struct try_entry next;
    while (try_log_next(&log, &next)) {
        *entry = next;
        found = true;
    }
    return found;
}

static void describe_status(const struct try_entry *entry, struct buf *out) {
    const char *name = entry->signal ? sigabbrev_np(entry->signal) : NULL;
    if (name)
        buf_addf(out, "killed by SIG%s", name);
    else if (entry->signal)
        buf_addf(out, "killed by signal %d", entry->signal);
    else
        buf_addf(out, "exit %d", entry->exit_code);
}

void try_entry_describe(const struct try_entry *entry, struct buf *out) {
    switch (entry->outcome) {
    case TRY_FINISHED:
    case TRY_FAILED:
        describe_status(entry, out);
        break;
    case TRY_RETURNED:
        buf_adds(out, "returned (memory)");
        break;
    case TRY_TEMPFAIL:
        buf_adds(out, "exit 75 (try again)");
        break;
    default:
        buf_adds(out, try_outcome_name(entry->outcome));
    }
}

void task_output_pack(const struct task_output *output, struct buf *out) {
    buf_add_be(out, output->try_number, 2);
    buf_add_be(out, output->flags, 1);
    buf_add_be(out, output->out_bytes, 6);
    buf_add_be(out, output->err_bytes, 6);
    add_slice(out, output->out, 4, UINT32_MAX);
    add_slice(out, output->err, 4, UINT32_MAX);
}

bool task_output_unpack(struct slice packed, struct task_output *output) {
    struct cursor c = cursor_make(packed.data, packed.len);
    output->try_number = (uint16_t)cursor_be(&c, 2);
    output->flags = (unsigned)cursor_be(&c, 1);
    output->out_bytes = cursor_be(&c, 6);
    output->err_bytes = cursor_be(&c, 6);
    output->out = take_slice(&c, 4);
    output->err = take_slice(&c, 4);
    return !c.failed;
}
