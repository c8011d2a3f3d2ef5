#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/units.h"
#include "manager/command.h"
#include "manager/print.h"
#include "manager/progress.h"
#include "manager/select.h"
#include "manager/view.h"

enum {
    POLL_SHARE = 32, /* of the time waited: the end is told so much late at most */
    POLL_REST = 4,   /* times what a look took, of which many ids make a long one */
    POLL_LEAST_MS = 10,
    POLL_MOST_MS = 1000,
    POLL_BAR_MS = 500, /* with a bar on the terminal, which should move */
    MAINTAIN_MS = 200,
    MAINTAIN_MOST = 20,  /* bounded pieces of due work a poll, of 500 tasks each */
    WORKERS_MS = 2000,   /* before a remark that no worker is there: one may be starting */
    STUCK_MS = 5000,     /* before one on what may be nothing */
    EXIT_TIMED_OUT = 124 /* as timeout(1) */
};

static const struct opt options[] = {
    {.name = "name",
     .kind = KIND_OPTION,
     .metavar = "NAME",
     .tag = OPT_NAME,
     .help = "wait for the tasks of this name, and those below it"},
    {.name = "timeout",
     .kind = KIND_DURATION,
     .metavar = "TIME",
     .help = "give up after this long, and exit 124"},
    {.name = "progress",
     .kind = KIND_BOOL,
     .preset = "true",
     .help = "show a bar with rate and time left on a terminal"},
    OPT_END};

/* --- what is waited for -------------------------------------------------------------------------
 */

struct tally {
    uint64_t pending, running, finished, failed, cancelled;
    uint64_t held;
    uint64_t gone; /* ids that are not there any more */
    uint64_t live_workers;
    bool idle;    /* tasks are queued, workers there, and nothing at all runs */
    bool known;   /* the name is */
    bool loading; /* a load that may bring more has not ended */
};

struct wait {
    struct session *session;
    struct store *store;
    const char *name; /* or NULL */
    task_id_t *ids;   /* or NULL */
    size_t id_count;
    struct tally now;
    uint64_t ended_before;  /* of the whole queue, when the waiting began */
    mono_ms_t start, stuck; /* stuck: since when nothing can run; 0: not */
    mono_ms_t maintained;   /* 0: not yet */
    bool told_workers, told_held, told_load, told_idle, told_away;
    struct progress *progress;
    struct buf remark;
};

static void count_state(struct tally *tally, enum task_state state) {
    switch (state) {
    case TASK_FINISHED:
        tally->finished++;
        break;
    case TASK_FAILED:
        tally->failed++;
        break;
    case TASK_CANCELLED:
        tally->cancelled++;
        break;
    case TASK_IN_PROGRESS:
        tally->running++;
        tally->pending++;
        break;
    case TASK_HELD:
        tally->held++;
        tally->pending++;
        break;
    case TASK_TODO:
    case TASK_WAITING:
    case TASK_DELAYED:
        tally->pending++;
        break;
    }
}

static bool count_task(const struct store_task *task, void *arg) {
    struct tally *tally = arg;
    count_state(tally, (enum task_state)task->head.state);
    return true;
}

static bool look_at_ids(struct wait *w, struct tally *tally, struct buf *error) {
    if (!store_walk_ids(w->store, w->ids, w->id_count, 0, count_task, tally, error))
        return false;
    tally->gone =
        w->id_count - (tally->pending + tally->finished + tally->failed + tally->cancelled);
    return true;
}

static bool look_at_name(struct wait *w, struct tally *tally, struct buf *error) {
    struct store_group group;
    if (!store_group(w->store, w->name, &group, error))
        return false;
    tally->known = group.known;
    tally->pending = group.pending;
    tally->finished = group.finished;
    tally->failed = group.failed;
    tally->cancelled = group.cancelled;
    tally->loading = group.open;
    return true;
}

static void look_at_queue(const struct store_counts *counts, struct tally *tally) {
    tally->pending = view_todo(counts) + counts->state[TASK_IN_PROGRESS];
    tally->running = counts->state[TASK_IN_PROGRESS];
    tally->held = counts->state[TASK_HELD];
    tally->finished = counts->state[TASK_FINISHED];
    tally->failed = counts->state[TASK_FAILED];
    tally->cancelled = counts->state[TASK_CANCELLED];
    tally->loading = counts->loads_open > 0;
}

/* With no worker alive, what is due is done by whoever looks. */
static bool maintain(struct wait *w, struct buf *error) {
    mono_ms_t now = mono_now();
    int64_t due_ms = 0;
    if (w->maintained.ms && mono_diff(now, w->maintained) < MAINTAIN_MS)
        return true;
    for (int i = 0; i < MAINTAIN_MOST && due_ms == 0; i++)
        if (!store_maintain(w->store, &due_ms, error))
            return false;
    w->maintained = now;
    return true;
}

static bool look(struct wait *w, struct buf *error) {
    struct tally tally = {.known = true};
    struct store_counts counts;
    if (!maintain(w, error) || !store_counts(w->store, &counts, error))
        return false;
    tally.live_workers = counts.live_workers;
    tally.idle = counts.live_workers && counts.state[TASK_TODO] && !counts.state[TASK_IN_PROGRESS];
    if (w->ids) {
        if (!look_at_ids(w, &tally, error))
            return false;
    } else if (w->name) {
        if (!look_at_name(w, &tally, error))
            return false;
    } else {
        look_at_queue(&counts, &tally);
    }
    w->now = tally;
    return true;
}

static uint64_t ended(const struct tally *tally) {
    return tally->finished + tally->failed + tally->cancelled + tally->gone;
}

static bool is_over(const struct tally *tally) {
    return !tally->pending && !tally->loading;
}

/* --- telling ------------------------------------------------------------------------------------
 */

static void draw(struct wait *w) {
    uint64_t done = ended(&w->now);
    done = done > w->ended_before ? done - w->ended_before : 0;
    buf_clear(&w->remark);
    if (w->now.running)
        buf_addf(&w->remark, "%llu running", (unsigned long long)w->now.running);
    if (w->now.failed)
        buf_addf(&w->remark, "%s%llu failed", w->remark.len ? "  " : "",
                 (unsigned long long)w->now.failed);
    if (w->now.cancelled)
        buf_addf(&w->remark, "%s%llu cancelled", w->remark.len ? "  " : "",
                 (unsigned long long)w->now.cancelled);
    progress_set_remark(w->progress, w->remark.data);
    progress_set_total(w->progress, done + w->now.pending);
    progress_set(w->progress, done);
}

static void tell(struct wait *w, bool *told, const char *what) {
    if (!*told) {
        progress_hide(w->progress);
        session_note(w->session, "%s", what);
    }
    *told = true;
}

/* Nothing that is waited for can go on by itself: says why, each thing once. */
static void tell_stuck(struct wait *w) {
    const struct tally *now = &w->now;
    mono_ms_t moment = mono_now();
    bool workers = now->pending > now->held && !now->live_workers && !now->running;
    bool held = now->held && now->held == now->pending;
    bool load = now->loading && !now->pending;
    if (!workers && !held && !load && !now->idle) {
        w->stuck = (mono_ms_t){0};
        return;
    }
    if (!w->stuck.ms)
        w->stuck = moment;
    if (workers && mono_diff(moment, w->stuck) >= WORKERS_MS)
        tell(w, &w->told_workers, "no worker is running; start one with redisWorker");
    if (held)
        tell(w, &w->told_held, "all that is left is held; releaseTask lets it go");
    if (now->idle && mono_diff(moment, w->stuck) >= STUCK_MS)
        tell(w, &w->told_idle, "tasks are queued, but no worker takes one; showTask ID says why");
    if (load && mono_diff(moment, w->stuck) >= STUCK_MS)
        tell(w, &w->told_load,
             "a load has not ended, so there may be more to come; if it was killed, load the same "
             "file again, or run cleanup a minute after");
}

static int print_end(struct wait *w, bool timed_out) {
    const struct tally *now = &w->now;
    int64_t elapsed_ms = mono_diff(mono_now(), w->start);
    bool ok = !now->failed && !now->cancelled && !now->gone && !timed_out;
    if (w->session->json) {
        print_json(w->session->out,
                   json_pack("{s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "ok", ok, "timed_out",
                             timed_out, "finished", (json_int_t)now->finished, "failed",
                             (json_int_t)now->failed, "cancelled", (json_int_t)now->cancelled,
                             "removed", (json_int_t)now->gone, "pending", (json_int_t)now->pending,
                             "elapsed_ms", (json_int_t)elapsed_ms));
    } else {
        struct buf text = BUF_INIT;
        buf_addf(&text, "%llu finished, %llu failed", (unsigned long long)now->finished,
                 (unsigned long long)now->failed);
        if (now->cancelled)
            buf_addf(&text, ", %llu cancelled", (unsigned long long)now->cancelled);
        if (now->gone)
            buf_addf(&text, ", %llu removed", (unsigned long long)now->gone);
        if (now->pending)
            buf_addf(&text, ", %llu not ended", (unsigned long long)now->pending);
        buf_adds(&text, timed_out ? "; gave up after " : "; waited ");
        units_add_ms(&text, (uint64_t)elapsed_ms);
        fprintf(w->session->out, "%s\n", text.data);
        buf_free(&text);
    }
    return timed_out ? EXIT_TIMED_OUT : ok ? EXIT_DONE : EXIT_FAILED;
}

/* --- waiting ------------------------------------------------------------------------------------
 */

/* Redis was lost while we waited, not refused at the start. */
static bool redis_lost(struct wait *w, struct buf *error) {
    progress_hide(w->progress);
    return session_redis_away(w->session, &w->told_away, error);
}

static int refuse_unknown(struct wait *w) {
    if (w->name && !w->now.known) {
        session_error(w->session, "%s: no task of queue %s has that name", w->name,
                      w->store->queue);
        return EXIT_FAILED;
    }
    if (w->ids && w->now.gone) {
        session_error(w->session, "%llu of the tasks given are not in queue %s",
                      (unsigned long long)w->now.gone, w->store->queue);
        return EXIT_FAILED;
    }
    if (!w->ids && !w->name)
        w->ended_before = ended(&w->now);
    return EXIT_DONE;
}

static int64_t pause_ms(const struct wait *w, int64_t passed_ms, int64_t look_ms) {
    int64_t pause = passed_ms / POLL_SHARE, most = w->progress ? POLL_BAR_MS : POLL_MOST_MS;
    if (pause < POLL_REST * look_ms)
        pause = POLL_REST * look_ms;
    return pause < POLL_LEAST_MS ? POLL_LEAST_MS : pause < most ? pause : most;
}

static int wait_on(struct wait *w, uint64_t timeout_ms, bool limited) {
    struct buf error = BUF_INIT;
    bool first = true;
    int code = EXIT_DONE;
    for (;;) {
        mono_ms_t begin = mono_now();
        int64_t passed_ms = mono_diff(begin, w->start);
        bool seen = look(w, &error);
        int64_t look_ms = mono_diff(mono_now(), begin);
        if (!seen && (first || !redis_lost(w, &error))) {
            session_error(w->session, "%s", error.data);
            code = EXIT_FAILED;
            break;
        }
        if (seen && first && (code = refuse_unknown(w)))
            break;
        first = false;
        bool over = seen && is_over(&w->now);
        if (over || (limited && passed_ms >= (int64_t)timeout_ms)) {
            progress_hide(w->progress);
            code = print_end(w, !over);
            break;
        }
        if (seen) {
            w->told_away = false;
            draw(w);
            tell_stuck(w);
        }
        int64_t sleep_ms = pause_ms(w, passed_ms, look_ms);
        if (limited && (int64_t)timeout_ms - passed_ms < sleep_ms)
            sleep_ms = (int64_t)timeout_ms - passed_ms;
        poll(NULL, 0, (int)sleep_ms);
    }
    buf_free(&error);
    return code;
}

static int wait_task(struct session *session, const struct args *args) {
    struct wait w = {.session = session, .store = session_store(session), .start = mono_now()};
    struct select select;
    if (!w.store)
        return EXIT_FAILED;
    select_init(&select, args);
    w.name = args_text(args, "name");
    w.ids = select.ids;
    w.id_count = select.id_count;
    w.remark = (struct buf)BUF_INIT;
    if (args_bool(args, "progress"))
        w.progress = progress_new(stderr, "waiting", 0, session->quiet);
    int code = wait_on(&w, args_number(args, "timeout"), args_given(args, "timeout"));
    progress_free(w.progress);
    buf_free(&w.remark);
    select_free(&select);
    return code;
}

static bool check(const struct args *args, struct buf *error) {
    if (args->operand_count && args_given(args, "name")) {
        buf_adds(error, "--name goes without an ID; leave one of them out");
        return false;
    }
    return select_check(args, error);
}

const struct verb verb_wait_task = {
    .name = "waitTask",
    .operands = "[ID…]",
    .max_operands = VERB_ANY,
    .summary = "waits until tasks have ended",
    .about =
        "Waits for the tasks given, for those of a name, or else until nothing of the "
        "queue is left to do. Exits 0 when all finished, 1 when any failed or was "
        "cancelled, 124 when the time is up. Redis may go away meanwhile and come back.\n\n"
        "  redisManager waitTask --name sweep --timeout 2h && redisManager exportTask --name sweep",
    .group = GROUP_LOOK,
    .flags = VERB_ANSWERS,
    .options = {options},
    .check = check,
    .run = wait_task,
};
