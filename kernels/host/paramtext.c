#include "kernels/host/paramtext.h"

#include <string.h>

#include "kernels/host/params.h"

#define HELP_COLUMN 28
#define WIDTH       100

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
    struct buf range = BUF_INIT;
    if (params_add_range(row, &range) && row->unit)
        buf_addc(&range, ' ');
    buf_adds(&range, row->unit ? row->unit : "");
    if (range.len)
        buf_addf(out, "%s%s", row->help ? "; " : "", range.data);
    buf_free(&range);
    if (row->fallback && *row->fallback)
        buf_addf(out, " (default: %s)", row->fallback);
}

static void add_wrapped_usage(const struct kernel *kernel, struct buf *out) {
    static const char head[] = "usage: kernelHost run ";
    struct buf usage = BUF_INIT;
    paramtext_usage(kernel, &usage);
    buf_addf(out, "\n%s", head);
    size_t column = sizeof head - 1;
    for (const char *at = usage.data; *at;) {
        size_t len = strcspn(at, " ");
        if (at != usage.data && column + 1 + len > WIDTH) {
            buf_addf(out, "\n%*s", (int)sizeof head - 1, "");
            column = sizeof head - 1;
        } else if (at != usage.data) {
            buf_addc(out, ' ');
            column++;
        }
        buf_add(out, at, len);
        column += len;
        at += len + (at[len] == ' ');
    }
    buf_addc(out, '\n');
    buf_free(&usage);
}

void paramtext_help(const struct kernel *kernel, const char *path, struct buf *out) {
    buf_addf(out, "%s - %s\n", kernel->name, kernel->summary ? kernel->summary : "");
    if (*path)
        buf_addf(out, "from %s\n", path);
    add_wrapped_usage(kernel, out);
    buf_addf(out, "task:  native:PRIORITY:MIN_DRAM:MIN_CPU:%s%s\n", kernel->name,
             kernel->params && kernel->params->name ? " key=value ..." : "");
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
