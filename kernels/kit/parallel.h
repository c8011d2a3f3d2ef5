/*
 * parallel.h - a loop over several threads that live only as long as it.
 */
#ifndef DISTCOMP_KIT_PARALLEL_H
#define DISTCOMP_KIT_PARALLEL_H

#include <stddef.h>

/* Indexes begin to end - 1. `part` is the number of the piece, from 0. */
typedef void parallel_fn(void *arg, unsigned part, size_t begin, size_t end);

#define PARALLEL_MAX 1024u

/*
 * Calls fn for pieces of 0 to count - 1, at most `threads` of them (at most PARALLEL_MAX), each of
 * at least `least` indexes but the last; piece p is the same for the same arguments, and small ones
 * are done by the caller. Where no thread can be made, the caller does the piece. Returns how many
 * pieces there were.
 */
unsigned parallel_for(unsigned threads, size_t count, size_t least, parallel_fn *fn, void *arg);

#endif
