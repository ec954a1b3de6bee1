/* What is asked before a block: is a client's transaction good, how much fits. */
#include "ledger_batch.h"

/* Parameters and info as of the last commit; HM_ENOTFOUND before there is a chain. */
static const Hypermesh__Params *params_of(struct ledger *ledger, struct ledger_info *info,
                                          struct hm_error *error)
{
    return ledger_info(ledger, info, error) ? NULL : ledger->params;
}

static int check_against(struct ledger *ledger, struct store_txn *txn, struct ledger_tx *tx,
                         const struct ledger_info *info, uint64_t now_ms, struct hm_arena *arena,
                         struct hm_error *error)
{
    Hypermesh__TxFacts record = HYPERMESH__TX_FACTS__INIT;
    struct ledger_tx_facts facts = {.params = ledger->params,
                                    .chain_id = info->chain_id,
                                    .now_ms = now_ms,
                                    .base_fee = info->base_fee,
                                    .presence_may_differ = true};
    uint8_t anchor[CRYPTO_HASH_BYTES];
    Hypermesh__Account *account;
    uint64_t fee;
    int rc = ledger_tx_shape(tx, info->chain_id, ledger->params, error);

    if (rc)
        return rc;
    rc = ledger_read_account(txn, tx->body->account.data, arena, &account, error);
    if (rc)
        return rc;
    ledger_account_mature(account, now_ms);
    facts.account = account;
    rc = ledger_anchor_find(txn, ledger->params, info->height, tx->body->anchor_height, anchor,
                            &facts.anchor_known, error);
    if (rc)
        return rc;
    return ledger_tx_judge(tx, &facts, &ledger->seen, &record, &fee, error);
}

int ledger_check_tx(struct ledger *ledger, struct hm_slice bytes, uint64_t now_ms, uint8_t *digest,
                    struct hm_error *error)
{
    struct hm_arena arena;
    struct ledger_info info;
    struct store_txn *txn = NULL;
    struct ledger_tx tx;
    int rc = 0;

    if (!params_of(ledger, &info, error))
        return HM_ENOTFOUND;
    hm_arena_init(&arena, LEDGER_TX_ARENA_BYTES);
    rc = ledger_tx_read(ledger->params, bytes, &arena, &tx, error);
    if (rc == 0)
        rc = store_begin_read(ledger->store, &txn, error);
    /* The snapshot may be newer than info; its own height counts. */
    if (rc == 0)
        rc = ledger_read_info(txn, &info, error);
    if (rc == 0)
        rc = check_against(ledger, txn, &tx, &info, now_ms, &arena, error);
    store_abort(txn);
    if (rc == 0 && digest)
        memcpy(digest, tx.digest, CRYPTO_HASH_BYTES);
    hm_arena_release(&arena);
    return rc;
}

void ledger_note_tx(struct ledger *ledger, struct hm_slice tx)
{
    uint8_t key[CRYPTO_HASH_BYTES];

    crypto_hash(tx.data, tx.len, key);
    ledger_seen_add(&ledger->seen, key);
}

void ledger_note_batch(struct ledger *ledger, struct hm_slice head, struct hm_slice signature)
{
    uint8_t key[CRYPTO_HASH_BYTES];

    ledger_seen_batch_key(head, signature, key);
    ledger_seen_add(&ledger->seen, key);
}

size_t ledger_prepare_batch(struct ledger *ledger, const struct hm_slice *txs, size_t count)
{
    struct ledger_info info;
    const Hypermesh__Params *params = params_of(ledger, &info, NULL);
    struct hm_arena arena;
    size_t bytes = LEDGER_HEAD_MAX_BYTES;
    uint64_t weight = LEDGER_HEAD_MAX_BYTES;
    size_t fits = 0;

    if (!params)
        return 0;
    hm_arena_init(&arena, LEDGER_TX_ARENA_BYTES);
    for (; fits < count && fits < params->max_batch_txs; fits++) {
        struct ledger_tx tx;
        struct ledger_seen_tx known;
        uint8_t key[CRYPTO_HASH_BYTES];
        uint64_t more = txs[fits].len;

        hm_arena_clear(&arena);
        crypto_hash(txs[fits].data, txs[fits].len, key);
        if (ledger_seen_tx_find(&ledger->seen, key, &known))
            more = known.weight;
        else if (ledger_tx_read(params, txs[fits], &arena, &tx, NULL) == 0)
            more = tx.weight;
        bytes += txs[fits].len + 8; /* its tag and length in the Batch */
        weight += more;
        if (fits > 0 && (bytes > LEDGER_BATCH_MAX_BYTES || weight > params->block_weight_max))
            break;
    }
    hm_arena_release(&arena);
    return fits;
}

size_t ledger_prepare(struct ledger *ledger, const struct hm_slice *items, size_t count)
{
    struct ledger_info info;
    const Hypermesh__Params *params = params_of(ledger, &info, NULL);
    struct hm_arena arena;
    size_t first = count > 0 && ledger_item_is_note(items[0]); /* batch: it fits in any case */
    size_t bytes = 0;
    size_t txs = 0;
    uint64_t total = 0;
    size_t fits = 0;

    if (!params)
        return 0;
    hm_arena_init(&arena, LEDGER_TX_ARENA_BYTES);
    for (; fits < count && fits < LEDGER_BLOCK_MAX_ITEMS; fits++) {
        uint64_t weight = items[fits].len;
        size_t count_txs = 0;

        if (ledger_item_is_note(items[fits])) {
            if (fits > 0)
                break;
        } else {
            hm_arena_clear(&arena);
            (void)ledger_batch_weigh(params, &ledger->seen, items[fits], &arena, &weight,
                                     &count_txs, NULL);
        }
        txs += count_txs;
        bytes += items[fits].len;
        total += weight;
        if (fits > first && (bytes > LEDGER_BLOCK_MAX_BYTES || txs > LEDGER_BLOCK_MAX_TXS ||
                             total > params->block_weight_max))
            break;
    }
    hm_arena_release(&arena);
    return fits;
}
