#include "worker/agent_state.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* The cards, and a->gpus as it follows from the last reading. */
static const struct gpu *look(struct agent *a) {
    size_t count;
    bool fresh;
    const struct gpu *cards = machine_gpus(a->machine, &count, &fresh);
    if (!a->gpus) {
        a->gpus = xcalloc(1, sizeof *a->gpus);
        gpuplace_init(a->gpus, cards, count);
    } else if (fresh) {
        gpuplace_observe(a->gpus, cards);
    }
    return cards;
}

static void note_cards(struct placement *p, const struct gpu *cards) {
    struct buf uuids = BUF_INIT;
    gpu_grant_uuids(&p->grant, cards, &uuids);
    free(p->gpus);
    p->gpus = buf_detach(&uuids);
    p->card_count = p->grant.count;
    for (size_t i = 0; i < p->grant.count; i++)
        p->cards[i] = placement_card(cards[p->grant.cards[i]].uuid);
}

bool gpu_place(struct agent *a, struct run *run) {
    struct placement *p = run->placement;
    if (!p || gpu_request_none(&p->gpu) || p->grant.count)
        return true;
    const struct gpu *cards = look(a);
    if (!gpuplace_choose(a->gpus, &p->gpu, &p->grant))
        return p->gpu_optional;
    gpuplace_take(a->gpus, &p->grant);
    note_cards(p, cards);
    return true;
}

void gpu_free(struct agent *a, struct run *run) {
    struct placement *p = run->placement;
    if (!p || !p->grant.count)
        return;
    gpuplace_release(a->gpus, &p->grant);
    p->grant = (struct gpu_grant){.count = 0};
    p->card_count = 0;
    free(p->gpus);
    p->gpus = NULL;
    a->claim_wanted = true;
}

/* The UUIDs of the cards that the note tells of; false when one is not here. */
static bool cards_of_note(const struct placement *p, const struct gpu *cards, size_t count,
                          struct buf *uuids) {
    for (size_t i = 0; i < p->card_count; i++) {
        size_t at = 0;
        while (at < count && placement_card(cards[at].uuid) != p->cards[i])
            at++;
        if (at == count)
            return false;
        buf_addf(uuids, "%s%s", i ? "," : "", cards[at].uuid);
    }
    return true;
}

void gpu_adopt(struct agent *a) {
    const struct gpu *cards = NULL;
    for (struct run *run = a->runs.lists[RUN_STARTED].first; run; run = run->next) {
        struct placement *p = run->placement;
        if (!p || !p->card_count)
            continue;
        if (!cards)
            cards = look(a);
        struct buf uuids = BUF_INIT;
        if (cards_of_note(p, cards, a->gpus->count, &uuids) &&
            gpuplace_adopt(a->gpus, &p->gpu, cards, uuids.data, &p->grant))
            note_cards(p, cards);
        else
            log_event(LOG_WARN, "gpu_gone", kv_text("task", run->id));
        buf_free(&uuids);
    }
    if (cards)
        gpuplace_observe(a->gpus, cards);
}

void gpu_free_text(struct agent *a, struct buf *out) {
    look(a);
    gpuplace_add_free(a->gpus, out);
}

void gpu_stats(struct agent *a, json_t *stats) {
    const struct gpu *cards = look(a);
    json_t *list = a->gpus->count ? json_array() : NULL;
    for (size_t i = 0; i < a->gpus->count; i++)
        json_array_append_new(
            list,
            json_pack("[s, I, I, i, i, i]", cards[i].uuid, (json_int_t)cards[i].mem_used_bytes,
                      (json_int_t)cards[i].mem_total_bytes, cards[i].utilization_percent,
                      (int)a->gpus->cards[i].tasks, (int)a->gpus->cards[i].promised_milli));
    if (list)
        json_object_set_new(stats, "gpus", list);
}
