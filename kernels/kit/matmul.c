#include "kernels/kit/matmul.h"

#include <strings.h>

#include "kernels/kit/blas.h"

#define AROUND      UINT64_C(131072)     /* twice fault_around_bytes, Linux' default */
#define PROCESS     (UINT64_C(16) << 20) /* a kernelHost with its libraries */
#define STRETCH     ((size_t)4 << 20)    /* bytes that are put together at a time */
#define PAGE        UINT64_C(4096)
#define PANEL_LEAST 64 /* columns; less is slow */

bool matmul_is_file(const char *name) {
    static const char *const others[] = {"redis:", "http:", "https:"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const char *end = others[i];
        while (*end)
            end++;
        if (strncasecmp(name, others[i], (size_t)(end - others[i])) == 0)
            return false;
    }
    return true;
}

static uint64_t product(uint64_t a, uint64_t b) {
    uint64_t result;
    return __builtin_mul_overflow(a, b, &result) ? UINT64_MAX / 8 : result;
}

/* What a part of an input takes that is so large. */
static uint64_t part_bytes(const struct matmul_side *side, size_t rows, size_t cols, size_t size) {
    size_t lines = side->fortran ? cols : rows, len = side->fortran ? rows : cols;
    size_t line = side->fortran ? side->rows : side->cols;
    uint64_t most = product(line, size), segment = product(len, size) + AROUND;
    if (side->whole)
        return product(product(side->rows, side->cols), size);
    if (len == 0)
        return 0;
    return product(lines, len == line || segment > most ? most : segment);
}

uint64_t matmul_bytes(const struct matmul_job *job, size_t panel) {
    size_t size = job->single ? sizeof(float) : sizeof(double);
    return PROCESS + blas_memory_bytes(job->threads) +
           product(product(job->rows, job->cols), size) +
           part_bytes(&job->a, job->rows, panel, size) +
           part_bytes(&job->b, panel, job->cols, size);
}

size_t matmul_panel(const struct matmul_job *job, uint64_t limit_bytes, uint64_t *bytes) {
    size_t k = job->a.cols, least = k < PANEL_LEAST ? k : PANEL_LEAST, most = k;
    *bytes = matmul_bytes(job, k);
    if (!limit_bytes || *bytes <= limit_bytes)
        return k ? k : 1;
    *bytes = matmul_bytes(job, least);
    if (*bytes > limit_bytes)
        return 0;
    while (least < most) { /* least fits; the most that does is from least to most */
        size_t middle = most - (most - least) / 2;
        if (matmul_bytes(job, middle) <= limit_bytes)
            least = middle;
        else
            most = middle - 1;
    }
    *bytes = matmul_bytes(job, least);
    return least;
}

struct assemble_cut assemble_cut(size_t line_len, size_t element_bytes) {
    size_t most = STRETCH / element_bytes;
    if (line_len > most)
        return (struct assemble_cut){1, most};
    return (struct assemble_cut){line_len ? most / line_len : 1, line_len ? line_len : 1};
}

uint64_t assemble_bytes(const struct assemble_job *job) {
    uint64_t stretch = job->all_bytes < STRETCH ? job->all_bytes : STRETCH;
    if (!job->files)
        return PROCESS + stretch + 2 * job->all_bytes;
    /* Of the blocks what belongs into the stretch, and around it: no more than themselves where
     * they are small. What is left of each is the pages that it shares with nothing. */
    return PROCESS + 3 * stretch + product(2 * job->beside, AROUND) +
           product(job->count, 2 * PAGE) + job->turned_bytes;
}
