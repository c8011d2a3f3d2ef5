#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "manager/print.h"
#include "manager/progress.h"

static void lines(void **state) {
    (void)state;
    static const struct {
        struct progress_view view;
        const char *line;
    } rows[] = {
        {{"loading", NULL, 1500, 3000, 2000, 750, 80},
         "loading ▕███████████████▌               ▏  50 %  1,500 of 3,000  750/s  2s left"},
        {{"loading", NULL, 0, 0, 500, 0, 80}, "loading  0"},
        {{"loading", NULL, 1200, 0, 4200, 300, 80}, "loading  1,200  300/s  4s"},
        {{"waiting", "3 failed", 10, 10, 61000, 0.25, 60},
         "waiting ▕█████████▏ 100 %  10 of 10  0.25/s  1m1s  3 failed"},
        /* no room for a bar, then none for the figures */
        {{"loading", NULL, 1, 4, 900, 1, 30}, "loading  25 %  1 of 4  1/s  …"},
        {{"loading", NULL, 1, 4, 900, 1, 10}, "loading …"},
        /* more done than there was to do */
        {{"l", NULL, 5, 4, 900, 0, 40}, "l ▕█████████████████████▏ 100 %  5 of 4"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf line = BUF_INIT;
        progress_line(&rows[i].view, &line);
        assert_string_equal(line.data, rows[i].line);
        assert_true(print_width(line.data, line.len) < rows[i].view.width);
        buf_free(&line);
    }
}

static void nothing_without_a_terminal(void **state) {
    (void)state;
    FILE *file = tmpfile();
    struct progress *progress = progress_new(file, "loading", 10, false);
    assert_null(progress);
    progress_set(progress, 5);
    progress_set_total(progress, 7);
    progress_set_remark(progress, "x");
    progress_hide(progress);
    progress_free(progress);
    assert_int_equal(ftell(file), 0);
    fclose(file);
}

static int64_t now_ms;

static mono_ms_t fake_mono(void) {
    return (mono_ms_t){now_ms};
}

/* A pseudo-terminal of 60 columns; what is written to *file comes out of the result. */
static int open_terminal(FILE **file) {
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    assert_true(master >= 0);
    assert_int_equal(grantpt(master), 0);
    assert_int_equal(unlockpt(master), 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(slave >= 0);
    struct winsize size = {.ws_row = 24, .ws_col = 60};
    assert_int_equal(ioctl(slave, TIOCSWINSZ, &size), 0);
    *file = fdopen(slave, "w");
    return master;
}

static size_t redraws(int master, struct buf *all) {
    char bytes[4096];
    ssize_t len;
    size_t count = 0;
    buf_clear(all);
    while ((len = read(master, bytes, sizeof bytes)) > 0)
        buf_add(all, bytes, (size_t)len);
    for (size_t i = 0; i < all->len; i++)
        count += all->data[i] == '\r';
    return count;
}

static void on_a_terminal(void **state) {
    (void)state;
    const struct clock_source source = {fake_mono, NULL};
    clock_replace(&source);
    FILE *file;
    int master = open_terminal(&file);
    struct buf shown = BUF_INIT;
    assert_null(progress_new(file, "loading", 10, true)); /* --quiet */
    struct progress *progress = progress_new(file, "loading", 10000, false);
    for (int i = 0; i < 499; i++, now_ms++)
        progress_set(progress, (uint64_t)i);
    assert_int_equal(redraws(master, &shown), 0);
    /* ten times a second, however often it is set */
    for (int i = 499; i < 2499; i++, now_ms++)
        progress_set(progress, (uint64_t)i);
    size_t count = redraws(master, &shown);
    assert_in_range(count, 19, 21);
    assert_non_null(strstr(shown.data, "of 10,000  1000/s"));
    progress_free(progress);
    assert_int_equal(redraws(master, &shown), 1);
    assert_string_equal(shown.data, "\r\033[K");
    clock_replace(NULL);
    fclose(file);
    close(master);
    buf_free(&shown);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),
        cmocka_unit_test(nothing_without_a_terminal),
        cmocka_unit_test(on_a_terminal),
    };
    return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
