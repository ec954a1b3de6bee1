/* Do delegations add up to what their validators say? For `nexus verify`. */
#include "ledger_validator.h"

/* Of all. */
struct tallies {
    uint64_t delegations;
    uint64_t active;
};

/* Of one validator. */
struct tally {
    uint64_t shares;
    uint64_t own;
    uint64_t delegations;
};

static int damaged(struct hm_error *error)
{
    return hm_fail(error, HM_ECORRUPT, "a stored delegation or validator is damaged");
}

/* Shares of pool number i that the entry has are taken from what the pool says. */
static bool entry_take(Hypermesh__Validator *validator, const Hypermesh__Leaving *entry)
{
    for (size_t i = 0; i < validator->n_leaving; i++) {
        Hypermesh__LeavingPool *pool = validator->leaving[i];

        if (pool->number == entry->pool)
            return hm_sub_u64(pool->shares, entry->shares, &pool->shares);
    }
    return false;
}

static int delegation_count(Hypermesh__Validator *validator, struct hm_slice bytes,
                            struct hm_arena *arena, struct tally *tally, struct hm_error *error)
{
    Hypermesh__Delegation *delegation;
    int rc = WIRE_UNPACK(hypermesh__delegation, bytes, LEDGER_STATE_MAX_BYTES, arena, &delegation,
                         error);

    if (rc)
        return rc == HM_ENOMEM ? rc : damaged(error);
    if (!ledger_delegation_sound(delegation) ||
        !hm_add_u64(tally->shares, delegation->shares, &tally->shares))
        return damaged(error);
    tally->delegations++;
    if (ledger_id_equal(delegation->delegator, validator->operator_))
        tally->own = delegation->shares;
    for (size_t i = 0; i < delegation->n_leaving; i++) {
        if (!entry_take(validator, delegation->leaving[i]))
            return hm_fail(error, HM_ECORRUPT, "stake leaves that is in no pool");
    }
    return 0;
}

static int delegations_count(struct store_txn *txn, Hypermesh__Validator *validator,
                             struct hm_arena *arena, struct tally *tally, struct hm_error *error)
{
    uint8_t start[LEDGER_KEY_ID_BYTES];
    struct store_cursor *cursor;
    struct hm_slice key;
    struct hm_slice value;
    int rc = store_cursor_open(txn, LEDGER_TABLE_STATE, &cursor, error);

    if (rc)
        return rc;
    rc = store_cursor_seek(cursor,
                           ledger_key_id(LEDGER_KEY_DELEGATION, validator->operator_.data, start),
                           &key, &value);
    while (rc == 0 && key.len == LEDGER_KEY_DELEGATION_BYTES &&
           memcmp(key.data, start, sizeof start) == 0) {
        hm_arena_clear(arena);
        rc = delegation_count(validator, value, arena, tally, error);
        if (rc == 0)
            rc = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    return rc == HM_ENOTFOUND ? 0 : rc;
}

static int validator_audit(struct store_txn *txn, struct hm_slice bytes, struct hm_arena arenas[2],
                           struct tallies *tallies, struct hm_error *error)
{
    Hypermesh__Validator *validator;
    struct tally tally = {0};
    int rc;

    hm_arena_clear(&arenas[0]);
    rc = WIRE_UNPACK(hypermesh__validator, bytes, LEDGER_STATE_MAX_BYTES, &arenas[0], &validator,
                     error);
    if (rc)
        return rc == HM_ENOMEM ? rc : damaged(error);
    if (!ledger_validator_sound(validator))
        return damaged(error);
    rc = delegations_count(txn, validator, &arenas[1], &tally, error);
    if (rc)
        return rc;
    if (tally.shares != validator->shares || tally.own != validator->own_shares)
        return hm_fail(error, HM_ECORRUPT, "a validator says %llu shares, its delegations are %llu",
                       (unsigned long long)validator->shares, (unsigned long long)tally.shares);
    for (size_t i = 0; i < validator->n_leaving; i++) {
        if (validator->leaving[i]->shares != 0)
            return hm_fail(error, HM_ECORRUPT,
                           "a validator keeps %llu shares that nobody waits for",
                           (unsigned long long)validator->leaving[i]->shares);
    }
    tallies->delegations += tally.delegations;
    tallies->active += !validator->retired && !validator->tombstoned;
    return 0;
}

/* How many keys have this prefix. */
static int keys_count(struct store_txn *txn, uint8_t prefix, uint64_t *count,
                      struct hm_error *error)
{
    struct store_cursor *cursor;
    struct hm_slice key;
    struct hm_slice value;
    int rc = store_cursor_open(txn, LEDGER_TABLE_STATE, &cursor, error);

    if (rc)
        return rc;
    rc = store_cursor_seek(cursor, hm_slice_of(&prefix, 1), &key, &value);
    for (*count = 0; rc == 0 && key.data[0] == prefix; ++*count)
        rc = store_cursor_next(cursor, &key, &value);
    store_cursor_close(cursor);
    return rc == HM_ENOTFOUND ? 0 : rc;
}

/* How many validators may have power, as the state says. */
static int active_read(struct store_txn *txn, struct hm_arena *arena, uint64_t *active,
                       struct hm_error *error)
{
    const uint8_t key = LEDGER_KEY_ENGINE;
    Hypermesh__EngineState *state;
    struct hm_slice bytes;
    int rc = store_get(txn, LEDGER_TABLE_STATE, hm_slice_of(&key, 1), &bytes);

    *active = 0;
    if (rc)
        return rc == HM_ENOTFOUND ? 0 : rc;
    rc = WIRE_UNPACK(hypermesh__engine_state, bytes, LEDGER_STATE_MAX_BYTES, arena, &state, error);
    if (rc)
        return rc == HM_ENOMEM ? rc : damaged(error);
    *active = state->active;
    return 0;
}

static int active_check(struct store_txn *txn, struct hm_arena *arena, uint64_t active,
                        struct hm_error *error)
{
    uint64_t listed;
    uint64_t said;
    int rc = keys_count(txn, LEDGER_KEY_ACTIVE, &listed, error);

    if (rc == 0)
        rc = active_read(txn, arena, &said, error);
    if (rc == 0 && (listed != active || said != active))
        rc = hm_fail(
            error, HM_ECORRUPT, "%llu validators may have power, %llu are listed and %llu counted",
            (unsigned long long)active, (unsigned long long)listed, (unsigned long long)said);
    return rc;
}

static int delegations_check(struct store_txn *txn, uint64_t delegations, struct hm_error *error)
{
    uint64_t stored;
    int rc = keys_count(txn, LEDGER_KEY_DELEGATION, &stored, error);

    if (rc == 0 && stored != delegations)
        rc = hm_fail(error, HM_ECORRUPT, "%llu delegations are to no validator",
                     (unsigned long long)(stored - delegations));
    return rc;
}

int ledger_validators_audit(struct store_txn *txn, struct hm_error *error)
{
    const uint8_t first = LEDGER_KEY_VALIDATOR;
    struct hm_arena arenas[2];
    struct store_cursor *cursor;
    struct tallies tallies = {0};
    struct hm_slice key;
    struct hm_slice value;
    int rc = store_cursor_open(txn, LEDGER_TABLE_STATE, &cursor, error);

    if (rc)
        return rc;
    hm_arena_init(&arenas[0], LEDGER_TX_ARENA_BYTES);
    hm_arena_init(&arenas[1], LEDGER_TX_ARENA_BYTES);
    rc = store_cursor_seek(cursor, hm_slice_of(&first, 1), &key, &value);
    while (rc == 0 && key.data[0] == LEDGER_KEY_VALIDATOR) {
        rc = validator_audit(txn, value, arenas, &tallies, error);
        if (rc == 0)
            rc = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    if (rc == 0 || rc == HM_ENOTFOUND)
        rc = delegations_check(txn, tallies.delegations, error);
    if (rc == 0)
        rc = active_check(txn, &arenas[0], tallies.active, error);
    hm_arena_release(&arenas[0]);
    hm_arena_release(&arenas[1]);
    return rc;
}
