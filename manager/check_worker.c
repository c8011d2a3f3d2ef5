#include <stdlib.h>
#include <string.h>

#include "common/units.h"
#include "manager/command.h"
#include "manager/print.h"
#include "manager/view.h"
#include "manager/workers.h"

static const struct table_column columns[] = {
    {"WORKER", ALIGN_LEFT},  {"HOST", ALIGN_LEFT},   {"STATE", ALIGN_LEFT},
    {"REPORT", ALIGN_RIGHT}, {"CORES", ALIGN_RIGHT}, {"PROMISED", ALIGN_RIGHT},
    {"USED", ALIGN_RIGHT},   {"PEAK", ALIGN_RIGHT},  {"FREE", ALIGN_RIGHT},
    {"MEMORY", ALIGN_RIGHT}, {"RUNS", ALIGN_RIGHT},  {"FINISHED", ALIGN_RIGHT},
    {"FAILED", ALIGN_RIGHT}};
#define COLUMNS (sizeof columns / sizeof *columns)
static const struct table_column gpu_column = {"GPUS", ALIGN_RIGHT};
static const struct table_column remark_column = {"REMARK", ALIGN_LEFT};

struct show {
    const struct session *session;
    const struct args *args;
    bool *seen; /* by operand */
    struct store_reservations reserved;
    struct worker_view *views; /* owned; a worker is small, and there are hundreds at most */
    size_t count, cap;
};

static enum table_colour colour_of(const char *state) {
    if (!strcmp(state, "run"))
        return COLOUR_GREEN;
    return strcmp(state, "lost") != 0 && strcmp(state, "paused") != 0 ? COLOUR_YELLOW : COLOUR_RED;
}

static void add_bytes(struct table *table, uint64_t bytes) {
    struct buf text = BUF_INIT;
    view_add_mem(&text, bytes);
    table_cells(table, text.data);
    buf_free(&text);
}

/* Behind its line: what is not as one may expect; appends. */
static void add_remark(struct buf *text, const struct worker_view *view) {
    if (!view->live)
        buf_adds(text, view->held ? "its tasks are being taken back" : "");
    else if (*view->reason)
        buf_adds(text, view->reason);
    else if (*view->want && strcmp(view->want, view->state) != 0 &&
             strcmp(view->state, "paused") != 0)
        buf_addf(text, "asked to %s", view->want);
    else if (view->reserved) {
        buf_addf(text, "kept free for task %s, for ", view->reserved->id);
        units_add_ms(text, view->now_ms > view->reserved->owned_ms
                               ? view->now_ms - view->reserved->owned_ms
                               : 0);
    }
}

/* Cards promised to tasks and in all. */
static void add_gpus(struct table *table, const struct worker_view *view) {
    struct buf text = BUF_INIT;
    if (view->gpus) {
        units_add_milli(&text, view->live ? view->gpu_mpromised : 0);
        buf_addf(&text, "/%llu", (unsigned long long)view->gpus);
    } else {
        buf_addc(&text, '-');
    }
    table_cells(table, text.data);
    buf_free(&text);
}

static void add_row(struct table *table, const struct worker_view *view, bool gpus, bool remarks) {
    struct buf text = BUF_INIT;
    table_cells(table, view->name);
    table_cells(table, view->host);
    table_colour(table, colour_of(view->state));
    table_cells(table, view->state);
    print_age(&text, view->now_ms, view->report_ms);
    table_cells(table, text.data);
    buf_clear(&text);
    units_add_milli(&text, view->live ? view->mcpu_promised : 0);
    buf_addc(&text, '/');
    units_add_milli(&text, view->mcpu);
    table_cells(table, text.data);
    add_bytes(table, view->live ? view->mem_promised : 0);
    add_bytes(table, view->live ? view->mem_used : 0);
    add_bytes(table, view->mem_most_used);
    add_bytes(table, view->live ? view->mem_available : 0);
    add_bytes(table, view->mem);
    table_cellf(table, "%llu", (unsigned long long)view->held);
    table_cellf(table, "%llu", (unsigned long long)view->finished);
    table_cellf(table, "%llu", (unsigned long long)view->failed);
    if (gpus)
        add_gpus(table, view);
    buf_clear(&text);
    add_remark(&text, view);
    if (remarks)
        table_cells(table, text.data);
    buf_free(&text);
}

static bool is_wanted(struct show *show, const char *name) {
    bool wanted = show->args->operand_count == 0;
    for (size_t i = 0; i < show->args->operand_count; i++)
        if (!strcmp(show->args->operands[i], name))
            wanted = show->seen[i] = true;
    return wanted;
}

static bool keep_worker(const struct store_worker *worker, void *arg) {
    struct show *show = arg;
    struct worker_view view;
    worker_view_init(&view, worker, &show->reserved);
    if (!is_wanted(show, view.name)) {
        worker_view_free(&view);
        return true;
    }
    if (show->count == show->cap) {
        show->cap = show->cap ? 2 * show->cap : 64;
        show->views = xrealloc(show->views, show->cap * sizeof *show->views);
    }
    show->views[show->count++] = view;
    return true;
}

static void print_table(const struct show *show) {
    struct buf remarks = BUF_INIT;
    struct table_column shown[COLUMNS + 2];
    size_t count = COLUMNS;
    bool gpus = false;
    memcpy(shown, columns, sizeof columns);
    for (size_t i = 0; i < show->count; i++) {
        add_remark(&remarks, &show->views[i]);
        gpus = gpus || show->views[i].gpus > 0;
    }
    if (gpus)
        shown[count++] = gpu_column;
    if (remarks.len)
        shown[count++] = remark_column;
    struct table *table = table_new(show->session->out, shown, count);
    for (size_t i = 0; i < show->count; i++)
        add_row(table, &show->views[i], gpus, remarks.len > 0);
    table_free(table);
    buf_free(&remarks);
}

static int print_workers(const struct show *show) {
    const struct session *session = show->session;
    int code = EXIT_DONE;
    if (session->json) {
        json_t *list = json_array();
        for (size_t i = 0; i < show->count; i++)
            json_array_append_new(list, worker_view_json(&show->views[i]));
        print_json(session->out, json_pack("{s:o}", "workers", list));
    } else if (show->count) {
        print_table(show);
    } else if (!show->args->operand_count) {
        fprintf(session->out, "no workers\n");
    }
    for (size_t i = 0; i < show->args->operand_count; i++)
        if (!show->seen[i]) {
            session_error(session, "%s: there is no such worker in queue %s",
                          show->args->operands[i], session->store->queue);
            code = EXIT_FAILED;
        }
    return code;
}

static int check_worker(struct session *session, const struct args *args) {
    struct store *store = session_store(session);
    if (!store)
        return EXIT_FAILED;
    struct buf error = BUF_INIT;
    int64_t due_ms;
    int code = EXIT_FAILED;
    struct show show = {
        .session = session, .args = args, .seen = xcalloc(args->operand_count, sizeof *show.seen)};
    if (store_maintain(store, &due_ms, &error) &&
        store_reservations(store, &show.reserved, &error) &&
        store_walk_workers(store, keep_worker, &show, &error))
        code = print_workers(&show);
    else
        session_error(session, "%s", error.data);
    for (size_t i = 0; i < show.count; i++)
        worker_view_free(&show.views[i]);
    free(show.views);
    store_reservations_free(&show.reserved);
    free(show.seen);
    buf_free(&error);
    return code;
}

const struct verb verb_check_worker = {
    .name = "checkWorker",
    .operands = "[NAME…]",
    .max_operands = VERB_ANY,
    .summary = "one line a worker",
    .about = "For each worker, or those named: host, state, age of its last report, cores "
             "promised to tasks and in all, memory promised, used by tasks, free and in all, tasks "
             "that run now, tasks it finished and tries that failed there, GPUs "
             "promised and in all where there are any. States are run, drain, stop, "
             "paused (it failed one task after the other; resumeWorker) and lost: silent for "
             "longer than its lease; its tasks went back to todo. A worker may be kept free for a "
             "large task that small ones were taken before for longer than starve_after.",
    .group = GROUP_LOOK,
    .flags = VERB_ANSWERS,
    .run = check_worker,
};
