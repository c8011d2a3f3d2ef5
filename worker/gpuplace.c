#include "worker/gpuplace.h"

#include <inttypes.h>
#include <string.h>

static uint64_t minus(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

void gpuplace_init(struct gpuplace *place, const struct gpu *cards, size_t count) {
    *place = (struct gpuplace){.count = count < GPUS_MAX ? count : GPUS_MAX};
    for (size_t i = 0; i < place->count; i++)
        place->cards[i].was_empty = true;
    gpuplace_observe(place, cards);
}

static void observe(struct gpuplace_card *card, const struct gpu *now) {
    uint64_t used = now->mem_used_bytes, least = minus(used, card->promised_bytes);
    card->total_bytes = now->mem_total_bytes;
    card->lost = now->lost;
    if (card->tasks) {
        card->foreign_bytes = card->empty_bytes < least  ? least
                              : card->empty_bytes > used ? used
                                                         : card->empty_bytes;
        return;
    }
    card->foreign_bytes = used;
    /* Right after a task the reading may still have some of it. */
    if (card->was_empty)
        card->empty_bytes = used;
    card->was_empty = true;
}

void gpuplace_observe(struct gpuplace *place, const struct gpu *cards) {
    for (size_t i = 0; i < place->count; i++)
        observe(&place->cards[i], &cards[i]);
}

bool gpu_request_none(const struct gpu_request *request) {
    return request->milli == 0 && request->mem_bytes == 0;
}

/* What the request would be promised on this card. */
static uint64_t memory_of(const struct gpuplace_card *card, const struct gpu_request *request) {
    if (request->milli >= GPUPLACE_WHOLE)
        return card->total_bytes;
    if (request->mem_bytes)
        return request->mem_bytes;
    return card->total_bytes / GPUPLACE_WHOLE * request->milli;
}

/* What is left to a request that names its memory, and to one that does not. */
static uint64_t memory_left(const struct gpuplace_card *card, bool named) {
    bool overlook = !named && card->foreign_bytes <= card->total_bytes / GPUPLACE_OVERLOOK;
    return minus(minus(card->total_bytes, card->promised_bytes),
                 overlook ? 0 : card->foreign_bytes);
}

static bool fits(const struct gpuplace_card *card, const struct gpu_request *request) {
    if (card->lost || card->whole)
        return false;
    uint64_t left = memory_left(card, request->mem_bytes > 0);
    if (request->milli < GPUPLACE_WHOLE)
        return card->promised_milli + request->milli <= GPUPLACE_WHOLE &&
               memory_of(card, request) <= left;
    return card->tasks == 0 &&
           (request->mem_bytes ? request->mem_bytes <= left : left == card->total_bytes);
}

/* Whether a is the better place: the fuller one, by share, then by memory. For whole cards, where
 * nothing is promised, that is the one with the least memory left. */
static bool better(const struct gpuplace_card *a, const struct gpuplace_card *b) {
    if (a->promised_milli != b->promised_milli)
        return a->promised_milli > b->promised_milli;
    return memory_left(a, true) < memory_left(b, true);
}

static size_t cards_wanted(const struct gpu_request *request) {
    if (gpu_request_none(request))
        return 0;
    return request->milli <= GPUPLACE_WHOLE
               ? 1
               : ((size_t)request->milli + GPUPLACE_WHOLE - 1) / GPUPLACE_WHOLE;
}

static void add_card(const struct gpuplace *place, const struct gpu_request *request, size_t i,
                     struct gpu_grant *grant) {
    grant->whole = request->milli >= GPUPLACE_WHOLE;
    grant->milli = grant->whole ? GPUPLACE_WHOLE : request->milli;
    grant->mem_bytes = memory_of(&place->cards[i], request);
    grant->cards[grant->count++] = (uint8_t)i;
}

bool gpuplace_choose(const struct gpuplace *place, const struct gpu_request *request,
                     struct gpu_grant *grant) {
    size_t wanted = cards_wanted(request);
    bool taken[GPUS_MAX] = {false};
    *grant = (struct gpu_grant){.count = 0};
    while (grant->count < wanted) {
        size_t best = place->count;
        for (size_t i = 0; i < place->count; i++)
            if (!taken[i] && fits(&place->cards[i], request) &&
                (best == place->count || better(&place->cards[i], &place->cards[best])))
                best = i;
        if (best == place->count) {
            *grant = (struct gpu_grant){.count = 0};
            return false;
        }
        taken[best] = true;
        add_card(place, request, best, grant);
    }
    return true;
}

bool gpuplace_possible(const struct gpuplace *place, const struct gpu_request *request) {
    struct gpuplace empty = *place;
    struct gpu_grant grant;
    for (size_t i = 0; i < empty.count; i++)
        empty.cards[i] = (struct gpuplace_card){.total_bytes = place->cards[i].total_bytes,
                                                .lost = place->cards[i].lost};
    return gpuplace_choose(&empty, request, &grant);
}

void gpuplace_take(struct gpuplace *place, const struct gpu_grant *grant) {
    for (size_t i = 0; i < grant->count; i++) {
        struct gpuplace_card *card = &place->cards[grant->cards[i]];
        card->promised_bytes += grant->whole ? card->total_bytes : grant->mem_bytes;
        card->promised_milli += grant->milli;
        card->whole = card->whole || grant->whole;
        card->was_empty = false;
        card->tasks++;
    }
}

void gpuplace_release(struct gpuplace *place, const struct gpu_grant *grant) {
    for (size_t i = 0; i < grant->count; i++) {
        struct gpuplace_card *card = &place->cards[grant->cards[i]];
        bool last = card->tasks <= 1;
        card->tasks -= card->tasks > 0;
        card->promised_bytes = last ? 0 : minus(card->promised_bytes, grant->mem_bytes);
        card->promised_milli = last ? 0 : (uint32_t)minus(card->promised_milli, grant->milli);
        card->whole = card->whole && !last;
    }
}

static size_t find_uuid(const struct gpu *cards, size_t count, const char *uuid, size_t len) {
    for (size_t i = 0; i < count; i++)
        if (strlen(cards[i].uuid) == len && memcmp(cards[i].uuid, uuid, len) == 0)
            return i;
    return count;
}

bool gpuplace_adopt(struct gpuplace *place, const struct gpu_request *request,
                    const struct gpu *cards, const char *uuids, struct gpu_grant *grant) {
    *grant = (struct gpu_grant){.count = 0};
    const char *at = uuids;
    while (*at && grant->count < GPUS_MAX) {
        size_t len = strcspn(at, ","), i = find_uuid(cards, place->count, at, len);
        if (i == place->count) {
            *grant = (struct gpu_grant){.count = 0};
            return false;
        }
        add_card(place, request, i, grant);
        at += len + (at[len] == ',');
    }
    gpuplace_take(place, grant);
    /* What is used now has this task's own in it: nobody has seen the card empty. */
    for (size_t i = 0; i < grant->count; i++)
        place->cards[grant->cards[i]].empty_bytes = 0;
    return true;
}

void gpu_grant_uuids(const struct gpu_grant *grant, const struct gpu *cards, struct buf *out) {
    for (size_t i = 0; i < grant->count; i++)
        buf_addf(out, "%s%s", i ? "," : "", cards[grant->cards[i]].uuid);
}

void gpuplace_add_free(const struct gpuplace *place, struct buf *out) {
    for (size_t i = 0; i < place->count; i++) {
        const struct gpuplace_card *card = &place->cards[i];
        bool offered = !card->lost && !card->whole;
        buf_addf(out, "%s%u:%" PRIu64 ":%" PRIu64 ":%" PRIu64 ":%d", i ? "," : "",
                 offered ? GPUPLACE_WHOLE - card->promised_milli : 0,
                 offered ? memory_left(card, true) : 0, offered ? memory_left(card, false) : 0,
                 card->total_bytes, offered && card->tasks == 0);
    }
}
