/* family.h: the table of commands and the families that they belong to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/family.h"

static void check(enum task_type type, const char *name, const char *params, const char *key) {
    struct task task = {.type = type, .params = params, .params_len = strlen(params)};
    if (name)
        task.options[task.option_count++] = (struct task_option){OPT_NAME, name, strlen(name)};
    struct buf out = BUF_INIT;
    buf_adds(&out, ">");
    family_key(&task, &out);
    if (strcmp(out.data + 1, key) != 0 || out.data[0] != '>')
        fail_msg("%s: \"%s\", expected \"%s\"", name ? name : params, out.data + 1, key);
    buf_free(&out);
}

static void commands(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        /* the program and subcommands */
        {"./cachesim lru zipf 4 --seed 7", "shell cachesim lru zipf"},
        {"./cachesim fifo zipf 4", "shell cachesim fifo zipf"},
        {"/opt/v1/bin/sim", "shell sim"},
        {"/opt/v2/bin/sim", "shell sim"},
        {"sim/", "shell sim"},
        {"/", "shell /"},
        {"git annex get big/file", "shell git annex get"},
        {"a b c d e", "shell a b c"},
        {"  ./sim\t 4", "shell sim"},
        /* what ends it: numbers, paths, options, values, long words, redirections, further commands
         */
        {"./sim 4 lru", "shell sim"},
        {"./sim -v lru", "shell sim"},
        {"./sim in/x lru", "shell sim"},
        {"./sim x=4 lru", "shell sim"},
        {"./sim trace.csv", "shell sim"},
        {"./sim phase1", "shell sim"},
        {"./sim lru 0.5", "shell sim lru"},
        {"./sim abcdefghijklmnopqrstuvwxy", "shell sim"},
        {"./sim abcdefghijklmnopqrstuvwx", "shell sim abcdefghijklmnopqrstuvwx"},
        {"./sim lru>out", "shell sim lru"},
        {"./sim|sort", "shell sim"},
        {"./sim; rm x", "shell sim"},
        {"./sim $X", "shell sim"},
        {"./sim 'lru' zipf", "shell sim lru zipf"},
        {"./sim ''", "shell sim"},
        /* numbers in the program */
        {"./run_0017.sh", "shell run_#.sh"},
        {"./run_4.sh", "shell run_#.sh"},
        {"x264 in", "shell x# in"},
        {"./job-1.2.3", "shell job-#.#.#"},
        {"./job-3fa9c0de11.sh", "shell job-#.sh"},
        {"./deadbeef", "shell deadbeef"}, /* a word, since no digit is in it */
        {"./beefsteak12", "shell beefsteak#"},
        /* before the program */
        {"OMP_NUM_THREADS=4 A= /opt/bin/ffmpeg -i 17.mkv", "shell ffmpeg"},
        {"cd /data && ./sim lru", "shell sim lru"},
        {"cd /data; A=1 ./sim", "shell sim"},
        {"(cd x && ./sim) >y", "shell sim"},
        {"nice -n 5 ./sim", "shell sim"},
        {"nice -5 ./sim", "shell sim"},
        {"/usr/bin/time -f %e -v ./sim", "shell sim"},
        {"timeout -k 5 -s KILL 10m ./sim lru", "shell sim lru"},
        {"env -u X A=1 nohup ./sim", "shell sim"},
        {"taskset -c 0-3 numactl --membind=0 ./sim", "shell sim"},
        {"A=1", "shell"},
        {"nice", "shell"},
        {"cd x", "shell"},
        {"exec nice", "shell"},
        /* interpreters */
        {"python3 tools/train.py resnet lr=0.1", "shell python# train.py resnet"},
        {"python3.11 -u -W ignore x/train_7.py", "shell python#.# train_#.py"},
        {"python -m pkg.mod fit", "shell python pkg.mod fit"},
        {"python -c 'print(1)'", "shell python"},
        {"bash run.sh all 4", "shell bash run.sh all"},
        {"sh -c \"./sim fifo 3\"", "shell sim fifo"},
        {"bash -e -c './sim lru'", "shell sim lru"},
        {"bash -lc './sim lru'", "shell sim lru"},
        {"perl -we 'print 1'", "shell perl"},
        {"perl -w x/y.pl", "shell perl y.pl"},
        {"bash -c", "shell bash"},
        {"bash -c 'cd x; sh -c \"./sim lru\"'", "shell sim lru"},
        {"java -Xmx4g -cp a:b org.x.Main go", "shell java org.x.Main go"},
        {"java -jar lib/app.jar", "shell java app.jar"},
        {"perl", "shell perl"},
        {"shuf x", "shell shuf x"}, /* begins like sh */
        /* quotes and bytes */
        {"'./my sim' lru", "shell my sim lru"},
        {"./my\\ sim", "shell my sim"},
        {"\"./sim", "shell sim"},
        {"./sim\\", "shell sim\\"},
        {"./s\x01m", "shell s?m"},
        {"./\xc3\xa4hre lru", "shell \xc3\xa4hre lru"},
        {"for i in 1 2; do ./x; done", "shell for i in"},
        {";;", "shell"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(TASK_SHELL, NULL, rows[i][0], rows[i][1]);
}

static void other_types(void **state) {
    (void)state;
    check(TASK_PYTHON, NULL, "x/train.py --seed 7", "python train.py");
    check(TASK_PYTHON, NULL, "-u train.py resnet", "python train.py resnet");
    check(TASK_PYTHON, NULL, "-m pkg.mod", "python pkg.mod");
    check(TASK_PYTHON, NULL, "-c pass", "python");
    check(TASK_NATIVE, NULL, "gemm n=4096", "native gemm");
    check(TASK_NATIVE, NULL, "python x", "native python x"); /* a kernel of that name */
}

static void names(void **state) {
    (void)state;
    check(TASK_SHELL, "sim", "./anything", "sim");
    check(TASK_PYTHON, "sim", "x.py", "sim");
    check(TASK_SHELL, "sim/lru", "./x", "sim/lru");
    check(TASK_SHELL, "sim/lru/7", "./x", "sim/lru");
    check(TASK_SHELL, "7/sim", "./x", "sim");
    check(TASK_SHELL, "run-17", "./x", "run-#");
    check(TASK_SHELL, "17", "./x", "#");
    check(TASK_SHELL, "17/4", "./x", "#/#");
    check(TASK_SHELL, "batch/3fa9c0de11", "./x", "batch");
}

static void keys_are_short(void **state) {
    (void)state;
    char name[256], params[600], wanted[FAMILY_KEY_MAX + 1];
    memset(name, 'n', 255);
    name[255] = '\0';
    memset(wanted, 'n', FAMILY_KEY_MAX);
    wanted[FAMILY_KEY_MAX] = '\0';
    check(TASK_SHELL, name, "./x", wanted);
    /* cut before a character, not within it: "shell " and 57 of two bytes each */
    memset(params, 0, sizeof params);
    for (int i = 0; i < 200; i++)
        memcpy(params + 2 * i, "\xc3\xa4", 2);
    memcpy(wanted, "shell ", 6);
    memcpy(wanted + 6, params, 114);
    check(TASK_SHELL, NULL, params, wanted);
    params[0] = 'x';
    memmove(params + 1, params + 2, 399);
    memcpy(wanted + 6, params, 113);
    wanted[119] = '\0';
    check(TASK_SHELL, NULL, params, wanted);
}

static void digests(void **state) {
    (void)state;
    char one[FAMILY_DIGEST_LEN + 1], two[FAMILY_DIGEST_LEN + 1];
    family_digest("shell sim", 9, one);
    family_digest("shell sin", 9, two);
    assert_int_equal(strlen(one), FAMILY_DIGEST_LEN);
    assert_int_equal(strspn(one, "0123456789abcdef"), FAMILY_DIGEST_LEN);
    assert_string_not_equal(one, two);
    /* Kept in Redis: it must never change. */
    assert_string_equal(one, "0c590ef2dfa422b4");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands),       cmocka_unit_test(other_types), cmocka_unit_test(names),
        cmocka_unit_test(keys_are_short), cmocka_unit_test(digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
