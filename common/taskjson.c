#include "common/taskjson.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/field.h"
#include "common/words.h"

struct taskjson {
    json_t *root;
    struct options options;
    struct buf text; /* a value as text */
};

struct taskjson *taskjson_new(void) {
    struct taskjson *json = xmalloc(sizeof *json);
    *json = (struct taskjson){NULL, OPTIONS_INIT, BUF_INIT};
    return json;
}

void taskjson_free(struct taskjson *json) {
    if (!json)
        return;
    json_decref(json->root);
    options_free(&json->options);
    buf_free(&json->text);
    free(json);
}

/* A number in plain decimal notation, with a '.' in every locale. */
static void add_real(struct buf *out, double value) {
    if (value < 0) {
        buf_addc(out, '-');
        value = -value;
    }
    if (value >= 1e15) { /* no field takes it: the message shows it */
        buf_addf(out, "%g", value);
        return;
    }
    uint64_t whole = (uint64_t)value;
    uint64_t nano = (uint64_t)((value - (double)whole) * 1e9 + 0.5);
    buf_addf(out, "%" PRIu64 ".%09" PRIu64, whole + nano / 1000000000, nano % 1000000000);
    while (out->data[out->len - 1] == '0')
        out->data[--out->len] = '\0';
    if (out->data[out->len - 1] == '.')
        out->data[--out->len] = '\0';
}

/* Appends a text or a number; false when the value is neither. */
static bool add_scalar(struct buf *out, const json_t *value) {
    if (json_is_string(value))
        buf_add(out, json_string_value(value), json_string_length(value));
    else if (json_is_integer(value))
        buf_addf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        add_real(out, json_real_value(value));
    else
        return false;
    return true;
}

static bool wrong_kind(const char *key, const char *expected, struct buf *error) {
    buf_addf(error, "%s of the wrong kind, expected %s", key, expected);
    return false;
}

static bool set_field(struct taskjson *json, const char *key, json_t *value, struct task *task,
                      bool *known, struct buf *error) {
    const char *s = json->text.data;
    size_t len = json->text.len;
    bool scalar = json_is_string(value) || json_is_number(value);
    *known = true;
    if (strcmp(key, "params") == 0) {
        if (!json_is_string(value))
            return wrong_kind(key, "text", error);
        task->params = json_string_value(value);
        task->params_len = json_string_length(value);
        return true;
    }
    if (strcmp(key, "type") == 0)
        return json_is_string(value) ? field_type(s, len, &task->type, error)
                                     : wrong_kind(key, "text", error);
    if (strcmp(key, "priority") == 0)
        return json_is_integer(value) ? field_priority(s, len, &task->priority, error)
                                      : wrong_kind(key, "a whole number", error);
    if (strcmp(key, "min_dram") == 0)
        return scalar ? field_min_dram(s, len, &task->mem_bytes, error)
                      : wrong_kind(key, "a number (GiB) or text", error);
    if (strcmp(key, "min_cpu") == 0)
        return scalar ? field_min_cpu(s, len, &task->mcpu, error)
                      : wrong_kind(key, "a number (cores) or text", error);
    *known = false;
    return true;
}

/* "env": {"NAME": value}; the same for arg. */
static bool set_pairs(struct taskjson *json, const struct task_option_info *info, json_t *object,
                      struct buf *error) {
    const char *name;
    json_t *value;
    struct buf key = BUF_INIT;
    bool good = true;
    json_object_foreach(object, name, value) {
        buf_clear(&key);
        buf_addf(&key, "%s%s", info->key, name);
        buf_clear(&json->text);
        good = add_scalar(&json->text, value) ? options_set(&json->options, info, key.data, key.len,
                                                            json->text.data, json->text.len, error)
                                              : wrong_kind(key.data, "text or a number", error);
        if (!good)
            break;
    }
    buf_free(&key);
    return good;
}

static bool set_names(struct taskjson *json, const struct task_option_info *info, json_t *array,
                      struct buf *error) {
    size_t i;
    json_t *value;
    buf_clear(&json->text);
    json_array_foreach(array, i, value) {
        if (!json_is_string(value))
            return wrong_kind(info->key, "a text or an array of texts", error);
        if (strchr(json_string_value(value), ',')) {
            buf_addf(error, "%s ", info->key);
            words_add_shown(error, json_string_value(value), json_string_length(value));
            buf_adds(error, ", expected one name in each element");
            return false;
        }
        if (i)
            buf_addc(&json->text, ',');
        add_scalar(&json->text, value);
    }
    if (json_array_size(array) == 0)
        return true;
    return options_set(&json->options, info, info->key, strlen(info->key), json->text.data,
                       json->text.len, error);
}

static bool set_option(struct taskjson *json, const char *key, json_t *value, struct buf *error) {
    static const char *const fields[] = {"type",   "priority", "min_dram", "min_cpu",
                                         "params", "env",      "arg",      NULL};
    if (strcmp(key, "env") == 0 || strcmp(key, "arg") == 0) {
        if (!json_is_object(value))
            return wrong_kind(key, "an object", error);
        return set_pairs(json, option_find(key[0] == 'e' ? "env." : "arg.", 4), value, error);
    }
    const struct task_option_info *info = option_find(key, strlen(key));
    if (!info || info->form == FORM_PAIR) {
        option_unknown("field", key, strlen(key), fields, error);
        return false;
    }
    if (json_is_array(value) && info->form == FORM_NAMES)
        return set_names(json, info, value, error);
    bool number = info->form != FORM_TEXT && info->form != FORM_NAMES && info->form != FORM_CHOICE;
    if (!(json_is_string(value) || (number && json_is_number(value))))
        return wrong_kind(key,
                          number                     ? "a number or text"
                          : info->form == FORM_NAMES ? "a text or an array of texts"
                                                     : "text",
                          error);
    return options_set(&json->options, info, key, strlen(key), json->text.data, json->text.len,
                       error);
}

size_t taskjson_column(const char *line, size_t len, const char *key) {
    size_t key_len = strlen(key);
    const char *end = line + len;
    for (const char *at = line; at < end; at++) {
        at = memmem(at, (size_t)(end - at), key, key_len);
        if (!at)
            break;
        const char *after = at + key_len;
        if (at == line || at[-1] != '"' || after == end || *after != '"')
            continue;
        for (after++; after < end && (*after == ' ' || *after == '\t');)
            after++;
        if (after < end && *after == ':')
            return (size_t)(at - line);
    }
    return 1;
}

static bool set_all(struct taskjson *json, const char *line, size_t len, struct task *task,
                    size_t *column, struct buf *error) {
    const char *key;
    json_t *value;
    json_object_foreach(json->root, key, value) {
        bool known;
        if (json_is_null(value))
            continue;
        buf_clear(&json->text);
        add_scalar(&json->text, value);
        if (!set_field(json, key, value, task, &known, error) ||
            (!known && !set_option(json, key, value, error))) {
            *column = taskjson_column(line, len, key);
            return false;
        }
    }
    return true;
}

/* jansson's text says what it met; its position counts the bytes up to and with the culprit. */
static bool not_json(const json_error_t *why, size_t len, size_t *column, struct buf *error) {
    size_t position = why->position > 0 ? (size_t)why->position : 1;
    *column = position > len ? len + 1 : position;
    buf_adds(error, why->text);
    buf_adds(error, strstr(why->text, "expected") ? " (one JSON object a line)"
                                                  : ", expected one JSON object a line");
    return false;
}

bool taskjson_parse(struct taskjson *json, const char *line, size_t len, struct task *task,
                    size_t *column, struct buf *error) {
    json_error_t why;
    size_t offset;
    json_decref(json->root);
    options_clear(&json->options);
    json->root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
    *column = 1;
    if (!json->root)
        return not_json(&why, len, column, error);
    if (!json_is_object(json->root)) {
        buf_adds(error, "a JSON array, expected an object");
        return false;
    }
    task->type = TASK_SHELL;
    task->priority = 0;
    task->mem_bytes = 0;
    task->mcpu = 1000;
    task->params = NULL;
    task->params_len = 0;
    task->option_count = 0;
    if (!set_all(json, line, len, task, column, error))
        return false;
    if (!task->params) {
        *column = 1;
        buf_adds(error, "no params, expected a command: {\"params\": \"...\"}");
        return false;
    }
    if (!field_params(task->type, task->params, task->params_len, &offset, error)) {
        *column = taskjson_column(line, len, "params");
        return false;
    }
    if (!options_check(&json->options, error)) {
        *column = 1;
        return false;
    }
    options_fill(&json->options, task);
    if (option_check_task(task, error))
        return true;
    *column = taskjson_column(line, len, "limit");
    return false;
}
