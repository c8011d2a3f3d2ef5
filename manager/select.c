#include "manager/select.h"

#include <stdlib.h>
#include <string.h>

#include "common/option.h"

const struct opt select_options[] = {
    {.name = "name",
     .kind = KIND_TEXT,
     .metavar = "NAME",
     .many = true,
     .help = "only tasks of this name; a/b belongs to a too"},
    {.name = "type",
     .kind = KIND_TYPES,
     .metavar = "TYPES",
     .help = "only tasks of these types, joined by ','"},
    {.name = "include",
     .kind = KIND_REGEX,
     .metavar = "REGEX",
     .many = true,
     .help = "only tasks whose command matches this POSIX extended expression"},
    {.name = "exclude",
     .kind = KIND_REGEX,
     .metavar = "REGEX",
     .many = true,
     .help = "only tasks whose command does not match this expression"},
    OPT_END};

const struct opt select_worker_options[] = {
    {.name = "worker",
     .kind = KIND_TEXT,
     .metavar = "NAME",
     .help = "only tasks that run, or last ran, on this worker"},
    OPT_END};

const struct opt select_state_options[] = {{.name = "state",
                                            .kind = KIND_STATES,
                                            .metavar = "STATES",
                                            .help = "only tasks in these states, joined by ','"},
                                           OPT_END};

const struct opt select_priority_options[] = {{.name = "priority",
                                               .kind = KIND_PRIORITY,
                                               .metavar = "N",
                                               .help = "only tasks of this priority"},
                                              OPT_END};

const struct opt select_change_options[] = {{.name = "limit",
                                             .kind = KIND_COUNT,
                                             .metavar = "N",
                                             .preset = "0",
                                             .help = "stop after this many tasks; 0 for all"},
                                            {.name = "dry_run",
                                             .kind = KIND_BOOL,
                                             .preset = "false",
                                             .help = "only print what would be done"},
                                            OPT_END};

const struct opt select_all_options[] = {{.name = "all",
                                          .kind = KIND_BOOL,
                                          .preset = "false",
                                          .help = "all tasks; needed when no ID and no filter "
                                                  "is given"},
                                         OPT_END};

/* The filters, for "is any given". */
static const char *const filters[] = {"name",  "type",     "include",      "exclude",
                                      "state", "priority", "old_priority", "worker"};

static bool any_filter(const struct args *args) {
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        /* setTask's --priority is what to set; its filter is --old_priority. */
        bool sets = !strcmp(filters[i], "priority") && args_has(args, "old_priority");
        if (!sets && args_has(args, filters[i]) && args_given(args, filters[i]))
            return true;
    }
    return false;
}

static int compare_ids(const void *a, const void *b) {
    return memcmp(a, b, TASK_ID_LEN);
}

static void read_ids(struct select *select, const struct args *args) {
    size_t count = args->operand_count;
    if (!count)
        return;
    select->ids = xmalloc(count * sizeof *select->ids);
    for (size_t i = 0; i < count; i++)
        memcpy(select->ids[i], args->operands[i], TASK_ID_LEN + 1);
    qsort(select->ids, count, sizeof *select->ids, compare_ids);
    for (size_t i = 0; i < count; i++)
        if (!i || compare_ids(select->ids[i], select->ids[select->id_count - 1]) != 0)
            memmove(select->ids[select->id_count++], select->ids[i], sizeof *select->ids);
}

void select_init(struct select *select, const struct args *args) {
    *select = (struct select){.args = args, .priority = -1};
    read_ids(select, args);
    const char *priority = args_has(args, "old_priority") ? "old_priority" : "priority";
    if (args_has(args, "state"))
        select->states = args_mask(args, "state");
    if (args_has(args, "type"))
        select->types = args_mask(args, "type");
    if (args_has(args, priority) && args_given(args, priority))
        select->priority = (int64_t)args_number(args, priority);
    if (args_has(args, "worker"))
        select->worker = args_text(args, "worker");
    if (args_has(args, "limit"))
        select->limit = args_number(args, "limit");
    select->all = args_has(args, "all") && args_bool(args, "all");
    select->filtered = args->operand_count > 0 || any_filter(args);
}

void select_free(struct select *select) {
    free(select->ids);
    select->ids = NULL;
    select->id_count = 0;
}

bool select_check(const struct args *args, struct buf *error) {
    for (size_t i = 0; i < args->operand_count; i++) {
        const char *id = args->operands[i];
        if (!task_id_valid(id, strlen(id))) {
            buf_addf(error, "%s: expected a task's id (%d letters and digits, as checkTask shows)",
                     id, TASK_ID_LEN);
            return false;
        }
    }
    return true;
}

bool select_require(const struct args *args, struct buf *error) {
    if (!select_check(args, error))
        return false;
    bool filtered = args->operand_count > 0 || any_filter(args);
    bool all = args_bool(args, "all");
    if (filtered && all)
        buf_adds(error, "--all goes with no ID and no filter; leave one of them out");
    else if (!filtered && !all)
        buf_adds(error, "expected an ID or a filter such as --name or --state; for every task of "
                        "the queue, say --all");
    return filtered != all;
}

static bool match_name(const struct args *args, const struct task *task) {
    const struct task_option *option = task_option(task, OPT_NAME);
    const struct opt_value *value = args_next(args, "name", NULL);
    if (!value)
        return true;
    for (; value && option; value = args_next(args, "name", value))
        if (option_name_within(option->value, option->len, value->text, strlen(value->text)))
            return true;
    return false;
}

bool select_match(const struct select *select, const char *id, const struct task_head *head,
                  const struct task *task, const char *worker, size_t worker_len) {
    const struct args *args = select->args;
    if (select->id_count &&
        !bsearch(id, select->ids, select->id_count, sizeof *select->ids, compare_ids))
        return false;
    if (!select_wants_state(select, (enum task_state)head->state))
        return false;
    if (select->types && !(select->types & UINT32_C(1) << task->type))
        return false;
    if (select->priority >= 0 && head->priority != (uint32_t)select->priority)
        return false;
    if (select->worker && (!worker || strlen(select->worker) != worker_len ||
                           memcmp(worker, select->worker, worker_len) != 0))
        return false;
    if (!args_has(args, "name"))
        return true;
    if (!match_name(args, task))
        return false;
    if (args_given(args, "include") && !args_match(args, "include", task->params, task->params_len))
        return false;
    return !args_match(args, "exclude", task->params, task->params_len);
}

bool select_needs_worker(const struct select *select) {
    return select->worker != NULL;
}

bool select_wants_state(const struct select *select, enum task_state state) {
    return !select->states || (select->states & UINT32_C(1) << state);
}
