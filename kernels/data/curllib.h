/*
 * curllib.h - libcurl 4, opened with dlopen when the first URL is named. What is called of it is in
 * this one table; the header is needed to build, the library only to use URLs.
 */
#ifndef DISTCOMP_KERNEL_CURLLIB_H
#define DISTCOMP_KERNEL_CURLLIB_H

#define CURL_DISABLE_DEPRECATION /* CURLOPT_PROTOCOLS: http.c */
#include <curl/curl.h>

#include "common/buf.h"

/* X(name): curl_NAME is lib->NAME */
#define CURLLIB_FUNCTIONS(X)                                                                       \
    X(global_init)                                                                                 \
    X(easy_init)                                                                                   \
    X(easy_setopt)                                                                                 \
    X(easy_perform)                                                                                \
    X(easy_reset)                                                                                  \
    X(easy_strerror)                                                                               \
    X(easy_cleanup)                                                                                \
    X(slist_append)                                                                                \
    X(slist_free_all)

struct curllib {
#define X(name) __typeof__(&curl_##name) name;
    CURLLIB_FUNCTIONS(X)
#undef X
};

/* The library, opened once and for all. NULL with a phrase in error that completes "NAME ...". Not
 * for several threads. */
const struct curllib *curllib_open(struct buf *error);

#endif
