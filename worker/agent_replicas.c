/*
 * agent_replicas.c - wait_replicas: results are kept until enough replicas of Redis have them.
 *
 * DESIGN
 * A report that was answered puts its results on the list `recent` (agent_report.c), from which
 * they are reported again to a Redis that has forgotten them. Here WAIT is asked after a report's
 * answer, and covers everything that was answered before it. Until enough replicas have
 * acknowledged, the results stay on the list; tasks go on meanwhile.
 *
 * WAIT holds up its own connection in Redis, which is also that of claims and renewals. Another
 * connection would not do: WAIT speaks of what its own connection has written. So it is short, is
 * sent behind the claims of its turn, and while the replicas are behind it is asked only now and
 * then: a claim or renewal comes up to WAIT_MS late, once in WAIT_AGAIN_MS, and leases are some
 * seconds. What a later WAIT acknowledges includes all earlier writes, so nothing is reported again
 * for its sake.
 */
#include "worker/agent_state.h"

#include "common/log.h"

enum {
    WAIT_MS = 200,           /* a replica answers within a round trip; a slower one is behind */
    WAIT_AGAIN_MS = 2000,    /* while they are behind */
    WAIT_REFUSED_MS = 10000, /* Redis answered WAIT by an error, which is logged */
};

static uint64_t last_number(const struct agent *a) {
    return a->recent_last ? a->recent_last->number : 0;
}

bool replicas_have(const struct agent *a, const struct recent *r) {
    return a->config->wait_replicas == 0 || r->number <= a->recent_replicated;
}

bool replicas_have_all(const struct agent *a) {
    return !a->recent_last || replicas_have(a, a->recent_last);
}

static void on_episode(struct agent *a, int64_t have) {
    bool behind = have < a->config->wait_replicas;
    if (behind)
        a->replicas_next = mono_after(mono_now(), WAIT_AGAIN_MS);
    if (behind == a->replicas_behind)
        return;
    a->replicas_behind = behind;
    if (behind)
        log_event(LOG_WARN, "replicas_behind", kv_int("have", have),
                  kv_int("wait_replicas", a->config->wait_replicas),
                  kv_text("why", "not enough replicas of Redis have the last results, which are "
                                 "kept here until they do; look at INFO replication"));
    else
        log_event(LOG_INFO, "replicas_caught_up", kv_uint("let_go", a->recent_let_go));
    a->recent_let_go = 0;
}

static void on_wait(void *arg, const redisReply *reply) {
    struct agent *a = arg;
    a->replicas_asked = false;
    if (!reply || reply->type != REDIS_REPLY_INTEGER) {
        a->replicas_next = mono_after(mono_now(), redisio_up(a->redis) ? WAIT_REFUSED_MS : 0);
        return;
    }
    if (reply->integer >= a->config->wait_replicas && !a->recent_again)
        a->recent_replicated = a->replicas_asked_for;
    on_episode(a, reply->integer);
}

void replicas_step(struct agent *a) {
    /* What a changed Redis is to be told again comes first: WAIT speaks of writes to this one. */
    bool again = a->recent_again || a->report_recent;
    if (replicas_have_all(a) || again || a->replicas_asked || !lease_ready(a))
        return;
    int64_t left = mono_diff(a->replicas_next, mono_now());
    if (left > 0) {
        agent_wake(a, (uint64_t)left);
        return;
    }
    cmd_clear(&a->cmd);
    cmd_adds(&a->cmd, "WAIT");
    cmd_addu(&a->cmd, (uint64_t)a->config->wait_replicas);
    cmd_addu(&a->cmd, WAIT_MS);
    a->replicas_asked_for = last_number(a);
    a->replicas_asked = redisio_send(a->redis, &a->cmd, on_wait, a);
}
