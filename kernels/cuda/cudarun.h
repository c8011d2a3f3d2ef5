/*
 * cudarun.h - one launch of a compiled program on a card.
 *
 *     room for all arrays? -> memory for each -> what is read is copied, the rest zeroed
 *         -> the program loaded (kept with the context) -> launch -> wait, until an error or the
 * end
 *         -> what is written is copied back -> all memory given back, whatever happened
 */
#ifndef DISTCOMP_KERNEL_CUDARUN_H
#define DISTCOMP_KERNEL_CUDARUN_H

#include "kernels/cuda/cudaargs.h"
#include "kernels/cuda/cudadev.h"
#include "kernels/cuda/nvrtc.h"

struct cudarun_times {
    double to_card_s, kernel_s, from_card_s;
    uint64_t card_bytes; /* of all arrays */
};

/*
 * from and to of each array argument are set (IN, INOUT: from; OUT, INOUT: to; both of `bytes`),
 * and the arguments fit (cudaargs_fit). False, with why; see cudadev.h for dev->lost. refused, if
 * not NULL, says that no retry can help: the card does not allow such a block or so much shared
 * memory.
 */
bool cudarun(struct cudadev *dev, struct nvrtc_program *program, const struct cudadims *dims,
             struct cudaargs *args, bool (*cancelled)(const void *arg), const void *arg,
             struct cudarun_times *times, bool *refused, struct cuda_why *why);

/* For nvrtc_kept.forget; arg is the struct cudadev. */
void cudarun_unload(void *arg, struct nvrtc_program *program);

#endif
