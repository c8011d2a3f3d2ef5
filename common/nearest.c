#include "common/nearest.h"

#include <string.h>

#define WORD_MAX 40

static char fold(char c) {
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c == '-' ? '_' : c;
}

static size_t smallest(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Damerau-Levenshtein distance, restricted form (optimal string alignment), by the usual table. */
static size_t edits(const char *a, size_t a_len, const char *b, size_t b_len) {
    size_t cost[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t i = 0; i <= a_len; i++)
        cost[i][0] = i;
    for (size_t j = 0; j <= b_len; j++)
        cost[0][j] = j;
    for (size_t i = 1; i <= a_len; i++)
        for (size_t j = 1; j <= b_len; j++) {
            size_t change = fold(a[i - 1]) != fold(b[j - 1]);
            cost[i][j] =
                smallest(cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + change);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
                fold(a[i - 2]) == fold(b[j - 1]) && cost[i - 2][j - 2] + 1 < cost[i][j])
                cost[i][j] = cost[i - 2][j - 2] + 1;
        }
    return cost[a_len][b_len];
}

struct nearest nearest_make(const char *word, size_t len) {
    return (struct nearest){.word = word, .len = len, .best = NULL, .distance = len / 3 + 1};
}

void nearest_try(struct nearest *near, const char *name) {
    size_t name_len = strlen(name);
    if (near->len > WORD_MAX || name_len > WORD_MAX || !near->len)
        return;
    size_t distance = edits(near->word, near->len, name, name_len);
    if (near->len >= 3 && near->len < name_len && distance > 1 &&
        edits(near->word, near->len, name, near->len) == 0)
        distance = 1;
    if (distance < near->distance || (!near->best && near->len < 3 && distance == 1)) {
        near->best = name;
        near->distance = distance;
    }
}
