/*
 * mlp.c - redisPlan mlp: training on images with several shards that share their weights
 * (docs/training.md).
 *
 *     train: one task a shard ──► train, from the mean of all shards ──► ...
 *                          └────► average ──► validate (at the end, or as it goes)
 *
 * In each epoch all rows are put into a new order, and each shard takes its slice of it. Between
 * two meetings a shard moves its own copy of weights and velocity; then all go on from the mean. A
 * few make it each for itself, since all would wait for a task that did it; where they are many
 * there is such a task, since each would read the files of all. `average` makes the same, to keep.
 * A step of all shards together takes --batch rows.
 * One shard needs no average, and its weights are kept after each epoch unless --sync says
 * otherwise. What a task is called hangs on everything but the number of epochs, so a plan with
 * more of them goes on from the last.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/field.h"
#include "kernels/kit/dataset.h"
#include "kernels/kit/mlp.h"
#include "kernels/plan/plan.h"
#include "kernels/plan/training.h"
#include "kernels/plan/words.h"

#define PIXELS     784
#define CLASSES    10
#define MNIST      "/usr/share/datasets/fashion-mnist"
#define BLAS_BYTES (UINT64_C(32) << 20)
#define FEW_SHARDS 8

enum { DONE = 0, FAILED = 1, USAGE = 2 };
enum { TRAIN, TRAIN_LABELS, TEST, TEST_LABELS, FILES };

static const char *const file_names[FILES] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                              "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

struct plan {
    const char *data, *weights, *validate;
    uint64_t hidden, epochs, shards, batch, seed, priority;
    double rate, decay, momentum, sync;
    uint64_t parts, every; /* meetings in an epoch, or epochs between two; one of them is 1 */
    uint64_t train_bytes, average_bytes, test_bytes;
    struct buf file[FILES], prefix, group;
};

/* --- what is wanted -----------------------------------------------------------------------------
 */

static bool parse(int argc, char **argv, struct plan *p, struct buf *error) {
    const struct training_option options[] = {
        {"--data", .text = &p->data},
        {"--weights", .text = &p->weights},
        {"--validate", .text = &p->validate},
        {"--hidden", .count = &p->hidden, .min = 1, .max = 65536},
        {"--epochs", .count = &p->epochs, .min = 1, .max = 1e6},
        {"--shards", .count = &p->shards, .min = 1, .max = MLP_FILES_MAX},
        {"--batch", .count = &p->batch, .min = 1, .max = 1e6},
        {"--seed", .count = &p->seed, .min = 0, .max = 4294967295.0},
        {"--priority", .count = &p->priority, .min = 0, .max = TASK_PRIORITY_MAX - 1},
        {"--rate", .real = &p->rate, .min = 0, .max = 1e9},
        {"--decay", .real = &p->decay, .min = 0, .max = 1},
        {"--momentum", .real = &p->momentum, .min = 0, .max = 0.9999},
        {"--sync", .real = &p->sync, .min = 1e-4, .max = 1e6},
        {0}};
    if (!training_parse(argc, argv, options, NULL, 0, "options alone", error))
        return false;
    if (strcmp(p->validate, "end") != 0 && strcmp(p->validate, "each") != 0) {
        buf_addf(error, "--validate \"%.40s\", expected end or each", p->validate);
        return false;
    }
    if (!(p->sync > 0))
        p->sync = p->shards > 1 ? 2 : 1;
    p->every = p->sync >= 1 ? (uint64_t)(p->sync + 0.5) : 1;
    p->parts = p->sync < 1 ? (uint64_t)(1 / p->sync + 0.5) : 1;
    return true;
}

/* Local files may be packed or not; elsewhere they are as the data set is published. */
static bool find_files(struct plan *p, struct buf *error) {
    struct buf dir = BUF_INIT;
    bool ok = training_add_dir(&dir, "--data", p->data, error);
    for (size_t i = 0; ok && i < FILES; i++) {
        buf_addf(&p->file[i], "%s/%s", dir.data, file_names[i]);
        if (training_is_local(dir.data) && access(p->file[i].data, R_OK) == 0)
            continue;
        buf_adds(&p->file[i], ".gz");
        ok = !training_is_local(dir.data) || access(p->file[i].data, R_OK) == 0;
        if (!ok)
            buf_addf(error,
                     "%s is not there, packed or not; Debian's dataset-fashion-mnist has such "
                     "files in " MNIST,
                     p->file[i].data);
    }
    buf_free(&dir);
    return ok;
}

/* Whether a meeting is a task, which the shards wait for. */
static bool has_meetings(const struct plan *p) {
    return p->shards > FEW_SHARDS;
}

/* The kernels' own estimates, and the host. A host that has done other tasks before keeps what
 * those have read, so that every task counts the training's rows. */
static void find_bytes(struct plan *p) {
    struct mlp_shape shape = {PIXELS, p->hidden, CLASSES};
    uint64_t model = 2 * mlp_weights(shape) * sizeof(float);
    uint64_t train = dataset_file_bytes(p->file[TRAIN].data);
    uint64_t test = dataset_file_bytes(p->file[TEST].data);
    uint64_t host = TRAINING_HOST_BYTES + BLAS_BYTES + train + test;
    uint64_t models = has_meetings(p) ? 5 : 4 + p->shards;
    p->train_bytes = host + models * model + p->batch * (PIXELS + 2 * p->hidden + CLASSES) * 4;
    p->average_bytes = host + (p->shards + 3) * model;
    p->test_bytes = host + 5 * model;
}

static bool find_names(struct plan *p, struct buf *error) {
    struct buf text = BUF_INIT;
    if (!training_add_prefix(&p->prefix, "--weights", p->weights, error))
        return false;
    for (size_t i = 0; i < FILES; i++)
        training_add_stamp(&text, p->file[i].data);
    const double reals[] = {p->rate, p->decay, p->momentum, p->sync};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        training_add_real(&text, reals[i]);
        buf_addc(&text, '\n');
    }
    buf_addf(&text, "%llu %llu %llu %llu\n%s", (unsigned long long)p->hidden,
             (unsigned long long)p->shards, (unsigned long long)p->batch,
             (unsigned long long)p->seed, p->prefix.data);
    buf_adds(&p->group, "mlp/");
    plan_add_slug(&p->group, p->prefix.data);
    buf_addf(&p->group, "-%08llx",
             (unsigned long long)XXH3_64bits(text.data, text.len) & 0xffffffff);
    buf_free(&text);
    return field_name("the name of the tasks", p->group.data, p->group.len, error);
}

/* --- the task file ------------------------------------------------------------------------------
 */

/* One stretch between two meetings. */
struct stretch {
    uint64_t epoch, epochs, part; /* from 0; part within the epoch */
    double rate;
    struct buf before; /* group of what it starts from: "epoch3", "epoch3/2"; "": random */
    struct buf here;   /* and its own */
};

/* How the names of a stretch's files begin. */
static void add_stem(const struct plan *p, const struct buf *stretch, struct buf *out) {
    buf_addf(out, "%s-", p->prefix.data);
    for (const char *c = stretch->data; *c != '\0'; c++)
        buf_addc(out, *c == '/' ? '-' : *c);
}

/* The name of the mean of all shards. */
static void add_mean(const struct plan *p, const char *key, const struct buf *stretch,
                     struct buf *out) {
    struct buf stem = BUF_INIT;
    add_stem(p, stretch, &stem);
    training_add_param(out, key, "%s.npy", stem.data);
    buf_free(&stem);
}

/* shard: from 1. One alone has the mean's name. */
static void add_shard_name(const struct plan *p, const struct buf *stretch, uint64_t shard,
                           struct buf *out) {
    add_stem(p, stretch, out);
    if (p->shards > 1)
        buf_addf(out, "-shard%llu", (unsigned long long)shard);
    buf_adds(out, ".npy");
}

static void add_sgd(const struct plan *p, struct buf *out) {
    training_add_task(out, p->priority + 1, p->train_bytes, "mlp_train");
    training_add_param(out, "method", "sgd");
    training_add_param(out, "data", "%s", p->file[TRAIN].data);
    training_add_param(out, "labels", "%s", p->file[TRAIN_LABELS].data);
    training_add_param(out, "seed", "%llu", (unsigned long long)p->seed);
}

static void add_number(const char *key, double value, struct buf *out) {
    struct buf text = BUF_INIT;
    training_add_real(&text, value);
    training_add_param(out, key, "%s", text.data);
    buf_free(&text);
}

/* The names of all shards' weights after a stretch, as one parameter. */
static void add_shards(const struct plan *p, const char *key, const struct buf *stretch,
                       struct buf *out) {
    struct buf list = BUF_INIT;
    for (uint64_t shard = 1; shard <= p->shards; shard++) {
        if (shard > 1)
            buf_addc(&list, ',');
        add_shard_name(p, stretch, shard, &list);
    }
    training_add_param(out, key, "%s", list.data);
    buf_free(&list);
}

static void add_shard(const struct plan *p, const struct stretch *s, uint64_t shard,
                      struct buf *out) {
    struct buf name = BUF_INIT;
    add_sgd(p, out);
    if (s->before.len > 0) {
        (has_meetings(p) ? add_mean : add_shards)(p, "weights", &s->before, out);
    } else {
        training_add_param(out, "hidden", "%llu", (unsigned long long)p->hidden);
        training_add_param(out, "classes", "%d", CLASSES);
    }
    training_add_param(out, "epoch", "%llu", (unsigned long long)s->epoch);
    training_add_param(out, "epochs", "%llu", (unsigned long long)s->epochs);
    unsigned long long slice = s->part * p->shards + shard, slices = p->parts * p->shards;
    if (slices > 1) {
        training_add_param(out, "slice", "%llu", slice);
        training_add_param(out, "slices", "%llu", slices);
    }
    unsigned long long batch = p->batch / p->shards;
    training_add_param(out, "batch", "%llu", batch > 0 ? batch : 1);
    add_number("rate", s->rate, out);
    add_number("momentum", p->momentum, out);
    add_shard_name(p, &s->here, shard + 1, &name);
    training_add_param(out, "out", "%s", name.data);
    buf_addc(out, '\n');
    buf_free(&name);
}

static void add_average(const struct plan *p, const struct stretch *s, struct buf *out) {
    uint64_t priority = has_meetings(p) ? p->priority + 1 : p->priority; /* nobody waits for it */
    training_add_task(out, priority, p->average_bytes, "mlp_average");
    add_shards(p, "trained", &s->here, out);
    add_mean(p, "out", &s->here, out);
    buf_addc(out, '\n');
}

static void add_validation(const struct plan *p, const struct stretch *s, struct buf *out) {
    training_add_task(out, p->priority, p->test_bytes, "mlp_validate");
    training_add_param(out, "data", "%s", p->file[TEST].data);
    training_add_param(out, "labels", "%s", p->file[TEST_LABELS].data);
    add_mean(p, "weights", &s->here, out);
    buf_addc(out, '\n');
}

/* "STRETCH/part", the name of a group of tasks. after: what they wait for, within the plan; "":
 * nothing. */
static void add_group(const struct plan *p, const struct stretch *s, const char *part,
                      const char *after, struct buf *out) {
    struct buf name = BUF_INIT;
    buf_addf(&name, "%s/%s", s->here.data, part);
    training_add_group(out, p->group.data, name.data, *after != '\0' ? after : NULL);
    buf_free(&name);
}

/* How good a stretch's weights are, as soon as those of `last` are there, too. */
static void add_validated(const struct plan *p, const struct stretch *s, const struct buf *last,
                          struct buf *out) {
    struct buf after = BUF_INIT;
    buf_addf(&after, "%s/%s", last->data, p->shards > 1 ? "average" : "train");
    if (p->shards > 1 && strcmp(s->here.data, last->data) != 0)
        buf_addf(&after, ",%s/%s/average", p->group.data, s->here.data);
    add_group(p, s, "validate", after.data, out);
    add_validation(p, s, out);
    buf_free(&after);
}

static void add_stretch(const struct plan *p, const struct stretch *s, struct buf *out) {
    struct buf after = BUF_INIT;
    bool kept = s->part + 1 == p->parts;
    if (s->before.len > 0)
        buf_addf(&after, "%s/%s", s->before.data, has_meetings(p) ? "average" : "train");
    add_group(p, s, "train", after.data, out);
    for (uint64_t shard = 0; shard < p->shards; shard++)
        add_shard(p, s, shard, out);
    if (has_meetings(p) || (kept && p->shards > 1)) {
        buf_clear(&after);
        buf_addf(&after, "%s/train", s->here.data);
        add_group(p, s, "average", after.data, out);
        add_average(p, s, out);
    }
    if (kept && strcmp(p->validate, "each") == 0)
        add_validated(p, s, &s->here, out);
    buf_free(&after);
}

/* All of them when the training is over: between two meetings one worker would wait for the other,
 * which has one to do. */
static void add_validations(const struct plan *p, const struct buf *last, struct buf *out) {
    struct stretch s = {.here = BUF_INIT};
    for (unsigned long long end = 0; end < p->epochs;) {
        end = p->epochs - end < p->every ? p->epochs : end + p->every;
        buf_clear(&s.here);
        buf_addf(&s.here, "epoch%llu", end);
        add_validated(p, &s, last, out);
    }
    buf_free(&s.here);
}

static void name_stretch(const struct plan *p, struct stretch *s) {
    struct buf before = s->before;
    s->before = s->here;
    s->here = before;
    buf_clear(&s->here);
    unsigned long long end = s->epoch + s->epochs;
    buf_addf(&s->here, "epoch%llu", end);
    if (s->part + 1 < p->parts)
        buf_addf(&s->here, "/%llu", (unsigned long long)s->part + 1);
}

static void add_all(const struct plan *p, struct buf *out) {
    struct stretch s = {.rate = p->rate, .before = BUF_INIT, .here = BUF_INIT};
    buf_addf(out, "# mlp: %llu epochs in %llu shards; weights: %s-epoch*.npy\n",
             (unsigned long long)p->epochs, (unsigned long long)p->shards, p->prefix.data);
    for (s.epoch = 0; s.epoch < p->epochs; s.epoch += s.epochs) {
        s.epochs = p->epochs - s.epoch < p->every ? p->epochs - s.epoch : p->every;
        for (s.part = 0; s.part < p->parts; s.part++) {
            name_stretch(p, &s);
            add_stretch(p, &s, out);
        }
        for (uint64_t i = 0; i < s.epochs; i++)
            s.rate *= p->decay;
    }
    if (strcmp(p->validate, "end") == 0)
        add_validations(p, &s.here, out);
    buf_free(&s.before);
    buf_free(&s.here);
}

static int run(int argc, char **argv, struct buf *out, struct buf *error) {
    struct plan p = {.data = MNIST,
                     .weights = "mlp",
                     .validate = "end",
                     .hidden = 128,
                     .epochs = 10,
                     .shards = 1,
                     .batch = 128,
                     .seed = 1,
                     .rate = 0.05,
                     .decay = 0.8,
                     .momentum = 0.9,
                     .prefix = BUF_INIT,
                     .group = BUF_INIT};
    for (size_t i = 0; i < FILES; i++)
        p.file[i] = (struct buf)BUF_INIT;
    int code = parse(argc, argv, &p, error) ? DONE : USAGE;
    if (code == DONE && (!find_files(&p, error) || !find_names(&p, error)))
        code = FAILED;
    if (code == DONE) {
        find_bytes(&p);
        add_all(&p, out);
    }
    for (size_t i = 0; i < FILES; i++)
        buf_free(&p.file[i]);
    buf_free(&p.prefix);
    buf_free(&p.group);
    return code;
}

const struct planner plan_mlp = {
    .name = "mlp",
    .usage = "[--data DIR] [--weights PREFIX] [--hidden 128] [--epochs 10] [--shards 1] [--sync "
             "EPOCHS] [--batch 128] [--rate 0.05] [--decay 0.8] [--momentum 0.9] [--seed 1] "
             "[--validate end|each] [--priority N]",
    .summary = "Trains 784-hidden-10 on images (Fashion-MNIST), in shards that share weights",
    .run = run};
