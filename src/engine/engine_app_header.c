/* The header of a cluster's block: what the engine said of it, in the ledger's own words. */
#include <stdlib.h>

#include "engine_app.h"

#define APP_NS_PER_MS 1000000
/* Where the engine has not made its own block yet: PrepareProposal judges what it puts together without it. */
static const uint8_t app_no_hash[CRYPTO_HASH_BYTES];
static const uint8_t app_no_address[ENGINE_ADDRESS_BYTES];

uint64_t engine_app_time_ms(const Hypermesh__Abci__Timestamp *time)
{
    if (time == NULL || time->seconds < 0 || time->seconds > INT64_MAX / 1000 - 1)
        return 0;
    uint32_t nanos = time->nanos > 0 ? (uint32_t)time->nanos : 0;

    return (uint64_t)time->seconds * 1000 + nanos / APP_NS_PER_MS;
}

/* Who did not vote for the block before, and who voted, but for none: he was there. */
static int app_facts_absent(const Hypermesh__Abci__CommitInfo *commit, struct hm_arena *arena,
                            Hypermesh__EngineFacts *facts)
{
    size_t bytes = (commit->n_votes + 7) / 8;
    uint8_t *absent = hm_arena_alloc(arena, bytes + 1);
    uint8_t *nil = hm_arena_alloc(arena, bytes + 1);
    bool any_nil = false;

    if (absent == NULL || nil == NULL)
        return HM_ENOMEM;
    for (size_t i = 0; i < commit->n_votes; i++) {
        uint8_t bit = (uint8_t)(1U << i % 8);

        if (commit->votes[i]->flag == HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_ABSENT)
            absent[i / 8] |= bit;
        if (commit->votes[i]->flag == HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_NIL) {
            nil[i / 8] |= bit;
            any_nil = true;
        }
    }
    facts->absent = wire_bytes(absent, bytes);
    if (any_nil)
        facts->nil = wire_bytes(nil, bytes);
    facts->round = commit->round > 0 ? (uint32_t)commit->round : 0;
    return 0;
}

static uint64_t app_unsigned(int64_t value)
{
    return value > 0 ? (uint64_t)value : 0;
}

static void app_fault(const Hypermesh__Abci__Misbehavior *said, Hypermesh__EngineFault *out)
{
    hypermesh__engine_fault__init(out);
    out->kind = (uint32_t)said->type;
    if (said->validator != NULL) {
        out->address = said->validator->address;
        out->power = app_unsigned(said->validator->power);
    }
    out->height = app_unsigned(said->height);
    out->time_ms = engine_app_time_ms(said->time);
    out->total_power = app_unsigned(said->total_voting_power);
}

/* Of faults of one kind of one validator the one that reaches most of its stake comes first: the earliest. */
static int app_fault_order(const void *a, const void *b)
{
    const Hypermesh__EngineFault *x = *(Hypermesh__EngineFault *const *)a;
    const Hypermesh__EngineFault *y = *(Hypermesh__EngineFault *const *)b;
    int order = hm_slice_compare(wire_slice(x->address), wire_slice(y->address));

    if (order == 0)
        order = (x->kind > y->kind) - (x->kind < y->kind);
    if (order == 0)
        order = (x->time_ms > y->time_ms) - (x->time_ms < y->time_ms);
    return order != 0 ? order : (x->height > y->height) - (x->height < y->height);
}

static bool app_fault_same(const Hypermesh__EngineFault *a, const Hypermesh__EngineFault *b)
{
    return a->kind == b->kind && hm_slice_equal(wire_slice(a->address), wire_slice(b->address));
}

/* The engine names one fault as often as it has been shown; each validator counts once a kind, or one of little stake could
 * fill the header and keep another's out. */
static int app_facts_faults(const struct engine_app_said *said, struct hm_arena *arena,
                            Hypermesh__EngineFacts *facts)
{
    size_t count = said->fault_count, kept = 0;
    Hypermesh__EngineFault *faults = hm_arena_alloc(arena, (count + 1) * sizeof(*faults));
    Hypermesh__EngineFault **list = hm_arena_alloc(arena, (count + 1) * sizeof(*list));

    if (faults == NULL || list == NULL)
        return HM_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        app_fault(said->faults[i], &faults[i]);
        list[i] = &faults[i];
    }
    qsort(list, count, sizeof(Hypermesh__EngineFault *), app_fault_order);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || !app_fault_same(list[kept - 1], list[i]))
            list[kept++] = list[i];
    facts->faults = list;
    facts->n_faults = kept;
    return kept > ENGINE_APP_FAULTS_MAX ? HM_ELIMIT : 0;
}

static int app_facts(const struct engine_app_said *said, struct hm_arena *arena,
                     Hypermesh__EngineFacts *facts)
{
    int rc = 0;

    facts->round = said->round > 0 ? (uint32_t)said->round : 0;
    if (said->commit != NULL)
        rc = app_facts_absent(said->commit, arena, facts);

    if (rc == 0)
        rc = app_facts_faults(said, arena, facts);
    facts->hash = said->hash.len > 0 ? said->hash : wire_bytes(app_no_hash, sizeof(app_no_hash));
    facts->proposer = said->proposer.len > 0 ? said->proposer
                                             : wire_bytes(app_no_address, sizeof(app_no_address));
    facts->next_validators_hash = said->next_validators_hash;
    facts->bft_time_ms = engine_app_time_ms(said->time);
    facts->recovery = said->recovery;
    return rc;
}

static int app_data_root(const struct ledger_proposal *proposal, struct hm_arena *arena,
                         uint8_t out[CRYPTO_HASH_BYTES])
{
    uint8_t *hashes = hm_arena_alloc(arena, (proposal->count + 1) * CRYPTO_HASH_BYTES);

    if (hashes == NULL)
        return HM_ENOMEM;
    crypto_hash_each(proposal->items, proposal->count, hashes);
    crypto_merkle_root(hashes, proposal->count, out);
    return 0;
}

static int app_header_pack(const Hypermesh__BlockHeader *header, struct hm_arena *arena,
                           struct ledger_proposal *proposal)
{
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    int rc = wire_pack(&header->base, &packed);

    if (rc != 0)
        return rc;
    const uint8_t *bytes = hm_arena_dup(arena, packed.data, packed.len);
    if (bytes == NULL)
        return HM_ENOMEM;
    proposal->header = hm_slice_of(bytes, packed.len);
    proof_block_hash(proposal->header, proposal->hash);
    return 0;
}

int engine_app_header(const struct engine_app_said *said, const struct ledger_info *previous,
                      struct hm_arena *arena, struct ledger_proposal *proposal,
                      struct hm_error *error)
{
    Hypermesh__BlockHeader header = HYPERMESH__BLOCK_HEADER__INIT;
    Hypermesh__EngineFacts facts = HYPERMESH__ENGINE_FACTS__INIT;
    uint8_t data_root[CRYPTO_HASH_BYTES];
    struct hm_slice first = proposal->count > 0 ? proposal->items[0] : (struct hm_slice){0};
    int rc = ledger_note_time(first, engine_app_time_ms(said->time), previous->time_ms,
                              &proposal->time_ms, error);

    if (rc != 0)
        return rc;
    rc = app_data_root(proposal, arena, data_root);
    if (rc == 0)
        rc = app_facts(said, arena, &facts);
    if (rc == HM_ELIMIT)
        return hm_fail(error, HM_EINTERNAL,
                       "the engine names more validators at fault than there can be (%d)",
                       ENGINE_APP_FAULTS_MAX);
    if (rc != 0)
        return hm_fail(error, rc, "no memory for a block's header");
    header.chain_id = (char *)(uintptr_t)previous->chain_id;
    header.height = proposal->height;
    header.time_ms = proposal->time_ms;
    header.previous_hash = wire_bytes(previous->block_hash, CRYPTO_HASH_BYTES);
    header.previous_state_root = wire_bytes(previous->state_root, CRYPTO_HASH_BYTES);
    header.data_root = wire_bytes(data_root, sizeof(data_root));
    header.engine = &facts;
    if (app_header_pack(&header, arena, proposal) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a block's header");
    return 0;
}
