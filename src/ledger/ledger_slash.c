/* What faults cost: a part of the stake, and of what has begun to leave since. */
#include "ledger_restore.h"
#include "ledger_validator.h"

/* The engine's kinds of fault. */
enum { FAULT_DOUBLE_SIGN = 1, FAULT_LIGHT_CLIENT = 2 };

int ledger_named_add(struct ledger_block *block, struct ledger_named *named, ProtobufCBinaryData id,
                     struct hm_error *error)
{
    uint8_t *copy = hm_arena_dup(&block->arena, id.data, id.len);
    bool full = (named->count & (named->count - 1)) == 0; /* 0, 1, 2, 4, ... */
    ProtobufCBinaryData *list = named->list;

    if (full)
        list = hm_arena_alloc(&block->arena, (2 * named->count + 1) * sizeof *list);
    if (!copy || !list)
        return hm_fail(error, HM_ENOMEM, "no memory for a block's record");
    if (full && named->count > 0)
        memcpy(list, named->list, named->count * sizeof *list);
    named->list = list;
    named->list[named->count++] = wire_bytes(copy, id.len);
    return 0;
}

/* Rounded up: who is at fault has no advantage of it. */
static int part_burn(struct ledger_scope *scope, Hypermesh__Validator *validator, uint64_t *held,
                     uint64_t ppm, struct hm_error *error)
{
    uint64_t amount;
    int rc;

    if (!hm_muldiv_up_u64(*held, ppm, LEDGER_PPM, &amount))
        return hm_fail(error, HM_EINTERNAL, "a part of a stake does not fit");
    rc = ledger_money_stake_burn(scope, held, amount, error);
    if (rc == 0 && !hm_add_u64(validator->slashed, amount, &validator->slashed))
        validator->slashed = UINT64_MAX;
    return rc;
}

/* The first pool that a fault of that time reaches, at most the one of now. */
static uint64_t pool_since(const struct ledger_scope *scope, uint64_t since_ms)
{
    const Hypermesh__Params *params = scope->block->params;
    /* The engine's time and the ledger's may lie that far apart. */
    uint64_t from = since_ms > params->time_window_ms ? since_ms - params->time_window_ms : 0;

    if (from > scope->block->time_ms)
        from = scope->block->time_ms;
    return from / ledger_leaving_span(params);
}

/* Pools from one number up to another, which is left out. */
static int pools_burn(struct ledger_scope *scope, Hypermesh__Validator *validator, uint64_t ppm,
                      uint64_t from, uint64_t to, struct hm_error *error)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < validator->n_leaving; i++) {
        Hypermesh__LeavingPool *pool = validator->leaving[i];

        if (pool->number >= from && pool->number < to)
            rc = part_burn(scope, validator, &pool->stake, ppm, error);
    }
    return rc;
}

int ledger_slash(struct ledger_scope *scope, Hypermesh__Validator *validator, uint64_t ppm,
                 uint64_t since_ms, struct hm_error *error)
{
    int rc = part_burn(scope, validator, &validator->stake, ppm, error);

    if (rc == 0)
        rc = pools_burn(scope, validator, ppm, pool_since(scope, since_ms), UINT64_MAX, error);
    scope->block->stake_changed = true;
    return rc;
}

/* A fault from before the one that the validator was tombstoned for: what had begun to leave between them was spared by
 * that one, or else whoever means to keep it would report a later fault of his own first. */
static int earlier_burn(struct ledger_scope *scope, Hypermesh__Validator *validator,
                        uint64_t since_ms, struct hm_error *error)
{
    uint64_t from = pool_since(scope, since_ms);
    int rc;

    if (from >= validator->burnt_pool)
        return 0;
    rc = pools_burn(scope, validator, scope->block->params->slash_double_ppm, from,
                    validator->burnt_pool, error);
    validator->burnt_pool = from;
    return rc;
}

static int header_time(struct ledger_block *block, uint64_t height, struct hm_arena *arena,
                       uint64_t *time_ms, struct hm_error *error)
{
    Hypermesh__BlockHeader *header;
    Hypermesh__Block *stored;
    struct hm_slice bytes;
    uint8_t key[8];
    int rc = store_get(block->txn, LEDGER_TABLE_BLOCK, ledger_key_height(height, key), &bytes);

    if (rc == HM_ENOTFOUND) {
        rc = ledger_restore_header(block->txn, height, &bytes, error);
    } else if (rc == 0) {
        rc = WIRE_UNPACK(hypermesh__block, bytes, STORE_VALUE_MAX_BYTES, arena, &stored, error);
        if (rc == 0)
            bytes = wire_slice(stored->header);
    }
    if (rc == 0)
        rc = WIRE_UNPACK(hypermesh__block_header, bytes, LEDGER_HEADER_MAX_BYTES, arena, &header,
                         error);
    if (rc)
        return rc == HM_ENOMEM ? rc
                               : hm_fail(error, HM_ECORRUPT, "the header of block %llu is damaged",
                                         (unsigned long long)height);
    *time_ms = header->time_ms;
    return 0;
}

/* The engine's time of a block is that of the votes for the one before: after a pause it may lie days behind. So the time of the
 * ledger's own block counts, where every node has its header, also one that began with a snapshot. */
static int fault_time(struct ledger_block *block, const Hypermesh__EngineFault *fault,
                      uint64_t *time_ms, struct hm_error *error)
{
    struct hm_arena arena;
    int rc;

    *time_ms = fault->time_ms;
    if (fault->height == 0 || fault->height >= block->height ||
        block->height - fault->height >= block->params->anchor_max_blocks)
        return 0;
    hm_arena_init(&arena, 0);
    rc = header_time(block, fault->height, &arena, time_ms, error);
    hm_arena_release(&arena);
    return rc;
}

int ledger_slash_fault(struct ledger_scope *scope, const Hypermesh__EngineFault *fault,
                       struct hm_error *error)
{
    uint8_t address[LEDGER_VALIDATOR_ADDRESS_BYTES];
    Hypermesh__Validator *validator;
    struct ledger_object *object;
    uint64_t since_ms;
    int rc;

    if (fault->address.len != sizeof address ||
        (fault->kind != FAULT_DOUBLE_SIGN && fault->kind != FAULT_LIGHT_CLIENT))
        return 0;
    rc = fault_time(scope->block, fault, &since_ms, error);
    if (rc)
        return rc;
    /* All that was bound then may have left: it would be others who pay. */
    if (since_ms < scope->block->time_ms &&
        scope->block->time_ms - since_ms > scope->block->params->unbond_delay_ms)
        return 0;
    rc = ledger_scope_address(scope, fault->address.data, &object, error);
    if (rc || !object->message)
        return rc;
    rc = ledger_scope_validator_open(
        scope, ((const Hypermesh__EngineMember *)object->message)->operator_, &object, error);
    if (rc || !object->message)
        return rc;
    validator = (Hypermesh__Validator *)object->message;
    /* The operator may have retired that key and declared another since. */
    rc = ledger_validator_address(validator->key.data, address, error);
    if (rc || memcmp(address, fault->address.data, sizeof address) != 0)
        return rc;
    if (validator->tombstoned)
        return earlier_burn(scope, validator, since_ms, error);
    rc = ledger_slash(scope, validator, scope->block->params->slash_double_ppm, since_ms, error);
    validator->burnt_pool = pool_since(scope, since_ms);
    if (rc == 0 && !validator->retired)
        rc = ledger_validator_activate(scope, validator->operator_, false, error);
    validator->tombstoned = true;
    return rc ? rc
              : ledger_named_add(scope->block, &scope->block->tombstoned, validator->operator_,
                                 error);
}

int ledger_slash_plot(struct ledger_scope *scope, ProtobufCBinaryData node, uint64_t since_ms,
                      struct hm_error *error)
{
    Hypermesh__Validator *validator;
    struct ledger_object *object;
    int rc = ledger_scope_validator_open(scope, node, &object, error);

    if (rc || !object->message)
        return rc;
    validator = (Hypermesh__Validator *)object->message;
    return ledger_slash(scope, validator, scope->block->params->slash_plot_ppm, since_ms, error);
}
