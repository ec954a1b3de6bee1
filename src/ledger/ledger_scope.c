#include "ledger_scope.h"

#include "ledger_account.h"
#include "ledger_kv.h"
#include "ledger_rule.h"

void ledger_scope_init(struct ledger_scope *scope, struct ledger_block *block,
                       struct hm_arena *arena, struct hm_slice tx_digest)
{
    *scope = (struct ledger_scope){.block = block,
                                   .arena = arena,
                                   .supply = block->supply,
                                   .tx_digest = tx_digest,
                                   .work_paid = UINT64_MAX,
                                   .work_room = UINT64_MAX};
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

/* Stored bytes that do not parse are damage, whatever the parser calls it. */
static int state_unpack(const ProtobufCMessageDescriptor *descriptor, struct hm_slice bytes,
                        struct hm_arena *arena, ProtobufCMessage **out, struct hm_error *error)
{
    int rc = wire_unpack(descriptor, bytes, LEDGER_STATE_MAX_BYTES, arena, out, error);

    if (rc && rc != HM_ENOMEM)
        return hm_fail(error, HM_ECORRUPT, "a stored %s is damaged", descriptor->short_name);
    return rc;
}

/* What this block wrote itself needs no look at its form; of an account there may be a copy. */
static int entry_unpack(const struct ledger_overlay_entry *entry,
                        const ProtobufCMessageDescriptor *descriptor, struct hm_slice bytes,
                        struct hm_arena *arena, ProtobufCMessage **out, struct hm_error *error)
{
    void *room;

    if (entry->form_good) {
        room = hm_arena_alloc(arena, ledger_account_copy_bytes(entry->form));
        if (!room)
            return no_memory(error);
        *out = &ledger_account_copy(entry->form, room)->base;
        return 0;
    }
    return entry->touched ? wire_unpack_again(descriptor, bytes, arena, out, error)
                          : state_unpack(descriptor, bytes, arena, out, error);
}

/* Keeps the account as it is now, for the next transaction of it. Never fails: the bytes are there. */
static void account_keep(struct ledger_block *block, struct ledger_overlay_entry *entry,
                         const Hypermesh__Account *account)
{
    size_t size = ledger_account_copy_bytes(account);

    if (size > entry->form_cap) {
        void *room = hm_arena_alloc(&block->arena, size + size / 4);

        if (!room)
            return;
        entry->form = room;
        entry->form_cap = size + size / 4;
    }
    entry->form_good = size > 0;
    if (size > 0)
        (void)ledger_account_copy(account, entry->form);
}

/* When block time ends the thing under a key with this prefix by itself; 0: never. The index of due things
 * follows it. */
static uint64_t due_of(uint8_t prefix, const ProtobufCMessage *message)
{
    const Hypermesh__Lease *lease;
    const Hypermesh__Challenge *challenge;
    const Hypermesh__Delegation *delegation;

    if (message && prefix == LEDGER_KEY_KV_LEASE)
        return ((const Hypermesh__KvLease *)message)->expires_ms;
    if (!message)
        return 0;
    switch (prefix) {
    case LEDGER_KEY_LEASE:
        lease = (const Hypermesh__Lease *)message;
        return lease->state == HYPERMESH__LEASE_STATE__LEASE_ACTIVE ? lease->expires_ms : 0;
    case LEDGER_KEY_CHALLENGE:
        challenge = (const Hypermesh__Challenge *)message;
        return challenge->state == HYPERMESH__CHALLENGE_STATE__CHALLENGE_OPEN ? challenge->due_ms
                                                                              : 0;
    case LEDGER_KEY_DELEGATION:
        delegation = (const Hypermesh__Delegation *)message;
        return delegation->n_leaving > 0 ? delegation->leaving[0]->free_ms : 0;
    default:
        return 0;
    }
}

int ledger_scope_open(struct ledger_scope *scope, struct hm_slice key,
                      const ProtobufCMessageDescriptor *descriptor, struct ledger_object **out,
                      struct hm_error *error)
{
    struct ledger_map_entry *known = ledger_map_find(&scope->objects, key);
    struct ledger_overlay_entry *entry;
    struct ledger_object *object;
    struct hm_slice bytes = {0};
    int rc;

    if (known) {
        *out = known->value;
        return 0;
    }
    if (scope->opened >= LEDGER_TX_OPENED_MAX_BYTES)
        return ledger_refuse(
            error, LEDGER_RULE_TX_OPENED,
            "the transaction opens too much of the state (%zu MiB); make two of it",
            LEDGER_TX_OPENED_MAX_BYTES >> 20);
    rc = ledger_overlay_open(&scope->block->overlay, key, &entry, &bytes, error);
    scope->opened += LEDGER_ENTRY_BYTES + bytes.len;
    if (rc && rc != HM_ENOTFOUND)
        return rc;
    object = hm_arena_alloc(scope->arena, sizeof *object);
    if (!object)
        return no_memory(error);
    *object = (struct ledger_object){.entry = entry};
    if (rc == 0) {
        rc = entry_unpack(entry, descriptor, bytes, scope->arena, &object->message, error);
        if (rc)
            return rc;
        object->due_ms = due_of(key.data[0], object->message);
    }
    if (!ledger_map_add(&scope->objects, key, object))
        return no_memory(error);
    *out = object;
    return 0;
}

int ledger_id_check(ProtobufCBinaryData id, struct hm_error *error)
{
    if (ledger_id_ok(id))
        return 0;
    return ledger_refuse(error, LEDGER_RULE_FORM_ID, "an id has %zu bytes, must have %d", id.len,
                         LEDGER_ID_BYTES);
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
    uint8_t key[LEDGER_KEY_ID_BYTES];
    struct ledger_object *object;
    Hypermesh__Account *account;
    int rc = ledger_id_check(id, error);

    if (rc == 0)
        rc = ledger_scope_open(scope, ledger_key_id(LEDGER_KEY_ACCOUNT, id.data, key),
                               &hypermesh__account__descriptor, &object, error);
    if (rc)
        return rc;
    account = (Hypermesh__Account *)object->message;
    if (!account) {
        account = ledger_account_blank(scope->arena);
        if (!account)
            return no_memory(error);
        object->message = &account->base;
    }
    if (!object->ready) {
        if (account->presence.len != CRYPTO_HASH_BYTES)
            return hm_fail(error, HM_ECORRUPT, "a stored account is damaged");
        sessions_prune(account, scope->block->time_ms);
        rc = ledger_money_release_unbonding(scope, account, scope->block->time_ms, error);
        if (rc)
            return rc;
        object->ready = true;
    }
    *out = account;
    return 0;
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

int ledger_scope_list(struct ledger_scope *scope, uint8_t kind, const uint8_t *who,
                      const uint8_t *what, bool present, struct hm_error *error)
{
    struct ledger_listing listing = {.present = present};

    listing.key[0] = kind;
    memcpy(listing.key + 1, who, LEDGER_ID_BYTES);
    memcpy(listing.key + 1 + LEDGER_ID_BYTES, what, LEDGER_ID_BYTES);
    if (ledger_listings_add(&scope->listings, scope->arena, &listing))
        return no_memory(error);
    scope->block->overlay.held += LEDGER_ENTRY_BYTES;
    return 0;
}

/* Keeps the index of due things in step with the thing. */
static int due_write(struct ledger_scope *scope, struct hm_slice key,
                     const struct ledger_object *object, struct hm_error *error)
{
    struct ledger_overlay *overlay = &scope->block->overlay;
    uint64_t due_ms = due_of(key.data[0], object->message);
    uint8_t due[LEDGER_KEY_DUE_MAX_BYTES];
    int rc = 0;

    if (due_ms == object->due_ms)
        return 0;
    if (object->due_ms)
        rc = ledger_overlay_delete(overlay, ledger_key_due(object->due_ms, key, due), error);
    if (rc == 0 && due_ms)
        rc = ledger_overlay_put(overlay, ledger_key_due(due_ms, key, due), (struct hm_slice){0},
                                error);
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
    struct hm_slice key = ledger_map_key(at);
    const struct ledger_object *object = at->value;
    struct hm_slice present;
    int rc = due_write(scope, key, object, error);

    if (rc)
        return rc;
    if (!object->message) {
        rc = ledger_overlay_get(&block->overlay, key, &present, error);
        if (rc)
            return rc == HM_ENOTFOUND ? 0 : rc;
        return ledger_overlay_delete(&block->overlay, key, error);
    }
    /* Reading about an account that nobody touched leaves no trace of it. */
    if (key.data[0] == LEDGER_KEY_ACCOUNT &&
        account_is_blank((const Hypermesh__Account *)object->message)) {
        rc = ledger_overlay_get(&block->overlay, key, &present, error);
        if (rc)
            return rc == HM_ENOTFOUND ? 0 : rc;
    }
    hm_buf_clear(&block->pack);
    if (wire_pack(object->message, &block->pack))
        return no_memory(error);
    rc = ledger_overlay_put_at(&block->overlay, object->entry, hm_buf_slice(&block->pack), error);
    if (rc == 0 && key.data[0] == LEDGER_KEY_ACCOUNT)
        account_keep(block, object->entry, (const Hypermesh__Account *)object->message);
    return rc;
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
    for (size_t i = 0; i < scope->listings.count; i++) {
        if (ledger_listings_add(&block->listings, &block->arena, &scope->listings.list[i]))
            return no_memory(error);
    }
    block->supply = scope->supply;
    ledger_kv_keep(block);
    return 0;
}

void ledger_scope_go_on(struct ledger_scope *scope, const struct ledger_scope *done)
{
    scope->objects = done->objects;
    for (size_t i = 0; i < scope->objects.count; i++) {
        struct ledger_object *object = scope->objects.entries[i].value;

        object->due_ms = due_of(scope->objects.entries[i].key[0], object->message);
        scope->opened += LEDGER_ENTRY_BYTES + object->entry->now.len;
    }
}

void ledger_scope_drop(struct ledger_scope *scope)
{
    ledger_kv_take_back(scope->block);
}

int ledger_scope_work(struct ledger_scope *scope, uint64_t weight, struct hm_error *error)
{
    uint64_t work = scope->work + weight;

    if (work > scope->work_paid)
        return ledger_refuse(error, LEDGER_RULE_KV_WORK,
                             "what the transaction does weighs more than its fee_limit and the "
                             "account's balance pay for: %llu beyond its own weight",
                             (unsigned long long)scope->work_paid);
    if (work > scope->work_room)
        return ledger_refuse(error, LEDGER_RULE_KV_WORK_BLOCK,
                             "what the transaction does does not fit this block any more: send it "
                             "again");
    scope->work = work;
    return 0;
}
