#include "manager/change.h"
#include "manager/command.h"
#include "manager/select.h"
#include "manager/view.h"

static const struct opt options[] = {{.name = "older",
                                      .kind = KIND_DURATION,
                                      .metavar = "TIME",
                                      .preset = "0",
                                      .help = "only tasks that ended at least this long ago"},
                                     {.name = "failed",
                                      .kind = KIND_BOOL,
                                      .preset = "false",
                                      .help = "failed and cancelled tasks too"},
                                     OPT_END};

/* The end of a task's last try; for one that was never tried, its load. */
static bool is_older(const struct store_task *task, void *arg) {
    const uint64_t *before_ms = arg;
    struct try_entry entry;
    bool tried = try_log_last(task->log, &entry);
    return (tried ? entry.end_ms : task->head.loaded_ms) <= *before_ms;
}

static bool find_now(struct session *session, uint64_t *now_ms) {
    struct buf error = BUF_INIT;
    struct store *store = session_store(session);
    bool ok = store && view_now(store, now_ms, &error);
    if (error.len)
        session_error(session, "%s", error.data);
    buf_free(&error);
    return ok;
}

static int remove_finished_task(struct session *session, const struct args *args) {
    struct change_plan plan = {.change = CHANGE_FORGET,
                               .arg = "finished",
                               .states = CHANGE_BIT(TASK_FINISHED),
                               .doing = "removing",
                               .done = "removed",
                               .field = "removed"};
    uint64_t before_ms = 0, older_ms = args_number(args, "older");
    if (args_bool(args, "failed")) {
        plan.arg = "finished,failed,cancelled";
        plan.states |= CHANGE_BIT(TASK_FAILED) | CHANGE_BIT(TASK_CANCELLED);
    }
    if (older_ms) {
        /* The try log has the workers' clocks; they and that of Redis are taken to agree. */
        uint64_t now_ms;
        if (!find_now(session, &now_ms))
            return EXIT_FAILED;
        before_ms = now_ms > older_ms ? now_ms - older_ms : 0;
        plan.with = STORE_WITH_LOG;
        plan.also = is_older;
        plan.also_arg = &before_ms;
    }
    return change_tasks(session, args, &plan);
}

const struct verb verb_remove_finished_task = {
    .name = "removeFinishedTask",
    .operands = "[ID…]",
    .max_operands = VERB_ANY,
    .summary = "forgets finished tasks",
    .about = "Their records, tries and outputs are removed, and a load that brings them "
             "again runs them again. Without an ID or filter, all finished tasks.",
    .group = GROUP_REPAIR,
    .flags = VERB_ANSWERS,
    .options = {options, select_options, select_worker_options, select_change_options},
    .check = select_check,
    .run = remove_finished_task,
};
