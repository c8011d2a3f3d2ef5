/*
 * notify.h - telling systemd (Type=notify) how the service is.
 *
 * The protocol of sd_notify(3): one datagram of NAME=VALUE lines to the socket that the environment
 * variable NOTIFY_SOCKET names ("/path", or "@name" for an abstract one). Nobody answers, and
 * nothing here fails: without a socket, or when it is gone, a message goes nowhere.
 */
#ifndef DISTCOMP_NOTIFY_H
#define DISTCOMP_NOTIFY_H

#include <stdbool.h>

/* Takes NOTIFY_SOCKET out of the environment, so that no task talks in our name. True: a service
   manager listens. */
bool notify_init(void);

/* Puts it back, for a program that this process executes in its own place. */
void notify_restore(void);

/* As printf; "READY=1", "STATUS=...\nSTOPPING=1". */
void notify_send(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
