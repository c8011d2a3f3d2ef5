/*
 * plugin.h - the kernels that this process has opened (plugindir.h says where they are looked for).
 *
 * A plug-in NAME.so is opened once and stays open, its table of parameters checked and read. One
 * with another ABI, with another name in it, or with a broken table is refused. Its file is looked
 * at again at most once a second: when it was replaced, the old one is closed, with what it kept,
 * and the new one opened. One thread.
 */
#ifndef DISTCOMP_KERNEL_PLUGIN_H
#define DISTCOMP_KERNEL_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <time.h>

#include "common/buf.h"
#include "kernels/host/params.h"
#include "kernels/kernel.h"

struct kept; /* of plugin.c */

struct plugin {
    const struct kernel *kernel;
    char *name;
    char *path; /* "" for one that is linked in */
    struct params params;
    /* of plugin.c */
    void *handle;
    struct stat file;
    time_t looked_s; /* monotonic: when the file was last looked at */
    unsigned dirs;   /* plugindir_number() then */
    struct kept *kept;
    struct plugin *next;
};

enum plugin_result { PLUGIN_OK, PLUGIN_UNKNOWN, PLUGIN_BROKEN };
/*
 * Finds and opens it. Else appends why to error: UNKNOWN: no directory has it; the nearest name
 * there is, is said. BROKEN: it cannot be opened or is not what it should be. The plug-in is valid
 * until the next call.
 */
enum plugin_result plugin_open(const char *name, struct plugin **plugin, struct buf *error);

/* A kernel that is linked into the program. False: it would be BROKEN. */
bool plugin_link(const struct kernel *kernel, struct buf *error);

/* The place kept under key, at first NULL (kernel_keep). */
void **plugin_keep(struct plugin *plugin, const char *key, void (*close)(void *kept));

/* Closes what was kept and forgets all plug-ins; their code stays until the process ends. */
void plugin_close_all(void);

#endif
