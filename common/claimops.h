/*
 * claimops.h - the worker's side of the queue: commands to send and answers to read, without
 * waiting.
 *
 * Each operation is a builder that fills a struct cmd (common/cmd.h) and a reader that turns the
 * redisReply into a struct; the caller owns the connection. Readers return false for a malformed
 * answer. docs/protocol.md says what each does; the scripts are in common/lua.
 */
#ifndef DISTCOMP_CLAIMOPS_H
#define DISTCOMP_CLAIMOPS_H

#include <stdbool.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "common/cmd.h"
#include "common/task.h"
#include "common/trylog.h"

#define CLAIM_MAX 500 /* tasks an answer may hold */

/* --- register
 * ---------------------------------------------------------------------------------------- */
struct register_args {
    const char *worker, *incarnation;
    const char *session; /* drawn for each register: what is asked later carries it */
    const char *dead;    /* "INCARNATION.MS ..." (register.lua), "" for none */
    uint64_t lease_ms;
    const char *info; /* JSON */
    uint32_t max_losses;
};
enum register_status { REGISTER_OK, REGISTER_AGAIN, REGISTER_TAKEN };
struct register_answer {
    enum register_status status;
    struct slice info; /* of the worker that has the name; borrowed from the reply */
    int64_t age_ms;    /* of its last report */
};
void register_build(struct cmd *c, const char *queue_key, const struct register_args *args);
bool register_read(const redisReply *reply, struct register_answer *answer);

/* --- claim
 * ------------------------------------------------------------------------------------------- */
struct claim_args {
    const char *worker, *session;
    uint64_t request; /* drawn anew for each claim; the same when one is asked again */
    uint64_t nonce;   /* random */
    uint64_t free_mem_bytes;
    uint32_t free_mcpu;
    uint32_t slots; /* at most CLAIM_MAX */
    uint64_t auto_mem_bytes;
    const char *caps; /* ",word,word," */
    uint32_t rank;    /* 0, or `more` of the last answer */
    /* For one task when the worker is empty: the above may say more, to claim ahead. */
    uint64_t most_mem_bytes;
    uint32_t most_mcpu;
    uint64_t starve_after_ms; /* a large task may be passed over for so long; 0: for ever */
    const char *forecast;     /* "MS MEMORY MILLICORES MS ...": what will be free after so long, by
                                 time; the last for when the worker is empty. "" when not known */
    const char *gpus;         /* what is free of its cards: gpuplace_add_free (worker/gpuplace.h);
                                 "" for none */
};
enum claim_status { CLAIM_OK, CLAIM_GONE, CLAIM_STOPPED };
struct claim_answer {
    enum claim_status status;
    int64_t due_ms; /* until maintain is due; 0 now, -1 never */
    int64_t more;   /* rank to go on from, -1: all was looked at */
    size_t count;   /* tasks */
};
struct claimed {
    char id[TASK_ID_LEN + 1];
    char nonce[NONCE_LEN + 1];
    struct slice record; /* borrowed from the reply */
    /* Of min_dram=auto, else 0: what the claim has promised it, in a first answer never more than
     * most_mem_bytes, and what of that is to be held for it once it runs (docs/memory.md). */
    uint64_t need_bytes, hold_bytes;
};
void claim_build(struct cmd *c, const char *queue_key, const struct claim_args *args);
bool claim_read(const redisReply *reply, struct claim_answer *answer);
/* The i-th task of the answer. */
bool claim_task(const redisReply *reply, const struct claim_args *args, size_t i,
                struct claimed *task);

/* --- report
 * ------------------------------------------------------------------------------------------ */
struct report_item {
    const char *id;
    uint32_t try_number;
    const char *nonce;
    enum try_outcome outcome;
    int64_t delay_ms;    /* before the next try; -1: no more */
    struct slice entry;  /* try_entry_pack, or empty */
    struct slice output; /* task_output_pack, or empty */
    /* What was learned of its memory; empty or 0: nothing. */
    struct slice family;     /* family_key; a finished try's peak is counted there */
    uint64_t peak_bytes;     /* the most that was measured */
    uint64_t promised_bytes; /* its min_dram, or need_bytes of its claim */
    uint64_t need_bytes;     /* TRY_RETURNED as a culprit: what the next try is to ask for, whatever
                                workers have (need_after_return); 0: the same */
};
enum report_result { REPORT_RECORDED, REPORT_YOURS, REPORT_STALE, REPORT_UNKNOWN };
void report_begin(struct cmd *c, const char *queue_key, const char *worker, uint32_t max_losses,
                  uint64_t keep_output_bytes);
void report_add(struct cmd *c, const struct report_item *item);
/* Fills results[0..count-1]; *due_ms as in claim. */
bool report_read(const redisReply *reply, size_t count, enum report_result *results,
                 int64_t *due_ms);

/* --- renew
 * ------------------------------------------------------------------------------------------- */
/* The digest of what a worker holds: start at 0, add each task in any order. */
uint64_t held_digest_add(uint64_t digest, uint32_t try_number, const char *nonce);

enum renew_status { RENEW_OK, RENEW_GONE, RENEW_MISMATCH };
enum worker_want { WANT_RUN, WANT_DRAIN, WANT_STOP };
struct renew_answer {
    enum renew_status status;
    enum worker_want want;
    int64_t due_ms;
    size_t cancels; /* ids to cancel: renew_cancel */
};
void renew_build(struct cmd *c, const char *queue_key, const char *worker, const char *session,
                 uint64_t lease_ms, uint64_t held, uint64_t digest, const char *stats);
bool renew_read(const redisReply *reply, struct renew_answer *answer);
const char *renew_cancel(const redisReply *reply, size_t i);

/* --- reconcile
 * --------------------------------------------------------------------------------------- */
enum reconcile_result { RECONCILE_YOURS, RECONCILE_RETAKEN, RECONCILE_STALE };
void reconcile_begin(struct cmd *c, const char *queue_key, const char *worker, const char *session);
/* loaded: of the record that was claimed, 0 when it is not known. */
void reconcile_add(struct cmd *c, const char *id, uint32_t try_number, const char *nonce,
                   uint64_t loaded);
/* False also when the worker must register first. */
bool reconcile_read(const redisReply *reply, size_t count, enum reconcile_result *results);

/* --- outlook: whether more work may come from what is in the queue
 * ------------------------------------ */
struct outlook {
    uint64_t todo, waiting, in_progress, delayed, finished;
};
void outlook_build(struct cmd *c, const char *queue_key);
bool outlook_read(const redisReply *reply, struct outlook *outlook);

/* --- health: how the other workers fare
 * ---------------------------------------------------------- */
struct health {
    int64_t finished; /* tries that others finished so far; initRedis sets it back */
    bool hope;        /* some other live worker could finish what fails here */
};
/* many: so many failed tries in a row make another worker one that fails too. */
void health_build(struct cmd *c, const char *queue_key, const char *worker, uint64_t many);
bool health_read(const redisReply *reply, struct health *health);

/* Asks a worker to "run", "drain" or "stop" (a worker may ask itself). Any answer will do. */
void want_build(struct cmd *c, const char *queue_key, const char *want, const char *worker);

/* --- leave, maintain
 * --------------------------------------------------------------------------------- */
void leave_build(struct cmd *c, const char *queue_key, const char *worker, const char *session);
/* True when the worker is gone from the queue; false: send it again. */
bool leave_read(const redisReply *reply);

void maintain_build(struct cmd *c, const char *queue_key, uint32_t max_losses,
                    uint64_t keep_finished, uint64_t keep_finished_ms, uint64_t keep_output_bytes);
bool maintain_read(const redisReply *reply, int64_t *due_ms, int64_t *lost);

#endif
