#include <string.h>

#include "manager/command.h"
#include "manager/families.h"
#include "manager/print.h"
#include "manager/view.h"

static const struct opt options[] = {{.name = "include",
                                      .kind = KIND_REGEX,
                                      .metavar = "REGEX",
                                      .many = true,
                                      .help = "only families that match one of these"},
                                     {.name = "exclude",
                                      .kind = KIND_REGEX,
                                      .metavar = "REGEX",
                                      .many = true,
                                      .help = "no families that match one of these"},
                                     {.name = "limit",
                                      .kind = KIND_COUNT,
                                      .metavar = "N",
                                      .preset = "50",
                                      .help = "at most this many; 0 for all"},
                                     OPT_END};

static const struct table_column columns[] = {
    {"COUNT", ALIGN_RIGHT}, {"REQUEST", ALIGN_RIGHT}, {"MEDIAN", ALIGN_RIGHT}, {"P95", ALIGN_RIGHT},
    {"MAX", ALIGN_RIGHT},   {"UNUSED", ALIGN_RIGHT},  {"FAMILY", ALIGN_LEFT}};

struct gather {
    const struct args *args;
    struct families families;
};

static bool gather(const struct store_family *family, void *arg) {
    struct gather *g = arg;
    if ((!args_given(g->args, "include") ||
         args_match(g->args, "include", family->key.data, family->key.len)) &&
        !args_match(g->args, "exclude", family->key.data, family->key.len))
        families_add(&g->families, family);
    return true;
}

static void add_mem(struct table *table, uint64_t bytes) {
    struct buf text = BUF_INIT;
    view_add_mem(&text, bytes);
    table_cells(table, text.data);
    buf_free(&text);
}

static void add_row(struct table *table, const struct family_view *family) {
    const struct peaks *peaks = &family->peaks;
    table_cellf(table, "%llu", (unsigned long long)peaks->count);
    add_mem(table, family->request_bytes);
    add_mem(table, peaks_hold(peaks));
    add_mem(table, peaks_need(peaks));
    add_mem(table, peaks->max_bytes);
    if (family_asks_too_much(family))
        table_colour(table, COLOUR_YELLOW);
    if (peaks->asked_kib)
        table_cellf(table, "%u %%", (peaks_wasted_milli(peaks) + 5) / 10);
    else
        table_cells(table, "-");
    table_cells(table, family->key);
}

static void print_families(const struct session *session, const struct families *families,
                           uint64_t limit) {
    size_t shown = limit && limit < families->count ? (size_t)limit : families->count;
    if (session->json) {
        for (size_t i = 0; i < shown; i++)
            print_json(session->out, family_json(&families->list[i]));
        return;
    }
    if (!shown) {
        fprintf(session->out, "no families\n");
        return;
    }
    struct table *table = table_new(session->out, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < shown; i++)
        add_row(table, &families->list[i]);
    table_free(table);
    if (shown < families->count)
        fprintf(session->out, "… and %zu more; --limit 0 shows all\n", families->count - shown);
}

static int show_family(struct session *session, const struct args *args) {
    struct store *store = session_store(session);
    struct buf error = BUF_INIT;
    struct gather g = {.args = args};
    if (!store)
        return EXIT_FAILED;
    bool ok = store_walk_families(store, 0, gather, &g, &error);
    if (ok) {
        families_sort(&g.families);
        print_families(session, &g.families, args_number(args, "limit"));
    } else {
        session_error(session, "%s", error.data);
    }
    families_free(&g.families);
    buf_free(&error);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

const struct verb verb_show_family = {
    .name = "showFamily",
    .operands = "",
    .summary = "what memory like tasks asked for and took",
    .about =
        "Tasks are alike when they have the same name, or the same program and subcommands; "
        "numbers, paths and options are left out. For each such family: how many peaks are "
        "counted (old ones fade away: at 512 all counts are halved), what its last task asked "
        "for, what half of them and 95 of 100 took at most, the highest peak, and what share "
        "of the memory that was asked for was never used. What 95 of 100 took is what "
        "min_dram=auto is promised, once five have finished.\n\n"
        "Those that left most unused come first. The option name puts tasks into a family of that "
        "name. With --json, one object a line.\n\n"
        "  redisManager showFamily --include '^shell ffmpeg'",
    .group = GROUP_LOOK,
    .flags = VERB_ANSWERS,
    .options = {options},
    .run = show_family,
};
