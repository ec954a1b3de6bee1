/* Views: single things of the state, and what a client needs to sign. */
#include "ledger_view.h"

#include "ledger_tx.h"

int ledger_view_open(struct ledger *ledger, struct ledger_view **out, struct hm_error *error)
{
    struct ledger_view *view = hm_calloc(1, sizeof *view);
    int rc;

    if (!view)
        return hm_fail(error, HM_ENOMEM, "no memory for a view");
    view->ledger = ledger;
    rc = ledger_info(ledger, &view->info, error);
    if (rc == 0)
        rc = store_begin_read(ledger->store, &view->txn, error);
    /* The snapshot may be newer than that; its own height counts. */
    if (rc == 0)
        rc = ledger_read_info(view->txn, &view->info, error);
    if (rc) {
        ledger_view_close(view);
        return rc;
    }
    *out = view;
    return 0;
}

void ledger_view_close(struct ledger_view *view)
{
    if (!view)
        return;
    store_abort(view->txn);
    hm_free(view);
}

int ledger_view_info(struct ledger_view *view, struct ledger_info *out, struct hm_error *error)
{
    (void)error;
    *out = view->info;
    return 0;
}

int ledger_view_get(struct ledger_view *view, unsigned table, struct hm_slice key,
                    struct hm_slice *value, struct hm_error *error)
{
    int rc = store_get(view->txn, table, key, value);

    if (rc && rc != HM_ENOTFOUND)
        return hm_fail(error, rc, "the ledger's %s table could not be read",
                       ledger_table_names[table]);
    return rc;
}

int ledger_view_unpack(const ProtobufCMessageDescriptor *descriptor, struct hm_slice bytes,
                       size_t limit, struct hm_arena *arena, ProtobufCMessage **out,
                       struct hm_error *error)
{
    int rc = wire_unpack(descriptor, bytes, limit, arena, out, error);

    if (rc == 0 || rc == HM_ENOMEM || (rc == HM_ELIMIT && bytes.len <= limit))
        return rc; /* past the arena's limit: it is sound, and too much for who asks */
    return hm_fail(error, HM_ECORRUPT, "a stored %s is damaged", descriptor->short_name);
}

int ledger_view_state(struct ledger_view *view, uint8_t prefix, const uint8_t id[LEDGER_ID_BYTES],
                      const ProtobufCMessageDescriptor *descriptor, struct hm_arena *arena,
                      ProtobufCMessage **out, struct hm_error *error)
{
    uint8_t key[LEDGER_KEY_ID_BYTES];
    struct hm_slice bytes;
    int rc = ledger_view_get(view, LEDGER_TABLE_STATE, ledger_key_id(prefix, id, key), &bytes,
                             error);

    if (rc)
        return rc;
    return ledger_view_unpack(descriptor, bytes, LEDGER_STATE_MAX_BYTES, arena, out, error);
}

int ledger_view_account(struct ledger_view *view, const uint8_t id[32], struct hm_arena *arena,
                        Hypermesh__Account **out, struct hm_error *error)
{
    return ledger_read_account(view->txn, id, arena, out, error);
}

int ledger_view_asset(struct ledger_view *view, const uint8_t id[32], struct hm_arena *arena,
                      Hypermesh__Asset **out, struct hm_error *error)
{
    char text[WIRE_ID_TEXT_MAX];
    ProtobufCMessage *message;
    int rc = ledger_view_state(view, LEDGER_KEY_ASSET, id, &hypermesh__asset__descriptor, arena,
                               &message, error);

    if (rc == HM_ENOTFOUND) {
        wire_asset_text(id, text);
        return hm_fail(error, rc, "there is no asset %s", text);
    }
    if (rc == 0)
        *out = (Hypermesh__Asset *)message;
    return rc;
}

int ledger_view_lease(struct ledger_view *view, const uint8_t id[32], struct hm_arena *arena,
                      Hypermesh__Lease **out, struct hm_error *error)
{
    char text[WIRE_ID_TEXT_MAX];
    ProtobufCMessage *message;
    int rc = ledger_view_state(view, LEDGER_KEY_LEASE, id, &hypermesh__lease__descriptor, arena,
                               &message, error);

    if (rc == HM_ENOTFOUND) {
        wire_lease_text(id, text);
        return hm_fail(error, rc, "there is no lease %s", text);
    }
    if (rc == 0)
        *out = (Hypermesh__Lease *)message;
    return rc;
}

int ledger_view_params(struct ledger_view *view, struct hm_arena *arena, Hypermesh__Params **out,
                       struct hm_error *error)
{
    return ledger_read_params(view->txn, arena, out, error);
}

int ledger_view_supply(struct ledger_view *view, struct hm_arena *arena, Hypermesh__Supply **out,
                       struct hm_error *error)
{
    const uint8_t key = LEDGER_KEY_SUPPLY;
    ProtobufCMessage *message;
    struct hm_slice bytes;
    int rc = ledger_view_get(view, LEDGER_TABLE_STATE, hm_slice_of(&key, 1), &bytes, error);

    if (rc)
        return rc == HM_ENOTFOUND ? hm_fail(error, HM_ECORRUPT, "the supply record is missing")
                                  : rc;
    rc = ledger_view_unpack(&hypermesh__supply__descriptor, bytes, LEDGER_STATE_MAX_BYTES, arena,
                            &message, error);
    if (rc == 0)
        *out = (Hypermesh__Supply *)message;
    return rc;
}

int ledger_view_genesis(struct ledger_view *view, struct hm_slice *genesis, struct hm_error *error)
{
    const uint8_t key = LEDGER_META_GENESIS;
    int rc = ledger_view_get(view, LEDGER_TABLE_META, hm_slice_of(&key, 1), genesis, error);

    return rc == HM_ENOTFOUND ? hm_fail(error, HM_ECORRUPT, "the genesis is missing") : rc;
}

int ledger_view_prove(struct ledger_view *view, struct hm_slice key, struct hm_slice *value,
                      struct store_tree_proof *proof, uint8_t root[CRYPTO_HASH_BYTES],
                      struct hm_error *error)
{
    static const uint8_t nothing[1];
    struct hm_slice found;
    int rc;

    if (key.len == 0 || key.len > STORE_KEY_MAX_BYTES)
        return hm_fail(error, HM_EINVAL, "a state key has 1 to %d bytes, this has %zu",
                       STORE_KEY_MAX_BYTES, key.len);
    rc = ledger_view_get(view, LEDGER_TABLE_STATE, key, &found, error);
    if (rc && rc != HM_ENOTFOUND)
        return rc;
    if (rc == HM_ENOTFOUND)
        found = (struct hm_slice){0};
    else if (!found.data)
        found.data = nothing; /* an empty value is not an absent one */
    rc = store_tree_prove(view->txn, &ledger_tree, key, proof, error);
    if (rc)
        return rc;
    *value = found;
    memcpy(root, view->info.state_root, CRYPTO_HASH_BYTES);
    return 0;
}

int ledger_view_signing(struct ledger_view *view, const uint8_t account[32], uint64_t now_ms,
                        struct ledger_signing *out, struct hm_error *error)
{
    struct hm_arena arena;
    Hypermesh__Account *known;
    int rc;

    hm_arena_init(&arena, LEDGER_STATE_MAX_BYTES * 16);
    rc = ledger_read_account(view->txn, account, &arena, &known, error);
    if (rc == 0) {
        out->info = view->info;
        memcpy(out->presence, known->presence.data, CRYPTO_HASH_BYTES);
        out->work_bits = ledger_account_work_bits(view->ledger->params, known, now_ms);
    }
    hm_arena_release(&arena);
    return rc;
}
