#include "worker/agent_state.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/log.h"
#include "worker/notify.h"
#include "worker/ustime.h"

enum { REGISTER_AGAIN_MS = 1000, CHANGE_MS = 1000, DUE_JITTER_MS = 50 };

/* Retention has no time of its own to be due at: somebody comes by, every so many reports. */
enum { TIDY_REPORTS = 6 };

bool lease_ready(const struct agent *a) {
    return a->registered && !a->reconcile_wanted && !a->reconciling && redisio_up(a->redis);
}

void lease_lost(struct agent *a) {
    a->registering = a->renewing = a->reconciling = a->maintaining = false;
    a->registered = false; /* asked anew: the queue may have given the name away */
}

static void on_due(uv_timer_t *timer) {
    struct agent *a = timer->data;
    a->maintain_wanted = true;
}

/* The queue has work due in so many ms. A little of it is drawn, so that a hundred workers do not
 * all come at once. */
void lease_due(struct agent *a, int64_t due_ms) {
    if (due_ms == 0)
        a->maintain_wanted = true;
    else if (due_ms > 0)
        uv_timer_start(&a->due_timer, on_due, (uint64_t)(due_ms + random() % DUE_JITTER_MS), 0);
}

/* --- register -------------------------------------------------------------------------------- */

static void refuse_taken(struct agent *a, const struct register_answer *answer) {
    struct buf why = BUF_INIT;
    json_t *info = json_loadb(answer->info.data, answer->info.len, 0, NULL);
    const char *host = json_string_value(json_object_get(info, "host"));
    buf_addf(
        &why,
        "a worker named %s is already in queue %s (host %s, pid %lld, last report %.1f s ago): "
        "stop it, or give this one another --name",
        a->config->name, a->config->queue, host ? host : "unknown",
        (long long)json_integer_value(json_object_get(info, "pid")), (double)answer->age_ms / 1000);
    json_decref(info);
    agent_refuse(a, why.data);
    buf_free(&why);
}

static void on_register(void *arg, const redisReply *reply) {
    struct agent *a = arg;
    struct register_answer answer;
    a->registering = false;
    if (!reply || !register_read(reply, &answer)) {
        agent_wake(a, REGISTER_AGAIN_MS);
        return;
    }
    if (answer.status == REGISTER_TAKEN) {
        refuse_taken(a, &answer);
        return;
    }
    if (answer.status == REGISTER_AGAIN)
        return;
    a->registered = true;
    a->reconcile_wanted = true;
    a->claim_wanted = true;
    a->renew_wanted = true;
    log_event(LOG_INFO, "registered", kv_text("queue", a->config->queue));
    notify_send("READY=1\nSTATUS=%s in queue %s", a->config->name, a->config->queue);
}

/* How long this machine has been up, in ms; at least 1. */
static int64_t uptime_ms(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_BOOTTIME, &now);
    int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    return ms > 0 ? ms : 1;
}

/* Each register begins a session, so that nothing that was asked before it can be done after it: a
 * request may lie in the buffers of a connection that was given up, or of a proxy, for long. */
static void draw_session(struct agent *a) {
    uint64_t drawn;
    if (getrandom(&drawn, sizeof drawn, 0) != sizeof drawn)
        abort();
    snprintf(a->session, sizeof a->session, "%016" PRIx64, drawn);
}

static void send_register(struct agent *a) {
    struct buf dead = BUF_INIT;
    for (size_t i = 0; i < a->lives_count; i++)
        buf_addf(&dead, "%s%016" PRIx64 ".%lld", i ? " " : "", a->lives[i].incarnation,
                 a->lives[i].same_boot ? 0 : (long long)uptime_ms());
    draw_session(a);
    struct register_args args = {.worker = a->config->name,
                                 .incarnation = a->incarnation,
                                 .session = a->session,
                                 .dead = dead.data,
                                 .lease_ms = (uint64_t)a->config->lease_ms,
                                 .info = a->info,
                                 .max_losses = (uint32_t)a->config->max_losses};
    register_build(&a->cmd, a->queue_key, &args);
    a->registering = redisio_send(a->redis, &a->cmd, on_register, a);
    buf_free(&dead);
}

/* --- renew ----------------------------------------------------------------------------------- */

static void want_mode(struct agent *a, enum worker_want want) {
    static const enum agent_mode modes[] = {MODE_RUN, MODE_DRAIN, MODE_STOP};
    if (a->mode >= MODE_STOP || modes[want] == a->mode)
        return;
    if (want == WANT_RUN)
        health_resume(a);
    agent_set_mode(a, modes[want]);
}

static void cancel_runs(struct agent *a, const redisReply *reply, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct run *run = runs_find(&a->runs, renew_cancel(reply, i));
        if (!run || run->cancelled)
            continue;
        run->cancelled = true;
        log_event(LOG_INFO, "task_cancel", kv_text("task", run->id),
                  kv_uint("try", run->try_number));
        if (run->state == RUN_READY)
            run_give_up(&a->runs, run, RUN_RELEASED); /* the queue's flag makes it cancelled */
        else if (run->state == RUN_STARTED)
            agent_kill(a, run, WIRE_WHY_CANCEL, (uint64_t)a->config->kill_grace_ms);
    }
}

static void on_renew(void *arg, const redisReply *reply) {
    struct agent *a = arg;
    struct renew_answer answer;
    a->renewing = false;
    if (!reply || !renew_read(reply, &answer))
        return; /* the timer asks again */
    if (answer.status == RENEW_GONE) {
        a->registered = false;
        return;
    }
    /* It counts from when it was asked for: Redis cannot have renewed it earlier. */
    struct wire_lease lease = {a->renewed_boot_ms + (uint64_t)a->config->lease_ms,
                               (uint64_t)a->config->lease_ms};
    superlink_send(a->super, WIRE_LEASE, &lease, sizeof lease, NULL, 0);
    if (answer.status == RENEW_MISMATCH)
        a->reconcile_wanted = true;
    if (++a->renewals >= TIDY_REPORTS)
        a->maintain_wanted = true;
    lease_due(a, answer.due_ms);
    want_mode(a, answer.want);
    cancel_runs(a, reply, answer.cancels);
}

static char *make_stats(struct agent *a) {
    static const char *const modes[] = {"run", "drain", "stop", "return"};
    const char *mode = modes[a->mode];
    if (a->paused)
        mode = "paused";
    else if (a->slow_ms && a->mode == MODE_RUN)
        mode = "slow";
    json_t *stats = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "mode", mode, "running",
                              (json_int_t)a->runs.lists[RUN_STARTED].count, "ready",
                              (json_int_t)a->runs.lists[RUN_READY].count, "unreported",
                              (json_int_t)a->runs.lists[RUN_ENDED].count, "mem_promised",
                              (json_int_t)a->runs.started_mem_bytes, "mcpu_promised",
                              (json_int_t)a->runs.started_mcpu, "tries", (json_int_t)a->tries_done,
                              "stale", (json_int_t)a->stale_reports);
    memory_stats(a, stats);
    gpu_stats(a, stats);
    if (a->health_reason)
        json_object_set_new(stats, "reason", json_string(a->health_reason));
    char *text = json_dumps(stats, JSON_COMPACT);
    json_decref(stats);
    return text;
}

static void send_renew(struct agent *a) {
    uint64_t digest;
    size_t held = runs_held(&a->runs, &digest);
    char *stats = make_stats(a);
    renew_build(&a->cmd, a->queue_key, a->config->name, a->session, (uint64_t)a->config->lease_ms,
                held, digest, stats);
    free(stats);
    a->renewing = redisio_send(a->redis, &a->cmd, on_renew, a);
    if (a->renewing) {
        a->renew_wanted = false;
        a->renewed = mono_now();
        a->renewed_boot_ms = (uint64_t)ustime_boot() / US_PER_MS;
        a->renewed_running = a->runs.lists[RUN_STARTED].count;
    }
}

/* What checkWorker shows follows what runs, with a second's delay at most. */
static void renew_on_change(struct agent *a) {
    if (a->renew_wanted || a->renewed_running == a->runs.lists[RUN_STARTED].count)
        return;
    int64_t age = mono_diff(mono_now(), a->renewed);
    if (age >= CHANGE_MS)
        a->renew_wanted = true;
    else
        agent_wake(a, (uint64_t)(CHANGE_MS - age));
}

/* --- reconcile ------------------------------------------------------------------------------- */

static void on_reconcile(void *arg, const redisReply *reply) {
    struct agent *a = arg;
    size_t total = a->reconcile_count + a->reconcile_recent;
    enum reconcile_result *results = xcalloc(total + 1, sizeof *results);
    bool known = reply && reconcile_read(reply, total, results);
    a->reconciling = false;
    if (!known) {
        a->registered = false;
        a->reconcile_wanted = true;
    }
    for (size_t i = 0; known && i < a->reconcile_count; i++) {
        struct run *run = a->reconcile_runs[i];
        if (results[i] != RECONCILE_STALE) {
            if (results[i] == RECONCILE_RETAKEN)
                log_event(LOG_WARN, "task_retaken", kv_text("task", run->id));
            continue;
        }
        /* One that has ended is still reported: the answer may be that it was recorded before. */
        if (run->state == RUN_ENDED)
            continue;
        log_event(LOG_WARN, "task_taken_away", kv_text("task", run->id),
                  kv_uint("try", run->try_number));
        if (run->state == RUN_STARTED) {
            run->stale = true;
            agent_kill(a, run, WIRE_WHY_STALE, 0);
        } else if (run->state == RUN_READY) {
            run_remove(&a->runs, run);
        }
    }
    free(results);
    free(a->reconcile_runs);
    a->reconcile_runs = NULL;
}

/* No claim or report is under way, so that both sides speak of the same moment. */
static void send_reconcile(struct agent *a) {
    uint64_t digest;
    size_t held = runs_held(&a->runs, &digest);
    a->reconcile_runs = xcalloc(held + 1, sizeof(struct run *));
    a->reconcile_count = a->reconcile_recent = 0;
    reconcile_begin(&a->cmd, a->queue_key, a->config->name, a->session);
    for (int state = RUN_READY; state <= RUN_ENDED; state++)
        for (struct run *run = a->runs.lists[state].first; run; run = run->next)
            if (!run->stale) {
                reconcile_add(&a->cmd, run->id, run->try_number, run->nonce, run->loaded);
                a->reconcile_runs[a->reconcile_count++] = run;
            }
    for (const struct recent *r = a->recent_again; r; r = r->next, a->reconcile_recent++)
        reconcile_add(&a->cmd, r->id, r->try_number, r->nonce, r->loaded);
    a->reconcile_wanted = false;
    a->reconciling = redisio_send(a->redis, &a->cmd, on_reconcile, a);
    if (!a->reconciling) {
        a->reconcile_wanted = true;
        free(a->reconcile_runs);
        a->reconcile_runs = NULL;
    }
}

/* --- maintain, leave ------------------------------------------------------------------------- */

static void on_maintain(void *arg, const redisReply *reply) {
    struct agent *a = arg;
    int64_t due_ms, lost;
    a->maintaining = false;
    if (!reply || !maintain_read(reply, &due_ms, &lost))
        return;
    if (lost > 0)
        log_event(LOG_WARN, "leases_ended", kv_int("tasks", lost));
    lease_due(a, due_ms);
}

static void send_maintain(struct agent *a) {
    a->maintain_wanted = false;
    a->renewals = 0;
    maintain_build(&a->cmd, a->queue_key, (uint32_t)a->config->max_losses,
                   (uint64_t)a->config->keep_finished,
                   (uint64_t)a->config->keep_finished_days * (uint64_t)SETTING_DAY_MS,
                   agent_keep_output_bytes(a));
    a->maintaining = redisio_send(a->redis, &a->cmd, on_maintain, a);
}

static void on_leave(void *arg, const redisReply *reply) {
    struct agent *a = arg;
    a->leaving = false;
    if (reply && leave_read(reply))
        a->left = true;
    else if (!reply)
        agent_wake(a, REGISTER_AGAIN_MS);
}

void lease_leave(struct agent *a) {
    if (a->leaving || !a->registered)
        return;
    leave_build(&a->cmd, a->queue_key, a->config->name, a->session);
    a->leaving = redisio_send(a->redis, &a->cmd, on_leave, a);
}

void lease_step(struct agent *a) {
    if (!redisio_up(a->redis) || a->left || a->leaving)
        return;
    if (!a->registered) {
        if (!a->registering)
            send_register(a);
        return;
    }
    if (a->reconciling)
        return;
    if (a->reconcile_wanted) {
        if (!a->claiming && !a->reporting && !a->claim_unknown)
            send_reconcile(a);
        return;
    }
    renew_on_change(a);
    /* What is to be reported again the queue may hold, and this worker does not count. */
    if (a->renew_wanted && !a->renewing && !a->claiming && !a->claim_unknown && !a->recent_again)
        send_renew(a);
    if (a->maintain_wanted && !a->maintaining)
        send_maintain(a);
}
