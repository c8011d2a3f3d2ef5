#include "kernels/plan/workers.h"

#include <jansson.h>
#include <string.h>

#include "common/endpoint.h"
#include "common/store.h"

static uint64_t number_of(const json_t *object, const char *key) {
    json_int_t number = json_integer_value(json_object_get(object, key));
    return number > 0 ? (uint64_t)number : 0;
}

static bool count_worker(const struct store_worker *worker, void *arg) {
    struct workers *workers = arg;
    if (worker->state.len || !worker->lease_end_ms)
        return true; /* lost */
    json_t *info = json_loadb(worker->info.data, worker->info.len, 0, NULL);
    uint64_t cores = number_of(info, "mcpu") / 1000, memory = number_of(info, "memory");
    uint64_t reserve = number_of(info, "reserve");
    json_decref(info);
    if (!memory)
        return true;
    cores = cores ? cores : 1;
    memory = (memory > reserve ? memory - reserve : 0) / cores;
    workers->core_bytes =
        workers->live && workers->core_bytes < memory ? workers->core_bytes : memory;
    workers->cores += cores;
    workers->live++;
    return true;
}

bool workers_look(const struct config *config, struct workers *workers, struct buf *error) {
    struct store store;
    *workers = (struct workers){0, 0, 0};
    if (!store_open(&store, config, error))
        return false;
    bool ok = store_walk_workers(&store, count_worker, workers, error);
    store_close(&store);
    return ok;
}

bool workers_known(const struct config *config) {
    struct endpoint endpoint;
    struct buf error = BUF_INIT;
    bool known =
        endpoint_from_config(&endpoint, config, &error) && strcmp(endpoint.origin, "default") != 0;
    known = known || error.len > 0; /* said, and wrong: let it be told */
    endpoint_free(&endpoint);
    buf_free(&error);
    return known;
}
