#include "manager/loading.h"

#include <inttypes.h>

#include "manager/interrupt.h"
#include "manager/print.h"

/* In the order of the answer. */
static const struct {
    const char *name;
    size_t offset;
} fields[] = {{"new", offsetof(struct load_counts, new_tasks)},
              {"known", offsetof(struct load_counts, known)},
              {"updated", offsetof(struct load_counts, updated)},
              {"duplicate", offsetof(struct load_counts, duplicate)},
              {"failed", offsetof(struct load_counts, failed)},
              {"retried", offsetof(struct load_counts, retried)}};
#define FIELDS (sizeof fields / sizeof *fields)

static uint64_t field(const struct load_counts *counts, size_t i) {
    return *(const uint64_t *)(const void *)((const char *)counts + fields[i].offset);
}

void loading_counts(const struct load_counts *counts, bool retry_failed, struct buf *out) {
    for (size_t i = 0; i < (retry_failed ? FIELDS : FIELDS - 1); i++)
        buf_addf(out, "%s%" PRIu64 " %s", i ? ", " : "", field(counts, i), fields[i].name);
}

json_t *loading_json(const struct load_counts *counts) {
    json_t *object = json_object();
    for (size_t i = 0; i < FIELDS; i++)
        json_object_set_new(object, fields[i].name, json_integer((json_int_t)field(counts, i)));
    return object;
}

void loading_note(const struct session *session, const struct load_counts *counts,
                  bool retry_failed) {
    if (!counts->failed)
        return;
    const char *what = counts->failed == 1 ? "task has" : "tasks have";
    if (retry_failed)
        session_note(session, "%" PRIu64 " %s not been queued again: what they wait for has failed",
                     counts->failed, what);
    else
        session_note(session,
                     "%" PRIu64 " %s failed or been cancelled before; --retry_failed queues them "
                     "again",
                     counts->failed, what);
}

/* What is in the queue of a load that stopped on its way. */
static void add_state(const struct load_counts *counts, struct buf *text) {
    if (!counts->new_tasks && !counts->known && !counts->updated && !counts->retried)
        return;
    buf_adds(text, "; by then ");
    loading_counts(counts, counts->retried > 0, text);
    buf_adds(text, ": the same call again brings the rest");
}

static void tell(struct session *session, const char *why, const struct load_counts *counts) {
    struct buf text = BUF_INIT;
    buf_adds(&text, why);
    add_state(counts, &text);
    session_error(session, "%s", text.data);
    buf_free(&text);
}

int loading_abandon(struct session *session, struct store_load *load, const struct buf *error) {
    struct load_counts counts = store_load_counts(load);
    bool interrupted = !error->len && interrupt_caught();
    store_load_abandon(load);
    tell(session, interrupted ? "interrupted" : error->data, &counts);
    return interrupted ? interrupt_exit() : EXIT_FAILED;
}

bool loading_end(struct session *session, struct store_load *load, struct load_counts *counts) {
    struct buf error = BUF_INIT;
    bool ok = store_load_end(load, counts, &error);
    if (!ok)
        tell(session, error.data, counts);
    buf_free(&error);
    return ok;
}
