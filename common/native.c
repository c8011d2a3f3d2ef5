#include "common/native.h"

#include <string.h>

#include "common/words.h"

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool native_name_valid(const char *name, size_t len) {
    if (len < 1 || len > NATIVE_NAME_MAX || !is_letter(name[0]))
        return false;
    for (size_t i = 1; i < len; i++)
        if (!is_letter(name[i]) && !(name[i] >= '0' && name[i] <= '9') && name[i] != '_' &&
            name[i] != '-')
            return false;
    return true;
}

bool native_name(const char *params, size_t len, const char **name, size_t *name_len) {
    size_t start = 0, end;
    *name = params;
    *name_len = 0;
    if (!len)
        return false;
    while (start < len && (params[start] == ' ' || params[start] == '\t'))
        start++;
    for (end = start; end < len && params[end] != ' ' && params[end] != '\t';)
        end++;
    *name = params + start;
    *name_len = end - start;
    return native_name_valid(*name, *name_len);
}

static enum native_device find_device(const struct words *words) {
    for (size_t i = 1; i < words->count; i++) {
        const char *word = words->argv[i];
        if (strncmp(word, "device=", 7) != 0)
            continue;
        return strcmp(word + 7, "gpu") == 0    ? NATIVE_DEVICE_GPU
               : strcmp(word + 7, "auto") == 0 ? NATIVE_DEVICE_AUTO
                                               : NATIVE_DEVICE_OPEN;
    }
    return NATIVE_DEVICE_OPEN;
}

enum native_device native_device(const char *params, size_t len) {
    struct words words = WORDS_INIT;
    struct buf error = BUF_INIT;
    size_t offset;
    enum native_device device = NATIVE_DEVICE_OPEN;
    if (!len || !memmem(params, len, "device=", 7))
        return device;
    if (words_split(params, len, &words, &offset, &error))
        device = find_device(&words);
    words_free(&words);
    buf_free(&error);
    return device;
}
