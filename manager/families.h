/*
 * families.h - which tasks ask for more memory than they take, by families (common/family.h). For
 * showFamily and checkTask.
 */
#ifndef DISTCOMP_MANAGER_FAMILIES_H
#define DISTCOMP_MANAGER_FAMILIES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/store.h"
#include "manager/command.h"

struct family_view {
    char *key; /* owned */
    struct peaks peaks;
    uint64_t request_bytes; /* 0: none was written */
    uint64_t seen_ms;
};

struct families {
    struct family_view *list; /* owned */
    size_t count, cap;
};

/* Adds one; for store_walk_families. */
void families_add(struct families *families, const struct store_family *family);
void families_free(struct families *families);
/* Those whose tasks left most memory unused first, then by key. */
void families_sort(struct families *families);

/* Memory that was asked for and not used, of the tries that the sketch holds; KiB. */
uint64_t family_wasted_kib(const struct family_view *family);
/* Whether its request is larger than needed by a wide margin, and enough tasks were seen to say so.
 */
bool family_asks_too_much(const struct family_view *family);
/* Appends "shell lru: asks for 8.0 GiB, 95 of 100 took 1.1 GiB or less". */
void family_add_hint(struct buf *out, const struct family_view *family);
/* A new reference. */
json_t *family_json(const struct family_view *family);

/* The families whose requests are too large, the three worst: a line each on stderr; as JSON, a new
 * reference or NULL. Of those that were counted last, since the others' tasks are over. */
bool families_note_greedy(const struct session *session, struct store *store, struct buf *error);
json_t *families_greedy_json(struct store *store, struct buf *error);

#endif
