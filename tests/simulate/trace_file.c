#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/family.h"
#include "tests/simulate/trace.h"

static unsigned family_number(struct sim_trace *trace, const char *name) {
    for (unsigned i = 0; i < trace->families; i++)
        if (strcmp(trace->family_names[i], name) == 0)
            return i;
    trace->family_names =
        xrealloc(trace->family_names, (trace->families + 1) * sizeof *trace->family_names);
    trace->family_names[trace->families] = xstrdup(name);
    return trace->families++;
}

static const char *text_of(const json_t *line, const char *key, const char *absent) {
    const char *text = json_string_value(json_object_get(line, key));
    return text ? text : absent;
}

static unsigned family_of(struct sim_trace *trace, const json_t *line) {
    const char *given = text_of(line, "family", NULL);
    if (given)
        return family_number(trace, given);
    const char *name = text_of(line, "name", ""), *type = text_of(line, "type", "shell");
    struct task task = {.params = text_of(line, "command", "?")};
    task.params_len = strlen(task.params);
    if (!task_type_parse(type, strlen(type), &task.type))
        task.type = TASK_SHELL;
    if (*name)
        task.options[task.option_count++] = (struct task_option){OPT_NAME, name, strlen(name)};
    struct buf key = BUF_INIT;
    family_key(&task, &key);
    unsigned number = family_number(trace, key.data);
    buf_free(&key);
    return number;
}

static bool read_line(struct sim_trace *trace, const json_t *line, double most, const char **what) {
    struct sim_task task = {0};
    task.peak_bytes = json_number_value(json_object_get(line, "max_rss_bytes"));
    double seconds = json_number_value(json_object_get(line, "wall_s"));
    if (!json_is_object(line)) {
        *what = "expected an object";
        return false;
    }
    if (task.peak_bytes <= 0 || seconds <= 0)
        return true;
    if (task.peak_bytes > most) {
        *what = "max_rss_bytes is more than the worker has for a task; give --memory";
        return false;
    }
    if (!sim_shape_parse(text_of(line, "shape", "linear"), &task.shape)) {
        *what = "unknown shape, expected linear, at_once or late";
        return false;
    }
    double request = json_number_value(json_object_get(line, "min_dram")) * SIM_GIB;
    task.request_bytes = floor(fmin(request > 0 ? request : task.peak_bytes, most));
    task.duration_us = (int64_t)ceil(seconds * 1e6);
    task.family = family_of(trace, line);
    sim_trace_add(trace, &task);
    return true;
}

bool sim_trace_read(struct sim_trace *trace, FILE *file, double most_bytes, struct buf *error) {
    *trace = (struct sim_trace){0};
    char *text = NULL;
    size_t size = 0, number = 0;
    bool ok = true;
    while (ok && getline(&text, &size, file) > 0) {
        number++;
        if (text[strspn(text, " \t\r\n")] == '\0')
            continue;
        json_error_t wrong;
        const char *what = wrong.text;
        json_t *line = json_loads(text, 0, &wrong);
        ok = line && read_line(trace, line, most_bytes, &what);
        if (!ok)
            buf_addf(error, "line %zu: %s", number, what);
        json_decref(line);
    }
    if (ok && trace->count == 0) {
        buf_adds(error, "no task has both max_rss_bytes and wall_s");
        ok = false;
    }
    free(text);
    return ok;
}
