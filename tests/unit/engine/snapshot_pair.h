/* Two nodes of one chain in tests of snapshots: a giver that makes them, and a taker that is another machine, as far as it knows. */
#ifndef SNAPSHOT_PAIR_H
#define SNAPSHOT_PAIR_H

#include "cluster_script.h"

#define BLOCKS_BETWEEN 4
#define CHUNKS_MAX     64

typedef Hypermesh__Abci__ResponseApplySnapshotChunk apply_answer;

#define OFFER(name) HYPERMESH__ABCI__RESPONSE_OFFER_SNAPSHOT__RESULT__##name
#define APPLY(name) HYPERMESH__ABCI__RESPONSE_APPLY_SNAPSHOT_CHUNK__RESULT__##name

extern struct script giver, taker;
extern char pair_folder[64];
extern char *pair_snapshots; /* the giver's */
extern struct hm_buf pair_app_state;
extern struct store *taker_store;
extern struct hm_arena pair_arena;

/* A snapshot as the giver offers it. */
struct pair_offered {
    uint64_t height;
    const Hypermesh__Abci__Snapshot *snapshot;
    struct hm_slice chunks[CHUNKS_MAX];
    uint8_t app_hash[32];
};
extern struct pair_offered offered;

/* For cmocka: the giver runs, the taker is not there yet. */
int pair_setup(void **state);
int pair_teardown(void **state);

void giver_start(void);
uint64_t giver_pays(void); /* a block in which something is paid; its height */
void giver_idles(unsigned blocks);
/* One is made, and all of it is in `offered`; two blocks more, which the engine needs. */
void giver_offers(void);
void giver_offers_others(void); /* until it has none of those of before */

bool pair_is_there(uint64_t height);
void pair_wait_made(uint64_t height);
void pair_pause_a_little(void);
const Hypermesh__Abci__ResponseListSnapshots *pair_listed(void);
const Hypermesh__Abci__ResponseListSnapshots *pair_wait_listed(size_t count, uint64_t newest);
struct hm_slice pair_load(uint64_t height, uint32_t format, uint32_t index);

int taker_open_ledger(bool deferred); /* ledger_open's answer */
void taker_init(bool deferred);
void taker_start(void); /* its engine's store holds what the giver's has decided by now */
void taker_stop(void);
void taker_release(void);

/* The taker's answer, or its error. */
int pair_offer(const Hypermesh__Abci__Snapshot *snapshot, const uint8_t *app_hash,
               struct hm_error *error);
void pair_offer_good(void);
const apply_answer *pair_apply(uint32_t index, struct hm_slice chunk, const char *sender);
void pair_apply_good(uint32_t index);
void pair_apply_all(void);
/* Info names the snapshot's block; what came after it gives the same roots as at the giver. */
void taker_follows(void);

#endif
