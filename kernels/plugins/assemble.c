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

/* The lines of the answer that a block has. */
struct span {
    size_t first, end;
    uint64_t turned_bytes; /* its own, when its lines run across */
};

static int compare_firsts(const void *a, const void *b) {
    const struct span *left = a, *right = b;
    return (left->first > right->first) - (left->first < right->first);
}

static int compare_ends(const void *a, const void *b) {
    const struct span *left = a, *right = b;
    return (left->end > right->end) - (left->end < right->end);
}

/* How many have a line in common, and how many bytes of those that run across. Uses up spans, which
 * has room for them twice. */
static void look_along(struct span *spans, size_t count, struct assemble_job *job) {
    struct span *ends = spans + count;
    size_t beside = 0, ended = 0;
    uint64_t turned = 0, largest = 0;
    memcpy(ends, spans, count * sizeof *ends);
    qsort(spans, count, sizeof *spans, compare_firsts);
    qsort(ends, count, sizeof *ends, compare_ends);
    for (size_t i = 0; i < count; i++) {
        for (; ended < i && ends[ended].end <= spans[i].first; ended++) {
            beside--;
            turned -= ends[ended].turned_bytes;
        }
        beside++;
        turned += spans[i].turned_bytes;
        largest = spans[i].turned_bytes > largest ? spans[i].turned_bytes : largest;
        job->beside = beside > job->beside ? beside : job->beside;
        job->turned_bytes = turned > job->turned_bytes ? turned : job->turned_bytes;
    }
    job->turned_bytes += largest; /* that ends within a stretch when others begin */
}

/* Type and shapes; out and the job get the answer's. */
static bool look_at_blocks(struct kernel_run *r, struct cover_part *parts, size_t count,
                           struct kernel_array *out, struct assemble_job *job) {
    struct span *spans = kernel_scratch(r, (2 * count + 1) * sizeof *spans);
    if (spans == NULL)
        return false;
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
        job->files = job->files && matmul_is_file(name);
        spans[i].first = out->fortran ? parts[i].col : parts[i].row;
        spans[i].end = spans[i].first + (out->fortran ? block.cols : block.rows);
        spans[i].turned_bytes = array.fortran != out->fortran ? matrix_span(&block) : 0;
    }
    look_along(spans, count, job);
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
    *job = (struct assemble_job){.count = count, .files = matmul_is_file(kernel_text(r, P_C))};
    *parts = kernel_scratch(r, count * sizeof **parts + 1);
    if (!*parts || !read_places(r, *parts, count) || !look_at_blocks(r, *parts, count, out, job) ||
        !covers(r, *parts, count, out->shape[0], out->shape[1]))
        return false;
    job->all_bytes = kernel_elements(out) * kernel_dtype_bytes(out->dtype);
    return true;
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
 * The answer is made in the order of its memory, some lines at a time or a part of a long one, and
 * each such stretch is written as one: its pages are touched once, and reach the disk in their
 * order.
 */

/* A block and its place, both turned over when the answer's columns are its lines. */
struct piece {
    struct matrix block;
    size_t row, col;
    bool by_rows; /* its lines run as the answer's do */
};

struct assembly {
    enum kernel_dtype dtype;
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

/* A part of the answer: rows of it, or of one row some columns. */
struct stretch {
    size_t row, col;
    struct matrix part;
};

/* Where [from, to) and [other, other_to) are both; false: nowhere. */
static bool meet(size_t *from, size_t *to, size_t other, size_t other_to) {
    *from = other > *from ? other : *from;
    *to = other_to < *to ? other_to : *to;
    return *from < *to;
}

/* What a piece has of the stretch. */
static void copy_piece(struct kernel_run *r, const struct piece *piece, const struct stretch *s) {
    const struct matrix *block = &piece->block;
    size_t i0 = piece->row, i1 = piece->row + block->rows;
    size_t j0 = piece->col, j1 = piece->col + block->cols;
    if (!meet(&i0, &i1, s->row, s->row + s->part.rows) ||
        !meet(&j0, &j1, s->col, s->col + s->part.cols))
        return;
    struct matrix from =
        matrix_block(block, i0 - piece->row, i1 - piece->row, j0 - piece->col, j1 - piece->col);
    struct matrix to = matrix_block(&s->part, i0 - s->row, i1 - s->row, j0 - s->col, j1 - s->col);
    matrix_copy(&to, &from);
    /* One that lies across: before its last row, each of its pages is needed again. */
    if (piece->by_rows || i1 == piece->row + block->rows)
        kernel_release(r, from.data, matrix_span(&from));
}

static bool fill(struct kernel_run *r, const struct assembly *a, size_t *begin,
                 const struct stretch *s) {
    size_t end = s->row + s->part.rows;
    for (size_t i = *begin; i < a->count && a->pieces[i].row < end; i++)
        copy_piece(r, &a->pieces[i], s);
    size_t at = (s->row * a->whole.cols + s->col) * kernel_dtype_bytes(a->dtype);
    if (!store_bytes(r, (char *)a->whole.data + at, s->part.data, matrix_span(&s->part)))
        return false;
    /* Rows that end here are done when this was their last column. */
    while (s->col + s->part.cols == a->whole.cols && *begin < a->count &&
           a->pieces[*begin].row + a->pieces[*begin].block.rows <= end)
        ++*begin;
    return true;
}

static int put_together(struct kernel_run *r, const struct assembly *a) {
    size_t size = kernel_dtype_bytes(a->dtype), rows = a->whole.rows, cols = a->whole.cols;
    struct assemble_cut cut = assemble_cut(cols, size);
    char *memory = kernel_scratch(r, (cut.lines < rows ? cut.lines : rows) * cut.len * size + 1);
    size_t begin = 0;
    if (memory == NULL)
        return 1;
    for (size_t row = 0; row < rows && cols; row += cut.lines) {
        for (size_t col = 0; col < cols; col += cut.len) {
            struct stretch s = {.row = row, .col = col};
            s.part = (struct matrix){.single = a->whole.single,
                                     .rows = rows - row < cut.lines ? rows - row : cut.lines,
                                     .cols = cols - col < cut.len ? cols - col : cut.len,
                                     .col_step = 1,
                                     .data = memory};
            s.part.row_step = s.part.cols;
            if (kernel_cancelled(r))
                return kernel_fail(r, "stopped at %zu of %zu lines", row, rows);
            if (!fill(r, a, &begin, &s))
                return 1;
        }
        kernel_progress(r, (double)row / (double)rows);
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
    struct assembly a = {.dtype = out.dtype,
                         .whole = out.fortran ? turned_over(&whole) : whole,
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
