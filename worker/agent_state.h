/*
 * agent_state.h - what the parts of the agent share. Only worker/agent*.c include it.
 *
 *   agent.c         start, step, Redis, leaving
 *   agent_super.c   what the supervisor tells
 *   agent_config.c  what the worker has and says of itself; conf.json read again
 *   agent_signal.c  what signals mean
 *   agent_claim.c   when and what to claim; starting tasks
 *   agent_memory.h  memory of running tasks: measured, watched, given back
 *   agent_gpu.c     which cards a task gets;  agent_pin.c  which CPUs
 *   agent_hosts.c   the processes of native tasks
 *   agent_report.c  results to Redis
 *   agent_replicas.c  and to its replicas (wait_replicas)
 *   agent_lease.c   register, renew, reconcile, maintain, leave
 *   agent_health.c  whether it is this machine that fails its tasks
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
#include "worker/agent_memory.h"
#include "worker/gpuplace.h"
#include "worker/hostbook.h"
#include "worker/kernels.h"
#include "worker/machine.h"
#include "worker/pin.h"
#include "worker/redisio.h"
#include "worker/result.h"
#include "worker/run.h"
#include "worker/statedir.h"
#include "worker/superlink.h"

enum { REPORT_MOST = 256 }; /* results in one call */
enum { FORECAST_TEXT = FORECAST_POINTS * (3 * 21) + 1 };
#define RECENT_MS        3000 /* so long a Redis under appendfsync everysec has to live after a result */
#define RECENT_BYTES     (32u << 20) /* and how much of them */
#define REPLICATED_BYTES (64u << 20) /* how much, when it is for replicas to have them */

enum agent_mode {
    MODE_RUN,
    MODE_DRAIN, /* claim nothing; what runs goes on */
    MODE_STOP,  /* drain, then leave */
    MODE_RETURN /* give back what runs, then leave */
};

/* A result that Redis has acknowledged but may still lose: with the tail of its AOF, or, under
 * wait_replicas, with a master whose replicas do not have it. */
struct recent {
    struct recent *next;
    uint64_t number; /* in the order of the list */
    mono_ms_t reported;
    size_t bytes;
    char id[TASK_ID_LEN + 1], nonce[NONCE_LEN + 1];
    uint16_t try_number;
    uint64_t loaded;
    enum try_outcome outcome;
    int64_t delay_ms;
    struct buf entry, output;
    struct result_memory memory;
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
    char *info;      /* JSON, registered once */
    char *caps;      /* ",word,word," */
    char *full_caps; /* while as many native tasks run as may */
    struct cmd cmd;  /* scratch */

    struct redisio *redis;
    struct redis_facts facts;
    struct superlink *super;
    bool super_ready, super_gone;
    char incarnation[17];
    struct statedir_life lives[STATEDIR_LIVES]; /* of state_dir, before this one */
    size_t lives_count;
    uint32_t supervisor_pid;
    uint32_t wire_version; /* that both speak; from WELCOME on */

    struct machine *machine;
    struct kernels kernels;
    struct hostbook hosts;
    uint32_t host_most;    /* native tasks at the same time */
    char *redis_url;       /* for kernels, login included; NULL: not known yet */
    struct gpuplace *gpus; /* what is promised of them; NULL: nobody has asked yet */
    struct pins *pins;     /* likewise of CPUs */
    struct capacity capacity;
    uint64_t trigger_bytes; /* available memory below which tasks go back */
    struct runs runs;
    struct agent_memory memory;
    uint64_t mean_wall_us;
    mono_ms_t no_start_before; /* after the machine could not start a process */

    enum agent_mode mode;
    bool told_to_leave; /* and not only because its supervisor is dead */
    int exit_code;
    bool leaving, left;
    bool ended;            /* the loop is about to end */
    mono_ms_t leave_since; /* it ends its tasks, or only waits for its last reports; 0: not yet */
    mono_ms_t reported_since; /* these are in, and replicas may lack them; 0: not yet */

    /* lease */
    char session[17]; /* drawn with each register; what is asked later carries it */
    bool registered, registering;
    bool renew_wanted, renewing;
    mono_ms_t renewed;        /* when renew was last sent */
    uint64_t renewed_boot_ms; /* the same, CLOCK_BOOTTIME */
    size_t renewed_running;   /* and what ran then */
    bool reconcile_wanted, reconciling;
    bool maintain_wanted, maintaining;
    uint32_t renewals;           /* since the last maintain */
    struct run **reconcile_runs; /* what was listed, in order */
    size_t reconcile_count, reconcile_recent;

    /* claim */
    bool claim_wanted, claiming, claim_unknown;
    bool claim_empty; /* the last claim brought less than was asked for */
    struct claim_args claim;
    char forecast[FORECAST_TEXT]; /* of this claim */
    struct buf free_cards;        /* likewise: gpu_free_text */
    mono_ms_t empty_since;        /* nothing was claimed or has run since; 0: it is not empty */
    mono_ms_t empty_read;         /* when empty_mem_bytes was free; 0: never */
    uint64_t empty_mem_bytes;
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

    /* replicas (agent_replicas.c) */
    uint64_t recent_number;      /* of the last recent */
    uint64_t recent_replicated;  /* up to this one enough replicas have them */
    uint64_t recent_let_go;      /* in this episode, for want of memory, before replicas had them */
    bool replicas_asked;         /* WAIT is under way, */
    uint64_t replicas_asked_for; /* and covers those up to this one */
    bool replicas_behind;        /* an episode: they did not answer in time */
    mono_ms_t replicas_next;     /* in an episode, no WAIT before this */

    /* health */
    uint64_t fast_failures;     /* in a row: a streak */
    int64_t finished_at_streak; /* by others, when the streak began */
    bool streak_known, health_asked;
    mono_ms_t health_answered;
    bool paused;               /* drained itself: this machine fails what others finish */
    uint64_t slow_ms;          /* a task at a time, one in so many ms; 0: not slowed */
    bool slow_tried;           /* since then, one */
    mono_ms_t slow_till;       /* nothing is claimed before */
    const char *health_reason; /* why it is paused or slow; static */
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
void super_open(struct agent *a, int fd);             /* the socket is owned from here on */
void super_alive(struct agent *a, uint64_t quiet_ms); /* says ALIVE */
/* All tasks of the supervisor are known: orders to leave hold for them too. */
void agent_keep_orders(struct agent *a);
/* It reports what it still knows, and starts anew. */
void agent_supervisor_died(struct agent *a);
struct result_files agent_files(const struct agent *a);
const char *agent_node(void); /* host name */
uint64_t agent_keep_output_bytes(const struct agent *a);

void agent_bye(struct agent *a, enum wire_bye_mode mode, int code); /* the loop ends */

/* agent_config.c */
void config_measure(struct agent *a); /* fills capacity, caps and info */
void config_look(struct agent *a);    /* reads conf.json again if it has changed */
void config_reload(struct agent *a);
void config_look_kernels(struct agent *a); /* and tells the queue when there are others now */

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

/*
 * agent_gpu.c, agent_pin.c: where tasks with run->placement go. Placed before START (the note
 * carries it), freed when the try has ended; both may be called again. At READY the next agent
 * adopts what the notes say: cards by their UUIDs, so one that is gone is logged and its task goes
 * on.
 */
/* False: no card is free for it now; it waits. True at once for a task that asks for none. */
bool gpu_place(struct agent *a, struct run *run);
void gpu_free(struct agent *a, struct run *run);
void gpu_adopt(struct agent *a);
/* For claim: what is free, as gpuplace_add_free; nothing where there are no cards. */
void gpu_free_text(struct agent *a, struct buf *out);
/* For checkWorker: adds "gpus": [[UUID, bytes used, bytes in all, utilisation or -1, tasks,
 * thousandths promised], ...] where there are cards. */
void gpu_stats(struct agent *a, json_t *stats);
/* limit: to no more CPUs than min_cpu has, in place of a cgroup's limit (limits.h). */
void pin_place(struct agent *a, struct run *run, bool limit);
void pin_free(struct agent *a, struct run *run);
void pin_adopt(struct agent *a);

/* agent_hosts.c: processes of native tasks (worker/host.h), which the supervisor keeps */
void hosts_dismiss(struct agent *a, bool kill);          /* the idle ones leave; kill: at once */
mono_ms_t hosts_left(const struct agent *a);             /* those idle since before have left */
void hosts_note(struct agent *a, const struct run *run); /* it has ended */
/* How many native tasks more may run, or wait here to: `ahead` of them beyond those that run. */
uint32_t hosts_room(const struct agent *a, uint32_t ahead);

/* agent_report.c */
void report_step(struct agent *a);
void report_keep_recent(struct agent *a, const struct run *run, struct result *result);
void report_drop_recent(struct agent *a, bool all);
void report_again(struct agent *a); /* this Redis may have lost what was reported */

/* agent_replicas.c */
void replicas_step(struct agent *a);
/* Whether enough replicas are known to have it, or none are wanted. */
bool replicas_have(const struct agent *a, const struct recent *r);
bool replicas_have_all(const struct agent *a);

/* agent_health.c */
void health_note(struct agent *a, const struct run *run, enum try_outcome outcome);
void health_resume(struct agent *a); /* resumeWorker: it is trusted again */
/* Before a claim: whether this machine may have another task now, and how many. */
bool health_may_claim(struct agent *a, uint32_t *slots);

/* agent_follow.c */
void follow_message(struct agent *a, const char *text, size_t len);
void follow_ended(struct agent *a, const struct run *run);
void follow_free(struct agent *a);

#endif
