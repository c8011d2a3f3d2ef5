#include "manager/worker_names.h"

#include <stdlib.h>
#include <string.h>

#include "common/nearest.h"
#include "common/store.h"
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

struct asking {
    struct session *session;
    const struct worker_wish *wish;
    const char *const *names;
    const char **answers;
    struct worker_waiting *waiting; /* as many; NULL without --wait */
    size_t count;
};

static json_t *answer_json(const struct asking *a, int code) {
    json_t *list = json_array();
    for (size_t i = 0; i < a->count; i++) {
        json_t *worker = json_object();
        json_object_set_new(worker, "name", print_json_text(a->names[i], strlen(a->names[i])));
        json_object_set_new(worker, "lost", json_boolean(!strcmp(a->answers[i], "lost")));
        if (a->waiting)
            json_object_set_new(worker, "done", json_boolean(a->waiting[i].over));
        json_array_append_new(list, worker);
    }
    json_t *object = json_object();
    json_object_set_new(object, "workers", list);
    if (a->waiting)
        json_object_set_new(object, "timed_out", json_boolean(code == WORKER_WAIT_TIMED_OUT));
    return object;
}

static void tell_count(const struct asking *a, size_t count, const char *one, const char *many) {
    fprintf(a->session->out, "%zu worker%s %s\n", count, count == 1 ? "" : "s",
            count == 1 ? one : many);
    fflush(a->session->out); /* the next line may take its time */
}

static void tell_lost(const struct asking *a) {
    for (size_t i = 0; i < a->count; i++)
        if (!strcmp(a->answers[i], "lost"))
            session_note(a->session,
                         "%s has not reported for longer than its lease; it is told when "
                         "it comes back, and cleanup forgets it",
                         a->names[i]);
}

static int wait_for(const struct asking *a, const struct args *args) {
    uint64_t timeout_ms = args_number(args, "timeout");
    size_t over = 0;
    for (size_t i = 0; i < a->count; i++)
        a->waiting[i] = (struct worker_waiting){a->names[i], !strcmp(a->answers[i], "lost")};
    int code = worker_wait(a->session, a->wish->until, a->wish->want,
                           args_given(args, "timeout") ? &timeout_ms : NULL, a->waiting, a->count);
    for (size_t i = 0; i < a->count; i++)
        over += a->waiting[i].over;
    if (!a->session->json)
        tell_count(a, over, a->wish->has, a->wish->have);
    return code;
}

static int ask(struct session *session, const struct args *args, const char *const *names,
               size_t count, const struct worker_wish *wish, struct buf *error) {
    struct asking a = {.session = session, .wish = wish, .names = names, .count = count};
    int code = EXIT_FAILED;
    a.answers = xcalloc(count + 1, sizeof *a.answers);
    if (wish->may_wait && args_bool(args, "wait"))
        a.waiting = xcalloc(count + 1, sizeof *a.waiting);
    if (store_want(session->store, wish->want, names, count, a.answers, error)) {
        if (!session->json)
            tell_count(&a, count, wish->one, wish->many);
        tell_lost(&a);
        code = a.waiting ? wait_for(&a, args) : EXIT_DONE;
        if (session->json)
            print_json(session->out, answer_json(&a, code));
    }
    free(a.waiting);
    free(a.answers);
    return code;
}

int worker_names_want(struct session *session, const struct args *args,
                      const struct worker_wish *wish) {
    struct store *store = session_store(session);
    if (!store)
        return EXIT_FAILED;
    struct buf error = BUF_INIT;
    struct names known = {NULL, 0, 0};
    int code = EXIT_FAILED;
    if (store_walk_workers(store, add_name, &known, &error)) {
        if (!args->operand_count)
            code = ask(session, args, (const char *const *)known.list, known.count, wish, &error);
        else if (!tell_unknown(session, args, &known))
            code = ask(session, args, args->operands, args->operand_count, wish, &error);
    }
    if (error.len)
        session_error(session, "%s", error.data);
    free_names(&known);
    buf_free(&error);
    return code;
}
