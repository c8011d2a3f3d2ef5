#include "worker/agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/keys.h"
#include "common/log.h"
#include "version.h"
#include "worker/agent_state.h"
#include "worker/notify.h"
#include "worker/standing.h"

enum {
    LEAVE_MOST_MS = 10000,  /* how long the last results wait for a Redis that is away */
    RESOLVE_MOST_MS = 60000 /* how long a name server may keep us waiting */
};

const char *agent_node(void) {
    static char name[256];
    if (!name[0] && gethostname(name, sizeof name - 1) != 0)
        snprintf(name, sizeof name, "unknown");
    return name;
}

struct result_files agent_files(const struct agent *a) {
    return (struct result_files){a->config->state_dir, a->config->result_dir, agent_node()};
}

uint64_t agent_keep_output_bytes(const struct agent *a) {
    if (a->config->keep_output_bytes)
        return a->config->keep_output_bytes;
    return a->facts.output_share_bytes;
}

/* --- step ------------------------------------------------------------------------------------ */

static void on_step_timer(uv_timer_t *timer) {
    (void)timer; /* the prepare handle does the rest */
}

void agent_wake(struct agent *a, uint64_t ms) {
    if (uv_is_active((uv_handle_t *)&a->step_timer) && uv_timer_get_due_in(&a->step_timer) <= ms)
        return;
    uv_timer_start(&a->step_timer, on_step_timer, ms, 0);
}

void agent_kill(struct agent *a, struct run *run, enum wire_why why, uint64_t grace_ms) {
    struct wire_kill kill = {run->slot, (uint32_t)why, (uint32_t)grace_ms};
    if (run->state != RUN_STARTED || !run->in_supervisor || a->super_gone)
        return;
    superlink_send(a->super, WIRE_KILL, &kill, sizeof kill, NULL, 0);
    if (run->memory.end_why == WIRE_WHY_NONE)
        run->memory.end_used_bytes = memory_used(a, run);
    run_end_asked(run, why, grace_ms);
}

static size_t unfinished(const struct agent *a) {
    size_t count = 0;
    for (int state = 0; state < RUN_STATES; state++)
        count += a->runs.lists[state].count;
    return count;
}

void agent_bye(struct agent *a, enum wire_bye_mode mode, int code) {
    struct wire_bye bye = {(uint32_t)mode, (uint32_t)code};
    notify_send("STOPPING=1");
    if (!a->super_gone)
        superlink_send(a->super, WIRE_BYE, &bye, sizeof bye, NULL, 0);
    a->exit_code = code;
    a->ended = true;
    uv_stop(&a->loop);
}

void agent_refuse(struct agent *a, const char *why) {
    fprintf(stderr, "redisWorker: %s\n", why);
    agent_bye(a, WIRE_BYE_REFUSED, 1);
}

static void give_back(struct agent *a) {
    for (struct run *run = a->runs.lists[RUN_STARTED].first; run; run = run->next)
        agent_kill(a, run, WIRE_WHY_RETURN, (uint64_t)a->config->kill_grace_ms);
}

static void on_drain_timeout(uv_timer_t *timer) {
    struct agent *a = timer->data;
    if (a->mode == MODE_STOP) {
        log_event(LOG_WARN, "drain_timeout", kv_uint("tasks", a->runs.lists[RUN_STARTED].count));
        agent_set_mode(a, MODE_RETURN);
    }
}

/* For the agent after this one, if it is killed before it has left. */
static void keep_order(struct agent *a) {
    enum standing order = a->mode == MODE_STOP ? STANDING_STOP : STANDING_RETURN;
    if (!standing_keep(a->config->state_dir, a->incarnation, order))
        log_event(LOG_WARN, "order_not_kept", kv_text("why", strerror(errno)));
}

/* The one before this was told to leave, and its supervisor still lives. */
static void take_over_order(struct agent *a) {
    enum standing order = standing_read(a->config->state_dir, a->incarnation);
    if (order != STANDING_NONE && a->mode < MODE_STOP)
        agent_set_mode(a, order == STANDING_STOP ? MODE_STOP : MODE_RETURN);
}

void agent_set_mode(struct agent *a, enum agent_mode mode) {
    static const char *const names[] = {"run", "drain", "stop", "return"};
    a->told_to_leave |= mode >= MODE_STOP;
    if (mode == a->mode)
        return;
    log_event(LOG_INFO, "mode", kv_text("mode", names[mode]),
              kv_uint("running", a->runs.lists[RUN_STARTED].count));
    notify_send("STATUS=%s", names[mode]);
    a->mode = mode;
    a->claim_wanted = true;
    a->renew_wanted = true;
    if (mode >= MODE_STOP) {
        keep_order(a);
        hosts_dismiss(a, false);
    }
    if (mode == MODE_STOP && a->config->drain_timeout_ms > 0)
        uv_timer_start(&a->drain_timer, on_drain_timeout, (uint64_t)a->config->drain_timeout_ms, 0);
    if (mode == MODE_RETURN) {
        a->leave_since = mono_now();
        give_back(a);
        agent_wake(a, LEAVE_MOST_MS);
    }
}

void agent_keep_orders(struct agent *a) {
    take_over_order(a);
    if (a->mode >= MODE_STOP)
        keep_order(a); /* told before the incarnation was known, */
    if (a->mode == MODE_RETURN)
        give_back(a); /* or before its tasks were */
}

void agent_supervisor_died(struct agent *a) {
    a->mode = MODE_RETURN;
    a->leave_since = mono_now();
    agent_wake(a, LEAVE_MOST_MS / 2);
}

/* The supervisor is dead and what it left has been ended: tell the queue, then start anew. If it
 * died before it had told all of its tasks, the next incarnation's register does. */
static void be_born_again(struct agent *a) {
    bool late = mono_diff(mono_now(), a->leave_since) >= LEAVE_MOST_MS / 2;
    if (a->super_ready && unfinished(a) > 0 && !late)
        return;
    log_event(LOG_WARN, "supervisor_restart", kv_uint("unreported", unfinished(a)));
    unsetenv("DISTCOMP_AGENT_FD");
    setenv(AGENT_AGAIN, "1", 1);
    notify_restore();
    execv(a->argv[0], a->argv);
    log_event(LOG_ERROR, "exec_failed", kv_text("why", strerror(errno)));
    exit(1);
}

static void leave_step(struct agent *a) {
    if (a->super_gone && !a->told_to_leave) {
        be_born_again(a);
        return;
    }
    if (a->mode < MODE_STOP)
        return;
    if (a->left) {
        log_event(LOG_INFO, "left", kv_uint("tries", a->tries_done),
                  kv_bool("replicated", replicas_have_all(a)));
        agent_bye(a, WIRE_BYE_STOP, 0);
    } else if (unfinished(a) == 0 && !a->claiming) {
        if (a->reported_since.ms == 0)
            a->reported_since = mono_now();
        if (a->leave_since.ms == 0)
            a->leave_since = a->reported_since;
        if (replicas_have_all(a) || mono_diff(mono_now(), a->reported_since) >= LEAVE_MOST_MS)
            lease_leave(a);
        agent_wake(a, LEAVE_MOST_MS);
    }
    if (a->leave_since.ms && !redisio_up(a->redis) &&
        mono_diff(mono_now(), a->leave_since) >= LEAVE_MOST_MS) {
        log_event(LOG_ERROR, "left_unreported", kv_uint("tasks", unfinished(a)),
                  kv_text("why", "Redis is away; its lease will return them"));
        agent_bye(a, WIRE_BYE_STOP, 1);
    }
}

/* Once a turn, before the loop sleeps: everything that is due, in this order. */
static void agent_step(uv_prepare_t *prepare) {
    struct agent *a = prepare->data;
    if (a->super_ready && !a->ended) {
        lease_step(a);
        claim_start_ready(a);
        memory_step(a);
        report_step(a);
        claim_step(a);
        replicas_step(a);
        leave_step(a);
    } else if (a->super_gone && !a->ended && a->told_to_leave) {
        agent_bye(a, WIRE_BYE_STOP, 1);
    } else if (a->super_gone && !a->ended) {
        be_born_again(a);
    }
    if (!a->super_gone)
        superlink_flush(a->super);
}

/* --- Redis ----------------------------------------------------------------------------------- */

static void on_redis_connecting(void *arg) {
    struct agent *a = arg;
    struct endpoint fresh;
    struct buf error = BUF_INIT;
    if (endpoint_from_config(&fresh, a->config, &error)) {
        endpoint_free(&a->endpoint);
        a->endpoint = fresh;
    } else {
        log_event(LOG_ERROR, "endpoint", kv_text("why", error.data));
        endpoint_free(&fresh);
    }
    buf_free(&error);
    /* hiredis asks the resolver and waits, which may take long when the network is down. */
    if (!*a->endpoint.path && !a->super_gone) {
        super_alive(a, RESOLVE_MOST_MS);
        superlink_flush(a->super);
    }
}

static void on_redis_up(void *arg, const struct redis_facts *facts) {
    struct agent *a = arg;
    if (a->facts.run_id[0] && strcmp(a->facts.run_id, facts->run_id) != 0)
        report_again(a);
    a->facts = *facts;
    a->claim_wanted = true;
    struct buf url = BUF_INIT;
    endpoint_add_url(redisio_endpoint(a->redis), &url);
    free(a->redis_url);
    a->redis_url = buf_detach(&url);
}

static void on_redis_down(void *arg) {
    /* Ready all the same: the tasks that were taken over are looked after. */
    notify_send("READY=1\nSTATUS=Redis is away; running tasks go on");
    lease_lost(arg);
}

static void on_redis_message(void *arg, const char *text, size_t len) {
    struct agent *a = arg;
    if (len == 4 && memcmp(text, "work", 4) == 0)
        a->claim_wanted = true;
    else if (len == 7 && memcmp(text, "command", 7) == 0)
        a->renew_wanted = true;
    else
        follow_message(a, text, len);
}

static void on_redis_hopeless(void *arg, const char *why) {
    agent_refuse(arg, why);
}

/* --- start and end --------------------------------------------------------------------------- */

static void on_renew_timer(uv_timer_t *timer) {
    struct agent *a = timer->data;
    a->renew_wanted = true;
    config_look(a);
    config_look_kernels(a);
    uv_timer_set_repeat(timer, (uint64_t)a->config->health_report_interval_ms);
}

static void on_poll_timer(uv_timer_t *timer) {
    struct agent *a = timer->data;
    a->claim_wanted = true;
    uv_timer_set_repeat(timer, (uint64_t)a->config->poll_interval_ms);
}

static void start_timers(struct agent *a) {
    uv_timer_t *timers[] = {&a->renew_timer, &a->poll_timer,  &a->due_timer,
                            &a->step_timer,  &a->drain_timer, &a->follow_timer};
    for (size_t i = 0; i < sizeof timers / sizeof *timers; i++) {
        uv_timer_init(&a->loop, timers[i]);
        timers[i]->data = a;
    }
    uint64_t renew = (uint64_t)a->config->health_report_interval_ms;
    uint64_t poll = (uint64_t)a->config->poll_interval_ms;
    uv_timer_start(&a->renew_timer, on_renew_timer, renew, renew);
    uv_timer_start(&a->poll_timer, on_poll_timer, poll, poll);
    uv_prepare_init(&a->loop, &a->prepare);
    a->prepare.data = a;
    uv_prepare_start(&a->prepare, agent_step);
}

static void connect_all(struct agent *a, int supervisor_fd) {
    struct redisio_events redis = {on_redis_connecting, on_redis_up,       on_redis_down,
                                   on_redis_message,    on_redis_hopeless, a};
    struct buf channel = BUF_INIT, key = BUF_INIT;
    key_queue(&key, a->config->queue);
    buf_addf(&channel, "%s:%s%s", key.data, CHANNEL_WAKE, a->config->name);
    a->queue_key = buf_detach(&key);
    super_open(a, supervisor_fd);
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(supervisor_fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
        a->supervisor_pid = (uint32_t)peer.pid; /* it may die before its WELCOME */
    struct wire_hello hello = {WIRE_VERSION, (uint32_t)getpid()};
    superlink_send(a->super, WIRE_HELLO, &hello, sizeof hello, NULL, 0);
    a->redis = redisio_new(&a->loop, &a->endpoint, channel.data, &redis);
    redisio_backoff(a->redis, a->config->lease_ms / 4);
    buf_free(&channel);
}

static void close_handle(uv_handle_t *handle, void *unused) {
    (void)unused;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void agent_end(struct agent *a) {
    memory_close(a, a->left);
    superlink_close(a->super);
    redisio_close(a->redis);
    follow_free(a);
    report_drop_recent(a, true);
    uv_run(&a->loop, UV_RUN_NOWAIT);
    uv_walk(&a->loop, close_handle, NULL);
    uv_run(&a->loop, UV_RUN_DEFAULT);
    uv_loop_close(&a->loop);
    if (a->runs.slots)
        runs_free(&a->runs);
    cmd_free(&a->cmd);
    free(a->queue_key);
    free(a->info);
    free(a->caps);
    free(a->full_caps);
    free(a->redis_url);
    kernels_free(&a->kernels);
    hostbook_free(&a->hosts);
    free(a->reconcile_runs);
    endpoint_free(&a->endpoint);
    buf_free(&a->free_cards);
    pins_free(a->pins);
    free(a->gpus);
    machine_close(a->machine);
}

int agent_run(int supervisor_fd, struct config *config, const struct config_flags *flags,
              bool attached, char **argv) {
    static struct agent agent;
    struct agent *a = &agent;
    struct buf error = BUF_INIT;
    unsigned seed = 0;
    if (getrandom(&seed, sizeof seed, 0) == sizeof seed)
        srandom(seed);
    a->config = config;
    a->flags = flags;
    a->attached = attached;
    a->argv = argv;
    a->cmd = (struct cmd)CMD_INIT;
    a->free_cards = (struct buf)BUF_INIT;
    a->hosts = (struct hostbook)HOSTBOOK_INIT;
    log_base("worker", config->name);
    if (!endpoint_from_config(&a->endpoint, config, &error)) {
        fprintf(stderr, "redisWorker: %s\n", error.data);
        buf_free(&error);
        return 2;
    }
    a->machine = machine_open(config->inventory, "", &error);
    if (!a->machine) {
        fprintf(stderr, "redisWorker: %s\n", error.data);
        buf_free(&error);
        return 2;
    }
    uv_loop_init(&a->loop);
    signal_watch(a);
    start_timers(a);
    connect_all(a, supervisor_fd);
    uv_run(&a->loop, UV_RUN_DEFAULT);
    agent_end(a);
    return a->exit_code;
}
