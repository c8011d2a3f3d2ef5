/* Rows of the table of settings: finding them, their values as text. */
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/units.h"

const struct setting settings[] = {
#define X(kind, member, key, preset, least, most, words, scope, help)                              \
    {key,    SETTING_##kind, offsetof(struct config, member),                                      \
     preset, least,          most,                                                                 \
     words,  CONFIG_##scope, help},
    SETTINGS(X)
#undef X
};

static const struct alias {
    const char *name, *key;
} aliases[] = {
#define X(name, key) {name, key},
    SETTING_ALIASES(X)
#undef X
};

/* A parsed value, before it goes to its member. */
union value {
    bool truth;
    int64_t integer;
    uint64_t bytes;
    uint32_t milli;
    const char *text; /* borrowed */
    int choice;
};

static bool same_name(const char *key, const char *name, size_t len) {
    for (size_t i = 0; i < len; i++) {
        char c = name[i] == '-' ? '_' : name[i];
        if (key[i] != c || c == '\0') {
            return false;
        }
    }
    return key[len] == '\0';
}

const struct setting *setting_find(const char *name, size_t len) {
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
        if (same_name(aliases[i].name, name, len)) {
            return setting_find(aliases[i].key, strlen(aliases[i].key));
        }
    }
    for (size_t i = 0; i < SETTING_TOTAL; i++) {
        if (same_name(settings[i].key, name, len)) {
            return &settings[i];
        }
    }
    return NULL;
}

void setting_variable(const struct setting *setting, struct buf *out) {
    buf_adds(out, "DISTCOMP_");
    for (const char *c = setting->key; *c != '\0'; c++) {
        buf_addc(out, (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c));
    }
}

static void add_word_list(const char *words, struct buf *out) {
    for (const char *c = words; *c != '\0'; c++) {
        if (*c != '|') {
            buf_addc(out, *c);
        } else {
            buf_adds(out, strchr(c + 1, '|') != NULL ? ", " : " or ");
        }
    }
}

/* A size that its reader reads back the same: bytes unless it is a whole number of a unit. */
static void add_bytes(struct buf *out, uint64_t bytes) {
    static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while (unit < 4 && bytes != 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    /* "0 of a unit" and bare numbers mean GiB to some settings: B is understood by all. */
    buf_addf(out, "%llu%s", (unsigned long long)bytes,
             unit > 0     ? units[unit]
             : bytes == 0 ? ""
                          : "B");
}

static void add_range(const struct setting *setting, struct buf *out) {
    void (*add)(struct buf *, uint64_t) = setting->kind == SETTING_DURATION ? units_add_ms
                                          : setting->kind == SETTING_CORES  ? units_add_milli
                                                                            : add_bytes;
    if (setting->least > 0) {
        buf_adds(out, ", at least ");
        add(out, (uint64_t)setting->least);
    }
    buf_adds(out, ", at most ");
    add(out, (uint64_t)setting->most);
}

void setting_expected(const struct setting *setting, struct buf *out) {
    switch (setting->kind) {
    case SETTING_BOOL:
        buf_adds(out, "true or false");
        return;
    case SETTING_COUNT:
        buf_addf(out, "a whole number from %lld to %lld", (long long)setting->least,
                 (long long)setting->most);
        return;
    case SETTING_BYTES:
        buf_adds(out, "a size in bytes, or with a unit, such as 64KiB or 1G");
        break;
    case SETTING_GIB:
        buf_adds(out, setting->words != NULL
                          ? "auto, or a size in GiB or with a unit, such as 0.25 or 512MiB"
                          : "a size in GiB, or with a unit, such as 64 or 512MiB");
        break;
    case SETTING_DURATION:
        buf_adds(out, "a duration in seconds, or with a unit, such as 30, 500ms or 1h30m");
        break;
    case SETTING_CORES:
        buf_adds(out, "a number of cores such as 4 or 0.5");
        break;
    case SETTING_TEXT:
    case SETTING_SECRET:
        buf_addf(out, "%s text of at most %lld bytes, without newline",
                 setting->least > 0 ? "a non-empty" : "a", (long long)setting->most);
        return;
    case SETTING_WORD:
        buf_addf(out,
                 "%lld letters, digits, '_', '.' or '-' at most, that do not begin with '.' or '-'",
                 (long long)setting->most);
        return;
    case SETTING_CHOICE:
        add_word_list(setting->words, out);
        return;
    }
    add_range(setting, out);
}

static bool parse_choice(const char *words, const char *text, int *index) {
    size_t len = strlen(text);
    int i = 0;
    for (const char *at = words;; i++) {
        size_t word = strcspn(at, "|");
        if (word == len && memcmp(at, text, len) == 0) {
            *index = i;
            return true;
        }
        if (at[word] == '\0') {
            return false;
        }
        at += word + 1;
    }
}

static bool is_word(const char *text) {
    for (const char *c = text; *c != '\0'; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || *c == '_';
        if (!plain && (c == text || (*c != '.' && *c != '-'))) {
            return false;
        }
    }
    return true;
}

static bool in_range(const struct setting *setting, uint64_t value) {
    return value <= (uint64_t)setting->most && value >= (uint64_t)setting->least;
}

static bool parse(const struct setting *setting, const char *text, union value *value) {
    size_t len = strlen(text);
    const char *ignored; /* setting_expected says it with the range */
    uint64_t number = 0;
    switch (setting->kind) {
    case SETTING_BOOL:
        return units_parse_bool(text, len, &value->truth, &ignored);
    case SETTING_COUNT:
        if (!units_parse_uint(text, len, (uint64_t)setting->least, (uint64_t)setting->most, &number,
                              &ignored)) {
            return false;
        }
        value->integer = (int64_t)number;
        return true;
    case SETTING_BYTES:
        return units_parse_bytes(text, len, 1, &value->bytes, &ignored) &&
               in_range(setting, value->bytes);
    case SETTING_GIB:
        if (setting->words != NULL && strcmp(text, setting->words) == 0) {
            value->bytes = CONFIG_AUTO;
            return true;
        }
        return units_parse_bytes(text, len, UNITS_GIB, &value->bytes, &ignored) &&
               in_range(setting, value->bytes);
    case SETTING_DURATION:
        if (!units_parse_ms(text, len, &number, &ignored) || !in_range(setting, number)) {
            return false;
        }
        value->integer = (int64_t)number;
        return true;
    case SETTING_CORES:
        return units_parse_milli(text, len, &value->milli, &ignored) &&
               in_range(setting, value->milli);
    case SETTING_TEXT:
    case SETTING_SECRET:
        value->text = text;
        return in_range(setting, len) && strchr(text, '\n') == NULL;
    case SETTING_WORD:
        value->text = text;
        return in_range(setting, len) && is_word(text);
    case SETTING_CHOICE:
        return parse_choice(setting->words, text, &value->choice);
    }
    return false;
}

bool setting_check(const struct setting *setting, const char *value, struct buf *error) {
    union value parsed;
    if (parse(setting, value, &parsed)) {
        return true;
    }
    buf_adds(error, "expected ");
    setting_expected(setting, error);
    return false;
}

static void *member(const struct config *config, const struct setting *setting) {
    return (char *)(uintptr_t)config + setting->offset;
}

static void store(struct config *config, const struct setting *setting, const union value *value) {
    void *at = member(config, setting);
    switch (setting->kind) {
    case SETTING_BOOL:
        *(bool *)at = value->truth;
        break;
    case SETTING_COUNT:
    case SETTING_DURATION:
        *(int64_t *)at = value->integer;
        break;
    case SETTING_BYTES:
    case SETTING_GIB:
        *(uint64_t *)at = value->bytes;
        break;
    case SETTING_CORES:
        *(uint32_t *)at = value->milli;
        break;
    case SETTING_TEXT:
    case SETTING_SECRET:
    case SETTING_WORD: {
        char *copy = xstrdup(value->text);
        free(*(char **)at);
        *(char **)at = copy;
        break;
    }
    case SETTING_CHOICE:
        *(int *)at = value->choice;
        break;
    }
}

bool config_set(struct config *config, const struct setting *setting, const char *value,
                enum config_source source, const char *where, struct buf *error) {
    union value parsed;
    if (!parse(setting, value, &parsed)) {
        buf_addf(error, "%s: %s: ", where, setting->key);
        if (setting->kind != SETTING_SECRET) {
            buf_addf(error, "'%.200s': ", value);
        }
        buf_adds(error, "expected ");
        setting_expected(setting, error);
        return false;
    }
    size_t row = (size_t)(setting - settings);
    if (source >= config->source[row]) {
        store(config, setting, &parsed);
        config->source[row] = source;
    }
    return true;
}

void config_show(const struct config *config, const struct setting *setting, struct buf *out) {
    const void *at = member(config, setting);
    switch (setting->kind) {
    case SETTING_BOOL:
        buf_adds(out, *(const bool *)at ? "true" : "false");
        break;
    case SETTING_COUNT:
        buf_addf(out, "%lld", (long long)*(const int64_t *)at);
        break;
    case SETTING_DURATION: {
        int64_t ms = *(const int64_t *)at;
        if (ms % 1000 == 0) {
            buf_addf(out, "%llds", (long long)(ms / 1000));
        } else {
            buf_addf(out, "%lldms", (long long)ms);
        }
        break;
    }
    case SETTING_BYTES:
    case SETTING_GIB:
        if (*(const uint64_t *)at == CONFIG_AUTO) {
            buf_adds(out, "auto");
        } else {
            add_bytes(out, *(const uint64_t *)at);
        }
        break;
    case SETTING_CORES:
        units_add_milli(out, *(const uint32_t *)at);
        break;
    case SETTING_SECRET:
        buf_adds(out, **(char *const *)at != '\0' ? "********" : "");
        break;
    case SETTING_TEXT:
    case SETTING_WORD:
        buf_adds(out, *(char *const *)at);
        break;
    case SETTING_CHOICE: {
        const char *word = setting->words;
        for (int i = *(const int *)at; i > 0; i--) {
            word = strchr(word, '|') + 1;
        }
        buf_add(out, word, strcspn(word, "|"));
        break;
    }
    }
}

static bool same_value(const struct config *a, const struct config *b,
                       const struct setting *setting) {
    if (setting->kind == SETTING_SECRET) {
        return strcmp(*(char **)member(a, setting), *(char **)member(b, setting)) == 0;
    }
    struct buf texts[2] = {BUF_INIT, BUF_INIT};
    config_show(a, setting, &texts[0]);
    config_show(b, setting, &texts[1]);
    bool same = strcmp(texts[0].data, texts[1].data) == 0;
    buf_free(&texts[0]);
    buf_free(&texts[1]);
    return same;
}

size_t config_diff(const struct config *a, const struct config *b, struct buf *keys) {
    size_t count = 0;
    for (size_t i = 0; i < SETTING_TOTAL; i++) {
        if (!same_value(a, b, &settings[i])) {
            buf_addf(keys, "%s%s", count > 0 ? ", " : "", settings[i].key);
            count++;
        }
    }
    return count;
}

void config_defaults(struct config *config) {
    *config = (struct config){.file = xstrdup("")};
    for (size_t i = 0; i < SETTING_TOTAL; i++) {
        union value value = {.text = NULL};
        if (!parse(&settings[i], settings[i].preset, &value)) {
            abort(); /* a bad row; a unit test reads them all */
        }
        store(config, &settings[i], &value);
    }
}

void config_free(struct config *config) {
    for (size_t i = 0; i < SETTING_TOTAL; i++) {
        enum setting_kind kind = settings[i].kind;
        if (kind == SETTING_TEXT || kind == SETTING_SECRET || kind == SETTING_WORD) {
            char **text = member(config, &settings[i]);
            free(*text);
            *text = NULL;
        }
    }
    free(config->file);
    config->file = NULL;
}

enum config_source config_source_of(const struct config *config, const char *key) {
    const struct setting *setting = setting_find(key, strlen(key));
    return config->source[setting - settings];
}

const char *config_source_name(enum config_source source) {
    static const char *const names[] = {"default", "conf.json", "environment", "flag"};
    return names[source];
}
