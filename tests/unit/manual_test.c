/* The files that are written from the verbs' table, and the completion script at work in bash. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "manager/command.h"
#include "manager/completion.h"
#include "manager/manual.h"

/* The tests may be run from anywhere: the sources are where this file is. */
static void top_path(const char *path, struct buf *out) {
    const char *here = strstr(__FILE__, "tests/unit/");
    buf_add(out, __FILE__, here ? (size_t)(here - __FILE__) : 0);
    buf_adds(out, path);
}

static void read_file(const char *path, struct buf *out) {
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("%s: %s (tests run from the top of the repository)", path, strerror(errno));
    char bytes[4096];
    size_t len;
    while ((len = fread(bytes, 1, sizeof bytes, file)) > 0)
        buf_add(out, bytes, len);
    fclose(file);
}

static const struct {
    const char *path;
    void (*write)(struct buf *out);
    const char *command;
} written[] = {
    {"docs/commands.md", manual_markdown, "manual --markdown"},
    {"docs/redisManager.1", manual_roff, "manual"},
    {"manager/redisManager.bash", completion_bash, "completion bash"},
};

static void files_are_current(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
        struct buf path = BUF_INIT, have = BUF_INIT, want = BUF_INIT;
        top_path(written[i].path, &path);
        read_file(path.data, &have);
        written[i].write(&want);
        if (strcmp(have.data, want.data) != 0)
            fail_msg("%s is not what the table says; run: bin/redisManager %s >%s", written[i].path,
                     written[i].command, written[i].path);
        buf_free(&path);
        buf_free(&have);
        buf_free(&want);
    }
}

struct told {
    const struct buf *text;
    const char *dashes;
};

static void option_is_told(const struct opt *opt, void *context) {
    const struct told *told = context;
    struct buf flag = BUF_INIT;
    buf_addf(&flag, "%s%s", told->dashes, opt->name);
    if (!strstr(told->text->data, flag.data))
        fail_msg("nothing is said of %s", flag.data);
    buf_free(&flag);
}

/* Both manuals tell every verb, option and example. */
static void manuals_are_whole(void **state) {
    (void)state;
    struct buf roff = BUF_INIT, markdown = BUF_INIT;
    manual_roff(&roff);
    manual_markdown(&markdown);
    struct told in_roff = {&roff, "\\-\\-"}, in_markdown = {&markdown, "--"};
    for (size_t i = 0; i < verb_count; i++) {
        struct opt_tables tables = verb_tables(verbs[i]);
        struct buf head = BUF_INIT;
        opt_each(&tables, option_is_told, &in_roff);
        opt_each(&tables, option_is_told, &in_markdown);
        buf_addf(&head, ".SS %s", verbs[i]->name);
        assert_non_null(strstr(roff.data, head.data));
        buf_clear(&head);
        buf_addf(&head, "\n## %s\n", verbs[i]->name);
        assert_non_null(strstr(markdown.data, head.data));
        buf_free(&head);
    }
    buf_free(&roff);
    buf_free(&markdown);
}

/* What roff takes for a request is one that was meant. */
static void roff_requests(void **state) {
    (void)state;
    static const char *const known[] = {".TH ", ".SH ", ".SS ", ".TP", ".PP", ".B ",  ".I ",
                                        ".BI ", ".BR ", ".br",  ".nf", ".fi", ".\\\""};
    struct buf roff = BUF_INIT;
    manual_roff(&roff);
    for (const char *line = roff.data; *line; line += strcspn(line, "\n") + 1) {
        bool ok = line[0] != '.' && line[0] != '\'';
        for (size_t i = 0; !ok && i < sizeof known / sizeof *known; i++)
            ok = !strncmp(line, known[i], strlen(known[i]));
        if (!ok)
            fail_msg("%.*s", (int)strcspn(line, "\n"), line);
    }
    for (size_t i = 0; i < roff.len; i++)
        assert_true((unsigned char)roff.data[i] < 0x80);
    buf_free(&roff);
}

/* Runs a command line; its standard output. */
static void output_of(const char *command, struct buf *out) {
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    char bytes[4096];
    size_t len;
    while ((len = fread(bytes, 1, sizeof bytes, pipe)) > 0)
        buf_add(out, bytes, len);
    assert_int_equal(pclose(pipe), 0);
}

/* groff's own warnings; it comes with man. */
static void roff_is_clean(void **state) {
    (void)state;
    if (system("command -v groff >/dev/null") != 0) {
        print_message("skipped: groff (Debian: groff-base) is not installed\n");
        skip();
    }
    struct buf command = BUF_INIT, warnings = BUF_INIT;
    buf_adds(&command, "groff -man -ww -z ");
    top_path("docs/redisManager.1", &command);
    buf_adds(&command, " 2>&1");
    output_of(command.data, &warnings);
    assert_string_equal(warnings.data, "");
    buf_free(&command);
    buf_free(&warnings);
}

/* Each row: the words on the line (in bash's syntax), and what is offered for the last one. */
static const struct {
    const char *words, *offered;
} completed[] = {
    {"redisManager che", "checkTask checkWorker"},
    {"redisManager --redis x checkT", "checkTask"},
    {"redisManager checkTask --fa", "--failed --failed_reason"},
    {"redisManager checkTask --failed ''", "true false"},
    {"redisManager checkTask --failed = f", "false"},
    {"redisManager checkTask --failed --finis", "--finished"},
    {"redisManager checkTask --state fi", "finished"},
    {"redisManager checkTask --state todo,f", "todo,finished todo,failed"},
    {"redisManager --task \"'initRedis&lo\"", "initRedis&loadTask"},
    {"redisManager --task \"'initRedis&loadTask'\" --taskf", "--taskfile"},
    {"redisManager loadTask --taskfile docs/comm", "docs/commands.md"},
    {"redisManager loadTask docs/comm", "docs/commands.md"},
    {"redisManager loadTask --format ''", "auto lines jsonl"},
    {"redisManager exportTask --format ''", "csv jsonl"},
    {"redisManager addTask --output ''", "auto keep redis"},
    {"redisManager addTask --log-level d", "debug"},
    {"redisManager addTask -- docs/comm", "docs/commands.md"},
    {"redisManager cancelTask --name ''", ""},
    {"redisManager help initR", "initRedis"},
    {"redisManager help opt", "options"},
    {"redisManager completion ''", "bash"},
    {"redisManager checkWorker --jso", "--json"},
};

static void completion_works(void **state) {
    (void)state;
    struct buf script = BUF_INIT, command = BUF_INIT, got = BUF_INIT, want = BUF_INIT,
               top = BUF_INIT;
    struct buf path = BUF_INIT;
    const char *directory = getenv("TMPDIR");
    buf_addf(&path, "%s/distcomp-completion-XXXXXX", directory ? directory : "/tmp");
    int fd = mkstemp(path.data);
    assert_true(fd >= 0);
    completion_bash(&script);
    buf_adds(&script, "try() {\n    COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1)) COMPREPLY=()\n"
                      "    _redisManager\n    echo \"${COMPREPLY[*]}\"\n}\n");
    top_path("docs", &top);
    buf_addf(&script, "cd '%s/..' || exit 1\n", top.data);
    for (size_t i = 0; i < sizeof completed / sizeof *completed; i++) {
        buf_addf(&script, "try %s\n", completed[i].words);
        buf_addf(&want, "%s\n", completed[i].offered);
    }
    assert_int_equal(write(fd, script.data, script.len), (ssize_t)script.len);
    close(fd);
    buf_addf(&command, "bash --norc '%s'", path.data);
    output_of(command.data, &got);
    unlink(path.data);
    assert_string_equal(got.data, want.data);
    buf_free(&script);
    buf_free(&command);
    buf_free(&got);
    buf_free(&want);
    buf_free(&top);
    buf_free(&path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_current), cmocka_unit_test(manuals_are_whole),
        cmocka_unit_test(roff_requests),     cmocka_unit_test(roff_is_clean),
        cmocka_unit_test(completion_works),
    };
    return cmocka_run_group_tests_name("manual", tests, NULL, NULL);
}
