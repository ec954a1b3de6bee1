/* Leases of the key-value store: keys live as long as theirs is kept alive. */
#include "ledger_kv.h"

int ledger_kv_lease_open(struct ledger_scope *scope, uint64_t id, struct ledger_object **out,
                         struct hm_error *error)
{
    uint8_t key[LEDGER_KEY_KV_LEASE_BYTES];

    return ledger_scope_open(scope, ledger_key_kv_lease(id, key), &hypermesh__kv_lease__descriptor,
                             out, error);
}

int ledger_kv_lease_own(struct ledger_act *act, uint64_t id, struct ledger_object **out,
                        struct hm_error *error)
{
    struct ledger_object *object;
    const Hypermesh__KvLease *lease;
    int rc = ledger_kv_lease_open(act->scope, id, &object, error);

    if (rc)
        return rc;
    lease = (const Hypermesh__KvLease *)object->message;
    if (!lease)
        return ledger_refuse(error, LEDGER_RULE_KV_LEASE_UNKNOWN,
                             "there is no lease %llu; it may have expired or been revoked",
                             (unsigned long long)id);
    if (!ledger_id_equal(lease->owner, act->body->account))
        return ledger_refuse(error, LEDGER_RULE_KV_LEASE_OWNER,
                             "lease %llu belongs to another account", (unsigned long long)id);
    *out = object;
    return 0;
}

/* The keys on the lease's list, in order. */
static int held_collect(struct ledger_scope *scope, const Hypermesh__KvLease *lease,
                        struct hm_slice *keys, struct hm_error *error)
{
    uint8_t room[2][LEDGER_KEY_KV_HELD_BYTES];
    struct hm_slice end = ledger_key_kv_held(lease->id + 1, (struct hm_slice){0}, room[1]);
    struct ledger_overlay_range range;
    struct hm_slice value;
    struct hm_slice key;
    size_t count = 0;
    int rc = ledger_overlay_range_open(&scope->block->overlay,
                                       ledger_key_kv_held(lease->id, (struct hm_slice){0}, room[0]),
                                       end, &range, error);

    if (rc)
        return rc;
    while ((rc = ledger_kv_range_next(scope, &range, &key, &value, error)) == 0) {
        void *copy;

        if (count == lease->keys)
            break;
        rc = ledger_scope_alloc(scope, key.len - 9, &copy, error);
        if (rc)
            break;
        memcpy(copy, key.data + 9, key.len - 9);
        keys[count++] = hm_slice_of(copy, key.len - 9);
    }
    ledger_overlay_range_close(&range);
    if (rc && rc != HM_ENOTFOUND)
        return rc;
    return rc && count == lease->keys
               ? 0
               : hm_fail(error, HM_ECORRUPT, "the list of a lease is not as long as it says");
}

/* Takes the key from the lease's list, which goes as a whole, and deletes it. */
static int held_delete(struct ledger_scope *scope, uint64_t id, struct hm_slice key,
                       struct hm_error *error)
{
    uint8_t held[LEDGER_KEY_KV_HELD_BYTES];
    struct ledger_kv_now now;
    int rc = ledger_scope_work(scope, LEDGER_KV_WORK_DELETE, error);

    if (rc == 0)
        rc = ledger_kv_look(scope->block, key, &now, error);
    if (rc == 0 && (!now.present || now.entry.lease != id))
        rc = hm_fail(error, HM_ECORRUPT, "the list of a lease names a key that is not its own");
    if (rc == 0)
        rc = ledger_kv_change(scope, key, &now, NULL, id, error);
    if (rc == 0)
        rc = ledger_kv_state_drop(scope->block, ledger_key_kv_held(id, key, held), error);
    return rc;
}

int ledger_kv_lease_end(struct ledger_scope *scope, struct ledger_object *object, uint64_t *deleted,
                        struct hm_error *error)
{
    const Hypermesh__KvLease *lease = (const Hypermesh__KvLease *)object->message;
    struct ledger_kv *kv = &scope->block->kv;
    Hypermesh__Account *owner;
    struct hm_slice *keys;
    void *room;
    int rc = ledger_scope_account(scope, lease->owner, &owner, error);

    if (rc == 0 && (owner->kv_leases == 0 || kv->now.leases == 0))
        rc = hm_fail(error, HM_ECORRUPT, "an account's count of leases is wrong");
    if (rc == 0)
        rc = ledger_scope_alloc(scope, lease->keys * sizeof *keys, &room, error);
    if (rc)
        return rc;
    keys = room;
    rc = held_collect(scope, lease, keys, error);
    for (size_t i = 0; rc == 0 && i < lease->keys; i++)
        rc = held_delete(scope, lease->id, keys[i], error);
    if (rc)
        return rc;
    *deleted = lease->keys;
    owner->kv_leases--;
    kv->now.leases--;
    object->message = NULL;
    return 0;
}

int ledger_kv_lease_expire(struct ledger_scope *scope, struct hm_slice id, struct hm_error *error)
{
    struct ledger_kv *kv = &scope->block->kv;
    struct ledger_object *object;
    uint64_t deleted;
    int rc;

    if (id.len != 8)
        return hm_fail(error, HM_ECORRUPT, "the index of what is due is damaged");
    rc = ledger_kv_lease_open(scope, hm_get_be64(id.data), &object, error);
    if (rc == 0 && !object->message)
        rc = hm_fail(error, HM_ECORRUPT,
                     "the index of what is due names a lease that is not there");
    /* What the time ends in one block is bounded; the next block goes on. */
    if (rc == 0 && kv->line_count > 0 &&
        kv->line_count + ((const Hypermesh__KvLease *)object->message)->keys > LEDGER_KV_DELETE_MAX)
        return 0;
    if (rc == 0)
        rc = ledger_kv_lease_end(scope, object, &deleted, error);
    if (rc == 0)
        ledger_kv_op_end(scope->block);
    return rc;
}
