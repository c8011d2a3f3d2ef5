#include "common/claimops.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/family.h"
#include "common/keys.h"
#include "common/units.h"

/* Element i of an array reply, or NULL. */
static const redisReply *element(const redisReply *reply, size_t i) {
    if (!reply || reply->type != REDIS_REPLY_ARRAY || i >= reply->elements)
        return NULL;
    return reply->element[i];
}

static bool is_text(const redisReply *reply) {
    return reply && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS);
}

static bool read_integer(const redisReply *reply, int64_t *value) {
    if (!reply || reply->type != REDIS_REPLY_INTEGER)
        return false;
    *value = reply->integer;
    return true;
}

/* The place of a text reply in a list of words, or -1. */
static int read_word(const redisReply *reply, const char *const *words, size_t count) {
    for (size_t i = 0; is_text(reply) && i < count; i++)
        if (strcmp(reply->str, words[i]) == 0)
            return (int)i;
    return -1;
}

void register_build(struct cmd *c, const char *queue_key, const struct register_args *args) {
    cmd_script(c, "register", queue_key);
    cmd_adds(c, args->worker);
    cmd_adds(c, args->incarnation);
    cmd_adds(c, args->session);
    cmd_adds(c, args->dead);
    cmd_addu(c, args->lease_ms);
    cmd_adds(c, args->info);
    cmd_addu(c, args->max_losses);
}

bool register_read(const redisReply *reply, struct register_answer *answer) {
    static const char *const words[] = {"ok", "again", "taken"};
    int status = read_word(element(reply, 0), words, 3);
    if (status < 0)
        return false;
    *answer = (struct register_answer){(enum register_status)status, {"", 0}, 0};
    if (status != REGISTER_TAKEN)
        return true;
    const redisReply *info = element(reply, 1);
    if (!is_text(info))
        return false;
    answer->info = (struct slice){info->str, (size_t)info->len};
    return read_integer(element(reply, 2), &answer->age_ms);
}

void claim_build(struct cmd *c, const char *queue_key, const struct claim_args *args) {
    char hex[17];
    cmd_script(c, "claim", queue_key);
    cmd_adds(c, args->worker);
    cmd_adds(c, args->session);
    snprintf(hex, sizeof hex, "%016" PRIx64, args->request);
    cmd_adds(c, hex);
    snprintf(hex, sizeof hex, "%016" PRIx64, args->nonce);
    cmd_adds(c, hex);
    cmd_addu(c, args->free_mem_bytes);
    cmd_addu(c, args->free_mcpu);
    cmd_addu(c, args->slots);
    cmd_addu(c, args->auto_mem_bytes);
    cmd_adds(c, args->caps);
    cmd_addu(c, args->rank);
    cmd_addu(c, args->most_mem_bytes);
    cmd_addu(c, args->most_mcpu);
    cmd_addu(c, args->starve_after_ms);
    cmd_adds(c, args->forecast);
    cmd_adds(c, args->gpus ? args->gpus : "");
}

enum { CLAIM_PARTS = 3 }; /* of an answer for each task: id, record, NEED HOLD */

bool claim_read(const redisReply *reply, struct claim_answer *answer) {
    static const char *const words[] = {"ok", "gone", "stopped"};
    int status = read_word(element(reply, 0), words, 3);
    if (status < 0 || !read_integer(element(reply, 1), &answer->due_ms) ||
        !read_integer(element(reply, 2), &answer->more) || (reply->elements - 3) % CLAIM_PARTS != 0)
        return false;
    answer->status = (enum claim_status)status;
    answer->count = (reply->elements - 3) / CLAIM_PARTS;
    return true;
}

/* 'NEED HOLD' in bytes, or nothing. */
static bool read_need(const redisReply *reply, struct claimed *task) {
    const char *expected;
    task->need_bytes = task->hold_bytes = 0;
    if (!is_text(reply))
        return false;
    const char *space = memchr(reply->str, ' ', (size_t)reply->len);
    if (!space)
        return reply->len == 0;
    size_t need_len = (size_t)(space - reply->str), hold_len = (size_t)reply->len - need_len - 1;
    return units_parse_uint(reply->str, need_len, 0, TASK_MEM_MAX, &task->need_bytes, &expected) &&
           units_parse_uint(space + 1, hold_len, 0, task->need_bytes, &task->hold_bytes, &expected);
}

bool claim_task(const redisReply *reply, const struct claim_args *args, size_t i,
                struct claimed *task) {
    const redisReply *id = element(reply, 3 + CLAIM_PARTS * i);
    const redisReply *record = element(reply, 4 + CLAIM_PARTS * i);
    if (!is_text(id) || id->len != TASK_ID_LEN || !is_text(record) ||
        !read_need(element(reply, 5 + CLAIM_PARTS * i), task))
        return false;
    memcpy(task->id, id->str, TASK_ID_LEN + 1);
    snprintf(task->nonce, sizeof task->nonce, "%016" PRIx64 "%04x", args->nonce,
             (unsigned)(i & 0xffff));
    task->record = (struct slice){record->str, (size_t)record->len};
    return true;
}

void report_begin(struct cmd *c, const char *queue_key, const char *worker, uint32_t max_losses,
                  uint64_t keep_output_bytes) {
    cmd_script(c, "report", queue_key);
    cmd_adds(c, worker);
    cmd_addu(c, max_losses);
    cmd_addu(c, keep_output_bytes);
}

/* One packed argument, since a report may have thousands of tries: report.lua. */
static void add_memory(struct cmd *c, const struct report_item *item) {
    if (!item->peak_bytes) {
        cmd_adds(c, "");
        return;
    }
    struct buf packed = BUF_INIT;
    buf_add_be(&packed, task_mem_step(item->peak_bytes), 1);
    buf_add_be(&packed, item->peak_bytes, 6);
    buf_add_be(&packed, item->promised_bytes, 6);
    buf_add_be(&packed, item->need_bytes, 6);
    if (item->family.len) {
        char digest[FAMILY_DIGEST_LEN + 1];
        family_digest(item->family.data, item->family.len, digest);
        buf_add(&packed, digest, FAMILY_DIGEST_LEN);
        buf_add(&packed, item->family.data, item->family.len);
    }
    cmd_add(c, packed.data, packed.len);
    buf_free(&packed);
}

void report_add(struct cmd *c, const struct report_item *item) {
    cmd_adds(c, item->id);
    cmd_addu(c, item->try_number);
    cmd_adds(c, item->nonce);
    cmd_adds(c, try_outcome_name(item->outcome));
    cmd_addi(c, item->delay_ms);
    cmd_add(c, item->entry.data, item->entry.len);
    cmd_add(c, item->output.data, item->output.len);
    add_memory(c, item);
}

bool report_read(const redisReply *reply, size_t count, enum report_result *results,
                 int64_t *due_ms) {
    static const char *const words[] = {"recorded", "yours", "stale", "unknown"};
    if (!read_integer(element(reply, 0), due_ms) || reply->elements != count + 1)
        return false;
    for (size_t i = 0; i < count; i++) {
        int result = read_word(element(reply, i + 1), words, 4);
        if (result < 0)
            return false;
        results[i] = (enum report_result)result;
    }
    return true;
}

uint64_t held_digest_add(uint64_t digest, uint32_t try_number, const char *nonce) {
    const uint64_t mask = (UINT64_C(1) << 48) - 1;
    char head[13];
    memcpy(head, nonce, 12);
    head[12] = '\0';
    uint64_t index = strtoull(nonce + 16, NULL, 16);
    return (digest + strtoull(head, NULL, 16) + index * 7919 + try_number) & mask;
}

void renew_build(struct cmd *c, const char *queue_key, const char *worker, const char *session,
                 uint64_t lease_ms, uint64_t held, uint64_t digest, const char *stats) {
    cmd_script(c, "renew", queue_key);
    cmd_adds(c, worker);
    cmd_adds(c, session);
    cmd_addu(c, lease_ms);
    cmd_addu(c, held);
    cmd_addu(c, digest);
    cmd_adds(c, stats);
}

bool renew_read(const redisReply *reply, struct renew_answer *answer) {
    static const char *const statuses[] = {"ok", "gone", "mismatch"};
    static const char *const wants[] = {"run", "drain", "stop"};
    int status = read_word(element(reply, 0), statuses, 3);
    int want = read_word(element(reply, 1), wants, 3);
    if (status < 0 || want < 0 || !read_integer(element(reply, 2), &answer->due_ms))
        return false;
    answer->status = (enum renew_status)status;
    answer->want = (enum worker_want)want;
    answer->cancels = reply->elements - 3;
    return true;
}

const char *renew_cancel(const redisReply *reply, size_t i) {
    const redisReply *id = element(reply, 3 + i);
    return is_text(id) ? id->str : "";
}

void reconcile_begin(struct cmd *c, const char *queue_key, const char *worker,
                     const char *session) {
    cmd_script(c, "reconcile", queue_key);
    cmd_adds(c, worker);
    cmd_adds(c, session);
}

void reconcile_add(struct cmd *c, const char *id, uint32_t try_number, const char *nonce,
                   uint64_t loaded) {
    cmd_adds(c, id);
    cmd_addu(c, try_number);
    cmd_adds(c, nonce);
    cmd_addu(c, loaded);
}

bool reconcile_read(const redisReply *reply, size_t count, enum reconcile_result *results) {
    static const char *const words[] = {"yours", "retaken", "stale"};
    static const char *const ok[] = {"ok"};
    if (read_word(element(reply, 0), ok, 1) < 0 || reply->elements != count + 1)
        return false;
    for (size_t i = 0; i < count; i++) {
        int result = read_word(element(reply, i + 1), words, 3);
        if (result < 0)
            return false;
        results[i] = (enum reconcile_result)result;
    }
    return true;
}

void outlook_build(struct cmd *c, const char *queue_key) {
    struct buf key = BUF_INIT;
    cmd_clear(c);
    cmd_adds(c, "HMGET");
    key_add(&key, queue_key, KEY_COUNT, NULL);
    cmd_adds(c, key.data);
    buf_free(&key);
    static const enum task_state states[] = {TASK_TODO, TASK_WAITING, TASK_IN_PROGRESS,
                                             TASK_DELAYED, TASK_FINISHED};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        cmd_adds(c, task_state_name(states[i]));
}

bool outlook_read(const redisReply *reply, struct outlook *outlook) {
    uint64_t *const fields[] = {&outlook->todo, &outlook->waiting, &outlook->in_progress,
                                &outlook->delayed, &outlook->finished};
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != 5)
        return false;
    for (size_t i = 0; i < 5; i++)
        *fields[i] = is_text(reply->element[i]) ? strtoull(reply->element[i]->str, NULL, 10) : 0;
    return true;
}

void health_build(struct cmd *c, const char *queue_key, const char *worker, uint64_t many) {
    cmd_script(c, "health", queue_key);
    cmd_adds(c, worker);
    cmd_addu(c, many);
}

bool health_read(const redisReply *reply, struct health *health) {
    int64_t hope;
    if (!read_integer(element(reply, 0), &health->finished) ||
        !read_integer(element(reply, 1), &hope))
        return false;
    health->hope = hope != 0;
    return true;
}

void want_build(struct cmd *c, const char *queue_key, const char *want, const char *worker) {
    cmd_script(c, "want", queue_key);
    cmd_adds(c, want);
    cmd_adds(c, worker);
}

void leave_build(struct cmd *c, const char *queue_key, const char *worker, const char *session) {
    cmd_script(c, "leave", queue_key);
    cmd_adds(c, worker);
    cmd_adds(c, session);
}

bool leave_read(const redisReply *reply) {
    static const char *const gone[] = {"ok", "gone"};
    return read_word(reply, gone, 2) >= 0;
}

void maintain_build(struct cmd *c, const char *queue_key, uint32_t max_losses,
                    uint64_t keep_finished, uint64_t keep_finished_ms, uint64_t keep_output_bytes) {
    cmd_script(c, "maintain", queue_key);
    cmd_addu(c, max_losses);
    cmd_addu(c, keep_finished);
    cmd_addu(c, keep_finished_ms);
    cmd_addu(c, keep_output_bytes);
}

bool maintain_read(const redisReply *reply, int64_t *due_ms, int64_t *lost) {
    return read_integer(element(reply, 0), due_ms) && read_integer(element(reply, 1), lost);
}
