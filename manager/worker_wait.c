#include "manager/worker_wait.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/store.h"
#include "common/units.h"
#include "manager/worker_names.h"

enum { POLL_FIRST_MS = 50, POLL_MOST_MS = 1000 };

const struct opt worker_wait_options[] = {
    {.name = "wait", .kind = KIND_BOOL, .preset = "false", .help = "wait until they have done so"},
    {.name = "timeout",
     .kind = KIND_DURATION,
     .metavar = "TIME",
     .help = "with --wait: give up after this long, and exit 124"},
    OPT_END};

bool worker_wait_check(const struct args *args, struct buf *error) {
    if (!worker_names_check(args, error))
        return false;
    if (args_given(args, "timeout") && !args_bool(args, "wait")) {
        buf_adds(error, "--timeout: expected --wait with it");
        return false;
    }
    return true;
}

struct waiting {
    struct session *session;
    enum worker_until until;
    const char *want;
    struct worker_waiting *workers;
    size_t count;
    bool *seen;          /* by worker, of this look */
    uint64_t held;       /* tasks that they still run */
    struct buf left;     /* names of those that are waited for */
    const char *changed; /* one that is asked for something else, or NULL */
    bool told_away;
};

static bool see_worker(const struct store_worker *worker, void *arg) {
    struct waiting *w = arg;
    for (size_t i = 0; i < w->count; i++) {
        struct worker_waiting *one = &w->workers[i];
        if (one->over || strlen(one->name) != worker->name.len ||
            memcmp(one->name, worker->name.data, worker->name.len) != 0)
            continue;
        w->seen[i] = true;
        bool live = worker->lease_end_ms > 0 && worker->state.len == 0;
        one->over = !live || (w->until == WORKER_UNTIL_IDLE && !worker->held);
        if (one->over)
            continue;
        w->held += worker->held;
        buf_addf(&w->left, "%s%s", w->left.len ? ", " : "", one->name);
        if (worker->want.len != strlen(w->want) ||
            memcmp(worker->want.data, w->want, worker->want.len) != 0)
            w->changed = one->name;
    }
    return true;
}

static bool look(struct waiting *w, struct buf *error) {
    int64_t due_ms; /* a worker that was lost is known to be so only when somebody looks */
    buf_clear(&w->left);
    w->held = 0;
    w->changed = NULL;
    memset(w->seen, 0, w->count * sizeof *w->seen);
    if (!store_maintain(w->session->store, &due_ms, error) ||
        !store_walk_workers(w->session->store, see_worker, w, error))
        return false;
    for (size_t i = 0; i < w->count; i++)
        w->workers[i].over = w->workers[i].over || !w->seen[i];
    return true;
}

static int give_up(const struct waiting *w, uint64_t timeout_ms) {
    struct buf text = BUF_INIT;
    units_add_ms(&text, timeout_ms);
    session_error(w->session, "gave up after %s; %llu task%s still run%s on %s", text.data,
                  (unsigned long long)w->held, w->held == 1 ? "" : "s", w->held == 1 ? "s" : "",
                  w->left.data);
    buf_free(&text);
    return WORKER_WAIT_TIMED_OUT;
}

/* One look; -1: not over yet. */
static int step(struct waiting *w, struct buf *error) {
    if (!look(w, error)) {
        if (session_redis_away(w->session, &w->told_away, error))
            return -1;
        session_error(w->session, "%s", error->data);
        return EXIT_FAILED;
    }
    w->told_away = false;
    if (!w->left.len)
        return EXIT_DONE;
    if (!w->changed)
        return -1;
    session_error(w->session, "%s was asked for something else meanwhile, or started anew",
                  w->changed);
    return EXIT_FAILED;
}

int worker_wait(struct session *session, enum worker_until until, const char *want,
                const uint64_t *timeout_ms, struct worker_waiting *workers, size_t count) {
    struct waiting w = {.session = session,
                        .until = until,
                        .want = want,
                        .workers = workers,
                        .count = count,
                        .seen = xcalloc(count + 1, sizeof *w.seen),
                        .left = BUF_INIT};
    struct buf error = BUF_INIT;
    mono_ms_t start = mono_now();
    int64_t pause_ms = POLL_FIRST_MS;
    int code;
    while ((code = step(&w, &error)) < 0) {
        int64_t passed_ms = mono_diff(mono_now(), start), sleep_ms = pause_ms;
        if (timeout_ms && passed_ms >= (int64_t)*timeout_ms) {
            code = give_up(&w, *timeout_ms);
            break;
        }
        if (timeout_ms && (int64_t)*timeout_ms - passed_ms < sleep_ms)
            sleep_ms = (int64_t)*timeout_ms - passed_ms;
        poll(NULL, 0, (int)sleep_ms);
        pause_ms = pause_ms * 5 / 4 < POLL_MOST_MS ? pause_ms * 5 / 4 : POLL_MOST_MS;
    }
    free(w.seen);
    buf_free(&w.left);
    buf_free(&error);
    return code;
}
