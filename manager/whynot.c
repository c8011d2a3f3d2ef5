#include "manager/whynot.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/keys.h"
#include "common/units.h"
#include "manager/print.h"
#include "manager/workers.h"

static void say(json_t *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(json_t *why, const char *fmt, ...) {
    struct buf text = BUF_INIT;
    va_list args;
    va_start(args, fmt);
    buf_addvf(&text, fmt, args);
    va_end(args);
    json_array_append_new(why, print_json_text(text.data, text.len));
    buf_free(&text);
}

/* --- dependencies ------------------------------------------------------------------------------
 */

static bool add_group(struct store *store, const char *name, json_t *entry, struct buf *error) {
    struct store_group group;
    if (!store_group(store, name, &group, error))
        return false;
    bool ended = group.known && !group.open && !group.pending;
    const char *state = !group.known                      ? "unknown"
                        : !ended                          ? "pending"
                        : group.failed || group.cancelled ? "failed"
                                                          : "finished";
    json_object_set_new(entry, "name", json_string(name));
    json_object_set_new(entry, "state", json_string(state));
    json_object_set_new(entry, "total", json_integer(group.total));
    json_object_set_new(entry, "pending", json_integer(group.pending));
    json_object_set_new(entry, "failed", json_integer(group.failed));
    json_object_set_new(entry, "cancelled", json_integer(group.cancelled));
    json_object_set_new(entry, "loading", json_boolean(group.open));
    return true;
}

static bool add_task(struct store *store, const char *id, json_t *entry, struct buf *error) {
    struct store_detail detail;
    bool known = store_detail(store, id, &detail, error);
    json_object_set_new(entry, "id", json_string(id));
    json_object_set_new(
        entry, "state",
        json_string(known ? task_state_name((enum task_state)detail.task.head.state) : "unknown"));
    store_detail_free(&detail);
    return known || !error->len;
}

bool whynot_after(struct store *store, const struct store_detail *detail, json_t *after,
                  struct buf *error) {
    const char *at = detail->after.data, *end = at + detail->after.len;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        if (stop - at > 3) { /* a|e n|t : WHAT */
            char *what = xstrndup(at + 3, (size_t)(stop - at) - 3);
            json_t *entry = json_object();
            json_object_set_new(entry, "kind", json_string(at[0] == 'a' ? "after" : "after_any"));
            bool ok = at[1] == 'n' ? add_group(store, what, entry, error)
                                   : add_task(store, what, entry, error);
            json_array_append_new(after, entry);
            free(what);
            if (!ok)
                return false;
        }
        at = stop + 1;
    }
    return true;
}

static bool is_pending(const char *state) {
    return strcmp(state, "finished") != 0 && strcmp(state, "failed") != 0 &&
           strcmp(state, "cancelled") != 0;
}

static bool say_after(struct store *store, const struct store_detail *detail, json_t *why,
                      struct buf *error) {
    json_t *after = json_array();
    bool ok = whynot_after(store, detail, after, error);
    for (size_t i = 0; i < json_array_size(after); i++) {
        const json_t *entry = json_array_get(after, i);
        const char *name = json_string_value(json_object_get(entry, "name"));
        const char *id = json_string_value(json_object_get(entry, "id"));
        const char *state = json_string_value(json_object_get(entry, "state"));
        if (!is_pending(state))
            continue;
        if (id) {
            say(why, "it waits for task %s, which is %s", id, state);
            continue;
        }
        long long total = json_integer_value(json_object_get(entry, "total"));
        long long pending = json_integer_value(json_object_get(entry, "pending"));
        bool loading = json_is_true(json_object_get(entry, "loading"));
        if (pending || !loading)
            say(why, "it waits for %s: %lld of %lld tasks have ended", name, total - pending,
                total);
        if (loading)
            say(why, "it waits for %s: the load that brings it has not ended", name);
    }
    json_decref(after);
    return ok;
}

/* --- workers ------------------------------------------------------------------------------------
 */

enum { NEEDS_MOST = 32 };

/* What the task wants, against the live workers one by one. */
struct fit {
    const struct store_task *task;
    char *requires;          /* owned */
    char *words[NEEDS_MOST]; /* of requires */
    bool met[NEEDS_MOST];    /* by some live worker */
    size_t word_count;
    size_t live, fitting, ready; /* workers: all, that could ever run it, of these not held back */
    uint64_t most_mem, most_mcpu;
    char *most_mem_name, *most_mcpu_name; /* owned */
    struct buf held_back;                 /* names and states of fitting ones that take nothing */
    struct store_reservations reserved;   /* by some workers, for other tasks or this one */
    json_t *kept;                         /* sentences on fitting ones that are kept free; owned */
};

static void fit_init(struct fit *fit, const struct store_task *task) {
    struct buf requires = BUF_INIT;
    task_requires(&task->task, &requires);
    *fit = (struct fit){.task = task, .held_back = BUF_INIT, .kept = json_array()};
    fit->requires = buf_detach(&requires);
    char *save = NULL;
    for (char *word = strtok_r(fit->requires, ",", &save); word && fit->word_count < NEEDS_MOST;
         word = strtok_r(NULL, ",", &save))
        fit->words[fit->word_count++] = word;
}

static void fit_free(struct fit *fit) {
    free(fit->requires);
    free(fit->most_mem_name);
    free(fit->most_mcpu_name);
    buf_free(&fit->held_back);
    store_reservations_free(&fit->reserved);
    json_decref(fit->kept);
}

static bool in_list(const char *list, const char *word) {
    size_t len = strlen(word);
    for (const char *at = list; at && *at;) {
        size_t part = strcspn(at, ",");
        if (part == len && !memcmp(at, word, len))
            return true;
        at += part + (at[part] == ',');
    }
    return false;
}

/* Whether the worker has cards for `gpu:MILLI`, or one with `gpu_mem:BYTES`, were they all free. */
static bool has_cards(const struct worker_view *view, const char *word) {
    const json_t *cards = json_object_get(view->info, "gpus");
    uint64_t number = strtoull(strchr(word, ':') + 1, NULL, 10);
    if (strncmp(word, "gpu:", 4) == 0)
        return json_array_size(cards) * 1000 >= number;
    for (size_t i = 0; i < json_array_size(cards); i++) {
        json_int_t mem = json_integer_value(json_object_get(json_array_get(cards, i), "memory"));
        if (mem > 0 && (uint64_t)mem >= number)
            return true;
    }
    return false;
}

static bool has_word(const struct worker_view *view, const char *word) {
    if (strncmp(word, "family:", 7) == 0) /* it asks nothing of a worker */
        return true;
    if (strncmp(word, "gpu", 3) == 0)
        return has_cards(view, word);
    const char *caps = json_string_value(json_object_get(view->info, "caps"));
    return in_list(caps, word);
}

static void note_most(uint64_t *most, char **name, uint64_t value, const struct worker_view *view) {
    if (*name && value <= *most)
        return;
    *most = value;
    free(*name);
    *name = xstrdup(view->name);
}

/* A worker that could run it is kept free: for this task, or for one that goes before it. */
static void note_kept(struct fit *fit, const struct worker_view *view) {
    const struct store_reservation *r = view->reserved;
    const struct task_head *head = &fit->task->head;
    uint64_t now_ms = fit->reserved.now_ms;
    struct buf waited = BUF_INIT, since = BUF_INIT;
    if (!r || r->priority < head->priority ||
        (r->priority == head->priority && r->loaded_ms > head->loaded_ms))
        return;
    units_add_ms(&waited, now_ms > r->since_ms ? now_ms - r->since_ms : 0);
    units_add_ms(&since, now_ms > r->owned_ms ? now_ms - r->owned_ms : 0);
    if (strcmp(r->id, fit->task->id) == 0)
        say(fit->kept, "others were taken before it for %s; %s has been kept free for it for %s",
            waited.data, view->name, since.data);
    else
        say(fit->kept,
            "%s takes none that would delay task %s, for which it has been kept free for %s: "
            "others "
            "were taken before that one for %s",
            view->name, r->id, since.data, waited.data);
    buf_free(&waited);
    buf_free(&since);
}

static bool fit_worker(const struct store_worker *worker, void *arg) {
    struct fit *fit = arg;
    const struct task_head *head = &fit->task->head;
    struct worker_view view;
    worker_view_init(&view, worker, &fit->reserved);
    if (view.live) {
        json_int_t told = json_integer_value(json_object_get(view.info, "reserve"));
        uint64_t reserve = told > 0 ? (uint64_t)told : 0;
        uint64_t mem = view.mem > reserve ? view.mem - reserve : 0;
        bool fits =
            view.mcpu >= head->mcpu && (head->mem_bytes == TASK_MEM_AUTO || mem >= head->mem_bytes);
        fit->live++;
        note_most(&fit->most_mem, &fit->most_mem_name, mem, &view);
        note_most(&fit->most_mcpu, &fit->most_mcpu_name, view.mcpu, &view);
        for (size_t i = 0; i < fit->word_count; i++) {
            bool has = has_word(&view, fit->words[i]);
            fit->met[i] = fit->met[i] || has;
            fits = fits && has;
        }
        bool ready = !strcmp(view.state, "run");
        fit->fitting += fits;
        fit->ready += fits && ready;
        if (fits && ready)
            note_kept(fit, &view);
        if (fits && !ready)
            buf_addf(&fit->held_back, "%s%s (%s)", fit->held_back.len ? ", " : "", view.name,
                     view.state);
    }
    worker_view_free(&view);
    return true;
}

/* A word of a task's requires, for people. */
static void add_word(struct buf *out, const char *word) {
    const char *value = strchr(word, ':');
    uint64_t number = value ? strtoull(value + 1, NULL, 10) : 0;
    if (strncmp(word, "label:", 6) == 0) {
        buf_addf(out, "the label %s", word + 6);
    } else if (strncmp(word, "kernel:", 7) == 0) {
        buf_addf(out, "the kernel %s", word + 7);
    } else if (strncmp(word, "gpu:", 4) == 0) {
        units_add_milli(out, number);
        buf_adds(out, number > 1000 ? " GPUs" : " GPU");
    } else if (strncmp(word, "gpu_mem:", 8) == 0) {
        buf_adds(out, "a GPU with ");
        units_add_bytes(out, number);
    } else if (strcmp(word, "limit") == 0 || strcmp(word, "pin") == 0) {
        buf_addf(out, "a supervisor that knows %s", word[0] == 'l' ? "limit=hard" : "pin=");
    } else {
        buf_adds(out, word);
    }
}

/* Needs that no live worker meets at all. */
static void say_unmet(const struct fit *fit, json_t *why) {
    const struct task_head *head = &fit->task->head;
    struct buf needs = BUF_INIT, most = BUF_INIT;
    size_t before = json_array_size(why);
    if (head->mem_bytes != TASK_MEM_AUTO && head->mem_bytes > fit->most_mem) {
        units_add_bytes(&needs, head->mem_bytes);
        units_add_bytes(&most, fit->most_mem);
        say(why, "it needs %s of memory; the largest live worker, %s, has %s for tasks", needs.data,
            fit->most_mem_name, most.data);
    }
    buf_clear(&needs);
    buf_clear(&most);
    if (head->mcpu > fit->most_mcpu) {
        units_add_milli(&needs, head->mcpu);
        units_add_milli(&most, fit->most_mcpu);
        say(why, "it needs %s cores; the largest live worker, %s, has %s", needs.data,
            fit->most_mcpu_name, most.data);
    }
    for (size_t i = 0; i < fit->word_count; i++)
        if (!fit->met[i]) {
            buf_clear(&needs);
            add_word(&needs, fit->words[i]);
            say(why, "it needs %s, which no live worker has", needs.data);
        }
    if (json_array_size(why) == before)
        say(why, "no live worker has all that it needs at the same time");
    buf_free(&needs);
    buf_free(&most);
}

/* --- its place ----------------------------------------------------------------------------------
 */

static redisReply *shape_names(struct store *store, struct buf *error) {
    struct buf key = BUF_INIT;
    key_add(&key, store->queue_key, KEY_SHAPE, NULL);
    cmd_clear(&store->cmd);
    cmd_adds(&store->cmd, "ZRANGE");
    cmd_add(&store->cmd, key.data, key.len);
    cmd_adds(&store->cmd, "0");
    cmd_adds(&store->cmd, "-1");
    buf_free(&key);
    return store_run(store, error);
}

static bool send_length(struct store *store, const char *shape, struct buf *error) {
    struct buf key = BUF_INIT;
    key_add(&key, store->queue_key, KEY_TODO, shape);
    cmd_clear(&store->cmd);
    cmd_adds(&store->cmd, "LLEN");
    cmd_add(&store->cmd, key.data, key.len);
    buf_free(&key);
    return store_send(store, error);
}

/* How many tasks are queued with a higher priority, and with the same. */
static bool count_before(struct store *store, uint32_t priority, uint64_t *higher, uint64_t *same,
                         struct buf *error) {
    redisReply *shapes = shape_names(store, error);
    size_t sent = 0;
    bool ok = shapes != NULL;
    *higher = *same = 0;
    /* Sorted by priority, high first. */
    for (; ok && sent < shapes->elements; sent++) {
        if (strtoul(shapes->element[sent]->str, NULL, 10) < priority)
            break;
        ok = send_length(store, shapes->element[sent]->str, error);
    }
    for (size_t i = 0; ok && i < sent; i++) {
        redisReply *length = store_reply(store, error);
        ok = length != NULL;
        uint64_t *sum = strtoul(shapes->element[i]->str, NULL, 10) > priority ? higher : same;
        if (length && length->integer > 0)
            *sum += (uint64_t)length->integer;
        if (length)
            freeReplyObject(length);
    }
    if (shapes)
        freeReplyObject(shapes);
    return ok;
}

static bool say_place(struct store *store, const struct store_task *task, json_t *why,
                      struct buf *error) {
    uint64_t higher, same;
    if (!count_before(store, task->head.priority, &higher, &same, error))
        return false;
    struct buf text = BUF_INIT;
    buf_adds(&text, "the workers are busy: ");
    if (higher) {
        print_count(&text, higher);
        buf_addf(&text, " queued task%s of higher priority, ", higher > 1 ? "s" : "");
    }
    if (same > 1) {
        print_count(&text, same - 1);
        buf_addf(&text, " other%s of its own", same > 2 ? "s" : "");
    } else {
        buf_adds(&text, "no other of its own");
    }
    say(why, "%s", text.data);
    buf_free(&text);
    return true;
}

static bool say_todo(struct store *store, const struct store_task *task, json_t *why,
                     struct buf *error) {
    struct fit fit;
    fit_init(&fit, task);
    bool ok = store_reservations(store, &fit.reserved, error) &&
              store_walk_workers(store, fit_worker, &fit, error);
    if (ok && !fit.live)
        say(why, "no worker is running; start one with redisWorker");
    else if (ok && !fit.fitting)
        say_unmet(&fit, why);
    else if (ok && !fit.ready)
        say(why, "the workers that could run it take no tasks: %s", fit.held_back.data);
    else if (ok)
        ok = say_place(store, task, why, error) && json_array_extend(why, fit.kept) == 0;
    fit_free(&fit);
    return ok;
}

/* One that failed without a try of its own; other reasons are those of its tries. */
static void say_failed(struct slice log, json_t *why) {
    struct try_entry entry;
    if (try_log_last(log, &entry) && entry.outcome == TRY_DEPENDENCY)
        say(why, "%.*s", (int)entry.reason.len, entry.reason.data);
}

bool whynot_find(struct store *store, const struct store_detail *detail, json_t *why,
                 struct buf *error) {
    struct buf text = BUF_INIT;
    bool ok = true;
    switch ((enum task_state)detail->task.head.state) {
    case TASK_TODO:
        ok = say_todo(store, &detail->task, why, error);
        break;
    case TASK_WAITING:
        ok = say_after(store, detail, why, error);
        break;
    case TASK_DELAYED:
        units_add_ms(&text, detail->due_ms > detail->now_ms ? detail->due_ms - detail->now_ms : 0);
        say(why, "its last try failed; the next is due in %s", text.data);
        break;
    case TASK_HELD:
        say(why, "it is held; releaseTask lets it go");
        ok = detail->unresolved <= 0 || say_after(store, detail, why, error);
        break;
    case TASK_FAILED:
        say_failed(detail->task.log, why);
        break;
    case TASK_IN_PROGRESS:
    case TASK_FINISHED:
    case TASK_CANCELLED:
        break;
    }
    buf_free(&text);
    return ok;
}
