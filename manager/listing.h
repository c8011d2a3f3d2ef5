/*
 * listing.h - the selected tasks of some states, state by state, in pages; for checkTask and
 * exportTask.
 */
#ifndef DISTCOMP_MANAGER_LISTING_H
#define DISTCOMP_MANAGER_LISTING_H

#include "common/store.h"
#include "manager/select.h"

struct listing {
    struct store *store;
    const struct select *select;
    const struct store_counts *counts; /* states with none are not looked for */
    unsigned with;                     /* STORE_WITH_* */
    bool newest;                       /* finished ones: the last to finish first, else last */
};

/*
 * Calls each for every selected task of these states (bits), until it returns false: todo as they
 * will be claimed, delayed by due time, waiting, held, in progress, finished, failed, cancelled.
 * With ids in `select`, in their order whatever their states. A task that changes state meanwhile
 * may be missed or seen in both. Held and cancelled tasks have no index: finding them reads all
 * tasks. False: an error.
 */
bool listing_walk(const struct listing *listing, uint32_t states, store_each *each, void *arg,
                  struct buf *error);

#endif
