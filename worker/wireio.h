/*
 * wireio.h - frames in and out of the supervisor's socket, in buffers of fixed size; and the checks
 * of what the agent's bytes say. Pure but for wireio_fill and wireio_flush.
 */
#ifndef DISTCOMP_WIREIO_H
#define DISTCOMP_WIREIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/wire.h"

#define WIREIO_IN_SIZE  (WIRE_FRAME_MAX + 128u * 1024u)
#define WIREIO_OUT_SIZE (64u * 1024u)

struct wireio {
    int fd; /* non-blocking; -1: closed */
    size_t in_at, in_len, out_at, out_len;
    bool released; /* nothing above the first pages of `in` has been touched since it was given back
                    */
    uint8_t in[WIREIO_IN_SIZE] __attribute__((aligned(4096)));
    uint8_t out[WIREIO_OUT_SIZE];
};

/* Begins on a new socket with empty buffers. Does not close an old one. */
void wireio_open(struct wireio *io, int fd);

/* One recv. 1: bytes came; 0: none now; -1: end of file or error. */
int wireio_fill(struct wireio *io);
/* 1: the next frame; payload (in the buffer, not aligned) is valid until the next wireio_fill.
   0: not whole yet. -1: malformed. */
int wireio_next(struct wireio *io, struct wire_frame *frame, const uint8_t **payload);

/* Room for a frame of that payload? wireio_put needs it. */
bool wireio_room(const struct wireio *io, size_t payload);
void wireio_put(struct wireio *io, uint32_t type, const void *head, size_t head_len,
                const void *tail, size_t tail_len);
/* 1: all sent; 0: the peer is slow, ask again when writable; -1: error. */
int wireio_flush(struct wireio *io);

/* A START, checked: lengths add up, counts agree with the strings, flags are known. Agents of all
 * versions that we know send it: what is new is flagged. */
struct wire_start_view {
    struct wire_start head;
    struct wire_host host;       /* all zero when there is none */
    struct wire_confine confine; /* likewise */
    const uint8_t *cpus;         /* confine.cpus_len bytes, not aligned */
    const char *cgroup;          /* NULL, or absolute and NUL-terminated */
    const char *procs;           /* confine.procs_count strings, absolute; each ends with NUL */
    const uint8_t *note;
    const char *cwd;     /* head.cwd_len bytes, no NUL among them */
    const char *strings; /* argv, fallback, env; each ends with NUL */
};
bool wire_parse_start(const uint8_t *payload, size_t len, struct wire_start_view *view);

/* What follows "cannot"; of a number that is not known, too. */
const char *wire_step_text(int32_t step);

#endif
