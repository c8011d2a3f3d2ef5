#include "manager/worker_names.h"

#include <stdlib.h>
#include <string.h>

#include "common/store.h"
#include "manager/nearest.h"
#include "manager/print.h"

const struct opt worker_names_options[] = {
    {.name = "all", .kind = KIND_BOOL, .preset = "false", .help = "every worker"}, OPT_END};

bool worker_names_check(const struct args *args, struct buf *error) {
    bool all = args_bool(args, "all"), named = args->operand_count > 0;
    if (all && named)
        buf_adds(error, "expected either NAME or --all, not both");
    else if (!all && !named)
        buf_adds(error, "expected NAME (checkWorker lists them), or --all");
    return all != named;
}

/* --- names ----------------------------------------------------------------------------------- */

struct names {
    char **list; /* owned, with the names; sorted */
    size_t count, room;
};

static bool add_name(const struct store_worker *worker, void *arg) {
    struct names *names = arg;
    if (names->count == names->room) {
        names->room = names->room ? names->room * 2 : 16;
        names->list = xrealloc(names->list, names->room * sizeof *names->list);
    }
    names->list[names->count++] = xstrndup(worker->name.data, worker->name.len);
    return true;
}

static void free_names(struct names *names) {
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
}

static bool has_name(const struct names *names, const char *name) {
    for (size_t i = 0; i < names->count; i++)
        if (!strcmp(names->list[i], name))
            return true;
    return false;
}

/* Tells of every name that no worker has; how many. */
static size_t tell_unknown(struct session *session, const struct args *args,
                           const struct names *names) {
    size_t unknown = 0;
    for (size_t i = 0; i < args->operand_count; i++) {
        const char *name = args->operands[i];
        if (has_name(names, name))
            continue;
        struct nearest near = nearest_make(name, strlen(name));
        for (size_t j = 0; j < names->count; j++)
            nearest_try(&near, names->list[j]);
        if (near.best)
            session_error(session, "there is no worker %s; did you mean %s?", name, near.best);
        else
            session_error(session, "there is no worker %s; checkWorker lists those of queue %s",
                          name, session->config->queue);
        unknown++;
    }
    return unknown;
}

/* --- asking ------------------------------------------------------------------------------------
 */

static json_t *answer_json(const char *const *names, const char *const *answers, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *worker = json_object();
        json_object_set_new(worker, "name", print_json_text(names[i], strlen(names[i])));
        json_object_set_new(worker, "lost", json_boolean(!strcmp(answers[i], "lost")));
        json_array_append_new(list, worker);
    }
    json_t *object = json_object();
    json_object_set_new(object, "workers", list);
    return object;
}

static void answer(struct session *session, const char *const *names, const char *const *answers,
                   size_t count, const char *done) {
    if (session->json)
        print_json(session->out, answer_json(names, answers, count));
    else
        fprintf(session->out, "%zu worker%s %s\n", count, count == 1 ? "" : "s", done);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(answers[i], "lost"))
            session_note(session,
                         "%s has not reported for longer than its lease; it is told when "
                         "it comes back, and cleanup forgets it",
                         names[i]);
}

static bool ask(struct session *session, const char *const *names, size_t count, const char *want,
                const char *done, struct buf *error) {
    const char **answers = xcalloc(count + 1, sizeof *answers);
    bool ok = store_want(session->store, want, names, count, answers, error);
    if (ok)
        answer(session, names, answers, count, done);
    free(answers);
    return ok;
}

int worker_names_want(struct session *session, const struct args *args, const char *want,
                      const char *done) {
    struct store *store = session_store(session);
    if (!store)
        return EXIT_FAILED;
    struct buf error = BUF_INIT;
    struct names known = {NULL, 0, 0};
    bool ok = store_walk_workers(store, add_name, &known, &error);
    if (ok && args->operand_count)
        ok = !tell_unknown(session, args, &known) &&
             ask(session, args->operands, args->operand_count, want, done, &error);
    else if (ok)
        ok = ask(session, (const char *const *)known.list, known.count, want, done, &error);
    if (error.len)
        session_error(session, "%s", error.data);
    free_names(&known);
    buf_free(&error);
    return ok ? EXIT_DONE : EXIT_FAILED;
}
