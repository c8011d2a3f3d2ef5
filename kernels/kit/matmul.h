/*
 * matmul.h - what a block of C = A B takes of memory, and how much of k can be done at a time.
 * Pure. For the kernel and for the planner, who must agree.
 *
 * Inputs are mapped files: only what is touched is in memory, but the system maps up to 64 KiB on
 * both sides around a page that is asked for, so that pieces of lines cost more than they hold.
 */
#ifndef DISTCOMP_KIT_MATMUL_H
#define DISTCOMP_KIT_MATMUL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An input as a whole. */
struct matmul_side {
    size_t rows, cols;
    bool fortran;
    bool whole; /* is no local file, and so in memory from end to end */
};

struct matmul_job {
    struct matmul_side a, b;
    size_t rows, cols; /* of the block */
    bool single;       /* f32, else f64 */
    unsigned threads;
};

/* The most memory that it takes when `panel` columns of A and rows of B are used at a time. */
uint64_t matmul_bytes(const struct matmul_job *job, size_t panel);
/*
 * The longest panel with which it stays within limit_bytes (0: no limit, so k), or 0 when there is
 * none. *bytes is what it will take, or what the shortest would.
 */
size_t matmul_panel(const struct matmul_job *job, uint64_t limit_bytes, uint64_t *bytes);

/* Blocks that are put together. */
struct assemble_job {
    uint64_t all_bytes; /* of the whole */
    size_t count;       /* blocks */
    size_t beside;      /* the most of them that have a line of the whole in common */
    /* The most bytes of blocks whose lines run across the whole's that are needed at a time. */
    uint64_t turned_bytes;
    bool files; /* blocks and the whole: then pages are given back when they are done */
};
uint64_t assemble_bytes(const struct assemble_job *job);

/* What is put together at a time: so many whole lines or, where one is too long, a part of one. */
struct assemble_cut {
    size_t lines, len; /* len: elements of a line; both at least 1 */
};
struct assemble_cut assemble_cut(size_t line_len, size_t element_bytes);

/* Whether a name of data is a local file, and so mapped. */
bool matmul_is_file(const char *name);

#endif
