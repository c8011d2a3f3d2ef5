#include "common/option.h"

#include <inttypes.h>
#include <string.h>

#include "common/field.h"
#include "common/units.h"
#include "common/words.h"

#define KEY_MAX 64 /* longer keys are close to nothing */

static bool is_key(const struct task_option_info *info, const char *key, size_t len) {
    size_t own = strlen(info->key);
    if (info->form == FORM_PAIR)
        return len >= own && memcmp(key, info->key, own) == 0;
    return len == own && memcmp(key, info->key, own) == 0;
}

const struct task_option_info *option_find(const char *key, size_t len) {
    for (size_t i = 0; i < task_options_count; i++)
        if (is_key(&task_options[i], key, len))
            return &task_options[i];
    return NULL;
}

/* Levenshtein's distance; both at most KEY_MAX bytes. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len) {
    size_t row[KEY_MAX + 1];
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[b_len];
}

static bool is_close(const char *key, size_t len, const char *known) {
    size_t known_len = strlen(known);
    if (len > KEY_MAX || known_len > KEY_MAX)
        return false;
    if (known[known_len - 1] == '.') { /* env.: compare what stands before the dot */
        const char *dot = memchr(key, '.', len);
        if (!dot)
            return len == known_len - 1 && memcmp(key, known, len) == 0;
        len = (size_t)(dot - key) + 1;
    }
    return distance(key, len, known, known_len) <= (len < 5 ? 1 : 2);
}

static void add_known(struct buf *out, size_t start, const char *key) {
    if (out->len > start)
        buf_adds(out, ", ");
    buf_adds(out, key);
    if (key[strlen(key) - 1] == '.')
        buf_adds(out, "NAME");
}

void option_unknown(const char *kind, const char *key, size_t len, const char *const *more,
                    struct buf *error) {
    buf_addf(error, "unknown %s ", kind);
    words_add_shown(error, key, len);
    buf_adds(error, ", expected ");
    size_t start = error->len;
    for (int all = 0; all < 2 && error->len == start; all++) {
        for (const char *const *name = more; name && *name; name++)
            if (all || is_close(key, len, *name))
                add_known(error, start, *name);
        for (size_t i = 0; i < task_options_count; i++)
            if ((!more || task_options[i].form != FORM_PAIR) &&
                (all || is_close(key, len, task_options[i].key)))
                add_known(error, start, task_options[i].key);
    }
}

const char *const *option_choices(enum task_option_tag tag) {
    static const char *const output[] = {"auto", "keep", "redis", NULL};
    static const char *const leftovers[] = {"kill", "wait", NULL};
    static const char *const limit[] = {"soft", "hard", NULL};
    static const char *const pin[] = {"none", "core", "numa", NULL};
    switch (tag) {
    case OPT_OUTPUT:
        return output;
    case OPT_LEFTOVERS:
        return leftovers;
    case OPT_LIMIT:
        return limit;
    case OPT_PIN:
        return pin;
    default:
        return NULL;
    }
}

static bool bad_value(const char *key, size_t key_len, const char *value, size_t len,
                      const char *expected, struct buf *error) {
    buf_add(error, key, key_len);
    buf_addc(error, ' ');
    words_add_shown(error, value, len);
    buf_addf(error, ", expected %s", expected);
    return false;
}

static bool number_value(const struct task_option_info *info, const char *value, size_t len,
                         struct buf *out, const char **expected) {
    uint64_t number = 0;
    uint32_t milli;
    bool good = false;
    switch (info->form) {
    case FORM_DURATION:
        good = units_parse_ms(value, len, &number, expected);
        break;
    case FORM_SIZE:
        good = units_parse_bytes(value, len, UNITS_GIB, &number, expected);
        if (good && number > TASK_MEM_MAX) {
            *expected = "at most 128 TiB";
            good = false;
        }
        break;
    case FORM_MILLI:
        good = units_parse_milli(value, len, &milli, expected);
        number = good ? milli : 0;
        if (good && number > 1024000) {
            *expected = "at most 1024";
            good = false;
        } else if (good && number > 1000 && number % 1000) {
            *expected = "a share of one GPU (0.25) or a whole number of them";
            good = false;
        }
        break;
    default: { /* FORM_COUNT */
        bool retries = info->tag == OPT_RETRIES;
        good =
            units_parse_uint(value, len, 1, retries ? 1000 : OPTIONS_REPEAT_MAX, &number, expected);
        *expected =
            retries ? "a whole number from 1 to 1000" : "a whole number from 1 to 1000000000";
    }
    }
    if (good)
        buf_addf(out, "%" PRIu64, number);
    return good;
}

static bool choice_value(const struct task_option_info *info, const char *key, size_t key_len,
                         const char *value, size_t len, struct buf *error) {
    struct buf expected = BUF_INIT;
    const char *const *choices = option_choices(info->tag);
    for (size_t i = 0; choices[i]; i++) {
        if (strlen(choices[i]) == len && memcmp(choices[i], value, len) == 0) {
            buf_free(&expected);
            return true;
        }
        buf_addf(&expected, "%s%s", i == 0 ? "" : choices[i + 1] ? ", " : " or ", choices[i]);
    }
    bad_value(key, key_len, value, len, expected.data, error);
    buf_free(&expected);
    return false;
}

/* Checks names joined by ',' and appends them without the blanks around them. */
static bool names_value(const char *key, size_t key_len, const char *value, size_t len,
                        struct buf *out, struct buf *error) {
    char what[KEY_MAX];
    size_t what_len = key_len < sizeof what ? key_len : sizeof what - 1;
    memcpy(what, key, what_len);
    what[what_len] = '\0';
    const char *end = value + len;
    bool first = true;
    for (const char *at = value; at <= end; first = false) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end, *next = stop + 1;
        while (at < stop && (*at == ' ' || *at == '\t'))
            at++;
        while (stop > at && (stop[-1] == ' ' || stop[-1] == '\t'))
            stop--;
        if (!field_name(what, at, (size_t)(stop - at), error))
            return false;
        if (!first)
            buf_addc(out, ',');
        buf_add(out, at, (size_t)(stop - at));
        at = next;
    }
    return true;
}

static bool pair_value(const struct task_option_info *info, const char *key, size_t key_len,
                       const char *value, size_t len, struct buf *out, struct buf *error) {
    size_t prefix = strlen(info->key);
    const char *name = key + prefix;
    size_t name_len = key_len - prefix;
    bool good = name_len > 0 && name_len <= TASK_NAME_MAX;
    for (size_t i = 0; good && i < name_len; i++)
        good = (unsigned char)name[i] > ' ' && name[i] != 0x7f && name[i] != '=';
    if (!good) {
        buf_adds(error, "unusable key ");
        words_add_shown(error, key, key_len);
        buf_addf(error, ", expected %sNAME, the name without blanks and '='", info->key);
        return false;
    }
    buf_add(out, name, name_len);
    buf_addc(out, '=');
    buf_add(out, value, len);
    return true;
}

/* Appends the normalised value to out. */
static bool normalise(const struct task_option_info *info, const char *key, size_t key_len,
                      const char *value, size_t len, struct buf *out, struct buf *error) {
    const char *expected = NULL;
    if (len > OPTIONS_VALUE_MAX) {
        buf_add(error, key, key_len);
        buf_addf(error, " of %zu bytes, expected at most %u", len, OPTIONS_VALUE_MAX);
        return false;
    }
    if (memchr(value, '\0', len)) {
        buf_add(error, key, key_len);
        buf_adds(error, " with a NUL byte, expected text");
        return false;
    }
    switch (info->form) {
    case FORM_PAIR:
        return pair_value(info, key, key_len, value, len, out, error);
    case FORM_NAMES:
        return names_value(key, key_len, value, len, out, error);
    case FORM_CHOICE:
        buf_add(out, value, len);
        return choice_value(info, key, key_len, value, len, error);
    case FORM_TEXT:
        buf_add(out, value, len);
        if (info->tag == OPT_NAME)
            return field_name(info->key, value, len, error);
        return len > 0 || bad_value(key, key_len, value, len, "a path", error);
    case FORM_DURATION:
    case FORM_COUNT:
    case FORM_SIZE:
    case FORM_MILLI:
        break;
    }
    return number_value(info, value, len, out, &expected) ||
           bad_value(key, key_len, value, len, expected, error);
}

/* The entry of this key, or where it belongs when *found is false. */
static size_t entry_find(const struct options *options, const struct task_option_info *info,
                         const char *key, size_t key_len, bool *found) {
    size_t prefix = strlen(info->key), i = 0;
    for (; i < options->count && options->entries[i].tag <= info->tag; i++) {
        const struct options_entry *entry = &options->entries[i];
        if (entry->tag != info->tag)
            continue;
        const char *value = options->text.data + entry->at;
        size_t name = key_len - prefix;
        if (info->form != FORM_PAIR ||
            (entry->len > name && value[name] == '=' && memcmp(value, key + prefix, name) == 0)) {
            *found = true;
            return i;
        }
    }
    *found = false;
    return i;
}

static void cut(struct buf *b, size_t len) {
    if (b->len > len) {
        b->len = len;
        b->data[len] = '\0';
    }
}

/* Values that were replaced stay in text until they outweigh the others. */
static void compact(struct options *options) {
    if (options->text.len < 4096 || options->text.len < 2 * options->live)
        return;
    struct buf text = BUF_INIT;
    buf_reserve(&text, options->live);
    for (size_t i = 0; i < options->count; i++) {
        struct options_entry *entry = &options->entries[i];
        size_t at = text.len;
        buf_add(&text, options->text.data + entry->at, entry->len);
        entry->at = at;
    }
    buf_free(&options->text);
    options->text = text;
}

bool options_set(struct options *options, const struct task_option_info *info, const char *key,
                 size_t key_len, const char *value, size_t len, struct buf *error) {
    size_t at = options->text.len;
    if (!normalise(info, key, key_len, value, len, &options->text, error)) {
        cut(&options->text, at);
        return false;
    }
    bool found;
    size_t i = entry_find(options, info, key, key_len, &found);
    if (!found) {
        if (options->count == OPTIONS_MAX) {
            cut(&options->text, at);
            buf_addf(error, "too many options, expected at most %d", OPTIONS_MAX);
            return false;
        }
        memmove(&options->entries[i + 1], &options->entries[i],
                (options->count - i) * sizeof options->entries[0]);
        options->count++;
    } else {
        options->live -= options->entries[i].len;
    }
    options->entries[i] = (struct options_entry){info->tag, at, options->text.len - at};
    options->live += options->entries[i].len;
    compact(options);
    return true;
}

void options_unset(struct options *options, const struct task_option_info *info, const char *key,
                   size_t key_len) {
    bool found;
    size_t i = entry_find(options, info, key, key_len, &found);
    if (!found)
        return;
    options->live -= options->entries[i].len;
    options->count--;
    memmove(&options->entries[i], &options->entries[i + 1],
            (options->count - i) * sizeof options->entries[0]);
    compact(options);
}

bool option_name_within(const char *name, size_t len, const char *group, size_t group_len) {
    return len >= group_len && memcmp(name, group, group_len) == 0 &&
           (len == group_len || name[group_len] == '/');
}

bool option_check_own_name(const struct task *task, struct buf *error) {
    static const enum task_option_tag tags[] = {OPT_AFTER, OPT_AFTER_ANY};
    const struct task_option *name = task_option(task, OPT_NAME);
    for (size_t i = 0; name && i < 2; i++) {
        const struct task_option *after = task_option(task, tags[i]);
        if (!after)
            continue;
        for (const char *at = after->value, *end = at + after->len; at < end;) {
            const char *comma = memchr(at, ',', (size_t)(end - at));
            size_t len = (size_t)((comma ? comma : end) - at);
            if (option_name_within(name->value, name->len, at, len)) {
                buf_adds(error, tags[i] == OPT_AFTER ? "after " : "after_any ");
                words_add_shown(error, at, len);
                buf_adds(error, " is or holds the task's own name ");
                words_add_shown(error, name->value, name->len);
                buf_adds(error, ", expected a name defined earlier");
                return false;
            }
            at += len + 1;
        }
    }
    return true;
}

static bool check_limit(const struct task *task, struct buf *error) {
    bool memory = task->mem_bytes > 0 && task->mem_bytes != TASK_MEM_AUTO;
    if (memory || task->mcpu > 0 || !task_option_is(task, OPT_LIMIT, "hard"))
        return true;
    buf_addf(error, "limit=hard needs min_dram or min_cpu, but min_dram is %s and min_cpu is 0",
             task->mem_bytes ? "auto" : "0");
    return false;
}

static bool check_requires(const struct task *task, size_t spare, struct buf *error) {
    struct buf requires = BUF_INIT;
    task_requires(task, &requires);
    size_t len = requires.len, most = TASK_NAME_MAX - spare;
    buf_free(&requires);
    if (len <= most)
        return true;
    buf_addf(error, "labels and GPU requests of %zu bytes together, expected at most %zu", len,
             most);
    return false;
}

bool option_check_task(const struct task *task, struct buf *error) {
    return check_limit(task, error) &&
           (task->type != TASK_NATIVE || !task->option_count || check_requires(task, 0, error));
}

bool options_check(const struct options *options, struct buf *error) {
    if (!options->count)
        return true;
    if (options->live > OPTIONS_BYTES_MAX) {
        buf_addf(error, "options of %zu bytes together, expected at most %u", options->live,
                 OPTIONS_BYTES_MAX);
        return false;
    }
    struct task task = {.type = TASK_SHELL};
    options_fill(options, &task);
    if (!check_requires(&task, TASK_FAMILY_WORD, error))
        return false;
    return option_check_own_name(&task, error);
}

void options_fill(const struct options *options, struct task *task) {
    task->option_count = options->count;
    for (size_t i = 0; i < options->count; i++) {
        const struct options_entry *entry = &options->entries[i];
        task->options[i] =
            (struct task_option){entry->tag, options->text.data + entry->at, entry->len};
    }
}

void options_clear(struct options *options) {
    options->count = 0;
    options->live = 0;
    buf_clear(&options->text);
}

void options_free(struct options *options) {
    options_clear(options);
    buf_free(&options->text);
}
