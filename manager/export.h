/*
 * export.h - a task as a row of CSV or a line of JSON. Nothing here waits or prints.
 */
#ifndef DISTCOMP_MANAGER_EXPORT_H
#define DISTCOMP_MANAGER_EXPORT_H

#include "common/store.h"

#define EXPORT_ARGS_MAX 4096 /* different parameters; further ones have no column */

struct export_columns {
    char **args; /* names of parameters, in the order in which they were met; owned */
    size_t arg_count, arg_cap;
    bool outputs;       /* stdout and stderr are columns */
    struct export_arg { /* scratch, one for each of args */
        const char *value;
        size_t len;
    } * values;
};

void export_columns_init(struct export_columns *columns, bool outputs);
void export_columns_add(struct export_columns *columns, const struct task *task);
void export_columns_free(struct export_columns *columns);

/* Append a line with its end: CRLF for CSV, as RFC 4180 has it, or LF. */
void export_csv_head(const struct export_columns *columns, struct buf *out);
void export_csv_row(struct export_columns *columns, const struct store_task *task, struct buf *out);
void export_json_row(const struct export_columns *columns, const struct store_task *task,
                     struct buf *out);

#endif
