#include "ledger_supply.h"

#include "ledger_validator.h"

/* Sums of what accounts, leases and challenges hold. Differences are taken modulo 2^64: no sum of HYPER can pass
 * genesis, no sum of CAES what was minted, so equal modulo 2^64 is equal. */
struct sums {
    uint64_t accounts;
    uint64_t bonded;
    uint64_t escrow;
    uint64_t caes;
    uint64_t deposits; /* as accounts say */
    uint64_t challenged; /* as open challenges say: the same */
};

int ledger_supply_unpack(struct hm_slice bytes, struct hm_arena *arena, Hypermesh__Supply *out,
                         struct hm_error *error)
{
    Hypermesh__Supply *supply;
    int rc = WIRE_UNPACK(hypermesh__supply, bytes, LEDGER_STATE_MAX_BYTES, arena, &supply, error);

    if (rc)
        return rc == HM_ENOMEM ? rc : hm_fail(error, HM_ECORRUPT, "the supply record is damaged");
    *out = *supply;
    return 0;
}

static void account_sum(const Hypermesh__Account *account, struct sums *sums)
{
    sums->accounts += account->hyper;
    sums->bonded += account->bonded;
    for (size_t i = 0; i < account->n_unbonding; i++)
        sums->bonded += account->unbonding[i]->amount;
    sums->caes += account->caes;
    sums->deposits += account->deposits;
}

/* Staked HYPER is the validator's, with it and leaving it; so is CAES that nobody has taken yet. */
static void validator_sum(const Hypermesh__Validator *validator, struct sums *sums)
{
    sums->bonded += validator->stake;
    for (size_t i = 0; i < validator->n_leaving; i++)
        sums->bonded += validator->leaving[i]->stake;
    sums->caes += validator->caes;
}

/* Adds what the value under a key of the state holds; checks what one value shows by itself. */
static int value_sum(uint8_t prefix, struct hm_slice bytes, struct hm_arena *arena,
                     struct sums *sums, struct hm_error *error)
{
    Hypermesh__Account *account;
    Hypermesh__Asset *asset;
    Hypermesh__Lease *lease;
    Hypermesh__Challenge *challenge;
    Hypermesh__Validator *validator;
    int rc = 0;

    if (prefix == LEDGER_KEY_ACCOUNT) {
        rc = ledger_account_unpack(bytes, arena, &account, error);
        if (rc == 0)
            account_sum(account, sums);
    } else if (prefix == LEDGER_KEY_LEASE) {
        rc = WIRE_UNPACK(hypermesh__lease, bytes, LEDGER_STATE_MAX_BYTES, arena, &lease, error);
        if (rc == 0)
            sums->escrow += lease->escrow;
    } else if (prefix == LEDGER_KEY_CHALLENGE) {
        rc = WIRE_UNPACK(hypermesh__challenge, bytes, LEDGER_STATE_MAX_BYTES, arena, &challenge,
                         error);
        if (rc == 0 && challenge->state == HYPERMESH__CHALLENGE_STATE__CHALLENGE_OPEN)
            sums->challenged += challenge->deposit;
    } else if (prefix == LEDGER_KEY_VALIDATOR) {
        rc = WIRE_UNPACK(hypermesh__validator, bytes, LEDGER_STATE_MAX_BYTES, arena, &validator,
                         error);
        if (rc == 0)
            validator_sum(validator, sums);
    } else if (prefix == LEDGER_KEY_ASSET) {
        rc = WIRE_UNPACK(hypermesh__asset, bytes, LEDGER_STATE_MAX_BYTES, arena, &asset, error);
        if (rc == 0 && (asset->leased_ppm > LEDGER_SHARE_WHOLE ||
                        (asset->leased_ppm == 0) != (asset->leases == 0)))
            return hm_fail(error, HM_EINTERNAL, "an asset has %u leases of %u of 1000000 parts",
                           asset->leases, asset->leased_ppm);
    }
    if (rc && rc != HM_ENOMEM)
        return hm_fail(error, HM_ECORRUPT, "a value of the state is damaged");
    return rc;
}

/* HYPER is never made: what genesis gave out is free, bonded, in escrow, deposited or burnt. */
static int total_check(const Hypermesh__Supply *supply, struct hm_error *error)
{
    uint64_t sum = supply->hyper_burnt;

    if (!hm_add_u64(sum, supply->hyper_accounts, &sum) ||
        !hm_add_u64(sum, supply->hyper_bonded, &sum) ||
        !hm_add_u64(sum, supply->hyper_escrow, &sum) ||
        !hm_add_u64(sum, supply->hyper_deposits, &sum) || sum != supply->hyper_genesis)
        return hm_fail(
            error, HM_EINTERNAL,
            "supply is not conserved: burnt %llu + free %llu + bonded %llu + escrow "
            "%llu + deposits %llu is not genesis %llu",
            (unsigned long long)supply->hyper_burnt, (unsigned long long)supply->hyper_accounts,
            (unsigned long long)supply->hyper_bonded, (unsigned long long)supply->hyper_escrow,
            (unsigned long long)supply->hyper_deposits, (unsigned long long)supply->hyper_genesis);
    return 0;
}

int ledger_supply_check(struct ledger_block *block, struct hm_error *error)
{
    const Hypermesh__Supply *was = &block->supply_before;
    const Hypermesh__Supply *is = &block->supply;
    struct sums before = {0};
    struct sums now = {0};

    for (size_t i = 0; i < block->overlay.map.count; i++) {
        const struct ledger_map_entry *at = &block->overlay.map.entries[i];
        const struct ledger_overlay_entry *entry = at->value;
        int rc = 0;

        if (!ledger_overlay_changed(entry))
            continue;
        hm_arena_clear(&block->scratch);
        if (entry->before.present)
            rc = value_sum(at->key[0], hm_slice_of(entry->before.data, entry->before.len),
                           &block->scratch, &before, error);
        if (rc == 0 && entry->now.present)
            rc = value_sum(at->key[0], hm_slice_of(entry->now.data, entry->now.len),
                           &block->scratch, &now, error);
        if (rc)
            return rc;
    }
    if (now.accounts - before.accounts != is->hyper_accounts - was->hyper_accounts ||
        now.bonded - before.bonded != is->hyper_bonded - was->hyper_bonded ||
        now.escrow - before.escrow != is->hyper_escrow - was->hyper_escrow ||
        now.caes - before.caes != is->caes_minted - was->caes_minted ||
        now.deposits - before.deposits != is->hyper_deposits - was->hyper_deposits ||
        now.challenged - before.challenged != is->hyper_deposits - was->hyper_deposits ||
        is->hyper_genesis != was->hyper_genesis)
        return hm_fail(error, HM_EINTERNAL,
                       "supply is not conserved: balances, bonds, escrows, deposits or CAES "
                       "changed by another amount than the totals");
    return total_check(is, error);
}

/* --- the whole state --- */

/* What active leases hold of one asset. */
struct held {
    uint64_t ppm;
    uint32_t leases;
};

static int held_add(struct ledger_map *map, struct hm_arena *arena, const Hypermesh__Lease *lease,
                    struct hm_error *error)
{
    if (lease->state != HYPERMESH__LEASE_STATE__LEASE_ACTIVE)
        return 0;
    for (size_t i = 0; i < lease->n_items; i++) {
        struct hm_slice id = wire_slice(lease->items[i]->asset);
        struct ledger_map_entry *at = ledger_map_find(map, id);
        struct held *held = at ? at->value : hm_arena_alloc(arena, sizeof *held);

        if (!held || (!at && !ledger_map_add(map, id, held)))
            return hm_fail(error, HM_ENOMEM, "no memory to add up the leases");
        held->ppm += lease->items[i]->share_ppm;
        held->leases++;
    }
    return 0;
}

/* Goes through every key with this prefix. */
typedef int (*state_visit)(void *ctx, struct hm_slice key, struct hm_slice value,
                           struct hm_error *error);

static int state_walk(struct store_txn *txn, uint8_t prefix, state_visit visit, void *ctx,
                      struct hm_error *error)
{
    struct store_cursor *cursor;
    struct hm_slice key;
    struct hm_slice value;
    int rc = store_cursor_open(txn, LEDGER_TABLE_STATE, &cursor, error);

    if (rc)
        return rc;
    rc = store_cursor_seek(cursor, hm_slice_of(&prefix, 1), &key, &value);
    while (rc == 0 && key.data[0] == prefix) {
        rc = visit(ctx, key, value, error);
        if (rc == 0)
            rc = store_cursor_next(cursor, &key, &value);
        else if (rc == HM_ENOTFOUND)
            rc = HM_ECORRUPT;
    }
    store_cursor_close(cursor);
    return rc == HM_ENOTFOUND ? 0 : rc;
}

struct audit {
    struct hm_arena arena; /* one value */
    struct hm_arena held_arena;
    struct ledger_map held; /* asset id -> struct held */
    struct sums sums;
};

static int audit_value(void *ctx, struct hm_slice key, struct hm_slice value,
                       struct hm_error *error)
{
    struct audit *audit = ctx;
    Hypermesh__Lease *lease;
    int rc;

    hm_arena_clear(&audit->arena);
    rc = value_sum(key.data[0], value, &audit->arena, &audit->sums, error);
    if (rc || key.data[0] != LEDGER_KEY_LEASE)
        return rc;
    rc = WIRE_UNPACK(hypermesh__lease, value, LEDGER_STATE_MAX_BYTES, &audit->arena, &lease, error);
    return rc ? rc : held_add(&audit->held, &audit->held_arena, lease, error);
}

static int audit_asset(void *ctx, struct hm_slice key, struct hm_slice value,
                       struct hm_error *error)
{
    struct audit *audit = ctx;
    struct ledger_map_entry *at = ledger_map_find(&audit->held,
                                                  hm_slice_of(key.data + 1, key.len - 1));
    struct held none = {0};
    const struct held *held = at ? at->value : &none;
    Hypermesh__Asset *asset;
    int rc;

    hm_arena_clear(&audit->arena);
    rc = WIRE_UNPACK(hypermesh__asset, value, LEDGER_STATE_MAX_BYTES, &audit->arena, &asset, error);
    if (rc)
        return rc;
    if (asset->leased_ppm != held->ppm || asset->leases != held->leases)
        return hm_fail(
            error, HM_ECORRUPT, "an asset says %u leases of %u parts, its leases are %u of %llu",
            asset->leases, asset->leased_ppm, held->leases, (unsigned long long)held->ppm);
    return 0;
}

static int audit_totals(struct store_txn *txn, struct audit *audit, struct hm_error *error)
{
    const uint8_t key = LEDGER_KEY_SUPPLY;
    const struct sums *sums = &audit->sums;
    Hypermesh__Supply supply;
    struct hm_slice bytes;
    int rc = store_get(txn, LEDGER_TABLE_STATE, hm_slice_of(&key, 1), &bytes);

    if (rc)
        return hm_fail(error, HM_ECORRUPT, "the supply record is missing");
    rc = ledger_supply_unpack(bytes, &audit->arena, &supply, error);
    if (rc)
        return rc;
    if (sums->accounts != supply.hyper_accounts || sums->bonded != supply.hyper_bonded ||
        sums->escrow != supply.hyper_escrow || sums->caes != supply.caes_minted ||
        sums->deposits != supply.hyper_deposits || sums->challenged != supply.hyper_deposits)
        return hm_fail(
            error, HM_ECORRUPT,
            "the state holds %llu free, %llu bonded, %llu in escrow, %llu in deposits and %llu "
            "CAES; its totals say %llu, %llu, %llu, %llu and %llu",
            (unsigned long long)sums->accounts, (unsigned long long)sums->bonded,
            (unsigned long long)sums->escrow, (unsigned long long)sums->deposits,
            (unsigned long long)sums->caes, (unsigned long long)supply.hyper_accounts,
            (unsigned long long)supply.hyper_bonded, (unsigned long long)supply.hyper_escrow,
            (unsigned long long)supply.hyper_deposits, (unsigned long long)supply.caes_minted);
    return total_check(&supply, error);
}

int ledger_supply_audit(struct store_txn *txn, struct hm_error *error)
{
    struct audit audit = {0};
    int rc;

    hm_arena_init(&audit.arena, LEDGER_TX_ARENA_BYTES);
    hm_arena_init(&audit.held_arena, LEDGER_BLOCK_ARENA_BYTES);
    ledger_map_init(&audit.held, &audit.held_arena, NULL); /* asset ids are hashes */
    rc = state_walk(txn, LEDGER_KEY_ACCOUNT, audit_value, &audit, error);
    if (rc == 0)
        rc = state_walk(txn, LEDGER_KEY_LEASE, audit_value, &audit, error);
    if (rc == 0)
        rc = state_walk(txn, LEDGER_KEY_CHALLENGE, audit_value, &audit, error);
    if (rc == 0)
        rc = state_walk(txn, LEDGER_KEY_VALIDATOR, audit_value, &audit, error);
    if (rc == 0)
        rc = ledger_validators_audit(txn, error);
    if (rc == 0)
        rc = state_walk(txn, LEDGER_KEY_ASSET, audit_asset, &audit, error);
    if (rc == 0)
        rc = audit_totals(txn, &audit, error);
    hm_arena_release(&audit.arena);
    hm_arena_release(&audit.held_arena);
    return rc;
}
