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

/* A card in stats: [UUID, used, total, utilisation, tasks, thousandths promised]. */
static void count_gpus(struct worker_view *view) {
    const json_t *cards = json_object_get(view->stats, "gpus");
    view->gpus = json_array_size(cards);
    for (size_t i = 0; i < view->gpus; i++)
        view->gpu_mpromised +=
            (uint64_t)json_integer_value(json_array_get(json_array_get(cards, i), 5));
    if (!cards) /* before the first report */
        view->gpus = json_array_size(json_object_get(view->info, "gpus"));
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
        .mem_used = number_of(stats, "mem_used"),
        .mem_most_used = number_of(stats, "mem_most_used"),
        .held = worker->held,
        .finished = worker->finished,
        .failed = worker->failed,
        .live = worker->lease_end_ms > 0 && worker->state.len == 0,
        .idle = worker->idle,
        .info = info,
        .stats = stats,
    };
    count_gpus(view);
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

static const char *card_name(const struct worker_view *view, const char *uuid) {
    const json_t *cards = json_object_get(view->info, "gpus");
    for (size_t i = 0; uuid && i < json_array_size(cards); i++) {
        const json_t *card = json_array_get(cards, i);
        if (strcmp(text_of(card, "uuid", ""), uuid) == 0)
            return text_of(card, "name", "");
    }
    return "";
}

static json_t *gpus_json(const struct worker_view *view) {
    const json_t *cards = json_object_get(view->stats, "gpus");
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(cards); i++) {
        const json_t *card = json_array_get(cards, i);
        const char *uuid = json_string_value(json_array_get(card, 0));
        json_int_t n[6];
        for (size_t k = 1; k < 6; k++)
            n[k] = json_integer_value(json_array_get(card, k));
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:f}", "uuid",
                                              uuid ? uuid : "", "name", card_name(view, uuid),
                                              "used_bytes", n[1], "memory_bytes", n[2],
                                              "utilization_percent", n[3], "tasks", n[4],
                                              "promised", (double)n[5] / 1000));
    }
    return list;
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
    json_object_set_new(object, "memory_used_bytes", json_integer((json_int_t)view->mem_used));
    json_object_set_new(object, "memory_peak_bytes", json_integer((json_int_t)view->mem_most_used));
    json_object_set_new(object, "gpus", gpus_json(view));
    const json_t *kernels = json_object_get(view->info, "kernels");
    json_object_set_new(object, "kernels", kernels ? json_deep_copy(kernels) : json_array());
    json_object_set_new(object, "in_progress", json_integer((json_int_t)view->held));
    json_object_set_new(object, "finished", json_integer((json_int_t)view->finished));
    json_object_set_new(object, "failed", json_integer((json_int_t)view->failed));
    json_object_set_new(object, "info", view->info ? json_incref(view->info) : json_null());
    json_object_set_new(object, "stats", view->stats ? json_incref(view->stats) : json_null());
    return object;
}
