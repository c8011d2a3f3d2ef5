/*
 * plaincmd.h - may a shell command line be executed without the shell? Pure.
 *
 * True when `dash -c LINE` does nothing but split LINE at blanks and execute the first word, looked
 * up in PATH: every byte is a letter, a digit, one of _./,:@%+=- or a blank (space, tab), and the
 * first word is neither a keyword, nor a builtin or special builtin of dash, nor an assignment
 * (NAME=...), nor begins with '%'.
 *
 * If the program then cannot be executed (not found, not executable, a script without #!), LINE has
 * to be given to the shell after all, so that its message and exit code 126 or 127 are the shell's
 * own; WIRE_START_DIRECT does that.
 *
 * What still differs from the shell: a program that a signal killed is reported with that signal,
 * while dash waits for it, writes "Killed" or the like to standard error and exits with 128 +
 * signal (whoever wants that code can compute it; the signal is the better information). And an
 * environment string whose name is no shell name (a-b=1) reaches the program, while dash drops it.
 */
#ifndef DISTCOMP_PLAINCMD_H
#define DISTCOMP_PLAINCMD_H

#include <stdbool.h>
#include <stddef.h>

/*
 * words: room for max pairs (start, length) into line; *count of them are filled. False when the
 * shell is needed, also for an empty line or more than max words.
 */
struct plain_word {
    size_t start, len;
};
bool plain_command(const char *line, size_t len, struct plain_word *words, size_t max,
                   size_t *count);

#endif
