/*
 * pulse.h - is a connected agent alive? Pure: the caller gives the time and does what it is told.
 *
 * An agent that was stopped (SIGSTOP), or that hangs, keeps its connection open. Whatever it says
 * is a sign of life. While the lease is renewed that is enough; from `watch_us` on (the lease was
 * not renewed when it should have been: Redis is away, or the agent is) it is asked, by WIRE_PING,
 * and has to answer:
 *
 *     heard .. watch_us, and patience after the last sign .. ASK .. patience .. stopped? SILENT
 *                                                             '.. hang ......... SILENT
 *
 * Being stopped can be seen (/proc), so a short patience does. A process that is not stopped may
 * only be slow, on a machine with far more to do than cores; it has `hang_us`, or as long as it
 * said beforehand that it would be quiet (name resolution blocks).
 *
 * Whoever looks much too late was stopped itself, perhaps together with the agent: it asks anew
 * before it judges. Times are ustime_mono, so a machine's suspension counts for nobody.
 */
#ifndef DISTCOMP_PULSE_H
#define DISTCOMP_PULSE_H

#include <stdbool.h>
#include <stdint.h>

struct pulse {
    int64_t heard_us;
    int64_t asked_us; /* 0: not since it was last heard */
    int64_t check_us; /* asked: when to look next */
    int64_t quiet_us; /* it said that it may say nothing until then */
    bool silent;
};

struct pulse_terms {
    int64_t watch_us; /* INT64_MAX: never */
    int64_t patience_us, hang_us;
};

enum pulse_act { PULSE_NONE, PULSE_ASK, PULSE_SILENT };

void pulse_begin(struct pulse *p, int64_t now_us); /* a new connection */
void pulse_heard(struct pulse *p, int64_t now_us);
void pulse_quiet(struct pulse *p, int64_t until_us);

/* When pulse_step has to be called; INT64_MAX: not before something is heard. */
int64_t pulse_due(const struct pulse *p, const struct pulse_terms *terms);
/* stopped: it is at this moment. PULSE_SILENT is said once, until it is heard again. */
enum pulse_act pulse_step(struct pulse *p, const struct pulse_terms *terms, int64_t now_us,
                          bool stopped);

#endif
