#include "common/endpoint.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/units.h"

#define REDIS_PORT    6379
#define SENTINEL_PORT 26379
#define FORMS                                                                                      \
    "redis://[user:password@]host[:port][/db], unix:///path[?db=N], or "                           \
    "sentinel://[user:password@]host[:port],host[:port].../mastername[/db]"

static void start(struct endpoint *endpoint, const char *origin) {
    *endpoint = (struct endpoint){.path = xstrdup(""),
                                  .host = xstrdup(""),
                                  .user = xstrdup(""),
                                  .pass = xstrdup(""),
                                  .master = xstrdup(""),
                                  .sentinel_user = xstrdup(""),
                                  .sentinel_pass = xstrdup(""),
                                  .origin = origin};
}

void endpoint_free(struct endpoint *endpoint) {
    free(endpoint->path);
    free(endpoint->host);
    free(endpoint->user);
    free(endpoint->pass);
    free(endpoint->master);
    free(endpoint->sentinel_user);
    free(endpoint->sentinel_pass);
    for (size_t i = 0; i < endpoint->sentinel_count; i++) {
        free(endpoint->sentinels[i].host);
    }
    free(endpoint->sentinels);
    *endpoint = (struct endpoint){.origin = endpoint->origin};
}

void endpoint_copy(struct endpoint *to, const struct endpoint *from) {
    *to = *from;
    to->path = xstrdup(from->path);
    to->host = xstrdup(from->host);
    to->user = xstrdup(from->user);
    to->pass = xstrdup(from->pass);
    to->master = xstrdup(from->master);
    to->sentinel_user = xstrdup(from->sentinel_user);
    to->sentinel_pass = xstrdup(from->sentinel_pass);
    to->sentinels = NULL;
    if (from->sentinel_count > 0) {
        to->sentinels = xcalloc(from->sentinel_count, sizeof *to->sentinels);
    }
    for (size_t i = 0; i < from->sentinel_count; i++) {
        to->sentinels[i] = from->sentinels[i];
        to->sentinels[i].host = xstrdup(from->sentinels[i].host);
    }
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
static bool parse_login(char **user, char **pass, const char *login, size_t len) {
    const char *colon = memchr(login, ':', len);
    if (colon == NULL) {
        return put_decoded(pass, login, len);
    }
    size_t user_len = (size_t)(colon - login);
    return put_decoded(user, login, user_len) && put_decoded(pass, colon + 1, len - user_len - 1);
}

/* host, host:port, [IPv6] or [IPv6]:port. Replaces *host; *port keeps what it has without one. */
static const char *parse_host(char **host, int *port, const char *at, const char *end) {
    const char *port_at = NULL;
    if (at < end && *at == '[') {
        const char *close = memchr(at, ']', (size_t)(end - at));
        if (close == NULL) {
            return "the ']' of an IPv6 address is missing";
        }
        put(host, at + 1, (size_t)(close - at) - 1);
        if (close + 1 < end && close[1] != ':') {
            return "after ']' only :port or '/' may follow";
        }
        port_at = close + 1 < end ? close + 2 : NULL;
    } else {
        const char *colon = memchr(at, ':', (size_t)(end - at));
        put(host, at, (size_t)((colon != NULL ? colon : end) - at));
        port_at = colon != NULL ? colon + 1 : NULL;
    }
    if ((*host)[0] == '\0') {
        return "there is no host in it";
    }
    if (port_at != NULL && !parse_number(port_at, (size_t)(end - port_at), 1, 65535, port)) {
        return "the port is not a number from 1 to 65535";
    }
    return NULL;
}

/* What follows a '/': NULL when there was none. */
static const char *parse_db(struct endpoint *endpoint, const char *at, const char *end) {
    if (at != NULL && at < end && !parse_number(at, (size_t)(end - at), 0, 65535, &endpoint->db)) {
        return "the database after '/' is not a number from 0 to 65535";
    }
    return NULL;
}

static const char *parse_tcp(struct endpoint *endpoint, const char *at, size_t len) {
    const char *end = at + len;
    const char *slash = memchr(at, '/', len);
    endpoint->port = REDIS_PORT;
    const char *wrong =
        parse_host(&endpoint->host, &endpoint->port, at, slash != NULL ? slash : end);
    return wrong != NULL ? wrong : parse_db(endpoint, slash != NULL ? slash + 1 : NULL, end);
}

static const char *parse_sentinels(struct endpoint *endpoint, const char *at, const char *end) {
    endpoint->sentinels = xcalloc(ENDPOINT_SENTINELS_MOST, sizeof *endpoint->sentinels);
    for (;;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        if (endpoint->sentinel_count == ENDPOINT_SENTINELS_MOST) {
            return "it names more than 16 Sentinels";
        }
        struct endpoint_sentinel *sentinel = &endpoint->sentinels[endpoint->sentinel_count++];
        *sentinel = (struct endpoint_sentinel){xstrdup(""), SENTINEL_PORT};
        const char *wrong =
            parse_host(&sentinel->host, &sentinel->port, at, comma != NULL ? comma : end);
        if (wrong != NULL || comma == NULL) {
            return wrong;
        }
        at = comma + 1;
    }
}

/* The characters that Sentinel itself allows in the name of a master. */
static bool is_master_name(const char *name) {
    for (const char *c = name; *c != '\0'; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || *c == '.' || *c == '_' || *c == '-';
        if (!plain) {
            return false;
        }
    }
    return name[0] != '\0';
}

static const char *parse_sentinel(struct endpoint *endpoint, const char *at, size_t len) {
    const char *end = at + len;
    const char *slash = memchr(at, '/', len);
    if (slash == NULL || slash + 1 == end) {
        return "the name of the master is missing at its end, after a '/'";
    }
    const char *second = memchr(slash + 1, '/', (size_t)(end - slash) - 1);
    put(&endpoint->master, slash + 1, (size_t)((second != NULL ? second : end) - slash) - 1);
    if (!is_master_name(endpoint->master)) {
        return "the name of the master, after the first '/', is not made of letters, digits, '.', "
               "'_' and '-'";
    }
    const char *wrong = parse_sentinels(endpoint, at, slash);
    return wrong != NULL ? wrong : parse_db(endpoint, second != NULL ? second + 1 : NULL, end);
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

static const struct form {
    const char *scheme;
    const char *(*parse)(struct endpoint *endpoint, const char *at, size_t len);
} forms[] = {{"redis://", parse_tcp}, {"unix://", parse_unix}, {"sentinel://", parse_sentinel}};

static const struct form *find_form(const char *url) {
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (strncmp(url, forms[i].scheme, strlen(forms[i].scheme)) == 0) {
            return &forms[i];
        }
    }
    return NULL;
}

/* NULL, or what is wrong with it. */
static const char *parse_url(struct endpoint *endpoint, const char *url) {
    const struct form *form = find_form(url);
    if (strncmp(url, "rediss://", 9) == 0) {
        return "this build has no TLS; use redis:// through a tunnel (ssh -L, stunnel, WireGuard)";
    }
    if (form == NULL) {
        return "it begins with none of redis://, unix:// and sentinel://";
    }
    const char *rest = url + strlen(form->scheme), *end = url + strlen(url);
    bool local = form->parse == parse_unix, sentinel = form->parse == parse_sentinel;
    const char *login_end = strrchr(rest, '@'); /* a password with an '@' needs no escape */
    if (login_end != NULL && local && *rest == '/') {
        login_end = NULL; /* a path with an '@' */
    }
    if (login_end != NULL) {
        char **user = sentinel ? &endpoint->sentinel_user : &endpoint->user;
        char **pass = sentinel ? &endpoint->sentinel_pass : &endpoint->pass;
        if (!parse_login(user, pass, rest, (size_t)(login_end - rest))) {
            return "user or password has a '%' without two hexadecimal digits (write it %25)";
        }
        rest = login_end + 1;
    }
    return form->parse(endpoint, rest, (size_t)(end - rest));
}

bool endpoint_parse(struct endpoint *endpoint, const char *url, struct buf *error) {
    start(endpoint, "--redis");
    const char *wrong = parse_url(endpoint, url);
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
    if (endpoint->master[0] != '\0' && endpoint->sentinel_pass[0] == '\0') {
        put(&endpoint->sentinel_pass, config->sentinel_pass, strlen(config->sentinel_pass));
    }
    if (endpoint->db == 0) {
        endpoint->db = (int)config->redis_db;
    }
    return true;
}

bool endpoint_is_unknown(const struct endpoint *endpoint) {
    return endpoint->master[0] != '\0' && endpoint->host[0] == '\0';
}

void endpoint_locate(struct endpoint *endpoint, const char *host, int port) {
    put(&endpoint->host, host, strlen(host));
    endpoint->port = port;
}

static void show_host(struct buf *out, const char *host, int port) {
    bool brackets = strchr(host, ':') != NULL;
    buf_addf(out, "%s%s%s:%d", brackets ? "[" : "", host, brackets ? "]" : "", port);
}

void endpoint_show_sentinels(const struct endpoint *endpoint, struct buf *out) {
    for (size_t i = 0; i < endpoint->sentinel_count; i++) {
        buf_adds(out, i == 0 ? "sentinel://" : ",");
        show_host(out, endpoint->sentinels[i].host, endpoint->sentinels[i].port);
    }
    buf_addf(out, "/%s", endpoint->master);
    if (endpoint->db != 0) {
        buf_addf(out, "/%d", endpoint->db);
    }
}

void endpoint_show(const struct endpoint *endpoint, struct buf *out) {
    if (endpoint_is_unknown(endpoint)) {
        endpoint_show_sentinels(endpoint, out);
        return;
    }
    bool local = endpoint->path[0] != '\0';
    if (local) {
        buf_addf(out, "unix://%s", endpoint->path);
    } else {
        buf_adds(out, "redis://");
        show_host(out, endpoint->host, endpoint->port);
    }
    if (endpoint->db != 0) {
        buf_addf(out, local ? "?db=%d" : "/%d", endpoint->db);
    }
}

static void add_encoded(struct buf *out, const char *text, const char *plain) {
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool word = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (word || strchr(plain, c))
            buf_addc(out, *text);
        else
            buf_addf(out, "%%%02X", c);
    }
}

bool endpoint_add_url(const struct endpoint *endpoint, struct buf *out) {
    if (endpoint_is_unknown(endpoint))
        return false;
    bool local = endpoint->path[0] != '\0';
    buf_adds(out, local ? "unix://" : "redis://");
    if (endpoint->user[0] || endpoint->pass[0]) {
        add_encoded(out, endpoint->user, "-_.~");
        buf_addc(out, ':');
        add_encoded(out, endpoint->pass, "-_.~");
        buf_addc(out, '@');
    }
    if (local)
        add_encoded(out, endpoint->path, "-_.~/");
    else
        show_host(out, endpoint->host, endpoint->port);
    if (endpoint->db != 0)
        buf_addf(out, local ? "?db=%d" : "/%d", endpoint->db);
    return true;
}
