#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "manager/chain.h"
#include "manager/usage.h"

/* --- rows of verbs --------------------------------------------------------------------------- */

static void check_verb(const struct verb *verb) {
    assert_true(islower((unsigned char)verb->name[0]));
    for (const char *c = verb->name; *c; c++)
        assert_true(isalpha((unsigned char)*c));
    assert_ptr_equal(verb_find(verb->name), verb);
    assert_true(islower((unsigned char)verb->summary[0]) ||
                isupper((unsigned char)verb->summary[0]));
    assert_true(verb->summary[strlen(verb->summary) - 1] != '.');
    assert_true(*verb->about != '\0');
    assert_null(strstr(verb->about, "\n\n\n"));
    assert_true(verb->about[strlen(verb->about) - 1] != '\n');
    assert_true(verb->group < GROUP_COUNT);
    assert_true((*verb->operands != '\0') == (verb->max_operands > 0));
    assert_true(verb->min_operands <= verb->max_operands);
    /* A synopsis shows in brackets what may be left out. */
    if (!verb->min_operands && verb->max_operands)
        assert_int_equal(verb->operands[0], '[');
    assert_null(verb->options[VERB_TABLES_MAX - 1]);
    if (!verb->run)
        fail_msg("%s does nothing: it has no .run", verb->name);
}

static void verb_rows(void **state) {
    (void)state;
    assert_true(verb_count > 20);
    for (size_t i = 0; i < verb_count; i++)
        check_verb(verbs[i]);
    assert_null(verbs[verb_count]);
    assert_null(verb_find("nothing"));
}

/* --- rows of options -------------------------------------------------------------------------- */

static void check_option(const struct opt *opt, void *context) {
    const struct verb *verb = context;
    const char *where = verb ? verb->name : "";
    for (const char *c = opt->name; *c; c++)
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '_')
            fail_msg("%s --%s: letters in lower case, digits and '_'", where, opt->name);
    if (!opt->help || !*opt->help || opt->help[strlen(opt->help) - 1] == '.')
        fail_msg("%s --%s: help is a phrase", where, opt->name);
    if ((opt->metavar != NULL) != opt_takes_value(opt))
        fail_msg("%s --%s: a metavar is for options with a value", where, opt->name);
    if (opt->kind == KIND_BOOL && !opt->preset)
        fail_msg("%s --%s: a BOOL has a preset", where, opt->name);
    if (opt->kind == KIND_REGEX && opt->preset)
        fail_msg("%s --%s: a REGEX has no preset", where, opt->name);
    if ((opt->kind == KIND_CHOICE) != (opt->choices != NULL))
        fail_msg("%s --%s: choices are for CHOICE", where, opt->name);
    if ((opt->kind == KIND_OPTION) != (opt->tag != 0))
        fail_msg("%s --%s: a tag is for OPTION", where, opt->name);
    if ((opt->min || opt->max) && opt->kind != KIND_COUNT)
        fail_msg("%s --%s: min and max are for COUNT", where, opt->name);
    struct opt_value value;
    struct buf error = BUF_INIT;
    if (opt->preset && !opt_parse(opt, opt->preset, &value, NULL, &error))
        fail_msg("%s --%s: preset %s: %s", where, opt->name, opt->preset, error.data);
    buf_free(&error);
    /* Each word that is offered is accepted. */
    size_t len;
    const char *word;
    for (size_t i = 0; (word = opt_word(opt, i, &len)); i++) {
        char *text = xstrndup(word, len);
        if (!opt_parse(opt, text, &value, NULL, &error))
            fail_msg("%s --%s %s: %s", where, opt->name, text, error.data);
        free(text);
    }
}

struct counting {
    const struct opt *opt;
    int names, letters;
};

static void count_same(const struct opt *opt, void *context) {
    struct counting *counting = context;
    counting->names += !strcmp(opt->name, counting->opt->name);
    counting->letters += opt->letter && opt->letter == counting->opt->letter;
}

static void check_unique(const struct opt *opt, void *context) {
    const struct opt_tables *tables = context;
    struct counting counting = {opt, 0, 0};
    opt_each(tables, count_same, &counting);
    if (counting.names != 1 || counting.letters > 1)
        fail_msg("--%s: more than one option has its name or letter", opt->name);
}

static void option_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < verb_count; i++) {
        struct opt_tables tables = verb_tables(verbs[i]);
        opt_each(&tables, check_option, (void *)verbs[i]);
        opt_each(&tables, check_unique, &tables);
        /* --task belongs to the command line, not to a verb. */
        assert_null(opt_find(&tables, "task", 4));
        bool answers = verbs[i]->flags & VERB_ANSWERS;
        assert_true((opt_find(&tables, "json", 4) != NULL) == answers);
    }
}

/* In a chain one word after --name belongs to it for all verbs, or for none. */
static void check_agrees(const struct opt *opt, void *context) {
    (void)context;
    for (size_t i = 0; i < verb_count; i++) {
        struct opt_tables tables = verb_tables(verbs[i]);
        const struct opt *other = opt_find(&tables, opt->name, strlen(opt->name));
        if (other && opt_takes_value(other) != opt_takes_value(opt))
            fail_msg("--%s: takes a value here and none for %s", opt->name, verbs[i]->name);
        other = opt->letter ? opt_find_letter(&tables, opt->letter) : NULL;
        if (other && strcmp(other->name, opt->name) != 0)
            fail_msg("-%c is --%s here and --%s for %s", opt->letter, opt->name, other->name,
                     verbs[i]->name);
    }
}

static void agreement(void **state) {
    (void)state;
    for (size_t i = 0; i < verb_count; i++) {
        struct opt_tables tables = verb_tables(verbs[i]);
        opt_each(&tables, check_agrees, NULL);
    }
}

/* Every setting that the manager has is an option of every verb, and no other is. */
static void setting_options(void **state) {
    (void)state;
    struct opt_tables tables = {{global_options()}};
    for (size_t i = 0; i < SETTING_TOTAL; i++) {
        const struct opt *opt = opt_find(&tables, settings[i].key, strlen(settings[i].key));
        assert_true((opt != NULL) == ((settings[i].scope & CONFIG_MANAGER) != 0));
    }
    static const char *const own[] = {"conf", "quiet", "help", "version"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        assert_non_null(opt_find(&tables, own[i], strlen(own[i])));
}

/* Every type and every state can be named. */
static void words(void **state) {
    (void)state;
    struct opt opt = {.name = "x", .kind = KIND_STATES};
    size_t len, count = 0;
    while (opt_word(&opt, count, &len))
        count++;
    assert_int_equal(count, TASK_STATE_COUNT - 1);
    opt.kind = KIND_TYPES;
    count = 0;
    while (opt_word(&opt, count, &len))
        count++;
    for (int type = 0; type < 32; type++)
        assert_true((strcmp(task_type_name((enum task_type)type), "unknown") != 0) ==
                    ((size_t)type < count));
}

/* --- help ---------------------------------------------------------------------------------------
 */

static void option_is_told(const struct opt *opt, void *text) {
    struct buf flag = BUF_INIT;
    buf_addf(&flag, "--%s", opt->name);
    if (!strstr(text, flag.data))
        fail_msg("help says nothing of %s", flag.data);
    buf_free(&flag);
}

/* Long lines are only examples and lone words. */
static void check_lines(const char *text) {
    for (const char *line = text; *line;) {
        size_t len = strcspn(line, "\n");
        if (len > 90 && strncmp(line, "  ", 2) != 0)
            fail_msg("a line of %zu bytes: %.*s", len, (int)len, line);
        assert_true(len == 0 || line[len - 1] != ' ');
        line += len + (line[len] != '\0');
    }
}

static void help_texts(void **state) {
    (void)state;
    struct buf text = BUF_INIT;
    for (size_t i = 0; i < verb_count; i++) {
        struct opt_tables tables = verb_tables(verbs[i]);
        buf_clear(&text);
        usage_verb(verbs[i], &text);
        assert_non_null(strstr(text.data, verbs[i]->name));
        assert_non_null(strstr(text.data, verbs[i]->summary));
        opt_each(&tables, option_is_told, text.data);
        check_lines(text.data);
    }
    buf_clear(&text);
    usage_all(&text);
    for (size_t i = 0; i < verb_count; i++)
        assert_non_null(strstr(text.data, verbs[i]->name));
    check_lines(text.data);
    buf_clear(&text);
    usage_options(&text);
    struct opt_tables globals = {{global_options(), json_options, chain_options}};
    opt_each(&globals, option_is_told, text.data);
    check_lines(text.data);
    buf_free(&text);
}

static void wrapping(void **state) {
    (void)state;
    struct buf text = BUF_INIT;
    usage_wrap(&text, "one two three four", 18, 0, 9);
    assert_string_equal(text.data, "one two\nthree\nfour\n");
    buf_clear(&text);
    buf_adds(&text, "x\n--ab");
    usage_wrap(&text, "one two three", 13, 6, 14);
    assert_string_equal(text.data, "x\n--ab  one two\n      three\n");
    buf_clear(&text);
    buf_adds(&text, "--abcdef");
    usage_wrap(&text, "éé\nunbreakable", 16, 4, 8);
    assert_string_equal(text.data, "--abcdef\n    éé\n    unbreakable\n");
    buf_clear(&text);
    usage_wrap(&text, "", 0, 0, 8);
    assert_string_equal(text.data, "\n");
    buf_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verb_rows), cmocka_unit_test(option_rows),
        cmocka_unit_test(agreement), cmocka_unit_test(setting_options),
        cmocka_unit_test(words),     cmocka_unit_test(help_texts),
        cmocka_unit_test(wrapping),
    };
    return cmocka_run_group_tests_name("verbs", tests, NULL, NULL);
}
