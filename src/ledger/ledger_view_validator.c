/* Views: validators, delegations, what they are worth, and the set that an engine begins with or was told. */
#include "ledger_recovery.h"
#include "ledger_view.h"

int ledger_view_validator(struct ledger_view *view, const uint8_t operator_id[32],
                          struct hm_arena *arena, Hypermesh__Validator **out,
                          struct hm_error *error)
{
    char text[WIRE_ID_TEXT_MAX];
    ProtobufCMessage *message;
    int rc = ledger_view_state(view, LEDGER_KEY_VALIDATOR, operator_id,
                               &hypermesh__validator__descriptor, arena, &message, error);

    if (rc == HM_ENOTFOUND) {
        wire_account_text(operator_id, text);
        return hm_fail(error, rc, "the account %s operates no validator", text);
    }
    if (rc == 0)
        *out = (Hypermesh__Validator *)message;
    return rc;
}

static int take_validator(struct ledger_page *page, struct hm_slice id, struct hm_slice value,
                          struct hm_error *error)
{
    (void)id;
    return ledger_page_keep(page, &hypermesh__validator__descriptor, value, error);
}

int ledger_view_validators(struct ledger_view *view, const uint8_t *after, size_t limit,
                           struct hm_arena *arena, Hypermesh__Validator ***out, size_t *count,
                           struct hm_error *error)
{
    struct ledger_page page;
    int rc = ledger_page_init(&page, view, limit, arena, error);

    if (rc == 0)
        rc = ledger_page_walk(&page, LEDGER_KEY_VALIDATOR, (struct hm_slice){0}, after,
                              take_validator, error);
    if (rc)
        return rc;
    *out = (Hypermesh__Validator **)page.messages;
    *count = page.count;
    return 0;
}

int ledger_view_delegation(struct ledger_view *view, const uint8_t validator[32],
                           const uint8_t delegator[32], struct hm_arena *arena,
                           Hypermesh__Delegation **out, struct hm_error *error)
{
    uint8_t key[LEDGER_KEY_DELEGATION_BYTES];
    ProtobufCMessage *message;
    struct hm_slice bytes;
    int rc = ledger_view_get(view, LEDGER_TABLE_STATE,
                             ledger_key_delegation(validator, delegator, key), &bytes, error);

    if (rc == HM_ENOTFOUND)
        return hm_fail(error, rc, "the account has delegated nothing to this validator");
    if (rc == 0)
        rc = ledger_view_unpack(&hypermesh__delegation__descriptor, bytes, LEDGER_STATE_MAX_BYTES,
                                arena, &message, error);
    if (rc == 0)
        *out = (Hypermesh__Delegation *)message;
    return rc;
}

static int take_delegation(struct ledger_page *page, struct hm_slice id, struct hm_slice value,
                           struct hm_error *error)
{
    (void)id;
    return ledger_page_keep(page, &hypermesh__delegation__descriptor, value, error);
}

int ledger_view_delegations(struct ledger_view *view, const uint8_t validator[32],
                            const uint8_t *after, size_t limit, struct hm_arena *arena,
                            Hypermesh__Delegation ***out, size_t *count, struct hm_error *error)
{
    struct ledger_page page;
    int rc = ledger_page_init(&page, view, limit, arena, error);

    if (rc == 0)
        rc = ledger_page_walk(&page, LEDGER_KEY_DELEGATION, hm_slice_of(validator, LEDGER_ID_BYTES),
                              after, take_delegation, error);
    if (rc)
        return rc;
    *out = (Hypermesh__Delegation **)page.messages;
    *count = page.count;
    return 0;
}

int ledger_view_delegated(struct ledger_view *view, const uint8_t delegator[32],
                          const uint8_t *after, size_t limit, struct hm_arena *arena,
                          Hypermesh__Validator ***out, size_t *count, struct hm_error *error)
{
    struct ledger_page page;
    int rc = ledger_page_init(&page, view, limit, arena, error);

    if (rc == 0)
        rc = ledger_page_listed(&page, LEDGER_INDEX_DELEGATION, delegator, after,
                                LEDGER_KEY_VALIDATOR, take_validator, error);
    if (rc)
        return rc;
    *out = (Hypermesh__Validator **)page.messages;
    *count = page.count;
    return 0;
}

void ledger_delegation_worth(const Hypermesh__Validator *validator,
                             const Hypermesh__Delegation *delegation,
                             struct ledger_delegation_worth *out)
{
    *out = (struct ledger_delegation_worth){
        .stake = ledger_stake_worth(validator->stake, validator->shares, delegation->shares)};
    if (!ledger_reward_owed(validator, delegation, &out->rewards))
        out->rewards = 0;
    for (size_t i = 0; i < delegation->n_leaving; i++) {
        const Hypermesh__Leaving *entry = delegation->leaving[i];

        if (entry->free_ms > out->free_ms)
            out->free_ms = entry->free_ms;
        for (size_t j = 0; j < validator->n_leaving; j++) {
            const Hypermesh__LeavingPool *pool = validator->leaving[j];

            if (pool->number == entry->pool)
                out->leaving += ledger_stake_worth(pool->stake, pool->shares, entry->shares);
        }
    }
}

/* --- the engine's set --- */

static int engine_state(struct ledger_view *view, struct hm_arena *arena,
                        Hypermesh__EngineState **out, struct hm_error *error)
{
    const uint8_t key = LEDGER_KEY_ENGINE;
    ProtobufCMessage *message;
    struct hm_slice bytes;
    int rc = ledger_view_get(view, LEDGER_TABLE_STATE, hm_slice_of(&key, 1), &bytes, error);

    *out = NULL;
    if (rc)
        return rc == HM_ENOTFOUND ? 0 : rc;
    rc = ledger_view_unpack(&hypermesh__engine_state__descriptor, bytes, LEDGER_STATE_MAX_BYTES,
                            arena, &message, error);
    if (rc == 0)
        *out = (Hypermesh__EngineState *)message;
    return rc;
}

static int updates_of(const struct ledger_members *members, struct hm_arena *arena,
                      struct ledger_validator_update **out, size_t *count, struct hm_error *error)
{
    struct ledger_validator_update *list = hm_arena_alloc(arena,
                                                          (members->count + 1) * sizeof *list);

    if (!list)
        return hm_fail(error, HM_ENOMEM, "no memory for the set of validators");
    for (size_t i = 0; i < members->count; i++) {
        memcpy(list[i].key, members->list[i].key, sizeof list[i].key);
        list[i].power = members->list[i].power;
    }
    *out = list;
    *count = members->count;
    return 0;
}

int ledger_view_engine_set(struct ledger_view *view, struct hm_arena *arena,
                           struct ledger_validator_update **out, size_t *count,
                           struct hm_error *error)
{
    struct ledger_members members = {0};
    Hypermesh__EngineState *state;
    int rc = engine_state(view, arena, &state, error);

    if (rc)
        return rc;
    rc = state && state->begun
             ? ledger_members_told(state, arena, &members, error)
             : ledger_members_stored(view->txn, view->ledger->params, arena, &members, error);
    return rc ? rc : updates_of(&members, arena, out, count, error);
}

static bool members_name(const struct ledger_members *members, ProtobufCBinaryData operator_id)
{
    for (size_t i = 0; i < members->count; i++)
        if (memcmp(members->list[i].operator_id, operator_id.data, LEDGER_ID_BYTES) == 0)
            return true;
    return false;
}

int ledger_view_recovery_set(struct ledger_view *view, const Hypermesh__EngineRecovery *recovery,
                             struct hm_arena *arena, struct ledger_validator_update **out,
                             size_t *count, struct hm_error *error)
{
    struct ledger_members members = {0};
    char text[WIRE_ID_TEXT_MAX];
    int rc = ledger_recovery_check(recovery, error);

    if (rc == 0)
        rc = ledger_members_going_on(view->txn, view->ledger->params, recovery, arena, &members,
                                     error);
    for (size_t i = 0; rc == 0 && i < recovery->n_voters; i++) {
        if (members_name(&members, recovery->voters[i]))
            continue;
        wire_account_text(recovery->voters[i].data, text);
        rc = hm_fail(error, HM_ECONFLICT,
                     "%s cannot go on as a validator: it is none, or is jailed, or has not bonded "
                     "enough",
                     text);
    }
    return rc ? rc : updates_of(&members, arena, out, count, error);
}

int ledger_view_recoveries(struct ledger_view *view, uint32_t *count, struct hm_error *error)
{
    Hypermesh__EngineState *state;
    struct hm_arena arena;
    int rc;

    hm_arena_init(&arena, 0);
    rc = engine_state(view, &arena, &state, error);
    *count = rc == 0 && state ? state->recoveries : 0;
    hm_arena_release(&arena);
    return rc;
}
