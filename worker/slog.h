/*
 * slog.h - the supervisor's own lines on standard error.
 *
 * No heap, no stdio stream. A line longer than 1000 bytes is cut. A standard error that would block
 * (a stopped terminal, a full pipe) loses the line: the supervisor must not wait for its reader.
 */
#ifndef DISTCOMP_SLOG_H
#define DISTCOMP_SLOG_H

/* Writes "redisWorker: supervisor: ..." and a newline. errno is left alone. */
void slog(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
