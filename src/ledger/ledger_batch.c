#include "ledger_batch.h"

/* Counts what is known of a transaction towards the batch. */
static void batch_count_tx(struct ledger_batch *batch, const struct ledger_seen_tx *tx)
{
    batch->weight += tx->weight;
    batch->touches_assets = batch->touches_assets || tx->touches_assets;
    batch->all_root_signed = batch->all_root_signed && tx->root;
}

/* Looks at transaction i; a bad one is remembered, for the whole batch is refused then. */
static int batch_read_tx(const Hypermesh__Params *params, struct ledger_seen *seen,
                         struct ledger_batch *batch, size_t i, struct hm_arena *scratch)
{
    struct ledger_batch_tx *kept = &batch->txs[i];
    struct hm_error why = {0};
    struct ledger_tx tx;
    int rc;

    if (seen && ledger_seen_tx_find(seen, kept->is.key, &kept->is)) {
        batch_count_tx(batch, &kept->is);
        return 0;
    }
    rc = ledger_tx_read(params, kept->bytes, scratch, &tx, &why);
    if (rc == HM_ENOMEM)
        return rc;
    if (rc) {
        batch->weight += kept->bytes.len;
        batch->all_root_signed = false;
        if (!batch->tx_error.code)
            (void)hm_fail(&batch->tx_error, rc, "transaction %zu: %s", i, why.text);
        return 0;
    }
    tx.keyed = true; /* without `seen` nobody asks for it */
    memcpy(tx.key, kept->is.key, sizeof tx.key);
    ledger_tx_remember(&tx, &kept->is);
    batch_count_tx(batch, &kept->is);
    return 0;
}

/* The keys of transactions from number `from` on, as many as are hashed at one go; gives how many. */
#define KEYS_AT_ONCE ((size_t)64)
static size_t batch_key_txs(const struct ledger_seen *seen, struct ledger_batch *batch, size_t from)
{
    uint8_t keys[KEYS_AT_ONCE][CRYPTO_HASH_BYTES];
    struct hm_slice bytes[KEYS_AT_ONCE];
    size_t count = batch->batch->n_txs - from;

    if (count > KEYS_AT_ONCE)
        count = KEYS_AT_ONCE;
    for (size_t i = 0; i < count; i++)
        bytes[i] = batch->txs[from + i].bytes;
    crypto_hash_each(bytes, count, keys[0]);
    for (size_t i = 0; i < count; i++) {
        memcpy(batch->txs[from + i].is.key, keys[i], CRYPTO_HASH_BYTES);
        ledger_seen_fetch(seen, keys[i]);
    }
    return count;
}

static int batch_read_txs(const Hypermesh__Params *params, struct ledger_seen *seen,
                          struct ledger_batch *batch)
{
    struct hm_arena scratch;
    int rc = 0;

    hm_arena_init(&scratch, LEDGER_TX_ARENA_BYTES);
    for (size_t i = 0, keyed = 0; rc == 0 && i < batch->batch->n_txs; i++) {
        if (seen && i == keyed)
            keyed += batch_key_txs(seen, batch, i);
        hm_arena_clear(&scratch);
        rc = batch_read_tx(params, seen, batch, i, &scratch);
    }
    hm_arena_release(&scratch);
    return rc;
}

static int batch_root(struct ledger_batch *batch, struct hm_arena *arena)
{
    size_t count = batch->batch->n_txs;
    uint8_t *digests = hm_arena_alloc(arena, count * CRYPTO_HASH_BYTES + 1);

    if (!digests)
        return HM_ENOMEM;
    for (size_t i = 0; i < count; i++)
        memcpy(digests + i * CRYPTO_HASH_BYTES, batch->txs[i].is.digest, CRYPTO_HASH_BYTES);
    crypto_merkle_root(digests, count, batch->tx_root);
    return 0;
}

/* Has these bytes been read before? */
static void batch_recall(struct ledger_batch *batch, const struct ledger_seen_batch *known)
{
    for (size_t i = 0; i < known->count; i++) {
        batch->txs[i].is = known->txs[i];
        batch_count_tx(batch, &known->txs[i]);
    }
    memcpy(batch->tx_root, known->tx_root, sizeof batch->tx_root);
}

static void batch_remember(struct ledger_seen *seen, const uint8_t key[CRYPTO_HASH_BYTES],
                           const struct ledger_batch *batch, struct hm_arena *arena)
{
    struct ledger_seen_batch kept = {.count = batch->batch->n_txs};

    kept.txs = hm_arena_alloc(arena, kept.count * sizeof *kept.txs);
    if (!kept.txs)
        return;
    for (size_t i = 0; i < kept.count; i++)
        kept.txs[i] = batch->txs[i].is;
    memcpy(kept.key, key, sizeof kept.key);
    memcpy(kept.tx_root, batch->tx_root, sizeof kept.tx_root);
    ledger_seen_batch_keep(seen, &kept);
}

/* The batch itself, and what is known of it. */
static int batch_unpack(struct ledger_seen *seen, struct hm_slice bytes, struct hm_arena *arena,
                        Hypermesh__Batch **out, struct ledger_seen_batch *known,
                        struct hm_error *error)
{
    ProtobufCMessage *message;
    int rc;

    *known = (struct ledger_seen_batch){0};
    if (seen && bytes.len <= LEDGER_BATCH_MAX_BYTES) {
        crypto_hash(bytes.data, bytes.len, known->key);
        (void)ledger_seen_batch_find(seen, known->key, arena, known);
    }
    if (known->txs)
        rc = wire_unpack_again(&hypermesh__batch__descriptor, bytes, arena, &message, error);
    else
        rc = wire_unpack(&hypermesh__batch__descriptor, bytes, LEDGER_BATCH_MAX_BYTES, arena,
                         &message, error);
    if (rc)
        hm_error_prefix(error, rc, "batch");
    else
        *out = (Hypermesh__Batch *)message;
    return rc;
}

/* What is in it, from the memory of it or by reading. HM_ENOMEM. */
static int batch_look(const Hypermesh__Params *params, struct ledger_seen *seen,
                      const struct ledger_seen_batch *known, struct ledger_batch *batch,
                      struct hm_arena *arena)
{
    int rc;

    batch->txs = hm_arena_alloc(arena, batch->batch->n_txs * sizeof *batch->txs);
    if (!batch->txs)
        return HM_ENOMEM;
    for (size_t i = 0; i < batch->batch->n_txs; i++)
        batch->txs[i].bytes = wire_slice(batch->batch->txs[i]);
    batch->weight = batch->batch->head.len + batch->batch->signature.len;
    if (known->txs) {
        batch_recall(batch, known);
        return 0;
    }
    rc = batch_read_txs(params, seen, batch);
    if (rc == 0)
        rc = batch_root(batch, arena);
    if (rc == 0 && seen && !batch->tx_error.code)
        batch_remember(seen, known->key, batch, arena);
    return rc;
}

int ledger_batch_read(const Hypermesh__Params *params, struct ledger_seen *seen,
                      struct hm_slice bytes, struct hm_arena *arena, struct ledger_batch *out,
                      struct hm_error *error)
{
    struct ledger_batch batch = {.all_root_signed = true};
    struct ledger_seen_batch known;
    int rc = batch_unpack(seen, bytes, arena, &batch.batch, &known, error);

    if (rc)
        return rc;
    if (batch.batch->n_txs == 0 || batch.batch->n_txs > params->max_batch_txs)
        return hm_fail(error, HM_ELIMIT, "a batch has 1 to %u transactions, this has %zu",
                       params->max_batch_txs, batch.batch->n_txs);
    rc = WIRE_UNPACK(hypermesh__batch_head, wire_slice(batch.batch->head), LEDGER_HEAD_MAX_BYTES,
                     arena, &batch.head, &batch.head_error);
    if (rc)
        batch.head = NULL;
    if (rc == HM_ENOMEM || batch_look(params, seen, &known, &batch, arena))
        return hm_fail(error, HM_ENOMEM, "no memory to read a batch");
    *out = batch;
    return 0;
}

int ledger_batch_weigh(const Hypermesh__Params *params, struct ledger_seen *seen,
                       struct hm_slice bytes, struct hm_arena *arena, uint64_t *weight, size_t *txs,
                       struct hm_error *error)
{
    struct ledger_batch batch;
    int rc = ledger_batch_read(params, seen, bytes, arena, &batch, error);

    if (rc == HM_ENOMEM)
        return rc;
    *weight = rc ? bytes.len : batch.weight;
    *txs = rc ? 0 : batch.batch->n_txs;
    return rc;
}

int ledger_batch_shape(const struct ledger_batch *batch, const char *chain_id,
                       struct hm_error *error)
{
    const Hypermesh__BatchHead *head = batch->head;
    int rc;

    if (!head)
        return hm_fail(error, batch->head_error.code, "batch head: %s", batch->head_error.text);
    if (batch->tx_error.code)
        return hm_fail(error, batch->tx_error.code, "batch: %s", batch->tx_error.text);
    rc = ledger_chain_check("batch", head->chain_id, chain_id, error);
    if (rc)
        return rc;
    if (!ledger_id_ok(head->node))
        return hm_fail(error, HM_EINVAL, "the batch's node has %zu bytes, must have %d",
                       head->node.len, LEDGER_ID_BYTES);
    if (head->anchor_hash.len != CRYPTO_HASH_BYTES || head->tx_root.len != CRYPTO_HASH_BYTES)
        return hm_fail(error, HM_EINVAL, "the batch's anchor_hash and tx_root must have %d bytes",
                       CRYPTO_HASH_BYTES);
    if (memcmp(head->tx_root.data, batch->tx_root, CRYPTO_HASH_BYTES) != 0)
        return hm_fail(error, HM_EINVAL,
                       "the batch's tx_root is not that of the transactions in it");
    return 0;
}

int ledger_batch_time(const struct ledger_batch *batch, const struct ledger_batch_facts *facts,
                      struct hm_error *error)
{
    struct proof_time_facts time = {
        .block_ms = facts->now_ms,
        .window_ms = facts->params->time_window_ms,
        .anchor_height = batch->head->anchor_height,
        .anchor_claimed = batch->head->anchor_hash.data,
        .anchor_known = facts->anchor_known,
        .timestamp_ms = batch->head->timestamp_ms,
    };

    return proof_time_verify(&time, error);
}

/* A node that has no session yet, or none any more, must be able to grant itself one. So a batch of
 * nothing but root-signed transactions that touch no asset needs no signature: each of them stands for
 * itself, and the batch adds nothing to them. */
static bool batch_may_be_unsigned(const struct ledger_batch *batch)
{
    return batch->all_root_signed && !batch->touches_assets && batch->head->n_openings == 0;
}

static int batch_signature(const struct ledger_batch *batch, struct ledger_seen *seen,
                           struct hm_error *error)
{
    uint8_t key[CRYPTO_HASH_BYTES];
    int rc;

    if (!seen)
        return proof_batch_signature_verify(batch->batch, batch->head, error);
    ledger_seen_batch_key(wire_slice(batch->batch->head), wire_slice(batch->batch->signature), key);
    if (ledger_seen_has(seen, key))
        return 0;
    rc = proof_batch_signature_verify(batch->batch, batch->head, error);
    if (rc == 0)
        ledger_seen_add(seen, key);
    return rc;
}

int ledger_batch_stake(const struct ledger_batch *batch, const struct ledger_batch_facts *facts,
                       struct hm_error *error)
{
    const Hypermesh__BatchHead *head = batch->head;

    if (head->session_key.len == 0 && batch->batch->signature.len == 0) {
        if (batch_may_be_unsigned(batch))
            return 0;
        return hm_fail(error, HM_EPROOF_STAKE,
                       "stake: the batch is not signed; only batches of root-signed transactions "
                       "that touch no asset may be");
    }
    for (size_t i = 0; i < facts->node->n_sessions; i++) {
        const Hypermesh__Session *session = facts->node->sessions[i];

        if (ledger_id_equal(session->key, head->session_key) && session->expires_ms > facts->now_ms)
            return batch_signature(batch, facts->seen, error);
    }
    return hm_fail(error, HM_EPROOF_STAKE,
                   "stake: the node has no such session key; it may have expired or been revoked");
}

int ledger_batch_space(const struct ledger_batch *batch, const Hypermesh__Params *params,
                       const Hypermesh__PlotCommitment *plot, struct hm_error *error)
{
    const Hypermesh__BatchHead *head = batch->head;
    uint8_t challenge[CRYPTO_HASH_BYTES];

    if (head->n_openings == 0 && !batch->touches_assets)
        return 0;
    if (!plot)
        return hm_fail(error, HM_EPROOF_SPACE,
                       "space: the node has committed no plot; only then may it forward operations "
                       "on assets");
    proof_space_challenge(head->anchor_hash.data, batch->tx_root, head->node.data, challenge);
    return proof_space_verify(head->node.data, plot, challenge, head->openings, head->n_openings,
                              params->space_openings, false, error);
}

/* --- in a block --- */

static const char block_full[] = "the block is full: send the transaction again";

static int placed_add(struct ledger_block *block, const struct ledger_batch_tx *tx, uint32_t item,
                      uint32_t number, struct ledger_placed **out, struct hm_error *error)
{
    Hypermesh__TxResult *result = hm_arena_alloc(&block->arena, sizeof *result);
    uint8_t *digest = hm_arena_dup(&block->arena, tx->is.digest, sizeof tx->is.digest);

    if (block->placed_count == block->placed_cap) {
        size_t cap = block->placed_cap ? block->placed_cap * 2 : 64;
        struct ledger_placed *list = hm_arena_alloc(&block->arena, cap * sizeof *list);

        if (!list)
            return hm_fail(error, HM_ENOMEM, "no memory for a block's results");
        if (block->placed_count > 0)
            memcpy(list, block->placed, block->placed_count * sizeof *list);
        block->placed = list;
        block->placed_cap = cap;
    }
    if (!result || !digest)
        return hm_fail(error, HM_ENOMEM, "no memory for a block's results");
    *result = (Hypermesh__TxResult)HYPERMESH__TX_RESULT__INIT;
    if (tx->is.readable)
        result->digest = wire_bytes(digest, CRYPTO_HASH_BYTES);
    *out = &block->placed[block->placed_count++];
    **out = (struct ledger_placed){.result = result, .item = item, .tx = number};
    return 0;
}

/* Every transaction of a refused batch has the batch's refusal as its result. */
static int batch_refuse(struct ledger_block *block, const struct ledger_batch *batch, uint32_t item,
                        const struct hm_error *why, struct hm_error *error)
{
    char *text = hm_arena_strdup(&block->arena, why->text);

    if (!text)
        return hm_fail(error, HM_ENOMEM, "no memory for a block's results");
    for (uint32_t i = 0; i < batch->batch->n_txs; i++) {
        struct ledger_placed *placed;
        int rc = placed_add(block, &batch->txs[i], item, i, &placed, error);

        if (rc)
            return rc;
        placed->result->code = why->code;
        placed->result->text = text;
    }
    return 0;
}

/* The node's plot as it was at the start of the batch, kept for the results' facts. */
static int plot_keep(struct ledger_block *block, const Hypermesh__PlotCommitment *plot,
                     const Hypermesh__PlotCommitment **out, struct hm_error *error)
{
    Hypermesh__PlotCommitment *copy;
    uint8_t *root;

    *out = NULL;
    if (!plot)
        return 0;
    copy = hm_arena_dup(&block->arena, plot, sizeof *plot);
    root = hm_arena_dup(&block->arena, plot->root.data, plot->root.len);
    if (!copy || !root)
        return hm_fail(error, HM_ENOMEM, "no memory for a block's results");
    copy->root.data = root;
    *out = copy;
    return 0;
}

/* Judges the batch as a whole. *code is the refusal. */
static int batch_judge(struct ledger_block *block, const struct ledger_batch *batch, int *code,
                       const Hypermesh__PlotCommitment **plot, struct hm_error *why,
                       struct hm_error *error)
{
    struct ledger_batch_facts facts = {.params = block->params,
                                       .chain_id = block->ledger->info.chain_id,
                                       .now_ms = block->time_ms,
                                       .seen = &block->ledger->seen};
    uint8_t anchor[CRYPTO_HASH_BYTES];
    struct ledger_scope scope; /* only read from: never committed */
    Hypermesh__Account *node;
    int rc;

    *code = ledger_batch_shape(batch, facts.chain_id, why);
    if (*code)
        return 0;
    ledger_scope_init(&scope, block, &block->batch, (struct hm_slice){0});
    rc = ledger_scope_account(&scope, batch->head->node, &node, error);
    if (rc)
        return rc;
    facts.node = node;
    rc = ledger_anchor_find(block->txn, block->params, block->height - 1,
                            batch->head->anchor_height, anchor, &facts.anchor_known, error);
    if (rc)
        return rc;
    *code = ledger_batch_time(batch, &facts, why);
    if (*code == 0)
        *code = ledger_batch_stake(batch, &facts, why);
    if (*code == 0)
        *code = ledger_batch_space(batch, block->params, node->plot, why);
    return *code ? 0 : plot_keep(block, node->plot, plot, error);
}

static int batch_apply_tx(struct ledger_block *block, const struct ledger_batch_tx *known,
                          uint32_t item, uint32_t number, const Hypermesh__PlotCommitment *plot,
                          struct hm_error *error)
{
    struct ledger_placed *placed;
    struct ledger_tx tx;
    int rc = placed_add(block, known, item, number, &placed, error);

    if (rc == 0 && block->overlay.held >= LEDGER_BLOCK_HELD_MAX_BYTES) {
        placed->result->code = HM_ELIMIT;
        placed->result->text = (char *)(uintptr_t)block_full;
        return 0;
    }
    hm_arena_clear(&block->scratch);
    if (rc == 0 && known->is.whole)
        rc = ledger_tx_read_again(&known->is, known->bytes, &block->scratch, &tx, error);
    else if (rc == 0)
        rc = ledger_tx_read(block->params, known->bytes, &block->scratch, &tx, error);
    return rc ? rc : ledger_tx_apply(block, &tx, plot, placed->result, placed, error);
}

int ledger_batch_apply(struct ledger_block *block, struct hm_slice bytes, uint32_t item,
                       struct hm_error *error)
{
    const Hypermesh__PlotCommitment *plot = NULL;
    struct ledger_batch batch;
    struct hm_error why = {0};
    int code;
    int rc;

    hm_arena_clear(&block->batch);
    code = ledger_batch_read(block->params, &block->ledger->seen, bytes, &block->batch, &batch,
                             &why);
    if (code == HM_ENOMEM) {
        if (error)
            *error = why;
        return code;
    }
    if (code)
        return 0; /* nothing in it can be named: no results */
    if (batch.batch->n_txs > LEDGER_BLOCK_MAX_TXS - block->placed_count)
        return 0; /* nor is there room to name it */
    if (batch.weight > block->params->block_weight_max - block->offered)
        code = hm_fail(&why, HM_ELIMIT, "%s", block_full);
    block->offered += code ? 0 : batch.weight;
    rc = code ? 0 : batch_judge(block, &batch, &code, &plot, &why, error);
    if (rc)
        return rc;
    if (hm_error_is_fatal(code)) {
        if (error)
            *error = why;
        return code;
    }
    if (code)
        return batch_refuse(block, &batch, item, &why, error);
    for (uint32_t i = 0; rc == 0 && i < batch.batch->n_txs; i++)
        rc = batch_apply_tx(block, &batch.txs[i], item, i, plot, error);
    return rc;
}
