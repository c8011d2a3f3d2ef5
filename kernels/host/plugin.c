#include "kernels/host/plugin.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "common/nearest.h"
#include "common/words.h"
#include "kernels/host/plugindir.h"

#define SYMBOL "distcomp_kernel"

static struct plugin *plugins;

struct kept {
    char *key;
    void *pointer;
    void (*close)(void *kept);
    struct kept *next;
};

/* --- opening -----------------------------------------------------------------------------------
 */

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Whether it is a kernel of this name that this host can run; else appends why not. */
static bool check_kernel(const struct kernel *kernel, const char *name, struct buf *error) {
    if (kernel->abi != KERNEL_ABI)
        buf_addf(
            error,
            "it was built for version %u of kernel.h and this host has version %u; build it again",
            (unsigned)kernel->abi, (unsigned)KERNEL_ABI);
    else if (!kernel->name || strcmp(kernel->name, name) != 0)
        buf_addf(error, "the kernel in it is named \"%s\"; the file has to be named after it",
                 kernel->name ? kernel->name : "");
    else if (!kernel->run)
        buf_adds(error, "it has no run function");
    else
        return true;
    return false;
}

/* Takes over handle; NULL after an error, with handle closed. */
static struct plugin *adopt(const struct kernel *kernel, const char *name, void *handle,
                            struct buf *error) {
    if (!check_kernel(kernel, name, error)) {
        if (handle)
            dlclose(handle);
        return NULL;
    }
    struct plugin *plugin = xcalloc(1, sizeof *plugin);
    plugin->kernel = kernel;
    plugin->handle = handle;
    if (!params_init(&plugin->params, kernel->params, error)) {
        params_free(&plugin->params);
        free(plugin);
        if (handle)
            dlclose(handle);
        return NULL;
    }
    plugin->name = xstrdup(name);
    plugin->next = plugins;
    plugins = plugin;
    return plugin;
}

static struct plugin *open_file(const char *name, const char *path, const struct stat *st,
                                struct buf *error) {
    struct buf why = BUF_INIT;
    struct plugin *plugin = NULL;
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct kernel *kernel = handle ? dlsym(handle, SYMBOL) : NULL;
    if (!handle) {
        const char *text = dlerror();
        size_t len = strlen(path); /* which glibc puts before most of its texts */
        if (text && !strncmp(text, path, len) && text[len] == ':')
            text += len + 1 + (text[len + 1] == ' ');
        buf_adds(&why, text ? text : "it cannot be opened");
    } else if (!kernel) {
        buf_adds(&why, "it is no plug-in: it has no KERNEL_EXPORT");
        dlclose(handle);
    } else {
        plugin = adopt(kernel, name, handle, &why);
    }
    if (plugin) {
        plugin->path = xstrdup(path);
        plugin->file = *st;
    } else {
        buf_addf(error, "%s cannot be used: %s", path, why.data);
    }
    buf_free(&why);
    return plugin;
}

static void close_kept(struct plugin *plugin) {
    while (plugin->kept) {
        struct kept *kept = plugin->kept;
        plugin->kept = kept->next;
        if (kept->pointer && kept->close)
            kept->close(kept->pointer);
        free(kept->key);
        free(kept);
    }
}

/* Closes what it kept, and its code when that is to be loaded again. */
static void forget(struct plugin *plugin, bool unload) {
    struct plugin **at = &plugins;
    while (*at != plugin)
        at = &(*at)->next;
    *at = plugin->next;
    close_kept(plugin);
    if (plugin->handle && unload)
        dlclose(plugin->handle);
    params_free(&plugin->params);
    free(plugin->name);
    free(plugin->path);
    free(plugin);
}

/* --- finding -----------------------------------------------------------------------------------
 */

static void add_unknown(const char *name, struct buf *error) {
    struct nearest near = nearest_make(name, strlen(name));
    struct plugin_files files;
    plugindir_files(&files);
    for (size_t i = 0; i < files.count; i++)
        nearest_try(&near, files.list[i].name);
    buf_adds(error, "no kernel ");
    words_add_shown(error, name, strlen(name));
    buf_adds(error, " in");
    const char *dir = plugindir_first();
    for (bool first = true; *dir; dir = plugindir_next(dir), first = false)
        buf_addf(error, "%s %s", first ? "" : ",", dir);
    if (near.best)
        buf_addf(error, "; did you mean %s?", near.best);
    else if (!files.count)
        buf_adds(error, ", which have none; DISTCOMP_KERNEL_DIR names other directories");
    else
        buf_adds(error, "; `kernelHost list` shows what there is");
    plugindir_files_free(&files);
}

static struct plugin *known(const char *name) {
    struct plugin *plugin = plugins;
    while (plugin && strcmp(plugin->name, name) != 0)
        plugin = plugin->next;
    return plugin;
}

static time_t seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec;
}

/* The file of that kernel; false when no directory has one. */
static bool find_file(const char *name, struct buf *path, struct stat *st) {
    for (const char *dir = plugindir_first(); *dir; dir = plugindir_next(dir)) {
        buf_clear(path);
        buf_addf(path, "%s/%s.so", dir, name);
        if (stat(path->data, st) == 0)
            return true;
    }
    return false;
}

/* C++'s unique symbols, or -z nodelete, keep code after dlclose. */
static bool is_unloaded(const char *path, struct buf *error) {
    void *handle = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
    if (!handle)
        return true;
    dlclose(handle);
    buf_addf(error,
             "%s was replaced, but its old code cannot be unloaded from this process: build it "
             "with -fno-gnu-unique (C++), or let idle hosts end (kernel_idle) and retry",
             path);
    return false;
}

static enum plugin_result look(const char *name, struct plugin **plugin, struct buf *error) {
    struct buf path = BUF_INIT;
    struct stat st;
    struct plugin *old = *plugin;
    enum plugin_result result = PLUGIN_OK;
    if (!plugin_name_ok(name, strlen(name)) || !find_file(name, &path, &st)) {
        add_unknown(name, error);
        result = PLUGIN_UNKNOWN;
    } else if (!old || strcmp(old->path, path.data) != 0 || !same_file(&old->file, &st)) {
        if (old)
            forget(old, true); /* its code goes too: dlopen would give the old one again */
        *plugin = is_unloaded(path.data, error) ? open_file(name, path.data, &st, error) : NULL;
        result = *plugin ? PLUGIN_OK : PLUGIN_BROKEN;
    }
    buf_free(&path);
    return result;
}

enum plugin_result plugin_open(const char *name, struct plugin **plugin, struct buf *error) {
    time_t now = seconds();
    *plugin = known(name);
    if (*plugin && (!(*plugin)->handle ||
                    ((*plugin)->looked_s == now && (*plugin)->dirs == plugindir_number())))
        return PLUGIN_OK;
    enum plugin_result result = look(name, plugin, error);
    if (result == PLUGIN_OK) {
        (*plugin)->looked_s = now;
        (*plugin)->dirs = plugindir_number();
    }
    return result;
}

bool plugin_link(const struct kernel *kernel, struct buf *error) {
    struct plugin *plugin = adopt(kernel, kernel->name ? kernel->name : "", NULL, error);
    if (plugin)
        plugin->path = xstrdup("");
    return plugin != NULL;
}

/* --- what is kept ------------------------------------------------------------------------------
 */

void **plugin_keep(struct plugin *plugin, const char *key, void (*close)(void *kept)) {
    struct kept *kept = plugin->kept;
    while (kept && strcmp(kept->key, key) != 0)
        kept = kept->next;
    if (!kept) {
        kept = xcalloc(1, sizeof *kept);
        kept->key = xstrdup(key);
        kept->next = plugin->kept;
        plugin->kept = kept;
    }
    kept->close = close;
    return &kept->pointer;
}

void plugin_close_all(void) {
    while (plugins)
        forget(plugins, false);
}
