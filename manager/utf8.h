/*
 * utf8.h - one character at a time, without the C library's locale.
 */
#ifndef DISTCOMP_MANAGER_UTF8_H
#define DISTCOMP_MANAGER_UTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * Reads the character at text (len > 0 bytes are there). Returns how many bytes it has and sets
 * *character; 0 when they are not UTF-8 (overlong forms and surrogates are not).
 */
size_t utf8_read(const char *text, size_t len, uint32_t *character);
/* Columns on a terminal: 0 for combining marks, 2 for East Asian wide ones and emoji, else 1. */
size_t utf8_width(uint32_t character);

#endif
