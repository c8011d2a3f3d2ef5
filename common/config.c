#include "common/config.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/nearest.h"
#include "common/units.h"

/* --- conf.json -------------------------------------------------------------------------------- */

static const char *nearest_key(const char *key) {
    struct nearest near = nearest_make(key, strlen(key));
    for (size_t i = 0; i < SETTING_TOTAL; i++) {
        nearest_try(&near, settings[i].key);
    }
    return near.best;
}

/* "path:line:column" of the key in the file's text, or only the path when it cannot be found. */
static void add_place(const char *path, const char *text, const char *key, struct buf *where) {
    buf_adds(where, path);
    size_t len = strlen(key);
    size_t line = 1;
    const char *line_start = text;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\n') {
            line++;
            line_start = at + 1;
        } else if (*at == '"' && strncmp(at + 1, key, len) == 0 && at[len + 1] == '"') {
            const char *after = at + len + 2;
            if (after[strspn(after, " \t\r\n")] == ':') {
                buf_addf(where, ":%zu:%zu", line, (size_t)(at - line_start) + 1);
                return;
            }
        }
    }
}

/* A JSON value as one would write it on the command line; false for those that are no setting's. */
static bool add_json_value(const json_t *json, struct buf *out) {
    switch (json_typeof(json)) {
    case JSON_STRING:
        buf_adds(out, json_string_value(json));
        return true;
    case JSON_INTEGER:
        buf_addf(out, "%lld", (long long)json_integer_value(json));
        return true;
    case JSON_REAL: {
        buf_addf(out, "%.9f", json_real_value(json));
        while (out->data[out->len - 1] == '0') {
            out->data[--out->len] = '\0';
        }
        if (out->data[out->len - 1] == '.') {
            out->data[--out->len] = '\0';
        }
        return true;
    }
    case JSON_TRUE:
    case JSON_FALSE:
        buf_adds(out, json_is_true(json) ? "true" : "false");
        return true;
    case JSON_OBJECT:
    case JSON_ARRAY:
    case JSON_NULL:
        break;
    }
    return false;
}

static bool set_from_json(struct config *config, const char *where, const char *key,
                          const json_t *json, struct buf *error) {
    const struct setting *setting = setting_find(key, strlen(key));
    if (setting == NULL) {
        buf_addf(error, "%s: unknown key '%s'", where, key);
        const char *near = nearest_key(key);
        if (near != NULL) {
            buf_addf(error, "; did you mean '%s'?", near);
        } else {
            buf_adds(error, "; the keys are listed in docs/operations.md");
        }
        return false;
    }
    struct buf text = BUF_INIT;
    bool ok = add_json_value(json, &text);
    if (ok) {
        ok = config_set(config, setting, text.data, CONFIG_FILE, where, error);
    } else {
        char *dump = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT);
        buf_addf(error, "%s: %s: %.200s: expected ", where, key, dump != NULL ? dump : "");
        setting_expected(setting, error);
        free(dump);
    }
    buf_free(&text);
    return ok;
}

static bool slurp(const char *path, struct buf *text, struct buf *error) {
    FILE *file = fopen(path, "re");
    bool ok = file != NULL;
    if (ok) {
        char block[4096];
        size_t got;
        while ((got = fread(block, 1, sizeof block, file)) > 0) {
            buf_add(text, block, got);
        }
        ok = !ferror(file);
    }
    if (!ok) {
        buf_addf(error, "%s: cannot read it: %s", path, strerror(errno));
    }
    if (file != NULL) {
        fclose(file);
    }
    return ok;
}

bool config_read_file(struct config *config, const char *path, struct buf *error) {
    struct buf text = BUF_INIT;
    if (!slurp(path, &text, error)) {
        buf_free(&text);
        return false;
    }
    json_error_t fault;
    json_t *root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &fault);
    bool ok = true;
    if (root == NULL) {
        buf_addf(error, "%s:%d:%d: not valid JSON: %s", path, fault.line, fault.column, fault.text);
        ok = false;
    } else if (!json_is_object(root)) {
        buf_addf(error, "%s:1:1: expected one object, { \"key\": value, ... }", path);
        ok = false;
    }
    const char *key;
    json_t *value;
    if (ok) {
        json_object_foreach(root, key, value) {
            struct buf where = BUF_INIT;
            add_place(path, text.data, key, &where);
            ok = set_from_json(config, where.data, key, value, error);
            buf_free(&where);
            if (!ok) {
                break;
            }
        }
    }
    if (ok) {
        free(config->file);
        config->file = xstrdup(path);
    }
    json_decref(root);
    buf_free(&text);
    return ok;
}

/* --- environment and flags -------------------------------------------------------------------- */

bool config_read_env(struct config *config, struct buf *error) {
    bool ok = true;
    for (size_t i = 0; i < SETTING_TOTAL && ok; i++) {
        struct buf variable = BUF_INIT;
        setting_variable(&settings[i], &variable);
        const char *value = getenv(variable.data);
        if (value != NULL && *value != '\0') {
            ok = config_set(config, &settings[i], value, CONFIG_ENV, variable.data, error);
        }
        buf_free(&variable);
    }
    return ok;
}

void config_flags_add(struct config_flags *flags, const struct setting *setting,
                      const char *value) {
    flags->list = xrealloc(flags->list, (flags->count + 1) * sizeof *flags->list);
    flags->list[flags->count++] = (struct config_flag){setting, value};
}

void config_flags_free(struct config_flags *flags) {
    free(flags->list);
    *flags = (struct config_flags)CONFIG_FLAGS_INIT;
}

int config_take_flag(struct config_flags *flags, int argc, char **argv, int at,
                     enum config_scope scope, struct buf *error) {
    const char *word = argv[at];
    if (strncmp(word, "--", 2) != 0 || word[2] == '\0') {
        return 0;
    }
    size_t len = strcspn(word + 2, "=");
    bool is_conf = len == 4 && memcmp(word + 2, "conf", 4) == 0;
    const struct setting *setting = is_conf ? NULL : setting_find(word + 2, len);
    if (!is_conf && (setting == NULL || (setting->scope & scope) == 0)) {
        return 0;
    }
    const char *value = word[2 + len] == '=' ? word + 2 + len + 1 : NULL;
    int taken = 1;
    if (value == NULL && at + 1 < argc) {
        bool truth;
        const char *expected;
        /* A flag without a value is true: the next word is its value only if it can be one. */
        if (is_conf || setting->kind != SETTING_BOOL ||
            units_parse_bool(argv[at + 1], strlen(argv[at + 1]), &truth, &expected)) {
            value = argv[at + 1];
            taken = 2;
        }
    }
    if (value == NULL && !is_conf && setting->kind == SETTING_BOOL) {
        value = "true";
    }
    if (value == NULL) {
        buf_addf(error, "%s: a value is missing: expected ", word);
        if (is_conf) {
            buf_adds(error, "a file");
        } else {
            setting_expected(setting, error);
        }
        return -1;
    }
    if (is_conf) {
        flags->conf = value;
        return taken;
    }
    struct buf fault = BUF_INIT;
    bool ok = setting_check(setting, value, &fault);
    if (ok) {
        config_flags_add(flags, setting, value);
    } else if (setting->kind == SETTING_SECRET) {
        buf_addf(error, "--%s: %s", setting->key, fault.data);
    } else {
        buf_addf(error, "--%.*s: '%.200s': %s", (int)len, word + 2, value, fault.data);
    }
    buf_free(&fault);
    return ok ? taken : -1;
}

/* --- all of it -------------------------------------------------------------------------------- */

void config_run_dir(struct buf *out) {
    const char *given = getenv("DISTCOMP_RUN_DIR");
    if (given != NULL && *given != '\0') {
        buf_adds(out, given);
    } else {
        buf_addf(out, "/var/tmp/distcomp-%lu", (unsigned long)geteuid());
    }
}

static void replace(char **text, const char *with) {
    free(*text);
    *text = xstrdup(with);
}

/* The host name, with what a WORD may not have turned into '-'. */
static void fill_name(struct config *config) {
    char host[65] = "";
    gethostname(host, sizeof host - 1);
    for (char *c = host; *c != '\0'; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || *c == '_';
        if (!plain && (c == host || (*c != '.' && *c != '-'))) {
            *c = c == host ? '_' : '-';
        }
    }
    replace(&config->name, host[0] != '\0' ? host : "worker");
}

/* Sockets live in state_dir, and a socket's path is short: this much is kept for their names. */
#define SOCKET_NAME_MAX 20
#define STATE_DIR_MAX   (sizeof((struct sockaddr_un *)NULL)->sun_path - 1 - SOCKET_NAME_MAX)

static void fill_state_dir(struct config *config) {
    struct buf path = BUF_INIT;
    config_run_dir(&path);
    size_t base = path.len;
    buf_addf(&path, "/%s/%s", config->queue, config->name);
    if (path.len > STATE_DIR_MAX) {
        XXH64_hash_t hash = XXH64(path.data + base, path.len - base, 0);
        path.len = base;
        buf_addf(&path, "/%016llx", (unsigned long long)hash);
    }
    replace(&config->state_dir, path.data);
    buf_free(&path);
}

static bool check_labels(const struct config *config, struct buf *error) {
    const char *at = config->labels;
    if (*at == '\0') {
        return true;
    }
    for (;;) {
        size_t len = strcspn(at, ",");
        if (len == 0 || strcspn(at, " \t\"") < len) {
            buf_addf(error, "labels: '%s': expected names joined by ',', without blanks",
                     config->labels);
            return false;
        }
        if (at[len] == '\0') {
            return true;
        }
        at += len + 1;
    }
}

bool config_finish(struct config *config, struct buf *error) {
    if (config->name[0] == '\0') {
        fill_name(config);
    }
    if (config->state_dir[0] == '\0') {
        fill_state_dir(config);
    }
    if (config->result_dir[0] == '\0') {
        struct buf path = BUF_INIT;
        buf_addf(&path, "%s/results", config->state_dir);
        replace(&config->result_dir, path.data);
        buf_free(&path);
    }
    if (strlen(config->state_dir) > STATE_DIR_MAX) {
        buf_addf(error, "state_dir: '%s': expected at most %zu bytes, as sockets are made in it",
                 config->state_dir, STATE_DIR_MAX);
        return false;
    }
    int64_t least_lease_ms = 3 * config->health_report_interval_ms;
    if (config->lease_ms < least_lease_ms && config_source_of(config, "lease") == CONFIG_DEFAULT) {
        config->lease_ms = least_lease_ms;
    }
    if (config->lease_ms < least_lease_ms) {
        struct buf least = BUF_INIT;
        units_add_ms(&least, (uint64_t)least_lease_ms);
        buf_adds(error, "lease: '");
        units_add_ms(error, (uint64_t)config->lease_ms);
        buf_addf(error, "': expected at least 3 x health_report_interval, which is %s", least.data);
        buf_free(&least);
        return false;
    }
    if (config->retry_backoff_max_ms < config->retry_backoff_ms) {
        if (config_source_of(config, "retry_backoff_max") == CONFIG_DEFAULT) {
            config->retry_backoff_max_ms = config->retry_backoff_ms;
        } else {
            buf_adds(error, "retry_backoff_max: expected at least retry_backoff, which is ");
            units_add_ms(error, (uint64_t)config->retry_backoff_ms);
            return false;
        }
    }
    return check_labels(config, error);
}

/* The conf.json that counts, or "" when there is none. Only one that was named may be missing. */
static void find_file(const struct config_flags *flags, struct buf *path) {
    const char *given = flags != NULL ? flags->conf : NULL;
    if (given == NULL) {
        given = getenv("DISTCOMP_CONF");
    }
    if (given != NULL && *given != '\0') {
        buf_adds(path, given);
        return;
    }
    buf_adds(path, "conf.json");
    if (access(path->data, F_OK) == 0) {
        return;
    }
    buf_clear(path);
    const char *config_home = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    if (config_home != NULL && *config_home == '/') {
        buf_addf(path, "%s/distcomp/conf.json", config_home);
    } else if (home != NULL && *home != '\0') {
        buf_addf(path, "%s/.config/distcomp/conf.json", home);
    }
    if (path->len > 0 && access(path->data, F_OK) == 0) {
        return;
    }
    buf_clear(path);
    char program[4096];
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
    if (len > 0) {
        program[len] = '\0';
        for (int up = 0; up < 2 && strrchr(program, '/') != NULL; up++) {
            *strrchr(program, '/') = '\0';
        }
        buf_addf(path, "%s/conf.json", program);
        if (access(path->data, F_OK) == 0) {
            return;
        }
    }
    buf_clear(path);
}

bool config_load(struct config *config, const struct config_flags *flags, struct buf *error) {
    config_defaults(config);
    struct buf path = BUF_INIT;
    find_file(flags, &path);
    bool ok = path.len == 0 || config_read_file(config, path.data, error);
    buf_free(&path);
    ok = ok && config_read_env(config, error);
    for (size_t i = 0; ok && flags != NULL && i < flags->count; i++) {
        const struct setting *setting = flags->list[i].setting;
        struct buf where = BUF_INIT;
        buf_addf(&where, "--%s", setting->key);
        ok = config_set(config, setting, flags->list[i].value, CONFIG_FLAG, where.data, error);
        buf_free(&where);
    }
    return ok && config_finish(config, error);
}

uint64_t config_accept_bytes(const struct config *config, uint64_t memory_bytes) {
    if (config->min_dram_accept_bytes != CONFIG_AUTO) {
        return config->min_dram_accept_bytes;
    }
    uint64_t reserve = memory_bytes / 20;
    uint64_t least = UNITS_GIB / 4;
    uint64_t most = 4 * UNITS_GIB;
    return reserve < least ? least : reserve > most ? most : reserve;
}

uint64_t config_return_bytes(const struct config *config, uint64_t memory_bytes) {
    uint64_t accept = config_accept_bytes(config, memory_bytes);
    uint64_t trigger = config->min_dram_return_bytes;
    if (trigger == CONFIG_AUTO) {
        return accept / 2;
    }
    return trigger < accept ? trigger : accept;
}
