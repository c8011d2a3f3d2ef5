#include "kernels/data/http.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "common/clock.h"
#include "kernels/data/curllib.h"
#include "kernels/data/httphead.h"

enum {
    RETRIES = 5,
    BACKOFF_MS = 200,
    WAIT_MOST_MS = 30000,
    LOOK_MS = 50, /* how often cancelled is asked in a wait */
    CONNECT_S = 30,
    SILENT_GET_S = 60,  /* without a byte: the connection is given up */
    SILENT_PUT_S = 300, /* the server may have to store what it got */
    REDIRECTS = 10
};
#define PROGRESS_BYTES (1u << 20)

struct http {
    const struct curllib *lib; /* NULL until the first URL */
    CURL *curl;
    bool (*cancelled)(void *arg);
    void *arg;
    char message[CURL_ERROR_SIZE];
};

/* One URL: several tries. */
struct transfer {
    struct http *http;
    const char *url;
    struct httphead head;          /* of the answer that comes */
    struct intake *intake;         /* GET */
    char validator[HTTPHEAD_TEXT]; /* of what intake has */
    uint64_t total;                /* of the whole, or unknown */
    bool begun;                    /* this answer's body was looked at: bytes may be taken */
    bool refused;                  /* its body cannot be used: start anew */
    struct buf no_memory;
    const char *upload; /* PUT */
    size_t upload_len, upload_at;
};

/* --- names -------------------------------------------------------------------------------------
 */

bool http_is(const char *name) {
    return strncasecmp(name, "http://", 7) == 0 || strncasecmp(name, "https://", 8) == 0;
}

void http_show(const char *url, struct buf *out) {
    const char *host = strstr(url, "://");
    if (!host) {
        buf_adds(out, "?");
        return;
    }
    host += 3;
    buf_add(out, url, (size_t)(host - url));
    size_t len = strcspn(host, "/?#");
    for (size_t i = len; i > 0; i--)
        if (host[i - 1] == '@') {
            host += i;
            len -= i;
            break;
        }
    /* A password with a '/' in it looks like a port that is no number. */
    const char *port = *host == '[' ? strchr(host, ']') : host;
    port = port ? memchr(port, ':', len - (size_t)(port - host)) : NULL;
    if (port && strspn(port + 1, "0123456789") != len - (size_t)(port + 1 - host)) {
        buf_adds(out, "...");
        return;
    }
    len += strcspn(host + len, "?#");
    for (size_t i = 0; i < len; i++)
        buf_addc(out, host[i] > ' ' && host[i] < 127 ? host[i] : '?');
    if (host[len])
        buf_adds(out, "?...");
}

void http_show_all(const char *text, struct buf *out) {
    while (*text) {
        if (!http_is(text)) {
            buf_addc(out, *text++);
            continue;
        }
        size_t len = strcspn(text, " \t\n\"'");
        char *url = xstrndup(text, len);
        http_show(url, out);
        free(url);
        text += len;
    }
}

struct http *http_new(bool (*cancelled)(void *arg), void *arg) {
    struct http *http = xcalloc(1, sizeof *http);
    http->cancelled = cancelled;
    http->arg = arg;
    return http;
}

void http_free(struct http *http) {
    if (http && http->curl)
        http->lib->easy_cleanup(http->curl);
    free(http);
}

bool http_ready(struct http *http, struct buf *error) {
    if (!http->lib)
        http->lib = curllib_open(error);
    if (http->lib && !http->curl) {
        http->curl = http->lib->easy_init();
        if (!http->curl)
            buf_adds(error, "cannot be reached: libcurl gave no handle");
    }
    return http->curl != NULL;
}

static bool is_cancelled(const struct http *http) {
    return http->cancelled && http->cancelled(http->arg);
}

/* --- what libcurl calls ------------------------------------------------------------------------
 */

static size_t on_header(char *line, size_t size, size_t count, void *arg) {
    struct transfer *t = arg;
    httphead_line(&t->head, line, size * count);
    return size * count;
}

/* Whether the body of this answer continues what is there, or begins anew. False: neither. */
static bool begin_body(struct transfer *t) {
    struct intake *intake = t->intake;
    bool whole = t->head.status == 200;
    t->begun = true;
    if (!whole && (t->head.status != 206 || t->head.range_from != intake->region.len ||
                   (intake->region.len && t->head.range_total != t->total))) {
        t->refused = true;
        return false;
    }
    if (!whole && intake->region.len)
        return true;
    t->total = whole ? t->head.length : t->head.range_total;
    memcpy(t->validator, t->head.validator, sizeof t->validator);
    return intake_start(intake, t->total, &t->no_memory);
}

static bool is_wanted(const struct transfer *t) {
    return t->intake && (t->head.status == 200 || t->head.status == 206);
}

/* Less than was given ends the transfer. */
static size_t on_body(char *bytes, size_t size, size_t count, void *arg) {
    struct transfer *t = arg;
    size_t len = size * count;
    if (!is_wanted(t))
        return len; /* what a server says about its error */
    if (!t->begun && !begin_body(t))
        return 0;
    if (!intake_add(t->intake, bytes, len, &t->no_memory))
        return 0;
    /* Enough of a server that does not know Range. */
    bool enough = t->head.status == 200 && intake_full(t->intake);
    return enough && t->intake->region.len != t->total ? 0 : len;
}

static size_t on_upload(char *room, size_t size, size_t count, void *arg) {
    struct transfer *t = arg;
    size_t len = size * count, left = t->upload_len - t->upload_at;
    if (len > left)
        len = left;
    memcpy(room, t->upload + t->upload_at, len);
    t->upload_at += len;
    return len;
}

/* A redirection, or a connection that was closed meanwhile, wants it again. */
static int on_seek(void *arg, curl_off_t offset, int origin) {
    struct transfer *t = arg;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > t->upload_len)
        return CURL_SEEKFUNC_FAIL;
    t->upload_at = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

static int on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up) {
    const struct transfer *t = arg;
    (void)down_total, (void)down, (void)up_total, (void)up;
    return is_cancelled(t->http);
}

/* --- one try -----------------------------------------------------------------------------------
 */

/* X(option, value) of every transfer. PROTOCOLS has a new name in later libraries; all know this.
 */
#define WEB_ONLY (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS)
#define COMMON_OPTIONS(X)                                                                          \
    X(CURLOPT_URL, t->url)                                                                         \
    X(CURLOPT_NOSIGNAL, 1L)                                                                        \
    X(CURLOPT_FOLLOWLOCATION, 1L)                                                                  \
    X(CURLOPT_MAXREDIRS, (long)REDIRECTS)                                                          \
    X(CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S)                                                     \
    X(CURLOPT_LOW_SPEED_LIMIT, 1L)                                                                 \
    X(CURLOPT_LOW_SPEED_TIME, t->upload ? (long)SILENT_PUT_S : (long)SILENT_GET_S)                 \
    X(CURLOPT_USERAGENT, "distcomp")                                                               \
    X(CURLOPT_ERRORBUFFER, t->http->message)                                                       \
    X(CURLOPT_HEADERFUNCTION, on_header)                                                           \
    X(CURLOPT_HEADERDATA, t)                                                                       \
    X(CURLOPT_WRITEFUNCTION, on_body)                                                              \
    X(CURLOPT_WRITEDATA, t)                                                                        \
    X(CURLOPT_NOPROGRESS, 0L)                                                                      \
    X(CURLOPT_XFERINFOFUNCTION, on_progress)                                                       \
    X(CURLOPT_XFERINFODATA, t)                                                                     \
    X(CURLOPT_PROTOCOLS, WEB_ONLY)
#define PUT_OPTIONS(X)                                                                             \
    X(CURLOPT_UPLOAD, 1L)                                                                          \
    X(CURLOPT_READFUNCTION, on_upload)                                                             \
    X(CURLOPT_READDATA, t)                                                                         \
    X(CURLOPT_SEEKFUNCTION, on_seek)                                                               \
    X(CURLOPT_SEEKDATA, t)                                                                         \
    X(CURLOPT_INFILESIZE_LARGE, (curl_off_t)t->upload_len)
#define SET(option, value) code = code == CURLE_OK ? lib->easy_setopt(curl, option, value) : code;

/* Whom to trust is in the environment where curl(1) looks for it, too. */
static CURLcode set_trust(const struct http *http) {
    const char *file = getenv("CURL_CA_BUNDLE"), *directory = NULL;
    CURLcode code = CURLE_OK;
    if (!file || !*file) {
        file = getenv("SSL_CERT_FILE");
        directory = getenv("SSL_CERT_DIR");
    }
    if (file && *file)
        code = http->lib->easy_setopt(http->curl, CURLOPT_CAINFO, file);
    if (code == CURLE_OK && directory && *directory)
        code = http->lib->easy_setopt(http->curl, CURLOPT_CAPATH, directory);
    return code == CURLE_NOT_BUILT_IN ? CURLE_OK : code; /* some TLS libraries know no directory */
}

static CURLcode set_options(struct transfer *t) {
    const struct curllib *lib = t->http->lib;
    CURL *curl = t->http->curl;
    CURLcode code = CURLE_OK;
    lib->easy_reset(curl);
    t->http->message[0] = '\0';
    COMMON_OPTIONS(SET)
    if (t->upload) {
        PUT_OPTIONS(SET)
    }
    return code == CURLE_OK ? set_trust(t->http) : code;
}

/* The rest of what is there already, or the part that is wanted. */
static CURLcode ask_for_range(struct transfer *t, struct curl_slist **headers) {
    const struct curllib *lib = t->http->lib;
    struct intake *intake = t->intake;
    struct buf text = BUF_INIT;
    if (intake->region.len && !t->validator[0])
        intake->region.len = 0; /* nothing tells whether it would still be the same */
    size_t from = intake->region.len;
    if (from) {
        buf_addf(&text, "If-Range: %s", t->validator);
        *headers = lib->slist_append(NULL, text.data);
        buf_clear(&text);
    }
    buf_addf(&text, "%zu-", from);
    if (intake->most != SIZE_MAX)
        buf_addf(&text, "%zu", intake->most - 1);
    bool part = from || intake->most != SIZE_MAX;
    CURLcode code =
        part && !t->refused ? lib->easy_setopt(t->http->curl, CURLOPT_RANGE, text.data) : CURLE_OK;
    if (code == CURLE_OK && *headers)
        code = lib->easy_setopt(t->http->curl, CURLOPT_HTTPHEADER, *headers);
    buf_free(&text);
    return code;
}

/* TLS libraries write to connections that are closed without a thought of SIGPIPE. */
static CURLcode perform_quietly(const struct http *http) {
    sigset_t pipe, old, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &old);
    CURLcode code = http->lib->easy_perform(http->curl);
    if (!sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe, NULL, &(struct timespec){0}) == SIGPIPE)
            ;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return code;
}

static CURLcode perform(struct transfer *t) {
    struct curl_slist *headers = NULL;
    CURLcode code = set_options(t);
    if (t->refused && t->intake)
        t->intake->region.len = 0; /* and no Range: the whole of it */
    if (code == CURLE_OK && t->intake)
        code = ask_for_range(t, &headers);
    httphead_clear(&t->head);
    t->begun = t->refused = false;
    t->upload_at = 0;
    if (code == CURLE_OK)
        code = perform_quietly(t->http);
    t->http->lib->slist_free_all(headers);
    if (code == CURLE_OK && is_wanted(t) && !t->begun)
        begin_body(t); /* an empty one */
    return code;
}

/* --- what became of it -------------------------------------------------------------------------
 */

enum verdict { DONE, PASSES, FAILED };

static enum verdict judge_code(CURLcode code) {
    switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_AGAIN:
    case CURLE_HTTP2_STREAM:
        return PASSES;
    default:
        return FAILED;
    }
}

static enum verdict judge_status(const struct transfer *t) {
    static const unsigned passing[] = {408, 425, 429, 500, 502, 503, 504};
    unsigned status = t->head.status;
    if (t->upload && status >= 200 && status < 300)
        return DONE;
    if (is_wanted(t)) {
        size_t want = t->intake->most < t->total ? t->intake->most : (size_t)t->total;
        bool known = t->total != HTTPHEAD_UNKNOWN;
        return !known || t->intake->region.len == want ? DONE : PASSES;
    }
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        if (status == passing[i])
            return PASSES;
    return FAILED;
}

static enum verdict judge(struct transfer *t, CURLcode code) {
    if (t->no_memory.len || is_cancelled(t->http))
        return FAILED;
    if (t->refused)
        return PASSES;
    if (t->head.status == 416 && t->intake) {
        /* Shorter than it was, or empty; the next try asks for all of it. */
        t->refused = true;
        return PASSES;
    }
    if (code == CURLE_WRITE_ERROR && t->begun && intake_full(t->intake))
        return DONE; /* on_body had enough */
    return code == CURLE_OK ? judge_status(t) : judge_code(code);
}

/* libcurl's own words, unless it should quote the URL's password. */
static const char *words(const struct transfer *t, CURLcode code) {
    const char *host = strstr(t->url, "://"), *message = t->http->message;
    size_t len = host ? strcspn(host + 3, "/?#") : 0;
    if (!*message || (host && memchr(host + 3, '@', len) && strchr(message, '@')))
        return t->http->lib->easy_strerror(code);
    return message;
}

static void explain(const struct transfer *t, CURLcode code, unsigned tries, struct buf *error) {
    const char *doing = t->upload ? "written" : "read";
    if (t->no_memory.len)
        buf_add(error, t->no_memory.data, t->no_memory.len);
    else if (is_cancelled(t->http))
        buf_addf(error, "was not %s: the task was cancelled", doing);
    else if (code == CURLE_OK && !is_wanted(t))
        buf_addf(error, "cannot be %s: the server answered %u%s%s", doing, t->head.status,
                 t->head.reason[0] ? " " : "", t->head.reason);
    else if (code == CURLE_OK || t->refused)
        buf_addf(error, "cannot be %s: the server gave another part than it was asked for", doing);
    else
        buf_addf(error, "cannot be %s: %s", doing, words(t, code));
    if (tries > 1)
        buf_addf(error, " (tried %u times)", tries);
}

/* --- all tries ---------------------------------------------------------------------------------
 */

/* Not all workers that lost one server are to come back at the same moment. */
static int64_t spread(int64_t ms) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return ms + ms * (now.tv_nsec / 1000 % 256) / 1024;
}

static void wait_before(const struct transfer *t, unsigned retry) {
    int64_t ms = spread((int64_t)BACKOFF_MS << retry);
    if (t->head.retry_after_ms)
        ms = t->head.retry_after_ms < WAIT_MOST_MS ? (int64_t)t->head.retry_after_ms : WAIT_MOST_MS;
    mono_ms_t end = mono_after(mono_now(), ms);
    while (mono_diff(end, mono_now()) > 0 && !is_cancelled(t->http))
        poll(NULL, 0, LOOK_MS);
}

static bool run(struct transfer *t, struct buf *error) {
    unsigned tries = 0, retry = 0;
    size_t furthest = 0;
    for (;;) {
        CURLcode code = perform(t);
        enum verdict verdict = judge(t, code);
        tries++;
        if (verdict == DONE)
            return true;
        if (t->intake && t->intake->region.len >= furthest + PROGRESS_BYTES) {
            furthest = t->intake->region.len;
            retry = 0;
        }
        if (verdict == FAILED || retry == RETRIES) {
            explain(t, code, tries, error);
            return false;
        }
        wait_before(t, retry++);
    }
}

bool http_get(struct http *http, const char *url, struct intake *intake, struct buf *error) {
    struct transfer t = {.http = http,
                         .url = url,
                         .intake = intake,
                         .total = HTTPHEAD_UNKNOWN,
                         .no_memory = BUF_INIT};
    bool ok = http_ready(http, error) && intake_start(intake, UINT64_MAX, error) && run(&t, error);
    buf_free(&t.no_memory);
    return ok;
}

bool http_put(struct http *http, const char *url, const void *bytes, size_t len,
              struct buf *error) {
    struct transfer t = {.http = http,
                         .url = url,
                         .total = HTTPHEAD_UNKNOWN,
                         .no_memory = BUF_INIT,
                         .upload = bytes ? bytes : "",
                         .upload_len = len};
    bool ok = http_ready(http, error) && run(&t, error);
    buf_free(&t.no_memory);
    return ok;
}
