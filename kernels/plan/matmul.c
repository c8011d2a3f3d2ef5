/*
 * matmul.c - redisPlan matmul: C = A B as tasks.
 *
 *     prepare ──► blocks: matmul, one a task ──► assemble ──► remove
 *
 * Blocks are named after the place of their first element and lie in a directory beside C, or are
 * objects beside it; `remove` takes them away when C is there. A try that is repeated makes the
 * same block again. One block is C itself, and needs no other task.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/config.h"
#include "common/endpoint.h"
#include "common/task.h"
#include "common/units.h"
#include "kernels/data/data.h"
#include "kernels/kit/matrix.h"
#include "kernels/plan/blocks.h"
#include "kernels/plan/matmul_wish.h"
#include "kernels/plan/plan.h"
#include "kernels/plan/words.h"
#include "kernels/plan/workers.h"

#define MEM_DEFAULT (UINT64_C(1) << 30)

enum { DONE = 0, FAILED = 1, USAGE = 2 };

struct plan {
    const struct matmul_wish *wish;
    struct matmul_side a, b;
    bool single;
    uint64_t mem_bytes, workers;
    struct blocks blocks;
    const char *from;       /* where memory and workers were learnt */
    struct buf name, place; /* of the tasks; of the blocks */
    bool objects;           /* the blocks are objects */
};

/* --- what there is ---------------------------------------------------------------------------- */

static bool is_object(const char *name) {
    return strncmp(name, "redis:", 6) == 0;
}

/* Type and shape of A and B, and whether they fit together. */
static bool look_at(struct plan *plan, struct data *data, struct buf *error) {
    struct matrix views[2];
    for (size_t i = 0; i < 2; i++) {
        const char *name = plan->wish->names[i];
        struct kernel_array array;
        char why[200];
        if (!data_stat(data, name, &array, error))
            return false;
        if (!matrix_view(&array, &views[i], why, sizeof why)) {
            buf_addf(error, "%s %s", name, why);
            return false;
        }
        *(i ? &plan->b : &plan->a) = (struct matmul_side){views[i].rows, views[i].cols,
                                                          array.fortran, !matmul_is_file(name)};
    }
    plan->single = views[0].single;
    if (views[0].single != views[1].single) {
        buf_addf(error, "%s is %s and %s is %s; both must be of one type", plan->wish->names[0],
                 views[0].single ? "f32" : "f64", plan->wish->names[1],
                 views[1].single ? "f32" : "f64");
        return false;
    }
    if (views[0].cols != views[1].rows) {
        buf_addf(error, "%s has %zu columns and %s has %zu rows; they must be as many",
                 plan->wish->names[0], views[0].cols, plan->wish->names[1], views[1].rows);
        return false;
    }
    return true;
}

static bool look_at_data(struct plan *plan, const struct config *config, struct buf *error) {
    struct endpoint endpoint;
    struct buf url = BUF_INIT, why = BUF_INIT;
    bool objects = is_object(plan->wish->names[0]) || is_object(plan->wish->names[1]);
    bool ok = endpoint_from_config(&endpoint, config, &why), known = ok;
    known = known && endpoint_add_url(&endpoint, &url);
    if (objects && !known) {
        buf_adds(error, ok ? "redis: names need a Redis that is given by its own address (--redis "
                             "redis://...), not by Sentinels"
                           : why.data);
    } else {
        struct data_settings how = {.redis = known ? url.data : NULL, .queue = config->queue};
        struct data *data = data_new(&how);
        ok = look_at(plan, data, error);
        data_free(data);
    }
    endpoint_free(&endpoint);
    buf_free(&url);
    buf_free(&why);
    return ok && (!objects || known);
}

/* Memory for a task, and how many run at a time: said, or what the queue's workers have. */
static bool look_at_workers(struct plan *plan, const struct config *config, struct buf *error) {
    const struct matmul_wish *wish = plan->wish;
    plan->from = "as told";
    plan->mem_bytes = wish->mem_bytes ? wish->mem_bytes : MEM_DEFAULT;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    plan->workers = wish->workers ? wish->workers : cpus > 0 ? (uint64_t)cpus : 1;
    if ((wish->mem_bytes && wish->workers))
        return true;
    plan->from = "no worker was asked: see --redis, --mem, --workers";
    if (!workers_known(config))
        return true;
    struct workers seen;
    if (!workers_look(config, &seen, error)) {
        buf_adds(error, "; --mem and --workers plan without asking");
        return false;
    }
    plan->from = "no worker is there yet";
    if (!seen.live)
        return true;
    plan->from = "as the workers have";
    if (!wish->mem_bytes)
        plan->mem_bytes = seen.core_bytes;
    if (!wish->workers)
        plan->workers = seen.cores;
    return true;
}

/* --- names ------------------------------------------------------------------------------------ */

/* What the plan is made of: the same files, unchanged, give the same names, so that a plan that is
 * loaded again adds nothing. */
static uint64_t digest_of(const struct plan *plan) {
    struct buf text = BUF_INIT;
    const struct matmul_wish *wish = plan->wish;
    for (size_t i = 0; i < 2; i++) {
        struct stat st;
        buf_addf(&text, "%s%c", wish->names[i], '\n');
        if (matmul_is_file(wish->names[i]) && stat(wish->names[i], &st) == 0)
            buf_addf(&text, "%lld %lld.%09ld\n", (long long)st.st_size,
                     (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    }
    buf_addf(&text, "%s\n%s\n%zu %zu %zu %zu %zu", wish->out, plan->place.data, plan->a.rows,
             plan->a.cols, plan->b.cols, plan->blocks.rows, plan->blocks.cols);
    uint64_t digest = XXH3_64bits(text.data, text.len);
    buf_free(&text);
    return digest;
}

static bool find_names(struct plan *plan, struct buf *error) {
    const struct matmul_wish *wish = plan->wish;
    bool one = plan->blocks.down == 1 && plan->blocks.across == 1;
    if (wish->blocks) {
        buf_adds(&plan->place, wish->blocks);
    } else if (!one && !is_object(wish->out) && !matmul_is_file(wish->out)) {
        buf_addf(error,
                 "the product goes to %s, and its %zu blocks need a place: --blocks DIRECTORY "
                 "or --blocks redis:NAME",
                 wish->out, plan->blocks.down * plan->blocks.across);
        return false;
    } else {
        buf_addf(&plan->place, "%s.blocks", wish->out);
    }
    if (!is_object(plan->place.data) && !matmul_is_file(plan->place.data)) {
        buf_addf(error, "--blocks %s: expected a directory or redis:NAME", plan->place.data);
        return false;
    }
    while (plan->place.len > 1 && plan->place.data[plan->place.len - 1] == '/')
        plan->place.data[--plan->place.len] = '\0';
    if (wish->name) {
        buf_adds(&plan->name, wish->name);
        return true;
    }
    buf_adds(&plan->name, "matmul/");
    plan_add_slug(&plan->name, wish->out);
    if (plan->name.len > 200)
        plan->name.data[plan->name.len = 200] = '\0';
    buf_addf(&plan->name, "-%08llx", (unsigned long long)digest_of(plan) & 0xffffffff);
    return true;
}

static void add_block_name(const struct plan *plan, size_t row, size_t col, struct buf *out) {
    buf_addf(out, "%s/block-%zu-%zu.npy", plan->place.data, row, col);
}

/* --- the task file ---------------------------------------------------------------------------- */

static void add_head(const struct plan *plan, const char *type, uint64_t mem_bytes, unsigned cpu,
                     struct buf *out) {
    uint64_t mib = (mem_bytes + (1u << 20) - 1) >> 20;
    buf_addf(out, "%s:%llu:%llu%s:%u:", type, (unsigned long long)plan->wish->priority,
             (unsigned long long)mib, mib ? "MiB" : "", cpu);
}

static void add_parameter(const char *key, const char *value, struct buf *out) {
    buf_addf(out, " %s=", key);
    plan_add_word(out, value);
}

static void add_step(const struct plan *plan, const char *step, const char *after,
                     struct buf *out) {
    buf_addf(out, "#@ name=%s/%s", plan->name.data, step);
    if (after)
        buf_addf(out, " after=%s/%s", plan->name.data, after);
    buf_addc(out, '\n');
}

static void add_multiply(const struct plan *plan, size_t i0, size_t i1, size_t j0, size_t j1,
                         const char *to, struct buf *out) {
    struct matmul_job job = {.a = plan->a,
                             .b = plan->b,
                             .rows = i1 - i0,
                             .cols = j1 - j0,
                             .single = plan->single,
                             .threads = 1};
    uint64_t bytes;
    matmul_panel(&job, plan->mem_bytes, &bytes);
    add_head(plan, "native", bytes, 1, out);
    buf_adds(out, "matmul");
    add_parameter("a", plan->wish->names[0], out);
    add_parameter("b", plan->wish->names[1], out);
    buf_addf(out, " rows=%zu:%zu cols=%zu:%zu", i0, i1, j0, j1);
    add_parameter("c", to, out);
    buf_addc(out, '\n');
}

static size_t end_of(size_t at, size_t len, size_t whole) {
    return whole - at < len ? whole : at + len;
}

/* Every block; names and places for assemble. */
static void add_blocks(const struct plan *plan, struct buf *names, struct buf *places,
                       struct buf *out) {
    const struct blocks *blocks = &plan->blocks;
    struct buf name = BUF_INIT;
    for (size_t i = 0; i < plan->a.rows; i += blocks->rows) {
        for (size_t j = 0; j < plan->b.cols; j += blocks->cols) {
            buf_clear(&name);
            add_block_name(plan, i, j, &name);
            add_multiply(plan, i, end_of(i, blocks->rows, plan->a.rows), j,
                         end_of(j, blocks->cols, plan->b.cols), name.data, out);
            buf_addf(names, "%s%s", names->len ? "," : "", name.data);
            buf_addf(places, "%s%zu:%zu", places->len ? "," : "", i, j);
        }
    }
    buf_free(&name);
}

static void add_assemble(const struct plan *plan, const char *names, const char *places,
                         struct buf *out) {
    uint64_t size = plan->single ? sizeof(float) : sizeof(double);
    struct assemble_job job = {.all_bytes = (uint64_t)plan->a.rows * plan->b.cols * size,
                               .count = plan->blocks.down * plan->blocks.across,
                               .beside = plan->blocks.across,
                               .files = !plan->objects && matmul_is_file(plan->wish->out)};
    add_head(plan, "native", assemble_bytes(&job), 1, out);
    buf_adds(out, "assemble");
    add_parameter("blocks", names, out);
    buf_addf(out, " places=%s shape=%zu:%zu", places, plan->a.rows, plan->b.cols);
    add_parameter("c", plan->wish->out, out);
    buf_addc(out, '\n');
}

static void add_prepare(const struct plan *plan, struct buf *out) {
    add_step(plan, "prepare", NULL, out);
    add_head(plan, "shell", 0, 0, out);
    buf_adds(out, "mkdir -p -- ");
    plan_add_word(out, plan->place.data);
    buf_addc(out, '\n');
}

/* A directory that was taken away by an earlier try is as well. */
static void add_remove(const struct plan *plan, const char *names, struct buf *out) {
    struct buf place = BUF_INIT;
    add_step(plan, "remove", "assemble", out);
    plan_add_word(&place, plan->place.data);
    if (plan->objects) {
        add_head(plan, "native", 0, 0, out);
        buf_adds(out, "discard");
        add_parameter("objects", names, out);
        buf_addc(out, '\n');
    } else {
        add_head(plan, "shell", 0, 0, out);
        buf_addf(out, "rm -f -- %s/block-*.npy %s/.block-*.part-*; [ ! -d %s ] || rmdir -- %s\n",
                 place.data, place.data, place.data, place.data);
    }
    buf_free(&place);
}

static void add_title(const struct plan *plan, struct buf *out) {
    const struct blocks *blocks = &plan->blocks;
    size_t count = blocks->down * blocks->across;
    buf_addf(out, "# %s = %s %s: %zux%zu, %s; %zu block%s of %zux%zu", plan->wish->out,
             plan->wish->names[0], plan->wish->names[1], plan->a.rows, plan->b.cols,
             plan->single ? "f32" : "f64", count, count == 1 ? "" : "s", blocks->rows,
             blocks->cols);
    if (blocks->panel < plan->a.cols)
        buf_addf(out, "; memory is short: %zu of %zu columns of A at a time", blocks->panel,
                 plan->a.cols);
    buf_addf(out, "\n# for %llu tasks at a time with ", (unsigned long long)plan->workers);
    units_add_bytes(out, plan->mem_bytes);
    buf_addf(out, " each (%s)\n", plan->from);
}

static bool uses_files(const struct plan *plan) {
    const struct matmul_wish *wish = plan->wish;
    return matmul_is_file(wish->names[0]) || matmul_is_file(wish->names[1]) ||
           matmul_is_file(wish->out) || !plan->objects;
}

static bool add_tasks(const struct plan *plan, struct buf *out, struct buf *error) {
    add_title(plan, out);
    if (uses_files(plan) && !plan_add_cwd(out, error))
        return false;
    if (plan->blocks.down == 1 && plan->blocks.across == 1) {
        buf_addf(out, "#@ name=%s\n", plan->name.data);
        add_multiply(plan, 0, plan->a.rows, 0, plan->b.cols, plan->wish->out, out);
        return true;
    }
    struct buf names = BUF_INIT, places = BUF_INIT;
    if (!plan->objects)
        add_prepare(plan, out);
    add_step(plan, "blocks", plan->objects ? NULL : "prepare", out);
    add_blocks(plan, &names, &places, out);
    bool fits = names.len + places.len < TASK_PARAMS_MAX - 8192;
    if (!fits)
        buf_addf(error,
                 "%zux%zu blocks are too many to be named in one task; make them larger with "
                 "--block or --mem",
                 plan->blocks.down, plan->blocks.across);
    add_step(plan, "assemble", "blocks", out);
    add_assemble(plan, names.data, places.data, out);
    add_remove(plan, names.data, out);
    buf_free(&names);
    buf_free(&places);
    return fits;
}

/* --- all of it -------------------------------------------------------------------------------- */

static bool make_plan(struct plan *plan, const struct config *config, struct buf *out,
                      struct buf *error) {
    const struct matmul_wish *wish = plan->wish;
    if (!look_at_data(plan, config, error) || !look_at_workers(plan, config, error))
        return false;
    plan->objects = is_object(wish->blocks ? wish->blocks : wish->out);
    struct blocks_wish blocks = {.a = plan->a,
                                 .b = plan->b,
                                 .single = plan->single,
                                 .mem_bytes = plan->mem_bytes,
                                 .most_bytes = plan->objects ? config->object_max_bytes : 0,
                                 .workers = plan->workers,
                                 .rows = wish->block_rows,
                                 .cols = wish->block_cols};
    if (!blocks_choose(&blocks, &plan->blocks, error) || !find_names(plan, error))
        return false;
    if (strcmp(wish->out, wish->names[0]) == 0 || strcmp(wish->out, wish->names[1]) == 0) {
        buf_addf(error, "%s is read and would be overwritten; give the product another name",
                 wish->out);
        return false;
    }
    double bytes = (double)plan->a.rows * (double)plan->b.cols * (plan->single ? 4 : 8);
    if (is_object(wish->out) && bytes + 4096 > (double)config->object_max_bytes) {
        buf_addf(error,
                 "the product has %.0f MiB, more than an object may have (object_max); give it "
                 "a file",
                 bytes / 0x1p20);
        return false;
    }
    return add_tasks(plan, out, error);
}

static int run(int argc, char **argv, struct buf *out, struct buf *error) {
    struct matmul_wish wish = {.flags = CONFIG_FLAGS_INIT};
    struct plan plan = {.wish = &wish, .name = BUF_INIT, .place = BUF_INIT};
    int code = USAGE;
    if (matmul_wish_parse(argc, argv, &wish, error)) {
        struct config config;
        code = config_load(&config, &wish.flags, error) && make_plan(&plan, &config, out, error)
                   ? DONE
                   : FAILED;
        config_free(&config);
    }
    config_flags_free(&wish.flags);
    buf_free(&plan.name);
    buf_free(&plan.place);
    return code;
}

const struct planner plan_matmul = {
    .name = "matmul",
    .summary = "C = A B of two .npy files, block by block",
    .usage =
        "A.npy B.npy -o C.npy [OPTION...]\n"
        "\n"
        "  -o, --output C     where the product goes: a file, redis:NAME or a URL\n"
        "  --block N          rows and columns of a block, or ROWSxCOLUMNS (default: what fits\n"
        "                     into memory and gives every worker two)\n"
        "  --mem SIZE         memory for a task, GiB or with a unit (default: what the workers\n"
        "                     have for each core; 1 GiB when there is no queue to ask)\n"
        "  --workers N        tasks that run at a time (default: the workers' cores; this\n"
        "                     machine's)\n"
        "  --blocks PLACE     a directory, or redis:NAME, for the blocks (default: C.blocks);\n"
        "                     they are removed at the end\n"
        "  --name NAME        of the tasks (default: from C's name and what A and B are)\n"
        "  --priority N       of the tasks (default: 0)\n"
        "  --redis URL, --queue NAME, --conf FILE and the other settings of redisManager\n"
        "                     say which queue is asked\n"
        "\n"
        "A, B: f32 or f64, in C or Fortran order. Names of files are relative to this\n"
        "directory, which all workers must see",
    .run = run,
};
