/*
 * config.h - the settings of common/settings.h, and where they come from.
 *
 * A flag beats the environment, that beats conf.json, that beats the default. conf.json is the
 * first of:
 * --conf FILE, $DISTCOMP_CONF, ./conf.json, ~/.config/distcomp/conf.json ($XDG_CONFIG_HOME), and
 * conf.json one directory above the program's. One that is named has to exist. A key that is not in
 * the table and a value that does not fit are errors; so are a syntax error and a key given twice.
 *
 *     struct config_flags flags = CONFIG_FLAGS_INIT;
 *     struct config config;
 *     ... config_take_flag(&flags, argc, argv, i, CONFIG_WORKER, &error) ...
 *     if (!config_load(&config, &flags, &error)) ...
 *     log_setup(2, (enum log_level)config.log_level, (enum log_format)config.log_format);
 *
 * To read again: config_load into another struct config with the same flags, config_diff,
 * config_free the old.
 */
#ifndef DISTCOMP_CONFIG_H
#define DISTCOMP_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/settings.h"

#define CONFIG_AUTO UINT64_MAX /* GIB settings whose words are "auto" */

enum setting_kind {
    SETTING_BOOL,
    SETTING_COUNT,
    SETTING_BYTES,
    SETTING_GIB,
    SETTING_DURATION,
    SETTING_CORES,
    SETTING_TEXT,
    SETTING_SECRET,
    SETTING_WORD,
    SETTING_CHOICE
};

enum config_scope { CONFIG_MANAGER = 1, CONFIG_WORKER = 2, CONFIG_BOTH = 3 };

/* Where a value came from, weakest first. */
enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENV, CONFIG_FLAG };

/* A row of the table. */
struct setting {
    const char *key;
    enum setting_kind kind;
    size_t offset; /* of its member in struct config */
    const char *preset;
    int64_t least, most;
    const char *words;
    enum config_scope scope;
    const char *help;
};
extern const struct setting settings[];
#define X(kind, member, key, preset, least, most, words, scope, help) +1
enum { SETTING_TOTAL = SETTINGS(X) };
#undef X

/* The setting of that name or alias; '-' counts as '_'. NULL when there is none. */
const struct setting *setting_find(const char *name, size_t len);
/* Whether value would be accepted; if not, appends "expected ..." to error. */
bool setting_check(const struct setting *setting, const char *value, struct buf *error);
/* Appends what a value has to look like: "an integer from 1 to 1000". */
void setting_expected(const struct setting *setting, struct buf *out);
/* Appends the environment variable's name. */
void setting_variable(const struct setting *setting, struct buf *out);

#define CONFIG_TYPE_BOOL     bool
#define CONFIG_TYPE_COUNT    int64_t
#define CONFIG_TYPE_BYTES    uint64_t
#define CONFIG_TYPE_GIB      uint64_t
#define CONFIG_TYPE_DURATION int64_t
#define CONFIG_TYPE_CORES    uint32_t
#define CONFIG_TYPE_TEXT     char *
#define CONFIG_TYPE_SECRET   char *
#define CONFIG_TYPE_WORD     char *
#define CONFIG_TYPE_CHOICE   int

enum orphan_policy { ORPHAN_STOP, ORPHAN_KEEP }; /* indexes of orphan_policy's words */

/* Texts are owned by the struct and never NULL. After config_load, name, state_dir and result_dir
 * are filled. */
struct config {
#define X(kind, member, key, preset, least, most, words, scope, help) CONFIG_TYPE_##kind member;
    SETTINGS(X)
#undef X
    enum config_source source[SETTING_TOTAL]; /* by row of settings[] */
    char *file;                               /* the conf.json that was read, or "" */
};

/* Fills an uninitialised struct with the defaults. config_free in any case afterwards. */
void config_defaults(struct config *config);
void config_free(struct config *config);

/*
 * Sets one value, given as text. A weaker source than the one it has changes nothing. `where`
 * starts the error ("conf.json:3:5", "--lease", "DISTCOMP_LEASE"). On error the value stays as it
 * was.
 */
bool config_set(struct config *config, const struct setting *setting, const char *value,
                enum config_source source, const char *where, struct buf *error);
bool config_read_file(struct config *config, const char *path, struct buf *error);
bool config_read_env(struct config *config, struct buf *error);
/* What depends on several settings: fills name, state_dir, result_dir and checks lease against
 * reports. */
bool config_finish(struct config *config, struct buf *error);

/* Flags seen on a command line, kept for reading again. Borrows argv. */
struct config_flags {
    struct config_flag {
        const struct setting *setting;
        const char *value;
    } * list;
    size_t count;
    const char *conf; /* --conf, or NULL */
};
#define CONFIG_FLAGS_INIT                                                                          \
    { NULL, 0, NULL }
/*
 * If argv[at] is --conf or the flag of a setting of that scope (--key value, --key=value, --key for
 * a BOOL), remembers it and returns how many words it took. 0: it is not. -1: error, described.
 */
int config_take_flag(struct config_flags *flags, int argc, char **argv, int at,
                     enum config_scope scope, struct buf *error);
/* For callers that parse their command line themselves. */
void config_flags_add(struct config_flags *flags, const struct setting *setting, const char *value);
void config_flags_free(struct config_flags *flags);

/* Defaults, file, environment, flags, config_finish. config is initialised even when it fails. */
bool config_load(struct config *config, const struct config_flags *flags, struct buf *error);

/* Appends the keys whose values differ, joined by ", "; returns how many. */
size_t config_diff(const struct config *a, const struct config *b, struct buf *keys);
/* Appends a value as it could be written in conf.json's strings; "********" for a SECRET that is
 * set. */
void config_show(const struct config *config, const struct setting *setting, struct buf *out);
const char *config_source_name(enum config_source source);
/* Where the value of the setting with this key came from; the key must exist. */
enum config_source config_source_of(const struct config *config, const char *key);

/*
 * The reserves with `auto` resolved for a worker that may use memory_bytes: 5 % of it, 256 MiB to
 * 4 GiB, to accept; half of what accepting wants, to return. The latter is never above the former.
 */
uint64_t config_accept_bytes(const struct config *config, uint64_t memory_bytes);
uint64_t config_return_bytes(const struct config *config, uint64_t memory_bytes);

/* The directory for this user's run-time files: $DISTCOMP_RUN_DIR, else /var/tmp/distcomp-UID.
 * Appends. */
void config_run_dir(struct buf *out);

#endif
