#include "manager/opt.h"

#include <assert.h>
#include <string.h>

#include "common/field.h"
#include "common/option.h"
#include "common/units.h"

void opt_tables_add(struct opt_tables *tables, const struct opt *table) {
    size_t i = 0;
    while (i < OPT_TABLES_MAX && tables->table[i] && tables->table[i] != table)
        i++;
    assert(i < OPT_TABLES_MAX);
    tables->table[i] = table;
}

static bool same_name(const char *name, const char *word, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (name[i] != (word[i] == '-' ? '_' : word[i]))
            return false;
    return !name[len];
}

const struct opt *opt_find(const struct opt_tables *tables, const char *name, size_t len) {
    for (size_t i = 0; i < OPT_TABLES_MAX && tables->table[i]; i++)
        for (const struct opt *opt = tables->table[i]; opt->name; opt++)
            if (same_name(opt->name, name, len))
                return opt;
    return NULL;
}

const struct opt *opt_find_letter(const struct opt_tables *tables, char letter) {
    for (size_t i = 0; letter && i < OPT_TABLES_MAX && tables->table[i]; i++)
        for (const struct opt *opt = tables->table[i]; opt->name; opt++)
            if (opt->letter == letter)
                return opt;
    return NULL;
}

void opt_each(const struct opt_tables *tables, opt_visit_fn *visit, void *context) {
    for (size_t i = 0; i < OPT_TABLES_MAX && tables->table[i]; i++)
        for (const struct opt *opt = tables->table[i]; opt->name; opt++)
            visit(opt, context);
}

bool opt_takes_value(const struct opt *opt) {
    if (opt->kind == KIND_SETTING)
        return opt->setting->kind != SETTING_BOOL;
    return opt->kind != KIND_BOOL;
}

/* --- the words of STATES, TYPES and CHOICE ---------------------------------------------------- */

/* The index-th of the words joined by '|'. */
static const char *word_in(const char *words, size_t index) {
    for (size_t i = 0; words && i < index; i++) {
        words = strchr(words, '|');
        words += words != NULL;
    }
    return words;
}

static const char *state_word(size_t index) {
#define X(symbol, number, name) name,
    static const char *const states[] = {TASK_STATES(X)};
#undef X
    return index < sizeof states / sizeof *states ? states[index] : NULL;
}

static const char *type_word(size_t index) {
    const char *word = task_type_name((enum task_type)index);
    return strcmp(word, "unknown") != 0 ? word : NULL;
}

static const char *option_word(const struct opt *opt, size_t index) {
    const char *const *words = option_choices(opt->tag);
    for (size_t i = 0; words && words[i]; i++)
        if (i == index)
            return words[i];
    return NULL;
}

static const char *find_word(const struct opt *opt, size_t index) {
    switch (opt->kind) {
    case KIND_BOOL:
        return word_in("true|false", index);
    case KIND_STATES:
        return state_word(index);
    case KIND_TYPES:
        return type_word(index);
    case KIND_CHOICE:
        return word_in(opt->choices, index);
    case KIND_OPTION:
        return option_word(opt, index);
    case KIND_SETTING:
        if (opt->setting->kind == SETTING_BOOL)
            return word_in("true|false", index);
        return opt->setting->kind == SETTING_CHOICE ? word_in(opt->setting->words, index) : NULL;
    default:
        return NULL;
    }
}

const char *opt_word(const struct opt *opt, size_t index, size_t *len) {
    const char *word = find_word(opt, index);
    *len = word ? strcspn(word, "|") : 0;
    return word;
}

static void add_words(const struct opt *opt, struct buf *out) {
    size_t len;
    const char *word;
    for (size_t i = 0; (word = opt_word(opt, i, &len)); i++)
        buf_addf(out, "%s%.*s", i ? ", " : " ", (int)len, word);
}

/* --- values ---------------------------------------------------------------------------------- */

/* The checks of common/ say `WHAT VALUE, expected …`; what and value are said here already. */
static void add_expected(struct buf *error, const struct buf *message) {
    const char *expected = strstr(message->data, "expected ");
    buf_adds(error, expected ? expected : message->data);
}

static bool parse_field(const struct opt *opt, const char *text, uint64_t *number,
                        struct buf *error) {
    size_t len = strlen(text);
    struct buf message = BUF_INIT;
    uint32_t small = 0;
    bool ok;
    if (opt->kind == KIND_MEMORY)
        ok = field_min_dram(text, len, number, &message);
    else if (opt->kind == KIND_CORES)
        ok = field_min_cpu(text, len, &small, &message);
    else
        ok = field_priority(text, len, &small, &message);
    if (ok && opt->kind != KIND_MEMORY)
        *number = small;
    add_expected(error, &message);
    buf_free(&message);
    return ok;
}

static bool parse_number(const struct opt *opt, const char *text, uint64_t *number,
                         struct buf *error) {
    size_t len = strlen(text);
    const char *expected = NULL;
    uint64_t max = opt->max ? opt->max : UINT64_MAX;
    bool ok;
    if (opt->kind == KIND_DURATION)
        ok = units_parse_ms(text, len, number, &expected);
    else if (opt->kind == KIND_BYTES)
        ok = units_parse_bytes(text, len, 1, number, &expected);
    else
        ok = units_parse_uint(text, len, opt->min, max, number, &expected);
    if (ok)
        return true;
    buf_addf(error, "expected %s", expected);
    if (opt->max)
        buf_addf(error, " from %llu to %llu", (unsigned long long)opt->min,
                 (unsigned long long)max);
    else if (opt->min)
        buf_addf(error, ", at least %llu", (unsigned long long)opt->min);
    return false;
}

static const struct task_option_info *option_info(enum task_option_tag tag) {
    size_t i = 0;
    while (i + 1 < task_options_count && task_options[i].tag != tag)
        i++;
    assert(task_options[i].tag == tag);
    return &task_options[i];
}

/* A task option's value; `env.` wants NAME=VALUE here and takes the name as part of its key. */
static bool check_option(const struct opt *opt, const char *text, struct buf *error) {
    struct buf key = BUF_INIT, message = BUF_INIT;
    struct options scratch = OPTIONS_INIT;
    const struct task_option_info *info = option_info(opt->tag);
    const char *value = text;
    buf_adds(&key, info->key);
    bool ok = true;
    if (info->form == FORM_PAIR) {
        size_t name = strcspn(text, "=");
        ok = name && text[name];
        buf_add(&key, text, name);
        value = text + name + (text[name] != 0);
    }
    if (!ok)
        buf_adds(error, "expected NAME=VALUE");
    else
        ok = options_set(&scratch, info, key.data, key.len, value, strlen(value), &message);
    add_expected(error, &message);
    options_free(&scratch);
    buf_free(&message);
    buf_free(&key);
    return ok;
}

/* The number that a word of STATES or TYPES stands for. */
static bool word_number(const struct opt *opt, const char *word, size_t len, uint32_t *number) {
    if (opt->kind == KIND_TYPES) {
        enum task_type type;
        bool known = task_type_parse(word, len, &type);
        *number = known ? (uint32_t)type : 0;
        return known;
    }
    char name[16];
    enum task_state state;
    if (len >= sizeof name)
        return false;
    memcpy(name, word, len);
    name[len] = '\0';
    bool known = task_state_parse(name, &state);
    *number = known ? (uint32_t)state : 0;
    return known;
}

static bool parse_mask(const struct opt *opt, const char *text, uint32_t *mask, struct buf *error) {
    *mask = 0;
    for (const char *word = text;; word++) {
        size_t len = strcspn(word, ",");
        uint32_t number;
        if (!word_number(opt, word, len, &number)) {
            buf_adds(error, "expected one or more, joined by ',', of");
            add_words(opt, error);
            return false;
        }
        *mask |= UINT32_C(1) << number;
        word += len;
        if (!*word)
            return true;
    }
}

static bool parse_choice(const struct opt *opt, const char *text, uint64_t *index,
                         struct buf *error) {
    size_t len;
    const char *word;
    for (size_t i = 0; (word = opt_word(opt, i, &len)); i++)
        if (strlen(text) == len && !memcmp(word, text, len)) {
            *index = i;
            return true;
        }
    buf_adds(error, "expected one of");
    add_words(opt, error);
    return false;
}

static bool parse_regex(const char *text, regex_t *regex, struct buf *error) {
    int rc = regcomp(regex, text, REG_EXTENDED | REG_NOSUB);
    if (!rc)
        return true;
    char reason[128];
    regerror(rc, regex, reason, sizeof reason);
    buf_addf(error, "expected a POSIX extended regular expression (%s)", reason);
    return false;
}

bool opt_parse(const struct opt *opt, const char *text, struct opt_value *value, regex_t *regex,
               struct buf *error) {
    *value = (struct opt_value){.opt = opt, .text = text, .as = {0}};
    const char *expected;
    switch (opt->kind) {
    case KIND_SETTING:
        return setting_check(opt->setting, text, error);
    case KIND_OPTION:
        return check_option(opt, text, error);
    case KIND_MEMORY:
    case KIND_CORES:
    case KIND_PRIORITY:
        return parse_field(opt, text, &value->as.number, error);
    case KIND_BOOL:
        if (units_parse_bool(text, strlen(text), &value->as.on, &expected))
            return true;
        buf_addf(error, "expected %s", expected);
        return false;
    case KIND_TEXT:
    case KIND_FILE:
        if (!*text)
            buf_adds(error, "expected something, not an empty text");
        return *text != '\0';
    case KIND_REGEX:
        value->as.regex = regex;
        return parse_regex(text, regex, error);
    case KIND_STATES:
    case KIND_TYPES:
        return parse_mask(opt, text, &value->as.mask, error);
    case KIND_CHOICE:
        return parse_choice(opt, text, &value->as.number, error);
    default:
        return parse_number(opt, text, &value->as.number, error);
    }
}
