/*
 * plain_command: what it takes and refuses; and 1,000 generated commands whose exit code, output
 * and errors are compared between direct execution (with the shell as fallback) and dash -c, both
 * by a real supervisor.
 */
#include "tests/unit/fake_agent.h"

#include "worker/plaincmd.h"

#define WORDS_MAX 64

static bool plain(const char *line) {
    struct plain_word words[WORDS_MAX];
    size_t count;
    return plain_command(line, strlen(line), words, WORDS_MAX, &count);
}

static void taken(void **state) {
    (void)state;
    static const char *const lines[] = {"ls",
                                        " ls  -l\t/ ",
                                        "./run a=b --x=1,2:3",
                                        "/bin/true",
                                        "x@y",
                                        "a%b",
                                        "a,b=3",
                                        "1x=2",
                                        "-c",
                                        "python3 -m x.y",
                                        "exitx",
                                        "iff",
                                        "trues",
                                        "a.out",
                                        "+x",
                                        "=x",
                                        "...",
                                        "./.",
                                        "ls -"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!plain(lines[i]))
            fail_msg("refused: %s", lines[i]);
}

static void refused(void **state) {
    (void)state;
    static const char *const lines[] = {
        "",          " ",          "ls;ls",   "ls|wc",       "ls&",    "ls >x",    "ls <x",
        "ls $x",     "ls `x`",     "ls 'x'",  "ls \"x\"",    "ls \\x", "ls *",     "ls ?",
        "ls [a]",    "ls ~",       "~/x",     "{ ls",        "ls }",   "! ls",     "ls #x",
        "(ls)",      "ls\nls",     "ls\r",    "caf\xc3\xa9", "A=1 ls", "A=",       "_x=1",
        "a+=1",      ".",          ". x",     ":",           "true",   "false",    "echo x",
        "cd /",      "exit 3",     "kill 1",  "test 1",      "[ 1 ]",  "printf x", "if",
        "then",      "while true", "in",      "case",        "esac",   "time ls",  "type ls",
        "ulimit -n", "command ls", "exec ls", "%x",          "read x", "chdir",    "local",
        "wait",      "umask",      "getopts", "hash",        "trap",   "times",    "unalias",
        "ls ^x"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (plain(lines[i]))
            fail_msg("taken: %s", lines[i]);
    struct plain_word words[2];
    size_t count;
    assert_false(plain_command("a\0b", 3, words, 2, &count));
    assert_false(plain_command("a b c", 5, words, 2, &count));
    assert_true(plain_command(" a  bc", 6, words, 2, &count));
    assert_int_equal(count, 2);
    assert_int_equal(words[1].start, 4);
    assert_int_equal(words[1].len, 2);
}

/* Every builtin and keyword of the dash that is installed is refused. */
static void builtins_of_the_installed_dash(void **state) {
    (void)state;
    char line[4096];
    FILE *p = popen(
        "for d in $(echo \"$PATH\" | tr : ' '); do ls \"$d\"; done 2>/dev/null | sort -u | "
        "while read -r x; do case $x in *[!A-Za-z0-9_./,:@%+=-]*) ;; *) "
        "dash -c \"type $x\" 2>/dev/null | grep -E 'builtin|keyword' | cut -d' ' -f1;; esac; done",
        "r");
    assert_non_null(p);
    while (fgets(line, sizeof line, p)) {
        line[strcspn(line, "\n")] = 0;
        if (plain(line))
            fail_msg("taken, but a builtin: %s", line);
    }
    pclose(p);
}

/* ---- The comparison. ---- */

static struct rig r;
static char path_entry[512];
static uint64_t seed = 20240607;

static uint32_t dice(uint32_t sides) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % sides;
}

static void make_programs(void) {
    char command[2048];
    snprintf(
        command, sizeof command,
        "cd '%s' && mkdir p1 p2 p1/adir && "
        "echo 'echo script \"$@\"; exit 3' >myscript && chmod 755 myscript && cp myscript "
        "p2/pscript && "
        "echo data >noexec && cp noexec p1/shadow && "
        "printf '#!/bin/sh\\necho found \"$0\" \"$#\"; exit 4\\n' >p2/shadow && chmod 755 "
        "p2/shadow && "
        "cp p2/shadow p2/adir && cp p2/shadow prog && cp p2/shadow 'a=b' && cp p2/shadow 'x%%y' && "
        "cp noexec p1/onlynoexec && printf '#!/no/such/interpreter\\n' >badbang && chmod 755 "
        "badbang && "
        "cp badbang p1/pbadbang && printf '\\177ELF' >elf && chmod 755 elf && : >empty && "
        "chmod 755 empty && ln -s loop loop && mkdir dir && "
        "printf '#!/bin/sh\\nkill -9 $$\\n' >dies && chmod 755 dies",
        r.dir);
    assert_int_equal(system(command), 0);
    snprintf(path_entry, sizeof path_entry, "PATH=%s/p1:/usr/bin:/bin::/no/such:%s/noexec:%s/p2",
             r.dir, r.dir, r.dir);
}

static void make_command(char *line, size_t size) {
    static const char *const programs[] = {
        "ls",       "cat",       "seq",        "basename",   "dirname",
        "expr",     "printenv",  "wc",         "head",       "sort",
        "uname",    "/bin/echo", "/bin/true",  "/bin/false", "/usr/bin/printf",
        "sleep",    "stat",      "cut",        "id",         "env",
        "no-such",  "./no-such", "/no/such",   "myscript",   "./myscript",
        "pscript",  "noexec",    "./noexec",   "prog",       "./prog",
        "shadow",   "adir",      "onlynoexec", "badbang",    "./badbang",
        "pbadbang", "./elf",     "elf",        "empty",      "./empty",
        "./loop",   "loop",      "dir",        "./dir",      "/",
        "dies",     "./dies",    "./a=b",      "x%y",        "./x%y",
        "noexec/x", "dir/x",     "prog/",      "-x",         "+",
        "=",        "@",         ",",          "..",         "./",
        "../",      "p2/shadow", "A=1",        "echo",       "true",
        "%x",       "if"};
    static const char *const words[] = {"1",
                                        "3",
                                        "-1",
                                        "+",
                                        "=",
                                        "a",
                                        "noexec",
                                        "dir",
                                        "myscript",
                                        "./prog",
                                        "/",
                                        ".",
                                        "..",
                                        "-l",
                                        "-n",
                                        "-c",
                                        "--",
                                        "-",
                                        "--help-no-such",
                                        "no-such",
                                        "A",
                                        "PWD",
                                        "a=b",
                                        "x,y:z",
                                        "@",
                                        "%s",
                                        "%d",
                                        "p1/shadow",
                                        "0",
                                        "-u",
                                        "if",
                                        "/dev/null",
                                        "+1"};
    static const char *const blanks[] = {" ", "  ", "\t", " \t "};
    size_t at = (size_t)snprintf(line, size, "%s%s", dice(8) ? "" : " ",
                                 programs[dice(sizeof programs / sizeof *programs)]);
    for (uint32_t n = dice(4); n > 0; n--)
        at += (size_t)snprintf(line + at, size - at, "%s%s", blanks[dice(4)],
                               words[dice(sizeof words / sizeof *words)]);
    if (dice(8) == 0)
        snprintf(line + at, size - at, " ");
}

/* Line as words for rig_start; false when the shell is needed. */
static bool split(const char *line, char *text, const char **argv) {
    struct plain_word words[7];
    size_t count;
    if (!plain_command(line, strlen(line), words, 7, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        argv[i] = text;
        memcpy(text, line + words[i].start, words[i].len);
        text[words[i].len] = 0;
        text += words[i].len + 1;
    }
    return true;
}

static void start_both(uint32_t slot, const char *line) {
    char text[512];
    struct rig_start s = {.slot = slot,
                          .flags = WIRE_START_DIRECT,
                          .cwd = r.dir,
                          .fallback = {"/bin/sh", "-c", line},
                          .env = {path_entry, "A=value"}};
    assert_true(split(line, text, s.argv));
    rig_start(&r, &s);
    struct rig_start shell = {.slot = slot + 1,
                              .cwd = r.dir,
                              .argv = {"/bin/sh", "-c", line},
                              .env = {path_entry, "A=value"}};
    rig_start(&r, &shell);
}

/* A list of the whole environment has the cookie, which differs, and dash's own order; stat tells
 * times. */
static bool may_differ(const char *line, size_t len) {
    return (strstr(line, "env") && len > 64) || strstr(line, "stat");
}

static void compare(uint32_t slot, const char *line) {
    struct wire_exit direct = rig_exit(&r, slot), shell = rig_exit(&r, slot + 1);
    assert_int_equal(direct.spawn_errno, 0);
    if (WIFSIGNALED(direct.status)) {
        /* The shell tells it as 128 + signal, and with a line on standard error (plaincmd.h). */
        assert_int_equal(WEXITSTATUS(shell.status), 128 + WTERMSIG(direct.status));
        rig_ack(&r, slot, 0);
        rig_ack(&r, slot + 1, 0);
        return;
    }
    if (direct.status != shell.status)
        fail_msg("'%s': status %x directly, %x by the shell", line, direct.status, shell.status);
    for (int stream = 0; stream < 2; stream++) {
        static char text[1 << 16];
        size_t len, shell_len;
        const char *name = stream ? "err" : "out";
        const char *output = rig_output(&r, slot, name, &len);
        assert_true(len < sizeof text);
        memcpy(text, output, len + 1);
        output = rig_output(&r, slot + 1, name, &shell_len);
        if (!may_differ(line, len) && (len != shell_len || memcmp(text, output, len) != 0))
            fail_msg("'%s': %s '%s' directly, '%s' by the shell", line, name, text, output);
    }
    rig_ack(&r, slot, 0);
    rig_ack(&r, slot + 1, 0);
}

static void thousand_commands(void **state) {
    (void)state;
    if (getenv("UNDER_VALGRIND")) /* where a failed execve ends the child */
        skip();
    enum { AT_A_TIME = 8 };
    char lines[AT_A_TIME][256], target[16] = "";
    if (readlink("/bin/sh", target, sizeof target - 1) < 0 || !strstr(target, "dash")) {
        print_message("skipped: /bin/sh is not dash here, and the comparison is with dash\n");
        skip();
    }
    rig_up(&r, NULL);
    make_programs();
    for (int done = 0; done < 1000;) {
        uint32_t n = 0;
        while (n < AT_A_TIME) {
            make_command(lines[n], sizeof lines[n]);
            if (plain(lines[n])) {
                start_both(n * 2, lines[n]);
                n++;
            }
        }
        for (uint32_t i = 0; i < n; i++)
            compare(i * 2, lines[i]);
        done += (int)n;
    }
    rig_down(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken),
        cmocka_unit_test(refused),
        cmocka_unit_test(builtins_of_the_installed_dash),
        cmocka_unit_test(thousand_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
