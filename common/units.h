/*
 * units.h - sizes, cores, durations, booleans and integers, as people write them and as they read
 * them.
 *
 * Independent of the locale. Every units_parse function takes `len` bytes that need no NUL, wants
 * all of them to be used, and refuses signs, "nan", exponents and values that do not fit. On
 * failure it returns false, leaves *result alone and points *expected to a static text that
 * completes "expected ...".
 *
 * Sizes: K, M, G, T and P are powers of 1024, with or without "B" or "iB", in any case: 1k = 1kB =
 * 1KiB = 1024. Files that say 512M mean it so on every scheduler, and two meanings that differ by 7
 * % would only be a trap. Fractions are rounded up, at the ninth decimal and to a byte. A blank may
 * stand before the unit.
 *
 * Durations: ms, s, m, h, d, and compounds from large to small (1h30m); a bare number is seconds.
 * Fractions are rounded up to a millisecond.
 */
#ifndef DISTCOMP_UNITS_H
#define DISTCOMP_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define UNITS_GIB (UINT64_C(1) << 30)

/* A size; a number without a unit is multiplied by bare_unit (1: bytes, UNITS_GIB: min_dram). */
bool units_parse_bytes(const char *s, size_t len, uint64_t bare_unit, uint64_t *bytes,
                       const char **expected);
/* A number with at most three decimals, in thousandths: cores -> milli-cores, GPUs. Up to 2^32-1.
 */
bool units_parse_milli(const char *s, size_t len, uint32_t *milli, const char **expected);
/* Milliseconds, up to 2^53 so that Lua and JSON can hold them. */
bool units_parse_ms(const char *s, size_t len, uint64_t *ms, const char **expected);
/* y yes t true on 1 / n no f false off 0, in any case. */
bool units_parse_bool(const char *s, size_t len, bool *value, const char **expected);
/* Decimal digits only, min..max. The text does not name the range: the caller knows it. */
bool units_parse_uint(const char *s, size_t len, uint64_t min, uint64_t max, uint64_t *value,
                      const char **expected);

void units_add_bytes(struct buf *out, uint64_t bytes); /* "17 B", "1.5 GiB" */
void units_add_ms(struct buf *out, uint64_t ms);       /* "0s", "250ms", "4.2s", "3m12s", "1d4h" */
void units_add_milli(struct buf *out, uint64_t milli); /* "2", "0.5" */

#endif
