/*
 * cudadev.h - one card: its context, kept from task to task, its memory, its errors.
 *
 * The context is the card's primary one, which the plug-ins of a host share. cudadev_open looks
 * whether what it kept still answers, and makes it anew once when it does not.
 *
 * Errors. Most concern one call, and the context stays good. After some (an illegal address, an
 * illegal instruction, ...) CUDA's reference says that any further work fails in the same way until
 * the process has ended; those, and a cancellation while the card works, set `lost`, and nothing of
 * the card is touched any more. Whoever sees `lost` after a failure reports it and ends the process
 * (cudadev_end_if_lost; a cancelled host ends by itself): the next task's host makes a new context.
 * That costs no further try: this one has failed already.
 */
#ifndef DISTCOMP_KERNEL_CUDADEV_H
#define DISTCOMP_KERNEL_CUDADEV_H

#include "kernels/cuda/cudalib.h"

struct cudadev {
    struct cudalib lib;
    cu_device device;
    int ordinal; /* among the cards that CUDA_VISIBLE_DEVICES shows */
    char name[128];
    int capability; /* 80 for 8.0 */
    int max_shared; /* bytes of shared memory that a block may have, with the kernel's consent */
    cu_context context; /* NULL: none */
    unsigned
        generation; /* grows with each new context: modules and handles of older ones are gone */
    bool lost;
    uint64_t allocated; /* bytes now, by cudadev_alloc */
};

/* Zeroed or open. Makes the context of that card current in this thread. False, with why. */
bool cudadev_open(struct cudadev *dev, int ordinal, struct cuda_why *why);
/* Releases the context; safe when nothing is open, and does nothing to a lost one. */
void cudadev_close(struct cudadev *dev);

/* True for CU_SUCCESS. Else why says "what: ERROR_NAME: text", and lost is set if the error is one
 * that the process does not survive. */
bool cudadev_ok(struct cudadev *dev, int code, struct cuda_why *why, const char *what);

/* Card memory now. */
bool cudadev_memory(struct cudadev *dev, size_t *free_bytes, size_t *total_bytes,
                    struct cuda_why *why);
/* Whether that much is free; says how much is missing. Others may take it before it is asked for.
 */
bool cudadev_has_room(struct cudadev *dev, uint64_t bytes, struct cuda_why *why);
/* 0 bytes give memory 0. `what` names the array for the message. */
bool cudadev_alloc(struct cudadev *dev, size_t bytes, cu_ptr *memory, const char *what,
                   struct cuda_why *why);
void cudadev_free(struct cudadev *dev, cu_ptr memory, size_t bytes);

/* Work on the card between two marks of time. Zeroed: none; cudadev_clock_free in any case. */
struct cudadev_clock {
    cu_event from, to;
};
bool cudadev_clock_start(struct cudadev *dev, struct cudadev_clock *clock, struct cuda_why *why);
bool cudadev_clock_stop(struct cudadev *dev, struct cudadev_clock *clock, struct cuda_why *why);
/* Waits until what was before clock_stop is done, without keeping a core busy, and gives the time.
 * An error of that work comes out here. cancelled is asked meanwhile (NULL: never); true from it
 * sets lost, for the card cannot be told to stop. */
bool cudadev_clock_wait(struct cudadev *dev, struct cudadev_clock *clock,
                        bool (*cancelled)(const void *arg), const void *arg, double *seconds,
                        struct cuda_why *why);
void cudadev_clock_free(struct cudadev *dev, struct cudadev_clock *clock);

/* Ends the process with code 1 if the card's context is lost; its outputs so far are flushed, the
 * libraries' own ends, which may wait for the card, are not run. */
void cudadev_end_if_lost(const struct cudadev *dev);

#endif
