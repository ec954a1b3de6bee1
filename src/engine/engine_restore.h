/* A ledger that begins with a snapshot: what the engine's state sync asks of the application, and what the others ask of it
 * while they do. Private to this room. */
#ifndef HM_ENGINE_RESTORE_H
#define HM_ENGINE_RESTORE_H

#include "engine_app.h"
#include "engine_snapshot.h"

/* Calls of the snapshot group only, but for new and free. The engine's own light client gives the state root that counts; it
 * comes with the offer. Nothing else that an offer or a chunk says is believed. */
struct engine_restore {
    struct hm_buf genesis; /* of the chain that is wanted; empty: no snapshot is taken */
    uint64_t initial_height;
    struct ledger_restore *under_way; /* NULL: none */
    bool there_already; /* the ledger is what is offered: a crash came before the engine knew */
    uint32_t chunks, left;
    uint8_t *taken; /* a bit a chunk */
    struct hm_buf plain;
};

/* HM_EINVAL: an app_state that is none. */
int engine_restore_new(const struct engine_cometbft_options *options, struct engine_restore **out,
                       struct hm_error *error);
void engine_restore_free(struct engine_restore *restore); /* NULL is fine */

/* Handlers of the application. */
int engine_restore_list(void *app, struct hm_arena *arena,
                        Hypermesh__Abci__ResponseListSnapshots *answer, struct hm_error *error);
int engine_restore_load(void *app, const Hypermesh__Abci__RequestLoadSnapshotChunk *request,
                        struct hm_arena *arena, Hypermesh__Abci__ResponseLoadSnapshotChunk *answer,
                        struct hm_error *error);
int engine_restore_offer(void *app, const Hypermesh__Abci__RequestOfferSnapshot *request,
                         struct hm_arena *arena, Hypermesh__Abci__ResponseOfferSnapshot *answer,
                         struct hm_error *error);
int engine_restore_apply(void *app, const Hypermesh__Abci__RequestApplySnapshotChunk *request,
                         struct hm_arena *arena,
                         Hypermesh__Abci__ResponseApplySnapshotChunk *answer,
                         struct hm_error *error);

#endif
