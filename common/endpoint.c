#include "common/endpoint.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/units.h"

#define DEFAULT_PORT 6379
#define FORMS        "redis://[user:password@]host[:port][/db] or unix:///path[?db=N]"

static void start(struct endpoint *endpoint, const char *origin) {
    *endpoint = (struct endpoint){.path = xstrdup(""),
                                  .host = xstrdup(""),
                                  .user = xstrdup(""),
                                  .pass = xstrdup(""),
                                  .origin = origin};
}

void endpoint_free(struct endpoint *endpoint) {
    free(endpoint->path);
    free(endpoint->host);
    free(endpoint->user);
    free(endpoint->pass);
    *endpoint = (struct endpoint){.origin = endpoint->origin};
}

void endpoint_copy(struct endpoint *to, const struct endpoint *from) {
    *to = *from;
    to->path = xstrdup(from->path);
    to->host = xstrdup(from->host);
    to->user = xstrdup(from->user);
    to->pass = xstrdup(from->pass);
}

static void put(char **text, const char *bytes, size_t len) {
    free(*text);
    *text = xstrndup(bytes, len);
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Replaces *text by the bytes with %XX decoded; false for a malformed one or a NUL. */
static bool put_decoded(char **text, const char *bytes, size_t len) {
    char *decoded = xmalloc(len + 1);
    size_t used = 0;
    for (size_t i = 0; i < len; i++) {
        char c = bytes[i];
        if (c == '%') {
            int high = len - i > 2 ? hex_digit(bytes[i + 1]) : -1;
            int low = len - i > 2 ? hex_digit(bytes[i + 2]) : -1;
            if (high < 0 || low < 0 || high + low == 0) {
                free(decoded);
                return false;
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        decoded[used++] = c;
    }
    decoded[used] = '\0';
    free(*text);
    *text = decoded;
    return true;
}

static bool parse_number(const char *text, size_t len, uint64_t least, uint64_t most, int *number) {
    uint64_t value = 0;
    const char *expected;
    if (!units_parse_uint(text, len, least, most, &value, &expected)) {
        return false;
    }
    *number = (int)value;
    return true;
}

/* user:password, or :password, or password (as many tools write it). */
static bool parse_login(struct endpoint *endpoint, const char *login, size_t len) {
    const char *colon = memchr(login, ':', len);
    if (colon == NULL) {
        return put_decoded(&endpoint->pass, login, len);
    }
    size_t user_len = (size_t)(colon - login);
    return put_decoded(&endpoint->user, login, user_len) &&
           put_decoded(&endpoint->pass, colon + 1, len - user_len - 1);
}

static const char *parse_tcp(struct endpoint *endpoint, const char *at, size_t len) {
    const char *end = at + len;
    const char *slash = memchr(at, '/', len);
    const char *host_end = slash != NULL ? slash : end;
    const char *port = NULL;
    if (at < host_end && *at == '[') {
        const char *close = memchr(at, ']', (size_t)(host_end - at));
        if (close == NULL) {
            return "the ']' of an IPv6 address is missing";
        }
        put(&endpoint->host, at + 1, (size_t)(close - at) - 1);
        if (close + 1 < host_end && close[1] != ':') {
            return "after ']' only :port or /db may follow";
        }
        port = close + 1 < host_end ? close + 2 : NULL;
    } else {
        const char *colon = memchr(at, ':', (size_t)(host_end - at));
        put(&endpoint->host, at, (size_t)((colon != NULL ? colon : host_end) - at));
        port = colon != NULL ? colon + 1 : NULL;
    }
    endpoint->port = DEFAULT_PORT;
    if (endpoint->host[0] == '\0') {
        return "there is no host in it";
    }
    if (port != NULL && !parse_number(port, (size_t)(host_end - port), 1, 65535, &endpoint->port)) {
        return "the port is not a number from 1 to 65535";
    }
    if (slash != NULL && slash + 1 < end &&
        !parse_number(slash + 1, (size_t)(end - slash) - 1, 0, 65535, &endpoint->db)) {
        return "the database after '/' is not a number from 0 to 65535";
    }
    return NULL;
}

static const char *parse_unix(struct endpoint *endpoint, const char *at, size_t len) {
    const char *query = memchr(at, '?', len);
    size_t path_len = query != NULL ? (size_t)(query - at) : len;
    if (path_len < 2 || *at != '/' || !put_decoded(&endpoint->path, at, path_len)) {
        return "there is no absolute path in it";
    }
    if (strlen(endpoint->path) >= sizeof((struct sockaddr_un *)NULL)->sun_path) {
        return "the path is longer than a socket's may be (107 bytes)";
    }
    if (query != NULL &&
        (strncmp(query, "?db=", 4) != 0 ||
         !parse_number(query + 4, (size_t)(at + len - query) - 4, 0, 65535, &endpoint->db))) {
        return "after '?' only db=N may follow, N from 0 to 65535";
    }
    return NULL;
}

/* The URL with what may be a password left out. */
static void show_url(const char *url, struct buf *out) {
    const char *login = strstr(url, "://");
    const char *at = strrchr(url, '@');
    if (at == NULL) {
        buf_addf(out, "%.200s", url);
    } else if (login == NULL || login > at) {
        buf_addf(out, "***%.200s", at);
    } else {
        buf_addf(out, "%.*s://***%.200s", (int)(login - url > 20 ? 20 : login - url), url, at);
    }
}

bool endpoint_parse(struct endpoint *endpoint, const char *url, struct buf *error) {
    start(endpoint, "--redis");
    const char *wrong = NULL;
    const char *rest = strstr(url, "://");
    bool tcp = strncmp(url, "redis://", 8) == 0;
    bool local = strncmp(url, "unix://", 7) == 0;
    if (strncmp(url, "rediss://", 9) == 0) {
        wrong = "this build has no TLS; use redis:// through a tunnel (ssh -L, stunnel, WireGuard)";
    } else if (!tcp && !local) {
        wrong = "it begins with neither redis:// nor unix://";
    }
    if (wrong == NULL) {
        rest += 3;
        const char *end = url + strlen(url);
        const char *login_end = strrchr(rest, '@'); /* a password with an '@' needs no escape */
        if (login_end != NULL && local && *rest == '/') {
            login_end = NULL; /* a path with an '@' */
        }
        if (login_end != NULL) {
            if (!parse_login(endpoint, rest, (size_t)(login_end - rest))) {
                wrong = "user or password has a '%' without two hexadecimal digits (write it %25)";
            }
            rest = login_end + 1;
        }
        size_t len = (size_t)(end - rest);
        if (wrong == NULL) {
            wrong = tcp ? parse_tcp(endpoint, rest, len) : parse_unix(endpoint, rest, len);
        }
    }
    if (wrong != NULL) {
        buf_adds(error, "redis: '");
        show_url(url, error);
        buf_addf(error, "': %s; expected " FORMS, wrong);
    }
    return wrong == NULL;
}

void endpoint_embedded_file(struct buf *out) {
    config_run_dir(out);
    buf_adds(out, "/.redis/redis.env");
}

static bool set_embedded(struct endpoint *endpoint, const char *key, const char *value) {
    size_t len = strlen(value);
    if (strcmp(key, "socket") == 0) {
        put(&endpoint->path, value, len);
    } else if (strcmp(key, "host") == 0) {
        put(&endpoint->host, value, len);
    } else if (strcmp(key, "pass") == 0) {
        put(&endpoint->pass, value, len);
    } else if (strcmp(key, "port") == 0) {
        return parse_number(value, len, 1, 65535, &endpoint->port);
    }
    return true; /* a key of a newer redis.sh */
}

/* Reads redis.sh's file into a started endpoint; false, with path, host, port and pass as they may
 * be, when there is none to believe. */
static bool read_embedded(struct endpoint *endpoint) {
    struct buf path = BUF_INIT;
    endpoint_embedded_file(&path);
    int fd = open(path.data, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    buf_free(&path);
    if (fd < 0) {
        return false;
    }
    struct stat info;
    char text[4096];
    ssize_t len = -1;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == geteuid() &&
        (info.st_mode & (S_IWGRP | S_IWOTH)) == 0) {
        len = read(fd, text, sizeof text - 1);
    }
    close(fd);
    if (len <= 0) {
        return false;
    }
    text[len] = '\0';
    bool ok = true;
    char *next = NULL;
    for (char *line = strtok_r(text, "\n", &next); line != NULL && ok;
         line = strtok_r(NULL, "\n", &next)) {
        char *equals = strchr(line, '=');
        if (*line != '#' && equals != NULL) {
            *equals = '\0';
            ok = set_embedded(endpoint, line, equals + 1);
        }
    }
    if (endpoint->path[0] != '\0') {
        put(&endpoint->host, "", 0);
        endpoint->port = 0;
    }
    ok = ok && (endpoint->path[0] != '\0' || (endpoint->host[0] != '\0' && endpoint->port > 0));
    endpoint->origin = ok ? "redis.sh" : endpoint->origin;
    return ok;
}

static const char *origin_of(enum config_source source, const char *flag) {
    return source == CONFIG_FLAG   ? flag
           : source == CONFIG_ENV  ? "the environment"
           : source == CONFIG_FILE ? "conf.json"
                                   : "default";
}

bool endpoint_from_config(struct endpoint *endpoint, const struct config *config,
                          struct buf *error) {
    enum config_source url = config_source_of(config, "redis");
    enum config_source host = config_source_of(config, "redis_host");
    bool has_url = config->redis[0] != '\0';
    bool has_host = config->redis_host[0] != '\0';
    bool has_port = config_source_of(config, "redis_port") != CONFIG_DEFAULT;
    if (has_url && (!has_host || url >= host)) {
        bool ok = endpoint_parse(endpoint, config->redis, error);
        endpoint->origin = origin_of(url, "--redis");
        if (!ok) {
            return false;
        }
    } else {
        start(endpoint, has_host ? origin_of(host, "--redis_host") : "default");
        bool embedded = !has_host && !has_port && read_embedded(endpoint);
        if (!embedded) {
            const char *name = has_host ? config->redis_host : "127.0.0.1";
            put(&endpoint->host, name, strlen(name));
            put(&endpoint->path, "", 0);
            put(&endpoint->pass, "", 0);
            endpoint->port = (int)config->redis_port;
        }
    }
    if (config->redis_pass[0] != '\0' && endpoint->pass[0] == '\0') {
        put(&endpoint->pass, config->redis_pass, strlen(config->redis_pass));
    }
    if (endpoint->db == 0) {
        endpoint->db = (int)config->redis_db;
    }
    return true;
}

void endpoint_show(const struct endpoint *endpoint, struct buf *out) {
    if (endpoint->path[0] != '\0') {
        buf_addf(out, "unix://%s", endpoint->path);
        if (endpoint->db != 0) {
            buf_addf(out, "?db=%d", endpoint->db);
        }
        return;
    }
    bool brackets = strchr(endpoint->host, ':') != NULL;
    buf_addf(out, "redis://%s%s%s:%d", brackets ? "[" : "", endpoint->host, brackets ? "]" : "",
             endpoint->port);
    if (endpoint->db != 0) {
        buf_addf(out, "/%d", endpoint->db);
    }
}
