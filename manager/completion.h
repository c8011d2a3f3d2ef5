/*
 * completion.h - the bash completion script, made from the verbs' table.
 */
#ifndef DISTCOMP_MANAGER_COMPLETION_H
#define DISTCOMP_MANAGER_COMPLETION_H

#include "common/buf.h"

void completion_bash(struct buf *out);

#endif
