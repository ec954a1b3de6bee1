/* FinalizeBlock and Commit: one block, one write transaction. */
#include "ledger_batch.h"
#include "ledger_kv.h"
#include "ledger_supply.h"

static int proposal_check(const struct ledger *ledger, const struct ledger_proposal *proposal,
                          struct hm_error *error)
{
    size_t bytes = 0;

    if (!ledger->has_chain)
        return hm_fail(error, HM_ENOTFOUND, "there is no chain yet: it begins with a genesis");
    if (proposal->height != ledger->info.height + 1)
        return hm_fail(error, HM_EINVAL, "block %llu does not follow block %llu",
                       (unsigned long long)proposal->height,
                       (unsigned long long)ledger->info.height);
    if (proposal->time_ms <= ledger->info.time_ms || proposal->time_ms > UINT64_MAX / 4)
        return hm_fail(error, HM_EINVAL,
                       "the block's time %llu must be after the time of the block before it, %llu",
                       (unsigned long long)proposal->time_ms,
                       (unsigned long long)ledger->info.time_ms);
    if (proposal->count > LEDGER_BLOCK_MAX_ITEMS)
        return hm_fail(error, HM_ELIMIT, "the block has %zu items, at most %zu are allowed",
                       proposal->count, LEDGER_BLOCK_MAX_ITEMS);
    if (proposal->header.len > LEDGER_HEADER_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT,
                       "the block's header has %zu bytes, at most %zu are allowed",
                       proposal->header.len, LEDGER_HEADER_MAX_BYTES);
    for (size_t i = 0; i < proposal->count; i++) {
        if (proposal->items[i].len > LEDGER_BLOCK_MAX_BYTES - bytes)
            return hm_fail(error, HM_ELIMIT, "the block's items have more than %zu bytes",
                           LEDGER_BLOCK_MAX_BYTES);
        bytes += proposal->items[i].len;
    }
    return 0;
}

static int supply_load(struct ledger_block *block, struct hm_error *error)
{
    const uint8_t key = LEDGER_KEY_SUPPLY;
    struct hm_slice bytes;
    int rc = ledger_overlay_get(&block->overlay, hm_slice_of(&key, 1), &bytes, error);

    if (rc == HM_ENOTFOUND)
        return hm_fail(error, HM_ECORRUPT, "the supply record is missing");
    if (rc == 0)
        rc = ledger_supply_unpack(bytes, &block->scratch, &block->supply, error);
    block->supply_before = block->supply;
    return rc;
}

int ledger_block_new(struct ledger *ledger, const struct ledger_proposal *proposal,
                     struct ledger_block **out, struct hm_error *error)
{
    struct ledger_block *block = hm_calloc(1, sizeof *block);
    int rc;

    if (!block)
        return hm_fail(error, HM_ENOMEM, "no memory for a block");
    rc = store_begin_write(ledger->store, &block->txn, error);
    if (rc) {
        hm_free(block);
        return rc;
    }
    block->ledger = ledger;
    block->params = ledger->params;
    hm_arena_init(&block->arena, LEDGER_BLOCK_ARENA_BYTES);
    hm_arena_init(&block->scratch, LEDGER_TX_ARENA_BYTES);
    hm_arena_init(&block->batch, LEDGER_TX_ARENA_BYTES);
    ledger_overlay_init(&block->overlay, block->txn, &block->arena, proposal->hash);
    memcpy(block->hash, proposal->hash, sizeof block->hash);
    memcpy(block->seed, proposal->hash, sizeof block->seed);
    block->height = proposal->height;
    block->time_ms = proposal->time_ms;
    block->base_fee = ledger->info.base_fee;
    block->next = ledger->info;
    rc = supply_load(block, error);
    if (rc == 0)
        rc = ledger_kv_begin(block, error);
    if (rc) {
        ledger_block_free(block);
        return rc;
    }
    *out = block;
    return 0;
}

void ledger_block_free(struct ledger_block *block)
{
    if (!block)
        return;
    store_abort(block->txn);
    ledger_kv_rules_free(block->kv.rules_next);
    hm_buf_release(&block->pack);
    hm_arena_release(&block->arena);
    hm_arena_release(&block->scratch);
    hm_arena_release(&block->batch);
    hm_free(block);
}

/* Another code would read as a refusal; here everything is a failure of this machine. */
static int fatal(int rc, struct hm_error *error)
{
    if (rc == 0 || hm_error_is_fatal(rc))
        return rc;
    return hm_error_prefix(error, HM_EINTERNAL, "a block could not be applied (%s)",
                           hm_error_name(rc));
}

static int block_apply(struct ledger_block *block, const struct ledger_proposal *proposal,
                       struct hm_error *error)
{
    int rc = ledger_block_expire(block, error);

    for (size_t i = 0; rc == 0 && i < proposal->count; i++)
        rc = ledger_batch_apply(block, proposal->items[i], (uint32_t)i, error);
    if (rc == 0)
        rc = ledger_supply_check(block, error);
    if (rc == 0)
        rc = ledger_block_write(block, proposal, error);
    return fatal(rc, error);
}

int ledger_finalize(struct ledger *ledger, const struct ledger_proposal *proposal,
                    struct ledger_outcome *out, struct hm_error *error)
{
    struct ledger_block *block;
    int rc;

    if (ledger->block)
        return hm_fail(error, HM_ECONFLICT, "a block is under way: commit or abandon it first");
    ledger_block_free(HM_TAKE(ledger->done));
    rc = proposal_check(ledger, proposal, error);
    if (rc)
        return rc;
    rc = ledger_block_new(ledger, proposal, &block, error);
    if (rc)
        return rc;
    rc = block_apply(block, proposal, error);
    if (rc) {
        ledger_block_free(block);
        return rc;
    }
    ledger->block = block;
    memcpy(out->state_root, block->next.state_root, CRYPTO_HASH_BYTES);
    out->record = &block->record;
    out->next_due_ms = block->next.next_due_ms;
    return 0;
}

int ledger_commit(struct ledger *ledger, struct hm_error *error)
{
    struct ledger_block *block = HM_TAKE(ledger->block);
    int rc;

    if (!block)
        return hm_fail(error, HM_ECONFLICT, "there is no block to commit");
    rc = store_commit(HM_TAKE(block->txn), error);
    if (rc == 0) {
        pthread_mutex_lock(&ledger->lock);
        ledger->info = block->next;
        pthread_mutex_unlock(&ledger->lock);
        if (block->kv.rules_next) {
            ledger_kv_rules_free(ledger->kv_rules);
            ledger->kv_rules = HM_TAKE(block->kv.rules_next);
        }
        ledger->done = block;
    } else {
        ledger_block_free(block);
    }
    return rc;
}

void ledger_abandon(struct ledger *ledger)
{
    ledger_block_free(HM_TAKE(ledger->block));
}

int ledger_process(struct ledger *ledger, const struct ledger_proposal *proposal,
                   struct hm_error *error)
{
    struct ledger_info info;
    struct hm_arena arena;
    uint64_t total = 0;
    size_t txs = 0;
    int rc = ledger_info(ledger, &info, error);

    if (rc == 0)
        rc = proposal_check(ledger, proposal, error);
    if (rc)
        return rc;
    hm_arena_init(&arena, LEDGER_TX_ARENA_BYTES);
    for (size_t i = 0; rc == 0 && i < proposal->count; i++) {
        uint64_t weight;
        size_t count_txs;

        hm_arena_clear(&arena);
        rc = ledger_batch_weigh(ledger->params, &ledger->seen, proposal->items[i], &arena, &weight,
                                &count_txs, error);
        if (rc) {
            hm_error_prefix(error, rc, "item %zu", i);
            break;
        }
        total += weight;
        txs += count_txs;
        if (txs > LEDGER_BLOCK_MAX_TXS)
            rc = hm_fail(error, HM_ELIMIT,
                         "item %zu does not fit: the block has more than %zu transactions", i,
                         LEDGER_BLOCK_MAX_TXS);
        /* One item alone may be too heavy: the block then refuses its transactions. */
        if (rc == 0 && i > 0 && total > ledger->params->block_weight_max)
            rc = hm_fail(error, HM_ELIMIT, "item %zu does not fit: the block weighs over %llu", i,
                         (unsigned long long)ledger->params->block_weight_max);
    }
    hm_arena_release(&arena);
    return rc;
}
