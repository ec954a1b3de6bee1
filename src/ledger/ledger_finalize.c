/* FinalizeBlock and Commit: one block, one write transaction. */
#include "ledger_batch.h"
#include "ledger_facts.h"
#include "ledger_kv.h"
#include "ledger_supply.h"
#include "ledger_validator.h"
#include "ledger_witness.h"

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
    rc = ledger_facts_read(&ledger->info, proposal, &block->arena, &block->engine, error);
    /* No engine ordered a block before there was proof of stake. */
    block->scope = ledger->stake_known || block->engine ? LEDGER_SCOPE_ALL : LEDGER_SCOPE_OLD;
    if (rc == 0)
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

/* A note is no batch: it has no results. */
static int items_apply(struct ledger_block *block, const struct ledger_proposal *proposal,
                       struct hm_error *error)
{
    int rc = 0;

    block->item_charged = hm_arena_alloc(&block->arena,
                                         (proposal->count + 1) * sizeof *block->item_charged);
    if (!block->item_charged)
        return hm_fail(error, HM_ENOMEM, "no memory for a block's results");
    memset(block->item_charged, 0, (proposal->count + 1) * sizeof *block->item_charged);
    for (size_t i = 0; rc == 0 && i < proposal->count; i++) {
        if (!ledger_item_is_note(proposal->items[i]))
            rc = ledger_batch_apply(block, proposal->items[i], (uint32_t)i, error);
    }
    for (size_t i = 0; rc == 0 && i < block->placed_count; i++)
        block->item_charged[block->placed[i].item] += block->placed[i].charged;
    return rc;
}

/* What the block's note says beside its time. */
static int note_apply(struct ledger_block *block, const struct ledger_proposal *proposal,
                      struct hm_error *error)
{
    Hypermesh__BlockNote *note = NULL;
    int rc = 0;

    if (!block->engine || block->weight == 0)
        return 0;
    hm_arena_clear(&block->scratch);
    if (ledger_item_is_note(proposal->items[0]))
        rc = ledger_note_read(proposal->items[0], &block->scratch, &note, error);
    if (rc == 0)
        rc = ledger_witness_end_block(block, note, error);
    return rc ? rc : ledger_vdf_end_block(block, note, error);
}

static int block_apply(struct ledger_block *block, const struct ledger_proposal *proposal,
                       struct hm_error *error)
{
    int rc = ledger_block_expire(block, error);

    if (rc == 0)
        rc = items_apply(block, proposal, error);
    if (rc == 0)
        rc = note_apply(block, proposal, error);
    if (rc == 0)
        rc = ledger_validators_end_block(block, block->engine, error);
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
    out->changed = memcmp(block->next.state_root, ledger->info.state_root, CRYPTO_HASH_BYTES) != 0;
    out->record = &block->record;
    out->item_charged = block->item_charged;
    out->item_count = proposal->count;
    out->updates = block->updates;
    out->updates_count = block->updates_count;
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

/* Its votes and its link, by the state as it is. They have no effect but in a block that somebody pays for. */
static int note_judge(struct ledger *ledger, const struct ledger_proposal *proposal,
                      const Hypermesh__EngineFacts *engine, const Hypermesh__BlockNote *note,
                      struct hm_arena *arena, struct hm_error *error)
{
    const struct ledger_witness_place place = {
        .height = proposal->height, .time_ms = proposal->time_ms, .facts = engine};
    struct ledger_witness_votes votes;
    struct store_txn *txn;
    int rc;

    if (note->n_votes == 0 && !note->vdf)
        return 0;
    if (proposal->count < 2)
        return hm_fail(
            error, HM_EINVAL,
            "the note has votes or a link of the chain of delays, and no batch follows it");
    rc = store_begin_read(ledger->store, &txn, error);
    if (rc)
        return rc;
    rc = ledger_witness_read(ledger, txn, &place, note, arena, &votes, error);
    if (rc == 0)
        rc = ledger_vdf_read(ledger, txn, note, arena, error);
    store_abort(txn);
    return rc;
}

/* A cluster's block may begin with a note; only its proposer's clock is another matter. */
static int note_process(struct ledger *ledger, const struct ledger_info *info,
                        const struct ledger_proposal *proposal, struct hm_arena *arena,
                        struct hm_error *error)
{
    const Hypermesh__EngineFacts *engine;
    Hypermesh__BlockNote *note;
    int rc = ledger_facts_read(info, proposal, arena, &engine, error);

    if (rc || proposal->count == 0 || !ledger_item_is_note(proposal->items[0]))
        return rc;
    if (!engine)
        return hm_fail(error, HM_EPARSE, "item 0: a note, where no engine orders the blocks");
    rc = ledger_note_read(proposal->items[0], arena, &note, error);
    if (rc == 0 && note->time_ms == 0)
        rc = hm_fail(error, HM_EINVAL, "the block's note has no time: it is a request for one");
    if (rc == 0)
        rc = note_judge(ledger, proposal, engine, note, arena, error);
    return rc ? hm_error_prefix(error, rc, "item 0") : 0;
}

/* What the items weigh so far. */
struct process_sum {
    uint64_t weight;
    size_t txs;
    size_t
        first; /* the first batch: alone it may be too heavy, its transactions are refused then */
};

static int item_process(struct ledger *ledger, struct hm_slice item, size_t i,
                        struct hm_arena *arena, struct process_sum *sum, struct hm_error *error)
{
    uint64_t weight;
    size_t count_txs;
    int rc;

    if (i > 0 && ledger_item_is_note(item))
        return hm_fail(error, HM_EINVAL, "item %zu is a note: only the first may be one", i);
    rc = ledger_batch_weigh(ledger->params, &ledger->seen, item, arena, &weight, &count_txs, error);
    if (rc)
        return hm_error_prefix(error, rc, "item %zu", i);
    sum->weight += weight;
    sum->txs += count_txs;
    if (sum->txs > LEDGER_BLOCK_MAX_TXS)
        return hm_fail(error, HM_ELIMIT,
                       "item %zu does not fit: the block has more than %zu transactions", i,
                       LEDGER_BLOCK_MAX_TXS);
    if (i > sum->first && sum->weight > ledger->params->block_weight_max)
        return hm_fail(error, HM_ELIMIT, "item %zu does not fit: the block weighs over %llu", i,
                       (unsigned long long)ledger->params->block_weight_max);
    return 0;
}

int ledger_process(struct ledger *ledger, const struct ledger_proposal *proposal,
                   struct hm_error *error)
{
    struct process_sum sum = {0};
    struct ledger_info info;
    struct hm_arena arena;
    int rc = ledger_info(ledger, &info, error);

    if (rc == 0)
        rc = proposal_check(ledger, proposal, error);
    if (rc)
        return rc;
    hm_arena_init(&arena, LEDGER_TX_ARENA_BYTES);
    rc = note_process(ledger, &info, proposal, &arena, error);
    if (rc == 0 && proposal->count > 0 && ledger_item_is_note(proposal->items[0])) {
        sum.first = 1;
        sum.weight = proposal->items[0].len;
    }
    for (size_t i = sum.first; rc == 0 && i < proposal->count; i++) {
        hm_arena_clear(&arena);
        rc = item_process(ledger, proposal->items[i], i, &arena, &sum, error);
    }
    hm_arena_release(&arena);
    return rc;
}
