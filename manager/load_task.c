#include "common/refs.h"
#include "common/taskfile.h"
#include "manager/command.h"
#include "manager/interrupt.h"
#include "manager/load_check.h"
#include "manager/loading.h"
#include "manager/plan.h"
#include "manager/print.h"
#include "manager/progress.h"
#include "manager/task_json.h"

static const struct opt options[] = {
    {.name = "taskfile",
     .kind = KIND_FILE,
     .metavar = "FILE",
     .help = "the task file; - is standard input"},
    {.name = "plan",
     .kind = KIND_TEXT,
     .metavar = "WORDS",
     .help = "instead of a file, what redisPlan prints; see redisPlan --help"},
    {.name = "format",
     .kind = KIND_CHOICE,
     .metavar = "FORM",
     .preset = "auto",
     .choices = "auto|lines|jsonl",
     .help = "form of the file; auto goes by its name"},
    {.name = "name",
     .kind = KIND_OPTION,
     .metavar = "NAME",
     .tag = OPT_NAME,
     .help = "name of the batch, for tasks that have no name of their own"},
    {.name = "dry_run",
     .kind = KIND_BOOL,
     .preset = "false",
     .help = "only check the file and print its tasks, one JSON object a line"},
    {.name = "retry_failed",
     .kind = KIND_BOOL,
     .preset = "false",
     .help = "queue failed and cancelled tasks of the file again"},
    {.name = "progress", .kind = KIND_BOOL, .preset = "true", .help = "show a bar on a terminal"},
    OPT_END};

static bool check(const struct args *args, struct buf *error) {
    bool named = args_given(args, "taskfile"), planned = args_given(args, "plan");
    if (planned && (named || args->operand_count))
        buf_adds(error, "expected either --plan or a file, not both");
    else if (planned && args_given(args, "format"))
        buf_adds(error, "--format is for files; leave it out with --plan");
    else if (named && args->operand_count)
        buf_adds(error, "expected either --taskfile or FILE, not both");
    else if (!planned && !named && !args->operand_count)
        buf_adds(error, "expected --taskfile FILE; - is standard input");
    else
        return true;
    return false;
}

/* --- the file ------------------------------------------------------------------------------------
 */

static struct taskfile *open_path(const struct args *args, struct buf *error) {
    const char *path =
        args_given(args, "taskfile") ? args_text(args, "taskfile") : args->operands[0];
    return taskfile_open(path, (enum taskfile_format)args_number(args, "format"), error);
}

static struct taskfile *open_file(struct session *session, const struct args *args) {
    struct buf error = BUF_INIT;
    struct taskfile *file =
        args_given(args, "plan") ? plan_open(args, &error) : open_path(args, &error);
    if (file && args_given(args, "name") &&
        !taskfile_set_batch(file, args_text(args, "name"), &error)) {
        taskfile_close(file);
        file = NULL;
    }
    if (!file)
        session_error(session, "%s", error.data);
    buf_free(&error);
    return file;
}

/* Opened and checked by foresee: standard input cannot be opened twice. */
static struct taskfile *foreseen;

static int foresee(struct session *session, const struct args *args) {
    uint64_t tasks;
    if (foreseen) /* loadTask twice in one chain: the same file */
        return EXIT_DONE;
    foreseen = open_file(session, args);
    if (!foreseen)
        return EXIT_FAILED;
    int code =
        load_check(session, foreseen, LOAD_CHECK_LINES, args_bool(args, "progress"), NULL, &tasks);
    if (code != EXIT_DONE) {
        taskfile_close(foreseen);
        foreseen = NULL;
    }
    return code;
}

/* --- the second pass -----------------------------------------------------------------------------
 */

/*
 * The next task of a file that has been checked. False at its end, after a signal, and, with an
 * error, when the file has changed since.
 */
static bool next_task(struct taskfile *file, struct task *task, struct buf *error) {
    if (interrupt_caught())
        return false;
    enum taskfile_result what = taskfile_next(file, task);
    if (what == TASKFILE_ERROR || what == TASKFILE_FAILED)
        buf_addf(error, "%s has changed since it was checked: line %llu: %s", taskfile_name(file),
                 (unsigned long long)taskfile_line(file), taskfile_error(file)->text);
    return what == TASKFILE_TASK;
}

static int print_all(struct session *session, struct taskfile *file) {
    struct buf error = BUF_INIT;
    struct task task;
    while (!ferror(session->out) && next_task(file, &task, &error))
        print_json(session->out, task_json(&task, NULL));
    if (error.len)
        session_error(session, "%s", error.data);
    int code = error.len ? EXIT_FAILED : interrupt_caught() ? interrupt_exit() : EXIT_DONE;
    buf_free(&error);
    return code;
}

static int answer(struct session *session, const struct load_counts *counts, bool retry_failed) {
    struct buf text = BUF_INIT;
    if (session->json) {
        print_json(session->out, loading_json(counts));
    } else {
        loading_counts(counts, retry_failed, &text);
        fprintf(session->out, "%s\n", text.data);
    }
    loading_note(session, counts, retry_failed);
    buf_free(&text);
    return EXIT_DONE;
}

static int load_all(struct session *session, const struct args *args, struct taskfile *file,
                    struct refs *refs, uint64_t tasks) {
    struct buf error = BUF_INIT;
    bool retry_failed = args_bool(args, "retry_failed");
    struct store_load *load = store_load_begin(session->store, retry_failed, &error);
    struct progress *progress =
        progress_new(stderr, "loading", tasks, session->quiet || !args_bool(args, "progress"));
    struct task task;
    uint64_t done = 0;
    if (load)
        store_load_use_refs(load, refs);
    while (load && next_task(file, &task, &error) && store_load_add(load, &task, &error))
        progress_set(progress, ++done);
    progress_free(progress);
    int code = EXIT_FAILED;
    struct load_counts counts;
    if (!load)
        session_error(session, "%s", error.data);
    else if (error.len || interrupt_caught())
        code = loading_abandon(session, load, &error);
    else if (loading_end(session, load, &counts))
        code = answer(session, &counts, retry_failed);
    buf_free(&error);
    return code;
}

static int load_task(struct session *session, const struct args *args) {
    bool dry_run = args_bool(args, "dry_run"), bar = args_bool(args, "progress");
    if (!dry_run && !session_store(session))
        return EXIT_FAILED;
    struct taskfile *file = foreseen ? foreseen : open_file(session, args);
    foreseen = NULL;
    if (!file)
        return EXIT_FAILED;
    interrupt_catch();
    uint64_t tasks;
    struct refs refs;
    refs_init(&refs, dry_run ? NULL : session->store);
    int code = load_check(session, file, dry_run ? LOAD_CHECK_ASIDE : LOAD_CHECK_QUEUE, bar, &refs,
                          &tasks);
    if (code == EXIT_DONE)
        code = dry_run ? print_all(session, file) : load_all(session, args, file, &refs, tasks);
    refs_free(&refs);
    interrupt_release();
    taskfile_close(file);
    return code;
}

const struct verb verb_load_task = {
    .name = "loadTask",
    .operands = "[FILE]",
    .max_operands = 1,
    .summary = "loads a task file",
    .about = "A task a line, type:priority:min_dram:min_cpu:params; or, in a file whose name "
             "ends in .jsonl, a JSON object a line. Lines that begin with # are comments; #@ "
             "key=value sets options for the tasks below it.\n\n"
             "The whole file is checked first. When lines are wrong, they are reported as "
             "file:line:col (up to 20 of them) and nothing is loaded. Loading the same file "
             "again adds nothing; an edited priority, memory or core count updates tasks "
             "that have not started. The answer counts new, known, updated, duplicate and "
             "failed tasks.\n\n"
             "  redisManager loadTask --taskfile task\n"
             "  printf 'shell:4:2:1:./sim %d\\n' $(seq 100) | redisManager loadTask -\n"
             "  redisManager loadTask --plan 'matmul A.npy B.npy -o C.npy'",
    .group = GROUP_LOAD,
    .flags = VERB_ANSWERS,
    .options = {options},
    .check = check,
    .foresee = foresee,
    .run = load_task,
};
