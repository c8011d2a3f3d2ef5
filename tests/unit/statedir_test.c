/* statedir.h: the lives of a state directory, and which of them a worker that starts may call over;
 * standing.h: the order that outlives an agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/standing.h"
#include "worker/statedir.h"

static char box[64], dir[96], copy[96];
static char error[512];
static struct statedir_life lives[STATEDIR_LIVES];
static size_t count;

static int up(void **state) {
    (void)state;
    snprintf(box, sizeof box, "/tmp/distcomp-statedir-XXXXXX");
    assert_non_null(mkdtemp(box));
    snprintf(dir, sizeof dir, "%s/state", box);
    snprintf(copy, sizeof copy, "%s/copy", box);
    return 0;
}

static void shell(const char *command) {
    char line[512];
    snprintf(line, sizeof line, "cd %s && %s", box, command);
    assert_int_equal(system(line), 0);
}

static int down(void **state) {
    (void)state;
    shell("rm -rf state copy");
    assert_int_equal(rmdir(box), 0);
    return 0;
}

/* A supervisor starts and dies; its incarnation. */
static uint64_t live(const char *path) {
    struct statedir sd;
    assert_int_equal(statedir_open(&sd, path, error, sizeof error), STATEDIR_OK);
    assert_int_equal(statedir_commit(&sd, error, sizeof error), STATEDIR_OK);
    uint64_t incarnation = sd.incarnation;
    statedir_close(&sd);
    return incarnation;
}

static void all_earlier_lives_are_told(void **state) {
    (void)state;
    uint64_t first = live(dir);
    assert_true(statedir_lives(dir, first, lives, &count));
    assert_int_equal(count, 0);
    uint64_t second = live(dir), third = live(dir);
    assert_true(statedir_lives(dir, third, lives, &count));
    assert_int_equal(count, 2);
    assert_true(lives[0].incarnation == second && lives[0].same_boot);
    assert_true(lives[1].incarnation == first && lives[1].same_boot);
    assert_false(statedir_lives(dir, first, lives, &count)); /* another supervisor's file */
    assert_int_equal(count, 0);
}

static void a_bounded_number_is_kept(void **state) {
    (void)state;
    uint64_t last = 0, before = 0;
    for (int i = 0; i < 2 * STATEDIR_LIVES; i++) {
        before = last;
        last = live(dir);
    }
    assert_true(statedir_lives(dir, last, lives, &count));
    assert_int_equal(count, STATEDIR_LIVES - 1);
    assert_true(lives[0].incarnation == before);
    for (size_t i = 0; i < count; i++)
        assert_true(lives[i].incarnation != 0);
}

static void a_copy_on_the_same_machine_proves_nothing(void **state) {
    (void)state;
    live(dir);
    live(dir);
    shell("cp -r state copy");
    uint64_t first = live(copy);
    assert_true(statedir_lives(copy, first, lives, &count));
    assert_int_equal(count, 0); /* its owner may live */
    uint64_t second = live(copy);
    assert_true(statedir_lives(copy, second, lives, &count));
    assert_int_equal(count, 1);
    assert_true(lives[0].incarnation == first);
}

static void lives_of_an_earlier_boot(void **state) {
    (void)state;
    live(dir);
    /* What a reboot leaves, or an image of another machine. */
    shell(
        "printf '00000000000000ab 11111111-2222-3333-4444-555555555555 1:2\\n' >state/incarnation");
    uint64_t now = live(dir);
    assert_true(statedir_lives(dir, now, lives, &count));
    assert_int_equal(count, 1);
    assert_true(lives[0].incarnation == 0xab && !lives[0].same_boot);
}

static void a_file_of_before_the_upgrade(void **state) {
    (void)state;
    live(dir);
    shell("printf '00000000000000ab %s\\n' $(cat /proc/sys/kernel/random/boot_id) "
          ">state/incarnation");
    assert_false(statedir_lives(dir, 0xab, lives, &count)); /* its supervisor lives on */
    struct statedir sd;
    assert_int_equal(statedir_open(&sd, dir, error, sizeof error), STATEDIR_OK);
    assert_true(sd.previous == 0xab && sd.same_boot);
    statedir_close(&sd);
    uint64_t now = live(dir);
    assert_true(statedir_lives(dir, now, lives, &count));
    assert_int_equal(count, 1);
    assert_true(lives[0].incarnation == 0xab && lives[0].same_boot);
}

static void files_that_are_no_files(void **state) {
    (void)state;
    live(dir);
    static const char *const spoiled[] = {
        "", "x", "12", "00000000000000ab", "\\n\\n", "zzzzzzzzzzzzzzzz boot 1:2\\n", NULL};
    for (int i = 0; spoiled[i]; i++) {
        char command[128];
        snprintf(command, sizeof command, "printf '%s' >state/incarnation", spoiled[i]);
        shell(command);
        uint64_t now = live(dir);
        assert_true(statedir_lives(dir, now, lives, &count));
        assert_int_equal(count, 0);
    }
    shell("rm state/incarnation");
    assert_false(statedir_lives(dir, 1, lives, &count));
    assert_false(statedir_lives("/nonexistent", 1, lives, &count));
}

static void an_order_holds_for_its_incarnation(void **state) {
    (void)state;
    live(dir);
    assert_int_equal(standing_read(dir, "00ab"), STANDING_NONE);
    assert_true(standing_keep(dir, "00ab", STANDING_STOP));
    assert_int_equal(standing_read(dir, "00ab"), STANDING_STOP);
    assert_int_equal(standing_read(dir, "00ac"), STANDING_NONE); /* started anew */
    assert_true(standing_keep(dir, "00ab", STANDING_RETURN));
    assert_int_equal(standing_read(dir, "00ab"), STANDING_RETURN);
    standing_drop(dir);
    assert_int_equal(standing_read(dir, "00ab"), STANDING_NONE);
    assert_false(standing_keep("/nonexistent", "00ab", STANDING_STOP));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_earlier_lives_are_told, up, down),
        cmocka_unit_test_setup_teardown(a_bounded_number_is_kept, up, down),
        cmocka_unit_test_setup_teardown(a_copy_on_the_same_machine_proves_nothing, up, down),
        cmocka_unit_test_setup_teardown(lives_of_an_earlier_boot, up, down),
        cmocka_unit_test_setup_teardown(a_file_of_before_the_upgrade, up, down),
        cmocka_unit_test_setup_teardown(files_that_are_no_files, up, down),
        cmocka_unit_test_setup_teardown(an_order_holds_for_its_incarnation, up, down),
    };
    return cmocka_run_group_tests_name("statedir", tests, NULL, NULL);
}
