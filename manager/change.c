/*
 * change.c
 *
 * DESIGN
 * Tasks are changed from within the walk that finds them: store_walk reads a whole page before it
 * shows its tasks, so the link is free then. The walk is a SCAN, which shows every task that is
 * there all the time; lists, whose heads move while workers claim, could pass some over.
 */
#include "manager/change.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "manager/interrupt.h"
#include "manager/print.h"
#include "manager/progress.h"
#include "manager/select.h"

#define GATHERED     1000 /* tasks that are changed together; the store splits them */
#define SHOWN_MOST   50   /* tasks that --dry_run lists */
#define UNKNOWN_MOST 5    /* ids that a message names */

struct changing {
    struct session *session;
    struct store *store;
    const struct change_plan *plan;
    struct select select;
    bool dry_run;
    bool *seen; /* for select.ids */
    task_id_t ids[GATHERED];
    size_t count;                      /* in ids */
    uint64_t walked;                   /* tasks of this pass */
    uint64_t matched;                  /* of them, to be changed */
    uint64_t left;                     /* what --limit leaves for this pass; UINT64_MAX without */
    uint64_t states[TASK_STATE_COUNT]; /* dry_run: matched; else skipped for their state */
    struct change_counts counts;
    struct table *table; /* of --dry_run */
    struct progress *progress;
    struct buf *error;
    bool failed;
};

/* --- one task ----------------------------------------------------------------------------------
 */

static bool flush(struct changing *c) {
    if (c->count && !store_change(c->store, c->plan->change, c->plan->arg, c->ids, c->count,
                                  &c->counts, c->error))
        c->failed = true;
    c->count = 0;
    return !c->failed;
}

static int compare_ids(const void *a, const void *b) {
    return memcmp(a, b, TASK_ID_LEN);
}

static void mark_seen(struct changing *c, const char *id) {
    const struct select *select = &c->select;
    char(*found)[TASK_ID_LEN + 1] =
        bsearch(id, select->ids, select->id_count, sizeof *select->ids, compare_ids);
    if (found)
        c->seen[found - select->ids] = true;
}

/* The worker that runs it or ran it last. */
static struct slice last_worker(const struct store_task *task) {
    struct try_entry entry;
    if (task->worker.len)
        return task->worker;
    if (try_log_last(task->log, &entry))
        return entry.worker;
    return (struct slice){NULL, 0};
}

static void show(struct changing *c, const struct store_task *task) {
    c->states[task->head.state]++;
    if (!c->table || c->matched > SHOWN_MOST)
        return;
    table_cells(c->table, task->id);
    table_cells(c->table, task_state_name((enum task_state)task->head.state));
    table_cellf(c->table, "%" PRIu32, task->head.priority);
    table_cell(c->table, task->task.params, task->task.params_len);
}

static bool change_one(const struct store_task *task, void *arg) {
    struct changing *c = arg;
    const struct change_plan *plan = c->plan;
    progress_set(c->progress, ++c->walked);
    if (interrupt_caught())
        return false;
    if (c->select.id_count)
        mark_seen(c, task->id);
    struct slice worker = last_worker(task);
    if (!select_match(&c->select, task->id, &task->head, &task->task, worker.data, worker.len))
        return true;
    if (!(plan->states & CHANGE_BIT(task->head.state))) {
        if (c->select.id_count && !c->dry_run)
            c->states[task->head.state]++;
        return true;
    }
    if (plan->also && !plan->also(task, plan->also_arg))
        return true;
    c->matched++;
    if (c->dry_run) {
        show(c, task);
    } else {
        memcpy(c->ids[c->count++], task->id, sizeof task->id);
        if (c->count == GATHERED && !flush(c))
            return false;
    }
    return c->matched < c->left;
}

/* --- all of them ---------------------------------------------------------------------------------
 */

static enum store_source source_of(const struct changing *c) {
    uint32_t wanted = c->plan->states & (c->select.states ? c->select.states : CHANGE_ALL_STATES);
    if (wanted == CHANGE_BIT(TASK_IN_PROGRESS))
        return STORE_IN_PROGRESS;
    return wanted == CHANGE_BIT(TASK_FAILED) ? STORE_FAILED : STORE_ALL;
}

/* How many tasks a pass is going to look at. */
static bool find_total(struct changing *c, uint64_t *total) {
    struct store_counts counts;
    *total = c->select.id_count;
    if (*total)
        return true;
    if (!store_counts(c->store, &counts, c->error))
        return false;
    enum store_source source = source_of(c);
    for (int state = 1; state < TASK_STATE_COUNT; state++)
        if (source == STORE_ALL ||
            state == (source == STORE_FAILED ? TASK_FAILED : TASK_IN_PROGRESS))
            *total += counts.state[state];
    return true;
}

static bool pass(struct changing *c) {
    unsigned with = c->plan->with;
    if (select_needs_worker(&c->select))
        with |= STORE_WITH_LOG | STORE_WITH_WORKER;
    c->walked = c->matched = 0;
    memset(c->states, 0, sizeof c->states);
    bool ok = c->select.id_count
                  ? store_walk_ids(c->store, c->select.ids, c->select.id_count, with, change_one, c,
                                   c->error)
                  : store_walk(c->store, source_of(c), with, change_one, c, c->error);
    return ok && !c->failed && flush(c);
}

/*
 * Failed tasks are queued again only after what they depend on, which a later batch may bring: go
 * over them as long as that gets any further.
 */
static bool passes(struct changing *c) {
    for (;;) {
        uint64_t before = c->counts.changed;
        if (!pass(c))
            return false;
        uint64_t changed = c->counts.changed - before;
        if (c->plan->change != CHANGE_RETRY || !changed || !c->counts.skipped || interrupt_caught())
            return true;
        if (c->left != UINT64_MAX && (c->left -= changed < c->left ? changed : c->left) == 0)
            return true;
        c->counts.skipped = 0;
    }
}

/* --- the answer ----------------------------------------------------------------------------------
 */

static uint64_t skipped_states(const struct changing *c) {
    uint64_t sum = 0;
    for (int state = 1; state < TASK_STATE_COUNT; state++)
        sum += c->states[state];
    return sum;
}

/* " (2 finished, 1 failed, 1 changed meanwhile)", or nothing. */
static void add_split(const struct changing *c, struct buf *out) {
    const char *before = " (";
    for (int state = 1; state < TASK_STATE_COUNT; state++) {
        if (!c->states[state])
            continue;
        buf_addf(out, "%s%" PRIu64 " %s", before, c->states[state],
                 task_state_name((enum task_state)state));
        before = ", ";
    }
    if (c->counts.skipped) {
        buf_addf(out, "%s%" PRIu64 " %s", before, c->counts.skipped,
                 c->plan->refusal ? c->plan->refusal : "changed meanwhile");
        before = ", ";
    }
    if (*before == ',')
        buf_addc(out, ')');
}

static const char *tasks(uint64_t count) {
    return count == 1 ? "task" : "tasks";
}

static void answer_text(const struct changing *c, struct buf *out) {
    const struct change_counts *n = &c->counts;
    if (c->dry_run) {
        buf_addf(out, "%" PRIu64 " %s would be %s", c->matched, tasks(c->matched), c->plan->done);
        add_split(c, out);
        return;
    }
    uint64_t skipped = skipped_states(c) + n->skipped;
    buf_addf(out, "%" PRIu64 " %s %s", n->changed, tasks(n->changed), c->plan->done);
    if (n->requested)
        buf_addf(out, ", %" PRIu64 " running %s asked to end", n->requested, tasks(n->requested));
    if (skipped) {
        buf_addf(out, ", %" PRIu64 " skipped", skipped);
        add_split(c, out);
    }
}

static json_t *answer_json(const struct changing *c) {
    json_t *object = json_object();
    if (c->dry_run) {
        json_object_set_new(object, "dry_run", json_true());
        json_object_set_new(object, "matched", json_integer((json_int_t)c->matched));
        return object;
    }
    json_object_set_new(object, c->plan->field, json_integer((json_int_t)c->counts.changed));
    if (c->plan->change == CHANGE_CANCEL)
        json_object_set_new(object, "requested", json_integer((json_int_t)c->counts.requested));
    uint64_t skipped = c->counts.skipped + skipped_states(c);
    json_object_set_new(object, "skipped", json_integer((json_int_t)skipped));
    return object;
}

/* Ids that the queue does not have; how many. */
static size_t find_unknown(const struct changing *c, struct buf *text, json_t *array) {
    size_t unknown = 0;
    for (size_t i = 0; i < c->select.id_count; i++) {
        if (c->seen[i])
            continue;
        json_array_append_new(array, json_string(c->select.ids[i]));
        if (unknown++ < UNKNOWN_MOST)
            buf_addf(text, "%s%s", unknown > 1 ? ", " : "", c->select.ids[i]);
    }
    if (unknown > UNKNOWN_MOST)
        buf_addf(text, " and %zu more", unknown - UNKNOWN_MOST);
    return unknown;
}

static int answer(struct changing *c) {
    struct session *session = c->session;
    struct buf text = BUF_INIT, names = BUF_INIT;
    json_t *array = json_array();
    bool stopped = c->matched >= c->left || interrupt_caught();
    size_t unknown = stopped ? 0 : find_unknown(c, &names, array);
    if (session->json) {
        json_t *object = answer_json(c);
        if (unknown)
            json_object_set(object, "unknown", array);
        print_json(session->out, object);
    } else {
        answer_text(c, &text);
        fprintf(session->out, "%s\n", text.data);
    }
    json_decref(array);
    if (unknown)
        session_error(session, "the queue %s has no task %s", session->config->queue, names.data);
    if (interrupt_caught())
        session_error(session, "interrupted; the answer counts what was done by then");
    buf_free(&text);
    buf_free(&names);
    return interrupt_caught() ? interrupt_exit() : unknown ? EXIT_FAILED : EXIT_DONE;
}

/* --- the verb ------------------------------------------------------------------------------------
 */

static void begin(struct changing *c, const struct args *args) {
    static const struct table_column columns[] = {{"id", ALIGN_LEFT},
                                                  {"state", ALIGN_LEFT},
                                                  {"priority", ALIGN_RIGHT},
                                                  {"command", ALIGN_LEFT}};
    select_init(&c->select, args);
    c->seen = xcalloc(c->select.id_count + 1, sizeof *c->seen);
    c->dry_run = args_bool(args, "dry_run");
    c->left = c->select.limit ? c->select.limit : UINT64_MAX;
    if (c->dry_run && !c->session->json)
        c->table = table_new(c->session->out, columns, 4);
}

static void end(struct changing *c) {
    interrupt_release();
    progress_free(c->progress);
    c->progress = NULL;
    if (!c->table)
        return;
    table_free(c->table);
    c->table = NULL;
    if (c->matched > SHOWN_MOST)
        fprintf(c->session->out, "… and %" PRIu64 " more\n", c->matched - SHOWN_MOST);
}

static int report_failure(const struct changing *c) {
    if (c->counts.changed + c->counts.requested)
        session_error(c->session, "%s; %" PRIu64 " %s %s by then", c->error->data,
                      c->counts.changed, c->counts.changed == 1 ? "task was" : "tasks were",
                      c->plan->done);
    else
        session_error(c->session, "%s", c->error->data);
    return EXIT_FAILED;
}

int change_tasks(struct session *session, const struct args *args, const struct change_plan *plan) {
    struct store *store = session_store(session);
    if (!store)
        return EXIT_FAILED;
    struct buf error = BUF_INIT;
    struct changing *c = xcalloc(1, sizeof *c);
    c->session = session;
    c->store = store;
    c->plan = plan;
    c->error = &error;
    begin(c, args);
    uint64_t total = 0;
    bool ok = find_total(c, &total);
    if (ok) {
        c->progress =
            progress_new(stderr, c->dry_run ? "looking" : plan->doing, total, session->quiet);
        interrupt_catch();
        ok = passes(c);
    }
    end(c);
    int code = ok ? answer(c) : report_failure(c);
    select_free(&c->select);
    free(c->seen);
    free(c);
    buf_free(&error);
    return code;
}
