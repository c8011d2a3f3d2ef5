#include "manager/families.h"

#include <stdlib.h>
#include <string.h>

#include "common/units.h"
#include "manager/print.h"
#include "manager/view.h"

#define WASTED_MILLI  500u /* of what was asked for; above that it is worth a word */
#define PEAKS_ENOUGH  20u
#define MATTERS_BYTES (UINT64_C(64) << 20) /* less a task holds up nobody */

#define LOOKED_AT   1000u /* families that checkTask reads */
#define GREEDY_MOST 3u    /* of them named */

void families_add(struct families *families, const struct store_family *family) {
    if (families->count == families->cap) {
        families->cap = families->cap ? 2 * families->cap : 64;
        families->list = xrealloc(families->list, families->cap * sizeof *families->list);
    }
    families->list[families->count++] =
        (struct family_view){.key = xstrndup(family->key.data, family->key.len),
                             .peaks = family->peaks,
                             .request_bytes = family->request_bytes,
                             .seen_ms = family->seen_ms};
}

void families_free(struct families *families) {
    for (size_t i = 0; i < families->count; i++)
        free(families->list[i].key);
    free(families->list);
    *families = (struct families){NULL, 0, 0};
}

uint64_t family_wasted_kib(const struct family_view *family) {
    const struct peaks *peaks = &family->peaks;
    return peaks->asked_kib > peaks->used_kib ? peaks->asked_kib - peaks->used_kib : 0;
}

static int compare(const void *left, const void *right) {
    const struct family_view *a = left, *b = right;
    uint64_t wasted_a = family_wasted_kib(a), wasted_b = family_wasted_kib(b);
    if (wasted_a != wasted_b)
        return wasted_a < wasted_b ? 1 : -1;
    return strcmp(a->key, b->key);
}

void families_sort(struct families *families) {
    if (families->count)
        qsort(families->list, families->count, sizeof *families->list, compare);
}

bool family_asks_too_much(const struct family_view *family) {
    const struct peaks *peaks = &family->peaks;
    /* The last request may be a better one already. */
    return peaks->count >= PEAKS_ENOUGH && peaks_wasted_milli(peaks) > WASTED_MILLI &&
           family->request_bytes / 2 > peaks_need(peaks) &&
           family->request_bytes - peaks_need(peaks) >= MATTERS_BYTES;
}

void family_add_hint(struct buf *out, const struct family_view *family) {
    print_safe(out, family->key, strlen(family->key), 0);
    buf_adds(out, ": asks for ");
    units_add_bytes(out, family->request_bytes);
    buf_addf(out, ", %u of 100 took ", (unsigned)PEAKS_NEED);
    units_add_bytes(out, peaks_need(&family->peaks));
    buf_adds(out, " or less");
}

static json_t *bytes_json(uint64_t bytes) {
    return bytes ? json_integer((json_int_t)bytes) : json_null();
}

json_t *family_json(const struct family_view *family) {
    const struct peaks *peaks = &family->peaks;
    json_t *object = json_object();
    json_object_set_new(object, "family", print_json_text(family->key, strlen(family->key)));
    json_object_set_new(object, "count", json_integer((json_int_t)peaks->count));
    json_object_set_new(object, "request_bytes", bytes_json(family->request_bytes));
    json_object_set_new(object, "median_bytes", bytes_json(peaks_hold(peaks)));
    json_object_set_new(object, "p95_bytes", bytes_json(peaks_need(peaks)));
    json_object_set_new(object, "max_bytes", bytes_json(peaks->max_bytes));
    json_object_set_new(object, "known", json_boolean(peaks_known(peaks)));
    json_object_set_new(object, "wasted",
                        peaks->asked_kib ? json_real((double)peaks_wasted_milli(peaks) / 1000)
                                         : json_null());
    json_object_set_new(object, "wasted_bytes",
                        json_integer((json_int_t)family_wasted_kib(family) * 1024));
    json_object_set_new(object, "asks_too_much", json_boolean(family_asks_too_much(family)));
    json_object_set_new(object, "seen", view_time_json(family->seen_ms));
    return object;
}

/* --- those that ask for too much -------------------------------------------------------------- */

static bool gather_greedy(const struct store_family *family, void *arg) {
    struct families *greedy = arg;
    families_add(greedy, family);
    if (!family_asks_too_much(&greedy->list[greedy->count - 1]))
        free(greedy->list[--greedy->count].key);
    return true;
}

/* The worst GREEDY_MOST of them. */
static bool find_greedy(struct store *store, struct families *greedy, struct buf *error) {
    *greedy = (struct families){NULL, 0, 0};
    if (!store_walk_families(store, LOOKED_AT, gather_greedy, greedy, error)) {
        families_free(greedy);
        return false;
    }
    families_sort(greedy);
    while (greedy->count > GREEDY_MOST)
        free(greedy->list[--greedy->count].key);
    return true;
}

bool families_note_greedy(const struct session *session, struct store *store, struct buf *error) {
    struct families greedy;
    if (session->quiet)
        return true;
    if (!find_greedy(store, &greedy, error))
        return false;
    for (size_t i = 0; i < greedy.count; i++) {
        struct buf hint = BUF_INIT;
        family_add_hint(&hint, &greedy.list[i]);
        session_note(session, "%s", hint.data);
        buf_free(&hint);
    }
    families_free(&greedy);
    return true;
}

json_t *families_greedy_json(struct store *store, struct buf *error) {
    struct families greedy;
    if (!find_greedy(store, &greedy, error))
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < greedy.count; i++)
        json_array_append_new(list, family_json(&greedy.list[i]));
    families_free(&greedy);
    return list;
}
