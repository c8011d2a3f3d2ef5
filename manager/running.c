#include "manager/running.h"

#include <stdlib.h>
#include <string.h>

#include "common/keys.h"
#include "manager/use.h"
#include "manager/view.h"

void running_add(struct running_list *list, const struct store_task *task) {
    struct running_row *row = &list->rows[list->count++];
    struct buf text = BUF_INIT;
    *row = (struct running_row){.try_number = task->head.tries};
    if (list->session->json)
        row->json = view_task_json(task);
    row->cells[0] = xstrdup(task->id);
    row->cells[1] = xstrndup(task->worker.data, task->worker.len);
    view_add_mem(&text, task->head.mem_bytes);
    row->cells[2] = buf_detach(&text);
    view_add_mcpu(&text, task->head.mcpu);
    row->cells[3] = buf_detach(&text);
    buf_add(&text, task->task.params, task->task.params_len);
    row->cells[4] = buf_detach(&text);
}

static void add_use(struct table *table, const struct use *use) {
    struct buf text = BUF_INIT;
    view_add_mem(&text, use ? use->mem_bytes : 0);
    table_cells(table, text.data);
    buf_clear(&text);
    view_add_mem(&text, use ? use->peak_bytes : 0);
    table_cells(table, text.data);
    buf_clear(&text);
    if (use)
        view_add_wall(&text, use->cpu_us);
    table_cells(table, use ? text.data : "-");
    buf_free(&text);
}

/* use: NULL when its worker has not said what it uses. */
static void show_running(struct running_list *list, struct running_row *row, uint64_t since_ms,
                         const struct use *use) {
    if (row->json) {
        json_object_set_new(row->json, "since", view_time_json(since_ms));
        json_object_set_new(row->json, "use", use ? use_json(use) : json_null());
        print_json(list->session->out, row->json);
    } else {
        struct buf age = BUF_INIT;
        print_age(&age, list->now_ms, since_ms);
        table_cells(list->table, row->cells[0]);
        table_cells(list->table, row->cells[1]);
        table_cells(list->table, age.data);
        table_cellf(list->table, "%u", row->try_number);
        table_cells(list->table, row->cells[2]);
        table_cells(list->table, row->cells[3]);
        add_use(list->table, use);
        table_cells(list->table, row->cells[4]);
        buf_free(&age);
    }
    for (size_t i = 0; i < 5; i++)
        free(row->cells[i]);
}

static bool find_uses(struct running_list *list, struct use *uses, bool *known, struct buf *error) {
    const char *ids[TABLE_HELD], *workers[TABLE_HELD];
    for (size_t i = 0; i < list->count; i++) {
        ids[i] = list->rows[i].cells[0];
        workers[i] = list->rows[i].cells[1];
    }
    return use_find(list->store, ids, workers, list->count, uses, known, error);
}

bool running_show(struct running_list *list, struct buf *error) {
    struct store *store = list->store;
    struct use uses[TABLE_HELD];
    bool known[TABLE_HELD] = {false};
    bool ok = find_uses(list, uses, known, error);
    for (size_t i = 0; ok && i < list->count; i++) {
        struct buf key = BUF_INIT;
        key_add(&key, store->queue_key, KEY_HELD, list->rows[i].cells[1]);
        cmd_clear(&store->cmd);
        cmd_adds(&store->cmd, "HGET");
        cmd_add(&store->cmd, key.data, key.len);
        cmd_adds(&store->cmd, list->rows[i].cells[0]);
        ok = store_send(store, error);
        buf_free(&key);
    }
    for (size_t i = 0; i < list->count; i++) {
        redisReply *reply = ok ? store_reply(store, error) : NULL;
        ok = reply != NULL;
        const char *start =
            ok && reply->type == REDIS_REPLY_STRING ? strrchr(reply->str, '.') : NULL;
        show_running(list, &list->rows[i], start ? strtoull(start + 1, NULL, 10) : 0,
                     known[i] ? &uses[i] : NULL);
        if (reply)
            freeReplyObject(reply);
    }
    list->count = 0;
    return ok;
}
