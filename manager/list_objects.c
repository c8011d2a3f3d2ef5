#include "common/units.h"
#include "manager/command.h"
#include "manager/print.h"
#include "manager/view.h"

static const struct table_column columns[] = {{"SIZE", ALIGN_RIGHT},
                                              {"WRITTEN", ALIGN_LEFT},
                                              {"EXPIRES IN", ALIGN_LEFT},
                                              {"NAME", ALIGN_LEFT}};

static json_t *object_json(const struct object_info *info) {
    json_t *object =
        json_pack("{s:s, s:I, s:o}", "name", info->name, "bytes", (json_int_t)info->bytes,
                  "written", view_time_json(info->written_ms));
    json_object_set_new(object, "expires_in_ms",
                        info->ttl_ms < 0 ? json_null() : json_integer((json_int_t)info->ttl_ms));
    return object;
}

static void add_row(struct table *table, const struct object_info *info, uint64_t now_ms) {
    struct buf text = BUF_INIT;
    units_add_bytes(&text, info->bytes);
    table_cells(table, text.data);
    buf_clear(&text);
    print_age(&text, now_ms, info->written_ms);
    table_cells(table, text.data);
    buf_clear(&text);
    if (info->ttl_ms < 0)
        buf_addc(&text, '-');
    else
        units_add_ms(&text, (uint64_t)info->ttl_ms / 1000 * 1000);
    table_cells(table, text.data);
    table_cells(table, info->name);
    buf_free(&text);
}

static void print_list(const struct session *session, const struct object_list *list,
                       uint64_t now_ms) {
    if (!list->count && !session->json) {
        fprintf(session->out, "no objects\n");
        return;
    }
    struct table *table =
        session->json ? NULL : table_new(session->out, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < list->count; i++) {
        if (table)
            add_row(table, &list->list[i], now_ms);
        else
            print_json(session->out, object_json(&list->list[i]));
    }
    table_free(table);
}

static int list_objects(struct session *session, const struct args *args) {
    struct objects objects;
    struct object_list list = {NULL, 0, 0};
    struct buf error = BUF_INIT;
    uint64_t now_ms;
    (void)args;
    if (!session_objects(session, &objects))
        return EXIT_FAILED;
    bool ok =
        view_now(session->store, &now_ms, &error) && object_list_read(&objects, &list, &error);
    if (ok)
        print_list(session, &list, now_ms);
    else
        session_error(session, "%s", error.data);
    object_list_free(&list);
    buf_free(&error);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

const struct verb verb_list_objects = {
    .name = "listObjects",
    .operands = "",
    .summary = "the objects in Redis, and when they go",
    .about = "By name, with size, when each was written and when it expires. Looks through all "
             "keys of that Redis. With --json, one object a line.",
    .group = GROUP_OBJECTS,
    .flags = VERB_ANSWERS,
    .run = list_objects,
};
