#include "manager/command.h"
#include "manager/print.h"

static bool check(const struct args *args, struct buf *error) {
    for (size_t i = 0; i < args->operand_count; i++) {
        if (object_name_valid(args->operands[i]))
            continue;
        buf_adds(error, "NAME is " OBJECT_NAME_FORM);
        return false;
    }
    return true;
}

static int remove_object(struct session *session, const struct args *args) {
    struct objects objects;
    struct buf error = BUF_INIT;
    size_t removed = 0;
    bool ok = true, all = true;
    if (!session_objects(session, &objects))
        return EXIT_FAILED;
    for (size_t i = 0; i < args->operand_count && ok; i++) {
        bool there;
        ok = object_remove(&objects, args->operands[i], &there, &error);
        removed += ok && there;
        if (ok && !there)
            session_error(session, "there is no object %s", args->operands[i]);
        all = all && ok && there;
    }
    if (!ok)
        session_error(session, "%s", error.data);
    else if (session->json)
        print_json(session->out, json_pack("{s:I}", "removed", (json_int_t)removed));
    else
        fprintf(session->out, "%zu %s removed\n", removed, removed == 1 ? "object" : "objects");
    buf_free(&error);
    return all ? EXIT_DONE : EXIT_FAILED;
}

const struct verb verb_remove_object = {
    .name = "removeObject",
    .operands = "NAME…",
    .min_operands = 1,
    .max_operands = VERB_ANY,
    .summary = "removes objects from Redis",
    .about = "Exits 1 when one of them is not there; the others are removed all the same.",
    .group = GROUP_OBJECTS,
    .flags = VERB_ANSWERS,
    .check = check,
    .run = remove_object,
};
