/*
 * Bytes as the beginning of a .npy file. What is accepted keeps its promises, and a header made
 * from it is read back as the same array.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/data/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good) {
    if (!good)
        abort();
}

static void check_promises(const struct npy *npy, size_t size) {
    const struct kernel_array *array = &npy->array;
    size_t bytes = npy_dtype_bytes(array->dtype);
    check(npy->at <= size && npy->at >= 10 && array->dims <= KERNEL_DIMS_MAX && bytes > 0);
    check(npy->bytes == npy_elements(array) * bytes && npy->bytes <= PTRDIFF_MAX - npy->at);
    /* No product of some dimensions overflows either. */
    for (unsigned from = 0; from < array->dims; from++) {
        size_t part = bytes;
        for (unsigned i = from; i < array->dims && array->shape[i]; i++)
            check(!__builtin_mul_overflow(part, array->shape[i], &part));
    }
}

static void check_back(const struct npy *npy) {
    struct buf header = BUF_INIT, error = BUF_INIT;
    struct npy made, back;
    check(npy_make(&npy->array, &header, &made, &error));
    check(header.len % NPY_ALIGN == 0 && made.at == header.len && made.bytes == npy->bytes);
    check(npy_parse(header.data, header.len, &back, &error) && !back.big_endian);
    check(back.at == made.at && back.bytes == npy->bytes);
    check(back.array.dtype == npy->array.dtype && back.array.fortran == npy->array.fortran &&
          back.array.dims == npy->array.dims);
    check(memcmp(back.array.shape, npy->array.shape, npy->array.dims * sizeof(size_t)) == 0);
    check(error.len == 0);
    buf_free(&header);
    buf_free(&error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buf error = BUF_INIT;
    struct npy npy;
    if (npy_parse(data, size, &npy, &error)) {
        check_promises(&npy, size);
        check_back(&npy);
    } else {
        check(error.len > 0 && error.len < 300 && !memchr(error.data, '\n', error.len));
    }
    buf_free(&error);
    return 0;
}
