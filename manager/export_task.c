#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/command.h"
#include "manager/export.h"
#include "manager/listing.h"
#include "manager/print.h"
#include "manager/select.h"
#include "manager/view.h"

static const struct opt options[] = {
    {.name = "format",
     .kind = KIND_CHOICE,
     .metavar = "FORM",
     .preset = "csv",
     .choices = "csv|jsonl",
     .help = "form of the answer"},
    {.name = "file",
     .kind = KIND_FILE,
     .metavar = "FILE",
     .preset = "-",
     .help = "write to this file, which appears when it is whole; - is standard output"},
    {.name = "limit",
     .kind = KIND_COUNT,
     .metavar = "N",
     .preset = "0",
     .help = "stop after this many tasks; 0 for all"},
    {.name = "with_output",
     .kind = KIND_BOOL,
     .preset = "true",
     .help = "have columns with what the task printed on stdout and stderr"},
    OPT_END};

/* --- the file -----------------------------------------------------------------------------------
 */

/* Standard output, or a file beside the one asked for, which it becomes when it is whole. */
struct target {
    FILE *file;
    const char *path; /* NULL: standard output */
    struct buf aside;
};

static bool target_open(struct target *target, const struct session *session, const char *path,
                        struct buf *error) {
    *target = (struct target){session->out, NULL, BUF_INIT};
    if (!strcmp(path, "-"))
        return true;
    target->path = path;
    buf_addf(&target->aside, "%s.%ld.part", path, (long)getpid());
    target->file = fopen(target->aside.data, "wxe");
    if (target->file)
        return true;
    buf_addf(error, "%s: cannot be written: %s", target->aside.data, strerror(errno));
    buf_free(&target->aside);
    return false;
}

static bool target_close(struct target *target, bool ok, struct buf *error) {
    if (target->path && target->file) {
        bool written = fflush(target->file) == 0 && !ferror(target->file);
        written = fclose(target->file) == 0 && written;
        if (ok && written)
            written = rename(target->aside.data, target->path) == 0;
        if (ok && !written)
            buf_addf(error, "%s: cannot be written: %s", target->path, strerror(errno));
        if (!ok || !written)
            unlink(target->aside.data);
        ok = ok && written;
    }
    buf_free(&target->aside);
    return ok;
}

/* --- rows ---------------------------------------------------------------------------------------
 */

struct export {
    const struct session *session;
    struct export_columns columns;
    bool jsonl;
    FILE *file;
    uint64_t rows, limit;
    struct buf line;
};

static bool find_columns(const struct store_task *task, void *arg) {
    struct export *export = arg;
    export_columns_add(&export->columns, &task->task);
    export->rows++;
    return !export->limit || export->rows < export->limit;
}

static bool write_row(const struct store_task *task, void *arg) {
    struct export *export = arg;
    buf_clear(&export->line);
    if (export->jsonl)
        export_json_row(&export->columns, task, &export->line);
    else
        export_csv_row(&export->columns, task, &export->line);
    fwrite(export->line.data, 1, export->line.len, export->file);
    export->rows++;
    return (!export->limit || export->rows < export->limit) && !ferror(export->file);
}

static bool export_all(struct export *export, struct listing *listing, struct buf *error) {
    const uint32_t ended = 1u << TASK_FINISHED | 1u << TASK_FAILED | 1u << TASK_CANCELLED;
    uint32_t states = listing->select->states ? listing->select->states : ended;
    if (!export->jsonl) { /* the names of the parameters come first */
        if (!listing_walk(listing, states, find_columns, export, error))
            return false;
        export->rows = 0;
        export_csv_head(&export->columns, &export->line);
        fwrite(export->line.data, 1, export->line.len, export->file);
    }
    listing->with = STORE_WITH_LOG | STORE_WITH_WORKER;
    if (export->columns.outputs)
        listing->with |= STORE_WITH_OUTPUT;
    return listing_walk(listing, states, write_row, export, error);
}

/* What was left out although it was asked for. */
static void tell_left_out(const struct export *export, const struct listing *listing) {
    const struct select *select = listing->select;
    uint64_t there = listing->counts->state[TASK_FINISHED];
    if (select->id_count && export->rows < select->id_count && !select->limit)
        session_note(export->session, "%llu of the %zu tasks given are not in the queue",
                     (unsigned long long)(select->id_count - export->rows), select->id_count);
    if (!select->filtered && !select->limit && export->rows < there)
        session_note(export->session,
                     "%llu finished tasks are left out: their results were dropped "
                     "(keep_finished, keep_finished_days)",
                     (unsigned long long)(there - export->rows));
}

static bool run_export(struct session *session, const struct args *args, struct store *store,
                       struct buf *error) {
    struct export export = {.session = session, .line = BUF_INIT};
    struct store_counts counts;
    struct select select;
    struct target target;
    int64_t due_ms;
    if (!store_maintain(store, &due_ms, error) || !store_counts(store, &counts, error) ||
        !target_open(&target, session, args_text(args, "file"), error))
        return false;
    select_init(&select, args);
    struct listing listing = {store, &select, &counts, 0, false};
    export_columns_init(&export.columns, args_bool(args, "with_output"));
    export.file = target.file;
    export.limit = select.limit;
    export.jsonl = session->json || !strcmp(args_text(args, "format"), "jsonl");
    bool ok = export_all(&export, &listing, error);
    ok = target_close(&target, ok, error);
    if (ok)
        tell_left_out(&export, &listing);
    if (ok && target.path)
        session_note(session, "%llu tasks written to %s", (unsigned long long)export.rows,
                     target.path);
    export_columns_free(&export.columns);
    buf_free(&export.line);
    select_free(&select);
    return ok;
}

static int export_task(struct session *session, const struct args *args) {
    struct store *store = session_store(session);
    struct buf error = BUF_INIT;
    bool ok = store && run_export(session, args, store, &error);
    if (store && !ok)
        session_error(session, "%s", error.data);
    buf_free(&error);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

const struct verb verb_export_task = {
    .name = "exportTask",
    .operands = "[ID…]",
    .max_operands = VERB_ANY,
    .summary = "results as CSV or JSON lines",
    .about =
        "One row a task: id, name, state, type, priority, min_dram (GiB, or auto), min_cpu, "
        "gpu, gpu_mem (GiB), labels, limit, pin, command, a column for every parameter of a sweep "
        "({1}, {2}, or its name), tries, "
        "and of the last try exit_code, signal, worker, start, end, wall_s, user_s, system_s, "
        "max_rss_bytes, read_bytes and write_bytes (storage, where the try was long enough to be "
        "measured), stdout, stderr and reason. Finished, failed and cancelled tasks, "
        "unless --state or an ID says otherwise; finished ones in the order they finished.\n\n"
        "CSV is RFC 4180's; one newline at the end of stdout and stderr is left out, and a "
        "parameter named like a column becomes arg.NAME. In JSON lines the parameters are in "
        "an object args. Bytes that are not UTF-8, and NUL in CSV, become U+FFFD; taskOutput "
        "gives the exact bytes. Of long outputs the first and last part are here.\n\n"
        "  redisManager exportTask --name sweep --file results.csv\n"
        "  redisManager exportTask --format jsonl --state failed",
    .group = GROUP_LOOK,
    .flags = VERB_ANSWERS,
    .options = {options, select_options, select_state_options, select_priority_options,
                select_worker_options},
    .check = select_check,
    .run = export_task,
};
