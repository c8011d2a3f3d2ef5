/*
 * serverinfo.h - reading the text that Redis' INFO answers. Needs no connection; any thread.
 */
#ifndef DISTCOMP_SERVERINFO_H
#define DISTCOMP_SERVERINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The number of a line `field:123`. False when there is none. */
bool serverinfo_number(const char *text, size_t len, const char *field, uint64_t *value);

/*
 * What all outputs together may take, for keep_output_bytes = 0: 5 % of the memory of Redis'
 * machine (or of maxmemory, when that is set and smaller), from the text of INFO memory. At least 1
 * MiB.
 */
uint64_t serverinfo_output_share(const char *text, size_t len);

#endif
