/*
 * objects.h - pieces of data in a queue's own Redis, for clusters without a shared file system:
 * what a native task reads and writes as `redis:NAME`, and the manager by putObject and getObject.
 * docs/protocol.md draws the keys.
 *
 * An object is written in chunks under a key of its own that expires soon, and then renamed, so it
 * is whole or not there. A reader checks with every piece that it is still the same one, and starts
 * again when it was replaced meanwhile. Both survive lost connections: 5 tries, 0.2 s apart, then
 * 0.4 s and so on.
 *
 * Functions return false with one line in error. One thread.
 */
#ifndef DISTCOMP_OBJECTS_H
#define DISTCOMP_OBJECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/link.h"

#define OBJECT_CHUNK_BYTES (1u << 20)
#define OBJECT_NAME_MAX    200u
#define OBJECT_MAX_BYTES   (UINT64_C(512) << 20)       /* unless it is configured */
#define OBJECT_TTL_MS      (INT64_C(7) * 86400 * 1000) /* unless it is configured */
#define OBJECT_PART_MS     600000 /* a piece that does not follow for so long ends the writing */

/* Letters, digits and _ . - / : @ + = %, OBJECT_NAME_MAX bytes at most, at least one. */
bool object_name_valid(const char *name);
#define OBJECT_NAME_FORM "1 to 200 letters, digits and any of _ . - / : @ + = %"

struct objects {
    struct link *link;            /* borrowed; reopened when it is lost */
    const char *queue_key;        /* borrowed: distcomp:{NAME} */
    uint64_t max_bytes;           /* of an object */
    int64_t ttl_ms;               /* an object that was not written for so long goes */
    bool (*cancelled)(void *arg); /* asked between tries; may be NULL */
    void *arg;
};

/* --- writing ------------------------------------------------------------------------------------
 */

/* An object that is being written. */
struct object_part {
    char *name, *key; /* owned; key: where its pieces are until they are complete */
    char version[17]; /* 16 hex digits, drawn for it */
    struct buf rest;  /* less than a chunk */
    uint64_t bytes;   /* that came, rest included */
    uint64_t chunks;  /* that Redis has */
    bool complete, published;
};

bool object_begin(struct objects *objects, const char *name, struct object_part *part,
                  struct buf *error);
/* More than max_bytes in all are refused. */
bool object_add(struct objects *objects, struct object_part *part, const void *bytes, size_t len,
                struct buf *error);
/* All bytes were added: Redis has the whole of it. */
bool object_complete(struct objects *objects, struct object_part *part, struct buf *error);
/* Gives all of them their names in one transaction: all or none, unless the error says that it is
 * not known. */
bool objects_publish(struct objects *objects, struct object_part *parts, size_t count,
                     struct buf *error);
/* Frees it, and removes what Redis has of it; after objects_publish there is nothing. */
void object_end(struct objects *objects, struct object_part *part);

/* --- reading ------------------------------------------------------------------------------------
 */

/* Where the bytes go. start is called first, and again when all that came before is void. */
struct object_sink {
    bool (*start)(void *arg, uint64_t bytes, struct buf *error);
    bool (*add)(void *arg, const void *bytes, size_t len, struct buf *error);
    void *arg;
};
/* The first `most` bytes (UINT64_MAX: all; in whole chunks). *bytes: the size of the whole. */
bool object_read(struct objects *objects, const char *name, uint64_t most,
                 const struct object_sink *sink, uint64_t *bytes, struct buf *error);

struct object_info {
    char *name; /* owned by the list */
    uint64_t bytes;
    uint64_t written_ms; /* Redis' Unix time */
    int64_t ttl_ms;      /* that is left; -1: for ever */
};
struct object_list {
    struct object_info *list; /* by name */
    size_t count, cap;
};
/* Looks at all keys of that Redis. object_list_free in any case. */
bool object_list_read(struct objects *objects, struct object_list *list, struct buf *error);
void object_list_free(struct object_list *list);

/* *there: whether it was. */
bool object_remove(struct objects *objects, const char *name, bool *there, struct buf *error);

#endif
