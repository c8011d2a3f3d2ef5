/*
 * endpoint.h - where a Redis is and how to log in. Needs no connection; any thread.
 */
#ifndef DISTCOMP_ENDPOINT_H
#define DISTCOMP_ENDPOINT_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/config.h"

struct endpoint {
    char *path;        /* of a unix socket, or "" */
    char *host;        /* or "" when there is a path */
    int port;          /* 0 when there is a path */
    char *user, *pass; /* "" for none */
    int db;
    const char *origin; /* what named it, static: "--redis", "conf.json", "redis.sh", "default" */
};

/*
 * Fills an uninitialised endpoint from a URL: redis://[user:password@]host[:port][/db] or
 * unix://[user:password@]/path[?db=N], with %XX where a character would be read as something else.
 * The error never shows a password. endpoint_free in any case.
 */
bool endpoint_parse(struct endpoint *endpoint, const char *url, struct buf *error);

/*
 * What the settings mean: `redis` or `redis_host`, whichever came from the stronger source (`redis`
 * when they came from the same); redis_pass and redis_db complete a URL that has none. With
 * neither, and no redis_port: the Redis that redis.sh started for this user on this machine, else
 * 127.0.0.1:6379. Call it again before each reconnect: redis.sh may have started another one.
 */
bool endpoint_from_config(struct endpoint *endpoint, const struct config *config,
                          struct buf *error);

void endpoint_free(struct endpoint *endpoint);
void endpoint_copy(struct endpoint *to, const struct endpoint *from);

/* Appends it as a URL, without user and password. */
void endpoint_show(const struct endpoint *endpoint, struct buf *out);

/*
 * The file in which redis.sh says where its Redis is: RUN_DIR/.redis/redis.env, lines key=value
 * with the keys socket, host, port, pass. It is believed only when it belongs to this user and
 * nobody else can write it. Appends the path.
 */
void endpoint_embedded_file(struct buf *out);

#endif
