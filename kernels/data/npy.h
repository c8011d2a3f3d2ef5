/*
 * npy.h - the header of a .npy file, versions 1 to 3 (NumPy's NEP 1), read and made. Pure.
 *
 *     93 'N' 'U' 'M' 'P' 'Y'  major minor  header_len (u16, from version 2 on u32, little-endian)
 *     {'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }   blanks   '\n'
 *     elements
 *
 * A stranger may have written it, so each length is checked against what is there, and products of
 * the shape for overflow, before anything is believed.
 */
#ifndef DISTCOMP_KERNEL_NPY_H
#define DISTCOMP_KERNEL_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "kernels/kernel.h"

#define NPY_ALIGN 64u /* elements begin at a multiple of it */
/* The longest header that is read: ours have 128 bytes; only structured types need thousands. */
#define NPY_HEADER_MAX 65535u
/* So many bytes of a file hold any header that is accepted. */
#define NPY_PREFIX_MAX (12u + NPY_HEADER_MAX)

struct npy {
    struct kernel_array array; /* data is NULL */
    bool big_endian;           /* elements are to be turned round */
    size_t at;                 /* where elements begin */
    size_t bytes;              /* that they take; at + bytes does not overflow */
};

size_t npy_dtype_bytes(enum kernel_dtype dtype);     /* 0 for none of them */
const char *npy_dtype_name(enum kernel_dtype dtype); /* "f32"; "?" for none of them */
size_t npy_elements(const struct kernel_array *array);

/*
 * Reads the header from the first len bytes of a file. On failure false and a phrase in error that
 * completes "NAME ...", such as "is no .npy file". Whether the elements are all there is for the
 * caller to compare: npy->at + npy->bytes is the file's size.
 */
bool npy_parse(const void *bytes, size_t len, struct npy *npy, struct buf *error);

/*
 * Appends the header (version 1) for dtype, dims, shape and fortran, a multiple of NPY_ALIGN, and
 * fills npy. False, with a phrase as above, for a type or number of dimensions that there is not,
 * and for more bytes than memory could hold.
 */
bool npy_make(const struct kernel_array *array, struct buf *header, struct npy *npy,
              struct buf *error);

/* Turns count elements of `size` bytes (4 or 8) round, in place. */
void npy_swap(void *elements, size_t count, size_t size);

#endif
