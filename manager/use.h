/*
 * use.h - what a running task uses, as its worker said last: "use" of its stats, a row
 * [ID, memory, peak, CPU microseconds, bytes read, bytes written] for each of its largest tasks.
 */
#ifndef DISTCOMP_MANAGER_USE_H
#define DISTCOMP_MANAGER_USE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/store.h"

struct use {
    uint64_t mem_bytes, peak_bytes; /* now; the most so far */
    uint64_t cpu_us;
    uint64_t read_bytes, write_bytes; /* from and to storage */
};

/*
 * What the workers say of these running tasks: uses[i] for ids[i] on workers[i], and known[i].
 * Names may come many times; each worker is asked once.
 */
bool use_find(struct store *store, const char *const *ids, const char *const *workers, size_t count,
              struct use *uses, bool *known, struct buf *error);
/* Of one task, in a worker's stats; false when it is not there. */
bool use_read(const json_t *stats, const char *id, struct use *use);

/* A new reference: {"memory_bytes", "peak_bytes", "cpu_s", "read_bytes", "write_bytes"}. */
json_t *use_json(const struct use *use);
/* Appends "1.2 GiB of memory, 1.5 GiB at most; 3m12s of CPU; read 1.0 GiB, wrote 3.0 MiB". */
void use_add(struct buf *out, const struct use *use);

#endif
