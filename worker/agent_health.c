/*
 * Is it this machine that fails its tasks? One on which everything fails at once must not eat the
 * queue; one that is given bad tasks must not stand still.
 *
 * After broken_after tries in a row that failed within FAST_MS it asks how the others fare
 * (health.lua), again after each further one, and before each claim while it is slow:
 *
 *   others have finished tries since the streak began    it is the machine: it pauses, until
 *                                                        resumeWorker
 *   none has, but somebody may still (long tasks)        nobody can tell: it goes on slowly, a task
 *                                                        in 1 s, 2 s, ... 60 s
 *   nobody else is there, all fail, or cannot take it    it is the tasks: it goes on as fast as
 * ever
 *
 * One try that does not fail at once ends the streak.
 */
#include "common/log.h"
#include "worker/agent_state.h"

enum { FAST_MS = 5000, ASK_MS = 200, SLOW_FIRST_MS = 1000, SLOW_MOST_MS = 60000 };

static const char paused_why[] =
    "its last tries all failed at once, while others finish: resumeWorker puts it back";
static const char slow_why[] =
    "its last tries all failed at once, and no other worker has finished any since: it takes one "
    "task now and then";

static void end_slow(struct agent *a) {
    if (!a->slow_ms)
        return;
    a->slow_ms = 0;
    a->health_reason = NULL;
    a->claim_wanted = a->renew_wanted = true;
    log_event(LOG_INFO, "worker_not_slow", kv_uint("failures", a->fast_failures));
}

static void begin_slow(struct agent *a) {
    if (a->slow_ms)
        return;
    a->slow_ms = SLOW_FIRST_MS;
    a->slow_tried = false;
    a->slow_till = mono_after(mono_now(), SLOW_FIRST_MS);
    a->health_reason = slow_why;
    a->renew_wanted = true;
    while (a->runs.lists[RUN_READY].first)
        run_give_up(&a->runs, a->runs.lists[RUN_READY].first, RUN_RELEASED);
    log_event(LOG_WARN, "worker_slow", kv_uint("failures", a->fast_failures),
              kv_text("why", slow_why));
}

static void pause_worker(struct agent *a) {
    a->slow_ms = 0;
    a->paused = true;
    a->health_reason = paused_why;
    log_event(LOG_ERROR, "worker_paused", kv_uint("failures", a->fast_failures),
              kv_text("why", paused_why));
    want_build(&a->cmd, a->queue_key, "drain", a->config->name);
    redisio_send(a->redis, &a->cmd, NULL, NULL);
    agent_set_mode(a, MODE_DRAIN);
    a->renew_wanted = true;
}

static bool is_long_streak(const struct agent *a) {
    int64_t most = a->config->broken_after;
    return most > 0 && a->fast_failures >= (uint64_t)most;
}

static void on_health(void *arg, const redisReply *reply) {
    struct agent *a = arg;
    struct health health;
    a->health_asked = false;
    if (!reply || !health_read(reply, &health) || a->fast_failures == 0)
        return;
    if (!a->streak_known) {
        a->streak_known = true;
        a->finished_at_streak = health.finished;
    }
    if (a->paused || a->mode != MODE_RUN || !is_long_streak(a))
        return;
    a->health_answered = mono_now();
    if (health.finished > a->finished_at_streak)
        pause_worker(a);
    else if (health.hope)
        begin_slow(a);
    else
        end_slow(a);
}

static void ask(struct agent *a) {
    bool soon = mono_diff(mono_now(), a->health_answered) < ASK_MS;
    if (a->health_asked || a->paused || a->config->broken_after <= 0 ||
        (a->streak_known && (soon || !is_long_streak(a))))
        return;
    health_build(&a->cmd, a->queue_key, a->config->name, (uint64_t)a->config->broken_after);
    a->health_asked = redisio_send(a->redis, &a->cmd, on_health, a);
}

void health_note(struct agent *a, const struct run *run, enum try_outcome outcome) {
    bool failed = outcome == TRY_FAILED;
    if (outcome == TRY_FINISHED || (failed && run->exit.wall_us >= FAST_MS * 1000)) {
        a->fast_failures = 0;
        end_slow(a);
        return;
    }
    if (!failed)
        return;
    if (a->fast_failures++ == 0)
        a->streak_known = false;
    if (a->slow_ms && a->slow_tried) { /* not one of those that were on their way */
        a->slow_tried = false;
        a->slow_ms = a->slow_ms * 2 < SLOW_MOST_MS ? a->slow_ms * 2 : SLOW_MOST_MS;
        a->slow_till = mono_after(mono_now(), (int64_t)a->slow_ms);
    }
    ask(a);
}

void health_resume(struct agent *a) {
    a->fast_failures = 0;
    a->paused = false;
    a->health_reason = NULL;
    end_slow(a);
}

bool health_may_claim(struct agent *a, uint32_t *slots) {
    if (!a->slow_ms)
        return true;
    int64_t left = mono_diff(a->slow_till, mono_now());
    if (left > 0) {
        agent_wake(a, (uint64_t)left);
        return false;
    }
    a->slow_till = mono_after(mono_now(), (int64_t)a->slow_ms);
    a->slow_tried = true;
    ask(a); /* others may have finished something meanwhile */
    *slots = 1;
    return true;
}
