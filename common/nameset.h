/*
 * nameset.h - a set of the names (or ids) seen in a load, in 16 bytes each.
 *
 * DESIGN
 * Only the 128-bit XXH3 hash of a name is kept, in a table with linear probing. Two different names
 * are taken for one with probability about n^2 / 2^129: for 10 million names 1.5e-25. (XXH3 is not
 * cryptographic: someone who wants his own task names to collide may achieve it, and harms only his
 * own load.) The table is at most 7/8 full and grows by half, so that it has 16 to 28 bytes a name.
 */
#ifndef DISTCOMP_NAMESET_H
#define DISTCOMP_NAMESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nameset_entry {
    uint64_t low, high; /* both 0: a free place */
};
struct nameset {
    struct nameset_entry *table;
    size_t size; /* places in the table */
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
