/*
 * Bytes as everything that configures a program: conf.json, then, each after a NUL, words of a
 * command line and, where they begin with '$', NAME=VALUE of the environment. What is accepted is
 * shown, set again, and must be the same; what is refused must say why.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/config.h"

#define WORDS_MAX 32

extern char **environ;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good) {
    if (!good)
        abort();
}

/* A path to a file with this content. */
static const char *as_file(const uint8_t *data, size_t size) {
    static char path[64];
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("conf.json", 0);
    check(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

static void check_round_trip(const struct config *config) {
    struct config again;
    struct buf error = BUF_INIT, first = BUF_INIT, second = BUF_INIT;
    config_defaults(&again);
    for (size_t i = 0; i < SETTING_TOTAL; i++) {
        buf_clear(&first);
        buf_clear(&second);
        config_show(config, &settings[i], &first);
        if (strcmp(first.data, "********") == 0)
            continue;
        /* Some defaults are "not given", which cannot be written. */
        bool ok = config_set(&again, &settings[i], first.data, CONFIG_FLAG, "shown", &error);
        check(ok || config->source[i] == CONFIG_DEFAULT);
        config_show(&again, &settings[i], &second);
        check(!ok || strcmp(first.data, second.data) == 0);
    }
    config_free(&again);
    buf_free(&error);
    buf_free(&first);
    buf_free(&second);
}

static bool take_words(struct config_flags *flags, int argc, char **argv, struct buf *error) {
    for (int at = 0; at < argc;) {
        int took = config_take_flag(flags, argc, argv, at, CONFIG_WORKER, error);
        check(took <= argc - at);
        check(took >= 0 || error->len > 0);
        if (took <= 0)
            return false;
        at += took;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1), *argv[WORDS_MAX];
    memcpy(text, data, size);
    text[size] = 0;
    size_t conf_len = strlen(text);
    int argc = 0;
    clearenv();
    setenv("HOME", "/nonexistent", 1);
    for (size_t at = conf_len + 1; at < size && argc < WORDS_MAX; at += strlen(text + at) + 1) {
        if (text[at] == '$' && text[at + 1] && strchr(text + at + 2, '='))
            putenv(text + at + 1);
        else
            argv[argc++] = text + at;
    }
    struct config config;
    struct config_flags flags = CONFIG_FLAGS_INIT;
    struct buf error = BUF_INIT;
    if (take_words(&flags, argc, argv, &error)) {
        flags.conf = as_file(data, conf_len); /* whatever --conf said */
        buf_clear(&error);
        if (config_load(&config, &flags, &error))
            check_round_trip(&config);
        else
            check(error.len > 0);
        config_accept_bytes(&config, UINT64_C(1) << 40);
        config_return_bytes(&config, UINT64_C(1) << 40);
        config_free(&config);
    }
    clearenv(); /* it points into text */
    config_flags_free(&flags);
    buf_free(&error);
    free(text);
    return 0;
}
