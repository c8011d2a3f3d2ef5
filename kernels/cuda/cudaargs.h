/*
 * cudaargs.h - the arguments of a CUDA kernel as a task says them: words in the order of the
 * kernel's parameters.
 *
 *     in:NAME               an array that is read: the kernel gets its address on the card
 *     out:NAME:TYPE:SHAPE   one that is written, zeros before; SHAPE is 1024 or 1024x768 or ...
 *     inout:NAME            one that is read and written back under the same name
 *     inout:NAME->NAME      ... under another
 *     tmp:TYPE:SHAPE        memory of the card, zeros before, for the kernel alone
 *     TYPE:VALUE            a number: i8 u8 i16 u16 i32 u32 i64 u64 f32 f64; 0x1f is hexadecimal
 *
 * TYPE of an array is f32, f64, i32 or i64; of tmp any of the numbers'. An empty array's address is
 * NULL. Names are those of kernel.h. Pure.
 */
#ifndef DISTCOMP_KERNEL_CUDAARGS_H
#define DISTCOMP_KERNEL_CUDAARGS_H

#include "kernels/cuda/cudalib.h"
#include "kernels/cuda/ptx.h"
#include "kernels/kernel.h"

enum cudaarg_kind { CUDAARG_IN, CUDAARG_OUT, CUDAARG_INOUT, CUDAARG_TMP, CUDAARG_VALUE };

struct cudaarg {
    enum cudaarg_kind kind;
    const char *word;          /* as it was written */
    const char *read;          /* IN, INOUT: the name; else NULL */
    const char *write;         /* OUT, INOUT */
    struct kernel_array array; /* OUT: from the word; IN, INOUT: zeroed, the caller's to fill */
    uint64_t bytes;            /* OUT, TMP: of the array; IN, INOUT: the caller's to fill */
    const char *type;          /* VALUE, TMP: "f32" */
    size_t value_bytes;        /* VALUE */
    bool is_float;             /* VALUE */
    unsigned char value[8];    /* VALUE: in the machine's byte order */
    /* of cudarun.c and its caller */
    const void *from;
    void *to;
    cu_ptr card;
};

#define CUDAARGS_MAX PTX_PARAMS_MAX

struct cudaargs {
    struct cudaarg arg[CUDAARGS_MAX];
    size_t count;
    char *text; /* what the words and names point into */
};

/* False: which word is wrong, and how it has to look. cudaargs_free in any case. */
bool cudaargs_parse(const char *text, struct cudaargs *args, struct cuda_why *why);
void cudaargs_free(struct cudaargs *args);

/* Whether they are what the kernel takes: as many, arrays where there may be addresses, numbers of
 * the same size and kind. False: which is not. */
bool cudaargs_fit(const struct cudaargs *args, const char *kernel, const struct ptx_param *params,
                  size_t count, struct cuda_why *why);

/* The launch. What CUDA allows on every card: grid to 2^31-1, 65535, 65535; block to 1024, 1024,
 * 64 and 1024 threads together. */
struct cudadims {
    unsigned grid[3], block[3], shared_bytes;
};
/* "X", "X,Y" or "X,Y,Z". False: which of the two texts is wrong, and what is allowed. */
bool cudadims_parse(const char *grid, const char *block, struct cudadims *dims,
                    struct cuda_why *why);

#endif
