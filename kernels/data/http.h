/*
 * http.h - inputs and outputs that are URLs: GET with retries, resumed where the server can; one
 * PUT. Redirections are followed, to http and https only. A proxy is taken from the environment
 * (https_proxy, no_proxy), as libcurl does; certificate authorities of one's own, too, as curl(1)
 * takes them (CURL_CA_BUNDLE, else SSL_CERT_FILE and SSL_CERT_DIR).
 *
 * What passes (no connection, a broken one, silent, 408, 425, 429, 500, 502, 503, 504) is tried 5
 * more times, 0.2 s later, then 0.4 s and so on, or when Retry-After says, 30 s at most; a mebibyte
 * that was never reached before begins the count anew. A broken download goes on by Range and
 * If-Range when the server gave a strong ETag or a Last-Modified, else from the start.
 *
 * Errors are phrases that complete "NAME ...", NAME shown by http_show.
 */
#ifndef DISTCOMP_KERNEL_HTTP_H
#define DISTCOMP_KERNEL_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "kernels/data/region.h"

/* Whether a name is a URL that is read and written here. */
bool http_is(const char *name);
/* Appends the URL without user, password, and what follows '?', which may be as secret. */
void http_show(const char *url, struct buf *out);
/* Appends text with every URL in it as http_show has it. */
void http_show_all(const char *text, struct buf *out);

struct http;
/* Opens nothing yet. cancelled is asked about once a second in transfers and waits; may be NULL. */
struct http *http_new(bool (*cancelled)(void *arg), void *arg);
void http_free(struct http *http); /* NULL is fine */
/* Whether URLs can be used at all on this machine. */
bool http_ready(struct http *http, struct buf *error);

/* All of it, or its first intake->most bytes. */
bool http_get(struct http *http, const char *url, struct intake *intake, struct buf *error);
bool http_put(struct http *http, const char *url, const void *bytes, size_t len, struct buf *error);

#endif
