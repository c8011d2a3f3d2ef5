#include "worker/pulse.h"

static int64_t later(int64_t a, int64_t b) {
    return a > b ? a : b;
}

void pulse_begin(struct pulse *p, int64_t now_us) {
    *p = (struct pulse){.heard_us = now_us};
}

void pulse_heard(struct pulse *p, int64_t now_us) {
    pulse_begin(p, now_us); /* what it said before about being quiet is over too */
}

void pulse_quiet(struct pulse *p, int64_t until_us) {
    p->quiet_us = until_us;
}

int64_t pulse_due(const struct pulse *p, const struct pulse_terms *terms) {
    if (p->silent || terms->watch_us == INT64_MAX)
        return INT64_MAX;
    return p->asked_us ? p->check_us : later(terms->watch_us, p->heard_us + terms->patience_us);
}

enum pulse_act pulse_step(struct pulse *p, const struct pulse_terms *terms, int64_t now_us,
                          bool stopped) {
    if (now_us < pulse_due(p, terms))
        return PULSE_NONE;
    bool asked = p->asked_us != 0, overslept = now_us - p->check_us > terms->patience_us;
    p->check_us = now_us + terms->patience_us;
    if (!asked || overslept) {
        p->asked_us = now_us;
        return PULSE_ASK;
    }
    if (!stopped && now_us < later(p->asked_us + terms->hang_us, p->quiet_us))
        return PULSE_NONE;
    p->silent = true;
    return PULSE_SILENT;
}
