#include "kernels/host/paramtext.h"

#include <string.h>

#include "kernels/host/params.h"

#define HELP_COLUMN 28

static const char *type_word(enum kernel_type type) {
    static const char *const words[] = {
        [KERNEL_INT] = "INTEGER",      [KERNEL_REAL] = "NUMBER",   [KERNEL_FLAG] = "yes|no",
        [KERNEL_TEXT] = "TEXT",        [KERNEL_CHOICE] = "",       [KERNEL_INPUT] = "INPUT",
        [KERNEL_INPUTS] = "INPUT,...", [KERNEL_OUTPUT] = "OUTPUT", [KERNEL_OUTPUTS] = "OUTPUT,...",
    };
    return words[type];
}

static void add_form(const struct kernel_param *row, struct buf *out) {
    buf_addf(out, "%s=%s", row->name,
             row->type == KERNEL_CHOICE ? row->choices : type_word(row->type));
}

void paramtext_usage(const struct kernel *kernel, struct buf *out) {
    buf_adds(out, kernel->name);
    for (const struct kernel_param *row = kernel->params; row && row->name; row++) {
        buf_adds(out, row->fallback ? " [" : " ");
        add_form(row, out);
        buf_adds(out, row->fallback ? "]" : "");
    }
}

/* What can be said of a row in one line: the phrase, range and unit, default. */
static void add_about(const struct kernel_param *row, struct buf *out) {
    buf_adds(out, row->help ? row->help : "");
    bool range = row->max > row->min && (row->type == KERNEL_INT || row->type == KERNEL_REAL);
    if (range)
        buf_addf(out, "%s%.15g to %.15g", row->help ? "; " : "", row->min, row->max);
    if (row->unit)
        buf_addf(out, "%s%s", range ? " " : row->help ? "; " : "", row->unit);
    if (row->fallback && *row->fallback)
        buf_addf(out, " (default: %s)", row->fallback);
}

void paramtext_help(const struct kernel *kernel, const char *path, struct buf *out) {
    buf_addf(out, "%s - %s\n", kernel->name, kernel->summary ? kernel->summary : "");
    if (*path)
        buf_addf(out, "from %s\n", path);
    buf_adds(out, "\nusage: kernelHost run ");
    paramtext_usage(kernel, out);
    buf_adds(out, "\ntask:  native:PRIORITY:MIN_DRAM:MIN_CPU:");
    paramtext_usage(kernel, out);
    buf_addc(out, '\n');
    for (const struct kernel_param *row = kernel->params; row && row->name; row++) {
        buf_adds(out, row == kernel->params ? "\n  " : "  ");
        size_t start = out->len;
        add_form(row, out);
        if (out->len - start >= HELP_COLUMN) {
            buf_adds(out, "\n  ");
            start = out->len;
        }
        for (size_t column = out->len - start; column < HELP_COLUMN; column++)
            buf_addc(out, ' ');
        add_about(row, out);
        buf_addc(out, '\n');
    }
}

static json_t *choices_json(const struct kernel_param *row) {
    json_t *list = json_array();
    size_t len;
    const char *choice;
    for (size_t i = 0; (choice = params_choice(row, i, &len)); i++)
        json_array_append_new(list, json_stringn(choice, len));
    return list;
}

static json_t *row_json(const struct kernel_param *row) {
    static const char *const names[] = {
        [KERNEL_INT] = "integer",   [KERNEL_REAL] = "number",   [KERNEL_FLAG] = "flag",
        [KERNEL_TEXT] = "text",     [KERNEL_CHOICE] = "choice", [KERNEL_INPUT] = "input",
        [KERNEL_INPUTS] = "inputs", [KERNEL_OUTPUT] = "output", [KERNEL_OUTPUTS] = "outputs",
    };
    json_t *object = json_pack("{s:s, s:s, s:b}", "name", row->name, "type", names[row->type],
                               "required", !row->fallback);
    if (row->fallback && *row->fallback)
        json_object_set_new(object, "default", json_string(row->fallback));
    if (row->max > row->min && (row->type == KERNEL_INT || row->type == KERNEL_REAL)) {
        json_object_set_new(object, "min", json_real(row->min));
        json_object_set_new(object, "max", json_real(row->max));
    }
    if (row->type == KERNEL_CHOICE)
        json_object_set_new(object, "choices", choices_json(row));
    if (row->unit)
        json_object_set_new(object, "unit", json_string(row->unit));
    if (row->help)
        json_object_set_new(object, "help", json_string(row->help));
    return object;
}

json_t *paramtext_json(const struct kernel *kernel, const char *path) {
    json_t *params = json_array();
    for (const struct kernel_param *row = kernel->params; row && row->name; row++)
        json_array_append_new(params, row_json(row));
    return json_pack("{s:s, s:s, s:s, s:o}", "name", kernel->name, "summary",
                     kernel->summary ? kernel->summary : "", "path", path, "params", params);
}
