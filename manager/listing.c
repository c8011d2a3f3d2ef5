#include "manager/listing.h"

#include <stdlib.h>
#include <string.h>

#include "common/keys.h"

#define PAGE 500

struct walk {
    const struct listing *listing;
    uint32_t states;
    store_each *each;
    void *arg;
    struct buf *error;
    unsigned with;
    bool stopped;
};

#define BIT(state) (UINT32_C(1) << (state))

static struct slice last_worker(const struct store_task *task) {
    struct try_entry entry;
    if (task->worker.len)
        return task->worker;
    if (try_log_last(task->log, &entry))
        return entry.worker;
    return (struct slice){"", 0};
}

static bool show(const struct store_task *task, void *arg) {
    struct walk *w = arg;
    struct slice worker = {"", 0};
    if (!(w->states & BIT(task->head.state)))
        return true;
    if (select_needs_worker(w->listing->select))
        worker = last_worker(task);
    if (!select_match(w->listing->select, task->id, &task->head, &task->task, worker.data,
                      worker.len))
        return true;
    w->stopped = !w->each(task, w->arg);
    return !w->stopped;
}

/* --- sources that the store has not ------------------------------------------------------------
 */

static void command(struct store *store, const char *verb, enum queue_key key) {
    struct buf name = BUF_INIT;
    key_add(&name, store->queue_key, key, NULL);
    cmd_clear(&store->cmd);
    cmd_adds(&store->cmd, verb);
    cmd_add(&store->cmd, name.data, name.len);
    buf_free(&name);
}

/* Shows the tasks of a page: every stride-th element begins with an id. backwards: the last first.
 */
static bool show_page(struct walk *w, const redisReply *page, size_t stride, bool backwards) {
    size_t count = 0, most = page && page->type == REDIS_REPLY_ARRAY ? page->elements / stride : 0;
    task_id_t *ids = xcalloc(most, sizeof *ids);
    for (size_t i = 0; i < most; i++) {
        const redisReply *element = page->element[(backwards ? most - 1 - i : i) * stride];
        if (element->type != REDIS_REPLY_STRING || element->len < TASK_ID_LEN)
            continue;
        memcpy(ids[count], element->str, TASK_ID_LEN);
        ids[count++][TASK_ID_LEN] = '\0';
    }
    bool ok = store_walk_ids(w->listing->store, ids, count, w->with, show, w, w->error);
    free(ids);
    return ok;
}

/* Elements from..to of a list or sorted set. */
static bool show_range(struct walk *w, const char *verb, enum queue_key key, uint64_t from,
                       uint64_t to, bool backwards, size_t *elements) {
    struct store *store = w->listing->store;
    command(store, verb, key);
    cmd_addu(&store->cmd, from);
    cmd_addu(&store->cmd, to);
    redisReply *page = store_run(store, w->error);
    if (!page)
        return false;
    *elements = page->elements;
    bool ok = show_page(w, page, 1, backwards);
    freeReplyObject(page);
    return ok;
}

static bool walk_delayed(struct walk *w) {
    size_t elements = PAGE;
    for (uint64_t at = 0; elements == PAGE && !w->stopped; at += PAGE)
        if (!show_range(w, "ZRANGE", KEY_DELAYED, at, at + PAGE - 1, false, &elements))
            return false;
    return true;
}

static bool walk_newest(struct walk *w) {
    struct store *store = w->listing->store;
    command(store, "LLEN", KEY_FINISHED);
    redisReply *length = store_run(store, w->error);
    if (!length)
        return false;
    uint64_t end = length->integer > 0 ? (uint64_t)length->integer : 0;
    freeReplyObject(length);
    while (end && !w->stopped) {
        uint64_t from = end > PAGE ? end - PAGE : 0;
        size_t elements;
        if (!show_range(w, "LRANGE", KEY_FINISHED, from, end - 1, true, &elements))
            return false;
        end = from;
    }
    return true;
}

static bool walk_waiting(struct walk *w) {
    struct store *store = w->listing->store;
    char cursor[24] = "0";
    do {
        command(store, "HSCAN", KEY_AWAIT);
        cmd_adds(&store->cmd, cursor);
        cmd_adds(&store->cmd, "COUNT");
        cmd_addu(&store->cmd, PAGE);
        redisReply *reply = store_run(store, w->error);
        if (!reply)
            return false;
        snprintf(cursor, sizeof cursor, "%s", reply->element[0]->str);
        bool ok = show_page(w, reply->element[1], 2, false);
        freeReplyObject(reply);
        if (!ok)
            return false;
    } while (strcmp(cursor, "0") != 0 && !w->stopped);
    return true;
}

/* --- all ---------------------------------------------------------------------------------------
 */

enum { WALK_DELAYED = -1, WALK_WAITING = -2, WALK_NEWEST = -3 };

static bool walk(struct walk *w, int source) {
    if (source == WALK_DELAYED)
        return walk_delayed(w);
    if (source == WALK_WAITING)
        return walk_waiting(w);
    if (source == STORE_FINISHED && w->listing->newest)
        return walk_newest(w);
    return store_walk(w->listing->store, (enum store_source)source, w->with, show, w, w->error);
}

bool listing_walk(const struct listing *listing, uint32_t states, store_each *each, void *arg,
                  struct buf *error) {
    static const struct {
        enum task_state state;
        int source;
    } order[] = {{TASK_TODO, STORE_TODO},
                 {TASK_DELAYED, WALK_DELAYED},
                 {TASK_WAITING, WALK_WAITING},
                 {TASK_HELD, STORE_ALL},
                 {TASK_IN_PROGRESS, STORE_IN_PROGRESS},
                 {TASK_FINISHED, STORE_FINISHED},
                 {TASK_FAILED, STORE_FAILED},
                 {TASK_CANCELLED, STORE_ALL}};
    const struct select *select = listing->select;
    struct walk w = {listing, states, each, arg, error, listing->with, false};
    if (select_needs_worker(select))
        w.with |= STORE_WITH_LOG | STORE_WITH_WORKER;
    if (select->id_count) {
        w.states = UINT32_MAX;
        return store_walk_ids(listing->store, select->ids, select->id_count, w.with, show, &w,
                              error);
    }
    for (size_t i = 0; i < sizeof order / sizeof *order && !w.stopped; i++) {
        w.states = states & BIT(order[i].state);
        if (!w.states || !select_wants_state(select, order[i].state) ||
            !listing->counts->state[order[i].state])
            continue;
        if (!walk(&w, order[i].source))
            return false;
    }
    return true;
}
