/* store_family.c - families of tasks and what memory they took (docs/memory.md). */
#include <string.h>

#include "common/storecmd.h"

#define FAMILIES_PAGE 100

static bool is_field(struct slice name, const char *wanted) {
    return name.len == strlen(wanted) && memcmp(name.data, wanted, name.len) == 0;
}

/* False: it was forgotten meanwhile. */
static bool read_family(const redisReply *digest, const redisReply *hash,
                        struct store_family *family) {
    *family = (struct store_family){.peaks = PEAKS_INIT};
    family->digest = reply_slice(digest);
    for (size_t i = 0; i + 1 < hash->elements; i += 2) {
        struct slice name = reply_slice(reply_at(hash, i));
        struct slice value = reply_slice(reply_at(hash, i + 1));
        if (is_field(name, "key"))
            family->key = value;
        else if (is_field(name, "request"))
            family->request_bytes = reply_number(reply_at(hash, i + 1));
        else if (is_field(name, "seen"))
            family->seen_ms = reply_number(reply_at(hash, i + 1));
        else
            (void)peaks_read_field(&family->peaks, name.data, name.len, value.data, value.len);
    }
    return family->key.len > 0 && family->peaks.count > 0;
}

static bool walk_page(struct store *store, redisReply *const *digests, size_t count,
                      store_each_family *each, void *arg, bool *go_on, struct buf *error) {
    redisReply *hashes[FAMILIES_PAGE];
    for (size_t i = 0; i < count; i++) {
        store_cmd(store, "HGETALL");
        store_cmd_key(store, KEY_FAMILY, digests[i]->str);
        if (!store_send(store, error))
            return false;
    }
    if (!store_replies(store, hashes, count, error))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct store_family family;
        if (*go_on && read_family(digests[i], hashes[i], &family))
            *go_on = each(&family, arg);
        freeReplyObject(hashes[i]);
    }
    return true;
}

bool store_walk_families(struct store *store, uint64_t most, store_each_family *each, void *arg,
                         struct buf *error) {
    store_cmd(store, "ZREVRANGE");
    store_cmd_key(store, KEY_FAMILIES, NULL);
    cmd_adds(&store->cmd, "0");
    cmd_addi(&store->cmd, most ? (int64_t)most - 1 : -1);
    redisReply *digests = store_run(store, error);
    if (!digests)
        return false;
    bool ok = true, go_on = true;
    for (size_t at = 0; ok && go_on && at < digests->elements; at += FAMILIES_PAGE) {
        size_t left = digests->elements - at;
        ok = walk_page(store, digests->element + at, left < FAMILIES_PAGE ? left : FAMILIES_PAGE,
                       each, arg, &go_on, error);
    }
    freeReplyObject(digests);
    return ok;
}
