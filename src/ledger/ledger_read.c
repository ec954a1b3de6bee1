/* Reading the ledger's tables: keys, chain state, accounts as they are stored. */
#include <stdio.h>

#include "ledger_private.h"
#include "ledger_validator.h"

const char *const ledger_table_names[LEDGER_TABLE_COUNT] = {
    [LEDGER_TABLE_STATE] = "state",     [LEDGER_TABLE_LEAF] = "leaf",
    [LEDGER_TABLE_PAGE] = "page",       [LEDGER_TABLE_META] = "meta",
    [LEDGER_TABLE_BLOCK] = "block",     [LEDGER_TABLE_RECORD] = "record",
    [LEDGER_TABLE_TX] = "tx",           [LEDGER_TABLE_HISTORY] = "history",
    [LEDGER_TABLE_INDEX] = "index",     [LEDGER_TABLE_KV_LOG] = "kv_log",
    [LEDGER_TABLE_KV_PAST] = "kv_past",
};

const struct store_tree ledger_tree = {.leaf_table = LEDGER_TABLE_LEAF,
                                       .page_table = LEDGER_TABLE_PAGE};

struct hm_slice ledger_key_id(uint8_t prefix, const uint8_t id[LEDGER_ID_BYTES],
                              uint8_t out[LEDGER_KEY_ID_BYTES])
{
    out[0] = prefix;
    memcpy(out + 1, id, LEDGER_ID_BYTES);
    return hm_slice_of(out, LEDGER_KEY_ID_BYTES);
}

struct hm_slice ledger_key_due(uint64_t due_ms, struct hm_slice thing,
                               uint8_t out[LEDGER_KEY_DUE_MAX_BYTES])
{
    const size_t most = LEDGER_KEY_DUE_MAX_BYTES - 9;
    size_t len = thing.len <= most ? thing.len : most;

    out[0] = LEDGER_KEY_DUE;
    hm_put_be64(out + 1, due_ms);
    memcpy(out + 9, thing.data, len);
    return hm_slice_of(out, 9 + len);
}

struct hm_slice ledger_key_member(const uint8_t network[LEDGER_ID_BYTES],
                                  const uint8_t account[LEDGER_ID_BYTES],
                                  uint8_t out[LEDGER_KEY_MEMBER_BYTES])
{
    out[0] = LEDGER_KEY_MEMBER;
    memcpy(out + 1, network, LEDGER_ID_BYTES);
    memcpy(out + 1 + LEDGER_ID_BYTES, account, LEDGER_ID_BYTES);
    return hm_slice_of(out, LEDGER_KEY_MEMBER_BYTES);
}

struct hm_slice ledger_key_height(uint64_t height, uint8_t out[8])
{
    hm_put_be64(out, height);
    return hm_slice_of(out, 8);
}

struct hm_slice ledger_key_numbered(const uint8_t id[LEDGER_ID_BYTES], uint64_t number,
                                    uint8_t out[LEDGER_ID_BYTES + 8])
{
    memcpy(out, id, LEDGER_ID_BYTES);
    hm_put_be64(out + LEDGER_ID_BYTES, number);
    return hm_slice_of(out, LEDGER_ID_BYTES + 8);
}

static int damaged(struct hm_error *error, const char *what)
{
    return hm_fail(error, HM_ECORRUPT, "the ledger's %s is damaged", what);
}

/* What unpacking a stored value gave: anything but a want of memory is damage. */
static int unpacked(int rc, const char *what, struct hm_error *error)
{
    return rc && rc != HM_ENOMEM ? damaged(error, what) : rc;
}

/* A stored value that must be there. */
static int stored_get(struct store_txn *txn, unsigned table, struct hm_slice key, const char *what,
                      struct hm_slice *value, struct hm_error *error)
{
    int rc = store_get(txn, table, key, value);

    if (rc == HM_ENOTFOUND)
        return hm_fail(error, HM_ECORRUPT, "the ledger's %s is missing", what);
    return rc ? hm_fail(error, rc, "the ledger's %s could not be read", what) : 0;
}

int ledger_read_next_due(struct store_txn *txn, uint64_t *due_ms, struct hm_error *error)
{
    const uint8_t first = LEDGER_KEY_DUE;
    struct store_cursor *cursor;
    struct hm_slice key;
    struct hm_slice value;
    int rc = store_cursor_open(txn, LEDGER_TABLE_STATE, &cursor, error);

    if (rc)
        return rc;
    rc = store_cursor_seek(cursor, hm_slice_of(&first, 1), &key, &value);
    if (rc == 0 && key.len >= LEDGER_KEY_DUE_MIN_BYTES && key.data[0] == LEDGER_KEY_DUE)
        *due_ms = hm_get_be64(key.data + 1);
    else
        *due_ms = 0;
    store_cursor_close(cursor);
    return rc == HM_ENOTFOUND ? 0 : rc;
}

static int chain_state_copy(const Hypermesh__ChainState *state, struct ledger_info *info,
                            struct hm_error *error)
{
    if (state->block_hash.len != CRYPTO_HASH_BYTES || state->state_root.len != CRYPTO_HASH_BYTES)
        return damaged(error, "chain state");
    info->height = state->height;
    info->time_ms = state->time_ms;
    info->base_fee = state->base_fee;
    memcpy(info->block_hash, state->block_hash.data, CRYPTO_HASH_BYTES);
    memcpy(info->state_root, state->state_root.data, CRYPTO_HASH_BYTES);
    return 0;
}

int ledger_read_info(struct store_txn *txn, struct ledger_info *info, struct hm_error *error)
{
    const uint8_t key = LEDGER_META_CHAIN;
    struct ledger_info next = *info;
    struct hm_arena arena;
    struct hm_slice bytes;
    Hypermesh__ChainState *state;
    int rc = store_get(txn, LEDGER_TABLE_META, hm_slice_of(&key, 1), &bytes);

    if (rc == HM_ENOTFOUND)
        return hm_fail(error, rc, "the store holds no chain yet");
    if (rc)
        return hm_fail(error, rc, "the ledger's chain state could not be read");
    hm_arena_init(&arena, LEDGER_STATE_MAX_BYTES);
    rc = unpacked(
        WIRE_UNPACK(hypermesh__chain_state, bytes, LEDGER_STATE_MAX_BYTES, &arena, &state, error),
        "chain state", error);
    if (rc == 0)
        rc = chain_state_copy(state, &next, error);
    hm_arena_release(&arena);
    if (rc == 0)
        rc = ledger_read_next_due(txn, &next.next_due_ms, error);
    if (rc == 0)
        *info = next;
    return rc;
}

int ledger_read_name(struct store_txn *txn, struct ledger_info *info, struct hm_error *error)
{
    const uint8_t key = LEDGER_META_GENESIS;
    struct hm_arena arena;
    struct hm_slice bytes;
    Hypermesh__Genesis *genesis;
    int rc = stored_get(txn, LEDGER_TABLE_META, hm_slice_of(&key, 1), "genesis", &bytes, error);

    if (rc)
        return rc;
    hm_arena_init(&arena, LEDGER_STATE_MAX_BYTES);
    rc = unpacked(
        WIRE_UNPACK(hypermesh__genesis, bytes, LEDGER_GENESIS_MAX_BYTES, &arena, &genesis, error),
        "genesis", error);
    if (rc == 0 && strlen(genesis->chain_id) >= sizeof info->chain_id)
        rc = damaged(error, "genesis");
    if (rc == 0) {
        (void)snprintf(info->chain_id, sizeof info->chain_id, "%s", genesis->chain_id);
        crypto_hash(info->chain_id, strlen(info->chain_id), info->chain_hash);
    }
    hm_arena_release(&arena);
    return rc;
}

int ledger_read_params_stored(struct store_txn *txn, struct hm_arena *arena,
                              Hypermesh__Params **out, struct hm_error *error)
{
    const uint8_t key = LEDGER_KEY_PARAMS;
    struct hm_slice bytes;
    int rc = stored_get(txn, LEDGER_TABLE_STATE, hm_slice_of(&key, 1), "parameters", &bytes, error);

    if (rc)
        return rc;
    rc = WIRE_UNPACK(hypermesh__params, bytes, LEDGER_STATE_MAX_BYTES, arena, out, error);
    if (rc == HM_ELIMIT && bytes.len <= LEDGER_STATE_MAX_BYTES)
        return rc; /* the arena's limit is no damage */
    return unpacked(rc, "parameters", error);
}

int ledger_read_params(struct store_txn *txn, struct hm_arena *arena, Hypermesh__Params **out,
                       struct hm_error *error)
{
    int rc = ledger_read_params_stored(txn, arena, out, error);

    if (rc == 0)
        ledger_stake_params_fill(*out);
    return rc;
}

int ledger_read_hash(struct store_txn *txn, uint64_t height, uint8_t hash[CRYPTO_HASH_BYTES])
{
    uint8_t key[9] = {LEDGER_META_HASH};
    struct hm_slice value;
    int rc;

    hm_put_be64(key + 1, height);
    rc = store_get(txn, LEDGER_TABLE_META, hm_slice_of(key, sizeof key), &value);
    if (rc)
        return rc;
    if (value.len != CRYPTO_HASH_BYTES)
        return HM_ECORRUPT;
    memcpy(hash, value.data, CRYPTO_HASH_BYTES);
    return 0;
}

const uint8_t ledger_everybody[LEDGER_ID_BYTES];
static const uint8_t zero_presence[CRYPTO_HASH_BYTES];

Hypermesh__Account *ledger_account_blank(struct hm_arena *arena)
{
    Hypermesh__Account *account = hm_arena_alloc(arena, sizeof *account);

    if (!account)
        return NULL;
    *account = (Hypermesh__Account)HYPERMESH__ACCOUNT__INIT;
    account->presence = wire_bytes(zero_presence, sizeof zero_presence);
    return account;
}

int ledger_account_unpack(struct hm_slice bytes, struct hm_arena *arena, Hypermesh__Account **out,
                          struct hm_error *error)
{
    Hypermesh__Account *account;
    int rc = WIRE_UNPACK(hypermesh__account, bytes, LEDGER_STATE_MAX_BYTES, arena, &account, error);

    if (rc == HM_ENOMEM || (rc == HM_ELIMIT && bytes.len <= LEDGER_STATE_MAX_BYTES))
        return rc; /* the arena's limit is no damage */
    if (rc || account->presence.len != CRYPTO_HASH_BYTES)
        return hm_fail(error, HM_ECORRUPT, "a stored account is damaged");
    *out = account;
    return 0;
}

void ledger_account_mature(Hypermesh__Account *account, uint64_t now_ms)
{
    size_t kept = 0;

    for (size_t i = 0; i < account->n_unbonding; i++) {
        Hypermesh__Unbonding *entry = account->unbonding[i];

        if (entry->free_ms > now_ms || !hm_add_u64(account->hyper, entry->amount, &account->hyper))
            account->unbonding[kept++] = entry;
    }
    account->n_unbonding = kept;
}

int ledger_read_account(struct store_txn *txn, const uint8_t id[LEDGER_ID_BYTES],
                        struct hm_arena *arena, Hypermesh__Account **out, struct hm_error *error)
{
    uint8_t key[LEDGER_KEY_ID_BYTES];
    struct hm_slice bytes;
    Hypermesh__Account *blank;
    int rc = store_get(txn, LEDGER_TABLE_STATE, ledger_key_id(LEDGER_KEY_ACCOUNT, id, key), &bytes);

    if (rc == 0)
        return ledger_account_unpack(bytes, arena, out, error);
    if (rc != HM_ENOTFOUND)
        return hm_fail(error, rc, "an account could not be read");
    blank = ledger_account_blank(arena);
    if (!blank)
        return hm_fail(error, HM_ENOMEM, "no memory to read an account");
    *out = blank;
    return 0;
}
