/*
 * plugindir.h - the directories that have the kernels, and what is in them. Opens no plug-in.
 *
 * Directories come from a list joined by ':'; those that are relative begin at the directory the
 * process was in at the first call. Without a list: `kernels` beside this program, then
 * `../lib/distcomp/kernels` from there. One thread.
 */
#ifndef DISTCOMP_KERNEL_PLUGINDIR_H
#define DISTCOMP_KERNEL_PLUGINDIR_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

/* NULL or "": the usual ones. Costs a comparison when the list is what it was. */
void plugindir_set(const char *text);
/* Grows with each list that differs from the one before. */
unsigned plugindir_number(void);
/* The directories in their order, valid until the next plugindir_set; "" after the last. */
const char *plugindir_first(void);
const char *plugindir_next(const char *dir);

/* Whether a kernel can have this name. */
bool plugin_name_ok(const char *name, size_t len);

struct plugin_file {
    char *name, *path;
    size_t dir; /* which directory it was in */
};
struct plugin_files {
    struct plugin_file *list;
    size_t count;
};
/* Each NAME.so there is, sorted by name; of equal names the first directory's. */
void plugindir_files(struct plugin_files *files);
void plugindir_files_free(struct plugin_files *files);

#endif
