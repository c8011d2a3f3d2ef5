/*
 * command.h - how redisManager is made of verbs, and how to add one.
 *
 * A verb is one file, manager/VERB.c, that defines one `const struct verb verb_VERB`: its name, its
 * help, its options and its function. manager/verbs.h lists them all, and everything else follows
 * from that list: dispatch, `help`, the man page, docs/commands.md, bash completion and the tests
 * that check every row.
 *
 * To add a verb `pokeTask`:
 *
 * 1. Write manager/poke_task.c:
 *
 *        static const struct opt options[] = {
 *            {.name = "hard", .kind = KIND_BOOL, .preset = "false", .help = "poke with a stick"},
 *            OPT_END};
 *
 *        static int poke_task(struct session *session, const struct args *args) {
 *            struct store *store = session_store(session);
 *            if (!store)
 *                return EXIT_FAILED;
 *            … store_…(store, …, args_bool(args, "hard"), &error) …
 *        }
 *
 *        const struct verb verb_poke_task = {
 *            .name = "pokeTask", .operands = "ID…", .min_operands = 1, .max_operands = VERB_ANY,
 *            .summary = "pokes tasks", .about = "A paragraph.\n\nAnother.",
 *            .flags = VERB_ANSWERS, .options = {options}, .run = poke_task};
 *
 * 2. Add X(poke_task) to manager/verbs.h, where `help` is to show it.
 * 3. Run `bin/redisManager manual --markdown >docs/commands.md` and
 *    `bin/redisManager manual >docs/redisManager.1` (a unit test fails until you do).
 * 4. Test it in tests/integration.
 *
 * stdout carries the answer, stderr everything else.
 */
#ifndef DISTCOMP_MANAGER_COMMAND_H
#define DISTCOMP_MANAGER_COMMAND_H

#include <stdbool.h>
#include <stdio.h>

#include "common/config.h"
#include "common/objects.h"
#include "common/store.h"
#include "manager/args.h"

/* What a verb returns, and what redisManager exits with. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Bits of struct verb.flags. */
#define VERB_ANSWERS 1u /* has --json */
#define VERB_COMMAND 2u /* its operands are a command line: options end at the first operand */
#define VERB_OFFLINE 4u /* needs no configuration: works with a broken conf.json */

#define VERB_ANY 1000000u /* max_operands: any number */

#define VERB_TABLES_MAX 8

/* Where `help` and the manual show a verb. X(symbol, heading) */
#define VERB_GROUPS(X)                                                                             \
    X(LOAD, "Bring work")                                                                          \
    X(LOOK, "Look")                                                                                \
    X(CHANGE, "Change tasks")                                                                      \
    X(OBJECTS, "Objects: data of native tasks in Redis")                                           \
    X(REPAIR, "Repair and tidy up")                                                                \
    X(WORKERS, "Workers")                                                                          \
    X(HELP, "Help")
enum verb_group {
#define X(symbol, heading) GROUP_##symbol,
    VERB_GROUPS(X)
#undef X
        GROUP_COUNT
};
extern const char *const verb_group_headings[GROUP_COUNT];

struct session;

struct verb {
    const char *name;     /* as the original has it: checkTask */
    const char *operands; /* for the synopsis: "ID…", "[NAME…]" or "" */
    const char *summary;  /* completes "VERB: …" in one line */
    const char *about;    /* paragraphs, parted by an empty line; "  " begins an example's line */
    enum verb_group group;
    unsigned flags;
    unsigned min_operands, max_operands;
    const struct opt *options[VERB_TABLES_MAX]; /* its tables, the rest NULL */
    /*
     * Whether the command line makes sense, before anything of a chain is done; NULL when options
     * and operands say it all. false with a message: exit 2.
     */
    bool (*check)(const struct args *args, struct buf *error);
    /*
     * Of every verb but a chain's first, before the first one runs: whether it will fail for what
     * can be known by then, so that `initRedis&loadTask` with a bad file empties nothing. NULL when
     * nothing can. As run: EXIT_DONE, or it has printed its errors.
     */
    int (*foresee)(struct session *session, const struct args *args);
    /* Does it. Has printed its errors (session_error) when it returns anything but EXIT_DONE. */
    int (*run)(struct session *session, const struct args *args);
};

extern const struct verb *const verbs[]; /* verb_count of them, in the order of help, then NULL */
extern const size_t verb_count;
const struct verb *verb_find(const char *name); /* exactly so written, or NULL */
/* The verb that was probably meant, or NULL. */
const struct verb *verb_nearest(const char *name);
/* The tables that hold for a verb: its own, the global ones, and --json if it answers. */
struct opt_tables verb_tables(const struct verb *verb);

/* Options of every verb: --conf, --quiet, --help, --version, and the settings of manager scope. */
const struct opt *global_options(void);
extern const struct opt json_options[]; /* --json, of verbs that answer */

/* What a verb works with. */
struct session {
    const struct verb *verb;
    const struct config *config; /* defaults only for a VERB_OFFLINE verb */
    FILE *out;                   /* the answer */
    bool json;                   /* --json: it is one JSON document, or one a line */
    bool quiet;                  /* --quiet: no bars and no remarks on stderr */
    struct store *store;         /* owned; NULL until session_store opens it */
};

/*
 * The queue, opened by the first call and shared by all verbs of a chain. NULL when that failed:
 * the error has been printed.
 */
struct store *session_store(struct session *session);
/* The queue's objects, on the same connection; false when there is none. */
bool session_objects(struct session *session, struct objects *objects);
void session_close(struct session *session);

/* One line on stderr: `redisManager VERB: …`. No newline at its end. */
void session_error(const struct session *session, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The same for something the user may want to know; nothing when --quiet. */
void session_note(const struct session *session, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * After a failure in a verb that waits: whether Redis is only away, so that it is worth asking
 * again; then it is connected to anew if need be, and error is cleared. *told: that has been said
 * already; the caller clears it once Redis answers.
 */
bool session_redis_away(struct session *session, bool *told, struct buf *error);

#endif
