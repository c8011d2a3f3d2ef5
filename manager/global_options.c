#include "manager/command.h"

const struct opt json_options[] = {
    {.name = "json", .kind = KIND_BOOL, .preset = "false", .help = "answer in JSON"}, OPT_END};

static const struct opt own[] = {
    {.name = "conf",
     .kind = KIND_FILE,
     .metavar = "FILE",
     .help = "configuration to read; $DISTCOMP_CONF, ./conf.json, ~/.config/distcomp/conf.json "
             "otherwise"},
    {.name = "quiet",
     .kind = KIND_BOOL,
     .letter = 'q',
     .preset = "false",
     .help = "no progress bar and no remarks, only the answer and errors"},
    {.name = "help", .kind = KIND_BOOL, .letter = 'h', .preset = "false", .help = "print help"},
    {.name = "version",
     .kind = KIND_BOOL,
     .letter = 'V',
     .preset = "false",
     .help = "print the version"},
};
enum { OWN_COUNT = sizeof own / sizeof *own };

static const char *setting_metavar(const struct setting *setting) {
    static const char *const names[] = {
        [SETTING_BOOL] = NULL,     [SETTING_COUNT] = "N",       [SETTING_BYTES] = "SIZE",
        [SETTING_GIB] = "SIZE",    [SETTING_DURATION] = "TIME", [SETTING_CORES] = "N",
        [SETTING_TEXT] = "TEXT",   [SETTING_SECRET] = "TEXT",   [SETTING_WORD] = "NAME",
        [SETTING_CHOICE] = "WORD",
    };
    return names[setting->kind];
}

const struct opt *global_options(void) {
    static struct opt table[SETTING_TOTAL + OWN_COUNT + 1];
    if (table[0].name)
        return table;
    size_t count = 0;
    for (size_t i = 0; i < SETTING_TOTAL; i++) {
        const struct setting *setting = &settings[i];
        if (!(setting->scope & CONFIG_MANAGER))
            continue;
        table[count++] = (struct opt){.name = setting->key,
                                      .kind = KIND_SETTING,
                                      .setting = setting,
                                      .metavar = setting_metavar(setting),
                                      .preset = setting->preset,
                                      .help = setting->help};
    }
    for (size_t i = 0; i < OWN_COUNT; i++)
        table[count++] = own[i];
    return table;
}
