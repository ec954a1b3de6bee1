/* Who makes room when as many validators are declared as the chain keeps. */
#include "ledger_overlay_range.h"
#include "ledger_validator.h"

static bool is_told(const Hypermesh__EngineState *state, const uint8_t operator_id[LEDGER_ID_BYTES])
{
    const Hypermesh__EngineSet *set = state->n_sets > 0 ? state->sets[state->n_sets - 1] : NULL;

    for (size_t i = 0; set && i < set->n_members; i++) {
        if (hm_slice_equal(wire_slice(set->members[i]->operator_),
                           hm_slice_of(operator_id, LEDGER_ID_BYTES)))
            return true;
    }
    return false;
}

static int stake_of(struct ledger_block *block, const uint8_t operator_id[LEDGER_ID_BYTES],
                    struct hm_arena *arena, uint64_t *stake, struct hm_error *error)
{
    uint8_t key[LEDGER_KEY_ID_BYTES];
    Hypermesh__Validator *validator;
    struct hm_slice bytes;
    int rc = ledger_overlay_peek(
        &block->overlay, ledger_key_id(LEDGER_KEY_VALIDATOR, operator_id, key), &bytes, error);

    if (rc == HM_ENOTFOUND)
        return hm_fail(error, HM_ECORRUPT, "a validator that is counted is missing");
    if (rc)
        return rc;
    hm_arena_clear(arena);
    rc = WIRE_UNPACK(hypermesh__validator, bytes, LEDGER_STATE_MAX_BYTES, arena, &validator, error);
    if (rc)
        return rc == HM_ENOMEM ? rc : hm_fail(error, HM_ECORRUPT, "a stored validator is damaged");
    *stake = validator->stake;
    return 0;
}

static int weakest_walk(struct ledger_overlay_range *range, struct ledger_block *block,
                        const Hypermesh__EngineState *state, uint8_t out[LEDGER_ID_BYTES],
                        uint64_t *least, struct hm_error *error)
{
    struct hm_arena arena;
    struct hm_slice value;
    struct hm_slice key;
    int rc;

    *least = UINT64_MAX;
    hm_arena_init(&arena, LEDGER_TX_ARENA_BYTES);
    while ((rc = ledger_overlay_range_next(range, &key, &value, error)) == 0) {
        uint8_t operator_id[LEDGER_ID_BYTES];
        uint64_t stake = 0;

        if (key.len != LEDGER_KEY_ID_BYTES || is_told(state, key.data + 1))
            continue;
        memcpy(operator_id, key.data + 1, sizeof operator_id);
        rc = stake_of(block, operator_id, &arena, &stake, error);
        if (rc)
            break;
        if (stake < *least) {
            *least = stake;
            memcpy(out, operator_id, sizeof operator_id);
        }
    }
    hm_arena_release(&arena);
    return rc == HM_ENOTFOUND ? 0 : rc;
}

int ledger_validator_weakest(struct ledger_scope *scope, uint8_t out[LEDGER_ID_BYTES],
                             uint64_t *stake, struct hm_error *error)
{
    const uint8_t first = LEDGER_KEY_ACTIVE;
    const uint8_t past = LEDGER_KEY_ACTIVE + 1;
    struct ledger_overlay_range range;
    Hypermesh__EngineState *state;
    int rc = ledger_scope_engine(scope, &state, error);

    if (rc == 0)
        rc = ledger_overlay_range_open(&scope->block->overlay, hm_slice_of(&first, 1),
                                       hm_slice_of(&past, 1), &range, error);
    if (rc)
        return rc;
    rc = weakest_walk(&range, scope->block, state, out, stake, error);
    ledger_overlay_range_close(&range);
    return rc;
}
