#include "common/refs.h"

#include <stdlib.h>
#include <string.h>

#include "common/option.h"
#include "common/store.h"

#define ABSENT_MOST 50000 /* names; a MiB */

void refs_init(struct refs *refs, struct store *store) {
    *refs = (struct refs){.store = store,
                          .defined = NAMESET_INIT,
                          .known = NAMESET_INIT,
                          .absent = NAMESET_INIT,
                          .wanted = NAMESET_INIT,
                          .questions = CMD_INIT};
}

void refs_free(struct refs *refs) {
    nameset_free(&refs->defined);
    nameset_free(&refs->known);
    nameset_free(&refs->absent);
    nameset_free(&refs->wanted);
    cmd_free(&refs->questions);
}

void refs_settle(struct refs *refs) {
    struct nameset known = refs->known;
    refs->known = (struct nameset)NAMESET_INIT;
    refs_free(refs);
    refs_init(refs, NULL);
    refs->known = known;
}

void refs_define(struct refs *refs, const struct task *task) {
    const struct task_option *name = task_option(task, OPT_NAME);
    if (name && name->len)
        nameset_add_path(&refs->defined, name->value, name->len);
}

/* --- what a reference may be ---------------------------------------------------------------------
 */

/* Where a search stands: the reference below the first own_len bytes of its task's name. */
struct level {
    size_t own_len;
    bool begun, id, over;
    size_t len;
    char what[2 + TASK_NAME_MAX + 1]; /* n:NAME or t:ID */
};

/* The length of the name that the first len bytes of `name` lie in, 0 for none. */
static size_t parent_len(const char *name, size_t len) {
    while (len > 0 && name[len - 1] != '/')
        len--;
    return len ? len - 1 : 0;
}

/* Puts this level's name into level->what. False when none can have it, or the task lies in it. */
static bool level_name(struct level *level, const struct ref *ref) {
    size_t prefix = level->own_len ? level->own_len + 1 : 0;
    level->len = 2 + prefix + ref->len;
    if (prefix + ref->len > TASK_NAME_MAX)
        return false;
    memcpy(level->what, "n:", 2);
    if (prefix) {
        memcpy(level->what + 2, ref->own, level->own_len);
        level->what[2 + level->own_len] = '/';
    }
    memcpy(level->what + 2 + prefix, ref->text, ref->len);
    return !(ref->own_len &&
             option_name_within(ref->own, ref->own_len, level->what + 2, level->len - 2));
}

/* The next thing that the reference may be: beside the task, one level up …, an id. */
static bool level_next(struct level *level, const struct ref *ref) {
    while (!level->over) {
        if (!level->begun) {
            level->begun = true;
            level->own_len = ref->own_len;
        } else if (level->own_len) {
            level->own_len = parent_len(ref->own, level->own_len);
        } else {
            level->over = true;
            if (!task_id_valid(ref->text, ref->len))
                return false;
            level->id = true;
            level->len = 2 + ref->len;
            memcpy(level->what, "t:", 2);
            memcpy(level->what + 2, ref->text, ref->len);
            return true;
        }
        if (level_name(level, ref))
            return true;
    }
    return false;
}

static bool find_defined(const struct refs *refs, const struct ref *ref, struct level *level) {
    *level = (struct level){.begun = false};
    while (level_next(level, ref))
        if (!level->id && nameset_has(&refs->defined, level->what + 2, level->len - 2))
            return true;
    return false;
}

static bool find_known(const struct refs *refs, const struct ref *ref, struct level *level) {
    *level = (struct level){.begun = false};
    while (level_next(level, ref))
        if (nameset_has(&refs->known, level->what, level->len))
            return true;
    return false;
}

bool refs_is_defined(const struct refs *refs, const struct ref *ref) {
    struct level level;
    return find_defined(refs, ref, &level);
}

bool refs_is_known(const struct refs *refs, const struct ref *ref) {
    struct level level;
    return find_known(refs, ref, &level);
}

/* --- asking the queue ----------------------------------------------------------------------------
 */

bool refs_want(struct refs *refs, const struct ref *ref) {
    struct level level = {.begun = false};
    bool waits = false;
    while (refs->store && level_next(&level, ref)) {
        if (nameset_has(&refs->known, level.what, level.len))
            return waits; /* what would come after it does not matter */
        if (nameset_has(&refs->absent, level.what, level.len))
            continue;
        waits = true;
        if (nameset_add(&refs->wanted, level.what, level.len))
            cmd_add(&refs->questions, level.what, level.len);
    }
    return waits;
}

size_t refs_questions(const struct refs *refs) {
    return refs->questions.count;
}

static void take_answers(struct refs *refs, const bool *there) {
    const struct cmd *q = &refs->questions;
    if (refs->absent.count > ABSENT_MOST)
        nameset_free(&refs->absent);
    for (size_t i = 0; i < q->count; i++)
        nameset_add(there[i] ? &refs->known : &refs->absent, q->argv[i], q->lens[i]);
}

bool refs_ask(struct refs *refs, struct buf *error) {
    struct cmd *q = &refs->questions;
    if (!q->count)
        return true;
    if (refs->before_ask && !refs->before_ask(refs->before_ask_arg, error))
        return false;
    bool *there = xcalloc(q->count, sizeof *there);
    cmd_argv(q);
    bool ok = store_refs_exist(refs->store, q->argv, q->lens, q->count, there, error);
    if (ok)
        take_answers(refs, there);
    free(there);
    cmd_clear(q);
    nameset_free(&refs->wanted);
    return ok;
}

/* --- a task's references -------------------------------------------------------------------------
 */

void refs_tell_unknown(const struct ref *ref, struct buf *error) {
    buf_addf(error,
             "%s names \"%.*s\", which is neither a name defined above nor a name or id in the "
             "queue",
             ref->any ? "after_any" : "after", (int)ref->len, ref->text);
}

static bool walk_list(const struct task_option *list, struct ref *ref, refs_each *each, void *arg) {
    const char *end = list->value + list->len;
    for (const char *at = list->value; at < end; at += ref->len + 1) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        ref->text = at;
        ref->len = (size_t)((comma ? comma : end) - at);
        if (ref->len && !each(ref, arg))
            return false;
    }
    return true;
}

bool refs_walk(const struct task *task, refs_each *each, void *arg) {
    const struct task_option *own = task_option(task, OPT_NAME);
    for (size_t i = 0; i < task->option_count; i++) {
        enum task_option_tag tag = task->options[i].tag;
        if (tag != OPT_AFTER && tag != OPT_AFTER_ANY)
            continue;
        struct ref ref = {.own = own ? own->value : "",
                          .own_len = own ? own->len : 0,
                          .any = tag == OPT_AFTER_ANY};
        if (!walk_list(&task->options[i], &ref, each, arg))
            return false;
    }
    return true;
}

struct resolving {
    struct refs *refs;
    struct buf *lines, *error;
};

static bool want_one(const struct ref *ref, void *arg) {
    struct refs *refs = arg;
    if (!refs_is_defined(refs, ref))
        refs_want(refs, ref);
    return true;
}

static bool resolve_one(const struct ref *ref, void *arg) {
    struct resolving *r = arg;
    struct level level;
    if (!find_defined(r->refs, ref, &level) && !find_known(r->refs, ref, &level)) {
        refs_tell_unknown(ref, r->error);
        return false;
    }
    buf_addc(r->lines, ref->any ? 'e' : 'a');
    buf_add(r->lines, level.what, level.len);
    buf_addc(r->lines, '\n');
    return true;
}

enum refs_result refs_resolve(struct refs *refs, const struct task *task, struct buf *lines,
                              struct buf *error) {
    struct resolving resolving = {refs, lines, error};
    if (refs->store) {
        refs_walk(task, want_one, refs);
        if (!refs_ask(refs, error))
            return REFS_FAILED;
    }
    return refs_walk(task, resolve_one, &resolving) ? REFS_OK : REFS_UNKNOWN;
}
