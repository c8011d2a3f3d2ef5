/*
 * agent_state.h - what the parts of the agent share. Only worker/agent*.c include it.
 *
 *   agent.c         start, step, supervisor, Redis
 *   agent_config.c  what the worker has and says of itself; conf.json read again
 *   agent_signal.c  what signals mean
 *   agent_claim.c   when and what to claim; starting tasks
 *   agent_report.c  results to Redis
 *   agent_lease.c   register, renew, reconcile, maintain, leave
 *   agent_follow.c  output of running tasks to whoever follows it
 */
#ifndef DISTCOMP_AGENT_STATE_H
#define DISTCOMP_AGENT_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "common/claimops.h"
#include "common/config.h"
#include "common/endpoint.h"
#include "worker/admission.h"
#include "worker/redisio.h"
#include "worker/resources.h"
#include "worker/result.h"
#include "worker/run.h"
#include "worker/superlink.h"

enum { REPORT_MOST = 128 }; /* results in one call */
#define RECENT_MS    3000 /* so long a Redis under appendfsync everysec has to live after a result */
#define RECENT_BYTES (16u << 20) /* and how much of them */

enum agent_mode {
    MODE_RUN,
    MODE_DRAIN, /* claim nothing; what runs goes on */
    MODE_STOP,  /* drain, then leave */
    MODE_RETURN /* give back what runs, then leave */
};

/* A result that Redis has acknowledged but may still lose with the tail of its AOF. */
struct recent {
    struct recent *next;
    mono_ms_t reported;
    size_t bytes;
    char id[TASK_ID_LEN + 1], nonce[NONCE_LEN + 1];
    uint16_t try_number;
    enum try_outcome outcome;
    int64_t delay_ms;
    struct buf entry, output;
};

struct agent {
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_timer_t renew_timer, poll_timer, due_timer, step_timer, drain_timer, follow_timer;
    uv_signal_t signals[4];
    bool attached;
    int last_signal; /* 0: none */
    bool last_forwarded;
    mono_ms_t last_signal_at;
    char **argv;

    struct config *config;
    const struct config_flags *flags;
    int64_t config_mtime_ns;
    struct endpoint endpoint;
    char *queue_key;
    char *info;     /* JSON, registered once */
    char *caps;     /* ",word,word," */
    struct cmd cmd; /* scratch */

    struct redisio *redis;
    struct redis_facts facts;
    struct superlink *super;
    bool super_ready, super_gone;
    char incarnation[17], previous[17];
    uint32_t supervisor_pid;

    struct capacity capacity;
    struct runs runs;
    uint64_t mean_wall_us;
    uint64_t available_bytes;
    mono_ms_t available_read;
    mono_ms_t no_start_before; /* after the machine could not start a process */

    enum agent_mode mode;
    bool paused; /* drained itself: this machine fails what others finish */
    const char *pause_reason;
    int exit_code;
    bool leaving, left;
    bool ended;            /* the loop is about to end */
    mono_ms_t leave_since; /* when it began to wait only for its last reports; 0: not yet */

    /* lease */
    bool registered, registering;
    bool renew_wanted, renewing;
    mono_ms_t renewed;      /* when renew was last sent */
    size_t renewed_running; /* and what ran then */
    bool reconcile_wanted, reconciling;
    bool maintain_wanted, maintaining;
    struct run **reconcile_runs; /* what was listed, in order; NULL for one that is gone */
    size_t reconcile_count, reconcile_recent;

    /* claim */
    bool claim_wanted, claiming, claim_unknown;
    bool claim_empty; /* the last claim brought less than was asked for */
    struct claim_args claim;
    int64_t claim_rank;

    /* report */
    bool reporting;
    struct run *report_runs[REPORT_MOST];
    struct result report_results[REPORT_MOST];
    size_t report_count;
    mono_ms_t batch_since; /* first result that waits for company; 0: none */
    size_t report_recent;  /* of them, how many are from `recent`, sent again */
    struct recent *recent_first, *recent_last;
    size_t recent_bytes;
    struct recent
        *recent_again; /* Redis was restarted: from here on they are to be reported again */

    /* health */
    uint32_t fast_failures;      /* in a row */
    uint64_t finished_at_streak; /* the queue's finished count when the streak began */
    bool streak_known, health_asked;
    bool outlook_asked;

    struct follow *follows;
    uint64_t tries_done, tries_failed, stale_reports;
};

/* agent.c */
void agent_wake(struct agent *a, uint64_t ms); /* run agent_step after at most ms */
void agent_kill(struct agent *a, struct run *run, enum wire_why why, uint64_t grace_ms);
void agent_refuse(struct agent *a,
                  const char *why); /* prints, tells the supervisor, ends the loop */
void agent_set_mode(struct agent *a, enum agent_mode mode);
struct result_files agent_files(const struct agent *a);
const char *agent_node(void); /* host name */
uint64_t agent_keep_output_bytes(const struct agent *a);

void agent_bye(struct agent *a, enum wire_bye_mode mode, int code); /* the loop ends */

/* agent_config.c */
void config_measure(struct agent *a); /* fills capacity, caps and info */
void config_look(struct agent *a);    /* reads conf.json again if it has changed */
void config_reload(struct agent *a);

/* agent_signal.c: SIGTERM drains and leaves, again it gives back; SIGINT gives back; SIGHUP
 * reloads; SIGUSR1 leaves the tasks to the supervisor. docs/operations.md has the table. */
void signal_watch(struct agent *a);
void signal_handle(struct agent *a, int signal, bool forwarded); /* forwarded by the supervisor */

/* agent_lease.c */
void lease_step(struct agent *a);
void lease_lost(struct agent *a); /* the connection went down */
void lease_due(struct agent *a, int64_t due_ms);
bool lease_ready(const struct agent *a); /* registered, and nothing to settle first */
void lease_leave(struct agent *a);

/* agent_claim.c */
void claim_step(struct agent *a);
void claim_start_ready(struct agent *a);

/* agent_report.c */
void report_step(struct agent *a);
void report_keep_recent(struct agent *a, const struct run *run, struct result *result);
void report_drop_recent(struct agent *a, bool all);

/* agent_follow.c */
void follow_message(struct agent *a, const char *text, size_t len);
void follow_ended(struct agent *a, const struct run *run);
void follow_free(struct agent *a);

#endif
