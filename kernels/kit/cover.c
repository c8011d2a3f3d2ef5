#include "kernels/kit/cover.h"

#include <stdint.h>
#include <stdlib.h>

static int compare(const void *left, const void *right) {
    const struct cover_part *a = left, *b = right;
    if (a->row != b->row)
        return a->row < b->row ? -1 : 1;
    return (a->col > b->col) - (a->col < b->col);
}

static bool is_outside(const struct cover_part *part, size_t rows, size_t cols) {
    return part->row > rows || part->rows > rows - part->row || part->col > cols ||
           part->cols > cols - part->col;
}

/*
 * A line goes down from row to row where a part begins or ends. `live` are the parts that it meets,
 * from left to right.
 */
struct sweep {
    const struct cover_part **live;
    size_t count;
    size_t row;
};

/* Takes out those that end at or above the row, and tells the next row where one ends. */
static size_t end_parts(struct sweep *sweep, size_t row) {
    size_t kept = 0, next = SIZE_MAX;
    for (size_t i = 0; i < sweep->count; i++) {
        const struct cover_part *part = sweep->live[i];
        if (part->row + part->rows <= row)
            continue;
        if (part->row + part->rows < next)
            next = part->row + part->rows;
        sweep->live[kept++] = part;
    }
    sweep->count = kept;
    return next;
}

/* Puts those that begin at the row (from a sorted list) between the others. */
static void begin_parts(struct sweep *sweep, const struct cover_part *parts, size_t count) {
    size_t old = sweep->count, at = old + count;
    sweep->count = at;
    for (size_t fresh = count; fresh > 0;) { /* from the right, as in a merge sort */
        if (old > 0 && sweep->live[old - 1]->col > parts[fresh - 1].col)
            sweep->live[--at] = sweep->live[--old];
        else
            sweep->live[--at] = &parts[--fresh];
    }
}

/* Whether the live parts cover 0 to cols once. */
static bool row_is_covered(const struct sweep *sweep, size_t cols, struct cover_verdict *verdict) {
    size_t reached = 0;
    verdict->row = sweep->row;
    for (size_t i = 0; i < sweep->count; i++) {
        const struct cover_part *part = sweep->live[i];
        verdict->col = part->col < reached ? part->col : reached;
        if (part->col != reached) {
            verdict->fault = part->col < reached ? COVER_TWICE : COVER_MISSING;
            verdict->first = i ? sweep->live[i - 1]->index : part->index;
            verdict->second = part->index;
            return false;
        }
        reached += part->cols;
    }
    verdict->col = reached;
    verdict->fault = reached < cols ? COVER_MISSING : COVER_EXACT;
    return verdict->fault == COVER_EXACT;
}

struct cover_verdict cover_check(struct cover_part *parts, size_t count, size_t rows, size_t cols) {
    struct cover_verdict verdict = {COVER_EXACT, 0, 0, 0, 0};
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_outside(&parts[i], rows, cols)) {
            verdict.fault = COVER_OUTSIDE;
            verdict.first = parts[i].index;
            return verdict;
        }
        if (parts[i].rows && parts[i].cols) {
            struct cover_part part = parts[i];
            parts[i] = parts[kept];
            parts[kept++] = part;
        }
    }
    if (!rows || !cols)
        return verdict;
    qsort(parts, kept, sizeof *parts, compare);
    struct sweep sweep = {.live = malloc((kept + 1) * sizeof *sweep.live)};
    if (!sweep.live)
        abort();
    for (size_t at = 0; sweep.row < rows;) {
        size_t next = end_parts(&sweep, sweep.row), from = at;
        while (at < kept && parts[at].row == sweep.row) {
            if (parts[at].row + parts[at].rows < next)
                next = parts[at].row + parts[at].rows;
            at++;
        }
        begin_parts(&sweep, parts + from, at - from);
        if (at < kept && parts[at].row < next)
            next = parts[at].row;
        if (!row_is_covered(&sweep, cols, &verdict))
            break;
        sweep.row = next;
    }
    free(sweep.live);
    return verdict;
}
