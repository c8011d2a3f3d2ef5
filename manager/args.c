#include "manager/args.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"

struct reader {
    struct args *args;
    const char *const *words;
    size_t count, at;
    struct buf *error;
    enum args_ending ending;
};

static bool unknown_option(struct reader *reader, const char *dashes, const char *name,
                           size_t len) {
    reader->args->unknown = name;
    reader->args->unknown_len = len;
    buf_addf(reader->error, "there is no option %s%.*s", dashes, (int)len, name);
    return false;
}

/* Options of one name in several tables of a chain: the value has to be good for each. */
struct same_name {
    const char *name, *text;
    regex_t *regex;
    struct buf *error;
    bool ok;
};

static void check_value(const struct opt *opt, void *context) {
    struct same_name *same = context;
    if (!same->ok || strcmp(opt->name, same->name) != 0)
        return;
    struct opt_value value;
    struct buf expected = BUF_INIT;
    same->ok = opt_parse(opt, same->text, &value, same->regex, &expected);
    bool secret = opt->kind == KIND_SETTING && opt->setting->kind == SETTING_SECRET;
    const char *shown = secret ? "" : *same->text ? same->text : "''";
    if (!same->ok)
        buf_addf(same->error, "--%s%s%s: %s", opt->name, *shown ? " " : "", shown, expected.data);
    else if (opt->kind == KIND_REGEX)
        regfree(same->regex);
    buf_free(&expected);
}

static bool add_value(struct reader *reader, const struct opt *opt, const char *text) {
    struct args *args = reader->args;
    regex_t scratch;
    struct same_name same = {opt->name, text, &scratch, reader->error, true};
    opt_each(&args->tables, check_value, &same);
    if (!same.ok)
        return false;
    regex_t *regex = NULL;
    if (opt->kind == KIND_REGEX) {
        if (args->regex_count == ARGS_REGEX_MAX) {
            buf_addf(reader->error, "--%s: at most %d expressions are possible", opt->name,
                     ARGS_REGEX_MAX);
            return false;
        }
        regex = args->regexes[args->regex_count++] = xmalloc(sizeof *regex);
    }
    struct opt_value value;
    bool ok = opt_parse(opt, text, &value, regex, reader->error);
    assert(ok && "checked above");
    (void)ok;
    args->values = xrealloc(args->values, (args->value_count + 1) * sizeof *args->values);
    args->values[args->value_count++] = value;
    return true;
}

/* The value that `--name` or the last letter of a cluster has in the words that follow. */
static bool value_from_next(struct reader *reader, const struct opt *opt) {
    const char *next = reader->at < reader->count ? reader->words[reader->at] : NULL;
    if (!opt_takes_value(opt)) {
        bool on;
        const char *expected;
        if (!next || reader->ending == ARGS_COMMAND ||
            !units_parse_bool(next, strlen(next), &on, &expected))
            return add_value(reader, opt, "true");
    } else if (!next) {
        buf_addf(reader->error, "--%s: expected a value after it: --%s %s", opt->name, opt->name,
                 opt->metavar);
        return false;
    }
    reader->at++;
    return add_value(reader, opt, next);
}

static bool read_long(struct reader *reader, const char *name) {
    size_t len = strcspn(name, "=");
    const struct opt *opt = opt_find(&reader->args->tables, name, len);
    if (!opt)
        return unknown_option(reader, "--", name, len);
    return name[len] ? add_value(reader, opt, name + len + 1) : value_from_next(reader, opt);
}

static bool read_letters(struct reader *reader, const char *letters) {
    for (; *letters; letters++) {
        const struct opt *opt = opt_find_letter(&reader->args->tables, *letters);
        if (!opt)
            return unknown_option(reader, "-", letters, 1);
        if (opt_takes_value(opt))
            return letters[1] ? add_value(reader, opt, letters + 1) : value_from_next(reader, opt);
        if (!add_value(reader, opt, "true"))
            return false;
    }
    return true;
}

static void add_operand(struct args *args, const char *word) {
    args->operands = xrealloc(args->operands, (args->operand_count + 1) * sizeof *args->operands);
    args->operands[args->operand_count++] = word;
}

bool args_parse(struct args *args, const struct opt_tables *tables, enum args_ending ending,
                const char *const *words, size_t count, struct buf *error) {
    *args = (struct args){.tables = *tables};
    struct reader reader = {
        .args = args, .words = words, .count = count, .at = 0, .ending = ending, .error = error};
    bool options = true;
    while (reader.at < count) {
        const char *word = words[reader.at++];
        if (!options || word[0] != '-' || !word[1]) {
            add_operand(args, word);
            options = options && ending == ARGS_ANYWHERE;
        } else if (word[1] != '-') {
            if (!read_letters(&reader, word + 1))
                return false;
        } else if (!word[2]) {
            options = false;
        } else if (!read_long(&reader, word + 2)) {
            return false;
        }
    }
    return true;
}

void args_free(struct args *args) {
    for (size_t i = 0; i < args->regex_count; i++) {
        regfree(args->regexes[i]);
        free(args->regexes[i]);
    }
    free(args->values);
    free(args->operands);
    *args = (struct args){0};
}

/* --- getters --------------------------------------------------------------------------------- */

static const struct opt *row(const struct args *args, const char *name) {
    const struct opt *opt = opt_find(&args->tables, name, strlen(name));
    assert(opt && "an option that is in no table of this verb was asked for");
    return opt;
}

static const struct opt_value *last_given(const struct args *args, const char *name) {
    for (size_t i = args->value_count; i > 0; i--)
        if (!strcmp(args->values[i - 1].opt->name, name))
            return &args->values[i - 1];
    return NULL;
}

/* The value given or preset; one of opt and no text when there is neither. */
static struct opt_value value_of(const struct args *args, const char *name) {
    const struct opt *opt = row(args, name);
    const struct opt_value *given = last_given(args, name);
    if (given && given->opt->kind == opt->kind)
        return *given;
    struct opt_value value = {.opt = opt, .text = NULL, .as = {0}};
    const char *text = given ? given->text : opt->preset;
    if (!text || opt->kind == KIND_REGEX)
        return value;
    struct buf error = BUF_INIT;
    bool ok = opt_parse(opt, text, &value, NULL, &error);
    assert(ok && "a preset is not a value of its kind");
    (void)ok;
    buf_free(&error);
    return value;
}

bool args_bool(const struct args *args, const char *name) {
    struct opt_value value = value_of(args, name);
    assert(value.opt->kind == KIND_BOOL);
    return value.as.on;
}

uint64_t args_number(const struct args *args, const char *name) {
    struct opt_value value = value_of(args, name);
    assert(value.opt->kind == KIND_COUNT || value.opt->kind == KIND_DURATION ||
           value.opt->kind == KIND_BYTES || value.opt->kind == KIND_MEMORY ||
           value.opt->kind == KIND_CORES || value.opt->kind == KIND_PRIORITY ||
           value.opt->kind == KIND_CHOICE);
    return value.as.number;
}

const char *args_text(const struct args *args, const char *name) {
    return value_of(args, name).text;
}

uint32_t args_mask(const struct args *args, const char *name) {
    struct opt_value value = value_of(args, name);
    assert(value.opt->kind == KIND_STATES || value.opt->kind == KIND_TYPES);
    return value.as.mask;
}

bool args_given(const struct args *args, const char *name) {
    row(args, name);
    return last_given(args, name) != NULL;
}

bool args_has(const struct args *args, const char *name) {
    return opt_find(&args->tables, name, strlen(name)) != NULL;
}

const struct opt_value *args_next(const struct args *args, const char *name,
                                  const struct opt_value *previous) {
    row(args, name);
    for (size_t i = previous ? (size_t)(previous - args->values) + 1 : 0; i < args->value_count;
         i++)
        if (!strcmp(args->values[i].opt->name, name))
            return &args->values[i];
    return NULL;
}

bool args_match(const struct args *args, const char *name, const char *text, size_t len) {
    const struct opt_value *value = NULL;
    while ((value = args_next(args, name, value))) {
        regmatch_t range = {.rm_so = 0, .rm_eo = (regoff_t)len};
        if (!regexec(value->as.regex, text, 1, &range, REG_STARTEND))
            return true;
    }
    return false;
}
