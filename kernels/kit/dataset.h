/*
 * dataset.h - rows of small integers with labels, from the two forms that the networks learn from.
 *
 * letters: text without a header, a line a row, integers 0 to 255 joined by ','; the last of a line
 *          is its label where the file has labels. The last line may lack its end.
 * idx:     the form of MNIST and its like: unsigned bytes with one to four dimensions, the first of
 *          which is the row; labels are a second file, of one dimension. Both may be gzip'ed.
 *
 * Functions return false with one line in error (room bytes), without the name of the file. Pure
 * but for malloc, and dataset_file_bytes.
 */
#ifndef DISTCOMP_KIT_DATASET_H
#define DISTCOMP_KIT_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DATASET_LABELS 256 /* a label is 0 to 255 */

struct dataset {
    size_t rows, columns; /* columns: the label not counted */
    const uint8_t *values;
    size_t stride;         /* bytes from a row to the next */
    const uint8_t *labels; /* NULL: it has none */
    size_t label_stride;
    double scale;    /* a value means scale x byte: 1 for letters, 1/255 for idx */
    void *memory[2]; /* owned: what the pointers above lead to; NULL where they are borrowed */
};

static inline const uint8_t *dataset_row(const struct dataset *d, size_t row) {
    return d->values + row * d->stride;
}
static inline unsigned dataset_label(const struct dataset *d, size_t row) {
    return d->labels[row * d->label_stride];
}

/* Whether bytes begin as an idx file does, or as a gzip'ed one. */
bool dataset_is_idx(const void *bytes, size_t len);
/* labelled: the last column is the label. An empty text has no rows and no columns. */
bool dataset_letters(const char *text, size_t len, bool labelled, struct dataset *out, char *error,
                     size_t room);
/* How many columns the first line has, the label counted. */
size_t dataset_letters_columns(const char *text, size_t len);
/* Where a file is not gzip'ed, out borrows from its bytes. */
bool dataset_idx(const void *bytes, size_t len, struct dataset *out, char *error, size_t room);
/* Gives images their labels: as many as there are rows. */
bool dataset_idx_labels(const void *bytes, size_t len, struct dataset *out, char *error,
                        size_t room);
/* The highest label; 0 when there are none. */
unsigned dataset_highest_label(const struct dataset *d);
/* What reading a local file will take, packed and unpacked; 0: it is none, or cannot be read. */
uint64_t dataset_file_bytes(const char *path);
void dataset_free(struct dataset *d); /* one that is all zero is fine */

#endif
