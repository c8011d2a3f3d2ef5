/*
 * nearest.h - "did you mean": the name that a mistyped word was probably meant to be.
 *
 *     struct nearest near = nearest_make(word);
 *     for each name: nearest_try(&near, name);
 *     if (near.best) …
 */
#ifndef DISTCOMP_NEAREST_H
#define DISTCOMP_NEAREST_H

#include <stddef.h>

struct nearest {
    const char *word;
    size_t len;
    const char *best; /* NULL while nothing is near */
    size_t distance;
};

struct nearest nearest_make(const char *word, size_t len);
/*
 * Letters' case counts nothing and '-' is '_'. Near is: at most one edit (a letter added, left out,
 * changed, or two swapped) for every three letters, or a beginning of at least three letters. Of
 * equally near names the first one tried wins.
 */
void nearest_try(struct nearest *near, const char *name);

#endif
