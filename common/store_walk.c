/*
 * store_walk.c - going through tasks in pages. The size of a page follows that of its records: it
 * is halved when one took more than PAGE_BYTES, since a command may be 1 MiB long.
 */
#include <stdlib.h>
#include <string.h>

#include "common/storecmd.h"

#define PAGE_MOST  1000u
#define PAGE_FIRST 250u
#define PAGE_BYTES (2u * 1024u * 1024u)

struct walk {
    struct store *store;
    unsigned with;
    store_each *each;
    void *arg;
    struct buf *error;
    bool stopped;    /* by each() */
    uint32_t states; /* bits of those that are wanted; 0: all */
    size_t page;     /* tasks to ask for at once */
};

/* A task of a page. What it points to is a reply that lives as long as the page. */
struct item {
    task_id_t id;
    int64_t stamp; /* of the entry that led here: generation or loaded_ms; -1: none */
    const redisReply *record;
};

static void walk_init(struct walk *w, struct store *store, unsigned with, store_each *each,
                      void *arg, struct buf *error) {
    *w = (struct walk){store, with, each, arg, error, false, 0, PAGE_FIRST};
}

static size_t reply_bytes(const redisReply *reply) {
    size_t bytes = 0;
    for (size_t i = 0; reply && i < reply->elements; i++)
        bytes += reply_slice(reply->element[i]).len;
    return bytes;
}

static void adapt_page(struct walk *w, size_t bytes) {
    if (bytes > PAGE_BYTES && w->page > 1)
        w->page /= 2;
    else if (bytes < PAGE_BYTES / 4 && w->page < PAGE_MOST)
        w->page *= 2;
    if (w->page > PAGE_MOST)
        w->page = PAGE_MOST;
}

static bool send_hmget(struct walk *w, enum queue_key key, const struct item *items, size_t count) {
    store_cmd(w->store, "HMGET");
    store_cmd_key(w->store, key, NULL);
    for (size_t i = 0; i < count; i++)
        cmd_add(&w->store->cmd, items[i].id, TASK_ID_LEN);
    return store_send(w->store, w->error);
}

bool store_decode(const redisReply *record, struct store_task *task) {
    struct slice bytes = reply_slice(record);
    if (task_decode(bytes.data, bytes.len, &task->head, &task->task))
        return true;
    /* maintain.lua leaves of a task whose results were dropped: head, no requires, name, type, no
     * options, no command. */
    struct cursor c = cursor_make(bytes.data, bytes.len);
    cursor_bytes(&c, TASK_HEAD_BYTES);
    size_t requires_len = (size_t)cursor_be(&c, 1);
    size_t name_len = (size_t)cursor_be(&c, 1);
    const char *name = cursor_bytes(&c, name_len);
    unsigned type = (unsigned)cursor_be(&c, 1);
    if (requires_len || cursor_be(&c, 1) || c.failed || cursor_left(&c) || type > TASK_NATIVE ||
        !task_decode(bytes.data, bytes.len, &task->head, NULL))
        return false;
    task->task.type = (enum task_type)type;
    task->task.priority = task->head.priority;
    task->task.mem_bytes = task->head.mem_bytes;
    task->task.mcpu = task->head.mcpu;
    task->task.params = "";
    task->task.params_len = 0;
    task->task.option_count = 0;
    if (name_len)
        task->task.options[task->task.option_count++] =
            (struct task_option){OPT_NAME, name, name_len};
    return true;
}

/* The hashes that a page is completed from, by the bits of `with`. */
static const struct {
    unsigned bit;
    enum queue_key key;
} extras[] = {
    {STORE_WITH_LOG, KEY_TRY}, {STORE_WITH_OUTPUT, KEY_OUTPUT}, {STORE_WITH_WORKER, KEY_RUNNING}};
#define EXTRAS (sizeof extras / sizeof *extras)

static bool fetch_extras(struct walk *w, const struct item *items, size_t count,
                         redisReply *replies[EXTRAS]) {
    redisReply *came[EXTRAS];
    size_t sent = 0;
    for (size_t i = 0; i < EXTRAS; i++)
        if (w->with & extras[i].bit) {
            if (!send_hmget(w, extras[i].key, items, count))
                return false;
            sent++;
        }
    if (!store_replies(w->store, came, sent, w->error))
        return false;
    for (size_t i = 0, at = 0; i < EXTRAS; i++)
        replies[i] = w->with & extras[i].bit ? came[at++] : NULL;
    return true;
}

static void show_item(struct walk *w, const struct item *item, redisReply *const *replies,
                      size_t i) {
    struct store_task task;
    if (!item->record || item->record->type != REDIS_REPLY_STRING ||
        !store_decode(item->record, &task))
        return;
    if (w->states && !(w->states & 1u << task.head.state))
        return;
    if (item->stamp >= 0 &&
        item->stamp != (task.head.state == TASK_TODO ? (int64_t)task.head.generation
                                                     : (int64_t)task.head.loaded_ms))
        return;
    memcpy(task.id, item->id, sizeof task.id);
    task.log = reply_slice(reply_at(replies[0], i));
    const redisReply *output = reply_at(replies[1], i);
    task.has_output = output && output->type == REDIS_REPLY_STRING;
    task.output = reply_slice(output);
    task.worker = reply_slice(reply_at(replies[2], i));
    w->stopped = !w->each(&task, w->arg);
}

/* Shows items that have their records. */
static bool show_items(struct walk *w, const struct item *items, size_t count) {
    for (size_t at = 0; at < count && !w->stopped;) {
        size_t part = count - at < w->page ? count - at : w->page;
        redisReply *replies[EXTRAS] = {NULL};
        if (!fetch_extras(w, items + at, part, replies))
            return false;
        size_t bytes = 0;
        for (size_t i = 0; i < EXTRAS; i++)
            bytes += reply_bytes(replies[i]);
        for (size_t i = 0; i < part && !w->stopped; i++)
            show_item(w, &items[at + i], replies, i);
        for (size_t i = 0; i < EXTRAS; i++)
            if (replies[i])
                freeReplyObject(replies[i]);
        if (w->with)
            adapt_page(w, bytes);
        at += part;
    }
    return true;
}

/* Fetches the records of items and shows them. */
static bool show_ids(struct walk *w, struct item *items, size_t count) {
    for (size_t at = 0; at < count && !w->stopped;) {
        size_t part = count - at < w->page ? count - at : w->page;
        redisReply *records;
        if (!send_hmget(w, KEY_TASK, items + at, part) ||
            !store_replies(w->store, &records, 1, w->error))
            return false;
        for (size_t i = 0; i < part; i++)
            items[at + i].record = reply_at(records, i);
        adapt_page(w, reply_bytes(records));
        bool ok = show_items(w, items + at, part);
        freeReplyObject(records);
        if (!ok)
            return false;
        at += part;
    }
    return true;
}

/* Items of the ids in a page: every stride-th element from the first on. */
static struct item *page_items(const redisReply *page, size_t stride, size_t *count) {
    size_t most = page ? page->elements / stride : 0;
    struct item *items = xcalloc(most ? most : 1, sizeof *items);
    *count = 0;
    for (size_t i = 0; i < most; i++) {
        struct item *item = &items[*count];
        item->stamp = -1;
        if (!reply_id(reply_at(page, i * stride), item->id))
            continue;
        if (stride == 2)
            item->record = reply_at(page, 2 * i + 1);
        ++*count;
    }
    return items;
}

/* HSCAN or SSCAN of a key; show is called with each page. */
static bool scan(struct walk *w, const char *verb, enum queue_key key, size_t stride,
                 bool records) {
    char cursor[24] = "0";
    do {
        store_cmd(w->store, verb);
        store_cmd_key(w->store, key, NULL);
        cmd_adds(&w->store->cmd, cursor);
        cmd_adds(&w->store->cmd, "COUNT");
        cmd_addu(&w->store->cmd, w->page);
        redisReply *reply = store_run(w->store, w->error);
        if (!reply)
            return false;
        snprintf(cursor, sizeof cursor, "%s", reply_slice(reply_at(reply, 0)).data);
        const redisReply *page = reply_at(reply, 1);
        size_t count;
        struct item *items = page_items(page, stride, &count);
        if (records)
            adapt_page(w, reply_bytes(page));
        bool ok = records ? show_items(w, items, count) : show_ids(w, items, count);
        free(items);
        freeReplyObject(reply);
        if (!ok)
            return false;
    } while (strcmp(cursor, "0") != 0 && !w->stopped);
    return true;
}

/* One LRANGE or ZRANGE of PAGE_MOST elements from `from` on. */
static redisReply *range(struct walk *w, const char *verb, enum queue_key key, const char *name,
                         size_t from) {
    store_cmd(w->store, verb);
    store_cmd_key(w->store, key, name);
    cmd_addu(&w->store->cmd, from);
    cmd_addu(&w->store->cmd, from + PAGE_MOST - 1);
    return store_run(w->store, w->error);
}

/* A list of ID.STAMP...: what is stale by its stamp is passed over. */
static bool walk_list(struct walk *w, enum queue_key key, const char *name) {
    for (size_t from = 0; !w->stopped; from += PAGE_MOST) {
        redisReply *page = range(w, "LRANGE", key, name, from);
        if (!page)
            return false;
        size_t count = 0, elements = page->elements;
        struct item *items = xcalloc(elements ? elements : 1, sizeof *items);
        for (size_t i = 0; i < elements; i++) {
            struct slice entry = reply_slice(page->element[i]);
            if (entry.len > TASK_ID_LEN && reply_id(page->element[i], items[count].id))
                items[count++].stamp = strtoll(entry.data + TASK_ID_LEN + 1, NULL, 16);
        }
        bool ok = show_ids(w, items, count);
        free(items);
        freeReplyObject(page);
        if (!ok)
            return false;
        if (elements < PAGE_MOST)
            break;
    }
    return true;
}

static bool walk_todo(struct walk *w) {
    for (size_t from = 0; !w->stopped; from += PAGE_MOST) {
        redisReply *shapes = range(w, "ZRANGE", KEY_SHAPE, NULL, from);
        if (!shapes)
            return false;
        bool ok = true;
        for (size_t i = 0; i < shapes->elements && ok && !w->stopped; i++)
            ok = walk_list(w, KEY_TODO, reply_slice(reply_at(shapes, i)).data);
        size_t elements = shapes->elements;
        freeReplyObject(shapes);
        if (!ok)
            return false;
        if (elements < PAGE_MOST)
            break;
    }
    return true;
}

bool store_walk(struct store *store, enum store_source source, unsigned with, store_each *each,
                void *arg, struct buf *error) {
    struct walk w;
    walk_init(&w, store, with, each, arg, error);
    switch (source) {
    case STORE_ALL:
        return scan(&w, "HSCAN", KEY_TASK, 2, true);
    case STORE_IN_PROGRESS:
        w.states = 1u << TASK_IN_PROGRESS;
        return scan(&w, "HSCAN", KEY_RUNNING, 2, false);
    case STORE_FAILED:
        w.states = 1u << TASK_FAILED;
        return scan(&w, "SSCAN", KEY_FAILED, 1, false);
    case STORE_FINISHED:
        w.states = 1u << TASK_FINISHED;
        return walk_list(&w, KEY_FINISHED, NULL);
    case STORE_TODO:
        w.states = 1u << TASK_TODO;
        return walk_todo(&w);
    }
    return true;
}

bool store_walk_ids(struct store *store, task_id_t *ids, size_t count, unsigned with,
                    store_each *each, void *arg, struct buf *error) {
    struct walk w;
    walk_init(&w, store, with, each, arg, error);
    struct item *items = xcalloc(count ? count : 1, sizeof *items);
    for (size_t i = 0; i < count; i++) {
        memcpy(items[i].id, ids[i], sizeof items[i].id);
        items[i].stamp = -1;
    }
    bool ok = show_ids(&w, items, count);
    free(items);
    return ok;
}
