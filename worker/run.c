#include "worker/run.h"

#include <stdlib.h>
#include <string.h>

#include "common/claimops.h"
#include "worker/hostkey.h"
#include "worker/result.h"

/* What a worker may have kept since before an upgrade: of 1, without `loaded`; of 2, without what
 * follows it. */
#define NOTE_VERSION 3
enum { NOTE_AUTO = 1, NOTE_NATIVE = 2 };

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
    placement_free(run->placement);
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

static void list_insert(struct run_list *list, struct run *run, struct run *after) {
    run->prev = after;
    run->next = after ? after->next : list->first;
    *(run->prev ? &run->prev->next : &list->first) = run;
    *(run->next ? &run->next->prev : &list->last) = run;
    list->count++;
}

static void list_append(struct run_list *list, struct run *run) {
    list_insert(list, run, list->last);
}

/* A host runs it, or keeps the output of it until ACK, and takes no other try as long. */
static void count_host(struct runs *runs, struct run *run) {
    bool ended = run->state == RUN_ENDED || run->state == RUN_REPORTING;
    bool output = run->exit.out_bytes || run->exit.err_bytes;
    runs->natives -= run->has_host;
    run->has_host = run->native && (run->state == RUN_STARTED || (ended && output));
    runs->natives += run->has_host;
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
    count_host(runs, run);
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

static void set_family(struct run *run, const struct task *task) {
    struct buf key = BUF_INIT;
    family_key(task, &key);
    snprintf(run->family, sizeof run->family, "%s", key.data);
    buf_free(&key);
}

struct run *run_add(struct runs *runs, const char *id, const char *nonce, struct slice record,
                    struct run_share share) {
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
    run->mem_auto = head.mem_bytes == TASK_MEM_AUTO;
    run->mem_bytes = run->mem_auto ? share.need_bytes : head.mem_bytes;
    run->held_bytes = run->mem_auto ? share.hold_bytes : head.mem_bytes;
    run->mcpu = head.mcpu;
    run->timeout_ms = (uint64_t)task_option_number(&task, OPT_TIMEOUT, -1);
    run->output = read_output_mode(&task);
    set_family(run, &task);
    run->placement = placement_of(&task);
    run->native = task.type == TASK_NATIVE;
    run->environment = run->native ? hostkey_environment(&task) : 0;
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
    buf_add_be(out, run->held_bytes, 8);
    buf_add_be(out, (run->mem_auto ? NOTE_AUTO : 0u) | (run->native ? NOTE_NATIVE : 0u), 1);
    size_t family = strlen(run->family);
    buf_add_be(out, family, 1);
    buf_add(out, run->family, family);
    struct buf placement = BUF_INIT;
    placement_pack(run->placement, &placement);
    buf_add_be(out, placement.len, 2);
    buf_add(out, placement.data, placement.len);
    buf_free(&placement);
}

/* What notes have from version 3 on. */
static bool read_terms(struct run *run, struct cursor *c) {
    run->held_bytes = cursor_be(c, 8);
    uint64_t flags = cursor_be(c, 1), family = cursor_be(c, 1);
    const char *key = cursor_bytes(c, (size_t)family);
    if (c->failed || family > FAMILY_KEY_MAX || memchr(key, 0, (size_t)family))
        return false;
    run->mem_auto = flags & NOTE_AUTO;
    run->native = flags & NOTE_NATIVE;
    memcpy(run->family, key, (size_t)family);
    return true;
}

static bool read_placement(struct run *run, struct cursor *c) {
    size_t len = (size_t)cursor_be(c, 2);
    const char *bytes = cursor_bytes(c, len);
    return !c->failed && placement_unpack(bytes, len, &run->placement);
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
    run->held_bytes = run->mem_bytes;
    if (version >= 3 && (!read_terms(run, &c) || !read_placement(run, &c)))
        return false;
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

/* By the time of the start, so that the next agent knows it too, but never twice the same. */
static void set_order(struct runs *runs, struct run *run, uint64_t start_wall_ms) {
    bool later = start_wall_ms > runs->last_order;
    runs->last_order = run->memory.order = later ? start_wall_ms : runs->last_order + 1;
}

/* The last of the list goes to its place by the order of starts. */
static void sort_in(struct run_list *list, struct run *run) {
    struct run *after = run->prev;
    while (after && after->memory.order > run->memory.order)
        after = after->prev;
    if (after == run->prev)
        return;
    list_remove(list, run);
    list_insert(list, run, after);
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
    run->slot = run->files = slot;
    run->pid = task->started.pid;
    run->in_supervisor = true;
    run->memory.adopted = true;
    run->memory.order = task->started.start_wall_ms; /* they come in the order of slots */
    if (run->memory.order > runs->last_order)
        runs->last_order = run->memory.order;
    int64_t age_ms = wall_now().ms - (int64_t)task->started.start_wall_ms;
    if (age_ms > 0) /* the clock may have been set */
        run->claimed.ms -= age_ms;
    run->memory.started = run->claimed;
    set_state(runs, run, RUN_STARTED);
    sort_in(&runs->lists[RUN_STARTED], run);
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
    run->slot = run->files = runs->free_slots[--runs->free_count];
    runs->slots[run->slot] = run;
    set_order(runs, run, (uint64_t)wall_now().ms);
    run->memory.started = mono_now();
    set_state(runs, run, RUN_STARTED);
    return true;
}

void run_end_asked(struct run *run, enum wire_why why, uint64_t grace_ms) {
    struct run_memory *m = &run->memory;
    mono_ms_t now = mono_now();
    if (m->end_why != WIRE_WHY_NONE &&
        mono_diff(now, m->end_asked) + (int64_t)grace_ms >= (int64_t)m->end_grace_ms)
        return;
    if (m->end_why == WIRE_WHY_NONE)
        m->end_why = why;
    m->end_asked = now;
    m->end_grace_ms = grace_ms;
}

void run_end(struct runs *runs, struct run *run, const struct wire_exit *how) {
    run->exit = *how;
    if (how->files || run->native) /* an older supervisor does not say, and has no others */
        run->files = how->files;
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
    runs->natives -= run->has_host;
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
