#include <stdlib.h>
#include <string.h>

#include "common/need.h"
#include "common/option.h"
#include "common/units.h"
#include "manager/command.h"
#include "manager/output.h"
#include "manager/print.h"
#include "manager/use.h"
#include "manager/view.h"
#include "manager/whynot.h"

/* --- JSON ---------------------------------------------------------------------------------------
 */

/* What its worker said last that it uses. */
static bool find_use(const struct store_detail *detail, struct use *use) {
    json_t *stats = json_loadb(detail->stats.data, detail->stats.len, 0, NULL);
    bool known = use_read(stats, detail->task.id, use);
    json_decref(stats);
    return known;
}

/* Appends "min_dram raised from 2.0 GiB to 4.0 GiB after a return (used 3.1 GiB)", if that is why
 * it asks for what it does. */
static void add_raised(struct buf *text, const struct store_detail *detail) {
    struct slice log = detail->task.log;
    struct try_entry entry;
    struct buf now = BUF_INIT;
    buf_adds(&now, " to ");
    view_add_mem(&now, detail->task.head.mem_bytes);
    while (try_log_next(&log, &entry)) {
        size_t len;
        const char *note = need_raised_note(entry.reason.data, entry.reason.len, &len);
        if (!note || len < now.len || memcmp(note + len - now.len, now.data, now.len) != 0)
            continue;
        buf_clear(text);
        buf_add(text, note, len);
        buf_adds(text, " after a return (used ");
        units_add_bytes(text, entry.maxrss_kib * 1024);
        buf_addc(text, ')');
    }
    buf_free(&now);
}

static json_t *output_json(const struct store_task *task) {
    struct output output;
    if (!task->has_output)
        return json_null();
    if (!task->output.len)
        return json_pack("{s:b}", "dropped", 1);
    json_t *object = json_null();
    if (output_read(&output, task->output))
        object = json_pack("{s:i, s:I, s:I, s:b}", "try", output.try_number, "stdout_bytes",
                           (json_int_t)output.stream[0].whole_bytes, "stderr_bytes",
                           (json_int_t)output.stream[1].whole_bytes, "cut",
                           output.stream[0].cut || output.stream[1].cut);
    output_free(&output);
    return object;
}

static void print_detail_json(const struct session *session, const struct store_detail *detail,
                              json_t *after, json_t *why) {
    json_t *object = view_task_json(&detail->task);
    /* What it waits for, resolved, is more than the references as they were written. */
    json_object_del(object, "after_any");
    json_object_set(object, "after", after);
    json_object_set_new(object, "cancel_requested",
                        json_boolean(detail->task.head.flags & TASK_FLAG_CANCEL));
    json_object_set_new(object, "since", view_time_json(detail->started_ms));
    json_object_set_new(object, "due", view_time_json(detail->due_ms));
    json_object_set_new(object, "output", output_json(&detail->task));
    struct use use;
    json_object_set_new(object, "use", find_use(detail, &use) ? use_json(&use) : json_null());
    struct buf raised = BUF_INIT;
    add_raised(&raised, detail);
    json_object_set_new(object, "raised", raised.len ? json_string(raised.data) : json_null());
    buf_free(&raised);
    json_object_set_new(object, "try_log", view_tries_json(detail->task.log));
    json_object_set(object, "why_not_running", why);
    print_json(session->out, object);
}

/* --- text ---------------------------------------------------------------------------------------
 */

static void put(const struct session *session, const char *label, const char *text, size_t len) {
    struct buf safe = BUF_INIT;
    print_safe(&safe, text, len, 0);
    fprintf(session->out, "%-9s %s\n", label, safe.data);
    buf_free(&safe);
}

static void put_text(const struct session *session, const char *label, struct buf *text) {
    if (text->len)
        put(session, label, text->data, text->len);
    buf_free(text);
}

static void add_age(struct buf *text, uint64_t now_ms, uint64_t then_ms) {
    buf_addc(text, ' ');
    buf_addc(text, '(');
    print_age(text, now_ms, then_ms);
    buf_adds(text, " ago)");
}

static void put_state(const struct session *session, const struct store_detail *detail) {
    const struct store_task *task = &detail->task;
    struct buf text = BUF_INIT;
    buf_adds(&text, task_state_name((enum task_state)task->head.state));
    if (task->head.state == TASK_IN_PROGRESS) {
        buf_addf(&text, ", try %u on %.*s for ", task->head.tries, (int)task->worker.len,
                 task->worker.data);
        print_age(&text, detail->now_ms, detail->started_ms);
    }
    if (task->head.flags & TASK_FLAG_CANCEL)
        buf_adds(&text, "; it was asked to end");
    put_text(session, "state", &text);
}

static void put_request(const struct session *session, const struct store_task *task) {
    struct buf text = BUF_INIT;
    buf_addf(&text, "%s, priority %u, ", task_type_name(task->task.type), task->head.priority);
    if (task->head.mem_bytes)
        view_add_mem(&text, task->head.mem_bytes);
    buf_addf(&text, "%s memory, ", task->head.mem_bytes ? "" : "no");
    units_add_milli(&text, task->head.mcpu);
    buf_adds(&text, task->head.mcpu == 1000 ? " core" : " cores");
    put_text(session, "request", &text);
}

static void put_memory(const struct session *session, const struct store_detail *detail) {
    struct buf text = BUF_INIT;
    struct use use;
    add_raised(&text, detail);
    put_text(session, "raised", &text);
    if (find_use(detail, &use)) {
        use_add(&text, &use);
        put_text(session, "uses", &text);
    }
}

/* Everything that `#@` could say, but the name. */
static void put_options(const struct session *session, const struct task *task) {
    struct buf text = BUF_INIT;
    for (size_t i = 0; i < task->option_count; i++) {
        const struct task_option *option = &task->options[i];
        int64_t number = task_option_number(task, option->tag, 0);
        if (option->tag == OPT_NAME)
            continue;
        const struct task_option_info *info = NULL;
        for (size_t k = 0; k < task_options_count && !info; k++)
            if (task_options[k].tag == option->tag)
                info = &task_options[k];
        if (!info)
            continue;
        buf_addf(&text, "%s%s%s", text.len ? " " : "", info->key,
                 info->form == FORM_PAIR ? "" : "=");
        if (info->form == FORM_DURATION)
            units_add_ms(&text, (uint64_t)number);
        else if (info->form == FORM_SIZE)
            units_add_bytes(&text, (uint64_t)number);
        else if (info->form == FORM_MILLI)
            units_add_milli(&text, (uint64_t)number);
        else
            buf_add(&text, option->value, option->len);
    }
    put_text(session, "options", &text);
}

static void put_counts(const struct session *session, const struct store_task *task) {
    const struct task_head *head = &task->head;
    struct buf text = BUF_INIT;
    buf_addf(&text, "%u tr%s", head->tries, head->tries == 1 ? "y" : "ies");
    if (head->failures)
        buf_addf(&text, ", %u failed", head->failures);
    if (head->losses)
        buf_addf(&text, ", %u lost with a worker", head->losses);
    if (head->returns)
        buf_addf(&text, ", %u returned for memory", head->returns);
    put_text(session, "tries", &text);
}

static void put_output(const struct session *session, const struct store_task *task) {
    struct output output;
    struct buf text = BUF_INIT;
    if (!task->has_output)
        return;
    if (!task->output.len) {
        put(session, "output", "dropped to make room (keep_output_bytes)", 40);
        return;
    }
    if (output_read(&output, task->output)) {
        static const char *const names[] = {"stdout ", ", stderr "};
        for (int i = 0; i < 2; i++) {
            buf_adds(&text, names[i]);
            units_add_bytes(&text, output.stream[i].whole_bytes);
            if (output.stream[i].cut)
                buf_adds(&text, " (cut)");
        }
    }
    output_free(&output);
    put_text(session, "output", &text);
}

static void put_after(const struct session *session, json_t *after) {
    for (size_t i = 0; i < json_array_size(after); i++) {
        const json_t *entry = json_array_get(after, i);
        const char *name = json_string_value(json_object_get(entry, "name"));
        struct buf text = BUF_INIT;
        buf_addf(&text, "%s: %s", name ? name : json_string_value(json_object_get(entry, "id")),
                 json_string_value(json_object_get(entry, "state")));
        if (name) {
            long long total = json_integer_value(json_object_get(entry, "total"));
            long long pending = json_integer_value(json_object_get(entry, "pending"));
            buf_addf(&text, ", %lld of %lld tasks have ended", total - pending, total);
        }
        put_text(session, json_string_value(json_object_get(entry, "kind")), &text);
    }
}

static const struct table_column try_columns[] = {
    {"TRY", ALIGN_RIGHT},  {"WORKER", ALIGN_LEFT},  {"START", ALIGN_LEFT}, {"WALL", ALIGN_RIGHT},
    {"USER", ALIGN_RIGHT}, {"SYSTEM", ALIGN_RIGHT}, {"PEAK", ALIGN_RIGHT}, {"OUTCOME", ALIGN_LEFT}};

static void add_us(struct table *table, uint64_t us) {
    struct buf text = BUF_INIT;
    view_add_wall(&text, us);
    table_cells(table, text.data);
    buf_free(&text);
}

static void add_try(struct table *table, const struct try_entry *entry) {
    struct buf text = BUF_INIT;
    table_cellf(table, "%u", entry->try_number);
    table_cell(table, entry->worker.data, entry->worker.len);
    view_add_time(&text, entry->start_ms);
    table_cells(table, text.data);
    add_us(table, entry->wall_us);
    add_us(table, entry->user_us);
    add_us(table, entry->system_us);
    buf_clear(&text);
    view_add_mem(&text, entry->maxrss_kib * 1024);
    table_cells(table, text.data);
    buf_clear(&text);
    try_entry_describe(entry, &text);
    table_colour(table, entry->outcome == TRY_FINISHED ? COLOUR_GREEN : COLOUR_RED);
    table_cells(table, text.data);
    buf_free(&text);
}

/* Under the table: what does not fit on a line. */
static void put_reasons(const struct session *session, struct slice log) {
    struct try_entry entry;
    while (try_log_next(&log, &entry)) {
        struct slice rest = entry.reason;
        if (entry.outcome == TRY_DEPENDENCY)
            continue;
        if (entry.path.len)
            fprintf(session->out, "try %u: output kept on %.*s in %.*s\n", entry.try_number,
                    (int)entry.node.len, entry.node.data, (int)entry.path.len, entry.path.data);
        if (rest.len)
            fprintf(session->out, "try %u ended so:\n", entry.try_number);
        while (rest.len) {
            const char *newline = memchr(rest.data, '\n', rest.len);
            size_t len = newline ? (size_t)(newline - rest.data) : rest.len;
            struct buf safe = BUF_INIT;
            print_safe(&safe, rest.data, len, 0);
            fprintf(session->out, "    %s\n", safe.data);
            buf_free(&safe);
            rest.data += len + (newline != NULL);
            rest.len -= len + (newline != NULL);
        }
    }
}

static void put_tries(const struct session *session, struct slice log) {
    struct slice all = log;
    struct try_entry entry;
    struct table *table = NULL;
    while (try_log_next(&log, &entry)) {
        if (entry.outcome == TRY_DEPENDENCY) /* no try; told as why it does not run */
            continue;
        if (!table) {
            fputc('\n', session->out);
            table = table_new(session->out, try_columns, sizeof try_columns / sizeof *try_columns);
        }
        add_try(table, &entry);
    }
    if (table)
        table_free(table);
    put_reasons(session, all);
}

static void print_detail(const struct session *session, const struct store_detail *detail,
                         json_t *after, json_t *why) {
    const struct store_task *task = &detail->task;
    const struct task_option *name = task_option(&task->task, OPT_NAME);
    struct buf loaded = BUF_INIT;
    put(session, "task", task->id, strlen(task->id));
    put_state(session, detail);
    for (size_t i = 0; i < json_array_size(why); i++) {
        const json_t *reason = json_array_get(why, i);
        put(session, i ? "" : "because", json_string_value(reason), json_string_length(reason));
    }
    put(session, "command", task->task.params, task->task.params_len);
    if (name)
        put(session, "name", name->value, name->len);
    put_request(session, task);
    put_memory(session, detail);
    put_options(session, &task->task);
    put_after(session, after);
    view_add_time(&loaded, task->head.loaded_ms);
    add_age(&loaded, detail->now_ms, task->head.loaded_ms);
    put_text(session, "loaded", &loaded);
    put_counts(session, task);
    put_output(session, task);
    put_tries(session, task->log);
}

/* --- the verb -----------------------------------------------------------------------------------
 */

static bool show(struct session *session, struct store *store, const char *text) {
    task_id_t id;
    struct store_detail detail;
    struct buf error = BUF_INIT;
    if (!view_find(session, store, text, id))
        return false;
    json_t *after = json_array(), *why = json_array();
    bool ok = store_detail(store, id, &detail, &error) &&
              whynot_after(store, &detail, after, &error) &&
              whynot_find(store, &detail, why, &error);
    if (!ok)
        session_error(session, "%s",
                      error.len ? error.data : "the task was removed while it was looked at");
    else if (session->json)
        print_detail_json(session, &detail, after, why);
    else
        print_detail(session, &detail, after, why);
    store_detail_free(&detail);
    json_decref(after);
    json_decref(why);
    buf_free(&error);
    return ok;
}

static int show_task(struct session *session, const struct args *args) {
    struct store *store = session_store(session);
    int64_t due_ms;
    struct buf error = BUF_INIT;
    if (!store)
        return EXIT_FAILED;
    bool ok = store_maintain(store, &due_ms, &error);
    if (!ok)
        session_error(session, "%s", error.data);
    buf_free(&error);
    for (size_t i = 0; i < args->operand_count && !link_broken(store->link); i++) {
        if (i && !session->json)
            fputc('\n', session->out);
        ok = show(session, store, args->operands[i]) && ok;
    }
    return ok ? EXIT_DONE : EXIT_FAILED;
}

const struct verb verb_show_task = {
    .name = "showTask",
    .operands = "ID…",
    .min_operands = 1,
    .max_operands = VERB_ANY,
    .summary = "everything about a task, and why it does not run",
    .about = "Its description, state, counts, and every try with worker, times, memory and "
             "outcome. When it is not running, what it waits for: dependencies, a retry's "
             "time, a worker with enough memory or cores, a label that no worker has.\n\n"
             "An ID may be shortened as long as only one task's begins so. With --json, one "
             "object a line.",
    .group = GROUP_LOOK,
    .flags = VERB_ANSWERS,
    .run = show_task,
};
