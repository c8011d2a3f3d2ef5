/*
 * pages.h - the pages that lie under a large array: made by the threads that will use them, and
 * given back when they are not needed any more.
 */
#ifndef DISTCOMP_KIT_PAGES_H
#define DISTCOMP_KIT_PAGES_H

#include <stdbool.h>
#include <stddef.h>

/* Memory for an array that is read in any order: in huge pages, if it is large enough. Not NULL for
 * 0 bytes; NULL: there is not so much. Its owner frees it with free(). */
void *pages_new(size_t bytes);

/* Memory of one's own that was not touched yet: asks for huge pages, and touches all of it with so
 * many threads, so that no page is missing later. Its bytes are undefined as before. */
void pages_ready(void *data, size_t bytes, unsigned threads);

/*
 * The bytes will not be needed soon. Where they lie in a file or in shared memory (a mapping that
 * is MAP_SHARED), the whole pages in them stop to count as this process's; their content is not
 * changed. Nothing happens elsewhere.
 */
void pages_drop(const void *data, size_t bytes);

/* Whether that address lies in a mapping that is MAP_SHARED. */
bool pages_are_shared(const void *data);

#endif
