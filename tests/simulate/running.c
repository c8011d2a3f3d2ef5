#include "tests/simulate/running.h"

#include <math.h>

double running_level(const struct running *r, int64_t now_us) {
    if (r->killed_us == NEVER)
        return sim_curve_at(r->curve, now_us - r->start_us);
    double freed = (double)(now_us - r->killed_us - SIM_KILL_US) / 1e6 * SIM_FREE_S * SIM_GIB;
    return fmin(fmax(r->killed_bytes - fmax(freed, 0), 0), r->killed_bytes);
}

int64_t running_end_us(const struct running *r) {
    if (r->killed_us == NEVER)
        return r->start_us + r->curve->at_us[r->curve->count - 1];
    double free_us = ceil(r->killed_bytes / SIM_GIB / SIM_FREE_S * 1e6);
    return r->killed_us + SIM_KILL_US + (int64_t)free_us;
}

int64_t running_turn_us(const struct running *r, int64_t now_us) {
    if (r->killed_us != NEVER && now_us < r->killed_us + SIM_KILL_US)
        return r->killed_us + SIM_KILL_US;
    for (int i = 1; r->killed_us == NEVER && i < r->curve->count; i++)
        if (r->start_us + r->curve->at_us[i] > now_us)
            return r->start_us + r->curve->at_us[i];
    return running_end_us(r);
}
