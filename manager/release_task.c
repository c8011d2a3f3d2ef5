#include "manager/change.h"
#include "manager/command.h"
#include "manager/select.h"

static int release_task(struct session *session, const struct args *args) {
    static const struct change_plan plan = {.change = CHANGE_RELEASE,
                                            .states = CHANGE_BIT(TASK_HELD),
                                            .doing = "releasing",
                                            .done = "released",
                                            .field = "released"};
    return change_tasks(session, args, &plan);
}

const struct verb verb_release_task = {
    .name = "releaseTask",
    .operands = "[ID…]",
    .max_operands = VERB_ANY,
    .summary = "lets held tasks start again",
    .about = "The opposite of holdTask.",
    .group = GROUP_CHANGE,
    .flags = VERB_ANSWERS,
    .options = {select_options, select_state_options, select_priority_options,
                select_worker_options, select_change_options, select_all_options},
    .check = select_require,
    .run = release_task,
};
