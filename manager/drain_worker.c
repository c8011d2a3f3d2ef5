#include "manager/command.h"
#include "manager/worker_names.h"

static int drain_worker(struct session *session, const struct args *args) {
    static const struct worker_wish wish = {
        .want = "drain",
        .one = "asked to finish what it runs and take nothing new",
        .many = "asked to finish what they run and take nothing new",
        .may_wait = true,
        .until = WORKER_UNTIL_IDLE,
        .has = "runs nothing any more",
        .have = "run nothing any more"};
    return worker_names_want(session, args, &wish);
}

const struct verb verb_drain_worker = {
    .name = "drainWorker",
    .operands = "[NAME…]",
    .max_operands = VERB_ANY,
    .summary = "lets workers finish what they run and take nothing new",
    .about = "A drained worker stays and waits; resumeWorker lets it take tasks again. --wait "
             "returns when nothing runs there.",
    .group = GROUP_WORKERS,
    .flags = VERB_ANSWERS,
    .options = {worker_names_options, worker_wait_options},
    .check = worker_wait_check,
    .run = drain_worker,
};
