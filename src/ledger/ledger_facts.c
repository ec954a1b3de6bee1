#include "ledger_facts.h"

#include "ledger_recovery.h"
#include "ledger_view.h"

static int unfit(struct hm_error *error, const char *what)
{
    return hm_fail(error, HM_EINVAL, "the header's %s", what);
}

static bool is_hash(ProtobufCBinaryData bytes, const uint8_t hash[CRYPTO_HASH_BYTES])
{
    return hm_slice_equal(wire_slice(bytes), hm_slice_of(hash, CRYPTO_HASH_BYTES));
}

/* Does the header say what the proposal says, of a block after the last? */
static int header_check(const struct ledger_info *last, const struct ledger_proposal *proposal,
                        const Hypermesh__BlockHeader *header, struct hm_error *error)
{
    uint8_t hash[CRYPTO_HASH_BYTES];

    proof_block_hash(proposal->header, hash);
    if (memcmp(hash, proposal->hash, sizeof hash) != 0)
        return unfit(error, "hash is not the block's");
    if (strcmp(header->chain_id, last->chain_id) != 0)
        return unfit(error, "chain id is another chain's");
    if (header->height != proposal->height || header->time_ms != proposal->time_ms)
        return unfit(error, "height or time is not the block's");
    if (!is_hash(header->previous_hash, last->block_hash) ||
        !is_hash(header->previous_state_root, last->state_root))
        return unfit(error, "previous_hash or previous_state_root is not the last block's");
    return 0;
}

static int facts_check(const Hypermesh__EngineFacts *facts, struct hm_error *error)
{
    if (facts->hash.len != CRYPTO_HASH_BYTES ||
        facts->next_validators_hash.len != CRYPTO_HASH_BYTES)
        return unfit(error, "engine: hash and next_validators_hash must have 32 bytes");
    if (facts->proposer.len != LEDGER_ADDRESS_BYTES)
        return unfit(error, "engine: proposer must have 20 bytes");
    if (facts->absent.len > LEDGER_ABSENT_MAX_BYTES)
        return unfit(error, "engine: absent names more validators than there can be");
    if (facts->nil.len > LEDGER_ABSENT_MAX_BYTES)
        return unfit(error, "engine: nil names more validators than there can be");
    for (size_t i = 0; i < facts->n_faults; i++) {
        if (facts->faults[i]->address.len != LEDGER_ADDRESS_BYTES)
            return unfit(error, "engine: a fault's address must have 20 bytes");
    }
    return facts->recovery ? ledger_recovery_check(facts->recovery, error) : 0;
}

static int time_check(const struct ledger_info *last, const struct ledger_proposal *proposal,
                      const Hypermesh__EngineFacts *facts, struct hm_error *error)
{
    struct hm_slice first = proposal->count > 0 ? proposal->items[0] : (struct hm_slice){0};
    uint64_t time_ms;
    int rc = ledger_note_time(first, facts->bft_time_ms, last->time_ms, &time_ms, error);

    if (rc == 0 && time_ms != proposal->time_ms)
        rc = unfit(error, "time is not the one that the engine's time and the note give");
    return rc;
}

int ledger_facts_read(const struct ledger_info *last, const struct ledger_proposal *proposal,
                      struct hm_arena *arena, const Hypermesh__EngineFacts **out,
                      struct hm_error *error)
{
    Hypermesh__BlockHeader *header;
    int rc;

    *out = NULL;
    if (proposal->header.len == 0)
        return 0;
    rc = WIRE_UNPACK(hypermesh__block_header, proposal->header, LEDGER_HEADER_MAX_BYTES, arena,
                     &header, error);
    if (rc)
        return hm_error_prefix(error, rc == HM_ENOMEM ? rc : HM_EINVAL, "the block's header");
    if (!header->engine)
        return 0;
    rc = header_check(last, proposal, header, error);
    if (rc == 0)
        rc = facts_check(header->engine, error);
    if (rc == 0)
        rc = time_check(last, proposal, header->engine, error);
    if (rc == 0)
        *out = header->engine;
    return rc;
}

/* --- in a block --- */

int ledger_facts_stored(struct store_txn *txn, struct hm_arena *arena, Hypermesh__ChainFacts **out,
                        struct hm_error *error)
{
    const uint8_t key = LEDGER_KEY_CHAIN;
    Hypermesh__ChainFacts *facts;
    struct hm_slice bytes;
    int rc = store_get(txn, LEDGER_TABLE_STATE, hm_slice_of(&key, 1), &bytes);

    if (rc == HM_ENOTFOUND)
        return rc;
    if (rc)
        return hm_fail(error, rc, "the state table could not be read");
    rc = WIRE_UNPACK(hypermesh__chain_facts, bytes, LEDGER_STATE_MAX_BYTES, arena, &facts, error);
    if (rc == HM_ENOMEM)
        return rc;
    if (rc || facts->hash.len != CRYPTO_HASH_BYTES)
        return hm_fail(error, HM_ECORRUPT, "the chain's facts in the state are damaged");
    *out = facts;
    return 0;
}

/* Must the state's facts be written though nothing else changed: are they missing, or from before blocks that one node
 * made alone? */
static int facts_are_old(struct ledger_block *block, bool *old, struct hm_error *error)
{
    Hypermesh__ChainFacts *facts;
    int rc;

    hm_arena_clear(&block->scratch);
    rc = ledger_facts_stored(block->txn, &block->scratch, &facts, error);
    if (rc == HM_ENOTFOUND) {
        *old = true;
        return 0;
    }
    if (rc == 0)
        *old = facts->base_fee != block->base_fee;
    return rc;
}

static int facts_put(struct ledger_block *block, struct hm_error *error)
{
    Hypermesh__ChainFacts facts = HYPERMESH__CHAIN_FACTS__INIT;
    const uint8_t key = LEDGER_KEY_CHAIN;

    facts.base_fee = block->next.base_fee;
    facts.height = block->height;
    facts.hash = wire_bytes(block->hash, sizeof block->hash);
    facts.time_ms = block->time_ms;
    hm_buf_clear(&block->pack);
    if (wire_pack(&facts.base, &block->pack))
        return hm_fail(error, HM_ENOMEM, "no memory to write a block");
    return ledger_overlay_put(&block->overlay, hm_slice_of(&key, 1), hm_buf_slice(&block->pack),
                              error);
}

int ledger_facts_write(struct ledger_block *block, struct hm_error *error)
{
    uint64_t fee = ledger_fee_next(block->params, block->base_fee, block->weight);
    bool old = false;
    bool changed;
    int rc;

    block->next.base_fee = fee;
    if (!block->engine)
        return 0;
    changed = ledger_overlay_any_changed(&block->overlay);
    rc = changed ? 0 : facts_are_old(block, &old, error);
    if (rc)
        return rc;
    if (!changed)
        block->next.base_fee = block->base_fee;
    return changed || old ? facts_put(block, error) : 0;
}

int ledger_view_chain_facts(struct ledger_view *view, struct hm_arena *arena,
                            Hypermesh__ChainFacts **out, struct hm_error *error)
{
    int rc = ledger_facts_stored(view->txn, arena, out, error);

    return rc == HM_ENOTFOUND
               ? hm_fail(error, rc, "the chain has been one node's only: it has no such facts")
               : rc;
}

/* --- since when --- */

int ledger_era_read(struct store_txn *txn, uint64_t *height, struct hm_error *error)
{
    const uint8_t key = LEDGER_META_ERA;
    struct hm_slice value;
    int rc = store_get(txn, LEDGER_TABLE_META, hm_slice_of(&key, 1), &value);

    if (rc == HM_ENOTFOUND) {
        *height = 0;
        return 0;
    }
    if (rc)
        return hm_fail(error, rc, "the chain's era could not be read");
    if (value.len != 8)
        return hm_fail(error, HM_ECORRUPT, "the chain's era is damaged");
    *height = hm_get_be64(value.data);
    return 0;
}

int ledger_era_write(struct store_txn *txn, uint64_t height, struct hm_error *error)
{
    const uint8_t key = LEDGER_META_ERA;
    uint8_t value[8];

    hm_put_be64(value, height);
    return store_put(txn, LEDGER_TABLE_META, hm_slice_of(&key, 1), hm_slice_of(value, sizeof value),
                     error);
}

int ledger_era(struct ledger *ledger, uint64_t *height, struct hm_error *error)
{
    struct store_txn *txn;
    int rc = store_begin_read(ledger->store, &txn, error);

    if (rc)
        return rc;
    rc = ledger_era_read(txn, height, error);
    store_abort(txn);
    return rc;
}

int ledger_era_set(struct ledger *ledger, uint64_t height, struct hm_error *error)
{
    struct ledger_info info;
    struct store_txn *txn;
    int rc = ledger_info(ledger, &info, error);

    if (rc)
        return rc;
    if (ledger->block)
        return hm_fail(error, HM_ECONFLICT, "a block is under way: commit or abandon it first");
    if (height == 0 || height > info.height + 1)
        return hm_fail(error, HM_EINVAL, "an engine's first block is 1 to %llu here, not %llu",
                       (unsigned long long)info.height + 1, (unsigned long long)height);
    rc = store_begin_write(ledger->store, &txn, error);
    if (rc)
        return rc;
    rc = ledger_era_write(txn, height, error);
    if (rc) {
        store_abort(txn);
        return rc;
    }
    return store_commit(txn, error);
}
