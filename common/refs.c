#include "common/refs.h"

#include <string.h>

#include "common/option.h"
#include "common/storecmd.h"

void refs_init(struct refs *refs, struct store *store) {
    *refs = (struct refs){store, NAMESET_INIT, NAMESET_INIT, NAMESET_INIT, NULL, NULL};
}

void refs_free(struct refs *refs) {
    nameset_free(&refs->defined);
    nameset_free(&refs->known);
    nameset_free(&refs->absent);
}

void refs_restart(struct refs *refs) {
    nameset_free(&refs->defined);
}

void refs_define(struct refs *refs, const struct task *task) {
    const struct task_option *name = task_option(task, OPT_NAME);
    if (name && name->len)
        nameset_add_path(&refs->defined, name->value, name->len);
}

/* Whether the queue has `what`, 'n:NAME' or 't:ID'. */
static bool ask(struct refs *refs, const struct buf *what, bool *there, struct buf *error) {
    *there = nameset_has(&refs->known, what->data, what->len);
    if (*there || !refs->store || nameset_has(&refs->absent, what->data, what->len))
        return true;
    if (refs->before_ask && !refs->before_ask(refs->before_ask_arg, error))
        return false;
    store_cmd(refs->store, "HEXISTS");
    store_cmd_key(refs->store, what->data[0] == 'n' ? KEY_NAME : KEY_TASK, NULL);
    cmd_add(&refs->store->cmd, what->data + 2, what->len - 2);
    redisReply *reply = store_run(refs->store, error);
    if (!reply)
        return false;
    *there = reply_number(reply) > 0;
    freeReplyObject(reply);
    nameset_add(*there ? &refs->known : &refs->absent, what->data, what->len);
    return true;
}

/*
 * Puts the level-th candidate into *what: the reference below the first own_len bytes of the task's
 * name. False when the task itself lies in it.
 */
static bool candidate(const struct task_option *own, size_t own_len, const char *ref, size_t len,
                      struct buf *what) {
    buf_clear(what);
    buf_adds(what, "n:");
    if (own_len) {
        buf_add(what, own->value, own_len);
        buf_addc(what, '/');
    }
    buf_add(what, ref, len);
    return what->len - 2 <= TASK_NAME_MAX &&
           !(own && option_name_within(own->value, own->len, what->data + 2, what->len - 2));
}

/* The length of the name that the first len bytes of `name` lie in, 0 for none. */
static size_t parent_len(const char *name, size_t len) {
    while (len > 0 && name[len - 1] != '/')
        len--;
    return len ? len - 1 : 0;
}

/*
 * Looks for the reference at every level, from the task's own to the top. With `asks` in the queue,
 * else in this input. Puts what it is into *what when *there.
 */
static bool find_name(struct refs *refs, const struct task *task, const char *ref, size_t len,
                      bool asks, struct buf *what, bool *there, struct buf *error) {
    const struct task_option *own = task_option(task, OPT_NAME);
    *there = false;
    for (size_t own_len = own ? own->len : 0;; own_len = parent_len(own->value, own_len)) {
        if (candidate(own, own_len, ref, len, what)) {
            if (!asks)
                *there = nameset_has(&refs->defined, what->data + 2, what->len - 2);
            else if (!ask(refs, what, there, error))
                return false;
        }
        if (*there || !own_len)
            return true;
    }
}

static enum refs_result resolve_one(struct refs *refs, const struct task *task, const char *ref,
                                    size_t len, struct buf *what, struct buf *error) {
    bool there;
    if (!find_name(refs, task, ref, len, false, what, &there, error))
        return REFS_FAILED;
    if (!there && !find_name(refs, task, ref, len, true, what, &there, error))
        return REFS_FAILED;
    if (there)
        return REFS_OK;
    if (task_id_valid(ref, len)) {
        buf_clear(what);
        buf_adds(what, "t:");
        buf_add(what, ref, len);
        if (!ask(refs, what, &there, error))
            return REFS_FAILED;
    }
    return there ? REFS_OK : REFS_UNKNOWN;
}

static enum refs_result resolve_list(struct refs *refs, const struct task *task,
                                     const struct task_option *list, struct buf *lines,
                                     struct buf *error) {
    struct buf what = BUF_INIT;
    enum refs_result result = REFS_OK;
    const char *end = list->value + list->len;
    for (const char *at = list->value; at < end && result == REFS_OK;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        size_t len = (size_t)((comma ? comma : end) - at);
        if (len) {
            result = resolve_one(refs, task, at, len, &what, error);
            if (result == REFS_OK) {
                buf_addc(lines, list->tag == OPT_AFTER ? 'a' : 'e');
                buf_add(lines, what.data, what.len);
                buf_addc(lines, '\n');
            } else if (result == REFS_UNKNOWN) {
                buf_addf(error,
                         "%s names \"%.*s\", which is neither a name defined above nor a name or "
                         "id in the queue",
                         list->tag == OPT_AFTER ? "after" : "after_any", (int)len, at);
            }
        }
        at += len + 1;
    }
    buf_free(&what);
    return result;
}

enum refs_result refs_resolve(struct refs *refs, const struct task *task, struct buf *lines,
                              struct buf *error) {
    enum refs_result result = REFS_OK;
    for (size_t i = 0; i < task->option_count && result == REFS_OK; i++)
        if (task->options[i].tag == OPT_AFTER || task->options[i].tag == OPT_AFTER_ANY)
            result = resolve_list(refs, task, &task->options[i], lines, error);
    return result;
}
