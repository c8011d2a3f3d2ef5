#include "kernels/kit/pages.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/kit/parallel.h"

#define HUGE_BYTES ((size_t)2 << 20)

static size_t page_bytes(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void touch(void *arg, unsigned part, size_t begin, size_t end) {
    (void)part;
    volatile char *data = arg;
    for (size_t page = page_bytes(), at = begin; at < end; at += page)
        data[at] = 0;
    if (end > begin)
        data[end - 1] = 0;
}

void *pages_new(size_t bytes) {
    if (bytes < HUGE_BYTES)
        return malloc(bytes + 1);
    if (bytes > PTRDIFF_MAX - HUGE_BYTES)
        return NULL;
    bytes = (bytes + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1);
    void *memory = aligned_alloc(HUGE_BYTES, bytes);
    if (memory != NULL)
        madvise(memory, bytes, MADV_HUGEPAGE); /* only faster */
    return memory;
}

void pages_ready(void *data, size_t bytes, unsigned threads) {
    uintptr_t start = (uintptr_t)data;
    uintptr_t first = (start + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1);
    uintptr_t end = (start + bytes) & ~(uintptr_t)(HUGE_BYTES - 1);
    if (first < end)
        madvise((char *)data + (first - start), end - first, MADV_HUGEPAGE); /* only faster */
    parallel_for(threads, bytes, HUGE_BYTES, touch, data);
}
