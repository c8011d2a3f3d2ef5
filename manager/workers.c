#include "manager/workers.h"

#include <stdlib.h>
#include <string.h>

#include "manager/print.h"
#include "manager/view.h"

static const char *text_of(const json_t *object, const char *key, const char *absent) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : absent;
}

static uint64_t number_of(const json_t *object, const char *key) {
    json_int_t number = json_integer_value(json_object_get(object, key));
    return number > 0 ? (uint64_t)number : 0;
}

void worker_view_init(struct worker_view *view, const struct store_worker *worker,
                      const struct store_reservations *reserved) {
    json_t *info = json_loadb(worker->info.data, worker->info.len, 0, NULL);
    json_t *stats = json_loadb(worker->stats.data, worker->stats.len, 0, NULL);
    *view = (struct worker_view){
        .name = xstrndup(worker->name.data, worker->name.len),
        .host = text_of(info, "host", "?"),
        .reason = text_of(stats, "reason", ""),
        .labels = text_of(info, "labels", ""),
        .report_ms = worker->report_ms,
        .now_ms = worker->now_ms,
        .mcpu = number_of(info, "mcpu"),
        .mcpu_promised = number_of(stats, "mcpu_promised"),
        .mem = number_of(info, "memory"),
        .mem_promised = number_of(stats, "mem_promised"),
        .mem_available = number_of(stats, "mem_available"),
        .held = worker->held,
        .finished = worker->finished,
        .failed = worker->failed,
        .live = worker->lease_end_ms > 0 && worker->state.len == 0,
        .idle = worker->idle,
        .info = info,
        .stats = stats,
    };
    view->want = view->own_want = xstrndup(worker->want.data, worker->want.len);
    /* Before the first report there are no stats: it does what it was asked to. */
    view->state = view->live ? text_of(stats, "mode", *view->want ? view->want : "run") : "lost";
    if (reserved && view->live)
        view->reserved = store_reservation_of(reserved, view->name);
}

void worker_view_free(struct worker_view *view) {
    free(view->name);
    free(view->own_want);
    json_decref(view->info);
    json_decref(view->stats);
}

json_t *worker_view_json(const struct worker_view *view) {
    json_t *object = json_object();
    uint64_t age = view->now_ms > view->report_ms ? view->now_ms - view->report_ms : 0;
    json_object_set_new(object, "name", print_json_text(view->name, strlen(view->name)));
    json_object_set_new(object, "host", json_string(view->host));
    json_object_set_new(object, "state", json_string(view->state));
    json_object_set_new(object, "want", json_string(view->want));
    json_object_set_new(object, "idle", json_boolean(view->idle));
    json_object_set_new(object, "reserved_for",
                        view->reserved ? json_string(view->reserved->id) : json_null());
    json_object_set_new(object, "last_report", view_time_json(view->report_ms));
    json_object_set_new(object, "age_ms", json_integer((json_int_t)age));
    json_object_set_new(object, "cores", json_real((double)view->mcpu / 1000));
    json_object_set_new(object, "cores_promised", json_real((double)view->mcpu_promised / 1000));
    json_object_set_new(object, "memory_bytes", json_integer((json_int_t)view->mem));
    json_object_set_new(object, "memory_promised_bytes",
                        json_integer((json_int_t)view->mem_promised));
    json_object_set_new(object, "memory_available_bytes",
                        json_integer((json_int_t)view->mem_available));
    json_object_set_new(object, "in_progress", json_integer((json_int_t)view->held));
    json_object_set_new(object, "finished", json_integer((json_int_t)view->finished));
    json_object_set_new(object, "failed", json_integer((json_int_t)view->failed));
    json_object_set_new(object, "info", view->info ? json_incref(view->info) : json_null());
    json_object_set_new(object, "stats", view->stats ? json_incref(view->stats) : json_null());
    return object;
}
