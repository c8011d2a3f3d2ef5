#include "common/directive.h"

#include <string.h>

#define PREFIX_LEN 2 /* "#@" */

bool directive_is(const char *line, size_t len) {
    return len >= PREFIX_LEN && line[0] == '#' && line[1] == '@';
}

/* One word, key=value. `bare` says that the word had no quotes, so that an empty value is none. */
static bool apply(const char *word, size_t len, bool bare, struct options *options,
                  size_t *value_at, struct buf *error) {
    *value_at = 0;
    const char *equals = memchr(word, '=', len);
    if (!equals) {
        words_add_shown(error, word, len);
        buf_adds(error, " without '=', expected key=value");
        return false;
    }
    size_t key_len = (size_t)(equals - word);
    const struct task_option_info *info = option_find(word, key_len);
    if (!info) {
        option_unknown("option", word, key_len, NULL, error);
        return false;
    }
    const char *value = equals + 1;
    size_t value_len = len - key_len - 1;
    if (!value_len && (bare || info->form != FORM_PAIR)) {
        options_unset(options, info, word, key_len);
        return true;
    }
    *value_at = key_len + 1;
    return options_set(options, info, word, key_len, value, value_len, error);
}

size_t directive_column(size_t start) {
    return PREFIX_LEN + start + 1;
}

bool directive_apply(const char *line, size_t len, struct options *options, struct words *words,
                     size_t *column, struct buf *error) {
    size_t offset;
    if (len > PREFIX_LEN && line[PREFIX_LEN] != ' ' && line[PREFIX_LEN] != '\t') {
        *column = PREFIX_LEN + 1;
        buf_adds(error, "#@ runs into the next word, expected a blank after it");
        return false;
    }
    if (!words_split(line + PREFIX_LEN, len - PREFIX_LEN, words, &offset, error)) {
        *column = PREFIX_LEN + offset + 1;
        return false;
    }
    for (size_t i = 0; i < words->count; i++) {
        const struct word *word = &words->list[i];
        bool bare = word->end - word->start == word->len;
        if (!apply(words->argv[i], word->len, bare, options, &offset, error)) {
            *column = PREFIX_LEN + word->start + offset + 1;
            return false;
        }
    }
    return true;
}
