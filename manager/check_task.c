#include <stdlib.h>
#include <string.h>

#include "manager/command.h"
#include "manager/families.h"
#include "manager/listing.h"
#include "manager/output.h"
#include "manager/print.h"
#include "manager/running.h"
#include "manager/select.h"
#include "manager/view.h"

static const struct opt options[] = {
    {.name = "todo",
     .kind = KIND_BOOL,
     .preset = "true",
     .help = "list todo tasks, waiting, delayed and held ones too"},
    {.name = "in_progress", .kind = KIND_BOOL, .preset = "true", .help = "list running tasks"},
    {.name = "finished", .kind = KIND_BOOL, .preset = "true", .help = "list finished tasks"},
    {.name = "failed",
     .kind = KIND_BOOL,
     .preset = "true",
     .help = "list failed and cancelled tasks"},
    {.name = "failed_reason",
     .kind = KIND_BOOL,
     .preset = "true",
     .help = "show why failed tasks failed"},
    {.name = "print_result",
     .kind = KIND_BOOL,
     .preset = "true",
     .help = "show the last line of what finished tasks printed"},
    {.name = "limit",
     .kind = KIND_COUNT,
     .metavar = "N",
     .preset = "50",
     .help = "at most this many lines a list; 0 for all"},
    OPT_END};

/* --- counts ------------------------------------------------------------------------------------
 */

static void add_part(struct buf *line, uint64_t number, const char *what) {
    if (!number)
        return;
    if (line->len)
        buf_adds(line, ", ");
    buf_addf(line, "%llu %s", (unsigned long long)number, what);
}

struct paused {
    struct buf names;
    size_t count;
};

#define PAUSED_NAMED 5

static bool find_paused(const struct store_worker *worker, void *arg) {
    struct paused *paused = arg;
    json_t *stats = json_loadb(worker->stats.data, worker->stats.len, 0, NULL);
    const char *mode = json_string_value(json_object_get(stats, "mode"));
    if (worker->lease_end_ms && mode && !strcmp(mode, "paused") && paused->count++ < PAUSED_NAMED)
        buf_addf(&paused->names, "%s%.*s", paused->names.len ? ", " : "", (int)worker->name.len,
                 worker->name.data);
    json_decref(stats);
    return true;
}

/* What is worth a look beside the counts: a phrase each. */
static bool add_oddities(struct store *store, const struct store_counts *counts, struct buf *line,
                         struct buf *error) {
    struct paused paused = {BUF_INIT, 0};
    if (view_todo(counts) && !counts->live_workers)
        buf_addf(line, "%sno worker is running", line->len ? "; " : "");
    if (counts->loads_open)
        buf_addf(line, "%s%llu load%s not ended", line->len ? "; " : "",
                 (unsigned long long)counts->loads_open, counts->loads_open > 1 ? "s" : "");
    bool ok = !counts->live_workers || store_walk_workers(store, find_paused, &paused, error);
    if (paused.count)
        buf_addf(line, "%spaused: %s%s (checkWorker says why)", line->len ? "; " : "",
                 paused.names.data, paused.count > PAUSED_NAMED ? ", …" : "");
    buf_free(&paused.names);
    return ok;
}

static bool print_counts(const struct session *session, struct store *store,
                         const struct store_counts *counts, struct buf *error) {
    if (session->json) {
        json_t *greedy = families_greedy_json(store, error), *object = NULL;
        if (greedy) {
            object = view_counts_json(counts);
            json_object_set_new(object, "large_requests", greedy);
            print_json(session->out, object);
        }
        return object != NULL;
    }
    const uint64_t *state = counts->state;
    struct buf line = BUF_INIT;
    add_part(&line, state[TASK_WAITING], "waiting");
    add_part(&line, state[TASK_DELAYED], "delayed");
    add_part(&line, state[TASK_HELD], "held");
    add_part(&line, state[TASK_CANCELLED], "cancelled");
    bool ok = add_oddities(store, counts, &line, error);
    fprintf(session->out,
            "%llu todo tasks, %llu in_progress tasks, %llu finished tasks, %llu failed tasks\n",
            (unsigned long long)view_todo(counts), (unsigned long long)state[TASK_IN_PROGRESS],
            (unsigned long long)state[TASK_FINISHED], (unsigned long long)view_failed(counts));
    if (line.len)
        fprintf(session->out, "of these %s\n", line.data);
    buf_free(&line);
    return ok;
}

/* --- lists -------------------------------------------------------------------------------------
 */

enum list_kind { LIST_TODO, LIST_IN_PROGRESS, LIST_FINISHED, LIST_FAILED, LIST_COUNT };

#define BIT(state)   (UINT32_C(1) << (state))
#define RESULT_WIDTH 48 /* columns of a result or reason beside the command */

static const struct table_column todo_columns[] = {
    {"ID", ALIGN_LEFT},      {"STATE", ALIGN_LEFT},  {"PRIORITY", ALIGN_RIGHT},
    {"MEMORY", ALIGN_RIGHT}, {"CORES", ALIGN_RIGHT}, {"COMMAND", ALIGN_LEFT}};
static const struct table_column running_columns[] = {
    {"ID", ALIGN_LEFT},      {"WORKER", ALIGN_LEFT}, {"FOR", ALIGN_RIGHT},  {"TRY", ALIGN_RIGHT},
    {"MEMORY", ALIGN_RIGHT}, {"CORES", ALIGN_RIGHT}, {"USED", ALIGN_RIGHT}, {"PEAK", ALIGN_RIGHT},
    {"CPU", ALIGN_RIGHT},    {"COMMAND", ALIGN_LEFT}};
static const struct table_column finished_columns[] = {
    {"ID", ALIGN_LEFT},    {"WORKER", ALIGN_LEFT}, {"WALL", ALIGN_RIGHT},
    {"PEAK", ALIGN_RIGHT}, {"RESULT", ALIGN_LEFT}, {"COMMAND", ALIGN_LEFT}};
static const struct table_column failed_columns[] = {
    {"ID", ALIGN_LEFT},     {"STATE", ALIGN_LEFT},  {"TRIES", ALIGN_RIGHT},
    {"WORKER", ALIGN_LEFT}, {"REASON", ALIGN_LEFT}, {"COMMAND", ALIGN_LEFT}};

static const struct list_type {
    const char *option; /* also its heading */
    const struct table_column *columns;
    size_t column_count;
    uint32_t states;
    unsigned with;
} list_types[LIST_COUNT] = {
    [LIST_TODO] = {"todo", todo_columns, 6,
                   BIT(TASK_TODO) | BIT(TASK_DELAYED) | BIT(TASK_WAITING) | BIT(TASK_HELD), 0},
    [LIST_IN_PROGRESS] = {"in_progress", running_columns, 10, BIT(TASK_IN_PROGRESS),
                          STORE_WITH_WORKER},
    [LIST_FINISHED] = {"finished", finished_columns, 6, BIT(TASK_FINISHED), STORE_WITH_LOG},
    [LIST_FAILED] = {"failed", failed_columns, 6, BIT(TASK_FAILED) | BIT(TASK_CANCELLED),
                     STORE_WITH_LOG},
};

struct list {
    const struct session *session;
    struct store *store;
    enum list_kind kind;
    struct table *table; /* NULL until the first row, and for JSON */
    uint64_t shown, limit;
    bool results, reasons, more, failed;
    struct buf *error;
    struct running_list running; /* of LIST_IN_PROGRESS */
};

static void begin_list(struct list *list) {
    const struct list_type *type = &list_types[list->kind];
    if (list->session->json || list->table)
        return;
    fprintf(list->session->out, "\n%s:\n", type->option);
    list->table = table_new(list->session->out, type->columns, type->column_count);
    list->running.table = list->table;
}

static void add_mem_cpu(struct table *table, const struct task_head *head) {
    struct buf text = BUF_INIT;
    view_add_mem(&text, head->mem_bytes);
    table_cells(table, text.data);
    buf_clear(&text);
    view_add_mcpu(&text, head->mcpu);
    table_cells(table, text.data);
    buf_free(&text);
}

static void cut_cell(struct table *table, struct slice text) {
    struct buf cell = BUF_INIT;
    print_safe(&cell, text.data, text.len, RESULT_WIDTH);
    table_cell(table, cell.data, cell.len);
    buf_free(&cell);
}

static void add_todo(struct list *list, const struct store_task *task) {
    enum task_state state = (enum task_state)task->head.state;
    table_cells(list->table, task->id);
    table_colour(list->table, state == TASK_TODO ? COLOUR_NONE : COLOUR_YELLOW);
    table_cells(list->table, task_state_name(state));
    table_cellf(list->table, "%u", task->head.priority);
    add_mem_cpu(list->table, &task->head);
    table_cell(list->table, task->task.params, task->task.params_len);
}

static void add_result(struct list *list, const struct store_task *task) {
    struct slice line = {"", 0};
    struct output output;
    if (list->results && task->output.len) {
        if (output_read(&output, task->output))
            line = view_last_line(output.stream[0].bytes.data, output.stream[0].bytes.len);
    } else if (list->results && task->has_output) {
        line = (struct slice){"(output dropped)", 16};
    }
    cut_cell(list->table, line);
    if (list->results && task->output.len)
        output_free(&output);
}

static void add_finished(struct list *list, const struct store_task *task) {
    struct try_entry entry = {.worker = {"", 0}};
    struct buf text = BUF_INIT;
    bool known = try_log_last(task->log, &entry);
    table_cells(list->table, task->id);
    table_cell(list->table, entry.worker.data, entry.worker.len);
    if (known)
        view_add_wall(&text, entry.wall_us);
    table_cells(list->table, known ? text.data : "-");
    buf_clear(&text);
    view_add_mem(&text, entry.maxrss_kib * 1024);
    table_cells(list->table, text.data);
    buf_free(&text);
    add_result(list, task);
    table_cell(list->table, task->task.params, task->task.params_len);
}

static void add_failed(struct list *list, const struct store_task *task) {
    struct try_entry entry = {.worker = {"", 0}};
    struct buf text = BUF_INIT;
    bool known = try_log_last(task->log, &entry);
    table_cells(list->table, task->id);
    table_colour(list->table, task->head.state == TASK_FAILED ? COLOUR_RED : COLOUR_YELLOW);
    table_cells(list->table, task_state_name((enum task_state)task->head.state));
    table_cellf(list->table, "%u", task->head.tries);
    table_cell(list->table, entry.worker.data, entry.worker.len);
    if (known && list->reasons) {
        struct slice last = view_last_line(entry.reason.data, entry.reason.len);
        if (entry.outcome != TRY_DEPENDENCY) {
            try_entry_describe(&entry, &text);
            if (last.len)
                buf_adds(&text, ": ");
        }
        buf_add(&text, last.data, last.len);
    }
    cut_cell(list->table, (struct slice){text.data, text.len});
    table_cell(list->table, task->task.params, task->task.params_len);
    buf_free(&text);
}

/* A task as a line of JSON; what its last try was, and what the options ask for. */
static json_t *task_json(const struct list *list, const struct store_task *task) {
    json_t *object = view_task_json(task);
    struct try_entry entry;
    struct output output;
    if (try_log_last(task->log, &entry)) {
        if (!list->reasons)
            entry.reason.len = 0;
        json_object_set_new(object, "last_try", view_try_json(&entry));
    }
    if (list->results && task->output.len) {
        if (output_read(&output, task->output)) {
            struct slice line =
                view_last_line(output.stream[0].bytes.data, output.stream[0].bytes.len);
            json_object_set_new(object, "result", view_slice_json(line));
        }
        output_free(&output);
    }
    return object;
}

/* --- all lists ----------------------------------------------------------------------------------
 */

static bool show_task(const struct store_task *task, void *arg) {
    struct list *list = arg;
    if (list->limit && list->shown == list->limit) {
        list->more = true;
        return false;
    }
    list->shown++;
    begin_list(list);
    if (list->kind == LIST_IN_PROGRESS)
        running_add(&list->running, task);
    else if (list->session->json)
        print_json(list->session->out, task_json(list, task));
    else if (list->kind == LIST_TODO)
        add_todo(list, task);
    else if (list->kind == LIST_FINISHED)
        add_finished(list, task);
    else
        add_failed(list, task);
    if (list->running.count == TABLE_HELD)
        list->failed = !running_show(&list->running, list->error);
    return !list->failed && !ferror(list->session->out);
}

static void end_list(struct list *list, const struct args *args,
                     const struct store_counts *counts) {
    if (!list->table)
        return;
    table_free(list->table);
    if (!list->more)
        return;
    uint64_t all = 0;
    for (unsigned state = 1; state < TASK_STATE_COUNT; state++)
        if (list_types[list->kind].states & BIT(state))
            all += counts->state[state];
    struct buf rest = BUF_INIT;
    bool filtered = args_given(args, "name") || args_given(args, "type") ||
                    args_given(args, "include") || args_given(args, "exclude") ||
                    args_given(args, "state") || args_given(args, "priority") ||
                    args_given(args, "worker");
    if (!filtered && all > list->shown)
        print_count(&rest, all - list->shown);
    fprintf(list->session->out, "… and %s%smore; --limit 0 shows all\n", rest.data,
            rest.len ? " " : "");
    buf_free(&rest);
}

static bool print_list(struct list *list, const struct args *args, const struct select *select,
                       const struct store_counts *counts, struct buf *error) {
    const struct list_type *type = &list_types[list->kind];
    struct listing listing = {list->store, select, counts, type->with, true};
    if (list->results && list->kind == LIST_FINISHED)
        listing.with |= STORE_WITH_OUTPUT;
    bool ok = listing_walk(&listing, type->states, show_task, list, error) && !list->failed &&
              running_show(&list->running, error);
    end_list(list, args, counts);
    return ok;
}

/* As soon as one list is asked for by name, only those asked for are shown. */
static bool wanted(const struct args *args, const char *option) {
    bool any = false;
    for (size_t i = 0; i < LIST_COUNT; i++)
        any = any ||
              (args_given(args, list_types[i].option) && args_bool(args, list_types[i].option));
    return any ? args_given(args, option) && args_bool(args, option) : args_bool(args, option);
}

static bool check_all(const struct session *session, const struct args *args, struct store *store,
                      struct buf *error) {
    int64_t due_ms;
    struct store_counts counts;
    struct select select;
    uint64_t now_ms;
    if (!store_maintain(store, &due_ms, error) || !store_counts(store, &counts, error) ||
        !print_counts(session, store, &counts, error) || !view_now(store, &now_ms, error))
        return false;
    select_init(&select, args);
    bool ok = true;
    for (enum list_kind kind = 0; ok && kind < LIST_COUNT; kind++) {
        if (!wanted(args, list_types[kind].option))
            continue;
        struct list *list = xcalloc(1, sizeof *list);
        *list = (struct list){.session = session,
                              .store = store,
                              .kind = kind,
                              .error = error,
                              .limit = args_number(args, "limit"),
                              .results = args_bool(args, "print_result"),
                              .reasons = args_bool(args, "failed_reason"),
                              .running = {.session = session, .store = store, .now_ms = now_ms}};
        ok = print_list(list, args, &select, &counts, error);
        free(list);
    }
    select_free(&select);
    return ok && (session->json || families_note_greedy(session, store, error));
}

static int check_task(struct session *session, const struct args *args) {
    struct store *store = session_store(session);
    if (!store)
        return EXIT_FAILED;
    struct buf error = BUF_INIT;
    bool ok = check_all(session, args, store, &error);
    if (!ok)
        session_error(session, "%s", error.data);
    buf_free(&error);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

const struct verb verb_check_task = {
    .name = "checkTask",
    .operands = "",
    .summary = "counts tasks, and lists them",
    .about = "The first line is `N todo tasks, N in_progress tasks, N finished tasks, N "
             "failed tasks`; todo counts waiting, delayed and held ones too, failed the "
             "cancelled ones, and the second line splits them up. Then a list for each.\n\n"
             "A list set to false is left out. As soon as one is set to true, only those "
             "that are get shown: --failed is the list of failed tasks and nothing else. "
             "Filters apply to the lists, never to the counts. Of running tasks it shows what "
             "their workers measured last. Where tasks ask for far more memory than like ones "
             "took, it says so at the end (showFamily has them all).\n\n"
             "With --json the first line is an object with the counts, and every line after "
             "it is an object for one task.\n\n"
             "  redisManager checkTask --finished false --todo false --in_progress false --failed "
             "false\n"
             "  redisManager checkTask --failed --include 'size=64'\n"
             "  watch \"redisManager --task 'checkTask&checkWorker' --finished false "
             "--print_result false\"",
    .group = GROUP_LOOK,
    .flags = VERB_ANSWERS,
    .options = {options, select_options, select_state_options, select_priority_options,
                select_worker_options},
    .run = check_task,
};
