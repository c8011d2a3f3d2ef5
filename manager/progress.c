#include "manager/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/units.h"
#include "manager/print.h"

#define REDRAW_MS    100
#define FIRST_MS     500
#define RATE_TIME_MS 5000.0 /* the rate is an average over about this long */

struct progress {
    FILE *file;
    struct progress_view view;
    bool shown;
    mono_ms_t start, next, measured;
    uint64_t measured_done;
    struct buf line;
};

/* A bar narrower than this says nothing. */
#define BAR_LEAST 8
#define BAR_MOST  40

static void add_bar(const struct progress_view *view, size_t columns, struct buf *out) {
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    double share = (double)view->done / (double)view->total;
    size_t parts = (size_t)((share < 1 ? share : 1) * (double)columns * 8);
    size_t full = parts / 8, rest = parts % 8;
    buf_adds(out, " ▕");
    for (size_t i = 0; i < full; i++)
        buf_adds(out, "█");
    buf_adds(out, eighths[rest]);
    for (size_t i = full + (rest > 0); i < columns; i++)
        buf_addc(out, ' ');
    buf_adds(out, "▏");
}

/* Whole seconds: tenths would only flicker. */
static void add_seconds(struct buf *out, uint64_t ms) {
    if (ms < 60000) {
        buf_addf(out, "  %us", (unsigned)(ms / 1000));
    } else {
        buf_adds(out, "  ");
        units_add_ms(out, ms / 1000 * 1000);
    }
}

/* Behind the bar: `40 %  12,000 of 30,000  4,100/s  4.4s left  3 failed`. */
static void add_figures(const struct progress_view *view, struct buf *out) {
    if (view->total) {
        uint64_t done = view->done < view->total ? view->done : view->total;
        buf_addf(out, " %3.0f %%  ", floor(100.0 * (double)done / (double)view->total));
    } else {
        buf_adds(out, "  ");
    }
    print_count(out, view->done);
    if (view->total) {
        buf_adds(out, " of ");
        print_count(out, view->total);
    }
    if (view->per_second >= 10)
        buf_addf(out, "  %.0f/s", view->per_second);
    else if (view->per_second > 0)
        buf_addf(out, "  %.2g/s", view->per_second);
    if (view->total > view->done && view->per_second > 0) {
        double left_ms = (double)(view->total - view->done) / view->per_second * 1000;
        if (left_ms < 1e12) {
            add_seconds(out, (uint64_t)left_ms);
            buf_adds(out, " left");
        }
    } else if (view->elapsed_ms >= 1000) {
        add_seconds(out, view->elapsed_ms);
    }
    if (view->remark && *view->remark)
        buf_addf(out, "  %s", view->remark);
}

void progress_line(const struct progress_view *view, struct buf *out) {
    struct buf figures = BUF_INIT;
    add_figures(view, &figures);
    size_t label = print_width(view->label, strlen(view->label));
    size_t taken =
        label + print_width(figures.data, figures.len) + 4; /* 3 around the bar, margin */
    size_t start = out->len;
    buf_adds(out, view->label);
    if (view->total && view->width > taken + BAR_LEAST) {
        size_t columns = view->width - taken;
        add_bar(view, columns < BAR_MOST ? columns : BAR_MOST, out);
    }
    buf_add(out, figures.data, figures.len);
    if (view->width > 1 && print_width(out->data + start, out->len - start) >= view->width) {
        struct buf whole = BUF_INIT;
        buf_add(&whole, out->data + start, out->len - start);
        out->len = start;
        print_safe(out, whole.data, whole.len, view->width - 1);
        buf_free(&whole);
    }
    buf_free(&figures);
}

struct progress *progress_new(FILE *file, const char *label, uint64_t total, bool quiet) {
    if (quiet || !print_terminal_width(file))
        return NULL;
    struct progress *progress = xcalloc(1, sizeof *progress);
    progress->file = file;
    progress->view = (struct progress_view){.label = label, .total = total};
    progress->line = (struct buf)BUF_INIT;
    progress->start = progress->measured = mono_now();
    progress->next = mono_after(progress->start, FIRST_MS);
    return progress;
}

/* An average that forgets: the weight of what is RATE_TIME_MS old is 1/e. */
static void measure(struct progress *progress, mono_ms_t now) {
    int64_t passed_ms = mono_diff(now, progress->measured);
    if (passed_ms <= 0)
        return;
    struct progress_view *view = &progress->view;
    uint64_t more = view->done > progress->measured_done ? view->done - progress->measured_done : 0;
    double rate = (double)more * 1000.0 / (double)passed_ms;
    double weight = view->per_second > 0 ? 1 - exp(-(double)passed_ms / RATE_TIME_MS) : 1;
    view->per_second += weight * (rate - view->per_second);
    progress->measured = now;
    progress->measured_done = view->done;
}

void progress_set(struct progress *progress, uint64_t done) {
    if (!progress)
        return;
    progress->view.done = done;
    mono_ms_t now = mono_now();
    if (mono_diff(now, progress->next) < 0)
        return;
    progress->next = mono_after(now, REDRAW_MS);
    measure(progress, now);
    progress->view.elapsed_ms = (uint64_t)mono_diff(now, progress->start);
    progress->view.width = print_terminal_width(progress->file);
    buf_clear(&progress->line);
    buf_adds(&progress->line, "\r");
    progress_line(&progress->view, &progress->line);
    buf_adds(&progress->line, "\033[K");
    fwrite(progress->line.data, 1, progress->line.len, progress->file);
    fflush(progress->file);
    progress->shown = true;
}

void progress_set_total(struct progress *progress, uint64_t total) {
    if (progress)
        progress->view.total = total;
}

void progress_set_remark(struct progress *progress, const char *remark) {
    if (progress)
        progress->view.remark = remark;
}

void progress_hide(struct progress *progress) {
    if (!progress || !progress->shown)
        return;
    fputs("\r\033[K", progress->file);
    fflush(progress->file);
    progress->shown = false;
}

void progress_free(struct progress *progress) {
    if (!progress)
        return;
    progress_hide(progress);
    buf_free(&progress->line);
    free(progress);
}
