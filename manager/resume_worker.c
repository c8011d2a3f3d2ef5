#include "manager/command.h"
#include "manager/worker_names.h"

static int resume_worker(struct session *session, const struct args *args) {
    static const struct worker_wish wish = {
        .want = "run", .one = "may take tasks again", .many = "may take tasks again"};
    return worker_names_want(session, args, &wish);
}

const struct verb verb_resume_worker = {
    .name = "resumeWorker",
    .operands = "[NAME…]",
    .max_operands = VERB_ANY,
    .summary = "lets workers take tasks again",
    .about = "After drainWorker, or when a worker paused itself because all its tasks failed "
             "at once.",
    .group = GROUP_WORKERS,
    .flags = VERB_ANSWERS,
    .options = {worker_names_options},
    .check = worker_names_check,
    .run = resume_worker,
};
