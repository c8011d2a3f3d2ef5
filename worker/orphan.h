/*
 * orphan.h - the lease, and what becomes of the tasks when no agent looks after them.
 *
 * Redis counts on this worker until the lease is over, then gives its tasks to others. The agent
 * says at each renewal until when that is (WIRE_LEASE). As long as it lives, what happens then is
 * its business: when Redis is away, tasks go on past the lease. When it does not live (it is gone,
 * or silent: pulse.h) the supervisor ends the tasks `margin` before the lease is over, unless
 * orphan_policy is `keep`:
 *
 *     renewed ... end - 2 margin - 5 s ... end - 2 margin .... end - margin .... end of the lease
 *                 a silent agent is       it has been killed   no agent: SIGTERM,
 *                 asked, killed if it is  if it hangs; the     SIGKILL half a
 *                 stopped                 next one renews      margin later
 *
 * An agent that goes when that moment has passed already (Redis was away for long) has one margin's
 * time to be replaced; not again before the next renewal, so that one that dies over and over does
 * not keep tasks that may run elsewhere by now.
 *
 * The lease is kept in CLOCK_BOOTTIME, which goes on while the machine is suspended, as Redis'
 * does.
 */
#ifndef DISTCOMP_ORPHAN_H
#define DISTCOMP_ORPHAN_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/wire.h"

/* margin_ms 0: a quarter of the lease, at most 5 s. */
void orphan_init(bool keep, uint32_t margin_ms);
void orphan_lease(const struct wire_lease *lease);

int64_t orphan_length_us(void); /* of the lease; 0: there is none */
int64_t orphan_margin_us(void);
/* The lease's end as ustime_mono, as things are now; INT64_MAX: none. */
int64_t orphan_lease_end_us(void);

/* Once a turn: is an agent there that answers, and are there tasks? Returns when the tasks are to
   be ended (ustime_mono; INT64_MAX: not now). */
int64_t orphan_deadline(bool attended, bool running);
/* They were: once a lease. */
void orphan_acted(void);

#endif
