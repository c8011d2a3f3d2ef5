/* Puts blocks together: every element of the answer comes from exactly one of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernel.h"
#include "kernels/kit/cover.h"
#include "kernels/kit/matmul.h"
#include "kernels/kit/matrix.h"

enum { P_BLOCKS, P_PLACES, P_SHAPE, P_C, P_ORDER };
static const struct kernel_param params[] = {
    {"blocks", KERNEL_INPUTS, .help = "the blocks, all of one type"},
    {"places", KERNEL_TEXT, .help = "row:column of each block's first element, joined by ','"},
    {"shape", KERNEL_TEXT, .help = "rows:columns of the answer"},
    {"c", KERNEL_OUTPUT, .help = "the answer"},
    {"order", KERNEL_CHOICE, .fallback = "c", .choices = "c|fortran",
     .help = "of the answer in memory"},
    {0}};

/* "ROW:COL", then ',' or the end. */
static bool read_pair(const char **text, size_t *first, size_t *second) {
    unsigned long long a, b;
    int used = 0;
    if (sscanf(*text, "%19llu:%19llu%n", &a, &b, &used) != 2 || !used ||
        strspn(*text, "0123456789:") != (size_t)used)
        return false;
    *text += used;
    *first = (size_t)a;
    *second = (size_t)b;
    return **text == ',' || !**text;
}

static bool read_places(struct kernel_run *r, struct cover_part *parts, size_t count) {
    const char *text = kernel_text(r, P_PLACES);
    for (size_t i = 0; i < count; i++) {
        parts[i].index = i;
        if (!read_pair(&text, &parts[i].row, &parts[i].col)) {
            kernel_refuse(
                r, "places: number %zu is not ROW:COLUMN; one is needed for each of %zu blocks",
                i + 1, count);
            return false;
        }
        text += *text == ',';
    }
    if (*text) {
        kernel_refuse(r, "places: there are more than the %zu blocks", count);
        return false;
    }
    return true;
}

/* Type and shapes; out and the job get the answer's. */
static bool look_at_blocks(struct kernel_run *r, struct cover_part *parts, size_t count,
                           struct kernel_array *out, struct assemble_job *job) {
    for (size_t i = 0; i < count; i++) {
        const char *name = kernel_item(r, P_BLOCKS, i);
        struct kernel_array array;
        struct matrix block;
        char why[200];
        if (!kernel_stat(r, name, &array))
            return false;
        if (!matrix_view(&array, &block, why, sizeof why)) {
            kernel_refuse(r, "%s %s", name, why);
            return false;
        }
        if (i && array.dtype != out->dtype) {
            kernel_refuse(r, "%s is %s, but %s is %s", name, kernel_dtype_name(array.dtype),
                          kernel_item(r, P_BLOCKS, 0), kernel_dtype_name(out->dtype));
            return false;
        }
        out->dtype = array.dtype;
        parts[i].rows = block.rows;
        parts[i].cols = block.cols;
        job->single = block.single;
        job->files = job->files && matmul_is_file(name);
        if (block.rows * block.cols > job->block_rows * job->block_cols) {
            job->block_rows = block.rows;
            job->block_cols = block.cols;
        }
    }
    return true;
}

static bool covers(struct kernel_run *r, const struct cover_part *parts, size_t count, size_t rows,
                   size_t cols) {
    struct cover_part *sorted = kernel_scratch(r, count * sizeof *sorted + 1);
    if (!sorted)
        return false;
    memcpy(sorted, parts, count * sizeof *sorted);
    struct cover_verdict verdict = cover_check(sorted, count, rows, cols);
    const struct cover_part *first = &parts[verdict.first];
    switch (verdict.fault) {
    case COVER_EXACT:
        return true;
    case COVER_OUTSIDE:
        kernel_refuse(r, "%s (%zux%zu, at %zu:%zu) goes beyond the shape %zu:%zu",
                      kernel_item(r, P_BLOCKS, verdict.first), first->rows, first->cols, first->row,
                      first->col, rows, cols);
        break;
    case COVER_TWICE:
        kernel_refuse(r, "row %zu, column %zu is in two blocks: %s and %s", verdict.row,
                      verdict.col, kernel_item(r, P_BLOCKS, verdict.first),
                      kernel_item(r, P_BLOCKS, verdict.second));
        break;
    case COVER_MISSING:
        kernel_refuse(r, "row %zu, column %zu is in no block", verdict.row, verdict.col);
        break;
    }
    return false;
}

/* Everything that can be known before the first copy. False: told. */
static bool prepare(struct kernel_run *r, struct cover_part **parts, struct kernel_array *out,
                    struct assemble_job *job) {
    size_t count = kernel_count(r, P_BLOCKS);
    const char *shape = kernel_text(r, P_SHAPE);
    *out = (struct kernel_array){.dims = 2, .fortran = kernel_choice(r, P_ORDER) == 1};
    if (!read_pair(&shape, &out->shape[0], &out->shape[1]) || *shape) {
        kernel_refuse(r, "shape: \"%.40s\", expected ROWS:COLUMNS such as 4096:1000",
                      kernel_text(r, P_SHAPE));
        return false;
    }
    *job = (struct assemble_job){.rows = out->shape[0],
                                 .cols = out->shape[1],
                                 .fortran = out->fortran,
                                 .files = matmul_is_file(kernel_text(r, P_C))};
    *parts = kernel_scratch(r, count * sizeof **parts + 1);
    return *parts && read_places(r, *parts, count) && look_at_blocks(r, *parts, count, out, job) &&
           covers(r, *parts, count, out->shape[0], out->shape[1]);
}

static bool estimate(struct kernel_run *r, struct kernel_estimate *e) {
    struct cover_part *parts;
    struct kernel_array out;
    struct assemble_job job;
    if (!prepare(r, &parts, &out, &job))
        return false;
    e->memory_bytes = assemble_bytes(&job);
    return true;
}

/* 0 when the block is where it belongs. */
static int place(struct kernel_run *r, const struct cover_part *part, const struct matrix *whole) {
    const char *name = kernel_item(r, P_BLOCKS, part->index);
    struct kernel_array array;
    struct matrix block;
    char why[200];
    if (!kernel_read(r, name, &array))
        return 1;
    if (!matrix_view(&array, &block, why, sizeof why) || block.rows != part->rows ||
        block.cols != part->cols || block.single != whole->single)
        return kernel_fail(r, "%s has changed while it was read", name);
    struct matrix to =
        matrix_block(whole, part->row, part->row + part->rows, part->col, part->col + part->cols);
    matrix_copy(&to, &block);
    kernel_release(r, block.data, matrix_span(&block));
    kernel_release(r, to.data, matrix_span(&to));
    return 0;
}

static int run(struct kernel_run *r) {
    struct cover_part *parts;
    struct kernel_array out;
    struct matrix whole;
    struct assemble_job job;
    char why[200];
    if (!prepare(r, &parts, &out, &job))
        return 2;
    if (!kernel_write(r, kernel_text(r, P_C), &out))
        return 1;
    if (!matrix_view(&out, &whole, why, sizeof why))
        return kernel_refuse(r, "%s %s", kernel_text(r, P_C), why);
    size_t count = kernel_count(r, P_BLOCKS);
    for (size_t i = 0; i < count; i++) {
        if (kernel_cancelled(r))
            return kernel_fail(r, "stopped after %zu of %zu blocks", i, count);
        int code = place(r, &parts[i], &whole);
        if (code != 0)
            return code;
        kernel_progress(r, (double)(i + 1) / (double)count);
    }
    kernel_result(r, "rows", "%zu", whole.rows);
    kernel_result(r, "cols", "%zu", whole.cols);
    kernel_result(r, "blocks", "%zu", count);
    return 0;
}

KERNEL_EXPORT(.name = "assemble", .summary = "one matrix from blocks, each element exactly once",
              .params = params, .estimate = estimate, .run = run)
