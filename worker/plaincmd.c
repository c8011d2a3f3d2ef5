#include "worker/plaincmd.h"

#include <string.h>

/* dash 0.5.12: src/builtins.def.in and src/mktokens; names of bash and POSIX that dash lacks are
   here too, so that another /bin/sh gives no surprise: for these the shell is merely slower. */
static const char *const shell_words[] = {
    /* keywords */
    "case", "do", "done", "elif", "else", "esac", "fi", "for", "if", "in", "then", "until", "while",
    "function", "select", "time", "coproc",
    /* special builtins */
    ".", ":", "break", "continue", "eval", "exec", "exit", "export", "readonly", "return", "set",
    "shift", "source", "times", "trap", "unset",
    /* builtins */
    "alias", "bg", "bind", "builtin", "caller", "cd", "chdir", "command", "compgen", "complete",
    "compopt", "declare", "dirs", "disown", "echo", "enable", "false", "fc", "fg", "getopts",
    "hash", "help", "history", "jobs", "kill", "let", "local", "logout", "mapfile", "popd",
    "printf", "pushd", "pwd", "read", "readarray", "shopt", "suspend", "test", "true", "type",
    "typeset", "ulimit", "umask", "unalias", "wait"};

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_plain(char c) {
    return is_letter(c) || is_digit(c) || (c && strchr("./,:@%+=-", c));
}

/* NAME=..., and NAME+=..., which bash knows. */
static bool is_assignment(const char *word, size_t len) {
    if (!is_letter(word[0]))
        return false;
    size_t i = 1;
    while (i < len && (is_letter(word[i]) || is_digit(word[i])))
        i++;
    return i < len && (word[i] == '=' || (word[i] == '+' && i + 1 < len && word[i + 1] == '='));
}

static bool needs_shell(const char *word, size_t len) {
    if (word[0] == '%' || is_assignment(word, len))
        return true;
    for (size_t i = 0; i < sizeof shell_words / sizeof *shell_words; i++)
        if (strlen(shell_words[i]) == len && memcmp(shell_words[i], word, len) == 0)
            return true;
    return false;
}

bool plain_command(const char *line, size_t len, struct plain_word *words, size_t max,
                   size_t *count) {
    *count = 0;
    for (size_t i = 0; i < len;) {
        if (line[i] == ' ' || line[i] == '\t') {
            i++;
            continue;
        }
        size_t start = i;
        while (i < len && is_plain(line[i]))
            i++;
        if (i == start || *count == max)
            return false; /* a byte that means something, or too many words */
        words[(*count)++] = (struct plain_word){start, i - start};
        if (i < len && line[i] != ' ' && line[i] != '\t')
            return false;
    }
    return *count > 0 && !needs_shell(line + words[0].start, words[0].len);
}
