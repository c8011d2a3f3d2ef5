/*
 * endpoint.h - where a Redis is and how to log in. Needs no connection; any thread.
 */
#ifndef DISTCOMP_ENDPOINT_H
#define DISTCOMP_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/config.h"

#define ENDPOINT_SENTINELS_MOST 16

struct endpoint_sentinel {
    char *host;
    int port;
};

struct endpoint {
    char *path;        /* of a unix socket, or "" */
    char *host;        /* or "": there is a path, or the Sentinels were not asked yet */
    int port;          /* 0 without a host */
    char *user, *pass; /* "" for none */
    int db;
    char *
        master; /* its name with the Sentinels, who know host and port (common/sentinel.h), or "" */
    struct endpoint_sentinel *sentinels; /* owned; NULL without a master */
    size_t sentinel_count;
    char *sentinel_user, *sentinel_pass; /* for the Sentinels themselves; "" for none */
    const char *origin; /* what named it, static: "--redis", "conf.json", "redis.sh", "default" */
};

/*
 * Fills an uninitialised endpoint from a URL, with %XX where a character would be read as something
 * else: redis://[user:password@]host[:port][/db], unix://[user:password@]/path[?db=N], or
 * sentinel://[user:password@]host[:port],host[:port].../mastername[/db], whose login is for the
 * Sentinels. The error never shows a password. endpoint_free in any case.
 */
bool endpoint_parse(struct endpoint *endpoint, const char *url, struct buf *error);

/*
 * What the settings mean: `redis` or `redis_host`, whichever came from the stronger source (`redis`
 * when they came from the same); redis_pass, sentinel_pass and redis_db complete a URL that has
 * none. With neither, and no redis_port: the Redis that redis.sh started for this user on this
 * machine, else 127.0.0.1:6379. Call it again before each reconnect: redis.sh may have started
 * another one.
 */
bool endpoint_from_config(struct endpoint *endpoint, const struct config *config,
                          struct buf *error);

void endpoint_free(struct endpoint *endpoint);
void endpoint_copy(struct endpoint *to, const struct endpoint *from);

/* True when only its Sentinels know where it is, and have not been asked. */
bool endpoint_is_unknown(const struct endpoint *endpoint);
/* What they said: where the master is now. */
void endpoint_locate(struct endpoint *endpoint, const char *host, int port);

/* Appends it as a URL, without user and password: what is connected to, or when that is unknown as
 * endpoint_show_sentinels does. */
void endpoint_show(const struct endpoint *endpoint, struct buf *out);
void endpoint_show_sentinels(const struct endpoint *endpoint, struct buf *out);

/* Appends it as endpoint_parse reads it, login included: not for people. False, and nothing is
 * appended, when only its Sentinels know where it is. */
bool endpoint_add_url(const struct endpoint *endpoint, struct buf *out);

/*
 * The file in which redis.sh says where its Redis is: RUN_DIR/.redis/redis.env, lines key=value
 * with the keys socket, host, port, pass. It is believed only when it belongs to this user and
 * nobody else can write it. Appends the path.
 */
void endpoint_embedded_file(struct buf *out);

#endif
