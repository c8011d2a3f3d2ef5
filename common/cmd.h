/*
 * cmd.h - one Redis command under construction: an argument vector that owns its bytes.
 *
 * The same builders (common/store.h) serve the manager, which waits for the answer, and the
 * worker's agent, which does not. A cmd is reused: cmd_clear keeps its memory.
 */
#ifndef DISTCOMP_CMD_H
#define DISTCOMP_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/script.h"

struct cmd {
    struct buf bytes; /* all arguments, one after the other */
    size_t *ends;     /* where each argument ends in bytes */
    size_t count, cap;
    const char **argv; /* filled by cmd_argv */
    size_t *lens;
    const struct script *script; /* of cmd_script, or NULL */
};
#define CMD_INIT                                                                                   \
    { BUF_INIT, NULL, 0, 0, NULL, NULL, NULL }

void cmd_free(struct cmd *c);
void cmd_clear(struct cmd *c);
void cmd_add(struct cmd *c, const void *bytes, size_t len);
void cmd_adds(struct cmd *c, const char *s);
void cmd_addi(struct cmd *c, int64_t number);
void cmd_addu(struct cmd *c, uint64_t number);

/* Starts EVALSHA of a script by name (which must exist) on a queue; arguments follow. */
void cmd_script(struct cmd *c, const char *script, const char *queue_key);
/* Turns EVALSHA into EVAL with the script's text, for a server that does not know it. */
void cmd_use_eval(struct cmd *c);

/* Fills argv and lens from bytes; valid until the next change. */
void cmd_argv(struct cmd *c);

#endif
