/* Which of the waiting batches a proposer considers, and in which order. */
#include "engine_app.h"

#include "engine_app_share.h"

/* Without notes, which are requests that ask for any block, and what does not fit: nothing may count on that it is there. As many as are
 * worth looking at. */
static size_t fair_cut(struct hm_slice *items, size_t count, size_t limit)
{
    size_t bytes = 0, kept = 0;

    /* Twice the room, for those that nobody pays for. */
    for (size_t i = 0; i < count && bytes / 2 <= limit && kept < LEDGER_BLOCK_MAX_ITEMS; i++)
        if (!ledger_item_is_note(items[i]) && abci_tx_bytes(items[i].len) <= limit) {
            bytes += items[i].len;
            items[kept++] = items[i];
        }
    return kept;
}

int engine_app_fair(struct engine_app *app, const Hypermesh__Abci__RequestPrepareProposal *request,
                    size_t limit, uint64_t time_ms, struct hm_arena *arena,
                    Hypermesh__Abci__RequestPrepareProposal *out, struct hm_error *error)
{
    ProtobufCBinaryData *txs = hm_arena_alloc(arena, (request->n_txs + 1) * sizeof(*txs));
    bool *pays = hm_arena_alloc(arena, request->n_txs + 1);
    struct hm_slice *items;
    size_t count = 0, kept = 0;
    int rc = txs == NULL || pays == NULL
                 ? hm_fail(error, HM_ENOMEM, "no memory for a proposal")
                 : engine_app_items(request->txs, request->n_txs, arena, &items, error);

    if (rc == 0)
        rc = engine_share_order(app->share, items, request->n_txs, arena, error);
    if (rc == 0)
        count = fair_cut(items, request->n_txs, limit);
    if (rc == 0)
        rc = ledger_items_pay(app->options.engine->ledger, items, count, time_ms, pays, error);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < count; i++)
        if (pays[i])
            txs[kept++] = wire_bytes(items[i].data, items[i].len);
    *out = *request;
    out->txs = txs;
    out->n_txs = kept;
    return 0;
}
