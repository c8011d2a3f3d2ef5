#include "common/nameset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

#define FIRST_PLACES 512
/* Places past the range of hashes, for the crowd at its end: there is no way round to the start. */
#define TAIL 128

static struct nameset_entry entry_of(const char *name, size_t len) {
    XXH128_hash_t hash = XXH3_128bits(name, len);
    if (!hash.low64 && !hash.high64)
        hash.low64 = 1;
    return (struct nameset_entry){hash.high64, hash.low64};
}

static bool is_free(const struct nameset_entry *place) {
    return !place->high && !place->low;
}

static bool is_before(const struct nameset_entry *a, const struct nameset_entry *b) {
    return a->high != b->high ? a->high < b->high : a->low < b->low;
}

/* Where an entry belongs in a table of so many places. */
static size_t home_of(const struct nameset_entry *entry, size_t places) {
    __extension__ typedef unsigned __int128 wide;
    return (size_t)(((wide)entry->high * (places - TAIL)) >> 64);
}

/* Where the entry is, or where it would have to be put in; set->places when that is past the end.
 */
static size_t find(const struct nameset *set, const struct nameset_entry *entry) {
    size_t at = home_of(entry, set->places);
    while (at < set->places && !is_free(&set->table[at]) && is_before(&set->table[at], entry))
        at++;
    return at;
}

static bool is_at(const struct nameset *set, size_t at, const struct nameset_entry *entry) {
    return at < set->places && set->table[at].high == entry->high &&
           set->table[at].low == entry->low;
}

/* --- growing ------------------------------------------------------------------------------------
 */

/* Makes room; the places that are new are free. */
static void extend(struct nameset *set, size_t places) {
    size_t bytes = places * sizeof *set->table;
    void *table =
        set->table ? mremap(set->table, set->places * sizeof *set->table, bytes, MREMAP_MAYMOVE)
                   : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED) {
        fprintf(stderr, "distcomp: out of memory (%zu bytes asked for)\n", bytes);
        abort();
    }
    set->table = table;
    set->places = places;
}

/* Moves all entries, in order, to the end; returns the first one's place. */
static size_t push_to_end(struct nameset *set, size_t old_places) {
    size_t to = set->places;
    for (size_t from = old_places; from-- > 0;) {
        struct nameset_entry entry = set->table[from];
        set->table[from] = (struct nameset_entry){0, 0};
        if (!is_free(&entry))
            set->table[--to] = entry;
    }
    return to;
}

/* Whether the entries from place `from` on, in order, find room in the table. */
static bool is_roomy(const struct nameset *set, size_t from) {
    size_t next = 0;
    for (; from < set->places; from++) {
        size_t home = home_of(&set->table[from], set->places);
        next = (home > next ? home : next) + 1;
    }
    return next <= set->places;
}

static void spread(struct nameset *set, size_t from) {
    size_t next = 0;
    for (; from < set->places; from++) {
        struct nameset_entry entry = set->table[from];
        size_t home = home_of(&entry, set->places);
        for (; next < home; next++)
            set->table[next] = (struct nameset_entry){0, 0};
        set->table[next++] = entry;
    }
    memset(set->table + next, 0, (set->places - next) * sizeof *set->table);
}

static void nameset_grow(struct nameset *set) {
    if (!set->places) {
        extend(set, FIRST_PLACES);
        return;
    }
    size_t from;
    do {
        size_t old_places = set->places;
        extend(set, old_places + old_places / 8);
        from = push_to_end(set, old_places);
    } while (!is_roomy(set, from));
    spread(set, from);
}

/* --- use ----------------------------------------------------------------------------------------
 */

bool nameset_add(struct nameset *set, const char *name, size_t len) {
    if (!set->places || set->count >= (set->places - TAIL) / 8 * 7)
        nameset_grow(set);
    struct nameset_entry entry = entry_of(name, len);
    size_t at = find(set, &entry);
    if (is_at(set, at, &entry))
        return false;
    while (!is_free(&set->table[set->places - 1])) { /* the crowd at the end fills the tail */
        nameset_grow(set);
        at = find(set, &entry);
    }
    size_t end = at;
    while (!is_free(&set->table[end]))
        end++;
    memmove(&set->table[at + 1], &set->table[at], (end - at) * sizeof *set->table);
    set->table[at] = entry;
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
    struct nameset_entry entry = entry_of(name, len);
    return is_at(set, find(set, &entry), &entry);
}

void nameset_free(struct nameset *set) {
    if (set->table)
        munmap(set->table, set->places * sizeof *set->table);
    *set = (struct nameset)NAMESET_INIT;
}
