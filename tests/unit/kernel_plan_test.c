/* How a plan cuts a product into blocks, and how it writes names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/words.h"
#include "kernels/plan/blocks.h"
#include "kernels/plan/words.h"
#include "tests/unit/draw.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static struct blocks_wish wish_of(size_t m, size_t n, size_t k, uint64_t mem, size_t workers) {
    return (struct blocks_wish){
        .a = {m, k, false, false}, .b = {k, n, false, false}, .mem_bytes = mem, .workers = workers};
}

static struct blocks chosen(const struct blocks_wish *wish) {
    struct blocks blocks;
    struct buf error = BUF_INIT;
    if (!blocks_choose(wish, &blocks, &error))
        fail_msg("%s", error.data);
    buf_free(&error);
    return blocks;
}

static void refused(const struct blocks_wish *wish, const char *part) {
    struct blocks blocks;
    struct buf error = BUF_INIT;
    assert_false(blocks_choose(wish, &blocks, &error));
    if (!strstr(error.data, part))
        fail_msg("\"%s\" is not in: %s", part, error.data);
    buf_free(&error);
}

static void a_small_product_is_one_task(void **state) {
    (void)state;
    static const size_t shapes[][3] = {
        {500, 500, 500}, {1, 1, 1}, {0, 10, 10}, {10, 0, 10}, {9, 9, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct blocks_wish wish = wish_of(shapes[i][0], shapes[i][1], shapes[i][2], GIB, 64);
        struct blocks blocks = chosen(&wish);
        assert_int_equal(blocks.down * blocks.across, 1);
        assert_true(blocks.rows == shapes[i][0] && blocks.cols == shapes[i][1]);
    }
}

static void every_worker_gets_two(void **state) {
    (void)state;
    struct blocks_wish wish = wish_of(4096, 4096, 4096, GIB, 2);
    struct blocks blocks = chosen(&wish);
    assert_true(blocks.down == 2 && blocks.across == 2 && blocks.rows == 2048);
    wish.workers = 8;
    blocks = chosen(&wish);
    assert_int_equal(blocks.down * blocks.across, 16);
    wish = wish_of(100000, 300, 2000, GIB, 4); /* B is small: it may as well be read often */
    blocks = chosen(&wish);
    assert_true(blocks.across == 1 && blocks.down >= 8);
    wish = wish_of(300, 100000, 2000, GIB, 4);
    blocks = chosen(&wish);
    assert_true(blocks.down == 1 && blocks.across >= 8);
}

/* Whatever is wished for: it fits, covers all, and is not more than it must be. */
static void all_that_is_chosen_fits(void **state) {
    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        size_t m = 1 + draw(20000), n = 1 + draw(20000), k = 1 + draw(20000);
        struct blocks_wish wish = wish_of(m, n, k, (100 + draw(2000)) * MIB, 1 + draw(100));
        wish.single = draw(2);
        wish.a.fortran = draw(2);
        wish.b.fortran = draw(2);
        struct blocks blocks;
        struct buf error = BUF_INIT;
        if (!blocks_choose(&wish, &blocks, &error)) { /* B's smallest panel is too much */
            assert_true(wish.mem_bytes < 200 * MIB && strstr(error.data, "at least"));
            buf_free(&error);
            continue;
        }
        struct matmul_job job = {wish.a, wish.b, blocks.rows, blocks.cols, wish.single, 1};
        assert_true(blocks.mem_bytes <= wish.mem_bytes);
        assert_int_equal(blocks.mem_bytes, matmul_bytes(&job, blocks.panel));
        assert_true(blocks.rows <= m && blocks.cols <= n && blocks.rows && blocks.cols);
        assert_true(blocks.down * blocks.rows >= m && (blocks.down - 1) * blocks.rows < m);
        assert_true(blocks.across * blocks.cols >= n && (blocks.across - 1) * blocks.cols < n);
        assert_true(blocks.down * blocks.across <= BLOCKS_MOST);
        struct blocks_wish more = wish; /* with more memory, no more is read */
        more.mem_bytes *= 2;
        struct blocks roomy = chosen(&more);
        if (blocks.panel == k)
            assert_true((double)roomy.across * (double)m + (double)roomy.down * (double)n <=
                        (double)blocks.across * (double)m + (double)blocks.down * (double)n);
        buf_free(&error);
    }
}

static void what_was_wished_for(void **state) {
    (void)state;
    struct blocks_wish wish = wish_of(1000, 600, 300, GIB, 2);
    wish.rows = 300;
    wish.cols = 700;
    struct blocks blocks = chosen(&wish);
    assert_true(blocks.rows == 300 && blocks.cols == 600 && blocks.down == 4 && blocks.across == 1);
    wish.rows = wish.cols = 1;
    refused(&wish, "makes 1000x600 blocks, more than 16384");
    wish.rows = wish.cols = 500;
    wish.mem_bytes = 20 * MIB;
    refused(&wish, "blocks of 500x500 need");
    wish.mem_bytes = GIB;
    wish.most_bytes = MIB;
    refused(&wish, "larger than an object may be (1.0 MiB)");
    wish.rows = wish.cols = 0; /* chosen ones keep to it */
    blocks = chosen(&wish);
    assert_true(blocks.rows * blocks.cols * 8 < MIB);
    wish.mem_bytes = 10 * MIB;
    refused(&wish, "--mem");
}

static void words_come_back(void **state) {
    (void)state;
    static const char *const texts[] = {"plain-1.2/x:y", "",  " ", "it's", "a\"b\\c",
                                        "$HOME `x` *",   "''"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct buf out = BUF_INIT, error = BUF_INIT;
        struct words words = WORDS_INIT;
        size_t offset;
        buf_adds(&out, "a=");
        plan_add_word(&out, texts[i]);
        assert_true(words_split(out.data, out.len, &words, &offset, &error));
        assert_int_equal(words.count, 1);
        assert_string_equal(words.argv[0] + 2, texts[i]);
        words_free(&words);
        buf_free(&out);
        buf_free(&error);
    }
}

static void names(void **state) {
    (void)state;
    static const char *const good[] = {"a.npy", "redis:x", "dir/it's", "http://h/x?y=1"};
    static const char *const bad[] = {"", "a,b", "a\nb", "a\tb", "\x7f"};
    static const char *const slugs[][2] = {{"dir/C x.npy", "C_x.npy"},
                                           {"redis:C", "C"},
                                           {"/a/b/", "b"},
                                           {"C", "C"},
                                           {"http://h/a?b", "a_b"}};
    struct buf text = BUF_INIT;
    for (size_t i = 0; i < 4; i++)
        assert_true(plan_check_name("A", good[i], &text));
    assert_int_equal(text.len, 0);
    for (size_t i = 0; i < 5; i++) {
        buf_clear(&text);
        assert_false(plan_check_name("A", bad[i], &text));
        assert_true(strncmp(text.data, "A ", 2) == 0);
    }
    for (size_t i = 0; i < 5; i++) {
        buf_clear(&text);
        plan_add_slug(&text, slugs[i][0]);
        assert_string_equal(text.data, slugs[i][1]);
    }
    buf_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_product_is_one_task),
        cmocka_unit_test(every_worker_gets_two),
        cmocka_unit_test(all_that_is_chosen_fits),
        cmocka_unit_test(what_was_wished_for),
        cmocka_unit_test(words_come_back),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
