/*
 * nameset.h - a set of the names (or ids) seen in a load, in 16 bytes each.
 *
 * DESIGN
 * Only the 128-bit XXH3 hash of a name is kept. Two different names are taken for one with
 * probability about n^2 / 2^129: for 10 million names 1.5e-25. (XXH3 is not cryptographic: someone
 * who wants his own task names to collide may achieve it, and harms only his own load.)
 *
 * The table is open, with linear probing, and sorted: a hash belongs at its share of the range of
 * all hashes, and those that crowd one another stand in order. So it grows in place: all entries
 * move to the end of the larger table, then each, from the first on, to where it belongs, which is
 * never behind where it lies. It is a mapping of its own that mremap moves without a copy; so it
 * grows by an eighth, is never there twice, and takes 18 to 21 bytes a name (a page at least).
 */
#ifndef DISTCOMP_NAMESET_H
#define DISTCOMP_NAMESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nameset_entry {
    uint64_t high, low; /* both 0: a free place */
};
struct nameset {
    struct nameset_entry *table; /* mapped */
    size_t places;               /* in the table */
    size_t count;
};
#define NAMESET_INIT                                                                               \
    { NULL, 0, 0 }

/* Adds a name; true when it was not there before. */
bool nameset_add(struct nameset *set, const char *name, size_t len);
/* Adds a name and those it belongs to: a/b/c adds a, a/b and a/b/c. */
void nameset_add_path(struct nameset *set, const char *name, size_t len);
bool nameset_has(const struct nameset *set, const char *name, size_t len);
void nameset_free(struct nameset *set); /* the set is usable again, empty */

#endif
