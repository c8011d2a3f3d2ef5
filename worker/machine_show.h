/*
 * machine_show.h - redisWorker --show_resources: what there is and what the worker would use, for
 * people or as one JSON object. Needs no Redis.
 */
#ifndef DISTCOMP_MACHINE_SHOW_H
#define DISTCOMP_MACHINE_SHOW_H

#include <stdbool.h>

#include "worker/machine.h"

/* Appends; sizes in JSON are bytes, cores are numbers. Both end with a newline. */
void machine_show_text(struct machine *machine, const struct config *config, struct buf *out);
void machine_show_json(struct machine *machine, const struct config *config, struct buf *out);

#endif
