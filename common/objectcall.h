/*
 * objectcall.h - what objects.c and objectpart.c share. For nobody else.
 */
#ifndef DISTCOMP_OBJECTCALL_H
#define DISTCOMP_OBJECTCALL_H

#include "common/objects.h"

#define OBJECT_WORDS_MAX 12

/* A command; the words are borrowed. */
struct object_words {
    size_t count;
    const char *argv[OBJECT_WORDS_MAX];
    size_t lens[OBJECT_WORDS_MAX];
};
void object_words(struct object_words *words, const char *verb); /* begins one */
void object_words_add(struct object_words *words, const char *word);
void object_word(struct object_words *words, const void *bytes, size_t len);

/* Its answer. Asks again when the connection was lost or what is wrong passes, so the command must
 * be one that may be done twice. NULL: error. */
redisReply *object_ask(struct objects *objects, const struct object_words *words,
                       struct buf *error);
/* The same for several commands, all or none (MULTI): the answer of EXEC. */
redisReply *object_ask_all(struct objects *objects, const struct object_words *words, size_t count,
                           struct buf *error);
/* Once; *fault tells what was wrong. The link is not broken. */
redisReply *object_exec(struct objects *objects, const struct object_words *words, size_t count,
                        enum link_fault *fault, struct buf *error);
/* After a failure that passes: waits, and says whether to try again. *tried counts. */
bool object_again(struct objects *objects, enum link_fault fault, unsigned *tried);

bool object_check_name(const char *name, struct buf *error);

#endif
