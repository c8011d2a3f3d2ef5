#include "manager/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/shell_quote.h"

/* Lists in step with one another (`:::+`) share an axis; each axis has one position. */
struct list {
    char name[64];
    bool named;
    bool used;
    const char *const *values;
    size_t count;
    size_t axis;
};

enum piece_kind { PIECE_TEXT, PIECE_VALUE, PIECE_ALL, PIECE_WORD_END };
struct piece {
    enum piece_kind kind;
    const char *text; /* PIECE_TEXT */
    size_t len;
    size_t list; /* PIECE_VALUE */
};

struct sweep {
    struct list lists[SWEEP_LISTS_MAX];
    size_t list_count;
    size_t position[SWEEP_LISTS_MAX]; /* of each axis */
    size_t length[SWEEP_LISTS_MAX];
    size_t axis_count;
    struct piece *pieces;
    size_t piece_count, piece_cap;
    bool shell_line; /* a command of one word */
    bool done;
    uint64_t total;
    struct buf word;
};

static bool is_name(const char *s, size_t len) {
    for (size_t i = 0; i < len; i++) {
        char c = s[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i && c >= '0' && c <= '9'))
            return false;
    }
    return len > 0 && len < sizeof(((struct list *)0)->name);
}

static void add_piece(struct sweep *sweep, struct piece piece) {
    if (sweep->piece_count == sweep->piece_cap) {
        sweep->piece_cap = sweep->piece_cap ? sweep->piece_cap * 2 : 16;
        sweep->pieces = xrealloc(sweep->pieces, sweep->piece_cap * sizeof *sweep->pieces);
    }
    sweep->pieces[sweep->piece_count++] = piece;
}

static void add_text(struct sweep *sweep, const char *text, size_t len) {
    if (len)
        add_piece(sweep, (struct piece){.kind = PIECE_TEXT, .text = text, .len = len});
}

/* --- lists ----------------------------------------------------------------------------------- */

static bool check_list_name(const struct sweep *sweep, const char *word, const char *name,
                            struct buf *error) {
    if (*name == ':') {
        buf_addf(error, "%s: a list in a file is written ::: $(cat FILE)", word);
        return false;
    }
    if (!is_name(name, strlen(name))) {
        buf_addf(
            error,
            "%s: a list's name is letters, digits and '_', at most 63, and begins with no digit",
            word);
        return false;
    }
    for (size_t i = 0; i < sweep->list_count; i++)
        if (sweep->lists[i].named && !strcmp(sweep->lists[i].name, name)) {
            buf_addf(error, "%s: there is a list of this name already", word);
            return false;
        }
    return true;
}

/* The head of a list (":::", ":::+size" …); its values follow at `values`. */
static bool add_list(struct sweep *sweep, const char *word, const char *const *values, size_t count,
                     struct buf *error) {
    bool linked = word[3] == '+';
    const char *name = word + (linked ? 4 : 3);
    if (*name && !check_list_name(sweep, word, name, error))
        return false;
    if (sweep->list_count == SWEEP_LISTS_MAX) {
        buf_addf(error, "%s: at most %d lists are possible", word, SWEEP_LISTS_MAX);
        return false;
    }
    if (linked && !sweep->list_count) {
        buf_addf(error, "%s: goes in step with the list before it, but there is none", word);
        return false;
    }
    if (!count) {
        buf_addf(error, "%s: no values follow it", word);
        return false;
    }
    struct list *list = &sweep->lists[sweep->list_count];
    *list = (struct list){.named = *name != '\0', .values = values, .count = count};
    if (*name)
        memcpy(list->name, name, strlen(name) + 1);
    else
        snprintf(list->name, sizeof list->name, "%zu", sweep->list_count + 1);
    if (linked && count != list[-1].count) {
        buf_addf(error, "%s: has %zu values, but the list it goes in step with has %zu", word,
                 count, list[-1].count);
        return false;
    }
    if (!linked)
        sweep->length[sweep->axis_count++] = count;
    list->axis = sweep->axis_count - 1;
    sweep->list_count++;
    return true;
}

static bool is_list_head(const char *word) {
    return !strncmp(word, ":::", 3);
}

static bool read_lists(struct sweep *sweep, const char *const *words, size_t count,
                       struct buf *error) {
    for (size_t i = 0; i < count;) {
        size_t values = 0;
        while (i + 1 + values < count && !is_list_head(words[i + 1 + values]))
            values++;
        if (!add_list(sweep, words[i], words + i + 1, values, error))
            return false;
        i += 1 + values;
    }
    sweep->total = 1;
    for (size_t i = 0; i < sweep->axis_count; i++)
        if (__builtin_mul_overflow(sweep->total, sweep->length[i], &sweep->total) ||
            sweep->total > INT64_MAX) {
            buf_adds(error, "the lists (:::) have more combinations than can be counted");
            return false;
        }
    return true;
}

/* --- the command's words --------------------------------------------------------------------- */

/* What a pair of braces is. */
enum braces { BRACES_TEXT, BRACES_PLACEHOLDER, BRACES_WRONG };

/* The braces around the len bytes at `open`: sets *piece for a placeholder, error for a wrong one.
 */
static enum braces placeholder(struct sweep *sweep, const char *open, size_t len,
                               struct piece *piece, struct buf *error) {
    if (!len) {
        *piece = (struct piece){.kind = PIECE_ALL};
        for (size_t i = 0; i < sweep->list_count; i++)
            sweep->lists[i].used = true;
        return BRACES_PLACEHOLDER;
    }
    size_t digits = strspn(open, "0123456789");
    if (digits >= len && len < 8) {
        unsigned long number = strtoul(open, NULL, 10);
        if (number < 1 || number > sweep->list_count) {
            buf_addf(error, "{%.*s}: there %s only %zu list%s of values (:::)", (int)len, open,
                     sweep->list_count == 1 ? "is" : "are", sweep->list_count,
                     sweep->list_count == 1 ? "" : "s");
            return BRACES_WRONG;
        }
        *piece = (struct piece){.kind = PIECE_VALUE, .list = number - 1};
        sweep->lists[number - 1].used = true;
        return BRACES_PLACEHOLDER;
    }
    for (size_t i = 0; i < sweep->list_count; i++) {
        struct list *list = &sweep->lists[i];
        if (list->named && strlen(list->name) == len && !memcmp(list->name, open, len)) {
            *piece = (struct piece){.kind = PIECE_VALUE, .list = i};
            list->used = true;
            return BRACES_PLACEHOLDER;
        }
    }
    return BRACES_TEXT;
}

static bool read_word(struct sweep *sweep, const char *word, struct buf *error) {
    const char *text = word;
    const char *at = sweep->list_count ? word : "";
    while ((at = strchr(at, '{'))) {
        size_t len = strcspn(at + 1, "{}");
        struct piece piece = {.kind = PIECE_ALL};
        enum braces braces = BRACES_TEXT;
        if (at[1 + len] == '}' && (at == word || at[-1] != '$'))
            braces = placeholder(sweep, at + 1, len, &piece, error);
        if (braces == BRACES_WRONG)
            return false;
        if (braces == BRACES_PLACEHOLDER) {
            add_text(sweep, text, (size_t)(at - text));
            add_piece(sweep, piece);
            text = at + len + 2;
        }
        at = braces == BRACES_PLACEHOLDER ? text : at + 1;
    }
    add_text(sweep, text, strlen(text));
    add_piece(sweep, (struct piece){.kind = PIECE_WORD_END});
    return true;
}

static bool read_command(struct sweep *sweep, const char *const *words, size_t count,
                         struct buf *error) {
    sweep->shell_line = count == 1;
    for (size_t i = 0; i < count; i++)
        if (!read_word(sweep, words[i], error))
            return false;
    size_t used = 0;
    for (size_t i = 0; i < sweep->list_count; i++)
        used += sweep->lists[i].used;
    if (sweep->list_count && !used) {
        add_piece(sweep, (struct piece){.kind = PIECE_ALL});
        add_piece(sweep, (struct piece){.kind = PIECE_WORD_END});
        return true;
    }
    for (size_t i = 0; i < sweep->list_count; i++)
        if (!sweep->lists[i].used) {
            buf_addf(error,
                     "the command does not use list %zu%s%s of the values; write {%s} where its "
                     "value belongs",
                     i + 1, sweep->lists[i].named ? ", :::" : "",
                     sweep->lists[i].named ? sweep->lists[i].name : "", sweep->lists[i].name);
            return false;
        }
    return true;
}

static bool check_words(const char *const *words, size_t count, struct buf *error) {
    if (!count || is_list_head(words[0])) {
        buf_adds(error, "no command is given");
        return false;
    }
    if (count == 1 && !words[0][strspn(words[0], " \t")]) {
        buf_adds(error, "the command is empty");
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (strchr(words[i], '\n')) {
            buf_addf(error,
                     "word %zu of the command contains a line break; a task is one line, so "
                     "put longer scripts into a file",
                     i + 1);
            return false;
        }
    return true;
}

struct sweep *sweep_new(const char *const *words, size_t count, struct buf *error) {
    if (!check_words(words, count, error))
        return NULL;
    struct sweep *sweep = xcalloc(1, sizeof *sweep);
    sweep->word = (struct buf)BUF_INIT;
    size_t command = 0;
    while (command < count && !is_list_head(words[command]))
        command++;
    if (read_lists(sweep, words + command, count - command, error) &&
        read_command(sweep, words, command, error))
        return sweep;
    sweep_free(sweep);
    return NULL;
}

void sweep_free(struct sweep *sweep) {
    if (!sweep)
        return;
    buf_free(&sweep->word);
    free(sweep->pieces);
    free(sweep);
}

uint64_t sweep_total(const struct sweep *sweep) {
    return sweep->total;
}

size_t sweep_lists(const struct sweep *sweep) {
    return sweep->list_count;
}

/* --- one combination ------------------------------------------------------------------------- */

static const char *value_of(const struct sweep *sweep, size_t list) {
    return sweep->lists[list].values[sweep->position[sweep->lists[list].axis]];
}

/* All values, each a word of its own. */
static void put_all(const struct sweep *sweep, struct buf *out, bool quoted) {
    for (size_t i = 0; i < sweep->list_count; i++) {
        const char *value = value_of(sweep, i);
        if (i)
            buf_addc(out, ' ');
        if (quoted)
            shell_quote(out, value, strlen(value));
        else
            buf_adds(out, value);
    }
}

/* Appends one word of the command; `first` is its first piece. Returns the piece after its end. */
static size_t put_word(struct sweep *sweep, size_t first, struct buf *out) {
    size_t i = first;
    if (sweep->pieces[i].kind == PIECE_ALL && sweep->pieces[i + 1].kind == PIECE_WORD_END) {
        put_all(sweep, out, true);
        return i + 2;
    }
    struct buf *word = sweep->shell_line ? out : &sweep->word;
    buf_clear(&sweep->word);
    for (; sweep->pieces[i].kind != PIECE_WORD_END; i++) {
        const struct piece *piece = &sweep->pieces[i];
        if (piece->kind == PIECE_TEXT) {
            buf_add(word, piece->text, piece->len);
        } else if (piece->kind == PIECE_ALL) {
            put_all(sweep, word, sweep->shell_line);
        } else {
            const char *value = value_of(sweep, piece->list);
            if (sweep->shell_line)
                shell_quote(word, value, strlen(value));
            else
                buf_adds(word, value);
        }
    }
    if (!sweep->shell_line)
        shell_quote(out, word->data, word->len);
    return i + 1;
}

static void advance(struct sweep *sweep) {
    size_t axis = sweep->axis_count;
    while (axis > 0) {
        axis--;
        if (++sweep->position[axis] < sweep->length[axis])
            return;
        sweep->position[axis] = 0;
    }
    sweep->done = true;
}

bool sweep_next(struct sweep *sweep, struct buf *command, struct sweep_arg *args) {
    if (sweep->done)
        return false;
    buf_clear(command);
    for (size_t i = 0; i < sweep->piece_count;) {
        if (i)
            buf_addc(command, ' ');
        i = put_word(sweep, i, command);
    }
    for (size_t i = 0; i < sweep->list_count; i++)
        args[i] = (struct sweep_arg){sweep->lists[i].name, value_of(sweep, i)};
    advance(sweep);
    return true;
}
