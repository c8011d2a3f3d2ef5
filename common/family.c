#include "common/family.h"

#include <ctype.h>
#include <string.h>

#include <xxhash.h>

enum { WORD_MAX = 256, FURTHER_MOST = 2, FURTHER_BYTES = 24, HEX_LEAST = 8, NESTED_MOST = 4 };

/* Programs that only start another one, and their options (letters) that take the next word. */
static const struct {
    const char *name, *with_value;
} starters[] = {{"chrt", "TPD"},  {"command", ""},  {"env", "uCS"},    {"exec", "a"},
                {"ionice", "cn"}, {"nice", "n"},    {"nohup", ""},     {"numactl", "NmCip"},
                {"setarch", ""},  {"setsid", ""},   {"stdbuf", "ioe"}, {"taskset", "c"},
                {"time", "fo"},   {"timeout", "sk"}};

/* Programs whose script says what they do; their names end in a version, or not. */
static const struct {
    const char *name;
    bool shell; /* -c STRING is a command line */
} interpreters[] = {{"Rscript", false}, {"bash", true},  {"dash", true},   {"java", false},
                    {"julia", false},   {"ksh", true},   {"lua", false},   {"node", false},
                    {"octave", false},  {"perl", false}, {"php", false},   {"python", false},
                    {"ruby", false},    {"sh", true},    {"tclsh", false}, {"zsh", true}};
static const char *const value_options[] = {"-W", "-X", "-classpath", "-cp", "-o"};

/* --- words ----------------------------------------------------------------------------------- */

struct text {
    const char *at, *end;
};

enum token { TOKEN_END, TOKEN_WORD, TOKEN_OPERATOR };

struct word {
    char text[WORD_MAX]; /* quotes taken off, cut, NUL-terminated */
    size_t len;
};

static bool is_operator(char c) {
    return c && strchr(";|&<>()\n", c);
}

static void word_add(struct word *word, char c) {
    if (word->len < WORD_MAX - 1)
        word->text[word->len++] = c;
    word->text[word->len] = '\0';
}

/* The next word or run of operators. Like a shell, but nothing is expanded, and a quote that is not
 * closed ends at the end. */
static enum token next_token(struct text *in, struct word *word) {
    *word = (struct word){.len = 0};
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\t'))
        in->at++;
    if (in->at == in->end)
        return TOKEN_END;
    if (is_operator(*in->at)) {
        while (in->at < in->end && is_operator(*in->at))
            word_add(word, *in->at++);
        return TOKEN_OPERATOR;
    }
    char quote = 0;
    for (; in->at < in->end; in->at++) {
        char c = *in->at;
        if (quote ? c == quote : (c == '\'' || c == '"')) {
            quote = quote ? 0 : c;
            continue;
        }
        if (!quote && (c == ' ' || c == '\t' || is_operator(c)))
            break;
        if (c == '\\' && quote != '\'' && in->at + 1 < in->end)
            c = *++in->at;
        word_add(word, c);
    }
    return TOKEN_WORD;
}

static bool is_assignment(const struct word *word) {
    size_t name =
        strspn(word->text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
    return name > 0 && !isdigit((unsigned char)word->text[0]) && word->text[name] == '=';
}

/* --- numbers --------------------------------------------------------------------------------- */

/* The length of the number at s, 0 when there is none: digits, or hexadecimal ones (a hash). */
static size_t number_length(const char *s, size_t len, bool after_alnum) {
    size_t digits = 0, hex = 0;
    bool any = false;
    while (digits < len && isdigit((unsigned char)s[digits]))
        digits++;
    while (hex < len && isxdigit((unsigned char)s[hex])) {
        any = any || isdigit((unsigned char)s[hex]);
        hex++;
    }
    bool whole = !after_alnum && (hex == len || !isalnum((unsigned char)s[hex]));
    return whole && any && hex >= HEX_LEAST ? hex : digits;
}

static void add_without_numbers(struct buf *out, const char *s, size_t len) {
    for (size_t at = 0; at < len;) {
        size_t number =
            number_length(s + at, len - at, at > 0 && isalnum((unsigned char)s[at - 1]));
        if (number)
            buf_addc(out, '#');
        else
            buf_addc(out, iscntrl((unsigned char)s[at]) ? '?' : s[at]);
        at += number ? number : 1;
    }
}

/* --- names ----------------------------------------------------------------------------------- */

/* The name without the parts that are a number; all of it when it is nothing else. */
static void add_name(struct buf *out, const char *name, size_t len) {
    size_t start = out->len;
    for (size_t at = 0; at <= len;) {
        const char *slash = memchr(name + at, '/', len - at);
        size_t part = slash ? (size_t)(slash - name) - at : len - at;
        if (number_length(name + at, part, false) != part) {
            if (out->len > start)
                buf_addc(out, '/');
            add_without_numbers(out, name + at, part);
        }
        at += part + 1;
    }
    if (out->len == start)
        add_without_numbers(out, name, len);
}

/* --- commands -------------------------------------------------------------------------------- */

static void add_program(struct buf *out, const struct word *word) {
    const char *name = word->text;
    size_t len = word->len;
    while (len > 1 && name[len - 1] == '/')
        len--;
    for (size_t i = len - (len > 0); i > 0; i--)
        if (name[i - 1] == '/') {
            name += i;
            len -= i;
            break;
        }
    buf_addc(out, ' ');
    add_without_numbers(out, name, len);
}

static const char *base_name(const struct word *word) {
    const char *slash = strrchr(word->text, '/');
    return slash ? slash + 1 : word->text;
}

/* The options of a starter that take a value, or NULL when it is none. */
static const char *starter_options(const struct word *word) {
    for (size_t i = 0; i < sizeof starters / sizeof *starters; i++)
        if (strcmp(base_name(word), starters[i].name) == 0)
            return starters[i].with_value;
    return NULL;
}

/* 0 no interpreter, 1 an interpreter, 2 a shell */
static int interpreter(const struct word *word) {
    const char *name = base_name(word);
    for (size_t i = 0; i < sizeof interpreters / sizeof *interpreters; i++) {
        size_t len = strlen(interpreters[i].name);
        if (strncmp(name, interpreters[i].name, len) == 0 &&
            name[len + strspn(name + len, "0123456789.")] == '\0')
            return interpreters[i].shell ? 2 : 1;
    }
    return 0;
}

/* Behind a starter's name: its options, their values, numbers, assignments (env A=1). */
static enum token skip_starter(struct text *in, struct word *word, const char *with_value) {
    enum token token;
    while ((token = next_token(in, word)) == TOKEN_WORD) {
        if (word->text[0] == '-') {
            if (word->len == 2 && strchr(with_value, word->text[1]))
                next_token(in, word);
        } else if (!isdigit((unsigned char)word->text[0]) && !is_assignment(word)) {
            break;
        }
    }
    return token;
}

/* Up to the program's name. */
static enum token find_program(struct text *in, struct word *word) {
    enum token token = next_token(in, word);
    while (token != TOKEN_END) {
        const char *options;
        if (token == TOKEN_OPERATOR || is_assignment(word)) {
            token = next_token(in, word);
        } else if (strcmp(word->text, "cd") == 0) {
            while ((token = next_token(in, word)) == TOKEN_WORD)
                ;
        } else if ((options = starter_options(word))) {
            token = skip_starter(in, word, options);
        } else {
            break;
        }
    }
    return token;
}

static bool takes_value(const struct word *word) {
    for (size_t i = 0; i < sizeof value_options / sizeof *value_options; i++)
        if (strcmp(word->text, value_options[i]) == 0)
            return true;
    return false;
}

static bool is_further(const struct word *word) {
    if (word->len == 0 || word->len > FURTHER_BYTES || !isalpha((unsigned char)word->text[0]))
        return false;
    for (size_t i = 0; i < word->len; i++)
        if (!isalpha((unsigned char)word->text[i]) && word->text[i] != '-' && word->text[i] != '_')
            return false;
    return true;
}

static void add_further(struct buf *out, struct text *in) {
    struct word word;
    for (int i = 0; i < FURTHER_MOST; i++) {
        if (next_token(in, &word) != TOKEN_WORD || !is_further(&word))
            return;
        buf_addc(out, ' ');
        buf_add(out, word.text, word.len);
    }
}

/* Behind an interpreter's name there is a script, a shell's -c with a command line, or neither. */
enum script { SCRIPT_NONE, SCRIPT_FILE, SCRIPT_STRING };

/* Whether an option is one, or ends in one, that takes code: -c of shells and python, -e of others.
 */
static bool takes_code(const struct word *word, bool shell) {
    char last = word->text[word->len - 1];
    return word->text[1] != '-' && (last == 'c' || (last == 'e' && !shell));
}

/* Leaves the script or the string in *word. */
static enum script find_script(struct text *in, struct word *word, bool shell) {
    while (next_token(in, word) == TOKEN_WORD) {
        if (word->text[0] != '-')
            return SCRIPT_FILE;
        if (takes_value(word)) {
            next_token(in, word);
        } else if (takes_code(word, shell)) {
            bool string = next_token(in, word) == TOKEN_WORD && shell;
            return string ? SCRIPT_STRING : SCRIPT_NONE;
        }
    }
    return SCRIPT_NONE;
}

static void add_python(struct buf *out, struct text *in) {
    struct word word;
    if (find_script(in, &word, false) == SCRIPT_FILE) {
        add_program(out, &word);
        add_further(out, in);
    }
}

static void add_command(struct buf *out, struct text in, bool shell) {
    struct word word;
    char nested[WORD_MAX];
    for (int depth = 0; depth < NESTED_MOST && find_program(&in, &word) == TOKEN_WORD; depth++) {
        int kind = shell ? interpreter(&word) : 0;
        struct word program = word;
        enum script script = kind ? find_script(&in, &word, kind == 2) : SCRIPT_NONE;
        if (script == SCRIPT_STRING) {
            memcpy(nested, word.text, word.len);
            in = (struct text){nested, nested + word.len};
            continue;
        }
        add_program(out, &program);
        if (script == SCRIPT_FILE)
            add_program(out, &word);
        if (!kind || script == SCRIPT_FILE)
            add_further(out, &in);
        return;
    }
}

/* --- the key --------------------------------------------------------------------------------- */

void family_key(const struct task *task, struct buf *out) {
    size_t start = out->len;
    const struct task_option *name = task_option(task, OPT_NAME);
    if (name && name->len) {
        add_name(out, name->value, name->len);
    } else {
        struct text params = {task->params, task->params + task->params_len};
        buf_adds(out, task_type_name(task->type));
        if (task->type == TASK_PYTHON)
            add_python(out, &params);
        else
            add_command(out, params, task->type == TASK_SHELL);
    }
    if (out->len - start > FAMILY_KEY_MAX) {
        size_t len = start + FAMILY_KEY_MAX;
        while (len > start && ((unsigned char)out->data[len] & 0xc0) == 0x80)
            len--;
        out->len = len;
        out->data[len] = '\0';
    }
}

void family_digest(const char *key, size_t len, char digest[FAMILY_DIGEST_LEN + 1]) {
    static const char hex[] = "0123456789abcdef";
    uint64_t hash = XXH3_64bits(key, len);
    for (int i = FAMILY_DIGEST_LEN - 1; i >= 0; i--, hash >>= 4)
        digest[i] = hex[hash & 15];
    digest[FAMILY_DIGEST_LEN] = '\0';
}
