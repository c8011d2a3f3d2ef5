#include "worker/agent_state.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"

enum {
    BATCH_MS = 10,    /* results of short tasks wait this long for company */
    BATCH_FULL = 128, /* or until there are so many */
    AGAIN_MS = 1000,  /* a report without an answer is sent again after this */
    NO_START_MS = 1000
};
#define BATCH_BYTES (4u << 20)

/* --- what Redis may still lose --------------------------------------------------------------- */

void report_keep_recent(struct agent *a, const struct run *run, struct result *result) {
    struct recent *r = xcalloc(1, sizeof *r);
    r->number = ++a->recent_number;
    r->reported = mono_now();
    memcpy(r->id, run->id, sizeof r->id);
    memcpy(r->nonce, run->nonce, sizeof r->nonce);
    r->try_number = run->try_number;
    r->loaded = run->loaded;
    r->outcome = result->outcome;
    r->delay_ms = result->delay_ms;
    r->memory = result->memory;
    r->entry = result->entry; /* taken over */
    r->output = result->output;
    result->entry = result->output = (struct buf)BUF_INIT;
    r->bytes = sizeof *r + r->entry.cap + r->output.cap;
    *(a->recent_last ? &a->recent_last->next : &a->recent_first) = r;
    a->recent_last = r;
    a->recent_bytes += r->bytes;
}

/* A result is safe once Redis has answered what was asked RECENT_MS later, and enough replicas have
 * it. While Redis is away the clock stands still: it may come back without its last seconds
 * whenever it does. */
static bool is_safe(const struct agent *a, const struct recent *r) {
    bool again = a->recent_again || a->report_recent; /* it did: they are to be told again first */
    return !again && replicas_have(a, r) &&
           mono_diff(redisio_heard(a->redis), r->reported) >= RECENT_MS;
}

/* The oldest goes before its time. Its task is to run again should Redis forget it; to stop all
 * work for want of a replica would be worse. */
static void let_go(struct agent *a, const struct recent *r) {
    if (!replicas_have(a, r) && a->recent_let_go++ == 0)
        log_event(LOG_WARN, "results_let_go", kv_uint("bytes", a->recent_bytes),
                  kv_text("why", "no memory for more results that wait for replicas"));
}

void report_drop_recent(struct agent *a, bool all) {
    size_t most = a->config->wait_replicas ? REPLICATED_BYTES : RECENT_BYTES;
    while (a->recent_first) {
        struct recent *r = a->recent_first;
        if (!all && !is_safe(a, r)) {
            if (a->recent_bytes <= most)
                return;
            let_go(a, r);
        }
        a->recent_first = r->next;
        if (a->recent_again == r)
            a->recent_again = r->next;
        if (!r->next)
            a->recent_last = NULL;
        a->recent_bytes -= r->bytes;
        buf_free(&r->entry);
        buf_free(&r->output);
        free(r);
    }
}

void report_again(struct agent *a) {
    a->recent_again = a->recent_first;
    a->recent_replicated = 0;
}

/* Those before recent_again have been reported again, and may be forgotten again. */
static void keep_again(struct agent *a) {
    for (struct recent *r = a->recent_first; r && r != a->recent_again; r = r->next)
        r->reported = mono_now();
}

/* --- reporting ------------------------------------------------------------------------------- */

static void acknowledge(struct agent *a, struct run *run, uint32_t flags) {
    if (run->in_supervisor && !a->super_gone) {
        struct wire_ack ack = {run->slot, flags};
        superlink_send(a->super, WIRE_ACK, &ack, sizeof ack, NULL, 0);
    }
    run_remove(&a->runs, run);
}

static void log_result(const struct run *run, const struct result *result, const char *answer) {
    bool failed = result->outcome == TRY_FAILED || result->outcome == TRY_TIMEOUT;
    if (!log_on(failed ? LOG_WARN : LOG_DEBUG))
        return;
    log_event(failed ? LOG_WARN : LOG_DEBUG, "task_end", kv_text("task", run->id),
              kv_uint("try", run->try_number),
              kv_text("outcome", try_outcome_name(result->outcome)),
              kv_int("status", run->exit.status), kv_uint("wall_us", run->exit.wall_us),
              kv_uint("peak", run->memory.peak_bytes), kv_text("answer", answer));
}

static void settle(struct agent *a, struct run *run, struct result *result,
                   enum report_result answer) {
    static const char *const names[] = {"recorded", "yours", "stale", "unknown"};
    if (answer == REPORT_STALE || answer == REPORT_UNKNOWN) {
        a->stale_reports++;
        log_event(LOG_WARN, "report_refused", kv_text("task", run->id),
                  kv_uint("try", run->try_number), kv_text("answer", names[answer]));
    }
    log_result(run, result, names[answer]);
    if (run->fate == RUN_RAN) {
        a->tries_done++;
        if (result->outcome == TRY_FAILED || result->outcome == TRY_TIMEOUT)
            a->tries_failed++;
        a->mean_wall_us = admission_mean(a->mean_wall_us, result->wall_us);
        health_note(a, run, result->outcome);
    }
    bool there = answer == REPORT_RECORDED || answer == REPORT_YOURS;
    if (there && result->entry.len) /* else it leaves no trace: reconcile does */
        report_keep_recent(a, run, result);
    acknowledge(a, run, result->ack_flags);
    a->claim_wanted = true;
}

static void on_report(void *arg, const redisReply *reply) {
    struct agent *a = arg;
    enum report_result answers[REPORT_MOST];
    int64_t due_ms;
    size_t count = a->report_count;
    if (!reply && a->report_recent)
        a->recent_again = a->recent_first;
    bool known = reply && report_read(reply, count + a->report_recent, answers, &due_ms);
    if (known && a->report_recent)
        keep_again(a);
    a->reporting = false;
    a->report_count = a->report_recent = 0;
    for (size_t i = 0; i < count; i++) {
        struct run *run = a->report_runs[i];
        if (known) {
            settle(a, run, &a->report_results[i], answers[i]);
        } else {
            /* It cannot be made anew: its files may have been moved to result_dir. */
            run->not_before = mono_after(mono_now(), redisio_up(a->redis) ? AGAIN_MS : 0);
            run->kept = xmalloc(sizeof *run->kept);
            *run->kept = a->report_results[i];
            a->report_results[i] = (struct result){.entry = BUF_INIT, .output = BUF_INIT};
            run_unreport(&a->runs, run);
        }
        result_free(&a->report_results[i]);
    }
    if (known)
        lease_due(a, due_ms);
    else
        agent_wake(a, AGAIN_MS);
}

static void add_item(struct agent *a, struct report_item item, const struct buf *entry,
                     const struct buf *output, const struct result_memory *memory) {
    item.entry = (struct slice){entry->data, entry->len};
    item.output = (struct slice){output->data, output->len};
    item.family = (struct slice){memory->family, strlen(memory->family)};
    item.peak_bytes = memory->peak_bytes;
    item.promised_bytes = memory->promised_bytes;
    item.need_bytes = memory->need_bytes;
    report_add(&a->cmd, &item);
}

static void make_result(struct agent *a, struct run *run, struct result *result) {
    struct result_files files = agent_files(a);
    if (run->kept) {
        *result = *run->kept;
        free(run->kept);
        run->kept = NULL;
        return;
    }
    result_make(result, run, a->config, &files);
    int error = run->exit.spawn_errno;
    if (run->fate == RUN_RAN && error && result->outcome == TRY_RELEASED) {
        log_event(LOG_ERROR, "cannot_start_processes", kv_text("why", strerror(error)));
        a->no_start_before = mono_after(mono_now(), NO_START_MS);
    }
}

/* Results that a restarted Redis may have forgotten, as many as fit one call. */
static size_t add_recent(struct agent *a, size_t room) {
    size_t added = 0;
    for (; a->recent_again && added < room; a->recent_again = a->recent_again->next, added++) {
        const struct recent *r = a->recent_again;
        struct report_item item = {.id = r->id,
                                   .try_number = r->try_number,
                                   .nonce = r->nonce,
                                   .outcome = r->outcome,
                                   .delay_ms = r->delay_ms};
        add_item(a, item, &r->entry, &r->output, &r->memory);
    }
    return added;
}

/* A call costs Redis several times what a result in it does. Nothing waits for company when others
 * may wait for it: this worker has run out of tasks, and some may depend on these. */
static bool batch_due(struct agent *a) {
    const struct run_list *ended = &a->runs.lists[RUN_ENDED];
    bool starving = a->claim_empty && !a->runs.lists[RUN_READY].first;
    if (starving || ended->count >= BATCH_FULL || a->mode >= MODE_STOP ||
        !admission_ahead((uint32_t)a->runs.lists[RUN_STARTED].count, a->mean_wall_us))
        return true;
    mono_ms_t now = mono_now();
    if (a->batch_since.ms == 0) {
        a->batch_since = now;
        agent_wake(a, BATCH_MS);
    }
    return mono_diff(now, a->batch_since) >= BATCH_MS;
}

/* Runs whose queue has given them to somebody else end here, in silence. */
static void drop_stale(struct agent *a) {
    for (struct run *run = a->runs.lists[RUN_ENDED].first, *next; run; run = next) {
        next = run->next;
        if (run->stale)
            acknowledge(a, run, 0);
    }
}

void report_step(struct agent *a) {
    drop_stale(a);
    report_drop_recent(a, false);
    struct run_list *ended = &a->runs.lists[RUN_ENDED];
    if (a->reporting || !lease_ready(a) || (!ended->first && !a->recent_again))
        return;
    if (!a->recent_again && !batch_due(a))
        return;
    a->batch_since.ms = 0;
    report_begin(&a->cmd, a->queue_key, a->config->name, (uint32_t)a->config->max_losses,
                 agent_keep_output_bytes(a));
    mono_ms_t now = mono_now();
    size_t count = 0;
    for (struct run *run = ended->first, *next;
         run && count < REPORT_MOST && a->cmd.bytes.len < BATCH_BYTES; run = next) {
        next = run->next;
        if (mono_diff(run->not_before, now) > 0)
            continue;
        struct result *result = &a->report_results[count];
        make_result(a, run, result);
        struct report_item item = {.id = run->id,
                                   .try_number = run->try_number,
                                   .nonce = run->nonce,
                                   .outcome = result->outcome,
                                   .delay_ms = result->delay_ms};
        add_item(a, item, &result->entry, &result->output, &result->memory);
        a->report_runs[count++] = run;
    }
    a->report_recent = add_recent(a, REPORT_MOST - count);
    a->report_count = count;
    if (count + a->report_recent == 0)
        return;
    for (size_t i = 0; i < count; i++)
        run_report(&a->runs, a->report_runs[i]);
    a->reporting = redisio_send(a->redis, &a->cmd, on_report, a);
    if (!a->reporting) {
        a->reporting = true;
        on_report(a, NULL);
    }
}
