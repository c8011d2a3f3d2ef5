#include <inttypes.h>

#include "common/store.h"
#include "manager/command.h"
#include "manager/print.h"

static const char *plural(uint64_t count) {
    return count == 1 ? "" : "s";
}

static int cleanup(struct session *session, const struct args *args) {
    struct store *store = session_store(session);
    if (!store)
        return EXIT_FAILED;
    (void)args;
    struct buf error = BUF_INIT;
    struct cleanup_counts counts;
    bool ok = store_cleanup(store, &counts, &error);
    if (!ok)
        session_error(session, "%s", error.data);
    else if (session->json)
        print_json(session->out,
                   json_pack("{s:I, s:I, s:I}", "tasks_taken", (json_int_t)counts.leases_ended,
                             "workers_forgotten", (json_int_t)counts.workers_forgotten,
                             "loads_closed", (json_int_t)counts.loads_closed));
    else
        fprintf(session->out,
                "%" PRIu64 " task%s taken from lost workers, %" PRIu64
                " worker%s forgotten, %" PRIu64 " load%s closed\n",
                counts.leases_ended, plural(counts.leases_ended), counts.workers_forgotten,
                plural(counts.workers_forgotten), counts.loads_closed, plural(counts.loads_closed));
    buf_free(&error);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

const struct verb verb_cleanup = {
    .name = "cleanup",
    .operands = "",
    .summary = "puts right what crashes left behind",
    .about = "Takes tasks from workers whose lease is over, forgets workers that are gone "
             "and hold nothing, closes loads that were interrupted, and drops results beyond "
             "their retention. Workers and waitTask do the same by themselves, piece by "
             "piece; this does all of it now. It never touches a task that a live worker "
             "runs.",
    .group = GROUP_REPAIR,
    .flags = VERB_ANSWERS,
    .run = cleanup,
};
