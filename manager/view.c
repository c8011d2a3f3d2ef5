#include "manager/view.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/option.h"
#include "common/units.h"
#include "manager/print.h"

#define FOUND_MOST 4 /* of the ids that begin so, this many are looked for */

bool view_find(const struct session *session, struct store *store, const char *text, task_id_t id) {
    task_id_t ids[FOUND_MOST];
    size_t found = 0;
    struct buf error = BUF_INIT;
    if (!*text || !store_find_prefix(store, text, ids, FOUND_MOST, &found, &error)) {
        session_error(session, "%s", *text ? error.data : "expected a task's id, not nothing");
        found = 0;
    } else if (found == 0) {
        session_error(session, "%s: there is no such task in queue %s", text, store->queue);
    } else if (found == 1) {
        memcpy(id, ids[0], sizeof ids[0]);
    } else {
        for (size_t i = 0; i < found; i++)
            buf_addf(&error, "%s%s", i ? ", " : "", ids[i]);
        session_error(session, "%s: several tasks begin so: %s%s; give more of the id", text,
                      error.data, found == FOUND_MOST ? ", …" : "");
    }
    buf_free(&error);
    return found == 1;
}

bool view_now(struct store *store, uint64_t *now_ms, struct buf *error) {
    cmd_clear(&store->cmd);
    cmd_adds(&store->cmd, "TIME");
    redisReply *reply = store_run(store, error);
    if (!reply)
        return false;
    *now_ms = link_reply_time(reply);
    freeReplyObject(reply);
    return true;
}

uint64_t view_todo(const struct store_counts *counts) {
    return counts->state[TASK_TODO] + counts->state[TASK_WAITING] + counts->state[TASK_DELAYED] +
           counts->state[TASK_HELD];
}

uint64_t view_failed(const struct store_counts *counts) {
    return counts->state[TASK_FAILED] + counts->state[TASK_CANCELLED];
}

/* --- texts ------------------------------------------------------------------------------------ */

void view_add_mem(struct buf *out, uint64_t mem_bytes) {
    if (mem_bytes == TASK_MEM_AUTO)
        buf_adds(out, "auto");
    else if (!mem_bytes)
        buf_adds(out, "-");
    else
        units_add_bytes(out, mem_bytes);
}

void view_add_mcpu(struct buf *out, uint32_t mcpu) {
    if (mcpu)
        units_add_milli(out, mcpu);
    else
        buf_adds(out, "-");
}

void view_add_wall(struct buf *out, uint64_t us) {
    if (us < 10000)
        buf_addf(out, "%.2gms", (double)us / 1000);
    else if (us < 1000000)
        buf_addf(out, "%.0fms", (double)us / 1000);
    else if (us < 60000000)
        buf_addf(out, "%.2fs", (double)us / 1e6);
    else
        units_add_ms(out, us / 1000);
}

void view_add_time(struct buf *out, uint64_t unix_ms) {
    char text[WALL_TEXT_SIZE];
    if (!unix_ms) {
        buf_addc(out, '-');
        return;
    }
    wall_text((wall_ms_t){(int64_t)unix_ms}, text);
    buf_adds(out, text);
}

static bool is_blank(char c) {
    return c == '\n' || c == '\r' || c == ' ' || c == '\t';
}

struct slice view_last_line(const char *text, size_t len) {
    while (len && is_blank(text[len - 1]))
        len--;
    const char *newline = len ? memrchr(text, '\n', len) : NULL;
    const char *start = newline ? newline + 1 : text;
    return (struct slice){start, len - (size_t)(start - text)};
}

/* --- JSON ------------------------------------------------------------------------------------- */

json_t *view_slice_json(struct slice text) {
    return print_json_text(text.data, text.len);
}

json_t *view_time_json(uint64_t unix_ms) {
    char text[WALL_TEXT_SIZE];
    if (!unix_ms)
        return json_null();
    wall_text((wall_ms_t){(int64_t)unix_ms}, text);
    return json_string(text);
}

static void set_number(json_t *object, const char *key, uint64_t number) {
    json_object_set_new(object, key, json_integer((json_int_t)number));
}

/* A table name of the object, made when it is not there. */
static json_t *sub_object(json_t *object, const char *key) {
    json_t *sub = json_object_get(object, key);
    if (!sub) {
        sub = json_object();
        json_object_set_new(object, key, sub);
    }
    return sub;
}

static json_t *names_json(const char *value, size_t len) {
    json_t *names = json_array();
    for (const char *at = value, *end = value + len; at < end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        size_t part = (size_t)((comma ? comma : end) - at);
        json_array_append_new(names, print_json_text(at, part));
        at += part + 1;
    }
    return names;
}

static const struct task_option_info *info_of(enum task_option_tag tag) {
    for (size_t i = 0; i < task_options_count; i++)
        if (task_options[i].tag == tag)
            return &task_options[i];
    return NULL;
}

static void add_pair(json_t *object, const char *key, const struct task_option *option) {
    char group[16];
    snprintf(group, sizeof group, "%.*s", (int)strcspn(key, "."), key); /* env. */
    const char *equals = memchr(option->value, '=', option->len);
    size_t name_len = equals ? (size_t)(equals - option->value) : option->len;
    const char *value = equals ? equals + 1 : option->value + option->len;
    struct buf name = BUF_INIT;
    print_safe(&name, option->value, name_len, 0);
    json_object_set_new(sub_object(object, group), name.data,
                        print_json_text(value, (size_t)(option->value + option->len - value)));
    buf_free(&name);
}

static void add_option(json_t *object, const struct task *task, const struct task_option *option) {
    const struct task_option_info *info = info_of(option->tag);
    if (!info || option->tag == OPT_NAME)
        return;
    int64_t number = task_option_number(task, option->tag, 0);
    struct buf key = BUF_INIT;
    switch (info->form) {
    case FORM_PAIR:
        add_pair(object, info->key, option);
        break;
    case FORM_NAMES:
        json_object_set_new(object, info->key, names_json(option->value, option->len));
        break;
    case FORM_DURATION:
        buf_addf(&key, "%s_ms", info->key);
        json_object_set_new(object, key.data, json_integer(number));
        break;
    case FORM_SIZE:
        buf_addf(&key, "%s_bytes", info->key);
        json_object_set_new(object, key.data, json_integer(number));
        break;
    case FORM_MILLI:
        json_object_set_new(object, info->key, json_real((double)number / 1000));
        break;
    case FORM_COUNT:
        json_object_set_new(object, info->key, json_integer(number));
        break;
    case FORM_TEXT:
    case FORM_CHOICE:
        json_object_set_new(object, info->key, print_json_text(option->value, option->len));
        break;
    }
    buf_free(&key);
}

json_t *view_task_json(const struct store_task *t) {
    const struct task_head *head = &t->head;
    const struct task_option *name = task_option(&t->task, OPT_NAME);
    json_t *object = json_object();
    json_object_set_new(object, "id", json_string(t->id));
    json_object_set_new(object, "name",
                        name ? print_json_text(name->value, name->len) : json_null());
    json_object_set_new(object, "state",
                        json_string(task_state_name((enum task_state)head->state)));
    json_object_set_new(object, "type", json_string(task_type_name(t->task.type)));
    set_number(object, "priority", head->priority);
    json_object_set_new(
        object, "min_dram_bytes",
        head->mem_bytes == TASK_MEM_AUTO ? json_null() : json_integer((json_int_t)head->mem_bytes));
    json_object_set_new(object, "min_cpu", json_real((double)head->mcpu / 1000));
    json_object_set_new(object, "command", print_json_text(t->task.params, t->task.params_len));
    for (size_t i = 0; i < t->task.option_count; i++)
        add_option(object, &t->task, &t->task.options[i]);
    json_object_set_new(object, "loaded", view_time_json(head->loaded_ms));
    set_number(object, "tries", head->tries);
    set_number(object, "failures", head->failures);
    set_number(object, "losses", head->losses);
    set_number(object, "returns", head->returns);
    if (t->worker.len)
        json_object_set_new(object, "worker", view_slice_json(t->worker));
    return object;
}

json_t *view_try_json(const struct try_entry *entry) {
    const char *name = entry->signal ? sigabbrev_np(entry->signal) : NULL;
    struct buf signal = BUF_INIT;
    if (name)
        buf_addf(&signal, "SIG%s", name);
    json_t *object = json_object();
    set_number(object, "try", entry->try_number);
    json_object_set_new(object, "outcome", json_string(try_outcome_name(entry->outcome)));
    json_object_set_new(object, "worker", view_slice_json(entry->worker));
    json_object_set_new(object, "start", view_time_json(entry->start_ms));
    json_object_set_new(object, "end", view_time_json(entry->end_ms));
    json_object_set_new(object, "exit_code",
                        entry->signal || entry->outcome == TRY_LOST ||
                                entry->outcome == TRY_DEPENDENCY
                            ? json_null()
                            : json_integer(entry->exit_code));
    json_object_set_new(object, "signal", name ? json_string(signal.data) : json_null());
    json_object_set_new(object, "wall_s", json_real((double)entry->wall_us / 1e6));
    json_object_set_new(object, "user_s", json_real((double)entry->user_us / 1e6));
    json_object_set_new(object, "system_s", json_real((double)entry->system_us / 1e6));
    set_number(object, "max_rss_bytes", entry->maxrss_kib * 1024);
    set_number(object, "read_bytes", entry->read_bytes);
    set_number(object, "write_bytes", entry->write_bytes);
    set_number(object, "stdout_bytes", entry->out_bytes);
    set_number(object, "stderr_bytes", entry->err_bytes);
    if (entry->path.len) {
        json_object_set_new(object, "kept_on", view_slice_json(entry->node));
        json_object_set_new(object, "kept_in", view_slice_json(entry->path));
    }
    if (entry->reason.len)
        json_object_set_new(object, "reason", view_slice_json(entry->reason));
    buf_free(&signal);
    return object;
}

json_t *view_tries_json(struct slice log) {
    json_t *tries = json_array();
    struct try_entry entry;
    while (try_log_next(&log, &entry))
        json_array_append_new(tries, view_try_json(&entry));
    return tries;
}

json_t *view_counts_json(const struct store_counts *counts) {
    json_t *object = json_object(), *states = json_object();
    set_number(object, "todo", view_todo(counts));
    set_number(object, "in_progress", counts->state[TASK_IN_PROGRESS]);
    set_number(object, "finished", counts->state[TASK_FINISHED]);
    set_number(object, "failed", view_failed(counts));
#define X(symbol, number, name) set_number(states, name, counts->state[number]);
    TASK_STATES(X)
#undef X
    json_object_set_new(object, "states", states);
    set_number(object, "losses", counts->losses);
    set_number(object, "stale_reports", counts->stale);
    set_number(object, "output_bytes", counts->output_bytes);
    set_number(object, "live_workers", counts->live_workers);
    set_number(object, "loads_open", counts->loads_open);
    return object;
}
