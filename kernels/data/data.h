/*
 * data.h - what a kernel reads and writes, by name (kernel.h, "data"): local files, objects in
 * Redis, URLs. One struct data a try.
 *
 * Inputs live until data_free. Outputs are made in private (an unnamed or hidden file, memory), and
 * become visible by data_commit, all or none but for what two systems cannot promise together:
 * every output is complete and stored before the first gets its name. data_free without data_commit
 * leaves nothing behind.
 *
 * Functions return false with one line in error: what, which name, why, what to do.
 */
#ifndef DISTCOMP_KERNEL_DATA_H
#define DISTCOMP_KERNEL_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "kernels/kernel.h"

struct data_settings {
    const char *redis;            /* URL of the queue's Redis; NULL: `redis:` names are refused */
    const char *queue;            /* its name */
    uint64_t object_max;          /* bytes of an object; 0: 512 MiB */
    uint64_t object_ttl_s;        /* 0: 7 days */
    bool (*cancelled)(void *arg); /* asked in long transfers; NULL: never */
    void *arg;
};

struct data;
struct data *data_new(const struct data_settings *with); /* strings borrowed */
bool data_stat(struct data *data, const char *name, struct kernel_array *array, struct buf *error);
bool data_read(struct data *data, const char *name, struct kernel_array *array, struct buf *error);
bool data_read_bytes(struct data *data, const char *name, const char **bytes, size_t *len,
                     struct buf *error);
bool data_write(struct data *data, const char *name, struct kernel_array *array, struct buf *error);
bool data_write_bytes(struct data *data, const char *name, const void *bytes, size_t len,
                      struct buf *error);
/* Bytes to a place within an output of data_write. */
bool data_store(struct data *data, void *to, const void *from, size_t len, struct buf *error);
/* Whether that is better than writing to it: it is a disk's file that is mapped. */
bool data_store_pays(struct data *data, const void *to);
void data_release(struct data *data, const void *bytes, size_t len);
bool data_commit(struct data *data, struct buf *error);
void data_free(struct data *data);

#endif
