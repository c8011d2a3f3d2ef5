#include "manager/task_json.h"

#include <string.h>

#include "common/units.h"
#include "manager/print.h"

/* A whole number without a point, others as they are. */
static json_t *scaled(uint64_t value, uint64_t unit) {
    return value % unit ? json_real((double)value / (double)unit)
                        : json_integer((json_int_t)(value / unit));
}

static json_t *names(const char *text, size_t len) {
    json_t *array = json_array();
    for (const char *end = text + len; text < end;) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        size_t part = (size_t)((comma ? comma : end) - text);
        json_array_append_new(array, print_json_text(text, part));
        text += part + 1;
    }
    return array;
}

/* "env.": {"NAME": "VALUE"}, one object for all of the task's. */
static void add_pair(json_t *object, const char *key, const struct task_option *option) {
    char name[8] = "";
    memcpy(name, key, strlen(key) - 1); /* without the point */
    json_t *pairs = json_object_get(object, name);
    if (!pairs) {
        pairs = json_object();
        json_object_set_new(object, name, pairs);
    }
    const char *equals = memchr(option->value, '=', option->len);
    size_t name_len = equals ? (size_t)(equals - option->value) : option->len;
    size_t at = equals ? name_len + 1 : name_len;
    json_t *own = print_json_text(option->value, name_len);
    json_object_set_new(pairs, json_string_value(own),
                        print_json_text(option->value + at, option->len - at));
    json_decref(own);
}

static void add_option(json_t *object, const struct task_option_info *info, const struct task *task,
                       const struct task_option *option) {
    uint64_t number = (uint64_t)task_option_number(task, info->tag, 0);
    json_t *value = NULL;
    switch (info->form) {
    case FORM_PAIR:
        add_pair(object, info->key, option);
        return;
    case FORM_DURATION:
    case FORM_MILLI:
        value = scaled(number, 1000);
        break;
    case FORM_SIZE:
        value = scaled(number, UNITS_GIB);
        break;
    case FORM_COUNT:
        value = json_integer((json_int_t)number);
        break;
    case FORM_NAMES:
        value = names(option->value, option->len);
        break;
    case FORM_TEXT:
    case FORM_CHOICE:
        value = print_json_text(option->value, option->len);
        break;
    }
    json_object_set_new(object, info->tag == OPT_REPEAT ? "repeat_index" : info->key, value);
}

json_t *task_json(const struct task *task, const char *id) {
    char own_id[TASK_ID_LEN + 1];
    if (!id)
        task_id(task, own_id);
    json_t *object = json_object();
    json_object_set_new(object, "id", json_string(id ? id : own_id));
    json_object_set_new(object, "type", json_string(task_type_name(task->type)));
    json_object_set_new(object, "priority", json_integer((json_int_t)task->priority));
    json_object_set_new(object, "min_dram",
                        task->mem_bytes == TASK_MEM_AUTO ? json_string("auto")
                                                         : scaled(task->mem_bytes, UNITS_GIB));
    json_object_set_new(object, "min_cpu", scaled(task->mcpu, 1000));
    json_object_set_new(object, "params", print_json_text(task->params, task->params_len));
    for (size_t i = 0; i < task->option_count; i++)
        for (size_t row = 0; row < task_options_count; row++)
            if (task_options[row].tag == task->options[i].tag)
                add_option(object, &task_options[row], task, &task->options[i]);
    return object;
}
