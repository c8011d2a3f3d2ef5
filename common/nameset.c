#include "common/nameset.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/buf.h"

static struct nameset_entry entry_of(const char *name, size_t len) {
    XXH128_hash_t hash = XXH3_128bits(name, len);
    if (!hash.low64 && !hash.high64)
        hash.low64 = 1;
    return (struct nameset_entry){hash.low64, hash.high64};
}

/* The place where the entry is, or the free one where it belongs. */
static struct nameset_entry *place_of(const struct nameset *set, struct nameset_entry entry) {
    size_t at = entry.low % set->size;
    for (;; at = at + 1 == set->size ? 0 : at + 1) {
        struct nameset_entry *place = &set->table[at];
        if ((!place->low && !place->high) || (place->low == entry.low && place->high == entry.high))
            return place;
    }
}

static void nameset_grow(struct nameset *set) {
    size_t size = set->size ? set->size + set->size / 2 : 64;
    struct nameset larger = {xcalloc(size, sizeof *larger.table), size, set->count};
    for (size_t i = 0; i < set->size; i++)
        if (set->table[i].low || set->table[i].high)
            *place_of(&larger, set->table[i]) = set->table[i];
    free(set->table);
    *set = larger;
}

bool nameset_add(struct nameset *set, const char *name, size_t len) {
    if (set->count >= set->size / 8 * 7)
        nameset_grow(set);
    struct nameset_entry entry = entry_of(name, len);
    struct nameset_entry *place = place_of(set, entry);
    if (place->low || place->high)
        return false;
    *place = entry;
    set->count++;
    return true;
}

void nameset_add_path(struct nameset *set, const char *name, size_t len) {
    for (size_t i = 1; i < len; i++)
        if (name[i] == '/')
            nameset_add(set, name, i);
    nameset_add(set, name, len);
}

bool nameset_has(const struct nameset *set, const char *name, size_t len) {
    if (!set->count)
        return false;
    const struct nameset_entry *place = place_of(set, entry_of(name, len));
    return place->low || place->high;
}

void nameset_free(struct nameset *set) {
    free(set->table);
    *set = (struct nameset)NAMESET_INIT;
}
