#include "ledger_scope.h"

/* An open object: what kind it is stands in its key's first byte. */
struct object {
    union {
        Hypermesh__Account *account;
        Hypermesh__Asset *asset;
        Hypermesh__Lease *lease;
    } as;
    uint64_t due_ms; /* lease: the key in the index of due leases; 0: none */
};

void ledger_scope_init(struct ledger_scope *scope, struct ledger_block *block,
                       struct hm_arena *arena, struct hm_slice tx_digest)
{
    *scope = (struct ledger_scope){
        .block = block, .arena = arena, .supply = block->supply, .tx_digest = tx_digest};
    ledger_map_init(&scope->objects, arena, block->seed);
}

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory to apply a transaction");
}

int ledger_scope_alloc(struct ledger_scope *scope, size_t size, void **out, struct hm_error *error)
{
    void *memory = hm_arena_alloc(scope->arena, size > 0 ? size : 1);

    if (!memory)
        return no_memory(error);
    *out = memory;
    return 0;
}

int ledger_scope_bytes(struct ledger_scope *scope, const void *data, size_t len,
                       ProtobufCBinaryData *out, struct hm_error *error)
{
    void *copy;
    int rc = ledger_scope_alloc(scope, len, &copy, error);

    if (rc)
        return rc;
    if (len > 0)
        memcpy(copy, data, len);
    *out = (ProtobufCBinaryData){.data = copy, .len = len};
    return 0;
}

/* Finds an open object (*out), or reads its bytes from the block (*out NULL, *bytes set when present). */
static int object_find(struct ledger_scope *scope, uint8_t prefix, ProtobufCBinaryData id,
                       struct object **out, struct hm_slice *bytes, struct hm_error *error)
{
    uint8_t key_bytes[LEDGER_KEY_ID_BYTES];
    struct ledger_map_entry *known;
    struct hm_slice key;
    int rc;

    *out = NULL;
    *bytes = (struct hm_slice){0};
    if (!ledger_id_ok(id))
        return hm_fail(error, HM_EINVAL, "an id has %zu bytes, must have %d", id.len,
                       LEDGER_ID_BYTES);
    key = ledger_key_id(prefix, id.data, key_bytes);
    known = ledger_map_find(&scope->objects, key);
    if (known) {
        *out = known->value;
        return 0;
    }
    if (scope->opened >= LEDGER_TX_OPENED_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT,
                       "the transaction opens too much of the state (%zu MiB); make two of it",
                       LEDGER_TX_OPENED_MAX_BYTES >> 20);
    rc = ledger_overlay_get(&scope->block->overlay, key, bytes, error);
    scope->opened += LEDGER_ENTRY_BYTES + bytes->len;
    return rc == HM_ENOTFOUND ? 0 : rc;
}

static int object_add(struct ledger_scope *scope, uint8_t prefix, ProtobufCBinaryData id,
                      const struct object *object, struct hm_error *error)
{
    uint8_t key_bytes[LEDGER_KEY_ID_BYTES];
    struct hm_slice key = ledger_key_id(prefix, id.data, key_bytes);
    struct object *copy = hm_arena_dup(scope->arena, object, sizeof *object);

    if (!copy || !ledger_map_add(&scope->objects, key, copy))
        return no_memory(error);
    return 0;
}

static void sessions_prune(Hypermesh__Account *account, uint64_t now_ms)
{
    size_t kept = 0;

    for (size_t i = 0; i < account->n_sessions; i++) {
        if (account->sessions[i]->expires_ms > now_ms)
            account->sessions[kept++] = account->sessions[i];
    }
    account->n_sessions = kept;
}

int ledger_scope_account(struct ledger_scope *scope, ProtobufCBinaryData id,
                         Hypermesh__Account **out, struct hm_error *error)
{
    struct object *known;
    struct object fresh = {0};
    struct hm_slice bytes;
    Hypermesh__Account *account;
    int rc = object_find(scope, LEDGER_KEY_ACCOUNT, id, &known, &bytes, error);

    if (rc)
        return rc;
    if (known) {
        *out = known->as.account;
        return 0;
    }
    if (bytes.data) {
        rc = ledger_account_unpack(bytes, scope->arena, &account, error);
        if (rc)
            return rc;
    } else {
        account = ledger_account_blank(scope->arena);
        if (!account)
            return no_memory(error);
    }
    sessions_prune(account, scope->block->time_ms);
    rc = ledger_money_release_unbonding(scope, account, scope->block->time_ms, error);
    if (rc)
        return rc;
    fresh.as.account = account;
    rc = object_add(scope, LEDGER_KEY_ACCOUNT, id, &fresh, error);
    if (rc == 0)
        *out = account;
    return rc;
}

/* Stored bytes that do not parse are damage, whatever the parser calls it. */
static int state_unpack(const ProtobufCMessageDescriptor *descriptor, struct hm_slice bytes,
                        struct hm_arena *arena, ProtobufCMessage **out, struct hm_error *error)
{
    int rc = wire_unpack(descriptor, bytes, LEDGER_STATE_MAX_BYTES, arena, out, error);

    if (rc && rc != HM_ENOMEM)
        return hm_fail(error, HM_ECORRUPT, "a stored %s is damaged", descriptor->short_name);
    return rc;
}

int ledger_scope_asset_find(struct ledger_scope *scope, ProtobufCBinaryData id,
                            Hypermesh__Asset **out, struct hm_error *error)
{
    struct object *known;
    struct object fresh = {0};
    struct hm_slice bytes;
    ProtobufCMessage *message;
    int rc = object_find(scope, LEDGER_KEY_ASSET, id, &known, &bytes, error);

    if (rc)
        return rc;
    if (known || !bytes.data) {
        *out = known ? known->as.asset : NULL;
        return 0;
    }
    rc = state_unpack(&hypermesh__asset__descriptor, bytes, scope->arena, &message, error);
    if (rc)
        return rc;
    fresh.as.asset = (Hypermesh__Asset *)message;
    rc = object_add(scope, LEDGER_KEY_ASSET, id, &fresh, error);
    if (rc == 0)
        *out = fresh.as.asset;
    return rc;
}

int ledger_scope_asset(struct ledger_scope *scope, ProtobufCBinaryData id, Hypermesh__Asset **out,
                       struct hm_error *error)
{
    char text[WIRE_ID_TEXT_MAX];
    Hypermesh__Asset *asset;
    int rc = ledger_scope_asset_find(scope, id, &asset, error);

    if (rc)
        return rc;
    if (!asset) {
        wire_asset_text(id.data, text);
        return hm_fail(error, HM_ENOTFOUND, "there is no asset %s", text);
    }
    *out = asset;
    return 0;
}

int ledger_scope_asset_new(struct ledger_scope *scope, ProtobufCBinaryData id,
                           Hypermesh__Asset **out, struct hm_error *error)
{
    struct object fresh = {0};
    Hypermesh__Asset *asset = hm_arena_alloc(scope->arena, sizeof *asset);
    int rc;

    if (!asset)
        return no_memory(error);
    *asset = (Hypermesh__Asset)HYPERMESH__ASSET__INIT;
    rc = ledger_scope_bytes(scope, id.data, id.len, &asset->id, error);
    if (rc)
        return rc;
    fresh.as.asset = asset;
    rc = object_add(scope, LEDGER_KEY_ASSET, asset->id, &fresh, error);
    if (rc == 0)
        *out = asset;
    return rc;
}

/* An active lease has a key in the index of due leases, another has none. */
static uint64_t lease_due_ms(const Hypermesh__Lease *lease)
{
    return lease->state == HYPERMESH__LEASE_STATE__LEASE_ACTIVE ? lease->expires_ms : 0;
}

int ledger_scope_lease(struct ledger_scope *scope, ProtobufCBinaryData id, Hypermesh__Lease **out,
                       struct hm_error *error)
{
    char text[WIRE_ID_TEXT_MAX];
    struct object *known;
    struct object fresh = {0};
    struct hm_slice bytes;
    ProtobufCMessage *message;
    int rc = object_find(scope, LEDGER_KEY_LEASE, id, &known, &bytes, error);

    if (rc)
        return rc;
    if (known) {
        *out = known->as.lease;
        return 0;
    }
    if (!bytes.data) {
        wire_lease_text(id.data, text);
        return hm_fail(error, HM_ENOTFOUND, "there is no lease %s", text);
    }
    rc = state_unpack(&hypermesh__lease__descriptor, bytes, scope->arena, &message, error);
    if (rc)
        return rc;
    fresh.as.lease = (Hypermesh__Lease *)message;
    fresh.due_ms = lease_due_ms(fresh.as.lease);
    rc = object_add(scope, LEDGER_KEY_LEASE, id, &fresh, error);
    if (rc == 0)
        *out = fresh.as.lease;
    return rc;
}

int ledger_scope_lease_new(struct ledger_scope *scope, ProtobufCBinaryData id,
                           Hypermesh__Lease **out, struct hm_error *error)
{
    struct object *known;
    struct object fresh = {0};
    struct hm_slice bytes;
    Hypermesh__Lease *lease;
    int rc = object_find(scope, LEDGER_KEY_LEASE, id, &known, &bytes, error);

    if (rc)
        return rc;
    if (known || bytes.data)
        return hm_fail(error, HM_EINTERNAL, "a lease id came up twice");
    lease = hm_arena_alloc(scope->arena, sizeof *lease);
    if (!lease)
        return no_memory(error);
    *lease = (Hypermesh__Lease)HYPERMESH__LEASE__INIT;
    rc = ledger_scope_bytes(scope, id.data, id.len, &lease->id, error);
    if (rc)
        return rc;
    fresh.as.lease = lease;
    rc = object_add(scope, LEDGER_KEY_LEASE, lease->id, &fresh, error);
    if (rc == 0)
        *out = lease;
    return rc;
}

int ledger_scope_event(struct ledger_scope *scope, Hypermesh__Asset *asset, uint32_t op,
                       ProtobufCBinaryData account, const Hypermesh__Lease *lease,
                       struct hm_error *error)
{
    struct ledger_block *block = scope->block;
    Hypermesh__AssetEvent event = HYPERMESH__ASSET_EVENT__INIT;
    struct ledger_line line = {.number = asset->events};

    event.height = block->height;
    event.time_ms = block->time_ms;
    event.tx = wire_bytes(scope->tx_digest.data, scope->tx_digest.len);
    event.op = op;
    event.account = account;
    if (lease)
        event.lease = lease->id;
    hm_buf_clear(&block->pack);
    if (wire_pack(&event.base, &block->pack))
        return no_memory(error);
    /* The block's arena: a line outlives the scope when the scope is committed. */
    line.value = hm_slice_of(hm_arena_dup(&block->arena, block->pack.data, block->pack.len),
                             block->pack.len);
    memcpy(line.subject, asset->id.data, LEDGER_ID_BYTES);
    if (!line.value.data || ledger_lines_add(&scope->lines, scope->arena, &line))
        return no_memory(error);
    block->overlay.held += LEDGER_ENTRY_BYTES + line.value.len;
    asset->events++;
    return 0;
}

/* Keeps the index of due leases in step with the lease. */
static int due_write(struct ledger_scope *scope, const struct object *object,
                     struct hm_error *error)
{
    struct ledger_overlay *overlay = &scope->block->overlay;
    const Hypermesh__Lease *lease = object->as.lease;
    uint64_t due_ms = lease_due_ms(lease);
    uint8_t key[LEDGER_KEY_DUE_BYTES];
    int rc = 0;

    if (due_ms == object->due_ms)
        return 0;
    if (object->due_ms)
        rc = ledger_overlay_delete(overlay, ledger_key_due(object->due_ms, lease->id.data, key),
                                   error);
    if (rc == 0 && due_ms)
        rc = ledger_overlay_put(overlay, ledger_key_due(due_ms, lease->id.data, key),
                                (struct hm_slice){0}, error);
    return rc;
}

static bool account_is_blank(const Hypermesh__Account *account)
{
    return account->hyper == 0 && account->caes == 0 && account->bonded == 0 &&
           account->n_unbonding == 0 && account->txs == 0 && account->assets == 0;
}

static int object_write(struct ledger_scope *scope, const struct ledger_map_entry *at,
                        struct hm_error *error)
{
    struct ledger_block *block = scope->block;
    struct hm_slice key = hm_slice_of(at->key, at->key_len);
    const struct object *object = at->value;
    struct hm_slice present;
    int rc;

    /* Reading about an account that nobody touched leaves no trace of it. */
    if (at->key[0] == LEDGER_KEY_ACCOUNT && account_is_blank(object->as.account)) {
        rc = ledger_overlay_get(&block->overlay, key, &present, error);
        if (rc)
            return rc == HM_ENOTFOUND ? 0 : rc;
    }
    if (at->key[0] == LEDGER_KEY_LEASE) {
        rc = due_write(scope, object, error);
        if (rc)
            return rc;
    }
    hm_buf_clear(&block->pack);
    /* All three kinds of pointer in the union point to a message's base. */
    if (wire_pack((const ProtobufCMessage *)object->as.account, &block->pack))
        return no_memory(error);
    return ledger_overlay_put(&block->overlay, key, hm_buf_slice(&block->pack), error);
}

int ledger_scope_commit(struct ledger_scope *scope, struct hm_error *error)
{
    struct ledger_block *block = scope->block;

    for (size_t i = 0; i < scope->objects.count; i++) {
        int rc = object_write(scope, &scope->objects.entries[i], error);

        if (rc)
            return rc;
    }
    for (size_t i = 0; i < scope->lines.count; i++) {
        if (ledger_lines_add(&block->lines, &block->arena, &scope->lines.list[i]))
            return no_memory(error);
    }
    block->supply = scope->supply;
    return 0;
}
