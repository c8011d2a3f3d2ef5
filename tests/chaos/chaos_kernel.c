/*
 * chaos: what chaos.py runs as native tasks, in hosts that live on; chaos_marks.h says what it
 * writes.
 *
 *     chaos number=N kind=ok|fail|flaky|hang|tree|crash ms=MS
 */
#include "kernels/kernel.h"
#include "tests/chaos/chaos_marks.h"

#include <signal.h>

enum { P_NUMBER, P_KIND, P_MS };
enum { OK, FAIL, FLAKY, HANG, TREE, CRASH };
static const struct kernel_param params[] = {
    {"number", KERNEL_INT, .help = "of the task"},
    {"kind", KERNEL_CHOICE, .choices = "ok|fail|flaky|hang|tree|crash", .help = "how it ends"},
    {"ms", KERNEL_INT, .help = "how long it takes"},
    {0}};

static int run(struct kernel_run *r) {
    size_t kind = kernel_choice(r, P_KIND);
    long ms = (long)kernel_int(r, P_MS);
    number = (long)kernel_int(r, P_NUMBER);
    int code = kind == FAIL ? 1 : kind == FLAKY ? flaky_code(kernel_try(r)) : 0;
    if (!marks_open())
        return 120;
    mark('S', 0);
    if (kind == HANG) {
        signal(SIGTERM, SIG_IGN);
        ms = 1 << 30;
    }
    if (kind == TREE)
        leave_children();
    pass(ms, 'B');
    if (kind == CRASH && kernel_try(r) == 1)
        raise(SIGSEGV);
    mark('E', code);
    return code == 0 ? 0 : kernel_fail(r, "as planned");
}

KERNEL_EXPORT(.name = "chaos", .summary = "for make chaos", .params = params, .run = run)
