#include "common/cmd.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void cmd_free(struct cmd *c) {
    buf_free(&c->bytes);
    free(c->ends);
    free(c->argv);
    free(c->lens);
    *c = (struct cmd)CMD_INIT;
}

void cmd_clear(struct cmd *c) {
    buf_clear(&c->bytes);
    c->count = 0;
    c->script = NULL;
}

static void end_argument(struct cmd *c) {
    if (c->count == c->cap) {
        c->cap = c->cap ? 2 * c->cap : 16;
        c->ends = xrealloc(c->ends, c->cap * sizeof *c->ends);
        c->argv = xrealloc(c->argv, c->cap * sizeof *c->argv);
        c->lens = xrealloc(c->lens, c->cap * sizeof *c->lens);
    }
    c->ends[c->count++] = c->bytes.len;
}

void cmd_add(struct cmd *c, const void *bytes, size_t len) {
    buf_add(&c->bytes, bytes, len);
    end_argument(c);
}

void cmd_adds(struct cmd *c, const char *s) {
    cmd_add(c, s, strlen(s));
}

void cmd_addi(struct cmd *c, int64_t number) {
    buf_addf(&c->bytes, "%lld", (long long)number);
    end_argument(c);
}

void cmd_addu(struct cmd *c, uint64_t number) {
    buf_addf(&c->bytes, "%llu", (unsigned long long)number);
    end_argument(c);
}

void cmd_script(struct cmd *c, const char *script, const char *queue_key) {
    cmd_clear(c);
    c->script = script_find(script);
    assert(c->script);
    cmd_adds(c, "EVALSHA");
    cmd_adds(c, c->script->sha1);
    cmd_adds(c, "1");
    cmd_adds(c, queue_key);
}

void cmd_use_eval(struct cmd *c) {
    struct cmd eval = CMD_INIT;
    cmd_adds(&eval, "EVAL");
    cmd_adds(&eval, c->script->text);
    cmd_argv(c);
    for (size_t i = 2; i < c->count; i++)
        cmd_add(&eval, c->argv[i], c->lens[i]);
    eval.script = c->script;
    cmd_free(c);
    *c = eval;
}

void cmd_argv(struct cmd *c) {
    size_t start = 0;
    for (size_t i = 0; i < c->count; i++) {
        c->argv[i] = c->bytes.data + start;
        c->lens[i] = c->ends[i] - start;
        start = c->ends[i];
    }
}
