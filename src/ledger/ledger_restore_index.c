/* The tables beside the state, made again from it: what operations write there step by step follows from where they
 * have led. */
#include "ledger_kv.h"
#include "ledger_restore.h"
#include "ledger_validator.h"

static int list(struct ledger_restore_index *index, uint8_t kind, const uint8_t *who,
                ProtobufCBinaryData what, struct hm_error *error)
{
    uint8_t key[LEDGER_INDEX_KEY_BYTES];

    key[0] = kind;
    memcpy(key + 1, who, LEDGER_ID_BYTES);
    memcpy(key + 1 + LEDGER_ID_BYTES, what.data, LEDGER_ID_BYTES);
    return store_put(index->txn, LEDGER_TABLE_INDEX, hm_slice_of(key, sizeof key),
                     (struct hm_slice){0}, error);
}

static int damaged(struct hm_error *error, const char *what)
{
    return hm_fail(error, HM_ECORRUPT, "the state holds a damaged %s", what);
}

static int unpack(struct ledger_restore_index *index, const ProtobufCMessageDescriptor *descriptor,
                  struct hm_slice value, ProtobufCMessage **out, struct hm_error *error)
{
    int rc;

    hm_arena_clear(&index->arena);
    rc = wire_unpack(descriptor, value, LEDGER_STATE_MAX_BYTES, &index->arena, out, error);
    return rc && rc != HM_ENOMEM ? damaged(error, descriptor->short_name) : rc;
}

static int add_asset(struct ledger_restore_index *index, struct hm_slice key, struct hm_slice value,
                     struct hm_error *error)
{
    ProtobufCMessage *message;
    const Hypermesh__Asset *asset;
    int rc = unpack(index, &hypermesh__asset__descriptor, value, &message, error);

    (void)key;
    if (rc)
        return rc;
    asset = (const Hypermesh__Asset *)message;
    if (!ledger_id_ok(asset->id) || !ledger_id_ok(asset->owner))
        return damaged(error, "asset");
    rc = list(index, LEDGER_INDEX_ASSET_ALL, asset->owner.data, asset->id, error);
    if (rc == 0 && asset->state == HYPERMESH__ASSET_STATE__ACTIVE)
        rc = list(index, LEDGER_INDEX_ASSET, asset->owner.data, asset->id, error);
    return rc;
}

static int lease_parties(struct ledger_restore_index *index, const Hypermesh__Lease *lease,
                         struct hm_error *error)
{
    const uint8_t *parties[] = {lease->consumer.data, lease->provider.data};
    bool active = lease->state == HYPERMESH__LEASE_STATE__LEASE_ACTIVE;
    int rc = active ? list(index, LEDGER_INDEX_LEASE, ledger_everybody, lease->id, error) : 0;

    for (size_t i = 0; rc == 0 && i < HM_COUNT_OF(parties); i++) {
        rc = list(index, LEDGER_INDEX_LEASE_ALL, parties[i], lease->id, error);
        if (rc == 0 && active)
            rc = list(index, LEDGER_INDEX_LEASE, parties[i], lease->id, error);
    }
    return rc;
}

static int add_lease(struct ledger_restore_index *index, struct hm_slice key, struct hm_slice value,
                     struct hm_error *error)
{
    ProtobufCMessage *message;
    const Hypermesh__Lease *lease;
    int rc = unpack(index, &hypermesh__lease__descriptor, value, &message, error);

    (void)key;
    if (rc)
        return rc;
    lease = (const Hypermesh__Lease *)message;
    if (!ledger_id_ok(lease->id) || !ledger_id_ok(lease->consumer) ||
        !ledger_id_ok(lease->provider))
        return damaged(error, "lease");
    rc = lease_parties(index, lease, error);
    for (size_t i = 0; rc == 0 && i < lease->n_items; i++) {
        if (!ledger_id_ok(lease->items[i]->asset))
            return damaged(error, "lease");
        rc = list(index, LEDGER_INDEX_LEASED, lease->items[i]->asset.data, lease->id, error);
    }
    return rc;
}

static int add_member(struct ledger_restore_index *index, struct hm_slice key,
                      struct hm_slice value, struct hm_error *error)
{
    ProtobufCMessage *message;
    const Hypermesh__Member *member;
    int rc = unpack(index, &hypermesh__member__descriptor, value, &message, error);

    (void)key;
    if (rc)
        return rc;
    member = (const Hypermesh__Member *)message;
    if (!ledger_id_ok(member->network) || !ledger_id_ok(member->account))
        return damaged(error, "member");
    if (member->state != HYPERMESH__MEMBER_STATE__JOINED &&
        member->state != HYPERMESH__MEMBER_STATE__INVITED)
        return 0;
    return list(index, LEDGER_INDEX_NETWORK, member->account.data, member->network, error);
}

static int add_challenge(struct ledger_restore_index *index, struct hm_slice key,
                         struct hm_slice value, struct hm_error *error)
{
    ProtobufCMessage *message;
    const Hypermesh__Challenge *challenge;
    bool open;
    int rc = unpack(index, &hypermesh__challenge__descriptor, value, &message, error);

    (void)key;
    if (rc)
        return rc;
    challenge = (const Hypermesh__Challenge *)message;
    if (!ledger_id_ok(challenge->id) || !ledger_id_ok(challenge->challenger) ||
        !ledger_id_ok(challenge->node))
        return damaged(error, "challenge");
    open = challenge->state == HYPERMESH__CHALLENGE_STATE__CHALLENGE_OPEN;
    rc = list(index, LEDGER_INDEX_CHALLENGE_ALL, challenge->challenger.data, challenge->id, error);
    if (rc == 0)
        rc = list(index, LEDGER_INDEX_CHALLENGE_ALL, challenge->node.data, challenge->id, error);
    if (rc || !open)
        return rc;
    rc = list(index, LEDGER_INDEX_CHALLENGE, challenge->challenger.data, challenge->id, error);
    if (rc == 0)
        rc = list(index, LEDGER_INDEX_CHALLENGE, challenge->node.data, challenge->id, error);
    return rc ? rc : list(index, LEDGER_INDEX_CHALLENGE, ledger_everybody, challenge->id, error);
}

static int add_delegation(struct ledger_restore_index *index, struct hm_slice key,
                          struct hm_slice value, struct hm_error *error)
{
    ProtobufCMessage *message;
    const Hypermesh__Delegation *delegation;
    int rc = unpack(index, &hypermesh__delegation__descriptor, value, &message, error);

    (void)key;
    if (rc)
        return rc;
    delegation = (const Hypermesh__Delegation *)message;
    if (!ledger_id_ok(delegation->delegator) || !ledger_id_ok(delegation->validator))
        return damaged(error, "delegation");
    return list(index, LEDGER_INDEX_DELEGATION, delegation->delegator.data, delegation->validator,
                error);
}

/* --- keys and values --- */

/* The number within its revision that no line has yet. Which one a change had is known where it was made only. */
static int sub_free(struct ledger_restore_index *index, uint64_t revision, uint32_t *sub,
                    struct hm_error *error)
{
    uint8_t start[LEDGER_KV_LOG_KEY_BYTES];
    struct hm_slice value;
    struct hm_slice key;
    int rc = store_cursor_seek(index->log, ledger_kv_log_key(revision + 1, 0, start), &key, &value);

    *sub = 0;
    if (rc == 0 || rc == HM_ENOTFOUND)
        rc = store_cursor_prev(index->log, &key, &value);
    if (rc == 0 && key.len == LEDGER_KV_LOG_KEY_BYTES && hm_get_be64(key.data) == revision)
        *sub = hm_get_be32(key.data + 8) + 1;
    if (rc && rc != HM_ENOTFOUND)
        return hm_fail(error, rc, "the history of the key-value store could not be read");
    return 0;
}

/* The key's last change, so that what it was at a revision from here on is found. Its block is not known. */
static int add_kv(struct ledger_restore_index *index, struct hm_slice key, struct hm_slice value,
                  struct hm_error *error)
{
    uint8_t room[LEDGER_KV_LOG_KEY_BYTES];
    struct ledger_kv_past_key past;
    struct ledger_kv_event event = {.key = hm_slice_of(key.data + 1, key.len - 1)};
    struct hm_slice bytes;
    struct hm_slice ignored;
    int rc;

    if (ledger_kv_entry_read(value, &event.entry) || ledger_kv_key_check(event.key, NULL))
        return damaged(error, "key-value entry");
    event.revision = event.entry.mod_revision;
    rc = sub_free(index, event.revision, &event.sub, error);
    if (rc)
        return rc;
    hm_arena_clear(&index->arena);
    if (ledger_kv_event_write(&event, &index->arena, &bytes, &ignored, &ignored))
        return hm_fail(error, HM_ENOMEM, "no memory to take a snapshot over");
    rc = store_put(index->txn, LEDGER_TABLE_KV_LOG,
                   ledger_kv_log_key(event.revision, event.sub, room), bytes, error);
    if (rc)
        return rc;
    ledger_kv_past_begin(event.key, &past);
    return store_put(index->txn, LEDGER_TABLE_KV_PAST,
                     ledger_kv_past_line(&past, event.revision, event.sub), (struct hm_slice){0},
                     error);
}

static const struct {
    uint8_t prefix;
    int (*add)(struct ledger_restore_index *index, struct hm_slice key, struct hm_slice value,
               struct hm_error *error);
} kinds[] = {
    {LEDGER_KEY_ASSET, add_asset},           {LEDGER_KEY_LEASE, add_lease},
    {LEDGER_KEY_MEMBER, add_member},         {LEDGER_KEY_CHALLENGE, add_challenge},
    {LEDGER_KEY_DELEGATION, add_delegation}, {LEDGER_KEY_KV, add_kv},
};

int ledger_restore_index_add(struct ledger_restore_index *index, struct hm_slice key,
                             struct hm_slice value, struct hm_error *error)
{
    for (size_t i = 0; i < HM_COUNT_OF(kinds); i++) {
        if (kinds[i].prefix == key.data[0])
            return kinds[i].add(index, key, value, error);
    }
    return 0;
}

int ledger_restore_index_init(struct ledger_restore_index *index, struct store_txn *txn,
                              struct hm_error *error)
{
    *index = (struct ledger_restore_index){.txn = txn};
    hm_arena_init(&index->arena, LEDGER_TX_ARENA_BYTES);
    return store_cursor_open(txn, LEDGER_TABLE_KV_LOG, &index->log, error);
}

void ledger_restore_index_release(struct ledger_restore_index *index)
{
    if (index->log)
        store_cursor_close(index->log);
    hm_arena_release(&index->arena);
    *index = (struct ledger_restore_index){0};
}
