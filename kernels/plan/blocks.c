#include "kernels/plan/blocks.h"

#include "common/units.h"

#define SHARES     2   /* blocks for each worker, so that all end at about the same time */
#define TASK_FLOPS 4e9 /* less is not worth a task */
#define STEP       16  /* rows and columns of a block are multiples, where there are so many */
#define LEAST      64  /* rows and columns, unless asked for */
#define PANEL_GOOD 512u

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Of `whole` in `pieces`: the length of each but the last. */
static size_t piece_len(size_t whole, size_t pieces) {
    size_t len = whole / pieces + (whole % pieces != 0);
    return len <= LEAST ? len : smaller(whole, (len + STEP - 1) / STEP * STEP);
}

static size_t count_of(size_t whole, size_t len) {
    return len ? whole / len + (whole % len != 0) : 1;
}

static struct matmul_job job_of(const struct blocks_wish *wish, size_t rows, size_t cols) {
    return (struct matmul_job){.a = wish->a,
                               .b = wish->b,
                               .rows = rows,
                               .cols = cols,
                               .single = wish->single,
                               .threads = 1};
}

/* Whether blocks of this size can be had; fills in the rest. */
static bool try_size(const struct blocks_wish *wish, size_t rows, size_t cols, size_t panel_least,
                     struct blocks *blocks) {
    struct matmul_job job = job_of(wish, rows, cols);
    *blocks = (struct blocks){.rows = rows, .cols = cols};
    blocks->down = count_of(wish->a.rows, rows);
    blocks->across = count_of(wish->b.cols, cols);
    blocks->panel = matmul_panel(&job, wish->mem_bytes, &blocks->mem_bytes);
    double object = (double)rows * (double)cols * (wish->single ? 4 : 8);
    return blocks->panel >= smaller(panel_least, wish->a.cols) && blocks->panel > 0 &&
           blocks->down <= BLOCKS_MOST / blocks->across &&
           (!wish->most_bytes || object + 4096 <= (double)wish->most_bytes);
}

static size_t wanted_count(const struct blocks_wish *wish) {
    double flops = 2.0 * (double)wish->a.rows * (double)wish->a.cols * (double)wish->b.cols;
    double worth = flops / TASK_FLOPS, shares = (double)wish->workers * SHARES;
    double count = worth < shares ? worth : shares;
    return count < 1 ? 1 : count > BLOCKS_MOST ? BLOCKS_MOST : (size_t)count;
}

static double read_elements(const struct blocks_wish *wish, const struct blocks *blocks) {
    return (double)blocks->across * (double)wish->a.rows * (double)wish->a.cols +
           (double)blocks->down * (double)wish->b.rows * (double)wish->b.cols;
}

/* The fewest rows of blocks with so many columns of them, all of k at once. */
static bool try_across(const struct blocks_wish *wish, size_t across, size_t wanted,
                       struct blocks *blocks) {
    size_t cols = piece_len(wish->b.cols, across), m = wish->a.rows;
    size_t low = count_of(wanted, count_of(wish->b.cols, cols)), high = count_of(m, LEAST);
    low = smaller(low ? low : 1, high ? high : 1);
    high = high < low ? low : high;
    if (!try_size(wish, piece_len(m, high), cols, wish->a.cols, blocks))
        return false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (try_size(wish, piece_len(m, middle), cols, wish->a.cols, blocks))
            high = middle;
        else
            low = middle + 1;
    }
    return try_size(wish, piece_len(m, high), cols, wish->a.cols, blocks);
}

static bool choose_whole_k(const struct blocks_wish *wish, struct blocks *best) {
    size_t wanted = wanted_count(wish), most = count_of(wish->b.cols, LEAST);
    bool found = false;
    for (size_t across = 1; across <= most; across++) {
        struct blocks blocks;
        if (!try_across(wish, across, wanted, &blocks))
            continue;
        if (!found || read_elements(wish, &blocks) < read_elements(wish, best))
            *best = blocks;
        found = true;
    }
    return found;
}

/* Memory is too short for the smallest block with all of k. */
static bool choose_panels(const struct blocks_wish *wish, struct blocks *blocks) {
    for (size_t panel = PANEL_GOOD; panel > 0; panel = panel > 1 ? 1 : 0)
        for (size_t side = 4096; side >= LEAST; side /= 2)
            if (try_size(wish, smaller(side, wish->a.rows), smaller(side, wish->b.cols), panel,
                         blocks))
                return true;
    return false;
}

static bool nothing_fits(const struct blocks_wish *wish, size_t rows, size_t cols,
                         const char *advice, struct buf *error) {
    struct matmul_job job = job_of(wish, rows, cols);
    uint64_t bytes;
    matmul_panel(&job, 1, &bytes);
    buf_addf(error, "blocks of %zux%zu need ", rows, cols);
    units_add_bytes(error, bytes);
    buf_adds(error, " at least, and a task may have ");
    units_add_bytes(error, wish->mem_bytes);
    buf_addf(error, "; %s", advice);
    return false;
}

bool blocks_choose(const struct blocks_wish *wish, struct blocks *blocks, struct buf *error) {
    size_t m = wish->a.rows, n = wish->b.cols;
    if (wish->rows || wish->cols) {
        size_t rows = smaller(wish->rows ? wish->rows : m, m);
        size_t cols = smaller(wish->cols ? wish->cols : n, n);
        if (try_size(wish, rows, cols, 1, blocks))
            return true;
        if (blocks->panel && blocks->down > BLOCKS_MOST / blocks->across) {
            buf_addf(error, "--block %zux%zu makes %zux%zu blocks, more than %u; make them larger",
                     rows, cols, blocks->down, blocks->across, BLOCKS_MOST);
            return false;
        }
        if (blocks->panel) {
            buf_addf(error, "a block of %zux%zu is larger than an object may be (", rows, cols);
            units_add_bytes(error, wish->most_bytes);
            buf_adds(error, "); make it smaller, or keep blocks in files (--blocks DIR)");
            return false;
        }
        return nothing_fits(wish, rows, cols, "make them smaller, or give more with --mem", error);
    }
    if (choose_whole_k(wish, blocks) || choose_panels(wish, blocks))
        return true;
    return nothing_fits(wish, smaller(LEAST, m), smaller(LEAST, n),
                        "give more with --mem, or workers with more memory for each core", error);
}
