/*
 * output.h - what a task printed, as Redis has it: unpacked, decompressed, and what is missing.
 */
#ifndef DISTCOMP_MANAGER_OUTPUT_H
#define DISTCOMP_MANAGER_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/trylog.h"

enum { OUTPUT_STDOUT, OUTPUT_STDERR };

struct output {
    uint16_t try_number;
    struct output_stream {
        struct slice bytes; /* of packed, or of unpacked */
        struct buf unpacked;
        uint64_t whole_bytes; /* that the task wrote */
        bool cut;             /* bytes are its first and last part, with a mark in between */
    } stream[2];
};

/*
 * Borrows from `packed`, which is not empty (an empty one: it was dropped). False when it is
 * damaged. output_free in either case.
 */
bool output_read(struct output *output, struct slice packed);
void output_free(struct output *output);

/*
 * What is left of a stream after its first `seen` bytes have been shown: sets *rest, and returns
 * how many bytes between them are missing.
 */
uint64_t output_rest(const struct output_stream *stream, uint64_t seen, struct slice *rest);

#endif
