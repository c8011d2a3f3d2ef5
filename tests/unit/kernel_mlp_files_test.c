/* Reading rows: letters as text, images as idx files, whole, packed and broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>
#include <zlib.h>

#include "kernels/kit/dataset.h"

#define NO_ERROR ""
static void letters_by_table(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool labelled;
        size_t rows, columns;
        const char *error;
    } table[] = {
        {"", true, 0, 0, NO_ERROR},
        {"1,2,3\n", true, 1, 2, NO_ERROR},
        {"1,2,3", true, 1, 2, NO_ERROR},
        {"1,2,3", false, 1, 3, NO_ERROR},
        {"7", false, 1, 1, NO_ERROR},
        {"0,255,1\r\n 3 , 4, 5 \n", true, 2, 2, NO_ERROR},
        {"7\n", true, 0, 0, "line 1 has one value"},
        {"1,2\n1,2,3\n", true, 0, 0, "line 2 has more than the 2 values"},
        {"1,2,3\n1,2\n", true, 0, 0, "line 2 has fewer than the 3 values"},
        {"1,2\n\n3,4\n", true, 0, 0, "line 2, column 1: expected an integer"},
        {"1,2\n3,256\n", true, 0, 0, "line 2, column 3: expected an integer"},
        {"1,2\n3,-4\n", true, 0, 0, "line 2, column 3: expected"},
        {"1,nan\n", true, 0, 0, "line 1, column 3: expected"},
        {"1,2.5\n", true, 0, 0, "line 1, column 3: expected"},
        {"1,,2\n", true, 0, 0, "line 1, column 3: expected"},
        {"1,2,\n", true, 0, 0, "line 1, column 5: expected"},
        {"a,b\n", true, 0, 0, "line 1, column 1: expected"},
        {"1,2,3,4,5,6,7,8,9,10,11,12\n1\n1\n1\n1\n1\n", true, 0, 0, "line 2 has fewer"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct dataset d;
        char error[200] = "";
        bool ok = dataset_letters(table[i].text, strlen(table[i].text), table[i].labelled, &d,
                                  error, sizeof error);
        assert_int_equal(ok, *table[i].error == '\0');
        if (strstr(error, table[i].error) == NULL)
            fail_msg("\"%s\": %s", table[i].text, error);
        if (ok) {
            assert_int_equal(d.rows, table[i].rows);
            assert_int_equal(d.columns, table[i].columns);
            dataset_free(&d);
        }
    }
}

static void letters_have_their_values(void **state) {
    (void)state;
    struct dataset d;
    char error[200];
    assert_true(dataset_letters("1,2,3\n250,5,60", 14, true, &d, error, sizeof error));
    assert_int_equal(dataset_row(&d, 1)[0], 250);
    assert_int_equal(dataset_row(&d, 1)[1], 5);
    assert_int_equal(dataset_label(&d, 0), 3);
    assert_int_equal(dataset_highest_label(&d), 60);
    dataset_free(&d);
}

static size_t gzip(const unsigned char *from, size_t len, unsigned char *to, size_t room) {
    z_stream z = {.next_in = (Bytef *)(uintptr_t)from, .avail_in = (uInt)len};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = to;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return room - z.avail_out;
}

static const unsigned char images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0,
                                       1, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255};
static const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 7, 9};

static void images_are_read(void **state) {
    (void)state;
    unsigned char packed[200], packed_labels[200];
    size_t len = gzip(images, sizeof images, packed, sizeof packed);
    size_t labels_len = gzip(labels, sizeof labels, packed_labels, sizeof packed_labels);
    for (int zipped = 0; zipped < 2; zipped++) {
        struct dataset d;
        char error[200] = "";
        const void *bytes = zipped ? packed : images, *more = zipped ? packed_labels : labels;
        assert_true(dataset_is_idx(bytes, zipped ? len : sizeof images));
        if (!dataset_idx(bytes, zipped ? len : sizeof images, &d, error, sizeof error) ||
            !dataset_idx_labels(more, zipped ? labels_len : sizeof labels, &d, error, sizeof error))
            fail_msg("%s", error);
        assert_int_equal(d.rows, 2);
        assert_int_equal(d.columns, 3);
        assert_memory_equal(dataset_row(&d, 1), images + 19, 3);
        assert_int_equal(dataset_label(&d, 1), 9);
        assert_true(fabs(d.scale * 255 - 1) < 1e-15);
        dataset_free(&d);
    }
    assert_false(dataset_is_idx("1,2,3", 5));
    assert_false(dataset_is_idx("", 0));
}

/* Each byte less, each wrong byte of the head: an error, never a crash (sanitizers look on). */
static void broken_images_are_refused(void **state) {
    (void)state;
    unsigned char packed[200], bytes[200];
    size_t len = gzip(images, sizeof images, packed, sizeof packed);
    struct dataset d;
    char error[200];
    for (int zipped = 0; zipped < 2; zipped++) {
        const unsigned char *whole = zipped ? packed : images;
        size_t full = zipped ? len : sizeof images;
        for (size_t cut = 0; cut < full; cut++) {
            unsigned char *exact = malloc(cut + 1);
            memcpy(exact, whole, cut);
            *error = '\0';
            bool read = dataset_idx(exact, cut, &d, error, sizeof error);
            /* Of a packed file only its check sum may be missing. */
            assert_true(!read || (zipped && cut >= full - 8));
            assert_int_equal(*error == '\0', read);
            if (read)
                dataset_free(&d);
            free(exact);
        }
    }
    static const struct {
        size_t at;
        unsigned char byte;
        const char *error;
    } wrong[] = {{1, 1, "not an idx file"},     {2, 13, "type 0x0d"},
                 {3, 0, "0 dimensions"},        {3, 5, "5 dimensions"},
                 {7, 3, "the file has fewer"},  {7, 1, "the file has more"},
                 {4, 255, "the file has fewer"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        memcpy(bytes, images, sizeof images);
        bytes[wrong[i].at] = wrong[i].byte;
        assert_false(dataset_idx(bytes, sizeof images, &d, error, sizeof error));
        if (strstr(error, wrong[i].error) == NULL)
            fail_msg("byte %zu: %s", wrong[i].at, error);
    }
    memset(bytes + 4, 255, 12);
    assert_false(dataset_idx(bytes, sizeof images, &d, error, sizeof error));
    assert_true(dataset_idx(images, sizeof images, &d, error, sizeof error));
    memcpy(bytes, labels, sizeof labels);
    bytes[7] = 1;
    assert_false(dataset_idx_labels(bytes, sizeof labels - 1, &d, error, sizeof error));
    assert_non_null(strstr(error, "1 labels"));
    assert_false(dataset_idx_labels(images, sizeof images, &d, error, sizeof error));
    dataset_free(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_by_table),
        cmocka_unit_test(letters_have_their_values),
        cmocka_unit_test(images_are_read),
        cmocka_unit_test(broken_images_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
