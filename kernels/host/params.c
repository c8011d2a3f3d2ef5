#include "kernels/host/params.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/nearest.h"
#include "common/units.h"
#include "common/words.h"

#define NUMBER_MAX 64 /* bytes of a REAL */

static bool is_list(enum kernel_type type) {
    return type == KERNEL_INPUTS || type == KERNEL_OUTPUTS;
}

static bool is_output(enum kernel_type type) {
    return type == KERNEL_OUTPUT || type == KERNEL_OUTPUTS;
}

static bool has_range(const struct kernel_param *row) {
    return row->max > row->min;
}

const char *params_choice(const struct kernel_param *row, size_t which, size_t *len) {
    const char *at = row->choices;
    for (; at && which; which--) {
        at = strchr(at, '|');
        at = at ? at + 1 : NULL;
    }
    *len = at ? strcspn(at, "|") : 0;
    return at;
}

static void add_choices(const struct kernel_param *row, struct buf *out) {
    size_t len;
    const char *choice;
    for (size_t i = 0; (choice = params_choice(row, i, &len)); i++)
        buf_addf(out, "%s%.*s", i ? ", " : "", (int)len, choice);
}

bool params_add_range(const struct kernel_param *row, struct buf *out) {
    if (has_range(row) && row->type == KERNEL_INT)
        buf_addf(out, "%.0f to %.0f", row->min, row->max);
    else if (has_range(row) && row->type == KERNEL_REAL)
        buf_addf(out, "%.15g to %.15g", row->min, row->max);
    else
        return false;
    return true;
}

static void add_from(const struct kernel_param *row, struct buf *out) {
    struct buf range = BUF_INIT;
    if (params_add_range(row, &range))
        buf_addf(out, " from %s", range.data);
    buf_free(&range);
}

void params_expected(const struct kernel_param *row, struct buf *out) {
    switch (row->type) {
    case KERNEL_INT:
        buf_adds(out, "an integer");
        add_from(row, out);
        buf_adds(out, " (10k is 10000, 4Ki is 4096; M, G, Mi, Gi)");
        break;
    case KERNEL_REAL:
        buf_adds(out, "a number");
        add_from(row, out);
        break;
    case KERNEL_FLAG:
        buf_adds(out, "yes or no");
        break;
    case KERNEL_TEXT:
        buf_adds(out, "a text");
        break;
    case KERNEL_CHOICE:
        buf_adds(out, "one of ");
        add_choices(row, out);
        break;
    case KERNEL_INPUT:
    case KERNEL_OUTPUT:
        buf_adds(out, "a file, redis:OBJECT or http(s)://...");
        break;
    case KERNEL_INPUTS:
    case KERNEL_OUTPUTS:
        buf_adds(out, "files, redis:OBJECT or http(s)://..., joined by ','");
        break;
    }
}

/* --- values ------------------------------------------------------------------------------------
 */

static bool read_suffix(const char *s, int64_t *factor) {
    static const struct {
        const char *name;
        int64_t factor;
    } suffixes[] = {{"", 1},
                    {"k", 1000},
                    {"M", 1000000},
                    {"G", 1000000000},
                    {"Ki", INT64_C(1) << 10},
                    {"Mi", INT64_C(1) << 20},
                    {"Gi", INT64_C(1) << 30}};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (!strcmp(s, suffixes[i].name)) {
            *factor = suffixes[i].factor;
            return true;
        }
    return false;
}

static bool read_int(const char *s, int64_t *value) {
    bool negative = *s == '-';
    s += *s == '-' || *s == '+';
    int64_t sum = 0, factor;
    size_t digits = strspn(s, "0123456789");
    if (!digits)
        return false;
    for (size_t i = 0; i < digits; i++)
        if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_sub_overflow(sum, s[i] - '0', &sum))
            return false;
    if (!read_suffix(s + digits, &factor) || __builtin_mul_overflow(sum, factor, &sum))
        return false;
    if (!negative && sum == INT64_MIN)
        return false;
    *value = negative ? sum : -sum;
    return true;
}

/* [sign] digits [. digits] [e [sign] digits]: no hexadecimal, no "inf", whatever the locale is. */
static bool is_decimal(const char *s) {
    s += *s == '-' || *s == '+';
    size_t whole = strspn(s, "0123456789"), part = 0;
    s += whole;
    if (*s == '.') {
        part = strspn(s + 1, "0123456789");
        s += 1 + part;
    }
    if (!whole && !part)
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        size_t exponent = strspn(s, "0123456789");
        if (!exponent)
            return false;
        s += exponent;
    }
    return !*s;
}

static bool read_real(const char *s, double *value) {
    static locale_t c_locale; /* made once, by the one thread that reads parameters */
    if (!c_locale)
        c_locale = newlocale(LC_ALL_MASK, "C", NULL);
    if (!is_decimal(s) || !c_locale)
        return false;
    double number = strtod_l(s, NULL, c_locale);
    if (!isfinite(number))
        return false;
    *value = number;
    return true;
}

static bool read_choice(const struct kernel_param *row, const char *s, size_t *index) {
    size_t len, wanted = strlen(s);
    const char *choice;
    for (size_t i = 0; (choice = params_choice(row, i, &len)); i++)
        if (len == wanted && !memcmp(choice, s, len)) {
            *index = i;
            return true;
        }
    return false;
}

static void add_item(struct params *params, const char *s, size_t len) {
    if (params->item_count == params->item_cap) {
        params->item_cap = params->item_cap ? params->item_cap * 2 : 8;
        params->items = xrealloc(params->items, params->item_cap * sizeof *params->items);
    }
    params->items[params->item_count++] = params->lists.len;
    buf_add(&params->lists, s, len);
    buf_addc(&params->lists, '\0');
}

/* False: an empty name. */
static bool read_items(struct params *params, const char *s, struct param_value *value) {
    value->first = params->item_count;
    for (;; s++) {
        size_t len = strcspn(s, ",");
        if (!len)
            return false;
        add_item(params, s, len);
        s += len;
        if (!*s)
            break;
    }
    value->count = params->item_count - value->first;
    return true;
}

static bool in_range(const struct kernel_param *row, double number) {
    return !has_range(row) || (number >= row->min && number <= row->max);
}

/* Whether s is a value of that row; fills value. */
static bool read_value(struct params *params, const struct kernel_param *row, const char *s,
                       struct param_value *value) {
    const char *unused;
    *value = (struct param_value){.given = true, .text = s};
    switch (row->type) {
    case KERNEL_INT:
        return read_int(s, &value->of.integer) && in_range(row, (double)value->of.integer);
    case KERNEL_REAL:
        return read_real(s, &value->of.real) && in_range(row, value->of.real);
    case KERNEL_FLAG:
        return units_parse_bool(s, strlen(s), &value->of.flag, &unused);
    case KERNEL_TEXT:
        return true;
    case KERNEL_CHOICE:
        return read_choice(row, s, &value->of.choice);
    case KERNEL_INPUT:
    case KERNEL_OUTPUT:
        return *s != '\0';
    case KERNEL_INPUTS:
    case KERNEL_OUTPUTS:
        return read_items(params, s, value);
    }
    return false;
}

/* --- the table ---------------------------------------------------------------------------------
 */

static bool good_name(const char *name) {
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return len && !name[len];
}

static const char *row_fault(const struct params *params, size_t index) {
    const struct kernel_param *row = &params->table[index];
    if (!good_name(row->name))
        return "its name has other characters than letters, digits and '_'";
    for (size_t i = 0; i < index; i++)
        if (!strcmp(params->table[i].name, row->name))
            return "two have this name";
    if (row->type < KERNEL_INT || row->type > KERNEL_OUTPUTS)
        return "its type is unknown";
    if (row->type == KERNEL_CHOICE && (!row->choices || !*row->choices))
        return "it is a CHOICE without choices";
    if (isnan(row->min) || isnan(row->max))
        return "its range is not a number";
    return NULL;
}

static bool read_preset(struct params *params, size_t index, struct buf *error) {
    const struct kernel_param *row = &params->table[index];
    const char *fault = row_fault(params, index);
    params->presets[index] = (struct param_value){.text = ""};
    if (!fault && (!row->fallback || !*row->fallback))
        return true;
    if (!fault && !read_value(params, row, row->fallback, &params->presets[index]))
        fault = "its default is not a value that it takes";
    if (fault)
        buf_addf(error, "parameter %zu of its table, \"%s\": %s", index, row->name, fault);
    return !fault;
}

bool params_init(struct params *params, const struct kernel_param *table, struct buf *error) {
    *params = (struct params){.table = table, .lists = BUF_INIT};
    while (table && table[params->rows].name)
        params->rows++;
    params->values = xcalloc(params->rows, sizeof *params->values);
    params->presets = xcalloc(params->rows, sizeof *params->presets);
    for (size_t i = 0; i < params->rows; i++)
        if (!read_preset(params, i, error))
            return false;
    params->preset_items = params->item_count;
    params->preset_bytes = params->lists.len;
    return true;
}

void params_free(struct params *params) {
    free(params->values);
    free(params->presets);
    free(params->items);
    buf_free(&params->lists);
    *params = (struct params){.lists = BUF_INIT};
}

/* --- the words of a try ------------------------------------------------------------------------
 */

/* The k-th name that a row writes; NULL after the last. */
static const char *output_name(const struct params *params, size_t row, size_t k) {
    const struct param_value *value = &params->values[row];
    if (!value->given || !is_output(params->table[row].type))
        return NULL;
    if (!is_list(params->table[row].type))
        return k ? NULL : value->text;
    return k < value->count ? params_item(params, row, k) : NULL;
}

/* Begins a line of errors. */
static struct buf *line(struct buf *errors) {
    if (errors->len)
        buf_addc(errors, '\n');
    return errors;
}

static void add_unknown(const struct params *params, const char *key, size_t len,
                        struct buf *errors) {
    struct nearest near = nearest_make(key, len);
    for (size_t i = 0; i < params->rows; i++)
        nearest_try(&near, params->table[i].name);
    buf_adds(line(errors), "unknown parameter ");
    words_add_shown(errors, key, len);
    if (near.best)
        buf_addf(errors, ", did you mean %s?", near.best);
    else if (!params->rows)
        buf_adds(errors, ": it has none");
}

static void add_wrong(const struct kernel_param *row, const char *value, struct buf *errors) {
    buf_addf(line(errors), "%s=", row->name);
    words_add_shown(errors, value, strlen(value));
    buf_adds(errors, ": expected ");
    params_expected(row, errors);
}

static bool read_word(struct params *params, const char *word, struct buf *errors) {
    size_t len = strcspn(word, "="), i = 0;
    if (!word[len]) {
        words_add_shown(line(errors), word, len);
        buf_adds(errors, ": expected key=value");
        return false;
    }
    while (i < params->rows &&
           (strncmp(params->table[i].name, word, len) != 0 || params->table[i].name[len]))
        i++;
    if (i == params->rows) {
        add_unknown(params, word, len, errors);
        return false;
    }
    const struct kernel_param *row = &params->table[i];
    struct param_value *value = &params->values[i];
    bool twice = value->written;
    bool good = read_value(params, row, word + len + 1, value);
    value->written = true;
    if (twice)
        buf_addf(line(errors), "%s is given twice", row->name);
    else if (!good)
        add_wrong(row, word + len + 1, errors);
    return good && !twice;
}

static bool check_missing(const struct params *params, struct buf *errors) {
    bool good = true;
    for (size_t i = 0; i < params->rows; i++) {
        const struct kernel_param *row = &params->table[i];
        if (row->fallback || params->values[i].written)
            continue;
        buf_addf(line(errors), "%s is missing: expected ", row->name);
        params_expected(row, errors);
        good = false;
    }
    return good;
}

/* Two outputs of one name would be one, and which, nobody knows. */
static bool check_outputs(const struct params *params, struct buf *errors) {
    const char *names[2];
    for (size_t i = 0; i < params->rows; i++)
        for (size_t k = 0; (names[0] = output_name(params, i, k)); k++)
            for (size_t j = 0; j <= i; j++)
                for (size_t l = 0; (j < i || l < k) && (names[1] = output_name(params, j, l)); l++)
                    if (!strcmp(names[0], names[1])) {
                        buf_addf(line(errors), "%s: ", params->table[i].name);
                        words_add_shown(errors, names[0], strlen(names[0]));
                        buf_adds(errors, " would be written twice");
                        return false;
                    }
    return true;
}

bool params_read(struct params *params, char *const *words, size_t count, struct buf *errors) {
    bool good = true;
    memcpy(params->values, params->presets, params->rows * sizeof *params->values);
    params->item_count = params->preset_items;
    params->lists.len = params->preset_bytes;
    for (size_t i = 0; i < count; i++)
        good = read_word(params, words[i], errors) && good;
    good = check_missing(params, errors) && good;
    return good && check_outputs(params, errors);
}

const char *params_item(const struct params *params, size_t row, size_t which) {
    return params->lists.data + params->items[params->values[row].first + which];
}
