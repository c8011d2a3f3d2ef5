/* The data functions of kernel.h: kernels/data with the try's own messages. */
#include <stdlib.h>
#include <string.h>

#include "common/units.h"
#include "kernels/data/npy.h"
#include "kernels/host/kernel_run.h"
#include "kernels/host/try.h"
#include "kernels/host/watch.h"

#define EXPORT __attribute__((visibility("default")))

bool (*try_find_redis)(struct buf *error);

static bool is_cancelled(void *arg) {
    (void)arg;
    return watch_cancelled() != 0;
}

/* Whether a parameter may name an object, as cuda's args= does: only then is it asked by hand where
 * Redis is. */
static bool names_object(const struct params *params) {
    for (size_t i = 0; i < params->rows; i++)
        if (strstr(params->values[i].text, "redis:"))
            return true;
    return false;
}

static struct data_settings settings(void) {
    const char *queue = getenv("DISTCOMP_QUEUE"), *most = getenv("DISTCOMP_OBJECT_MAX"),
               *ttl = getenv("DISTCOMP_OBJECT_TTL"), *expected;
    struct data_settings s = {.redis = getenv("DISTCOMP_REDIS"),
                              .queue = queue && *queue ? queue : "default",
                              .cancelled = is_cancelled};
    uint64_t ttl_ms = 0;
    if (most)
        units_parse_bytes(most, strlen(most), 1, &s.object_max, &expected);
    if (ttl)
        units_parse_ms(ttl, strlen(ttl), &ttl_ms, &expected);
    s.object_ttl_s = (ttl_ms + 999) / 1000;
    return s;
}

/* A try that reads and writes nothing has none. NULL: nobody knows where Redis is. */
static struct data *data_of(struct kernel_run *run, struct buf *error) {
    if (!run->data) {
        if (try_find_redis && names_object(&run->plugin->params) && !try_find_redis(error))
            return NULL;
        struct data_settings s = settings();
        run->data = data_new(&s);
    }
    return run->data;
}

static bool answer(struct kernel_run *run, bool done, struct buf *error) {
    if (!done)
        kernel_fail(run, "%s", error->data);
    buf_free(error);
    return done;
}

EXPORT bool kernel_stat(struct kernel_run *run, const char *name, struct kernel_array *array) {
    struct buf error = BUF_INIT;
    struct data *store = data_of(run, &error);
    return answer(run, store && data_stat(store, name, array, &error), &error);
}

EXPORT bool kernel_read(struct kernel_run *run, const char *name, struct kernel_array *array) {
    struct buf error = BUF_INIT;
    struct data *store = data_of(run, &error);
    return answer(run, store && data_read(store, name, array, &error), &error);
}

EXPORT bool kernel_read_bytes(struct kernel_run *run, const char *name, const char **data,
                              size_t *len) {
    struct buf error = BUF_INIT;
    struct data *store = data_of(run, &error);
    return answer(run, store && data_read_bytes(store, name, data, len, &error), &error);
}

EXPORT bool kernel_write(struct kernel_run *run, const char *name, struct kernel_array *array) {
    struct buf error = BUF_INIT;
    struct data *store = data_of(run, &error);
    return answer(run, store && data_write(store, name, array, &error), &error);
}

EXPORT bool kernel_write_bytes(struct kernel_run *run, const char *name, const void *data,
                               size_t len) {
    struct buf error = BUF_INIT;
    struct data *store = data_of(run, &error);
    return answer(run, store && data_write_bytes(store, name, data, len, &error), &error);
}

EXPORT bool kernel_store(struct kernel_run *run, void *to, const void *from, size_t len) {
    struct buf error = BUF_INIT;
    struct data *store = data_of(run, &error);
    return answer(run, store && data_store(store, to, from, len, &error), &error);
}

EXPORT bool kernel_store_pays(struct kernel_run *run, const void *to) {
    return run->data && data_store_pays(run->data, to);
}

EXPORT void kernel_release(struct kernel_run *run, const void *bytes, size_t len) {
    if (run->data)
        data_release(run->data, bytes, len);
}

EXPORT size_t kernel_dtype_bytes(enum kernel_dtype dtype) {
    return npy_dtype_bytes(dtype);
}

EXPORT const char *kernel_dtype_name(enum kernel_dtype dtype) {
    return npy_dtype_name(dtype);
}

EXPORT size_t kernel_elements(const struct kernel_array *array) {
    return npy_elements(array);
}

bool run_commit(struct kernel_run *run) {
    struct buf error = BUF_INIT;
    return !run->data || answer(run, data_commit(run->data, &error), &error);
}

void run_drop_data(struct kernel_run *run) {
    if (run->data)
        data_free(run->data);
    run->data = NULL;
}
