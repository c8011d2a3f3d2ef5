/* See mlprun.h. */
#include "kernels/kit/mlprun.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kernels/kit/mlpfull.h"
#include "kernels/kit/mlpsgd.h"

#define ERROR_ROOM 400

int64_t mlprun_int(const struct kernel_run *run, size_t index, int64_t otherwise) {
    return kernel_given(run, index) ? kernel_int(run, index) : otherwise;
}

const char *mlprun_name(const struct kernel_run *run, size_t index) {
    return kernel_given(run, index) ? kernel_text(run, index) : NULL;
}

/* --- rows ---------------------------------------------------------------------------------------
 */

/* Which file it was; all 0: not a local one. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct kept {
    struct stamp data, labels;
    size_t columns;
    bool whole; /* nothing in it is borrowed from a task that has ended */
    struct dataset rows;
};

static struct stamp stamp_of(const char *name) {
    struct stat st;
    if (name == NULL || stat(name, &st) != 0 || !S_ISREG(st.st_mode))
        return (struct stamp){0};
    return (struct stamp){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
}

static bool stamp_same(const struct stamp *a, const struct stamp *b) {
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static void drop_kept(void *memory) {
    struct kept *kept = memory;
    if (kept == NULL)
        return;
    dataset_free(&kept->rows);
    free(kept);
}

static int read_letters(struct kernel_run *run, const char *data, const char *labels,
                        const char *bytes, size_t len, size_t columns, struct dataset *rows) {
    char error[ERROR_ROOM];
    if (labels != NULL) {
        return kernel_refuse(run, "labels=%s: %s is text, and has its labels in its lines", labels,
                             data);
    }
    bool labelled = columns == 0 || dataset_letters_columns(bytes, len) != columns;
    if (dataset_letters(bytes, len, labelled, rows, error, sizeof error))
        return 0;
    return kernel_refuse(run, "%s: %s", data, error);
}

static int read_idx(struct kernel_run *run, const char *data, const char *labels, const char *bytes,
                    size_t len, size_t columns, struct dataset *rows) {
    char error[ERROR_ROOM];
    if (labels == NULL && columns == 0) {
        return kernel_refuse(run, "%s has images without labels; give labels=FILE", data);
    }
    if (!dataset_idx(bytes, len, rows, error, sizeof error))
        return kernel_refuse(run, "%s: %s", data, error);
    const char *label_bytes;
    size_t label_len;
    if (labels == NULL)
        return 0;
    if (!kernel_read_bytes(run, labels, &label_bytes, &label_len))
        return 1;
    if (dataset_idx_labels(label_bytes, label_len, rows, error, sizeof error))
        return 0;
    return kernel_refuse(run, "%s: %s", labels, error);
}

static int read_rows(struct kernel_run *run, const char *data, const char *labels, size_t columns,
                     struct dataset *rows) {
    const char *bytes;
    size_t len;
    if (!kernel_read_bytes(run, data, &bytes, &len))
        return 1;
    return dataset_is_idx(bytes, len) ? read_idx(run, data, labels, bytes, len, columns, rows)
                                      : read_letters(run, data, labels, bytes, len, columns, rows);
}

int mlprun_data(struct kernel_run *run, const char *data, const char *labels, size_t columns,
                const struct dataset **out) {
    struct kept **place = (struct kept **)kernel_keep(run, "rows", drop_kept);
    struct stamp data_stamp = stamp_of(data), label_stamp = stamp_of(labels);
    struct kept *kept = *place;
    if (kept != NULL && kept->whole && kept->columns == columns &&
        stamp_same(&kept->data, &data_stamp) && stamp_same(&kept->labels, &label_stamp)) {
        *out = &kept->rows;
        return 0;
    }
    drop_kept(kept);
    *place = NULL;
    kept = calloc(1, sizeof *kept);
    if (kept == NULL)
        return kernel_fail(run, "out of memory");
    int code = read_rows(run, data, labels, columns, &kept->rows);
    if (code != 0) {
        drop_kept(kept);
        return code;
    }
    kept->data = data_stamp;
    kept->labels = label_stamp;
    kept->columns = columns;
    kept->whole = data_stamp.inode != 0 && kept->rows.memory[0] != NULL &&
                  (labels == NULL || (label_stamp.inode != 0 && kept->rows.memory[1] != NULL));
    *place = kept;
    *out = &kept->rows;
    return 0;
}

/* --- networks -----------------------------------------------------------------------------------
 */

int mlprun_model(struct kernel_run *run, const char *name, struct mlp *out) {
    struct kernel_array array;
    char error[ERROR_ROOM];
    if (!kernel_read(run, name, &array))
        return 1;
    if (mlp_open(&array, out, error, sizeof error))
        return 0;
    return kernel_refuse(run, "%s: %s", name, error);
}

int mlprun_network(struct kernel_run *run, const char *name, struct mlp *out) {
    int code = mlprun_model(run, name, out);
    if (code == 0 && out->kind == MLP_GRADIENT)
        return kernel_refuse(run, "%s is a gradient, not a network", name);
    return code;
}

int mlprun_models(struct kernel_run *run, size_t index, const struct mlp *start, enum mlp_kind kind,
                  struct mlp **out) {
    static const char *const kinds[] = {"", "weights", "weights with velocity", "a gradient"};
    size_t count = kernel_count(run, index);
    if (count > MLP_FILES_MAX)
        return kernel_refuse(run, "%zu files are too many at a time; %d are the most", count,
                             MLP_FILES_MAX);
    struct mlp *models = *out = kernel_scratch(run, count * sizeof *models);
    if (models == NULL)
        return 1;
    for (size_t i = 0; i < count; i++) {
        const char *name = kernel_item(run, index, i);
        const struct mlp *m = &models[i];
        int code = mlprun_model(run, name, &models[i]);
        if (code != 0)
            return code;
        if (!mlp_same_shape(m, start) || m->kind != kind || m->dtype != start->dtype)
            return kernel_refuse(run, "%s is %s of %zu-%zu-%zu, %s; expected %s of %zu-%zu-%zu, %s",
                                 name, kinds[m->kind], m->shape.inputs, m->shape.hidden,
                                 m->shape.classes, kernel_dtype_name(m->dtype), kinds[kind],
                                 start->shape.inputs, start->shape.hidden, start->shape.classes,
                                 kernel_dtype_name(start->dtype));
    }
    return 0;
}

int mlprun_fits(struct kernel_run *run, const char *name, struct mlp_shape shape,
                const struct dataset *data) {
    if (data->rows == 0)
        return 0;
    if (data->columns != shape.inputs)
        return kernel_refuse(run, "%s has %zu values in a row, the network takes %zu", name,
                             data->columns, shape.inputs);
    if (data->labels != NULL && dataset_highest_label(data) >= shape.classes)
        return kernel_refuse(run, "%s has label %u, the network's %zu classes end at %zu", name,
                             dataset_highest_label(data), shape.classes, shape.classes - 1);
    return 0;
}

int mlprun_make(struct kernel_run *run, const char *name, enum mlp_kind kind,
                enum kernel_dtype dtype, struct mlp_shape shape, struct mlp *out) {
    struct kernel_array array = {.dtype = dtype, .dims = 1, .shape = {mlp_length(kind, shape)}};
    if (!kernel_write(run, name, &array))
        return 1;
    mlp_begin(&array, kind, shape, out);
    return 0;
}

/* --- going forward ------------------------------------------------------------------------------
 */

struct mlprun_forward {
    const struct mlp *weights;
    struct mlpfull *full;
    struct mlpsgd *sgd;
    double *y;
};

struct mlprun_forward *mlprun_forward_new(struct kernel_run *run, const struct mlp *weights) {
    struct mlp_shape shape = weights->shape;
    bool full = weights->dtype == KERNEL_F64;
    size_t bytes = full ? mlpfull_bytes(shape) : mlpsgd_bytes(shape, MLPRUN_ROWS);
    struct mlprun_forward *work = kernel_scratch(run, sizeof *work);
    void *memory = work != NULL ? kernel_scratch(run, bytes) : NULL;
    double *y =
        memory != NULL ? kernel_scratch(run, MLPRUN_ROWS * shape.classes * sizeof(double)) : NULL;
    if (y == NULL)
        return NULL;
    *work = (struct mlprun_forward){.weights = weights, .y = y};
    if (full) {
        work->full = mlpfull_new(memory, shape);
        mlpfull_set(work->full, weights->numbers);
    } else
        work->sgd = mlpsgd_new(memory, shape, MLPRUN_ROWS);
    return work;
}

const double *mlprun_forward(struct mlprun_forward *work, const struct dataset *data, size_t from,
                             size_t count) {
    if (work->full != NULL) {
        mlpfull_forward(work->full, data, from, count, work->y);
        return work->y;
    }
    struct mlpsgd_rows rows = {.data = data, .from = from, .count = count};
    const float *y = mlpsgd_forward(work->sgd, rows, work->weights->numbers);
    for (size_t i = 0; i < count * work->weights->shape.classes; i++)
        work->y[i] = (double)y[i];
    return work->y;
}

unsigned mlprun_best(const double *y, size_t classes) {
    unsigned best = 0;
    for (unsigned c = 1; c < classes; c++)
        if (y[c] > y[best])
            best = c;
    return best;
}
