/*
 * pages.h - the pages that lie under a large array.
 */
#ifndef DISTCOMP_KIT_PAGES_H
#define DISTCOMP_KIT_PAGES_H

#include <stddef.h>

/* Memory for an array that is read in any order: in huge pages, if it is large enough. Not NULL for
 * 0 bytes; NULL: there is not so much. Its owner frees it with free(). */
void *pages_new(size_t bytes);

/* Memory of one's own that was not touched yet: asks for huge pages, and touches all of it with so
 * many threads, so that no page is missing later. Its bytes are undefined as before. */
void pages_ready(void *data, size_t bytes, unsigned threads);

#endif
