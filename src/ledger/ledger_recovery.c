#include "ledger_recovery.h"

#include "ledger_overlay_range.h"
#include "ledger_view.h"

static bool is_chain_name(const char *text)
{
    size_t len = strlen(text);

    if (len == 0 || len > LEDGER_ENGINE_CHAIN_MAX_BYTES)
        return false;
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

int ledger_recovery_check(const Hypermesh__EngineRecovery *recovery, struct hm_error *error)
{
    if (!is_chain_name(recovery->engine_chain))
        return hm_fail(error, HM_EINVAL, "a recovery's engine_chain must be 1-%d of a-z 0-9 -",
                       LEDGER_ENGINE_CHAIN_MAX_BYTES);
    if (recovery->n_voters == 0 || recovery->n_voters > LEDGER_RECOVERY_VOTERS_MAX)
        return hm_fail(error, HM_EINVAL, "a recovery names 1 to %d voters, not %zu",
                       LEDGER_RECOVERY_VOTERS_MAX, recovery->n_voters);
    for (size_t i = 0; i < recovery->n_voters; i++) {
        if (recovery->voters[i].len != LEDGER_ID_BYTES)
            return hm_fail(error, HM_EINVAL, "a recovery's voters are accounts of %d bytes",
                           LEDGER_ID_BYTES);
        if (i > 0 && hm_slice_compare(wire_slice(recovery->voters[i - 1]),
                                      wire_slice(recovery->voters[i])) >= 0)
            return hm_fail(error, HM_EINVAL, "a recovery's voters are sorted, each once");
    }
    return 0;
}

bool ledger_recovery_names(const Hypermesh__EngineRecovery *recovery,
                           ProtobufCBinaryData operator_id)
{
    for (size_t i = 0; i < recovery->n_voters; i++)
        if (ledger_id_equal(recovery->voters[i], operator_id))
            return true;
    return false;
}

static int validator_jail(struct ledger_scope *scope, uint8_t operator_id[LEDGER_ID_BYTES],
                          const Hypermesh__EngineRecovery *recovery, struct hm_error *error)
{
    struct ledger_block *block = scope->block;
    Hypermesh__Validator *validator;
    int rc = ledger_scope_validator(scope, wire_bytes(operator_id, LEDGER_ID_BYTES), &validator,
                                    error);

    if (rc || validator->jailed || ledger_recovery_names(recovery, validator->operator_))
        return rc;
    validator->jailed = true;
    validator->jailed_until_ms = block->time_ms + block->params->jail_ms;
    validator->window_blocks = 0;
    validator->window_missed = 0;
    return ledger_named_add(block, &block->jailed, validator->operator_, error);
}

/* Ids of who may have power, as the block has it so far, in the block's arena. */
static int active_list(struct ledger_block *block, uint8_t (**out)[LEDGER_ID_BYTES], size_t *count,
                       struct hm_error *error)
{
    const uint8_t first = LEDGER_KEY_ACTIVE;
    const uint8_t past = LEDGER_KEY_ACTIVE + 1;
    size_t cap = LEDGER_VALIDATORS_A_PLACE * block->params->max_validators + 1;
    uint8_t(*list)[LEDGER_ID_BYTES] = hm_arena_alloc(&block->arena, cap * sizeof *list);
    struct ledger_overlay_range range;
    struct hm_slice key;
    struct hm_slice value;
    int rc = list ? ledger_overlay_range_open(&block->overlay, hm_slice_of(&first, 1),
                                              hm_slice_of(&past, 1), &range, error)
                  : hm_fail(error, HM_ENOMEM, "no memory for the set of validators");

    *count = 0;
    if (rc)
        return rc;
    while ((rc = ledger_overlay_range_next(&range, &key, &value, error)) == 0 && *count < cap) {
        if (key.len == LEDGER_KEY_ID_BYTES)
            memcpy(list[(*count)++], key.data + 1, LEDGER_ID_BYTES);
    }
    ledger_overlay_range_close(&range);
    *out = list;
    return rc == HM_ENOTFOUND ? 0 : rc;
}

static int others_jail(struct ledger_scope *scope, const Hypermesh__EngineRecovery *recovery,
                       struct hm_error *error)
{
    uint8_t(*list)[LEDGER_ID_BYTES] = NULL;
    size_t count;
    int rc = active_list(scope->block, &list, &count, error);

    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = validator_jail(scope, list[i], recovery, error);
    return rc;
}

int ledger_recovery_apply(struct ledger_scope *scope, Hypermesh__EngineState *state,
                          const Hypermesh__EngineRecovery *recovery, struct hm_error *error)
{
    struct ledger_block *block = scope->block;
    struct ledger_members members;
    ProtobufCBinaryData name = {0};
    size_t len = strlen(recovery->engine_chain) + 1;
    int rc = others_jail(scope, recovery, error);

    if (rc == 0)
        rc = ledger_members_going_on(block->txn, block->params, recovery, &block->arena, &members,
                                     error);
    if (rc == 0)
        rc = ledger_members_begin(scope, state, &members, error);
    if (rc == 0)
        rc = ledger_scope_bytes(scope, recovery->engine_chain, len, &name, error);
    if (rc)
        return rc;
    state->engine_chain = (char *)name.data;
    state->recoveries++;
    state->pending = false;
    block->stake_changed = true;
    (void)snprintf(block->next.engine_chain, sizeof block->next.engine_chain, "%s",
                   recovery->engine_chain);
    return 0;
}

int ledger_recovery_read_chain(struct store_txn *txn, struct ledger_info *info,
                               struct hm_error *error)
{
    const uint8_t key = LEDGER_KEY_ENGINE;
    Hypermesh__EngineState *state;
    struct hm_arena arena;
    struct hm_slice bytes;
    int rc = store_get(txn, LEDGER_TABLE_STATE, hm_slice_of(&key, 1), &bytes);

    memcpy(info->engine_chain, info->chain_id, sizeof info->chain_id);
    if (rc)
        return rc == HM_ENOTFOUND ? 0 : hm_fail(error, rc, "the engine's state could not be read");
    hm_arena_init(&arena, LEDGER_STATE_MAX_BYTES);
    rc = WIRE_UNPACK(hypermesh__engine_state, bytes, LEDGER_STATE_MAX_BYTES, &arena, &state, error);
    if (rc == 0 && strlen(state->engine_chain) >= sizeof info->engine_chain)
        rc = hm_fail(error, HM_ECORRUPT, "the engine's state is damaged");
    if (rc == 0 && state->engine_chain[0] != '\0')
        (void)snprintf(info->engine_chain, sizeof info->engine_chain, "%s", state->engine_chain);
    hm_arena_release(&arena);
    return rc;
}
