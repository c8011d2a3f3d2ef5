/* Puts blocks together: every element of the answer comes from exactly one of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernel.h"
#include "kernels/kit/cover.h"
#include "kernels/kit/matmul.h"
#include "kernels/kit/matrix.h"
#include "kernels/kit/store.h"

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
        job->turned = job->turned || array.fortran != out->fortran;
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

/* --- putting them together ----------------------------------------------------------------------
 *
 * The answer is made line by line in the order of its memory, some lines at a time, and each such
 * stretch is written as one: its pages are touched once, and reach the disk in their order.
 */

/* A block and its place, both turned over when the answer's columns are its lines. */
struct piece {
    struct matrix block;
    size_t row, col;
    bool by_rows; /* its lines run as the answer's do */
};

struct assembly {
    struct matrix whole; /* turned over as well */
    struct piece *pieces;
    size_t count;
};

static struct matrix turned_over(const struct matrix *m) {
    return (struct matrix){m->single, m->cols, m->rows, m->col_step, m->row_step, m->data};
}

static int compare_pieces(const void *a, const void *b) {
    const struct piece *left = a, *right = b;
    return (left->row > right->row) - (left->row < right->row);
}

static bool open_piece(struct kernel_run *r, const struct cover_part *part, bool single,
                       bool turned, struct piece *piece) {
    const char *name = kernel_item(r, P_BLOCKS, part->index);
    struct kernel_array array;
    struct matrix block;
    char why[200];
    if (!kernel_read(r, name, &array))
        return false;
    if (!matrix_view(&array, &block, why, sizeof why) || block.rows != part->rows ||
        block.cols != part->cols || block.single != single) {
        kernel_fail(r, "%s has changed while it was read", name);
        return false;
    }
    *piece = (struct piece){.block = turned ? turned_over(&block) : block,
                            .row = turned ? part->col : part->row,
                            .col = turned ? part->row : part->col};
    piece->by_rows = piece->block.col_step == 1;
    return true;
}

static bool open_pieces(struct kernel_run *r, const struct cover_part *parts, bool turned,
                        struct assembly *a) {
    a->pieces = kernel_scratch(r, a->count * sizeof *a->pieces);
    if (a->pieces == NULL)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!open_piece(r, &parts[i], a->whole.single, turned, &a->pieces[i]))
            return false;
    qsort(a->pieces, a->count, sizeof *a->pieces, compare_pieces);
    return true;
}

/* What a piece has of the rows that begin with `first`. */
static void copy_piece(struct kernel_run *r, const struct piece *piece, size_t first,
                       const struct matrix *rows) {
    size_t end = piece->row + piece->block.rows, last = first + rows->rows;
    size_t from = piece->row > first ? piece->row : first, to = end < last ? end : last;
    if (from >= to)
        return;
    struct matrix source =
        matrix_block(&piece->block, from - piece->row, to - piece->row, 0, piece->block.cols);
    struct matrix target =
        matrix_block(rows, from - first, to - first, piece->col, piece->col + piece->block.cols);
    matrix_copy(&target, &source);
    if (piece->by_rows)
        kernel_release(r, source.data, matrix_span(&source));
    else if (to == end) /* before that, each of its pages is needed again */
        kernel_release(r, piece->block.data, matrix_span(&piece->block));
}

static int put_together(struct kernel_run *r, const struct assembly *a) {
    size_t row_bytes =
        a->whole.cols * kernel_dtype_bytes(a->whole.single ? KERNEL_F32 : KERNEL_F64);
    size_t most = assemble_lines(row_bytes), begin = 0;
    struct matrix rows = {a->whole.single, 0, a->whole.cols, a->whole.cols, 1, NULL};
    rows.data = kernel_scratch(r, (most < a->whole.rows ? most : a->whole.rows) * row_bytes);
    if (rows.data == NULL)
        return 1;
    for (size_t first = 0; row_bytes && first < a->whole.rows; first += rows.rows) {
        if (kernel_cancelled(r))
            return kernel_fail(r, "stopped at %zu of %zu lines", first, a->whole.rows);
        rows.rows = a->whole.rows - first < most ? a->whole.rows - first : most;
        for (size_t i = begin; i < a->count && a->pieces[i].row < first + rows.rows; i++)
            copy_piece(r, &a->pieces[i], first, &rows);
        if (!store_bytes(r, (char *)a->whole.data + first * row_bytes, rows.data,
                         rows.rows * row_bytes))
            return 1;
        while (begin < a->count &&
               a->pieces[begin].row + a->pieces[begin].block.rows <= first + rows.rows)
            begin++;
        kernel_progress(r, (double)(first + rows.rows) / (double)a->whole.rows);
    }
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
    struct assembly a = {.whole = out.fortran ? turned_over(&whole) : whole,
                         .count = kernel_count(r, P_BLOCKS)};
    if (!open_pieces(r, parts, out.fortran, &a))
        return 1;
    int code = put_together(r, &a);
    if (code != 0)
        return code;
    kernel_result(r, "rows", "%zu", whole.rows);
    kernel_result(r, "cols", "%zu", whole.cols);
    kernel_result(r, "blocks", "%zu", a.count);
    return 0;
}

KERNEL_EXPORT(.name = "assemble", .summary = "one matrix from blocks, each element exactly once",
              .params = params, .estimate = estimate, .run = run)
