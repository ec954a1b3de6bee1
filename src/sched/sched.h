/* sched: chooses which assets a job leases. Pure functions over a snapshot: same input, same choice.
 *
 * Never: reads the ledger, a clock or a random source.
 * Start reading with sched_place. */
#ifndef HM_SCHED_H
#define HM_SCHED_H

#include "base.h"
#include "wire.h"

#define SCHED_ITEMS_MAX  16
#define SCHED_ASSETS_MAX 100000 /* in a snapshot */

struct sched_snapshot {
    Hypermesh__Asset *const *assets; /* active ones, any order */
    size_t count;
    /* May the consumer lease it, as far as its owner's privacy goes? The ledger's word: it alone knows
     * networks and peers. */
    bool (*admits)(void *ctx, const Hypermesh__Asset *asset);
    void *admits_ctx;
    uint32_t default_max_leases; /* params.max_leases_per_asset */
    uint64_t default_max_duration_ms; /* params.max_lease_ms */
    uint64_t grace_ms; /* a lease lasts the spec's timeout and this much */
    uint32_t pids_per_slot; /* processes that one container slot allows, > 0 */
    /* Smallest share of an asset that holds an amount of its unit: the adapters' function. */
    int (*share_for)(const Hypermesh__Asset *asset, uint64_t amount, uint32_t *share_ppm,
                     struct hm_error *error);
};

struct sched_item {
    const Hypermesh__Asset *asset; /* borrowed from the snapshot */
    uint32_t share_ppm;
};

struct sched_placement {
    struct sched_item items[SCHED_ITEMS_MAX];
    size_t count;
    uint64_t cost; /* HYPER base units for the whole duration */
};

/* One provider's assets that together hold what the spec asks: CPU, memory, storage, a container slot,
 * GPU when wanted. The cheapest provider wins; ties go to the lower account id, and of one provider's
 * assets to the lower asset id. HM_EUNAVAILABLE says what was short on the closest provider, HM_EFUNDS when
 * the cheapest costs more than spec->max_price, HM_ELIMIT past SCHED_ASSETS_MAX, HM_ENOMEM (it sorts a list
 * of pointers to the assets). */
int sched_place(const struct sched_snapshot *snapshot, const Hypermesh__JobSpec *spec,
                struct sched_placement *out, struct hm_error *error);

#endif
