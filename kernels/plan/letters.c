/*
 * letters.c - redisPlan letters: training over several files in rounds (docs/training.md).
 *
 *     train: one task a file ──► average ──► validate
 *       ▲                           │
 *       └──── the next round ◄──────┘
 *
 * What a task is called and where its weights go hangs on the files, EPOCHS, H and ETA, and not on
 * ROUNDS: so a plan that is loaded again adds nothing, and one with more rounds goes on from the
 * last.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/field.h"
#include "kernels/kit/dataset.h"
#include "kernels/kit/mlp.h"
#include "kernels/plan/plan.h"
#include "kernels/plan/training.h"
#include "kernels/plan/words.h"

#define CLASSES   26
#define INPUTS    16
#define STOP      "0.2"
#define FILES_MAX MLP_FILES_MAX

enum { DONE = 0, FAILED = 1, USAGE = 2 };

struct plan {
    const char *weights; /* as given, or NULL */
    uint64_t files, rounds, epochs, hidden, priority;
    double rate;
    uint64_t bytes; /* of a task */
    struct buf dir, prefix, group, rate_text;
};

/* --- what is wanted -----------------------------------------------------------------------------
 */

static bool parse(int argc, char **argv, struct plan *plan, const char **dir, struct buf *error) {
    const struct training_option options[] = {
        {"--weights", .text = &plan->weights},
        {"--files", .count = &plan->files, .min = 1, .max = FILES_MAX},
        {"--priority", .count = &plan->priority, .min = 0, .max = TASK_PRIORITY_MAX - 1},
        {0}};
    const char *words[5] = {0};
    if (!training_parse(argc, argv, options, words, 5, "DIR ROUNDS EPOCHS H ETA", error))
        return false;
    *dir = words[0];
    return training_count("ROUNDS", words[1], 1, 1e6, &plan->rounds, error) &&
           training_count("EPOCHS", words[2], 1, 1e9, &plan->epochs, error) &&
           training_count("H", words[3], 1, 1e6, &plan->hidden, error) &&
           training_real("ETA", words[4], 0, 1e9, &plan->rate, error);
}

static void add_train_file(const struct plan *plan, uint64_t file, struct buf *out) {
    buf_addf(out, "%s/train_letters%llu.txt", plan->dir.data, (unsigned long long)file);
}

static bool is_there(const char *name) {
    return access(name, R_OK) == 0;
}

/* Counts local files; elsewhere there are as many as --files says, or eleven. */
static bool count_files(struct plan *plan, struct buf *error) {
    bool local = training_is_local(plan->dir.data);
    uint64_t wanted = plan->files != 0 ? plan->files : local ? FILES_MAX : 11, found = 0;
    struct buf name = BUF_INIT;
    for (; found < wanted; found++) {
        buf_clear(&name);
        add_train_file(plan, found + 1, &name);
        if (local && !is_there(name.data))
            break;
    }
    bool ok = found > 0 && (plan->files == 0 || found == plan->files);
    if (ok) {
        plan->files = found;
        buf_clear(&name);
        buf_addf(&name, "%s/validate_letters.txt", plan->dir.data);
        ok = !local || is_there(name.data);
    }
    if (!ok)
        buf_addf(error, "%s is not there or cannot be read; taskfiles/letters makes the files",
                 name.data);
    buf_free(&name);
    return ok;
}

/* The largest file decides, its rows as read beside it. */
static void find_bytes(struct plan *plan) {
    struct buf name = BUF_INIT;
    uint64_t most = 0;
    for (uint64_t file = 0; file <= plan->files; file++) {
        buf_clear(&name);
        if (file > 0)
            add_train_file(plan, file, &name);
        else
            buf_addf(&name, "%s/validate_letters.txt", plan->dir.data);
        uint64_t bytes =
            training_is_local(plan->dir.data) ? dataset_file_bytes(name.data) : 1u << 20;
        most = bytes > most ? bytes : most;
    }
    struct mlp_shape shape = {INPUTS, plan->hidden, CLASSES};
    uint64_t weights = mlp_weights(shape) * sizeof(double);
    plan->bytes = TRAINING_HOST_BYTES + 2 * most + (plan->files + 8) * weights;
    buf_free(&name);
}

static bool find_names(struct plan *plan, struct buf *error) {
    struct buf name = BUF_INIT, text = BUF_INIT;
    training_add_real(&plan->rate_text, plan->rate);
    buf_addf(&name, "h%llu-e%llu-%s", (unsigned long long)plan->hidden,
             (unsigned long long)plan->epochs, plan->rate_text.data);
    bool ok = true;
    if (plan->weights != NULL)
        ok = training_add_prefix(&plan->prefix, "--weights", plan->weights, error);
    else if (strncmp(plan->dir.data, "http", 4) == 0) {
        buf_addf(error, "DIR is a URL: --weights PREFIX says where weights go");
        ok = false;
    } else
        buf_addf(&plan->prefix, "%s/%s", plan->dir.data, name.data);
    for (uint64_t file = 1; file <= plan->files; file++) {
        struct buf one = BUF_INIT;
        add_train_file(plan, file, &one);
        training_add_stamp(&text, one.data);
        buf_free(&one);
    }
    buf_adds(&text, plan->prefix.data);
    buf_adds(&plan->group, "letters/");
    plan_add_slug(&plan->group, plan->dir.data);
    buf_addf(&plan->group, "-%08llx/%s",
             (unsigned long long)XXH3_64bits(text.data, text.len) & 0xffffffff, name.data);
    ok = ok && field_name("the name of the tasks", plan->group.data, plan->group.len, error);
    buf_free(&name);
    buf_free(&text);
    return ok;
}

/* --- the task file ------------------------------------------------------------------------------
 */

static void add_round_weights(const struct plan *plan, const char *key, uint64_t round,
                              struct buf *out) {
    training_add_param(out, key, "%s-round%llu.npy", plan->prefix.data, (unsigned long long)round);
}

static void add_training(const struct plan *plan, uint64_t round, struct buf *out) {
    for (uint64_t file = 1; file <= plan->files; file++) {
        training_add_task(out, plan->priority + 1, plan->bytes, "mlp_train");
        training_add_param(out, "data", "%s/train_letters%llu.txt", plan->dir.data,
                           (unsigned long long)file);
        if (round > 1) {
            add_round_weights(plan, "weights", round - 1, out);
        } else {
            training_add_param(out, "hidden", "%llu", (unsigned long long)plan->hidden);
            training_add_param(out, "classes", "%d", CLASSES);
        }
        training_add_param(out, "epochs", "%llu", (unsigned long long)plan->epochs);
        training_add_param(out, "rate", "%s", plan->rate_text.data);
        training_add_param(out, "stop", STOP);
        training_add_param(out, "out", "%s-round%llu-file%llu.npy", plan->prefix.data,
                           (unsigned long long)round, (unsigned long long)file);
        buf_addc(out, '\n');
    }
}

static void add_average(const struct plan *plan, uint64_t round, struct buf *out) {
    struct buf list = BUF_INIT;
    for (uint64_t file = 1; file <= plan->files; file++)
        buf_addf(&list, "%s%s-round%llu-file%llu.npy", file > 1 ? "," : "", plan->prefix.data,
                 (unsigned long long)round, (unsigned long long)file);
    training_add_task(out, plan->priority + 1, plan->bytes, "mlp_average");
    if (round > 1)
        add_round_weights(plan, "start", round - 1, out);
    else /* what the first round's trainings begin with */
        training_add_param(out, "seed", "0");
    training_add_param(out, "trained", "%s", list.data);
    add_round_weights(plan, "out", round, out);
    buf_addc(out, '\n');
    buf_free(&list);
}

static void add_validation(const struct plan *plan, uint64_t round, struct buf *out) {
    training_add_task(out, plan->priority, plan->bytes, "mlp_validate");
    training_add_param(out, "data", "%s/validate_letters.txt", plan->dir.data);
    add_round_weights(plan, "weights", round, out);
    buf_addc(out, '\n');
}

static void add_round(const struct plan *plan, uint64_t round, struct buf *out) {
    static const char *const parts[] = {"train", "average", "validate"};
    static void (*const add[])(const struct plan *, uint64_t,
                               struct buf *) = {add_training, add_average, add_validation};
    struct buf name = BUF_INIT, after = BUF_INIT;
    if (round > 1)
        buf_addf(&after, "round%llu/average", (unsigned long long)round - 1);
    for (size_t i = 0; i < 3; i++) {
        buf_clear(&name);
        buf_addf(&name, "round%llu/%s", (unsigned long long)round, parts[i]);
        training_add_group(out, plan->group.data, name.data, after.len > 0 ? after.data : NULL);
        add[i](plan, round, out);
        buf_clear(&after);
        buf_adds(&after, name.data);
    }
    buf_free(&name);
    buf_free(&after);
}

static int run(int argc, char **argv, struct buf *out, struct buf *error) {
    struct plan plan = {
        .dir = BUF_INIT, .prefix = BUF_INIT, .group = BUF_INIT, .rate_text = BUF_INIT};
    const char *dir = NULL;
    int code = parse(argc, argv, &plan, &dir, error) ? DONE : USAGE;
    if (code == DONE && (!training_add_dir(&plan.dir, "DIR", dir, error) ||
                         !count_files(&plan, error) || !find_names(&plan, error)))
        code = FAILED;
    if (code == DONE) {
        find_bytes(&plan);
        buf_addf(out, "# letters: %llu files in %s, %llu rounds; weights: %s-round*.npy\n",
                 (unsigned long long)plan.files, plan.dir.data, (unsigned long long)plan.rounds,
                 plan.prefix.data);
        for (uint64_t round = 1; round <= plan.rounds; round++)
            add_round(&plan, round, out);
    }
    buf_free(&plan.dir);
    buf_free(&plan.prefix);
    buf_free(&plan.group);
    buf_free(&plan.rate_text);
    return code;
}

const struct planner plan_letters = {
    .name = "letters",
    .usage = "DIR ROUNDS EPOCHS H ETA [--weights PREFIX] [--files N] [--priority N]",
    .summary = "Trains a network on DIR/train_letters*.txt in rounds, and validates each",
    .run = run};
