/*
 * manual.h - the man page and docs/commands.md, made from the verbs' table. Neither has a version
 * or a date in it, so that they change only when the table does.
 */
#ifndef DISTCOMP_MANAGER_MANUAL_H
#define DISTCOMP_MANAGER_MANUAL_H

#include "common/buf.h"

void manual_roff(struct buf *out);
void manual_markdown(struct buf *out);

#endif
