#include "worker/run.h"

#include <stdlib.h>
#include <string.h>

#include "common/claimops.h"
#include "worker/result.h"

/* Of 1 is what a worker may have kept since before an upgrade: without `loaded`. */
#define NOTE_VERSION 2

void runs_init(struct runs *runs, uint32_t capacity) {
    memset(runs, 0, sizeof *runs);
    runs->capacity = capacity;
    runs->slots = xcalloc(capacity, sizeof(struct run *));
    runs->free_slots = xcalloc(capacity, sizeof *runs->free_slots);
    for (uint32_t slot = capacity; slot > 0; slot--)
        runs->free_slots[runs->free_count++] = slot - 1;
}

static void free_run(struct run *run) {
    buf_free(&run->record);
    free(run->start_error);
    if (run->kept)
        result_free(run->kept);
    free(run->kept);
    free(run);
}

void runs_free(struct runs *runs) {
    for (int state = 0; state < RUN_STATES; state++)
        for (struct run *run = runs->lists[state].first, *next; run; run = next) {
            next = run->next;
            free_run(run);
        }
    free(runs->slots);
    free(runs->free_slots);
}

static void list_remove(struct run_list *list, struct run *run) {
    *(run->prev ? &run->prev->next : &list->first) = run->next;
    *(run->next ? &run->next->prev : &list->last) = run->prev;
    run->next = run->prev = NULL;
    list->count--;
}

static void list_append(struct run_list *list, struct run *run) {
    run->prev = list->last;
    *(list->last ? &list->last->next : &list->first) = run;
    list->last = run;
    list->count++;
}

/* The one place where a run's state changes: the lists and what is promised follow from it. */
static void set_state(struct runs *runs, struct run *run, enum run_state state) {
    if (run->state == RUN_STARTED) {
        runs->started_mem_bytes -= run->mem_bytes;
        runs->started_mcpu -= run->mcpu;
    }
    list_remove(&runs->lists[run->state], run);
    run->state = state;
    list_append(&runs->lists[state], run);
    if (state == RUN_STARTED) {
        runs->started_mem_bytes += run->mem_bytes;
        runs->started_mcpu += run->mcpu;
    }
}

static struct run *new_run(struct runs *runs, const char *id, const char *nonce) {
    struct run *run = xcalloc(1, sizeof *run);
    run->record = (struct buf)BUF_INIT;
    run->slot = RUN_NO_SLOT;
    run->state = RUN_READY;
    run->claimed = mono_now();
    run->timeout_ms = UINT64_MAX;
    snprintf(run->id, sizeof run->id, "%s", id);
    snprintf(run->nonce, sizeof run->nonce, "%s", nonce);
    list_append(&runs->lists[RUN_READY], run);
    return run;
}

static enum output_mode read_output_mode(const struct task *task) {
    const struct task_option *option = task_option(task, OPT_OUTPUT);
    if (option && option->len == 4 && memcmp(option->value, "keep", 4) == 0)
        return OUTPUT_KEEP;
    if (option && option->len == 5 && memcmp(option->value, "redis", 5) == 0)
        return OUTPUT_REDIS;
    return OUTPUT_AUTO;
}

struct run *run_add(struct runs *runs, const char *id, const char *nonce, struct slice record,
                    uint64_t auto_mem_bytes) {
    struct task_head head;
    struct task task;
    if (!task_decode(record.data, record.len, &head, &task))
        return NULL;
    struct run *run = new_run(runs, id, nonce);
    run->try_number = head.tries;
    run->failures = head.failures;
    run->loaded = head.loaded_ms;
    run->retries = (uint32_t)task_option_number(&task, OPT_RETRIES, 0);
    run->backoff_ms = (uint64_t)task_option_number(&task, OPT_BACKOFF, -1);
    run->mem_bytes = head.mem_bytes == TASK_MEM_AUTO ? auto_mem_bytes : head.mem_bytes;
    run->mcpu = head.mcpu;
    run->timeout_ms = (uint64_t)task_option_number(&task, OPT_TIMEOUT, -1);
    run->output = read_output_mode(&task);
    buf_add(&run->record, record.data, record.len);
    return run;
}

void run_note(const struct run *run, struct buf *out) {
    buf_add_be(out, NOTE_VERSION, 1);
    buf_add(out, run->id, TASK_ID_LEN);
    buf_add(out, run->nonce, NONCE_LEN);
    buf_add_be(out, run->try_number, 2);
    buf_add_be(out, run->failures, 2);
    buf_add_be(out, run->retries, 4);
    buf_add_be(out, run->backoff_ms, 8);
    buf_add_be(out, run->mem_bytes, 8);
    buf_add_be(out, run->mcpu, 4);
    buf_add_be(out, (uint64_t)run->output, 1);
    buf_add_be(out, run->loaded, 6);
}

/* The note's bytes into a blank run; false when they are not those of run_note. */
static bool read_note(struct run *run, const char *note, size_t len) {
    struct cursor c = cursor_make(note, len);
    uint64_t version = cursor_be(&c, 1);
    const char *id = cursor_bytes(&c, TASK_ID_LEN);
    const char *nonce = cursor_bytes(&c, NONCE_LEN);
    run->try_number = (uint16_t)cursor_be(&c, 2);
    run->failures = (uint16_t)cursor_be(&c, 2);
    run->retries = (uint32_t)cursor_be(&c, 4);
    run->backoff_ms = cursor_be(&c, 8);
    run->mem_bytes = cursor_be(&c, 8);
    run->mcpu = (uint32_t)cursor_be(&c, 4);
    uint64_t output = cursor_be(&c, 1);
    run->loaded = version == 1 ? 0 : cursor_be(&c, 6);
    if (c.failed || cursor_left(&c) > 0 || version < 1 || version > NOTE_VERSION ||
        output > OUTPUT_REDIS || memchr(id, 0, TASK_ID_LEN) || memchr(nonce, 0, NONCE_LEN))
        return false;
    run->output = (enum output_mode)output;
    memcpy(run->id, id, TASK_ID_LEN);
    memcpy(run->nonce, nonce, NONCE_LEN);
    return true;
}

static bool take_slot(struct runs *runs, uint32_t slot) {
    for (uint32_t i = 0; i < runs->free_count; i++)
        if (runs->free_slots[i] == slot) {
            runs->free_slots[i] = runs->free_slots[--runs->free_count];
            return true;
        }
    return false;
}

struct run *run_adopt(struct runs *runs, const struct wire_task *task, const char *note) {
    struct run *run = new_run(runs, "", "");
    uint32_t slot = task->started.slot;
    if (!read_note(run, note, task->note_len) || !take_slot(runs, slot)) {
        list_remove(&runs->lists[RUN_READY], run);
        free_run(run);
        return NULL;
    }
    runs->slots[slot] = run;
    run->slot = slot;
    run->pid = task->started.pid;
    run->in_supervisor = true;
    int64_t age_ms = wall_now().ms - (int64_t)task->started.start_wall_ms;
    if (age_ms > 0) /* the clock may have been set */
        run->claimed.ms -= age_ms;
    set_state(runs, run, RUN_STARTED);
    return run;
}

void runs_block(struct runs *runs, uint32_t slot) {
    take_slot(runs, slot);
}

bool runs_unblock(struct runs *runs, uint32_t slot) {
    if (slot >= runs->capacity || runs->slots[slot])
        return false;
    for (uint32_t i = 0; i < runs->free_count; i++)
        if (runs->free_slots[i] == slot)
            return false;
    runs->free_slots[runs->free_count++] = slot;
    return true;
}

bool run_start(struct runs *runs, struct run *run) {
    if (runs->free_count == 0)
        return false;
    run->slot = runs->free_slots[--runs->free_count];
    runs->slots[run->slot] = run;
    set_state(runs, run, RUN_STARTED);
    return true;
}

void run_end(struct runs *runs, struct run *run, const struct wire_exit *how) {
    run->exit = *how;
    set_state(runs, run, RUN_ENDED);
}

void run_give_up(struct runs *runs, struct run *run, enum run_fate fate) {
    run->fate = fate;
    set_state(runs, run, RUN_ENDED);
}

void run_report(struct runs *runs, struct run *run) {
    set_state(runs, run, RUN_REPORTING);
}

void run_unreport(struct runs *runs, struct run *run) {
    set_state(runs, run, RUN_ENDED);
}

void run_remove(struct runs *runs, struct run *run) {
    if (run->state == RUN_STARTED)
        set_state(runs, run, RUN_ENDED);
    list_remove(&runs->lists[run->state], run);
    if (run->slot != RUN_NO_SLOT) {
        runs->slots[run->slot] = NULL;
        runs->free_slots[runs->free_count++] = run->slot;
    }
    free_run(run);
}

struct run *runs_in_slot(const struct runs *runs, uint32_t slot) {
    return slot < runs->capacity ? runs->slots[slot] : NULL;
}

struct run *runs_find(const struct runs *runs, const char *id) {
    for (int state = RUN_READY; state <= RUN_ENDED; state++)
        for (struct run *run = runs->lists[state].first; run; run = run->next)
            if (strcmp(run->id, id) == 0 && !run->stale)
                return run;
    return NULL;
}

size_t runs_held(const struct runs *runs, uint64_t *digest) {
    size_t held = 0;
    *digest = 0;
    for (int state = RUN_READY; state <= RUN_ENDED; state++)
        for (struct run *run = runs->lists[state].first; run; run = run->next)
            if (!run->stale) {
                held++;
                *digest = held_digest_add(*digest, run->try_number, run->nonce);
            }
    return held;
}
